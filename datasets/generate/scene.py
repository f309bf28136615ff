"""From a drive to a scenario: first its log, and of a log that is fit the map, the route and the signals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.roads import rounded
from drive.errors import ScenarioError
from drive.roadmap import extend_route, find_route, route_groups, route_line
from drive.scenario import Expert, Goal, Provenance, Route, Scenario, Tracks
from drive.vehicle import HEADING, SPEED, YAW_RATE, VehicleParams, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drive.datasets.generate.traffic import Drive
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

DT = 0.1
DURATION = 15.0
HORIZON = 8.0
SAMPLES = 151
REST = 200.0
"""Road beyond the place that the ego reaches at the limit in the duration and the horizon, m."""


@dataclass(frozen=True)
class Draw:
    """What a family hands over: the map, the drive, who is the ego, where its route leads, what it is about.

    `build_map` makes the map, which costs more than the drive and is needed only where that is fit.
    `visible[frame]` are the stations between which a frame lies on the map; `signals` are the states
    `(SAMPLES,)` by the map's ids. Without a `goal`, the goal is the end of the route.
    """

    build_map: Callable[[], RoadMap]
    drive: Drive
    ego: int
    start_lane: str
    goal_lane: str
    visible: Mapping[int, tuple[float, float]]
    tags: tuple[str, ...]
    commands: tuple[tuple[tuple[float, float], str], ...] = ()
    signals: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    goal: tuple[float, float] | None = None


@dataclass(frozen=True)
class Log:
    """The ego's states `(T, 7)` at the rear axle, and everybody's tracks, of which the ego's is the first."""

    expert: Floats
    tracks: Tracks


def reach(limit: float) -> float:
    """Metres of road that a route needs ahead of the ego's start."""
    return (DURATION + HORIZON) * limit + REST


def to_log(draw: Draw) -> Log:
    """The log of a draw; road users that are never on its map are left out."""
    drive = draw.drive
    order = [draw.ego, *(i for i in range(len(drive.traffic.actors)) if i != draw.ego)]
    rows, ids, valid, kept = [], [], [], []
    expert = drive.rear_states(draw.ego)
    for i in order:
        actor = drive.traffic.actors[i]
        states = expert if i == draw.ego else drive.rear_states(i)
        low, high = draw.visible[drive.frame(i)]
        half = 0.5 * actor.body.length
        middle = drive.log[i, :, 0] + actor.body.rear
        here = (middle > low + half) & (middle < high - half)
        if not here.any():
            continue
        rows.append(np.where(here[:, None], _track(states, actor.body.rear), 0.0))
        valid.append(here)
        ids.append("ego" if i == draw.ego else actor.name)
        kept.append(actor)
    tracks = Tracks(
        np.stack(rows),
        np.stack(valid),
        np.asarray([(a.body.length, a.body.width, a.body.height) for a in kept]),
        np.asarray([int(a.body.kind) for a in kept], dtype=np.uint8),
        np.asarray([a.body.rear for a in kept], dtype=np.float64),
        tuple(ids),
    )
    return Log(expert, tracks)


def to_scenario(
    draw: Draw, log: Log, name: str, family: str, version: str, seed: int, difficulty: float
) -> Scenario:
    """The scenario of a draw and its log."""
    roadmap = draw.build_map()
    signals = np.zeros((len(roadmap.signal_ids), len(log.expert)), dtype=np.uint8)
    for row, signal in enumerate(roadmap.signal_ids):
        signals[row] = draw.signals[signal]
    return Scenario(
        id=name,
        dt=DT,
        duration=(len(log.expert) - 1) / round(1.0 / DT),
        environment=roadmap,
        tracks=log.tracks,
        ego=0,
        initial=log.expert[0].copy(),
        vehicle=VehicleParams(),
        route=_route(draw, roadmap),
        expert=Expert(log.expert, "generated"),
        signals=signals,
        family=family,
        tags=(*draw.tags, "easy" if difficulty < 1 / 3 else "medium" if difficulty < 2 / 3 else "hard"),
        provenance=Provenance(
            source="drive-toolkit generator",
            format="gen",
            licence="Apache-2.0",
            generator=version,
            seed=seed,
            notes=(f"difficulty {difficulty:g}",),
        ),
    )


def _track(states: Floats, rear: float) -> Floats:
    """Track rows `(T, 5)` at the box centre from rear-axle states."""
    center = rear_to_center(states, rear)
    h, v, turn = states[:, HEADING], states[:, SPEED], rear * states[:, YAW_RATE]
    vx, vy = v * np.cos(h) - turn * np.sin(h), v * np.sin(h) + turn * np.cos(h)
    return rounded(np.concatenate((center, h[:, None], vx[:, None], vy[:, None]), axis=1), 4)


def _route(draw: Draw, m: RoadMap) -> Route:
    lanes = find_route(m, m.lane_index(draw.start_lane), [m.lane_index(draw.goal_lane)])
    if lanes is None:
        raise ScenarioError(f"no route leads from lane '{draw.start_lane}' to lane '{draw.goal_lane}'")
    lanes = extend_route(m, lanes, 1e4)
    line = rounded(route_line(m, lanes), 4)
    seg = np.hypot(*np.diff(line, axis=0).T)
    station = np.concatenate(([0.0], np.cumsum(seg)))
    commands = []
    for place, word in draw.commands:
        near = int(np.argmin(np.hypot(line[:, 0] - place[0], line[:, 1] - place[1])))
        commands.append((float(np.round(station[near], 2)), word))
    goal = Goal(position=line[-1].copy(), lanes=(int(lanes[-1]),))
    if draw.goal is not None:
        goal = Goal(position=rounded(draw.goal, 4))
    return Route(lanes, route_groups(m, lanes), line, goal, tuple(commands) or ((0.0, "follow"),))
