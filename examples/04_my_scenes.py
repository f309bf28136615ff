"""Scenes of one's own: a street with somebody who steps out, and a data source that gives them names.

python examples/04_my_scenes.py
A package registers the source: [project.entry-points."drive.datasets"] street = "my_scenes:SOURCE"
Then its names work like all others: drive run street/9 --planner idm
"""

import numpy as np

import drive
from drive.roadmap import LaneSpec, RoadMapBuilder, route_line
from drive.scenario import Goal, Route, Scenario, tracks_from_rows
from drive.vehicle import AgentKind, VehicleParams


def street(speed):
    """A straight lane of 300 m; a walker crosses 60 m ahead of an ego that comes with `speed` m/s."""
    x = np.linspace(0.0, 300.0, 61)
    builder = RoadMapBuilder()
    left, right = np.stack((x, 0 * x + 2.0), 1), np.stack((x, 0 * x - 2.0), 1)
    builder.add(LaneSpec("lane", left, right, speed_limit=14.0))
    roadmap, vehicle = builder.build(), VehicleParams()
    t = 0.1 * np.arange(101)
    # Road users are boxes: x, y of the centre, heading, velocity along x and y; all valid at all times.
    rear = 20.0 + speed * t
    ego = np.stack((rear + vehicle.rear_axle_to_center, 0 * t, 0 * t, 0 * t + speed, 0 * t), 1)
    walker = np.stack((0 * t + 80.0, -6.0 + 1.2 * t, 0 * t + np.pi / 2, 0 * t, 0 * t + 1.2), 1)
    there = np.ones(len(t), dtype=bool)
    size = (vehicle.length, vehicle.width, vehicle.height)
    person = ("walker", AgentKind.PEDESTRIAN, (0.6, 0.6, 1.8), walker, there)
    tracks = tracks_from_rows([("ego", AgentKind.VEHICLE, size, ego, there), person])
    return Scenario(
        id=f"street/{speed:g}",
        dt=0.1,
        duration=10.0,
        environment=roadmap,
        tracks=tracks,
        ego=0,  # the row of the ego among the tracks
        initial=np.array([20.0, 0.0, 0.0, speed, 0.0, 0.0, 0.0]),
        vehicle=vehicle,
        route=Route(lanes=(0,), line=route_line(roadmap, (0,)), goal=Goal(position=np.array([250.0, 0.0]))),
        expert=None,  # nobody drove this: progress is measured against an IDM drive
        signals=np.zeros((0, 101), dtype=np.uint8),
        family="street",
    )


class Streets:
    """A data source: which names are its own, what they expand to, and how one is loaded."""

    name = "street"

    def matches(self, ref):
        return ref.startswith("street/")

    def ids(self, ref, ego="planned"):
        return [f"street/{speed}" for speed in (6, 9, 12)] if ref == "street/*" else [ref]

    def load(self, ref):
        return street(float(ref.removeprefix("street/")))


SOURCE = Streets()

if __name__ == "__main__":
    scenes = [SOURCE.load(ref) for ref in SOURCE.ids("street/*")]
    results = drive.bench(["constant", "idm", "pdm"], scenarios=scenes, out="out/street", force=True)
    for name in results.planners:
        print(name, {scene: round(score, 3) for scene, score in results.values(name).items()})
    print(f"report: {results.path / 'report.html'}")
