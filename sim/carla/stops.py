"""Stop signs of a CARLA world, for planners that know traffic lights only.

A planner is shown a stop sign as a light at the lane's stop line: red until the ego has stood before it, then
green until it is well past. The run log keeps the map as it is, with the signs' areas, which the scores read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import points_in_polygon
from drive.roadmap.model import AreaKind, Polygons
from drive.scenario import SignalState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

NEAR = 8.0
"""Metres from a sign's trigger box within which a stop line is its own."""
STOOD = 0.1
REACH = 4.0
"""m/s below which the ego stands, and metres ahead of it that the box may begin (those of the scores)."""
PAST = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class StopSigns:
    """The signs of a map: `boxes`, rings `(4, 2)` in the map's coordinates; `known` for planners, `logged`
    for scores; `served` the signs before which the ego has stood."""

    boxes: tuple[Floats, ...]
    known: RoadMap
    logged: RoadMap
    served: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, world: Any, roadmap: RoadMap, origin: tuple[float, float]) -> StopSigns:
        """The signs of a CARLA world that rule a lane of the map."""
        rings, ids = [], []
        for sign in world.get_actors().filter("traffic.stop*"):
            rings.append(box_ring(sign, origin))
            ids.append(f"stop_sign_{sign.id}")
        return cls.place(rings, ids, roadmap)

    @classmethod
    def place(cls, rings: list[Floats], ids: list[str], roadmap: RoadMap) -> StopSigns:
        """Signs by their boxes; those at whose box no lane has a stop line of its own are left out."""
        signal = np.array(roadmap.signal)
        open_lanes = np.flatnonzero((signal < 0) & np.isfinite(roadmap.stop_station)).tolist()
        spots = {lane: _stop_point(roadmap, lane) for lane in open_lanes}
        kept: list[Floats] = []
        names: list[str] = []
        for ring, name in zip(rings, ids, strict=True):
            mine = [n for n, p in spots.items() if signal[n] < 0 and _gap(ring, p) < NEAR]
            if not mine:
                continue
            signal[mine] = len(roadmap.signal_ids) + len(kept)
            kept.append(ring)
            names.append(name)
        if not kept:
            return cls((), roadmap, roadmap)
        known = replace(roadmap, signal=signal, signal_ids=(*roadmap.signal_ids, *names))
        a = roadmap.areas
        areas = Polygons.from_rings(
            [*(a[i] for i in range(len(a))), *kept], [*a.kind.tolist(), *[int(AreaKind.STOP)] * len(kept)]
        )
        before = roadmap.area_ids or ("",) * len(a)
        return cls(tuple(kept), known, replace(roadmap, areas=areas, area_ids=(*before, *names)))

    def states(self, ego: Floats, vehicle: VehicleParams) -> NDArray[np.uint8]:
        """States of the signs as lights; notes where the ego stands now."""
        x, y, heading, speed = (float(v) for v in ego[:4])
        c, s = math.cos(heading), math.sin(heading)
        ahead = vehicle.rear_axle_to_center + np.linspace(0.0, REACH, 9)
        points = np.stack((x + ahead * c, y + ahead * s), axis=1)
        out = np.full(len(self.boxes), SignalState.RED, dtype=np.uint8)
        for k, ring in enumerate(self.boxes):
            if speed < STOOD and points_in_polygon(points, ring).any():
                self.served.add(k)
            elif k in self.served and float(np.hypot(*(ring.mean(0) - points[0]))) > PAST:
                self.served.discard(k)
            if k in self.served:
                out[k] = SignalState.GREEN
        return out


def box_ring(sign: Any, origin: tuple[float, float]) -> Floats:
    """The corners `(4, 2)` of a sign's trigger box in our coordinates."""
    box, transform = sign.trigger_volume, sign.get_transform()
    ex, ey = float(box.extent.x), float(box.extent.y)
    m = np.array(transform.get_matrix())
    turn = math.radians(float(box.rotation.yaw))
    out = []
    for dx, dy in ((ex, ey), (-ex, ey), (-ex, -ey), (ex, -ey)):
        x = box.location.x + dx * math.cos(turn) - dy * math.sin(turn)
        y = box.location.y + dx * math.sin(turn) + dy * math.cos(turn)
        at = m @ np.array((x, y, box.location.z, 1.0))
        out.append((at[0] - origin[0], -at[1] - origin[1]))
    return np.array(out)


def _stop_point(roadmap: RoadMap, lane: int) -> Floats:
    """Where a lane's stop line crosses its centreline; before the lane's start on its tangent."""
    rows = roadmap.rows(lane)
    s, at = roadmap.station[rows], float(roadmap.stop_station[lane])
    inside = float(np.clip(at, s[0], s[-1]))
    p = np.array([np.interp(inside, s, roadmap.points[rows][:, i]) for i in range(2)])
    h = float(roadmap.heading[rows][int(np.clip(np.searchsorted(s, at), 0, len(s) - 1))])
    return p + (at - inside) * np.array((math.cos(h), math.sin(h)))


def _gap(ring: Floats, point: Floats) -> float:
    if points_in_polygon(point[None], ring).any():
        return 0.0
    # The corners and the sides' middles: a box is a few metres long.
    around = np.concatenate((ring, 0.5 * (ring + np.roll(ring, 1, axis=0))))
    return float(np.hypot(*(around - point).T).min())
