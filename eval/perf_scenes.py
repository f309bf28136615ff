"""What `drive perf` times: a busy road, observations on it, candidates and maps of any size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.geometry import arc_length, polyline_heading, unwrap_angle
from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder
from drive.scenario import Expert, Goal, Route, Scenario, tracks_from_rows
from drive.sim.candidates import ScoreScene, rollout
from drive.sim.kernels.score_contacts import FORECAST_EXTRA
from drive.vehicle import SPEED, AgentKind, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation, Plan, Planner, Session
    from drive.scenario import Task
    from drive.sim.world import World

AGENTS, STEPS, DT = 32, 150, 0.1
CROWD = 32
"""Agents of a world of a batch, the ego among them."""
CANDIDATE_STEPS = 40
_LANES, _WIDTH, _SPACING = 3, 3.5, 22.0


class CandidateBatch(NamedTuple):
    """Candidates of one ego: `poses (N, T, 3)`, `controls (N, T - 1, 2)`, their `start (7,)`, the rolled-out
    `states (N, T, 7)` and what they are scored against."""

    vehicle: VehicleParams
    start: NDArray[np.float32]
    poses: NDArray[np.float32]
    controls: NDArray[np.float32]
    states: NDArray[np.float32]
    scene: ScoreScene


@lru_cache(maxsize=4)
def candidate_batch(count: int, agents: int = 30, segments: int = 0) -> CandidateBatch:
    """`count` candidates of 40 steps, of all speeds and mild curvatures, on the busy road.

    Among `agents` others, the nearest of the road's and, beyond those, cars on lanes beside it; with
    `segments`, the map has about so many lane segments instead of its own 1800.
    """
    scenario = busy_road(0)
    roadmap = winding_roads(segments) if segments else scenario.roadmap
    generator = np.random.default_rng(0)
    ego = scenario.initial[:7]
    t = DT * np.arange(CANDIDATE_STEPS + 1)
    speed = generator.uniform(2.0, 14.0, (count, 1)) + generator.uniform(-3.0, 1.5, (count, 1)) * t
    speed = np.clip(speed, 0.0, None)
    bend = generator.uniform(-0.02, 0.02, (count, 1)) * np.sin(t * generator.uniform(0.5, 2.0, (count, 1)))
    heading = ego[2] + np.cumsum(speed * bend, axis=1) * DT
    x, y = (np.cumsum(speed * f(heading), axis=1) * DT for f in (np.cos, np.sin))
    poses = np.stack((x, y, heading), axis=-1).astype(np.float32)
    controls = generator.normal(0.0, (1.0, 0.05), (count, CANDIDATE_STEPS, 2)).astype(np.float32)
    start = ego.astype(np.float32)
    start[:2] = 0.0
    tracks = scenario.tracks
    samples = CANDIDATE_STEPS + 1 + FORECAST_EXTRA
    others = np.delete(np.arange(tracks.num_agents), scenario.ego)
    gap = np.hypot(*(tracks.states[others, 0, :2] - ego[:2]).T)
    rows = others[np.argsort(gap, kind="stable")][np.arange(agents) % len(others)]
    states = tracks.states[rows][:, :samples].copy()
    # Those beyond the road's own drive in the same traffic on lanes farther out.
    states[..., 1] += 12.0 * (np.arange(agents) // len(others))[:, None]
    around = (states, np.ones(states.shape[:2], dtype=np.bool_), tracks.size[rows], tracks.kind[rows])
    scene = ScoreScene.of(roadmap, (1,), scenario.route.line, scenario.vehicle, around, ego[:2])
    driven = rollout(scenario.vehicle, start, poses)
    return CandidateBatch(scenario.vehicle, start, poses, controls, driven, scene)


def batch_world(worlds: int, controller: str = "IDM", agents: int = CROWD) -> World:
    """Busy roads side by side, all `agents` of each under one controller of `Controller`."""
    from drive.sim.kernels.layout import Controller
    from drive.sim.traffic.compile import cast
    from drive.sim.traffic.model import load_traffic
    from drive.sim.world import compile_world

    idm, every = load_traffic("idm"), Controller[controller]
    roads = busy_roads(worlds, agents)
    casts = [
        cast(s, idm, dict.fromkeys(range(s.tracks.num_agents) if controller != "IDM" else (s.ego,), every))
        for s in roads
    ]
    return compile_world([casts[k % len(casts)] for k in range(worlds)], DT)


def busy_roads(worlds: int, agents: int = CROWD) -> list[Scenario]:
    """The scenes of a batch, no more than 16 different ones."""
    return [busy_road(seed, agents - 1) for seed in range(min(worlds, 16))]


class Recorder:
    """A planner that keeps the task and the observations that another one is given."""

    def __init__(self, planner: Planner) -> None:
        self.planner, self.spec = planner, planner.spec
        self.task: Task | None = None
        self.observations: list[Observation] = []

    def start(self, task: Task) -> Session:
        self.task, self.session = task, self.planner.start(task)
        self.observations.clear()
        return self

    def plan(self, observation: Observation) -> Plan:
        self.observations.append(observation)
        return self.session.plan(observation)


def busy_road(seed: int, others: int = AGENTS) -> Scenario:
    """A gently winding road of three lanes, the ego amidst `others` cars (150 at most); for timing only."""
    generator = np.random.default_rng(seed)
    roadmap = winding_roads()
    vehicle = VehicleParams()
    times = DT * np.arange(STEPS + 1)
    rows = []
    for k in range(others + 1):
        lane, column = (k % _LANES, k // _LANES) if k else (1, 5)
        if k and (lane, column) == (1, 5):
            lane, column = 0, others // _LANES + 1
        start = 60.0 + _SPACING * column + generator.uniform(-4.0, 4.0)
        speed = 10.0 if k == 0 else generator.uniform(7.0, 11.0)
        line = roadmap.centerline(lane)
        station = start + speed * times
        s = arc_length(line)
        heading = np.interp(station, s, unwrap_angle(polyline_heading(line)))
        x, y = (np.interp(station, s, line[:, i]) for i in range(2))
        states = np.stack((x, y, heading, speed * np.cos(heading), speed * np.sin(heading)), axis=1)
        rows.append(
            (f"car{k}", AgentKind.VEHICLE, (4.8, 1.9, 1.6), states, np.ones(STEPS + 1, dtype=np.bool_))
        )
    tracks = tracks_from_rows(rows)
    expert = np.zeros((STEPS + 1, 7))
    expert[:, :3], expert[:, SPEED] = tracks.rear_axle_poses(0), 10.0
    line = roadmap.centerline(1)[:, :2]
    return Scenario(
        id=f"perf/busy_road/{seed}" + ("" if others == AGENTS else f"/{others}"),
        dt=DT,
        duration=STEPS * DT,
        environment=roadmap,
        tracks=tracks,
        ego=0,
        initial=expert[0],
        vehicle=vehicle,
        route=Route((1,), (), line, Goal(position=line[-1])),
        expert=Expert(expert, "generated"),
        signals=np.zeros((0, STEPS + 1), dtype=np.uint8),
        family="perf",
    )


@lru_cache(maxsize=2)
def winding_roads(segments: int = 1800) -> RoadMap:
    """Roads of three lanes, 1.2 km long and 40 m apart, with about so many lane segments in all.

    Maps below 1800 segments have one road, sampled more coarsely.
    """
    pieces = min(600, max(segments // _LANES, 1))
    builder = RoadMapBuilder()
    for road in range(max(segments // (_LANES * pieces), 1)):
        _add_road(builder, pieces, -40.0 * road, "" if road == 0 else f"{road}/")
    return builder.build()


def _add_road(builder: RoadMapBuilder, pieces: int, y: float, prefix: str) -> None:
    x = np.linspace(0.0, 1200.0, pieces + 1)
    middle = np.stack((x, y + 12.0 * np.sin(x / 120.0)), axis=1)
    tangent = np.gradient(middle, axis=0)
    normal = np.stack((-tangent[:, 1], tangent[:, 0]), axis=1) / np.hypot(*tangent.T)[:, None]
    for lane in range(_LANES):
        right, left = (_WIDTH * (lane - 0.5 * _LANES + side) for side in (0, 1))
        builder.add(
            LaneSpec(
                f"{prefix}lane{lane}",
                middle + left * normal,
                middle + right * normal,
                speed_limit=13.9,
                left_lane=f"{prefix}lane{lane + 1}" if lane + 1 < _LANES else None,
                right_lane=f"{prefix}lane{lane - 1}" if lane else None,
            )
        )
