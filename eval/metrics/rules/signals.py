"""Signals that rules of the road are written over: one value a sample `(N,)` of a run.

A yes-or-no signal is 1 or 0. A distance to somebody who is not there is inf; NaN is no value at all, and the
rule passes over that sample. A signal is None where the run lacks what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla.signs import stop_line, stop_zones
from drive.eval.metrics.goal import at_goal
from drive.eval.metrics.nuplan.collisions import separation
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.eval.metrics.nuplan.limits import edge_distance, speed_limits
from drive.eval.metrics.nuplan.signals import centripetal_acceleration
from drive.geometry import project_to_polyline, wrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.scenario import SignalState
from drive.vehicle import ACCELERATION, SPEED, YAW_RATE, AgentKind, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.rules.way import Drive

    Floats = NDArray[np.float64]

MOVING = 0.3  # m/s
SLOW = 5.0  # m/s
SIGHT = 100.0  # m ahead within which somebody is followed
NEAR = 60.0  # m beyond which nobody is looked at
OVERLAP = 0.3  # m by which who drives ahead overlaps the ego's way
SAME_WAY = np.pi / 4.0
PASSED = 10.0  # m beyond a line from which on the next one counts
BEYOND = 30.0  # m beyond a give-way line on which ways may meet
MEET = 12.0  # m between centres within which boxes may meet
WAIT = 10.0  # s for which others are looked at beyond such a line, and back
BESIDE = 5.0  # m
LIGHT_AHEAD = 100.0  # m

_MOTOR = np.asarray([k.is_motor_vehicle for k in AgentKind])
_PERSON = np.asarray([k.is_vulnerable for k in AgentKind])


def _flag(values: NDArray[np.bool_]) -> Floats:
    return values.astype(np.float64)


def _least(values: Floats, where: NDArray[np.bool_]) -> Floats:
    """The least over others `(A, N)` of whom the mask has, inf of none."""
    return np.asarray(np.where(where, values, np.inf).min(axis=0, initial=np.inf))


def limit(drive: Drive) -> Floats | None:
    if drive.driven is None or drive.run.roadmap is None:
        return None
    known = speed_limits(LaneShapes.of(drive.run.roadmap), drive.driven.route)
    return np.where(np.isfinite(known), known, np.inf)


def limited(drive: Drive) -> Floats | None:
    known = limit(drive)
    return None if known is None else _flag(np.isfinite(known))


def lead_gap(drive: Drive) -> Floats:
    s, d, turn = drive.others
    size, ego = drive.run.agent_size, drive.ego
    wide = 0.5 * (ego.width + size[:, 1:2]) - OVERLAP
    gap = s - 0.5 * size[:, :1] - drive.front
    ahead = drive.run.agent_valid & _MOTOR[drive.run.agent_kind][:, None] & (s > drive.station)
    ahead &= (np.abs(d) < wide) & (np.abs(turn) <= SAME_WAY) & (gap <= SIGHT)
    return np.maximum(_least(gap, ahead), 0.0)


def headway(drive: Drive) -> Floats:
    return np.asarray(lead_gap(drive) / np.maximum(drive.ego.speed, 0.1))


def lead(drive: Drive) -> Floats:
    return _flag(np.isfinite(lead_gap(drive)))


def _beside(drive: Drive, kinds: NDArray[np.bool_]) -> Floats:
    """Sideways gap to the nearest of those whose length overlaps the ego's, seen along the ego."""
    run, ego = drive.run, drive.ego
    gap = run.agents[..., :2] - ego.center
    c, s = np.cos(ego.heading), np.sin(ego.heading)
    ahead, aside = c * gap[..., 0] + s * gap[..., 1], c * gap[..., 1] - s * gap[..., 0]
    turn = run.agents[..., 2] - ego.heading
    half = 0.5 * run.agent_size[:, None, :2]
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    long, wide = half[..., 0] * cos + half[..., 1] * sin, half[..., 0] * sin + half[..., 1] * cos
    apart = np.abs(aside) - 0.5 * ego.width - wide
    near = run.agent_valid & kinds[run.agent_kind][:, None] & (apart <= BESIDE)
    return _least(apart, near & (np.abs(ahead) < 0.5 * ego.length + long))


def side_vehicle(drive: Drive) -> Floats:
    return _beside(drive, ~_PERSON)


def side_person(drive: Drive) -> Floats:
    return _beside(drive, _PERSON)


def clearance(drive: Drive) -> Floats:
    """Along the best of the boxes' four axes, so at most the distance; negative in contact."""
    run, ego = drive.run, drive.ego
    gap = run.agents[..., :2] - ego.center
    who, when = np.nonzero(run.agent_valid & (np.hypot(gap[..., 0], gap[..., 1]) <= NEAR))
    out = np.full(len(ego), np.inf)
    half_ego = np.array([[0.5 * ego.length, 0.5 * ego.width]])
    turned = run.agents[who, when, 2]
    apart = separation(gap[who, when], ego.heading[when], half_ego, turned, 0.5 * run.agent_size[who, :2])
    np.minimum.at(out, when, apart)
    return out


def road_edge(drive: Drive) -> Floats | None:
    roadmap = drive.run.roadmap
    if roadmap is None or drive.driven is None:
        return None
    edge = edge_distance(DrivableArea.of(roadmap), drive.ego.corners)
    if not (edge < 0.0).any():
        return np.asarray(edge.min(-1))
    first = np.asarray([lanes[0] if lanes else -1 for lanes in drive.driven.route])
    known = np.flatnonzero(first >= 0)
    if not len(known):
        return np.asarray(edge.min(-1))
    # Where a lane ends without a next one the road goes on, and only the map does not.
    nearest = known[np.abs(np.arange(len(first))[:, None] - known).argmin(1)]
    for lane in np.unique(first[nearest[(edge < 0.0).any(-1)]]).tolist():
        at = np.flatnonzero((first[nearest] == lane) & (edge < 0.0).any(-1))
        s, _, _ = project_to_polyline(drive.ego.corners[at].reshape(-1, 2), roadmap.centerline(lane))
        ended = np.zeros(len(s), dtype=np.bool_)
        if not len(roadmap.successors(lane)):
            ended |= s > roadmap.length[lane]
        if not len(roadmap.predecessors(lane)):
            ended |= s < 0.0
        edge[at] = np.where(ended.reshape(-1, 4), np.inf, edge[at])
    return np.asarray(edge.min(-1))


def lane_room(drive: Drive) -> Floats | None:
    if drive.driven is None or drive.run.roadmap is None:
        return None
    roadmap, corners = drive.run.roadmap, drive.ego.corners
    out = np.full(len(corners), np.nan)
    first = np.asarray([lanes[0] if lanes else -1 for lanes in drive.driven.route])
    crossing = LaneShapes.of(roadmap).in_intersection(drive.ego.center, drive.driven.lanes)
    for lane in np.unique(first[first >= 0]).tolist():
        at = np.flatnonzero(first == lane)
        rows = roadmap.rows(lane)
        s, d, _ = project_to_polyline(corners[at].reshape(-1, 2), roadmap.centerline(lane))
        left, right = (np.interp(s, roadmap.station[rows], roadmap.half_width[rows, k]) for k in (0, 1))
        out[at] = np.minimum(left - d, right + d).reshape(-1, 4).min(1)
    return np.where(crossing & np.isfinite(out), np.inf, out)


def _lines(drive: Drive, lit: bool) -> list[tuple[int, float]]:
    """Lanes of the way with a stop line, lit or give-way ones, and how far along the way the line is."""
    roadmap = drive.run.roadmap
    if roadmap is None:
        return []
    found = []
    for lane in drive.lanes:
        if not np.isfinite(roadmap.stop_station[lane]) or (roadmap.signal[lane] >= 0) != lit:
            continue
        middle, heading, half = stop_line(roadmap, lane)
        s, d, segment = project_to_polyline(middle[None], drive.line)
        step = drive.line[segment[0] + 1] - drive.line[segment[0]]
        turn = abs(float(wrap_angle(np.arctan2(step[1], step[0]) - heading)))
        # Lines behind the start say nothing about this drive.
        if abs(d[0]) <= half + 1.0 and turn <= SAME_WAY and s[0] >= drive.front[0] - 1e-6:
            found.append((lane, float(s[0])))
    return sorted(found, key=lambda row: row[1])


def _light(drive: Drive) -> tuple[Floats, NDArray[np.uint8]] | None:
    """Distance to the line of the next light, up to 10 m beyond it, and what the light shows."""
    run = drive.run
    if run.roadmap is None or run.signals.size == 0:
        return None
    away = np.full(len(drive.front), np.inf)
    state = np.zeros(len(drive.front), dtype=np.uint8)
    for lane, station in reversed(_lines(drive, True)):
        gap = station - drive.front
        here = (gap >= -PASSED) & (gap <= LIGHT_AHEAD)
        away[here], state[here] = gap[here], run.signals[run.roadmap.signal[lane], here]
    return away, state


def light_line(drive: Drive) -> Floats | None:
    found = _light(drive)
    return None if found is None else found[0]


def red(drive: Drive) -> Floats | None:
    found = _light(drive)
    return None if found is None else _flag(found[1] == SignalState.RED)


def light(drive: Drive) -> Floats | None:
    found = _light(drive)
    return None if found is None else _flag(np.isfinite(found[0]))


def _signs(drive: Drive) -> tuple[Floats, Floats]:
    """Whether a stop sign's zone is under the ego or right ahead, and whether one was just left."""
    inside, left = np.zeros(len(drive.ego)), np.zeros(len(drive.ego))
    for _, start, end in stop_zones(drive.run, drive.ego):
        inside[start:end] = 1.0
        left[end : end + 1] = 1.0
    return inside, left


def stop_sign(drive: Drive) -> Floats | None:
    return None if drive.run.roadmap is None else _signs(drive)[0]


def left_stop_sign(drive: Drive) -> Floats | None:
    return None if drive.run.roadmap is None else _signs(drive)[1]


def give_way(drive: Drive) -> Floats | None:
    if drive.run.roadmap is None:
        return None
    crossed = np.zeros(len(drive.ego))
    for _, station in _lines(drive, False):
        crossed[(drive.front > station) & (drive.station < station + BEYOND)] = 1.0
    return crossed


def yield_gap(drive: Drive) -> Floats | None:
    """Time until one with right of way is where the ego is, by the log; inf of none within 10 s.

    Of right of way is who is in no lane with a give-way line in the 10 s before, and not behind the ego in
    its own lane when it passes the line.
    """
    beyond = give_way(drive)
    if beyond is None or drive.run.roadmap is None:
        return None
    run, roadmap, out = drive.run, drive.run.roadmap, np.full(len(drive.ego), np.inf)
    samples = np.flatnonzero(beyond)
    if not len(samples):
        return out
    yields = np.isfinite(roadmap.stop_station) & (roadmap.signal < 0)
    shapes = LaneShapes.of(roadmap)
    half_ego = np.array([[0.5 * drive.ego.length, 0.5 * drive.ego.width]])
    places = drive.ego.center[samples]
    low, high = places.min(0) - MEET, places.max(0) + MEET
    ahead = np.arange(1, max(round(WAIT / run.dt), 1) + 1)
    here = np.repeat(samples, len(ahead))
    there = (samples[:, None] + ahead).reshape(-1)
    here, there = here[there < len(out)], there[there < len(out)]
    for agent in np.flatnonzero(_MOTOR[run.agent_kind]):
        xy, known = run.agents[agent, :, :2], run.agent_valid[agent]
        if not (known & (xy >= low).all(-1) & (xy <= high).all(-1)).any():
            continue
        gap = xy[there] - drive.ego.center[here]
        near = known[there] & (np.hypot(gap[:, 0], gap[:, 1]) <= MEET)
        i, j = here[near], there[near]
        if not len(i):
            continue
        half = np.broadcast_to(0.5 * run.agent_size[agent, :2], (len(i), 2))
        apart = separation(gap[near], drive.ego.heading[i], half_ego, run.agents[agent, j, 2], half)
        i, j = i[apart <= 0.0], j[apart <= 0.0]
        if not len(i):
            continue
        before = np.flatnonzero(
            known[: j.min() + 1] & (run.times[: j.min() + 1] >= run.times[j.min()] - WAIT)
        )
        lanes = {lane for row in shapes.lanes_at(run.agents[agent, before, :2]) for lane in row}
        if any(yields[lane] for lane in lanes):
            continue
        np.minimum.at(out, i, run.times[j] - run.times[i])
    return out


def goal(drive: Drive) -> Floats | None:
    held = at_goal(drive.run)
    return None if held is None else np.ones(len(held))


def goal_held(drive: Drive) -> Floats | None:
    held = at_goal(drive.run)
    return None if held is None else _flag(held)


def _exit(drive: Drive) -> frozenset[int]:
    """The last lane of the route that the expert, driven by somebody, came to, and those beyond."""
    run = drive.run
    if drive.driven is None or run.roadmap is None or not len(run.expert) or run.expert_source == "idm":
        return frozenset()
    center = rear_to_center(run.expert, run.vehicle.rear_axle_to_center)
    seen = {lane for lanes in LaneShapes.of(run.roadmap).lanes_at(center) for lane in lanes}
    route = run.route_lanes.tolist()
    came = [k for k, lane in enumerate(route) if lane in seen]
    return frozenset(route[came[-1] :]) if came else frozenset()


def exit_lane(drive: Drive) -> Floats | None:
    if drive.driven is None:
        return None
    wanted = _exit(drive)
    there = not wanted.isdisjoint(drive.driven.lanes[0])
    return np.full(len(drive.ego), float(bool(wanted) and not there))


def in_exit_lane(drive: Drive) -> Floats | None:
    if drive.driven is None:
        return None
    wanted = _exit(drive)
    return np.asarray([float(not wanted.isdisjoint(lanes)) for lanes in drive.driven.lanes])


SIGNALS: dict[str, tuple[Callable[[Drive], Floats | None], str]] = {
    "speed": (lambda d: d.ego.speed, "m/s, without a sign"),
    "forward_speed": (lambda d: d.run.ego[:, SPEED], "m/s, negative in reverse"),
    "acceleration": (lambda d: d.run.ego[:, ACCELERATION], "m/s^2 along the heading"),
    "lateral_acceleration": (
        lambda d: centripetal_acceleration(d.run),
        "m/s^2, speed times yaw rate, smoothed",
    ),
    "yaw_rate": (lambda d: d.run.ego[:, YAW_RATE], "rad/s"),
    "time": (lambda d: d.run.times, "s since the start"),
    "moving": (lambda d: _flag(d.ego.speed > MOVING), f"yes above {MOVING} m/s"),
    "slow": (lambda d: _flag(d.ego.speed < SLOW), f"yes below {SLOW:g} m/s"),
    "limit": (limit, "m/s, the limit of the lane, inf where none is known"),
    "limited": (limited, "whether a limit is known"),
    "lead_gap": (
        lead_gap,
        "m between bumpers to the motor vehicle ahead on the ego's way, at most 100 m ahead",
    ),
    "headway": (headway, "s, lead_gap over the ego's speed"),
    "lead": (lead, "whether there is somebody ahead"),
    "clearance": (clearance, "m between the boxes of the ego and the nearest other, negative in contact"),
    "side_vehicle": (side_vehicle, "m sideways to the nearest vehicle or object that is beside the ego"),
    "side_person": (side_person, "m sideways to the nearest pedestrian or cyclist beside the ego"),
    "beside_vehicle": (
        lambda d: _flag(np.isfinite(side_vehicle(d))),
        "whether a vehicle is within 5 m beside",
    ),
    "beside_person": (lambda d: _flag(np.isfinite(side_person(d))), "whether a person is within 5 m beside"),
    "road_edge": (road_edge, "m from the nearest corner to the road's edge, negative outside"),
    "lane_room": (
        lane_room,
        "m from the nearest corner to the lane's edge, negative beyond; inf in crossings",
    ),
    "light_line": (light_line, "m from the front to the line of the next light on the way, to 10 m beyond"),
    "red": (red, "whether that light is red"),
    "light": (light, "whether there is a light within 100 m"),
    "stop_sign": (stop_sign, "whether a stop sign's area is under the ego or up to 4 m ahead"),
    "left_stop_sign": (left_stop_sign, "yes at the sample at which it was left"),
    "give_way": (give_way, "whether the ego is up to 30 m beyond a give-way line that it passed"),
    "yield_gap": (yield_gap, "s until one with right of way is where the ego is beyond such a line"),
    "goal": (goal, "whether the scenario has a goal that can be judged"),
    "at_goal": (goal_held, "whether all conditions of the goal hold"),
    "exit_lane": (exit_lane, "whether the expert came to a lane of the route in which the ego did not begin"),
    "in_exit_lane": (in_exit_lane, "whether the ego is in the last such lane, or in one of the route beyond"),
}
"""Name: how it is made, and what it is."""
