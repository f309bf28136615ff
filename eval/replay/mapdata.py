"""What the page draws of a road map: lanes, markings, stop lines and areas near the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from drive.roadmap.paint import lane_markings, stop_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.eval.replay.pack import Packer
    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]

STEP = 0.01
TOLERANCE = 0.03
"""Lines lose vertices that move them by less than this (m): a third of a painted line's width."""

Box = tuple[float, float, float, float]


def pack_map(packer: Packer, prefix: str, roadmap: RoadMap, box: Box, offset: Floats) -> dict[str, Any]:
    """Pack the part of a map that meets `box`; positions relative to `offset`. Returns the page's entry."""
    lanes, rows = _lanes_in(roadmap, box)
    for side in ("left", "right", "points"):
        lines = [getattr(roadmap, side)[r] - offset for r in rows]
        pack_lines(packer, f"{prefix}.{side}", _simplified(lines))
    packer.bytes(f"{prefix}.kind", roadmap.kind[lanes])
    packer.bytes(f"{prefix}.left_marking", lane_markings(roadmap, lanes, left=True))
    packer.bytes(f"{prefix}.right_marking", lane_markings(roadmap, lanes, left=False))
    stops, signal = stop_lines(roadmap, lanes)
    packer.steps(f"{prefix}.stop", (stops - np.tile(offset, 2)).T, STEP, 1)
    packer.steps(f"{prefix}.stop_signal", signal, 1.0, 1)
    areas = roadmap.areas
    near = [i for i in range(len(areas)) if _meets(areas[i], box)]
    pack_lines(packer, f"{prefix}.area", _simplified([_closed(areas[i]) - offset for i in near]))
    packer.bytes(f"{prefix}.area_kind", areas.kind[near] if near else np.zeros(0))
    return {
        "prefix": prefix,
        "lanes": len(lanes),
        "left_out": roadmap.num_lanes - len(lanes),
        "signals": list(roadmap.signal_ids),
    }


def pack_lines(packer: Packer, name: str, lines: Sequence[Floats], step: float = STEP) -> None:
    """Polylines `(P, 2)` as `name (2, sum P)` and `name_start (lines + 1,)`."""
    flat = np.concatenate([*lines, np.zeros((0, 2))])[:, :2]
    packer.steps(name, flat.T, step)
    packer.steps(f"{name}_start", np.concatenate(([0], np.cumsum([len(line) for line in lines]))), 1.0)


def _meets(points: Floats, box: Box) -> bool:
    low, high = points.min(0), points.max(0)
    return bool(low[0] <= box[2] and high[0] >= box[0] and low[1] <= box[3] and high[1] >= box[1])


def _lanes_in(roadmap: RoadMap, box: Box) -> tuple[NDArray[np.intp], list[slice]]:
    """Lanes that meet the box, and of each the rows from its first to its last point inside."""
    lanes, rows = [], []
    for lane in range(roadmap.num_lanes):
        own = roadmap.rows(lane)
        outline = np.concatenate((roadmap.left[own], roadmap.right[own]))
        if not _meets(outline, box):
            continue
        p = roadmap.points[own]
        inside = (p[:, 0] >= box[0]) & (p[:, 0] <= box[2]) & (p[:, 1] >= box[1]) & (p[:, 1] <= box[3])
        at = np.flatnonzero(inside)
        # A lane may cross the box between two of its points; then all of it stays.
        first, last = (max(at[0] - 1, 0), min(at[-1] + 2, len(p))) if len(at) else (0, len(p))
        lanes.append(lane)
        rows.append(slice(own.start + int(first), own.start + int(last)))
    return np.asarray(lanes, dtype=np.intp), rows


def _simplified(lines: Sequence[Floats]) -> list[Floats]:
    if not lines:
        return []
    shapes = shapely.simplify(_shapes(lines), TOLERANCE, preserve_topology=False)
    return [shapely.get_coordinates(s) for s in shapes]


def _shapes(lines: Sequence[Floats]) -> NDArray[Any]:
    index = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    return np.asarray(shapely.linestrings(np.concatenate(lines), indices=index))


def _closed(ring: Floats) -> Floats:
    return np.concatenate((ring, ring[:1]))
