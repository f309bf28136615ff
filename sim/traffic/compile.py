"""Casts a scenario: who is driven by whom, along which path, with which temperament."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.scenario import TRACK_HEADING, TRACK_VX, TRACK_VY
from drive.sim.kernels.layout import Controller, Paths
from drive.sim.traffic.desire import desired_speeds, hardest_braking
from drive.sim.traffic.paths import DEFAULT_LIMIT, LaneChains, PathBook, match_lanes, recorded_line
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario, Tracks
    from drive.sim.traffic.model import TrafficModel

    Floats = NDArray[np.float64]

PARKED_OFFSET = 0.6
"""A car that never moves and stands this far (m) off its lane's middle is parked, not queueing."""
ON_LANE = 0.5
"""m beyond the half width of its lane that a car's centre may lie to count as driving on it."""
MEANT_STOP_GAP = 15.0
"""Who stands in the log with nobody within this distance (m) ahead, and before no line, means to stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """One scenario's agents as `drive.sim.world` stacks them; arrays over the A tracks."""

    controller: NDArray[np.uint8]
    log: NDArray[np.float32]  # (A, T, 6)
    log_valid: NDArray[np.uint8]  # (A, T)
    length: Floats
    width: Floats
    rear_to_center: Floats
    wheelbase: Floats
    driver: Floats  # (A, 7)
    stop_station: Floats
    stop_until: Floats
    signals: NDArray[np.uint8]
    path: NDArray[np.int32]
    station: Floats
    offset: Floats
    steering: Floats
    paths: Paths


def cast(scenario: Scenario, traffic: TrafficModel, overrides: dict[int, Controller] | None = None) -> Cast:
    """Cast a scenario's tracks under a traffic model; `overrides` fixes single tracks' controllers.

    The ego's row is under TRAJECTORY unless `overrides` says otherwise. Motor vehicles on a lane take
    the model's driver; pedestrians, cyclists, parked cars and whoever is on no lane replay the log.
    With `traffic.compat` those others vanish, as in nuPlan's reactive mode (pedestrians and static
    objects stay), and so do vehicles that appear later than the start.
    """
    tracks, roadmap = scenario.tracks, scenario.roadmap
    a, t = tracks.num_agents, tracks.num_steps
    valid = tracks.valid.copy()
    poses = np.stack([tracks.rear_axle_poses(i) for i in range(a)]) if a else np.zeros((0, t, 3))
    speed = _signed_speed(tracks)
    log = np.concatenate((poses, speed[..., None], tracks.states[..., [TRACK_VX, TRACK_VY]]), axis=-1).astype(
        np.float32
    )

    controller = np.zeros(a, dtype=np.uint8)
    seen = np.asarray(valid.any(1))
    first = np.where(seen, np.argmax(valid, axis=1), 0)
    last = np.where(seen, t - 1 - np.argmax(valid[:, ::-1], axis=1), 0)
    row = np.arange(a)
    start, end = poses[row, first], poses[row, last]
    moved = np.array(
        [float(np.ptp(poses[i, valid[i], :2], axis=0).max()) if seen[i] else 0.0 for i in range(a)]
    )
    if traffic.controller is not Controller.LOG and a:
        lane, _ = match_lanes(roadmap, _centers(start, tracks.rear_to_centre))
        end_lane, _ = match_lanes(roadmap, end)
        gap = _lane_offset(scenario, start, lane)
        motor = np.asarray([AgentKind(int(k)).is_motor_vehicle for k in tracks.kind])
        half = _half_width(scenario, start, lane)
        on_lane = (lane >= 0) & (gap < half + ON_LANE)
        parked = (moved < 0.5) & (gap > PARKED_OFFSET)
        reactive = seen & motor & on_lane & ~parked
        controller[reactive] = traffic.controller
        if traffic.compat:
            kept = np.isin(tracks.kind, [AgentKind.PEDESTRIAN, AgentKind.STATIC])
            late = first > 0
            driven = np.isin(row, [scenario.ego, *(overrides or {})])
            valid[~(reactive & ~late) & ~kept & ~driven] = False
            controller[late] = Controller.LOG
    controller[scenario.ego] = Controller.TRAJECTORY
    valid[scenario.ego] = False
    valid[scenario.ego, 0] = True
    for track, who in (overrides or {}).items():
        controller[track] = who

    # The ego starts where the scenario says, not where a track's smoothed state may lie.
    log[scenario.ego, 0] = (
        *scenario.initial[:4],
        scenario.initial[3] * np.cos(scenario.initial[2]),
        scenario.initial[3] * np.sin(scenario.initial[2]),
    )
    poses[scenario.ego, 0] = scenario.initial[:3]

    book = PathBook()
    default = max(DEFAULT_LIMIT, float(np.nanmax(tracks.speed[tracks.valid])) if tracks.valid.any() else 0.0)
    chains = LaneChains(roadmap, book, default)
    path = np.full(a, -1, dtype=np.int32)
    station, offset = np.zeros(a), np.zeros(a)
    stop_station, stop_until, firm = np.full(a, np.nan), np.zeros(a), np.zeros(a)
    on_path = np.isin(controller, [Controller.IDM, Controller.MOBIL])
    # Others expect the ego on its route, whoever drives it.
    on_path[scenario.ego] = True
    for i in np.flatnonzero(on_path):
        if i == scenario.ego:
            line = scenario.route.line
            if len(line) < 2:
                line = recorded_line(roadmap, poses[i, :1], int(match_lanes(roadmap, poses[i, :1])[0][0]))
            path[i] = book.add(roadmap, line, default)
        elif controller[i] == Controller.MOBIL:
            path[i] = chains.path(int(lane[i]))
        else:
            line = recorded_line(roadmap, poses[i, valid[i]], int(end_lane[i]))
            path[i] = book.add(roadmap, line, default)
        points = book.points[path[i]]
        rel = poses[i, first[i], :2] - points[:, :2]
        k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
        c, s = np.cos(points[k, 2]), np.sin(points[k, 2])
        station[i] = max(k * book.steps[path[i]] + rel[k] @ (c, s), 0.0)
        offset[i] = c * rel[k, 1] - s * rel[k, 0]
        if controller[i] == Controller.IDM and not traffic.compat and i != scenario.ego:
            lights = (points, book.steps[path[i]], book.stops[path[i]], book.lines[path[i]])
            stop = _meant_stop(scenario, int(i), poses[i], speed[i], valid[i], *lights)
            if stop is not None:
                rel = stop[0] - points[:, :2]
                k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
                stop_station[i] = k * book.steps[path[i]] + rel[k] @ (
                    np.cos(points[k, 2]),
                    np.sin(points[k, 2]),
                )
                stop_until[i] = stop[1]
                firm[i] = hardest_braking(speed[i], valid[i], scenario.dt)
    chains.link()

    driver = np.tile(np.asarray(traffic.driver_row(), dtype=np.float64), (a, 1))
    if not traffic.compat:
        driver[:, 4] = np.maximum(driver[:, 4], firm)
        # MOBIL drivers leave their recorded ways, and what held them back there.
        driven = controller == Controller.IDM
        fastest = np.array([book.points[k][:, 4].max() if k >= 0 else 0.0 for k in path])
        wish = desired_speeds(poses, speed, valid, tracks.states[..., :2], fastest, driven, scenario.dt)
        driver[:, 0] = np.minimum(driver[:, 0], wish)
    length, width = tracks.size[:, 0].copy(), tracks.size[:, 1].copy()
    rear, wheelbase = tracks.rear_to_centre.copy(), np.maximum(0.6 * tracks.size[:, 0], 0.5)
    v = scenario.vehicle
    length[scenario.ego], width[scenario.ego] = v.length, v.width
    rear[scenario.ego], wheelbase[scenario.ego] = v.rear_axle_to_center, v.wheelbase
    steering = np.zeros(a)
    for i in np.flatnonzero(path >= 0):
        k = min(int(station[i] / book.steps[path[i]]), len(book.points[path[i]]) - 1)
        steering[i] = np.arctan(wheelbase[i] * book.points[path[i]][k, 3])
    steering[scenario.ego] = scenario.initial[5]
    return Cast(
        controller,
        log,
        valid.astype(np.uint8),
        length,
        width,
        rear,
        wheelbase,
        driver,
        stop_station,
        stop_until,
        scenario.signals,
        path,
        station,
        offset,
        steering,
        book.compile(),
    )


def _signed_speed(tracks: Tracks) -> Floats:
    """Speed along the heading `(A, T)`, negative when reversing."""
    s = tracks.states
    along = s[..., TRACK_VX] * np.cos(s[..., TRACK_HEADING]) + s[..., TRACK_VY] * np.sin(
        s[..., TRACK_HEADING]
    )
    return np.asarray(np.where(along < -0.1, -tracks.speed, tracks.speed))


def _centers(poses: Floats, rear: Floats) -> Floats:
    out = poses.copy()
    out[:, 0] += rear * np.cos(poses[:, 2])
    out[:, 1] += rear * np.sin(poses[:, 2])
    return out


def _nearest_rows(scenario: Scenario, poses: Floats, lane: NDArray[np.int32]) -> NDArray[np.intp]:
    roadmap = scenario.roadmap
    out = np.zeros(len(poses), dtype=np.intp)
    for i, k in enumerate(lane):
        if k >= 0:
            rows = roadmap.rows(int(k))
            rel = roadmap.points[rows] - poses[i, :2]
            out[i] = rows.start + int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
    return out


def _lane_offset(scenario: Scenario, poses: Floats, lane: NDArray[np.int32]) -> Floats:
    """Distance `(A,)` from the lane's centreline, across its direction."""
    row = _nearest_rows(scenario, poses, lane)
    h = scenario.roadmap.heading[row]
    rel = poses[:, :2] - scenario.roadmap.points[row]
    return np.asarray(np.abs(np.cos(h) * rel[:, 1] - np.sin(h) * rel[:, 0]))


def _half_width(scenario: Scenario, poses: Floats, lane: NDArray[np.int32]) -> Floats:
    row = _nearest_rows(scenario, poses, lane)
    return np.asarray(0.5 * np.hypot(*(scenario.roadmap.left[row] - scenario.roadmap.right[row]).T))


def _meant_stop(
    scenario: Scenario,
    agent: int,
    poses: Floats,
    speed: Floats,
    valid: NDArray[np.bool_],
    points: Floats,
    step: float,
    lights: NDArray[np.int32],
    lines: NDArray[np.int32],
) -> tuple[Floats, float] | None:
    """Where (rear axle) and until when a logged driver stops of its own will, or None.

    It stands at least a second, with nobody, no red light and no give-way line within `MEANT_STOP_GAP` ahead
    on its path of samples `points (N, 5)`, with the stop lines `lights (N,)` and the give-way lines that come
    next `lines (N,)`.
    """
    standing = valid & (np.abs(speed) < 0.3)
    if not standing.any():
        return None
    k = int(np.argmax(standing))
    run = standing[k:]
    length = int(np.argmin(run)) if not run.all() else len(run)
    if length * scenario.dt < 1.0:
        return None
    tracks = scenario.tracks
    here, reach = poses[k], MEANT_STOP_GAP + tracks.size[agent, 0]
    rel = points[:, :2] - here[:2]
    near = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
    if 0 <= lines[near] <= near + int(reach / step):
        return None
    ahead_of_it = lights[near : near + int(reach / step) + 1]
    if bool(np.any(scenario.signals[ahead_of_it[ahead_of_it >= 0], k] >= 2)):
        return None
    other = tracks.valid[:, k] & (np.arange(tracks.num_agents) != agent)
    rel = tracks.states[other, k, :2] - here[:2]
    c, s = np.cos(here[2]), np.sin(here[2])
    ahead, across = rel @ (c, s), rel @ (-s, c)
    if bool(np.any((ahead > 1.0) & (ahead < reach) & (np.abs(across) < 2.0))):
        return None
    released = k + length
    until = scenario.dt * released if released < len(valid) and valid[released] else float("inf")
    return here[:2], min(until, 1e6)


__all__ = ["Cast", "cast"]
