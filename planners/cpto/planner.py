"""CPTO: consistent parallel trajectory optimisation (Zheng et al., arXiv 2409.10310), rebuilt.

Several hypotheses about the others are planned for at once; their trajectories share the first second
exactly, so that what is driven now suits all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.planner import PlannerSpec
from drive.planners.cpto.arrays import make_factors, model_of
from drive.planners.cpto.basis import make_basis, sample_basis
from drive.planners.cpto.config import CPTOConfig
from drive.planners.cpto.session import CPTOSession

if TYPE_CHECKING:
    from drive.planners.cpto.kernels.admm import Factors, Problem, Weights
    from drive.scenario import Task

MOST_FACTORS = 256
"""Of a planner's problems that differ in the branches' probabilities or in the number of their pairs."""


class CPTO:
    """Consensus planner on roads: one trunk, a branch for each hypothesis."""

    config_type = CPTOConfig

    def __init__(self, config: CPTOConfig | None = None) -> None:
        self.config = c = config or CPTOConfig()
        self.spec = PlannerSpec(
            "cpto",
            horizon=c.dt * (c.steps - 1),
            dt=c.dt,
            needs=("road", "route", "occlusion") if c.phantoms else ("road", "route"),
        )
        self.basis = make_basis(c.steps, c.dt, c.joint)
        self.model = model_of(self.basis)
        fine = np.asarray(0.5 * c.dt * np.arange(2 * c.steps - 1), dtype=np.float64)
        self.fine = sample_basis(fine, c.joint, float(self.basis.times[-1]))
        self._factors: dict[tuple[object, ...], Factors] = {}

    def start(self, task: Task) -> CPTOSession:
        return CPTOSession(self, task)

    def factors(self, weights: Weights, problem: Problem, mode: int) -> Factors:
        """The loop's inverted systems for a problem, kept for the next one that has the same."""
        pairs = problem.active.sum(1, dtype=np.int64)
        key = (mode, problem.probability.tobytes(), pairs.tobytes())
        found = self._factors.get(key)
        if found is None:
            if len(self._factors) >= MOST_FACTORS:
                self._factors.clear()
            found = make_factors(self.model, weights, problem.probability, pairs, mode)
            self._factors[key] = found
        return found
