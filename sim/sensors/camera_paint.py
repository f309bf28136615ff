"""A road map as polygons in layers of paint, which `drive.sim.kernels.camera_paint` turns into rasters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import MapError
from drive.geometry import arc_length
from drive.roadmap.model import DRIVABLE_AREAS, AreaKind, LaneKind, Marking, RoadMap
from drive.roadmap.paint import lane_markings, stop_lines
from drive.roadmap.raster import expand
from drive.sim.kernels.camera_ground import FAR_GROUND
from drive.sim.kernels.camera_paint import BIN, HALF_KEY, KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Layer(IntEnum):
    """Layers of paint, each over those before it."""

    GROUND = 0
    WALK = 1
    ROAD = 2
    JUNCTION = 3
    PARKING = 4
    BICYCLE = 5
    CURB = 6
    PAINT = 7


COLOURS = {
    Layer.GROUND: FAR_GROUND,
    Layer.WALK: (172.0, 168.0, 160.0),
    Layer.ROAD: (92.0, 94.0, 98.0),
    Layer.JUNCTION: (102.0, 104.0, 108.0),
    Layer.PARKING: (80.0, 82.0, 86.0),
    Layer.BICYCLE: (128.0, 82.0, 76.0),
    Layer.CURB: (160.0, 160.0, 156.0),
    Layer.PAINT: (236.0, 236.0, 232.0),
}
LANE_LAYERS = {
    LaneKind.LANE: Layer.ROAD,
    LaneKind.CONNECTOR: Layer.ROAD,
    LaneKind.BICYCLE: Layer.BICYCLE,
    LaneKind.SIDEWALK: Layer.WALK,
    LaneKind.PARKING: Layer.PARKING,
    LaneKind.SHOULDER: Layer.PARKING,
}
GAP = 0.03
"""Lanes are drawn so much wider at either side (m): those of real maps leave slits."""
LINE, CURB, STOP = 0.15, 0.25, 0.4
"""Widths of painted lines, kerbs and stop lines, m."""
DASH, DASH_EVERY = 3.0, 9.0
GIVE_WAY, GIVE_WAY_EVERY = 0.6, 1.0
STRIPE, STRIPE_EVERY = 0.5, 1.0
MAX_LISTED = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class RoadPaint:
    """Polygons in layers; the arrays are those of `drive.sim.kernels.camera_paint.paint_ground`."""

    keys: NDArray[np.int64]
    bin_start: NDArray[np.int32]
    bin_shape: NDArray[np.int32]
    box: Floats
    edge_start: NDArray[np.int32]
    edges: Floats
    layer: NDArray[np.uint8]
    colours: Floats

    @classmethod
    def of(cls, roadmap: RoadMap) -> RoadPaint:
        """The paint of a map, made once and kept with the map. Raises MapError for one that is too large."""
        cached: RoadPaint | None = roadmap.__dict__.get("_camera_paint")
        if cached is None:
            cached = _listed(_shapes(roadmap))
            roadmap.__dict__["_camera_paint"] = cached
        return cached


def _listed(shapes: Iterable[tuple[Layer, Floats, NDArray[np.intp]]]) -> RoadPaint:
    """Polygons `(P, 2)` in compressed rows `(N + 1,)`, by layer, as edges sorted into bins."""
    points, start, layer = [np.zeros((0, 2))], [np.zeros(1, dtype=np.intp)], [np.zeros(0, dtype=np.uint8)]
    for which, p, s in shapes:
        if len(s) < 2:
            continue
        start.append(s[1:] + start[-1][-1])
        points.append(p)
        layer.append(np.full(len(s) - 1, which, dtype=np.uint8))
    p, s, layers = np.concatenate(points), np.concatenate(start), np.concatenate(layer)
    count = np.diff(s)
    following = np.arange(1, len(p) + 1)
    following[s[1:] - 1] = s[:-1]
    edges = np.concatenate((p, p[following]), axis=1)
    twice = (
        np.add.reduceat(edges[:, 0] * edges[:, 3] - edges[:, 2] * edges[:, 1], s[:-1])
        if len(count)
        else count
    )
    flip = np.repeat(twice < 0.0, count)
    edges[flip] = edges[flip][:, [2, 3, 0, 1]]
    low = np.minimum.reduceat(p, s[:-1]) if len(count) else np.zeros((0, 2))
    high = np.maximum.reduceat(p, s[:-1]) if len(count) else np.zeros((0, 2))
    first = np.floor((low - 0.01) / BIN).astype(np.int64)
    span = np.floor((high + 0.01) / BIN).astype(np.int64) - first + 1
    if (
        int(np.abs(first).max(initial=0)) + int(span.max(initial=0)) >= HALF_KEY
        or span.prod(1).sum() > MAX_LISTED
    ):
        raise MapError("the road map is too large to be seen by a camera: crop it")
    owner, k = expand(span.prod(1).astype(np.intp))
    x, y = first[owner, 0] + k % span[owner, 0], first[owner, 1] + k // span[owner, 0]
    key = (x + HALF_KEY) * KEY + y + HALF_KEY
    order = np.lexsort((owner, layers[owner], key))
    keys, begin = np.unique(key[order], return_index=True)
    return RoadPaint(
        keys.astype(np.int64),
        np.append(begin, len(order)).astype(np.int32),
        owner[order].astype(np.int32),
        np.concatenate((low, high), axis=1),
        s.astype(np.int32),
        edges,
        layers,
        np.array([COLOURS[which] for which in Layer]),
    )


def _shapes(roadmap: RoadMap) -> Iterator[tuple[Layer, Floats, NDArray[np.intp]]]:
    areas, inner = roadmap.areas, np.flatnonzero(np.diff(_lane_of_row(roadmap)) == 0)
    yield from _rings(Layer.WALK, areas.of_kind(AreaKind.WALKWAY))
    yield from _rings(Layer.ROAD, areas.of_kind(*DRIVABLE_AREAS))
    yield from _rings(Layer.JUNCTION, areas.of_kind(AreaKind.INTERSECTION))
    yield from _rings(Layer.PARKING, areas.of_kind(AreaKind.PARKING))
    across = roadmap.left - roadmap.right
    across = GAP * across / np.maximum(np.hypot(*across.T), 1e-6)[:, None]
    left, right = roadmap.left + across, roadmap.right - across
    quads = np.stack((right[inner], right[inner + 1], left[inner + 1], left[inner]), axis=1)
    lane = _lane_of_row(roadmap)[inner]
    for kind, layer in LANE_LAYERS.items():
        yield _quads(layer, quads[roadmap.kind[lane] == kind])
    junction = roadmap.intersection | (roadmap.kind == LaneKind.CONNECTOR)
    yield _quads(Layer.JUNCTION, quads[junction[lane] & np.isin(roadmap.kind[lane], _DRIVEN)])
    yield from _lines(roadmap)
    yield from _stops(roadmap)
    yield from _rings(Layer.PAINT, _zebra(roadmap))


_DRIVEN = (LaneKind.LANE, LaneKind.CONNECTOR)


def _lane_of_row(roadmap: RoadMap) -> NDArray[np.intp]:
    return np.repeat(np.arange(roadmap.num_lanes), np.diff(roadmap.lane_start))


def _quads(layer: Layer, quads: Floats) -> tuple[Layer, Floats, NDArray[np.intp]]:
    """Quadrilaterals `(N, 4, 2)` of one layer."""
    return layer, quads.reshape(-1, 2), 4 * np.arange(len(quads) + 1)


def _rings(layer: Layer, rings: list[Floats]) -> Iterator[tuple[Layer, Floats, NDArray[np.intp]]]:
    if rings:
        start = np.concatenate(([0], np.cumsum([len(ring) for ring in rings])))
        yield layer, np.concatenate(rings), start


def _lines(roadmap: RoadMap) -> Iterator[tuple[Layer, Floats, NDArray[np.intp]]]:
    lanes = np.arange(roadmap.num_lanes)
    for left, bound in ((True, roadmap.left), (False, roadmap.right)):
        for lane, marking in enumerate(lane_markings(roadmap, lanes, left)):
            line = bound[roadmap.rows(lane)]
            if marking == Marking.SOLID:
                yield _quads(Layer.PAINT, _ribbon(line, LINE))
            elif marking == Marking.CURB:
                yield _quads(Layer.CURB, _ribbon(line, CURB))
            elif marking == Marking.DASHED:
                yield _quads(Layer.PAINT, _ribbon(line, LINE, dashes=(DASH, DASH_EVERY)))
            elif marking == Marking.DOUBLE_SOLID:
                for side in (-LINE, LINE):
                    yield _quads(Layer.PAINT, _ribbon(line, LINE, side))


def _ribbon(
    line: Floats, width: float, side: float = 0.0, dashes: tuple[float, float] | None = None
) -> Floats:
    """A line `(N, 2)` as quadrilaterals `(Q, 4, 2)`, `side` m to its left; `dashes` length and distance."""
    if dashes is not None:
        s = arc_length(line)
        begin = np.arange(0.0, s[-1], dashes[1])
        at = np.unique(np.concatenate((s, begin, np.minimum(begin + dashes[0], s[-1]))))
        line = np.column_stack([np.interp(at, s, line[:, k]) for k in (0, 1)])
        on = np.mod(0.5 * (at[:-1] + at[1:]), dashes[1]) < dashes[0]
    else:
        on = np.ones(len(line) - 1, dtype=np.bool_)
    step = np.diff(line, axis=0)
    long = np.hypot(*step.T)
    on &= long > 1e-6
    normal = np.column_stack((-step[:, 1], step[:, 0]))[on] / long[on, None]
    a, b = line[:-1][on], line[1:][on]
    low, high = (side - 0.5 * width) * normal, (side + 0.5 * width) * normal
    return np.stack((a + low, b + low, b + high, a + high), axis=1)


def _stops(roadmap: RoadMap) -> Iterator[tuple[Layer, Floats, NDArray[np.intp]]]:
    for segment, signal in zip(*stop_lines(roadmap, np.arange(roadmap.num_lanes)), strict=True):
        dashes = None if signal >= 0 else (GIVE_WAY, GIVE_WAY_EVERY)
        yield _quads(Layer.PAINT, _ribbon(segment.reshape(2, 2), STOP, dashes=dashes))


def _zebra(roadmap: RoadMap) -> list[Floats]:
    """Stripes of the crosswalks, along the nearest lane."""
    import shapely

    driven = np.flatnonzero(np.isin(roadmap.kind[_lane_of_row(roadmap)], _DRIVEN))
    stripes: list[Floats] = []
    for ring in roadmap.areas.of_kind(AreaKind.CROSSWALK):
        middle, heading = ring.mean(0), 0.0
        if len(driven):
            nearest = driven[np.argmin(((roadmap.points[driven] - middle) ** 2).sum(1))]
            # Along that side of the crosswalk: the nearest lane may be one that turns.
            edge = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.Polygon(ring)))[:2]
            side = float(np.arctan2(*(edge[-1] - edge[0])[::-1]))
            heading = side + 0.5 * np.pi * np.round((roadmap.heading[nearest] - side) / (0.5 * np.pi))
        c, s = np.cos(heading), np.sin(heading)
        turn = np.array([[c, -s], [s, c]])
        x, y = ((ring - middle) @ turn).T
        count = int(min((y.max() - y.min() - STRIPE) // STRIPE_EVERY + 1, 1000))
        first = 0.5 * (y.max() + y.min()) - 0.5 * (count - 1) * STRIPE_EVERY
        low = first + STRIPE_EVERY * np.arange(max(count, 0)) - 0.5 * STRIPE
        bars = shapely.box(np.full_like(low, x.min()), low, np.full_like(low, x.max()), low + STRIPE)
        found = shapely.intersection(bars, shapely.make_valid(shapely.Polygon(np.column_stack((x, y)))))
        for part in shapely.get_parts(shapely.get_parts(found)):
            if part.geom_type == "Polygon" and part.area > 1e-4:
                outline = shapely.get_coordinates(part.exterior)[:-1]
                stripes.append(outline @ turn.T + middle)
    return stripes
