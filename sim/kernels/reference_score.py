"""Plain reference of the candidate scores: float64, shapely for geometry, SciPy for the filters.

It shares no code with the kernels. Sources as named in `drive.sim.kernels.score`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import box_corners, unwrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

OFF_ROAD, MULTIPLE, ASTRAY, CROSSING = range(4)


def ego_places(
    states: Floats, vehicle: VehicleParams, roadmap: RoadMap, on_route: Iterable[int]
) -> NDArray[np.bool_]:
    """Per step `(B, T, 4)`: a corner off the road, in several lanes, centre off the route, in a crossing.

    Crossings count as on the route.
    """
    import shapely

    center = rear_to_center(states, vehicle.rear_axle_to_center)
    corners = box_corners(center, states[..., 2], vehicle.length, vehicle.width)
    out = np.zeros((*states.shape[:2], 4), dtype=np.bool_)
    out[..., OFF_ROAD] = ~DrivableArea.of(roadmap).contains(corners).all(-1)
    route = set(on_route)
    count, whole = np.zeros(states.shape[:2], dtype=int), np.zeros(states.shape[:2], dtype=bool)
    held = np.zeros(states.shape[:2], dtype=bool)
    for lane in range(roadmap.num_lanes):
        if roadmap.kind[lane] not in (0, 1, 4):
            continue
        polygon = shapely.Polygon(roadmap.polygon(lane))
        inside = shapely.intersects_xy(polygon, corners[..., 0], corners[..., 1])
        count += inside.any(-1)
        whole |= inside.all(-1)
        crossing = bool(roadmap.intersection[lane])
        if lane in route or crossing:
            held |= shapely.intersects_xy(polygon, center[..., 0], center[..., 1])
        if crossing:
            out[..., CROSSING] |= shapely.intersects_xy(polygon, states[..., 0], states[..., 1])
    out[..., MULTIPLE] = (count > 1) & ~whole
    out[..., ASTRAY] = ~held
    return out


def boxes(center: Floats, heading: Floats, length: Any, width: Any) -> Any:
    """Shapely polygons of oriented boxes."""
    import shapely

    return shapely.polygons(box_corners(center, heading, length, width))


def bearing(state: Floats, point: Floats) -> float:
    """Angle in degrees between the heading of a rear-axle state and the direction to a point."""
    gap = point - state[:2]
    cosine = gap @ [np.cos(state[2]), np.sin(state[2])] / np.hypot(*gap)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def collisions(
    states: Floats,
    vehicle: VehicleParams,
    tracks: Floats,
    valid: Any,
    size: Floats,
    kind: Any,
    places: Any,
    dt: float,
) -> tuple[float, float]:
    """Score and time of the first collision at fault of one candidate `(T, 7)`."""
    import shapely

    center = rear_to_center(states, vehicle.rear_axle_to_center)
    ego = boxes(center, states[:, 2], vehicle.length, vehicle.width)
    bumper = box_corners(center, states[:, 2], vehicle.length, vehicle.width)[:, [0, 3]]
    score, when, seen = 1.0, np.inf, set()
    for t in range(len(states)):
        for a in range(len(tracks)):
            if a in seen or not valid[a, t]:
                continue
            other = boxes(tracks[a, t, :2], tracks[a, t, 2], size[a, 0], size[a, 1])
            if not shapely.intersects(ego[t], other):
                continue
            seen.add(a)
            if abs(states[t, 3]) <= 0.05:
                continue
            if np.hypot(*tracks[a, t, 3:5]) > 0.05:
                if bearing(states[t], tracks[a, t, :2]) > 150.0:
                    continue
                front = shapely.intersects(shapely.LineString(bumper[t]), other)
                if not front and not (places[t, OFF_ROAD] or places[t, MULTIPLE]):
                    continue
            score = min(score, 0.5 if kind[a] == AgentKind.STATIC else 0.0)
            when = min(when, t * dt)
    return score, when


def time_to_collision(
    states: Floats,
    vehicle: VehicleParams,
    tracks: Floats,
    valid: Any,
    size: Floats,
    places: Any,
    dt: float,
    last: int,
) -> tuple[float, float]:
    """1 or 0, and the time of the first infraction, of one candidate `(T, 7)`."""
    import shapely

    center = rear_to_center(states, vehicle.rear_axle_to_center)
    seen: set[int] = set()
    for t in range(min(last, len(states) - 1) + 1):
        speed = abs(states[t, 3])
        if speed < 0.005:
            continue
        heading = np.array([np.cos(states[t, 2]), np.sin(states[t, 2])])
        for ahead in (0, 3, 6, 9):
            at = center[t] + heading * speed * dt * ahead
            ego = boxes(at, states[t, 2], vehicle.length, vehicle.width)
            for a in range(len(tracks)):
                if a in seen or not valid[a, t + ahead]:
                    continue
                track = tracks[a, t + ahead]
                if not shapely.intersects(ego, boxes(track[:2], track[2], size[a, 0], size[a, 1])):
                    continue
                angle = bearing(states[t], track[:2])
                beside = places[t, OFF_ROAD] or places[t, MULTIPLE] or places[t, CROSSING]
                if angle < 30.0 or (beside and not angle > 150.0):
                    return 0.0, t * dt
                seen.add(a)
    return 1.0, np.inf


def direction(states: Floats, vehicle: VehicleParams, astray: Any, window: int) -> float:
    """1, 0.5 or 0 by the distance driven off the route, in whole stretches or trailing windows."""
    center = rear_to_center(states, vehicle.rear_axle_to_center)
    driven = np.concatenate(([0.0], np.hypot(*np.diff(center, axis=0).T))) * astray
    if window:
        worst = max(driven[max(t - window + 1, 0) : t + 1].sum() for t in range(len(driven)))
    else:
        edges = np.flatnonzero(np.diff(astray)) + 1
        worst = max(part.sum() for part in np.split(driven, edges))
    return 1.0 if worst < 2.0 else 0.5 if worst < 6.0 else 0.0


def comfort(
    states: Floats, dt: float, acceleration: int, jerk: int, lateral: float = 0.0
) -> NDArray[np.bool_]:
    """The six comfort flags of one candidate; windows in samples, 0 for the whole series."""
    from scipy.signal import savgol_filter

    n = len(states)
    wide, wide_jerk = min(acceleration or n, n), min(jerk or n, n)
    lon, lat = states[:, 4], lateral * states[:, 3] * states[:, 6]
    heading = unwrap_angle(states[:, 2])

    def within(series: Floats, low: float, high: float) -> bool:
        return bool(((series > low) & (series < high)).all())

    def slope(series: Floats) -> Floats:
        smooth = savgol_filter(series, min(8, n), 2)
        return np.asarray(savgol_filter(smooth, wide_jerk, 2, deriv=1, delta=dt))

    return np.array(
        [
            within(savgol_filter(lon, wide, 2), -4.05, 2.40),
            within(savgol_filter(lat, wide, 2), -4.89, 4.89),
            within(slope(np.hypot(lon, lat)), -8.37, 8.37),
            within(slope(lon), -4.13, 4.13),
            within(savgol_filter(heading, min(5, n), 3, deriv=2, delta=dt), -1.93, 1.93),
            within(savgol_filter(heading, min(5, n), 2, deriv=1, delta=dt), -0.95, 0.95),
        ]
    )


def progress(states: Floats, vehicle: VehicleParams, line: Floats) -> float:
    """Metres along a polyline from the first to the last centre, never negative."""
    import shapely

    center = rear_to_center(states[[0, -1]], vehicle.rear_axle_to_center)
    along = shapely.line_locate_point(shapely.LineString(line), shapely.points(center))
    return max(float(along[1] - along[0]), 0.0)


def score_reference(
    states: Floats,
    vehicle: VehicleParams,
    tracks: Floats,
    valid: NDArray[np.bool_],
    size: Floats,
    kind: NDArray[np.uint8],
    roadmap: RoadMap,
    on_route: Iterable[int],
    line: Floats,
    *,
    dt: float = 0.1,
    direction_window: int = 0,
    ttc_last: int = 40,
    windows: tuple[int, int] = (0, 0),
    lateral: float = 0.0,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Columns `(B, 8)` in the order of `SCORE_NAMES` and comfort flags `(B, 6)`, in map coordinates.

    `windows` are those of the acceleration and of the jerk's derivative.
    """
    places = ego_places(states, vehicle, roadmap, on_route)
    out, flags = np.zeros((len(states), 8)), np.zeros((len(states), 6), dtype=np.bool_)
    for b, s in enumerate(states):
        flags[b] = comfort(s, dt, *windows, lateral)
        hit, when = collisions(s, vehicle, tracks, valid, size, kind, places[b], dt)
        ttc, ttc_when = time_to_collision(s, vehicle, tracks, valid, size, places[b], dt, ttc_last)
        way = direction(s, vehicle, places[b, :, ASTRAY], direction_window)
        road = float(not places[b, :, OFF_ROAD].any())
        out[b] = hit, road, way, progress(s, vehicle, line), ttc, float(flags[b].all()), when, ttc_when
    return out, flags
