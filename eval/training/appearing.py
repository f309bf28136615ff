"""Whether a planner avoids a box that appears in its lane, and how soon it brakes for it.

On the road of a generated scene the ego is led straight on for two seconds, the planner watching; then a box
stands in its lane, 2.5 to 3 s ahead of it, and the planner drives.

    python -m drive.eval.training.appearing --planner stl_diffusion --planner "stl_diffusion rti_steps=0"
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets import source
from drive.errors import DriveError, InputError, ScenarioError
from drive.eval.training.judged import planner_of
from drive.roadmap.frenet import FrenetFrame
from drive.scenario import Tracks
from drive.sim.asking import lockstep
from drive.sim.driven import Lead
from drive.sim.loop import driving
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Planner
    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

DT = 0.1
LED, AFTER = 2.0, 6.0
"""s; how long the ego is led, and what the planner has."""
TTC = (2.5, 3.0)
FASTEST = 18.0
"""m/s; who is faster cannot stop in that time at 3.6 m/s^2."""
BOX = (4.0, 1.9, 1.5)
BRAKES = 1.0
FIRST_SEED = 80_000
"""Seeds of the roads; no suite and no training set has them."""


@dataclass(frozen=True, slots=True, eq=False)
class Avoided:
    """By scene: whether the box was touched, how fast then, and the time to the first braking of 1 m/s^2
    (`AFTER` where there was none)."""

    touched: NDArray[np.bool_]
    speed: Floats
    reaction: Floats


def make_appearing(seed: int) -> tuple[Scenario, Lead]:
    """One scene. Raises ScenarioError where the road is too short."""
    road = source.load(f"gen/cut_in/{seed}")
    rng = np.random.default_rng(seed)
    frame = FrenetFrame.from_line(road.route.line)
    vehicle, lane = road.vehicle, road.route.lanes[0]
    begin = float(frame.to_frenet(road.initial[:2])[0]) + 5.0
    speed = min(float(rng.uniform(0.8, 0.97)) * road.roadmap.limit(lane, 15.0), FASTEST)
    count = round((LED + AFTER) / DT) + 1
    t = DT * np.arange(count)
    station = begin + speed * t
    if station[-1] > frame.length:
        raise ScenarioError(f"the road of gen/cut_in/{seed} is too short")
    bend = frame.curvature_at(station)
    wheel = np.arctan(bend * vehicle.wheelbase)
    states = np.column_stack(
        (frame.pose_at(station), np.full(count, speed), np.zeros(count), wheel, speed * bend)
    )
    front = vehicle.rear_axle_to_center + 0.5 * vehicle.length
    place = begin + speed * (LED + float(rng.uniform(*TTC))) + front + 0.5 * BOX[0]
    box = frame.pose_at(np.array([place]), np.array([float(rng.uniform(-0.5, 0.5))]))[0]
    here = round(LED / DT)
    rows = np.zeros((2, count, 5))
    rows[0, :, :3] = np.column_stack((rear_to_center(states, vehicle.rear_axle_to_center), states[:, 2]))
    rows[0, :, 3:] = np.gradient(rows[0, :, :2], DT, axis=0)
    rows[1, here:, :3] = box
    valid = np.ones((2, count), dtype=np.bool_)
    valid[1, :here] = False
    tracks = Tracks(
        rows, valid, np.array([[vehicle.length, vehicle.width, vehicle.height], BOX]),
        np.array([AgentKind.VEHICLE, AgentKind.STATIC], dtype=np.uint8),
        np.array([vehicle.rear_axle_to_center, 0.0]), ("ego", "box"),
    )  # fmt: skip
    scenario = replace(
        road, id=f"{road.id}/box", duration=DT * (count - 1), tracks=tracks, ego=0, initial=states[0],
        expert=None, signals=road.signals[:, :count], family="appearing",
    )  # fmt: skip
    return scenario, Lead(states[: here + 1], ask=True)


def scenes(count: int, first: int = FIRST_SEED) -> list[tuple[Scenario, Lead]]:
    """`count` scenes; roads too short are passed over."""
    if count < 1:
        raise InputError(f"it takes at least one scene, not {count}")
    found: list[tuple[Scenario, Lead]] = []
    for seed in range(first, first + 10 * count + 100):
        if len(found) == count:
            return found
        try:
            found.append(make_appearing(seed))
        except ScenarioError:
            continue
    raise ScenarioError("too few roads have room for a box")


def avoided(planner: Planner, some: Sequence[tuple[Scenario, Lead]]) -> Avoided:
    """What a planner does in scenes, all at once. Raises DriveError where it fails."""
    touched, speeds, times = [], [], []
    drives = [
        driving(scenario, planner, traffic="log", lead=lead, keep_candidates=0, watchdog=None)
        for scenario, lead in some
    ]
    for (scenario, lead), run in zip(some, lockstep(drives), strict=True):
        if isinstance(run, Exception):
            raise DriveError(f"{scenario.id}: {run}")
        if run.header["failure"] is not None:
            raise DriveError(f"{scenario.id}: {run.header['failure']['reason']}")
        after = len(lead.states) - 1
        hits = [event for event in run.header["events"] if event["kind"] == "collision"]
        at = min((round(event["time"] / DT) for event in hits), default=-1)
        touched.append(bool(hits))
        speeds.append(float(run.ego[at, 3]) if hits else 0.0)
        braked = np.flatnonzero(run.ego_control[after:, 0] <= -BRAKES)
        times.append(float(DT * braked[0]) if len(braked) else AFTER)
    return Avoided(np.array(touched), np.array(speeds), np.array(times))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how often planners touch the box."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.appearing", description=__doc__)
    parser.add_argument("--planner", action="append", required=True, metavar='"P K=V ..."')
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args(arguments)
    try:
        some = scenes(given.count)
        for label, planner in map(planner_of, given.planner):
            a = avoided(planner, some)
            hit = f", at {a.speed[a.touched].mean():.1f} m/s" if a.touched.any() else ""
            print(
                f"{label}: touched in {int(a.touched.sum())} of {len(some)}{hit}; brakes after "
                f"{np.median(a.reaction):.1f} s",
                flush=True,
            )
    except DriveError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
