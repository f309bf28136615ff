"""Lanes and connectors as they stand in a map's layers: lines, ids and links."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.geometry import remove_duplicates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drive.datasets.nuplan.gpkg import Features

    Floats = NDArray[np.float64]

HALF_WIDTH = 1.75
"""Metres on either side of a centreline whose bounds the map does not hold."""
MAX_HALF_WIDTH = 15.0
SAME_ROW = 0.5
"""Metres between a row of a boundary and the point of it next to the centreline's row, where both are taken
to be the same row."""
BLOCK = 200_000
SIMPLE = 0.002
"""Metres that a boundary may be changed by where nearest points on it are sought."""


@dataclass(eq=False)
class RawEdge:
    """A lane, or a connector from `source` to `target`; ids are the map's, None where it gives none.

    `lines` are centre, left and right bound `(N, 2)` at common rows; `lights` the ids of stop polygons;
    `about` what a file of ours says of it.
    """

    fid: int
    connector: bool
    center: Floats
    bounds: tuple[int | None, int | None]
    group: int | None
    index: int = 0
    source: int | None = None
    target: int | None = None
    limit: float | None = None
    lights: tuple[int, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    left: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    right: Floats = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def lines(self) -> tuple[Floats, Floats, Floats]:
        return self.center, self.left, self.right


def read_edges(layers: Mapping[str, Features], name: str, notes: list[str]) -> list[RawEdge]:
    """All lanes, then all connectors, that have a centreline; a note tells of the others."""
    lane_lines, connector_lines = _baselines(layers["baseline_paths"])
    edges: list[RawEdge] = []
    layer = layers["lanes_polygons"]
    sides = list(zip(layer.whole("left_boundary_fid"), layer.whole("right_boundary_fid"), strict=True))
    groups, indices, fids = layer.whole("lane_group_fid"), layer.whole("lane_index"), layer.whole("lane_fid")
    about, limits = _about(layer, name), _limits(layer)
    lost = 0
    for k, fid in enumerate(fids):
        line = lane_lines.get(fid) if fid is not None else None
        if fid is None or line is None:
            lost += 1
            continue
        edge = RawEdge(
            fid, False, line, sides[k], groups[k], indices[k] or 0, limit=limits[k], about=about[k]
        )
        edges.append(edge)
    layer = layers["lane_connectors"]
    shapes = layers["gen_lane_connectors_scaled_width_polygons"]
    pairs = zip(shapes.whole("left_boundary_fid"), shapes.whole("right_boundary_fid"), strict=True)
    bounds = dict(zip(shapes.whole("lane_connector_fid"), pairs, strict=True))
    sources, targets = layer.whole("exit_lane_fid"), layer.whole("entry_lane_fid")
    groups, about, limits = layer.whole("lane_group_connector_fid"), _about(layer, name), _limits(layer)
    lights = layer.columns.get("traffic_light_stop_line_fids", [""] * len(layer))
    for k, fid in enumerate(layer.fids.tolist()):
        line = connector_lines.get(fid)
        if line is None:
            lost += 1
            continue
        edge = RawEdge(fid, True, line, bounds.get(fid, (None, None)), groups[k])
        edge.source, edge.target, edge.limit, edge.about = sources[k], targets[k], limits[k], about[k]
        edge.lights = _ids(lights[k])
        edges.append(edge)
    if lost:
        notes.append(f"{lost} lanes without a centreline are left out")
    if not edges:
        raise MapError(f"{name}: the map holds no lane with a centreline")
    _add_bounds(edges, layers["boundaries"], notes)
    return edges


def _baselines(layer: Features) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """Centrelines of the lanes and of the connectors, by id."""
    lanes: dict[int, Floats] = {}
    connectors: dict[int, Floats] = {}
    for lane, connector, points in zip(
        layer.whole("lane_fid"), layer.whole("lane_connector_fid"), _all_points(layer.shapes), strict=True
    ):
        if points is None:
            continue
        if lane is not None:
            lanes.setdefault(lane, points)
        elif connector is not None:
            connectors.setdefault(connector, points)
    return lanes, connectors


def _one_line(shape: Any) -> Any:
    """The longest line of a shape that may be of several parts."""
    import shapely

    if shape is not None and shape.geom_type == "MultiLineString":
        merged = shapely.line_merge(shape)
        shape = max(shapely.get_parts(merged), key=shapely.length) if not merged.is_empty else None
    return shape if shape is not None and shape.geom_type == "LineString" and not shape.is_empty else None


def _all_points(shapes: NDArray[np.object_]) -> list[Floats | None]:
    """Points `(N, 2)` of each line, without repeated ones; None where it is no line of any length."""
    import shapely

    lines = [_one_line(shape) for shape in shapes]
    xy, owner = shapely.get_coordinates(np.asarray(lines, dtype=object), return_index=True)
    cuts = np.searchsorted(owner, np.arange(len(lines) + 1))
    out: list[Floats | None] = []
    for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        points = xy[a:b]
        if b - a > 1 and (np.abs(np.diff(points, axis=0)).sum(1) < 1e-3).any():
            points = remove_duplicates(points, 1e-3)
        out.append(points if len(points) > 1 else None)
    return out


def _add_bounds(edges: Sequence[RawEdge], layer: Features, notes: list[str]) -> None:
    """Left and right bounds at the rows of the centrelines: the nearest points of the boundary lines.

    A boundary may run against the lane, reach beyond it or have other rows; where its rows already fit those
    of the centreline they are taken as they are.
    """
    import shapely

    at = {fid: k for k, fid in enumerate(layer.fids.tolist())}
    none = np.full(1, None, dtype=object)  # answers for -1
    lines = np.concatenate((np.asarray([_one_line(s) for s in layer.shapes], dtype=object), none))
    # Few rows to search: a straight boundary has two.
    plain = np.asarray(shapely.simplify(lines, SIMPLE), dtype=object)
    guessed, block, rows = 0, [], 0
    for edge in edges:
        block.append(edge)
        rows += len(edge.center)
        if rows > BLOCK:  # a million shapes at a time would take a gigabyte
            guessed += _bounds_of(block, at, lines, plain)
            block, rows = [], 0
    guessed += _bounds_of(block, at, lines, plain) if block else 0
    if guessed:
        notes.append(f"{guessed} bounds of lanes are missing; {HALF_WIDTH} m from the centreline stand in")


def _bounds_of(
    edges: Sequence[RawEdge], at: Mapping[int, int], lines: NDArray[np.object_], plain: NDArray[np.object_]
) -> int:
    """Give some edges their bounds; how many of these are guessed."""
    import shapely

    counts = np.asarray([len(e.center) for e in edges])
    start = np.concatenate(([0], np.cumsum(counts)))
    center = np.concatenate([e.center for e in edges])
    ahead = np.diff(center, axis=0, append=center[-1:])
    ahead[start[1:] - 1] = ahead[start[1:] - 2]
    aside = np.stack((-ahead[:, 1], ahead[:, 0]), axis=-1) / np.hypot(*ahead.T)[:, None]
    points = shapely.points(center)
    guessed = 0
    for side, name in enumerate(("left", "right")):
        rows = [-1 if (b := e.bounds[side]) is None else at.get(b, -1) for e in edges]
        along = np.repeat(plain[rows], counts)
        near = shapely.line_interpolate_point(along, shapely.line_locate_point(along, points))
        usual = center + (HALF_WIDTH if side == 0 else -HALF_WIDTH) * aside
        xy = usual.copy()
        known = ~shapely.is_missing(near)
        xy[known] = shapely.get_coordinates(near[known])
        far = np.hypot(*(xy - center).T) > MAX_HALF_WIDTH
        xy[far] = usual[far]
        sizes = shapely.get_num_coordinates(lines[rows])
        for k, edge in enumerate(edges):
            own = xy[start[k] : start[k + 1]]
            if lines[rows[k]] is None:
                guessed += 1
            elif sizes[k] == counts[k]:
                given = shapely.get_coordinates(lines[rows[k]])
                if edge.about or np.abs(given - own).max() < SAME_ROW:
                    own = given
            setattr(edge, name, own)
    return guessed


def _about(layer: Features, name: str) -> list[dict[str, Any]]:
    """The column `drive` of a file that we wrote."""
    out: list[dict[str, Any]] = []
    for text in layer.columns.get("drive", [None] * len(layer)):
        try:
            value = json.loads(text) if text else {}
        except (TypeError, ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise MapError(f"{name}: the column 'drive' holds '{str(text)[:40]}' instead of what we write")
        out.append(value)
    return out


def _limits(layer: Features) -> list[float | None]:
    values = layer.columns.get("speed_limit_mps", [None] * len(layer))
    return [v if isinstance(v, float | int) and v == v and 0.0 < v < 1e3 else None for v in values]


def _ids(text: Any) -> tuple[int, ...]:
    parts = str(text or "").replace(" ", "").split(",")
    return tuple(int(p) for p in parts if p.isascii() and p.isdigit() and len(p) < 16)
