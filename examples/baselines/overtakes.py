"""Collisions, speeds, sideways acceleration and overtakes of a benchmark on the suite curved_overtake.

python examples/baselines/overtakes.py out/curved
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import drive
from drive.roadmap import FrenetFrame


def figures(run):
    """Of one run: collisions, mean speed, RMS of the lateral acceleration, whether it passed the leader."""
    slow = run.agent_ids.index("slow")
    road = FrenetFrame.from_line(run.route_line)
    ego, other = road.to_frenet(run.ego[-1, :2])[0], road.to_frenet(run.agents[slow, -1, :2])[0]
    hits = sum(event["kind"] == "collision" for event in run.header["events"])
    aside = run.ego[:, 3] * run.ego[:, 6]
    past = ego - other > 0.5 * (run.agent_size[slow, 0] + run.vehicle.length)
    return hits, run.ego[:, 3].mean(), np.sqrt((aside**2).mean()), past


def main(folder):
    found = defaultdict(list)
    for path in sorted(Path(folder, "runs").rglob("*.drive.npz")):
        found[path.parent.name].append(figures(drive.RunLog.load(path)))
    print("planner     runs  collisions  mean speed  lateral RMS  overtakes")
    for name, rows in found.items():
        hits, speed, aside, past = np.array(rows, dtype=float).T
        print(
            f"{name:10s} {len(rows):5d} {hits.sum():11.0f} {speed.mean():8.2f} m/s {aside.mean():7.3f} m/s2"
            f" {past.sum():10.0f}"
        )


if __name__ == "__main__":
    main(sys.argv[1])
