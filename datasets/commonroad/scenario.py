"""Scenarios from a CommonRoad file: a planning problem's ego, or one of the recorded vehicles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.commonroad.obstacles import height_of, sample
from drive.datasets.commonroad.roadmap import build_roadmap, signal_states
from drive.datasets.conventions import DT, MAX_DURATION, SHORT, expert_states
from drive.datasets.matching import (
    BEYOND,
    driven_lanes,
    lanes_under,
    make_route,
    route_to,
    start_lanes,
)
from drive.errors import ScenarioError
from drive.roadmap.index import GridIndex
from drive.scenario import Expert, Goal, Provenance, Route, Scenario, Tracks, tracks_from_rows
from drive.vehicle import STATE_SIZE, AgentKind, VehicleParams, center_to_rear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.commonroad.model import CommonRoadFile, GoalState, Obstacle, PlanningProblem
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

DEFAULT_DURATION = 10.0

BMW_320I = VehicleParams(
    length=4.508,
    width=1.610,
    height=1.42,
    wheelbase=1.1561957 + 1.4227171,
    rear_axle_to_center=1.4227171,
    max_steering=1.066,
    max_steering_rate=0.4,
    max_speed=50.8,
)
"""Vehicle 2 of M. Althoff and G. Würsching, "CommonRoad: Vehicle Models", 2020: size, axles, steering and
speed limits. Its centre of gravity is taken as the centre of its box, as CommonRoad's own tools do.
Acceleration and braking keep this toolkit's defaults: the 11.5 m/s^2 given there is the tyres' limit.
"""


@dataclass(frozen=True, eq=False)
class World:
    """A file with its road map about one origin, shared by all scenarios that lie near it."""

    file: CommonRoadFile
    roadmap: RoadMap
    origin: tuple[float, float]
    notes: tuple[str, ...]


def make_world(file: CommonRoadFile, origin: tuple[float, float]) -> World:
    roadmap, notes = build_roadmap(file, origin)
    return World(file, roadmap, origin, notes)


def planned_scenario(world: World, problem: PlanningProblem, name: str) -> Scenario:
    """The scenario of a planning problem; its expert is None, since the file holds no driver for it.

    The initial position is the centre of the vehicle's box, as for obstacles and as CommonRoad's solutions
    are checked. The ego's own track is valid at the first sample only.
    """
    file = world.file
    center = np.asarray((problem.x, problem.y)) - world.origin
    ends = [g.time[1] for g in problem.goals if g.time is not None and np.isfinite(g.time[1])]
    ends += [float(o.steps[o.valid][-1]) for o in file.obstacles if not o.static]
    length = (max(ends) - problem.step) * file.dt if ends else DEFAULT_DURATION
    at = _clock(file, problem.step, length)
    notes: list[str] = []
    route = _planned_route(world, problem, DT * (len(at) - 1), notes)

    vehicle = BMW_320I
    initial = np.zeros(STATE_SIZE)
    initial[:2] = center_to_rear(center, problem.heading, vehicle.rear_axle_to_center)
    curvature = problem.yaw_rate / problem.speed if abs(problem.speed) > 0.5 else 0.0
    steering = np.arctan(vehicle.wheelbase * curvature)
    initial[2:] = problem.heading, problem.speed, problem.acceleration, steering, problem.yaw_rate
    own = np.zeros((len(at), 5))
    velocity = problem.speed * np.cos(problem.heading), problem.speed * np.sin(problem.heading)
    own[0] = *center, problem.heading, *velocity
    here = np.arange(len(at)) == 0
    size = (vehicle.length, vehicle.width, vehicle.height)
    ego_row = ("ego", AgentKind.VEHICLE, size, own, here)
    tracks = _tracks(world, at, [ego_row], notes, keep=None)
    rear = tracks.rear_to_centre.copy()
    rear[0] = vehicle.rear_axle_to_center
    return Scenario(
        id=name,
        tracks=replace(tracks, rear_to_centre=rear),
        ego=0,
        initial=initial,
        vehicle=vehicle,
        route=route,
        expert=None,
        **_common(world, at, notes),
    )


def problem_lanes(world: World, problem: PlanningProblem) -> list[int]:
    """Lanes that a planning problem may start on, best first; raises ScenarioError off the road."""
    starts = start_lanes(world.roadmap, np.asarray((problem.x, problem.y)) - world.origin, problem.heading)
    if not starts:
        raise ScenarioError(
            f"{world.file.name}: planning problem '{problem.id}' starts more than 25 m off every lane"
        )
    return starts


def recorded_scenario(world: World, obstacle: Obstacle, name: str) -> Scenario:
    """The scenario in which a road user of the file is the ego and its own track the expert.

    The clock starts at its first valid sample and ends at its last, 20 s at most.
    """
    file = world.file
    first, last = valid_span(obstacle)
    if (last - first) * file.dt < DT - 1e-9:
        raise ScenarioError(f"{file.name}: obstacle '{obstacle.id}' has no two valid samples 0.1 s apart")
    at = _clock(file, first, (last - first) * file.dt)
    notes: list[str] = []
    tracks = _tracks(world, at, [], notes, keep=obstacle.id)
    ego = tracks.ids.index(obstacle.id)
    length, width, height = (float(v) for v in tracks.size[ego])
    vehicle = VehicleParams.from_box(length, width, height)
    tracks = _with_rear(tracks, ego, vehicle.rear_axle_to_center)
    states = expert_states(tracks.states[ego], vehicle)
    lanes = driven_lanes(world.roadmap, tracks.states[ego, :, :3])
    if not lanes:
        raise ScenarioError(f"{file.name}: obstacle '{obstacle.id}' never is on a lane; choose another track")
    goal = Goal(position=tracks.states[ego, -1, :2].copy())
    return Scenario(
        id=name,
        tracks=tracks,
        ego=ego,
        initial=states[0].copy(),
        vehicle=vehicle,
        route=make_route(world.roadmap, states[0], lanes, goal),
        expert=Expert(states, expert_source(file)),
        **_common(world, at, notes),
    )


def expert_source(file: CommonRoadFile) -> str:
    """Who drove the trajectories: "human", "simulated", or "recorded" where the file does not say."""
    return {"recorded": "human", "simulated": "simulated"}.get(file.origin_of_traffic, "recorded")


def valid_span(obstacle: Obstacle) -> tuple[int, int]:
    """First and last time step of an obstacle's longest run of valid samples without a gap."""
    steps = obstacle.steps[obstacle.valid]
    cuts = np.flatnonzero(np.diff(steps) != 1) + 1
    run = max(np.split(steps, cuts), key=len)
    return int(run[0]), int(run[-1])


def _clock(file: CommonRoadFile, first: int, length: float) -> Floats:
    """Times of the samples, every 0.1 s from time step `first` on, in time steps of the file."""
    n = max(int(np.floor(min(length, MAX_DURATION) / DT + 1e-6)), 1)
    return np.asarray(first + DT * np.arange(n + 1) / file.dt)


def _common(world: World, at: Floats, notes: list[str]) -> dict[str, Any]:
    """Fields that both kinds of scenario share."""
    file = world.file
    duration = DT * (len(at) - 1)
    short = ("short",) if duration < SHORT - 1e-9 else ()
    if short:
        notes.append(f"only {duration:.1f} s long")
    kind = "interactive" if "_I-" in file.benchmark else file.origin_of_traffic
    said = tuple(f"{what}: {text}" for what, text in (("data", file.source), ("author", file.author)) if text)
    return {
        "dt": DT,
        "duration": duration,
        "environment": world.roadmap,
        "signals": signal_states(file, world.roadmap, at),
        "origin": world.origin,
        "family": f"commonroad/{kind}",
        "tags": (*file.tags, *short),
        "provenance": Provenance(
            source=file.name,
            format=f"CommonRoad {file.version}",
            notes=(*said, *file.skipped, *world.notes, *notes),
        ),
    }


def _tracks(
    world: World,
    at: Floats,
    rows: list[tuple[str, AgentKind, tuple[float, float, float], Floats, NDArray[np.bool_]]],
    notes: list[str],
    keep: str | None,
) -> Tracks:
    """Tracks of the ego's row and all obstacles that appear while the clock runs."""
    absent = 0
    for obstacle in world.file.obstacles:
        states, valid = sample(obstacle, at)
        if not valid.any() and obstacle.id != keep:
            absent += 1
            continue
        states[valid, :2] -= world.origin
        rows.append((obstacle.id, obstacle.kind, (*obstacle.size, height_of(obstacle)), states, valid))
    if absent:
        notes.append(f"{absent} road users do not appear in this stretch of time")
    return tracks_from_rows(rows)


def _with_rear(tracks: Tracks, agent: int, distance: float) -> Tracks:
    rear = tracks.rear_to_centre.copy()
    rear[agent] = distance
    return replace(tracks, rear_to_centre=rear)


def _planned_route(world: World, problem: PlanningProblem, duration: float, notes: list[str]) -> Route:
    """Route to the first goal that has a way to it; straight on where no goal names a place."""
    roadmap, starts = world.roadmap, problem_lanes(world, problem)
    start = np.asarray((problem.x, problem.y)) - world.origin
    goals = [_goal(world, problem, g) for g in problem.goals]
    if len(goals) > 1:
        notes.append(f"{len(goals)} goals are given; the first one with a way to it is taken")
    for goal in goals:
        if not goal.lanes:
            continue
        lanes, permitted = route_to(roadmap, starts, goal.lanes)
        if lanes is not None:
            if not permitted:
                notes.append("the way to the goal crosses a solid line")
            return make_route(roadmap, start, lanes, goal)
    if any(g.position is not None or g.lanes for g in goals):
        notes.append("no lanes lead from the start to the goal; the route goes straight on")
    goal = goals[0] if goals else Goal()
    return make_route(roadmap, start, starts[:1], goal, max(problem.speed, 10.0) * duration * 1.5 + BEYOND)


def _goal(world: World, problem: PlanningProblem, goal: GoalState) -> Goal:
    """A goal in scenario coordinates and seconds, with the lanes that its region lies on."""
    roadmap, dt = world.roadmap, world.file.dt
    at = {lane_id: i for i, lane_id in enumerate(roadmap.lane_ids)}
    lanes = tuple(at[ref] for ref in goal.lanelets if ref in at)
    position = None if goal.center is None else goal.center - world.origin
    if position is not None:
        middle = None if goal.heading is None else 0.5 * (goal.heading[0] + goal.heading[1])
        lanes = tuple(lane for lane, _ in lanes_under(roadmap, position, middle))
        near = GridIndex.of(roadmap).nearest_lane(position, middle, radius=10.0) if not lanes else None
        lanes = (near[0],) if near is not None else lanes
    time = None
    if goal.time is not None:
        time = ((goal.time[0] - problem.step) * dt, (goal.time[1] - problem.step) * dt)
    polygon = None if goal.polygon is None else goal.polygon - world.origin
    return Goal(position, polygon, lanes, goal.heading, goal.speed, time)
