"""The reference line of a way as an even table: curvature, limits, and the room to either side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import arc_length, polyline_heading, resample_polyline, unwrap_angle
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.model import LaneKind
from drive.sim.kernels import line as columns
from drive.sim.kernels.line import (
    frenet_state,
    locate_all,
    march_to_edge,
    nearest_row,
    refine_to_edge,
    world_states,
)
from drive.sim.road.way import project
from drive.sim.traffic.paths import smoothed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.sim.road.way import Way
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

STEP = 0.5
ROOM_EVERY = 4
"""Rows between two looks at the room beside the line."""
FAR = 12.0
"""m beside the line beyond which no edge is looked for."""
SMOOTH = 4
"""Samples on either side over which the line is averaged, twice: maps are polylines."""
MOST_LANES = 4


@dataclass(frozen=True, slots=True, eq=False)
class RoadFrame:
    """A way's centreline, sampled every `step` m, relative to `origin (2,)`.

    `rows (K, 14)` float64, at the `stations (K,)`, by the columns of `drive.sim.kernels.line`: X, Y
    in m; HEADING in rad, unwrapped, its COSINE and SINE; CURVATURE in 1/m and DCURVATURE in 1/m^2; LIMIT in
    m/s, the least of the speed limit and of what bends here and ahead permit; LEFT and RIGHT, m from the line
    to the end of the lanes in its direction; EDGE_LEFT and EDGE_RIGHT, m to the edge of the drivable area, at
    most 12; LANE_LEFT and LANE_RIGHT, the offset of the centre of the lane beside to which a change is
    permitted, NaN where none is. `stops (Q,)` with their `signals (Q,)`, and `give_way (G,)`, are stations of
    lines before which the front bumper has to halt. `ends` says that the road ends where the table does.
    """

    origin: Floats
    step: float
    rows: Floats
    stations: Floats
    stops: Floats
    signals: NDArray[np.int32]
    give_way: Floats
    ends: bool

    @property
    def length(self) -> float:
        return self.step * (len(self.rows) - 1)

    @classmethod
    def of(
        cls, way: Way, roadmap: RoadMap, lateral_acceleration: float = 2.5, braking: float = 1.5
    ) -> RoadFrame:
        """The table of a way; bends are taken with the lateral acceleration, and slowed down for with the
        braking, both in m/s^2."""
        line = resample_polyline(way.line, STEP)
        line = resample_polyline(smoothed(smoothed(line, SMOOTH), SMOOTH), STEP)
        station = arc_length(line)
        n, step = len(line), float(station[-1] / (len(line) - 1))
        rows = np.zeros((n, columns.NUM_COLUMNS))
        heading = unwrap_angle(polyline_heading(line))
        curvature = smoothed(np.gradient(heading, step)[:, None], SMOOTH)[:, 0]
        rows[:, columns.X], rows[:, columns.Y], rows[:, columns.HEADING] = line[:, 0], line[:, 1], heading
        rows[:, columns.COSINE], rows[:, columns.SINE] = np.cos(heading), np.sin(heading)
        rows[:, columns.CURVATURE] = curvature
        rows[:, columns.DCURVATURE] = smoothed(np.gradient(curvature, step)[:, None], SMOOTH)[:, 0]
        feet, _, _ = project(line, way.line)
        bend = np.sqrt(lateral_acceleration / np.maximum(np.abs(curvature), 1e-6))
        vertex = np.minimum(
            (feet / way.line_station[-1] * (len(way.line) - 1)).astype(int), len(way.line) - 1
        )
        rows[:, columns.LIMIT] = _reachable(np.minimum(way.limit[np.maximum(vertex, 0)], bend), step, braking)
        lanes = way.lane_of[np.maximum(vertex, 0)]
        _lane_room(roadmap, lanes, line + way.origin, heading, rows)
        _edge_room(roadmap, way.origin, rows)
        stops = np.interp(way.stops[0], feet, step * np.arange(n))
        give_way = np.interp(way.give_way, feet, step * np.arange(n))
        stations = np.asarray(step * np.arange(n), dtype=np.float64)
        return cls(way.origin, step, rows, stations, stops, way.signals, give_way, not way.truncated)

    def nearest(self, x: float, y: float) -> float:
        """Station of the sample nearest to a point in scenario coordinates."""
        return self.step * int(nearest_row(self.rows, x - self.origin[0], y - self.origin[1]))

    def locate(self, points: Floats, guess: float = 0.0) -> Floats:
        """Stations and offsets `(N, 2)` of `points (N, >= 2)` in scenario coordinates.

        The search goes downhill from the station `guess`, then from each point to the next.
        """
        out = np.empty((len(points), 2))
        locate_all(self.rows, self.step, np.asarray(points, np.float64)[:, :2] - self.origin, guess, out)
        return out

    def state(self, ego: Floats, guess: float) -> Floats:
        """The Frenet state `(6,)` of a rear-axle state `(7,)`: s, s', s'', d, d', d'' in time."""
        here = np.array(ego[:7], dtype=np.float64)
        here[:2] -= self.origin
        out = np.empty(6)
        frenet_state(self.rows, self.step, here, guess, out)
        return out

    def states(self, frenet: Floats, vehicle: VehicleParams, heading: float) -> Floats:
        """Rear-axle states `(N, 7)` in scenario coordinates of Frenet states `(N, 6)`.

        Headings are wrapped; who stands from the start has `heading`, who stops keeps its own.
        """
        out = np.empty((len(frenet), 7))
        world_states(
            self.rows, self.step, np.ascontiguousarray(frenet, np.float64), vehicle.wheelbase, heading,
            *self.origin.tolist(), out,
        )  # fmt: skip
        return out

    def room(self, station: float) -> tuple[float, float]:
        """m to the left and right of the line that belong to lanes in its direction, and to the road."""
        k = min(max(round(station / self.step), 0), len(self.rows) - 1)
        row = self.rows[k]
        return (
            float(min(row[columns.LEFT], row[columns.EDGE_LEFT])),
            float(min(row[columns.RIGHT], row[columns.EDGE_RIGHT])),
        )

    def offset_bounds(
        self, stations: Floats, vehicle: VehicleParams, margin: float, lean: float = 0.0
    ) -> tuple[Floats, Floats]:
        """Least and largest offset `(T,)` of the rear axle with which the box stays on lanes in the line's
        direction and on the road, `margin` m from their ends; the box may reach `lean` m beyond the lanes.

        In a bend the front sweeps outwards by half the curvature times the square of its distance from the
        rear axle, and where the room narrows ahead the front gets there first. The least may exceed the
        largest where the room is too narrow.
        """
        half, ahead = 0.5 * vehicle.width, vehicle.rear_axle_to_center + 0.5 * vehicle.length
        left, right = [], []
        for at in (stations, stations + 0.5 * ahead, stations + ahead):
            left.append(np.minimum(self.at(at, columns.LEFT) + lean, self.at(at, columns.EDGE_LEFT)))
            right.append(np.minimum(self.at(at, columns.RIGHT) + lean, self.at(at, columns.EDGE_RIGHT)))
        sweep = 0.5 * ahead * ahead * self.at(stations + 0.5 * ahead, columns.CURVATURE)
        high = np.minimum.reduce(left) - half - margin + np.minimum(sweep, 0.0)
        low = -np.minimum.reduce(right) + half + margin + np.maximum(sweep, 0.0)
        return low, high

    def at(self, station: float | Floats, column: int) -> Floats:
        """A column of the table at stations, held at its ends."""
        return np.asarray(np.interp(station, self.stations, self.rows[:, column]))


def _reachable(limit: Floats, step: float, braking: float) -> Floats:
    """Limits `(N,)` from which every later one can be reached with the braking: v^2 falls by 2 b ds."""
    square = limit**2 + 2.0 * braking * step * np.arange(len(limit))
    lowest = np.minimum.accumulate(square[::-1])[::-1]
    return np.asarray(np.sqrt(lowest - 2.0 * braking * step * np.arange(len(limit))))


def _lane_room(
    roadmap: RoadMap, lanes: NDArray[np.int32], line: Floats, heading: Floats, rows: Floats
) -> None:
    """Fill LEFT, RIGHT, LANE_LEFT and LANE_RIGHT from the lane of each row and those beside it."""
    rows[:, columns.LEFT] = rows[:, columns.RIGHT] = 1.75
    rows[:, columns.LANE_LEFT] = rows[:, columns.LANE_RIGHT] = np.nan
    sides = (
        (1.0, columns.LEFT, columns.LANE_LEFT, roadmap.left_lane, roadmap.left_change, 0),
        (-1.0, columns.RIGHT, columns.LANE_RIGHT, roadmap.right_lane, roadmap.right_change, 1),
    )
    for lane in np.unique(lanes[lanes >= 0]).tolist():
        here = np.flatnonzero(lanes == lane)
        for sign, room, beside, near, allowed, half in sides:
            now, permitted = lane, True
            for n in range(MOST_LANES):
                span = roadmap.rows(now)
                _, d, k = project(line[here], roadmap.points[span])
                offset = -d
                rows[here, room] = np.maximum(sign * offset + roadmap.half_width[span][k, half], 0.0)
                if n == 1 and permitted:
                    rows[here, beside] = offset
                permitted &= bool(allowed[now])
                now = int(near[now])
                if now < 0 or roadmap.kind[now] > LaneKind.CONNECTOR:
                    break


def exact_edges(frame: RoadFrame, roadmap: RoadMap) -> Floats:
    """The frame's EDGE_LEFT and EDGE_RIGHT `(K, 2)` to a millimetre, every fourth row of them looked for.

    Those of the frame itself are measured in steps of 0.25 m and up to that much short.
    """
    at = _looked_at(frame.rows)
    room = np.ascontiguousarray(frame.rows[at][:, [columns.EDGE_LEFT, columns.EDGE_RIGHT]])
    refine_to_edge(frame.rows, ROOM_EVERY, FAR, *_area(roadmap, frame.origin), room)
    k = np.arange(len(frame.rows))
    return np.stack([np.interp(k, at, room[:, side]) for side in range(2)], axis=-1)


def _edge_room(roadmap: RoadMap, origin: Floats, rows: Floats) -> None:
    at = _looked_at(rows)
    room = np.empty((len(at), 2))
    march_to_edge(rows, ROOM_EVERY, FAR, *_area(roadmap, origin), room)
    k = np.arange(len(rows))
    for side, column in enumerate((columns.EDGE_LEFT, columns.EDGE_RIGHT)):
        rows[:, column] = np.interp(k, at, room[:, side])


def _looked_at(rows: Floats) -> NDArray[np.intp]:
    """Rows beside which the edge is looked for."""
    return np.minimum(np.arange(0, len(rows) + ROOM_EVERY - 1, ROOM_EVERY), len(rows) - 1)


def _area(roadmap: RoadMap, origin: Floats) -> tuple[Any, ...]:
    """The drivable area as the kernels take it, its corner in the frame's coordinates."""
    a = DrivableArea.of(roadmap)
    return a.x0 - origin[0], a.y0 - origin[1], a.cell, a.state, a.start, a.triangles, a.corners
