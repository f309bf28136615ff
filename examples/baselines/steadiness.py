"""Collisions, speed, jerk and how far each plan lies from the one before, of a benchmark's runs.

python examples/baselines/steadiness.py out/dense
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import drive

SPAN = 1.0
"""s from now on in which two plans are compared."""


def change(run):
    """The mean over the calls of the distance between a plan and the one before it, over `SPAN` s of both."""
    gaps = []
    for k in range(1, len(run.plan_step)):
        times, states = (
            [values[run.plan_start[i] : run.plan_start[i + 1]] for i in (k - 1, k)]
            for values in (run.plan_times, run.plan_states)
        )
        t = times[1][0] + np.linspace(0.0, SPAN, 11)
        if t[-1] > min(times[0][-1], times[1][-1]) + 1e-9:
            continue
        at = [[np.interp(t, times[i], states[i][:, axis]) for axis in (0, 1)] for i in (0, 1)]
        gaps.append(np.hypot(*np.subtract(*at)).mean())
    return np.mean(gaps)


def figures(run):
    """Of one run: whether the ego collided, mean speed, mean absolute jerk, change from plan to plan."""
    hit = any(event["kind"] == "collision" for event in run.header["events"])
    jerk = np.diff(run.ego[:, 4]) / np.diff(run.times)
    return hit, run.ego[:, 3].mean(), np.abs(jerk).mean(), change(run)


def main(folder):
    found = defaultdict(list)
    for path in sorted(Path(folder, "runs").rglob("*.drive.npz")):
        found[path.parent.name].append(figures(drive.RunLog.load(path)))
    print("planner       runs  with collisions  mean speed  mean |jerk|  change")
    for name, rows in found.items():
        hits, speed, jerk, moved = np.array(rows, dtype=float).T
        print(
            f"{name:12s} {len(rows):5d} {hits.sum():16.0f} {speed.mean():7.2f} m/s {jerk.mean():7.3f} m/s3"
            f" {moved.mean():7.4f} m"
        )


if __name__ == "__main__":
    main(sys.argv[1])
