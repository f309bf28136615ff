"""Whether `stl_diffusion` drives as its parameters say, in closed loop: the same scenes with one changed.

    python -m drive.eval.training.obeying [--first-seed 1100] [--scenes 2] [--weights FILE]

What is measured is the drive, by the signals of the rules of the road (`drive.eval.metrics.rules`), from
`SETTLED` s on, where it began within the bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from drive import registry
from drive.datasets import source
from drive.errors import DriveError, InputError, ScenarioError
from drive.eval.bench.statistics import Estimate, estimate
from drive.eval.metrics.rules.signals import SIGNALS
from drive.eval.metrics.rules.way import Drive
from drive.geometry import project_to_polyline
from drive.nn.store import DataRequest
from drive.sim.asking import lockstep
from drive.sim.loop import driving

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

SETTLED = 5.0
"""s; by then the bound of speed, which moves at a fixed rate from where the ego was, is the one ordered."""
SLOW, ROOM = 6.0, 1.5
"""m/s and m that are ordered."""
CHANGES: Mapping[str, Mapping[str, str]] = {
    "as it is": {"dsafe": "0.1"},
    f"vmax={SLOW:g}": {"dsafe": "0.1", "vmax": str(SLOW)},
    f"dsafe={ROOM:g}": {"dsafe": str(ROOM)},
    "dmin=0.3": {"dsafe": "0.1", "dmin": "0.3"},
}
"""What is changed, from the first."""
BATCH = 16


def driven(planner: Planner, scenes: Sequence[Scenario]) -> list[RunLog]:
    """The drives of scenes, some at a time. Raises DriveError where the planner fails."""
    out = []
    for begin in range(0, len(scenes), BATCH):
        some = scenes[begin : begin + BATCH]
        drives = [driving(one, planner, traffic="idm", keep_candidates=0, watchdog=None) for one in some]
        for scenario, run in zip(some, lockstep(drives), strict=True):
            if isinstance(run, Exception):
                raise DriveError(f"{scenario.id}: {run}")
            if run.header["failure"] is not None:
                raise DriveError(f"{scenario.id}: {run.header['failure']['reason']}")
            out.append(run)
    return out


def figures(run: RunLog) -> dict[str, float]:
    """Of a drive, from SETTLED s on: the mean and the greatest speed, the time above SLOW + 0.1 m/s, the mean
    and the least room to the nearest while it moves and somebody is within 15 m, m from the way's line to the
    left on average."""
    drive = Drive(run)
    late = run.times >= SETTLED
    speed, room = (np.asarray(SIGNALS[name][0](drive)) for name in ("speed", "clearance"))
    near = late & (room < 15.0) & (speed > 1.0)
    return {
        "speed": float(speed[late].mean()),
        "fastest": float(speed[late].max()),
        "over": float((speed[late] > SLOW + 0.1).mean()),
        "room": float(room[near].mean()) if near.any() else np.nan,
        "least": float(room[near].min()) if near.any() else np.nan,
        "left": float(np.mean(_offset(run)[late])),
    }


def _offset(run: RunLog) -> Floats:
    """m to the left of the route's line."""
    if len(run.route_line) < 2:
        return np.full(len(run.times), np.nan)
    _, offset, _ = project_to_polyline(run.ego[:, :2], run.route_line)
    return np.asarray(offset)


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Lines of a Markdown table: the mean of each figure, and by how much it changed, paired by scene."""
    first = next(iter(found))
    names = list(found[first][0])
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for label, rows in found.items():
        values = {name: np.array([row[name] for row in rows]) for name in names}
        cells = [f"{np.nanmean(values[name]):.2f}" for name in names]
        lines.append(f"| {label} | {' | '.join(cells)} |")
        if label != first:
            cells = []
            for name in names:
                change = values[name] - np.array([row[name] for row in found[first]])
                cells.append(_told(estimate(change[np.isfinite(change)].tolist())))
            lines.append(f"| change | {' | '.join(cells)} |")
    return lines


def _told(found: Estimate) -> str:
    if found.mean is None or found.ci95 is None:
        return "-"
    return f"{found.mean:+.2f} [{found.ci95[0]:+.2f}, {found.ci95[1]:+.2f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: drive the scenes with each change, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.obeying", description=__doc__)
    parser.add_argument("--first-seed", type=int, default=1100)
    parser.add_argument("--scenes", type=int, default=2, help="seeds of each family of the generator")
    parser.add_argument("--weights", default="")
    given = parser.parse_args(arguments)
    try:
        if given.scenes < 1:
            raise InputError("--scenes is 1 or more")
        scenes = []
        for family in DataRequest().families:
            for seed in range(given.first_seed, given.first_seed + given.scenes):
                try:
                    scenes.append(source.load(f"gen/{family}/{seed}"))
                except ScenarioError as error:
                    print(error)
        found = {}
        for label, changed in CHANGES.items():
            settings = {**changed, **({"weights": given.weights} if given.weights else {})}
            runs = driven(registry.load_planner("stl_diffusion", settings), scenes)
            found[label] = [figures(run) for run in runs]
        print("\n".join(table(found)))
        print(f"{len(scenes)} scenes")
    except (DriveError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
