"""Buildings beside roads: footprints that touch no lane, no walkway and no other building."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.roads import rounded
from drive.roadmap import AreaKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.curves import Curve
    from drive.datasets.generate.roads import Atlas

    Floats = NDArray[np.float64]

MARGIN = 0.3
"""Metres that a wall keeps from lanes, walkways and other areas of the map."""


def footprint(curve: Curve, begin: float, end: float, near: float, far: float, notch: float = 0.0) -> Floats:
    """Ring `(4, 2)` or `(6, 2)` beside a curve: stations and offsets (left positive) of its walls.

    Straight walls, set by the pose at the middle station. `notch` is the share of the far wall that is
    left out, so that the footprint is an L.
    """
    x, y, h = curve.pose(np.array([0.5 * (begin + end)]))[0]
    a, half = np.array([np.cos(h), np.sin(h)]), 0.5 * (end - begin)
    n = np.array([-a[1], a[0]])
    steps = [(-half, near), (half, near), (half, far), (-half, far)]
    if notch > 0.0:
        inner, mid = half - 2.0 * half * notch, 0.5 * (near + far)
        steps = [*steps[:2], (half, mid), (inner, mid), (inner, far), steps[3]]
    return np.asarray([np.array([x, y]) + s * a + d * n for s, d in steps])


def row(
    rng: np.random.Generator,
    curve: Curve,
    span: tuple[float, float],
    offset: float,
    *,
    wall: tuple[float, float] = (9.0, 26.0),
    depth: tuple[float, float] = (9.0, 15.0),
    gap: tuple[float, float] = (0.0, 9.0),
    setback: float = 1.5,
) -> list[Floats]:
    """Footprints along a curve between two stations, behind the building line at `offset` (left positive).

    They stand wall to wall or `gap` metres apart, and up to `setback` metres behind the line. On the
    inner side of a bend they keep the sagitta of their wall in addition.
    """
    side = 1.0 if offset > 0.0 else -1.0
    rings = []
    at = span[0] + float(rng.uniform(0.0, gap[1]))
    while at < span[1]:
        length, deep = float(rng.uniform(*wall)), float(rng.uniform(*depth))
        back = float(rng.uniform(0.0, setback)) if rng.random() < 0.5 else 0.0
        notch = float(rng.uniform(0.3, 0.6)) if rng.random() < 0.35 else 0.0
        bend = float(np.abs(curve.curvature_at(np.array([at, at + 0.5 * length, at + length]))).max())
        near = offset + side * (back + 0.125 * bend * length * length)
        rings.append(footprint(curve, at, at + length, near, near + side * deep, notch))
        between = 0.0 if rng.random() < 0.4 else float(rng.uniform(*gap))
        at += length + between + 0.02
    return rings


def add_buildings(atlas: Atlas, rings: Sequence[Floats], margin: float = MARGIN) -> int:
    """Add as occluders those footprints that stand clear of the map's lanes and areas and of each other.

    Lanes and areas must have been added before. Returns the number of buildings added.
    """
    import shapely

    builder = atlas.builder
    lanes = [np.concatenate((x.left, x.right[::-1])) for x in builder.lanes.values()]
    standing = [r for r, k in zip(builder.rings, builder.ring_kinds, strict=True) if k == AreaKind.OCCLUDER]
    ground = [r for r, k in zip(builder.rings, builder.ring_kinds, strict=True) if k != AreaKind.OCCLUDER]
    tree = shapely.STRtree([shapely.Polygon(r) for r in (*lanes, *ground)])
    walls = [shapely.Polygon(r) for r in standing]
    shapes = [shapely.Polygon(rounded(r, 4)) for r in rings]
    blocked = set(tree.query(shapes, predicate="dwithin", distance=margin)[0].tolist()) if shapes else set()
    added = 0
    for i, (ring, shape) in enumerate(zip(rings, shapes, strict=True)):
        if i in blocked or (walls and shapely.intersects(shape, walls).any()):
            continue
        walls.append(shape)
        builder.add_area(rounded(ring, 4), AreaKind.OCCLUDER)
        added += 1
    return added
