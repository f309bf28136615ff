"""Many scenes of a score in one set of arrays, and one of them taken out again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from drive.sim.kernels.compile import scalar
from drive.sim.kernels.score_area import Area, LaneGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class SceneArrays(NamedTuple):
    """S scenes in one set of arrays; what several share (a map) is there once.

    `span (S, SPANS)` says where a scene's part is: which of the `cells`, how many rows and columns of them,
    then begin and end of its part of each array in POOLED. `frame (S, 6)`: corner and cell size of the area,
    then of the lanes. The rest is as in `ScoreScene`, padded to the longest.
    """

    span: Array  # int64, see SPANS
    frame: Array
    ego: Array  # (S, 4)
    track: Array  # (S, 5, K, A)
    extent: Array  # (S, 3, A)
    penalty: Array  # (S, A)
    skip: Array  # (S, A) uint8
    cells: Array  # (M, R, C) uint8
    cell_start: Array
    triangles: Array
    corners: Array
    lane_shape: Array  # (S, 2) int32
    lane_start: Array
    segments: Array
    left: Array
    right: Array
    lane: Array
    flags: Array  # uint8
    line: Array  # (N, 2) float64
    station: Array  # float64
    shift: Array  # (S, 2) float64
    window: Array  # (S, 2) int32


POOLED = (
    "cell_start", "triangles", "corners", "lane_start", "segments", "left", "right", "lane", "flags", "line",
    "station",
)  # fmt: skip
"""Arrays in which the scenes' parts lie one after another."""
SPANS = 3 + 2 * len(POOLED)


@scalar
def area_of(s, k):
    """Area of scene k."""
    n = s.span
    return Area(
        s.frame[k, 0], s.frame[k, 1], s.frame[k, 2],
        s.cells[n[k, 0], : n[k, 1], : n[k, 2]],
        s.cell_start[n[k, 3] : n[k, 4]],
        s.triangles[n[k, 5] : n[k, 6]],
        s.corners[n[k, 7] : n[k, 8]],
    )  # fmt: skip


@scalar
def lanes_of(s, k):
    """LaneGrid of scene k."""
    n = s.span
    return LaneGrid(
        s.frame[k, 3], s.frame[k, 4], s.frame[k, 5],
        s.lane_shape[k],
        s.lane_start[n[k, 9] : n[k, 10]],
        s.segments[n[k, 11] : n[k, 12]],
        s.left[n[k, 13] : n[k, 14]],
        s.right[n[k, 15] : n[k, 16]],
        s.lane[n[k, 17] : n[k, 18]],
        s.flags[n[k, 19] : n[k, 20]],
    )  # fmt: skip


@scalar
def route_of(s, k):
    """Centreline of scene k and its stations."""
    n = s.span
    return s.line[n[k, 21] : n[k, 22]], s.station[n[k, 23] : n[k, 24]]
