"""What a policy is asked and what it answers, in the ego's frame; and what a session remembers for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drive.geometry import to_frame
from drive.planner import PlanStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drive.nn.tokens import SceneBatch
    from drive.planner import Candidates, Control, Heat, Observation
    from drive.trajectory import Trajectory

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A policy's answer to one observation, in the ego's frame (rear axle, x forward, y left).

    `poses (T, 3)`, the first one `dt` after now; `speed (T,)` in m/s goes with them where it is known.
    `candidates` hold states `(K, T, 3)` in the same frame at `times` counted from now, the best ones only:
    a plan carries its own copy of them, and the run log keeps a few. The rest as in `drive.planner.Plan`.
    """

    poses: NDArray[Any]
    dt: float = 0.1
    speed: NDArray[Any] | None = None
    candidates: Candidates | None = None
    control: Control | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    heat: Heat | None = None
    status: PlanStatus = PlanStatus.OK
    reason: str = ""


@dataclass(slots=True, eq=False)
class Memory:
    """What one session keeps between two calls.

    `trajectory` is the last plan's, `time` that of the last call; `calls` how many decisions were made;
    `state` is the policy's own, whatever it likes to put there.
    """

    seed: int = 0
    calls: int = 0
    time: float = -np.inf
    trajectory: Trajectory | None = None
    state: Any = None

    def ahead(self, observation: Observation, steps: int = 40, dt: float = 0.1) -> tuple[Floats, Any]:
        """The last plan from now on: poses `(steps, 3)` in the ego's frame, the first one `dt` after now, and
        `(steps,)` whether the plan reaches so far."""
        if self.trajectory is None:
            return np.zeros((steps, 3)), np.zeros(steps, dtype=np.bool_)
        at = observation.time + dt * np.arange(1, steps + 1)
        poses = to_frame(self.trajectory.at(at)[:, :3], observation.ego[:3])
        return poses, at <= self.trajectory.times[-1] + 1e-6

    def rng(self) -> np.random.Generator:
        """Random numbers of this call: of the session's seed and the call's number alone, so that a sample is
        the same whoever else is in the batch. A draw of normals goes to a tensor by `torch.from_numpy`."""
        return np.random.default_rng((self.seed, self.calls))


class Policy(Protocol):
    """A network with what turns its output into decisions. Holds no state of a session."""

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        """One decision for each of the B observations. Runs under `torch.inference_mode`; the batch's tensors
        are on the planner's device, and what a decision holds is in NumPy arrays."""
        ...
