"""How soon a planner brakes for somebody who cuts in, and how often it brakes for somebody who does not.

Each cut-in has a twin in which the other car stays in its lane. On the road of a generated scene the ego goes
straight on at a steady speed until the other begins to move sideways; from then on the planner drives. For
whoever goes on as before the other's box is over the lane's line at a time to collision of 1.5 to 2.5 s. The
reaction time is that from the beginning of the sideways motion to the first command of at least 1 m/s^2 of
braking: counted from the line it would be 0 for most, who have braked before.

A planner that brakes in the twin as well has not reacted to anybody. Reaction times are compared over the
pairs in which neither planner does.

    python -m drive.eval.training.reaction --planner hydra_next --planner "hydra_next branches=trajectory,"
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.datasets import source
from drive.errors import DriveError, InputError, ScenarioError
from drive.eval.training.judged import planner_of
from drive.roadmap.frenet import FrenetFrame
from drive.scenario import Tracks
from drive.sim.driven import Lead
from drive.sim.loop import simulate
from drive.vehicle import rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Planner
    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

DT = 0.1
LED = 2.0
"""Seconds for which the ego is led, the planner watching."""
AFTER = 5.0
"""Seconds that a planner has to react; who has not by then counts with them."""
FALSE_WITHIN = 3.0
BRAKES = 1.0
FIRST_SEED = 70_000
"""Seeds of the roads; no suite and no training set has them."""


@dataclass(frozen=True, slots=True, eq=False)
class CutIn:
    """A scene of the ego and one other; the ego is led through `lead`, at whose end the other begins to come.

    At `entry` s of the scene its box is over the line, `ttc` s before the ego would be at its back.
    """

    scenario: Scenario
    lead: Lead
    entry: float
    ttc: float


@dataclass(frozen=True, slots=True, eq=False)
class Reactions:
    """Seconds to the first braking `(N,)`, `AFTER` where there was none, and `(N,)` whether it braked within
    `FALSE_WITHIN` s although nobody cut in."""

    time: Floats
    false_brake: NDArray[np.bool_]

    @property
    def median(self) -> float:
        """Of the scenes in whose twin it does not brake; `nan` where there is none."""
        return float(np.median(self.time[~self.false_brake])) if not self.false_brake.all() else np.nan


class Difference(NamedTuple):
    """Seconds by which one planner reacts later than another in `scenes`, with 95 % intervals."""

    scenes: int
    mean: float
    mean_ci95: tuple[float, float]
    median: float
    median_ci95: tuple[float, float]

    def __str__(self) -> str:
        (low, high), (least, most) = self.mean_ci95, self.median_ci95
        return (
            f"{self.mean:+.2f} s [{low:+.2f}, {high:+.2f}], of the medians {self.median:+.2f} s "
            f"[{least:+.2f}, {most:+.2f}], in {self.scenes} scenes"
        )


def make_cut_in(seed: int, cuts: bool = True) -> CutIn:
    """One scene; with `cuts` False its twin. Raises ScenarioError where the road has no room for it."""
    road = source.load(f"gen/cut_in/{seed}")
    rng = np.random.default_rng(seed)
    frame = FrenetFrame.from_line(road.route.line)
    roadmap, vehicle, lane = road.roadmap, road.vehicle, road.route.lanes[0]
    begin = float(frame.to_frenet(road.initial[:2])[0]) + 5.0
    speed = float(rng.uniform(0.85, 0.97)) * roadmap.limit(lane, 15.0)
    slower = float(rng.uniform(0.15, 0.35)) * speed
    ttc, change = float(rng.uniform(1.5, 2.5)), float(rng.uniform(2.4, 3.6))
    width = 2.0 * float(np.median(roadmap.half_width[roadmap.rows(lane)]))
    side = width if "from_left" in road.tags else -width
    length, breadth, height = road.tracks.size[_cutter(road)]
    # Its box is over the line when it reaches half a lane's width: a share of the way across.
    crossed = 1.0 - 0.5 * (width + breadth) / width
    u = np.linspace(0.0, 1.0, 1001)
    shares = u**3 * (10.0 - 15.0 * u + 6.0 * u * u)
    entry = LED + change * float(np.interp(crossed, shares, u))
    count = round((LED + AFTER) / DT) + 1
    t = DT * np.arange(count)

    own = frame.pose_at(begin + speed * t)
    if begin + speed * t[-1] > frame.length:
        raise ScenarioError(f"the road of gen/cut_in/{seed} is too short")
    bend = frame.curvature_at(begin + speed * t)
    wheel = np.arctan(bend * vehicle.wheelbase)
    states = np.column_stack((own, np.full(count, speed), np.zeros(count), wheel, speed * bend))

    rear = 0.28 * length
    gap = ttc * slower
    ahead = vehicle.rear_axle_to_center + 0.5 * vehicle.length + gap + 0.5 * length
    station = begin + speed * entry + ahead + (speed - slower) * (t - entry)
    offset = np.full(count, side)
    if cuts:
        offset = side * (1.0 - np.interp((t - LED) / change, u, shares))
    other = frame.pose_at(station, offset)
    tracks = _tracks(road, (states, speed), (other, length, breadth, height, rear))
    duration = DT * (count - 1)
    scenario = replace(
        road, id=f"{road.id}/{'cut' if cuts else 'stay'}", duration=duration, tracks=tracks, ego=0,
        initial=states[0], expert=None, signals=road.signals[:, :count], family="cut_in_reaction",
    )  # fmt: skip
    return CutIn(scenario, Lead(states[: round(LED / DT) + 1], ask=True), entry, ttc)


def reaction(planner: Planner, scene: CutIn) -> float:
    """Seconds from the beginning of the sideways motion to the first command to brake, `inf` without one."""
    run = simulate(scene.scenario, planner, traffic="log", lead=scene.lead, keep_candidates=0, watchdog=None)
    if run.header["failure"] is not None:
        raise DriveError(f"{scene.scenario.id}: {run.header['failure']['reason']}")
    asked = run.ego_control[len(scene.lead.states) - 1 :, 0]
    braked = np.flatnonzero(asked <= -BRAKES)
    return float(DT * braked[0]) if len(braked) else np.inf


def reactions(planner: Planner, count: int, first: int = FIRST_SEED) -> Reactions:
    """Of `count` scenes and their twins; roads too short are passed over, for every planner alike."""
    if count < 1:
        raise InputError(f"reactions need at least one scene, got {count}")
    times: list[float] = []
    false: list[bool] = []
    seed = first
    while len(times) < count:
        try:
            pair = make_cut_in(seed), make_cut_in(seed, cuts=False)
        except ScenarioError:
            pair = None
        seed += 1
        if pair is None:
            if seed - first > 10 * count + 100:
                raise ScenarioError("too few roads have room for a cut-in")
            continue
        times.append(min(reaction(planner, pair[0]), AFTER))
        false.append(reaction(planner, pair[1]) <= FALSE_WITHIN)
    return Reactions(np.array(times), np.array(false))


def compare_reactions(one: Reactions, other: Reactions, resamples: int = 5000) -> Difference:
    """Of the reaction times of both, over the scenes in whose twins neither brakes, by a paired bootstrap.

    Raises InputError where there are fewer than two such scenes.
    """
    kept = ~(one.false_brake | other.false_brake)
    if kept.sum() < 2:
        raise InputError("there are no two scenes in which neither planner brakes without need")
    a, b = one.time[kept], other.time[kept]
    rows = np.random.default_rng(0).integers(len(a), size=(resamples, len(a)))
    means = np.percentile((a - b)[rows].mean(axis=1), [2.5, 97.5])
    medians = np.percentile(np.median(a[rows], axis=1) - np.median(b[rows], axis=1), [2.5, 97.5])
    return Difference(
        len(a),
        float((a - b).mean()),
        (float(means[0]), float(means[1])),
        float(np.median(a) - np.median(b)),
        (float(medians[0]), float(medians[1])),
    )


def _cutter(road: Scenario) -> int:
    """The car that cuts in; any other where a reader has renamed it."""
    names = [k for k, name in enumerate(road.tracks.ids) if name == "cutter"]
    return names[0] if names else int(road.ego == 0)


def _tracks(
    road: Scenario, ego: tuple[Floats, float], other: tuple[Floats, float, float, float, float]
) -> Tracks:
    states, _ = ego
    poses, length, breadth, height, rear = other
    v = road.vehicle
    mine = np.column_stack((rear_to_center(states, v.rear_axle_to_center), states[:, 2]))
    rows = []
    for track in (mine, poses):
        velocity = np.gradient(track[:, :2], DT, axis=0)
        heading = np.arctan2(velocity[:, 1], velocity[:, 0]) if track is poses else track[:, 2]
        rows.append(np.column_stack((track[:, :2], heading, velocity)))
    return Tracks(
        np.stack(rows),
        np.ones((2, len(states)), dtype=np.bool_),
        np.array([[v.length, v.width, v.height], [length, breadth, height]]),
        np.zeros(2, dtype=np.uint8),
        np.array([v.rear_axle_to_center, rear]),
        ("ego", "cutter"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of planners, and what the others differ from the first by."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.reaction", description=__doc__)
    parser.add_argument("--planner", action="append", required=True, metavar='"P K=V ..."')
    parser.add_argument("--count", type=int, default=100)
    given = parser.parse_args(arguments)
    found: list[tuple[str, Reactions]] = []
    for label, planner in map(planner_of, given.planner):
        r = reactions(planner, given.count)
        print(f"{label}: median {r.median:.2f} s, false brakes {100.0 * r.false_brake.mean():.1f} %")
        found.append((label, r))
    for label, r in found[1:]:
        print(f"{found[0][0]} - {label}: {compare_reactions(found[0][1], r)}")


if __name__ == "__main__":
    main()
