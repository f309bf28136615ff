"""What must hold of a generated scenario before anybody sees it. A draw that fails is drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.scene import DT, HORIZON
from drive.errors import ScenarioError
from drive.geometry import arc_length, box_corners, boxes_overlap, project_to_polyline
from drive.roadmap.drivable import drivable_polygon
from drive.savgol import savgol
from drive.scenario import TRACK_HEADING, SignalState
from drive.vehicle import ACCELERATION, HEADING, SPEED, YAW_RATE, AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario, Tracks

    Floats = NDArray[np.float64]

CLEARANCE = 0.1
"""Metres that the ego's box is grown by, on every side, when its own collisions are looked for."""
OFF_ROAD = 0.25
"""Metres that other vehicles may cut a corner by."""
SLACK = 0.5
"""Metres that its length and width are grown by for the time to collision: a tracker is not exact."""
MIN_PROGRESS = 8.0
MAX_START_ACCELERATION = 0.8
"""m/s^2 at the first sample: who takes over in the middle of braking is scored for the hand-over."""
TIME_TO_COLLISION = 1.1
CREEP = 40
"""Samples for which a tracker still creeps where the log stands: only who stands has no time to collision."""
# nuPlan's bounds of comfort, with a margin for the tracker of a closed loop.
COMFORT = {
    "longitudinal acceleration": (-3.5, 2.1),
    "lateral acceleration": (-3.6, 3.6),
    "longitudinal jerk": (-3.6, 3.6),
    "yaw acceleration": (-1.5, 1.5),
    "yaw rate": (-0.8, 0.8),
}


def check(scenario: Scenario) -> None:
    """Raise ScenarioError with the first thing that is wrong with a scenario's log or route."""
    assert scenario.expert is not None
    check_log(scenario.id, scenario.expert.states, scenario.tracks)
    check_place(scenario)


def check_log(name: str, expert: Floats, tracks: Tracks) -> None:
    """The part of `check` that needs no map: the ego's states `(T, 7)` and the tracks, its own the first."""
    fault = _start(expert) or _comfort(expert) or _time_to_collision(tracks) or _overlaps(tracks)
    if fault:
        raise ScenarioError(f"scenario '{name}': {fault}")


def check_place(scenario: Scenario) -> None:
    """The part of `check` that asks how the log suits the map and the route."""
    fault = _route(scenario) or _red_lights(scenario) or _off_road(scenario)
    if fault:
        raise ScenarioError(f"scenario '{scenario.id}': {fault}")


def track_corners(t: Tracks, grown: float = 0.0) -> Floats:
    """Corners `(A, T, 4, 2)` of all boxes, the ego's grown on every side."""
    extra = np.zeros(t.num_agents)
    extra[0] = 2.0 * grown
    size = t.size + extra[:, None]
    return box_corners(t.states[..., :2], t.states[..., TRACK_HEADING], size[:, 0:1], size[:, 1:2])


def first_overlap(corners: Floats, valid: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """First pair of boxes that overlap: (agent, agent, sample)."""
    center = corners.mean(axis=2)
    radius = 0.5 * np.hypot(*np.moveaxis(corners[:, 0, 0] - corners[:, 0, 2], -1, 0))
    for i in range(len(corners) - 1):
        gap = center[i + 1 :] - center[i]
        near = np.einsum("atd,atd->at", gap, gap) < (radius[i + 1 :] + radius[i])[:, None] ** 2
        j, t = np.nonzero(near & valid[i + 1 :] & valid[i])
        if len(j):
            hit = boxes_overlap(corners[i, t], corners[i + 1 + j, t])
            if hit.any():
                k = int(np.argmax(hit))
                return i, int(i + 1 + j[k]), int(t[k])
    return None


def _overlaps(tracks: Tracks) -> str | None:
    hit = first_overlap(track_corners(tracks, CLEARANCE), tracks.valid)
    if hit is None:
        return None
    i, j, t = hit
    return f"'{tracks.ids[i]}' and '{tracks.ids[j]}' overlap at {DT * t:.1f} s"


def _off_road(scenario: Scenario) -> str | None:
    import shapely

    corners = track_corners(scenario.tracks)
    area = drivable_polygon(scenario.roadmap)
    shapely.prepare(area)
    ego = corners[scenario.ego]
    inside = shapely.intersects_xy(area, ego[..., 0], ego[..., 1])
    if not inside.all():
        return f"the ego leaves the road at {0.1 * int(np.argmin(inside.all(-1))):.1f} s"
    wide = shapely.buffer(area, OFF_ROAD, quad_segs=2)
    shapely.prepare(wide)
    t = scenario.tracks
    motor = np.asarray([AgentKind(int(x)).is_motor_vehicle for x in t.kind])
    moving = motor & (t.speed.max(1) > 0.1)
    # Seven samples a second would find nothing that two do not.
    other = corners[moving][:, ::5]
    inside = shapely.intersects_xy(wide, other[..., 0], other[..., 1]).all(-1) | ~t.valid[moving][:, ::5]
    if not inside.all():
        who = t.ids[int(np.flatnonzero(moving)[np.argmin(inside.all(-1))])]
        return f"'{who}' leaves the road"
    return None


def _start(expert: Floats) -> str | None:
    if abs(float(expert[0, ACCELERATION])) > MAX_START_ACCELERATION:
        return "it begins while the ego brakes or accelerates hard"
    return None


def _route(scenario: Scenario) -> str | None:
    line = scenario.route.line
    expert = scenario.expert
    assert expert is not None
    ends = expert.states[[0, -1], :2]
    s, d, _ = project_to_polyline(ends, line)
    rest = float(arc_length(line)[-1] - s[1])
    need = 150.0 + HORIZON * float(expert.states[-1, SPEED])
    if rest < need:
        return f"the route ends {rest:.0f} m beyond the log, {need:.0f} m are needed"
    if s[1] - s[0] < MIN_PROGRESS:
        return f"the ego moves only {s[1] - s[0]:.1f} m"
    return None if abs(d[0]) < 4.0 else f"the ego starts {abs(d[0]):.1f} m beside its route"


def _comfort(expert: Floats) -> str | None:
    accel = savgol(expert[:, ACCELERATION], 8, 2)
    yaw = np.unwrap(expert[:, HEADING])
    series = {
        "longitudinal acceleration": accel,
        "lateral acceleration": savgol(expert[:, SPEED] * expert[:, YAW_RATE], 8, 2),
        "longitudinal jerk": savgol(accel, 15, 2, 1, DT),
        "yaw acceleration": savgol(yaw, 5, 3, 2, DT),
        "yaw rate": savgol(yaw, 5, 2, 1, DT),
    }
    for name, values in series.items():
        low, high = COMFORT[name]
        if values.min() < low or values.max() > high:
            return f"the ego's {name} reaches {values[np.argmax(np.abs(values))]:.2f}"
    return None


def _time_to_collision(t: Tracks) -> str | None:
    """The ego's and all others' boxes, moved on along their headings, must not meet within the bound.

    Who is behind (beyond 150 degrees as seen from the rear axle) does not count, nor does an ego that has
    stood for some time.
    """
    e = 0
    size, speed, heading = t.size, t.speed, t.states[..., TRACK_HEADING]
    center = t.states[..., :2]
    along = np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    velocity = speed[..., None] * along
    gap = center - center[e] + t.rear_to_centre[e] * along[e]
    far = np.maximum(np.hypot(gap[..., 0], gap[..., 1]), 1e-6)
    beside = np.einsum("atd,td->at", gap, along[e]) / far > np.cos(np.deg2rad(150.0))
    reach = 0.5 * (np.hypot(size[:, 0], size[:, 1]) + np.hypot(size[e, 0], size[e, 1])) + 2.0
    closing = np.hypot(*np.moveaxis(velocity - velocity[e], -1, 0)) * TIME_TO_COLLISION
    rolls = np.convolve(speed[e] > 0.003, np.ones(CREEP + 1))[: t.num_steps] > 0.0
    look = t.valid & rolls & beside & (far < reach[:, None] + closing)
    look[e] = False
    agent, step = np.nonzero(look)
    if not len(agent):
        return None
    for dt in np.arange(0.1, TIME_TO_COLLISION + 0.05, 0.1):
        ego = center[e, step] + dt * velocity[e, step]
        other = center[agent, step] + dt * velocity[agent, step]
        hit = boxes_overlap(
            box_corners(ego, heading[e, step], size[e, 0] + SLACK, size[e, 1] + SLACK),
            box_corners(other, heading[agent, step], size[agent, 0], size[agent, 1]),
        )
        if hit.any():
            k = int(np.argmax(hit))
            who, when = t.ids[agent[k]], DT * step[k]
            return f"the ego's time to collision with '{who}' falls to {dt:.1f} s at {when:.1f} s"
    return None


def _red_lights(scenario: Scenario) -> str | None:
    """Whether a vehicle's front crosses a stop line while its signal is red."""
    m, t = scenario.roadmap, scenario.tracks
    motor = np.asarray([AgentKind(int(x)) not in (AgentKind.PEDESTRIAN, AgentKind.STATIC) for x in t.kind])
    nose = t.states[..., :2] + 0.5 * t.size[:, 0, None, None] * np.stack(
        (np.cos(t.states[..., TRACK_HEADING]), np.sin(t.states[..., TRACK_HEADING])), axis=-1
    )
    for lane in np.flatnonzero(m.signal >= 0):
        rows = m.rows(int(lane))
        k = rows.start + int(np.argmin(np.abs(m.station[rows] - m.stop_station[lane])))
        c, s = np.cos(m.heading[k]), np.sin(m.heading[k])
        rel = nose - m.points[k]
        along, side = c * rel[..., 0] + s * rel[..., 1], c * rel[..., 1] - s * rel[..., 0]
        aligned = np.cos(t.states[..., TRACK_HEADING] - m.heading[k]) > 0.8
        on = (np.abs(side) < 1.5) & aligned & t.valid
        crossing = (along[:, :-1] <= 0.0) & (along[:, 1:] > 0.0) & on[:, :-1] & on[:, 1:] & motor[:, None]
        red = scenario.signals[m.signal[lane], 1:] == SignalState.RED
        if (crossing & red).any():
            who = t.ids[int(np.argmax((crossing & red).any(1)))]
            return f"'{who}' runs the red light of lane '{m.lane_ids[lane]}'"
    return None
