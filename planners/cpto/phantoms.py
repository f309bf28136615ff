"""Who may come out from behind what hides them: one phantom for an occlusion edge, at worst-case speed.

Two kinds: somebody who steps out at the corner of what hides him, towards the way; and a vehicle on a lane
that crosses the way, just behind the edge of what is seen of it. Lanes that have to wait, at a line or for
a light, send no phantoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import arc_length
from drive.roadmap.model import LaneKind
from drive.scenario import SignalState
from drive.sim.kernels.line import HEADING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.cpto.config import CPTOConfig
    from drive.roadmap.model import RoadMap
    from drive.sim.road.frame import RoadFrame

    Floats = NDArray[np.float64]

REACH = 45.0
"""m ahead along the way in which phantoms are thought of."""
UPSTREAM = 60.0
BESIDE = (1.4, 6.0)
"""m from the line between which a corner hides somebody who could step out."""
CROSSES = 0.8
"""Cosine between two headings above which a lane runs along the way."""
PERSON, VEHICLE = (0.4, 0.4), (2.4, 1.0)
"""Half sizes in m."""
MOST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """A lane that crosses the way at `station` of it: its line `(P, 2)` up to there, its end first."""

    station: float
    line: Floats
    signal: int


def find_crossings(roadmap: RoadMap, frame: RoadFrame) -> list[Crossing]:
    """Where other lanes cross a way."""
    import shapely

    xy = frame.rows[:, :2] + frame.origin
    way = shapely.LineString(xy)
    found = []
    drivable = roadmap.kind <= LaneKind.CONNECTOR
    for lane in np.flatnonzero(drivable).tolist():
        line = roadmap.centerline(lane)
        point = way.intersection(shapely.LineString(line))
        if point.is_empty or np.isfinite(roadmap.stop_station[lane]):
            continue
        x, y = shapely.get_coordinates(point)[0]
        here = float(way.project(shapely.Point(x, y)))
        station = float(shapely.LineString(line).project(shapely.Point(x, y)))
        along = roadmap.station[roadmap.rows(lane)]
        heading = float(np.interp(station, along, np.unwrap(roadmap.heading[roadmap.rows(lane)])))
        if abs(np.cos(heading - frame.at(here, HEADING))) > CROSSES:
            continue
        pieces, now, signal, waits = [line[along < station]], lane, int(roadmap.signal[lane]), False
        length = station
        while length < UPSTREAM and len(before := roadmap.predecessors(now)):
            now = int(before[0])
            waits |= bool(np.isfinite(roadmap.stop_station[now]) and roadmap.signal[now] < 0)
            signal = signal if signal >= 0 else int(roadmap.signal[now])
            pieces.insert(0, roadmap.centerline(now))
            length += float(roadmap.length[now])
        upstream = np.concatenate([*pieces, [[x, y]]])[::-1]
        if len(upstream) > 1 and not waits:
            found.append(Crossing(here, upstream, signal))
    return found


def make_phantoms(
    observation: Observation,
    frame: RoadFrame,
    station: float,
    crossings: list[Crossing],
    times: Floats,
    config: CPTOConfig,
) -> tuple[Floats, Floats]:
    """Poses `(F, K, 3)` at `times (K,)` and half sizes `(F, 2)` of whom the edges may hide, nearest first."""
    edges = observation.occlusion_edges
    edges = edges[np.isfinite(edges).all((1, 2))]
    if not len(edges):
        return np.empty((0, len(times), 3)), np.empty((0, 2))
    found: list[tuple[float, Floats, tuple[float, float]]] = []
    # An edge runs along a ray of sight, so that its nearer end is the corner of what hides.
    ends = np.hypot(*(edges - observation.ego[:2]).transpose(2, 0, 1))
    points = edges[np.arange(len(edges)), np.argmin(ends, axis=1)]
    corners = frame.locate(points, station)
    hidden = np.stack((edges[:, 0, 1] - edges[:, 1, 1], edges[:, 1, 0] - edges[:, 0, 0]), axis=-1)
    for (s, d), corner, side in zip(corners.tolist(), points, hidden, strict=True):
        if not (5.0 < s - station < REACH and BESIDE[0] < abs(d) < BESIDE[1]):
            continue
        road = float(frame.at(s, HEADING))
        if (np.cos(road) * side[1] - np.sin(road) * side[0]) * d <= 0.0:
            continue  # what is hidden lies towards the way: the other corner hides it
        toward = road - np.sign(d) * 0.5 * np.pi
        way = config.phantom_walk * times
        begin = corner + 0.5 * np.array([np.cos(road), np.sin(road)])
        poses = np.stack(
            (begin[0] + np.cos(toward) * way, begin[1] + np.sin(toward) * way, np.full(len(times), toward)),
            axis=-1,
        )
        found.append((s - station, poses, PERSON))
    for crossing in crossings:
        shown = observation.signals[crossing.signal] if crossing.signal >= 0 else SignalState.GREEN
        ahead = crossing.station - station
        if not 5.0 < ahead < REACH or shown != SignalState.GREEN:
            continue
        at = _first_hidden(crossing.line, edges)
        if at is None:
            continue
        along = arc_length(crossing.line)
        where = at + VEHICLE[0] - config.phantom_speed * times
        x, y = (np.interp(where, along, crossing.line[:, k]) for k in range(2))
        # Past the crossing it goes straight on.
        first = crossing.line[0] - crossing.line[1]
        first = first / np.hypot(*first)
        over = np.maximum(-where, 0.0)
        x, y = x + over * first[0], y + over * first[1]
        heading = np.arctan2(np.gradient(y), np.gradient(x))
        found.append((ahead, np.stack((x, y, heading), axis=-1), VEHICLE))
    found.sort(key=lambda phantom: phantom[0])
    found = found[:MOST]
    if not found:
        return np.empty((0, len(times), 3)), np.empty((0, 2))
    return np.stack([poses for _, poses, _ in found]), np.array([half for _, _, half in found])


def _first_hidden(line: Floats, edges: Floats) -> float | None:
    """Metres up a line to where the first edge cuts it; None where all of it is seen."""
    p, r = line[:-1, None], np.diff(line, axis=0)[:, None]
    q, s = edges[None, :, 0], (edges[:, 1] - edges[:, 0])[None]
    cross = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
    cross = np.where(np.abs(cross) < 1e-12, np.nan, cross)
    w = q - p
    t = (w[..., 0] * s[..., 1] - w[..., 1] * s[..., 0]) / cross
    u = (w[..., 0] * r[..., 1] - w[..., 1] * r[..., 0]) / cross
    hit = (t >= 0.0) & (t <= 1.0) & (u >= 0.0) & (u <= 1.0)
    if not hit.any():
        return None
    k = int(np.argmax(hit.any(1)))
    share = float(t[k][hit[k]].min())
    along = arc_length(line)
    return float(along[k] + share * (along[k + 1] - along[k]))
