"""What a planner's plans are worth at single moments of held-out scenes, by the teacher's true scores.

    python -m drive.eval.training.judged --planner "gtrs" --planner "gtrs candidates=0 proposals=32 topk=32"

A planner is its name and its settings. Each plan is driven by the tracker for four seconds among the others
as they were, and scored; where it breaks the vehicle's limits is told by `drive.validate`. Of planners that
show their candidates, the best and the mean of those are told as well. A moment is no drive: nothing here
says what comes of an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive import registry
from drive.errors import DriveError, InputError
from drive.eval.bench.statistics import estimate
from drive.eval.training.oracle import Asked, moments_of
from drive.eval.training.scenes import VALIDATION
from drive.geometry import to_frame
from drive.nn.store import DataRequest
from drive.sim.teacher import TEACHER_NAMES
from drive.validate import validate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation, Plan, Planner

    Floats = NDArray[np.float64]

STEPS, DT = 40, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """By moment `(N,)`: the plan's labels `(N, 9)`; whether its motion breaks the vehicle's limits; the mean
    and the best score of the candidates that are shown, NaN where there are none."""

    labels: Floats
    breaks: NDArray[np.bool_]
    mean: Floats
    best: Floats

    @property
    def score(self) -> Floats:
        """The true scores `(N,)`."""
        return self.labels[:, -1]


def planner_of(words: str) -> tuple[str, Planner]:
    """A planner from its name and settings, as "gtrs candidates=0 proposals=32". Raises InputError."""
    name, *settings = words.split()
    pairs = [pair.partition("=") for pair in settings]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise InputError(f"a planner's settings are K=V behind its name, not '{key}'")
    return words, registry.load_planner(name, {key: value for key, _, value in pairs})


def judged(planner: Planner, asked: Asked) -> Judged:
    """Ask a planner at each of the moments, every time in a session of its own."""
    rows = []
    for shown, o, task in zip(asked.shown, asked.observations, asked.tasks, strict=True):
        plan = planner.start(task).plan(o)
        poses = [_own(plan.trajectory.at(o.time + DT * np.arange(1, STEPS + 1)), o)[None]]
        if plan.candidates is not None:
            poses.append(_candidates(plan, o))
        labels = shown.lesson.label(np.concatenate(poses), shown.reference).values
        broken = bool(np.isfinite(validate(plan, o, task).kinematic_time))
        others = labels[1:, -1] if len(labels) > 1 else np.array([np.nan])
        rows.append((*labels[0], broken, others.mean(), others.max()))
    table = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    return Judged(table[:, :-3], table[:, -3] > 0.5, table[:, -2], table[:, -1])


def _own(states: Floats, observation: Observation) -> Floats:
    return to_frame(states[..., :3], observation.ego[:3])


def _candidates(plan: Plan, o: Observation) -> Floats:
    """The candidates `(K, 40, 3)` in the ego's frame."""
    shown = plan.candidates
    assert shown is not None
    at = shown.times - o.time
    rows = [int(np.argmin(np.abs(at - DT * k))) for k in range(1, STEPS + 1)]
    if abs(at[rows] - DT * np.arange(1, STEPS + 1)).max() > 0.01:
        raise InputError("candidates must be told every 0.1 s up to 4 s")
    return _own(shown.states[:, rows], o)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.judged", description=__doc__)
    parser.add_argument("--planner", action="append", required=True, metavar='"P K=V ..."')
    parser.add_argument("--count", type=int, default=400, help="moments")
    parser.add_argument("--scenes", type=int, default=25, help="scenes of each family")
    given = parser.parse_args(arguments)
    try:
        request = DataRequest(first_seed=VALIDATION, scenes=given.scenes)
        asked = moments_of(request, given.count)
        found = [(name, judged(planner, asked)) for name, planner in map(planner_of, given.planner)]
    except DriveError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{len(asked)} moments")
    for name, j in found:
        line = f"{name}: true score {_interval(j.score)}, breaks limits {100.0 * j.breaks.mean():.1f} %"
        if np.isfinite(j.mean).all():
            line += f", of its candidates the mean {j.mean.mean():.3f}, the best {j.best.mean():.3f}"
        print(line)
        means = zip(TEACHER_NAMES[:-1], j.labels.mean(0), strict=False)
        print("   ", ", ".join(f"{name} {mean:.3f}" for name, mean in means))
    for name, j in found[1:]:
        print(f"{found[0][0]} - {name}: {_interval(found[0][1].score - j.score)}")
    return 0


def _interval(values: Floats) -> str:
    found = estimate(values)
    if found.mean is None or found.ci95 is None:
        return "-"
    return f"{found.mean:+.3f} [{found.ci95[0]:+.3f}, {found.ci95[1]:+.3f}]"


if __name__ == "__main__":
    raise SystemExit(main())
