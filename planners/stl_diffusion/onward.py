"""How paths go on along their lanes, by pure pursuit: a compiled loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive._kernel import kernels_at
from drive.planners.stl_diffusion.motion import VEHICLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.way import Way

    Floats = NDArray[np.float64]

STRIDE, AHEAD = 1.5, (4.0, 15.0)
"""m; how a path is drawn on, towards which point of the lane: a second ahead, within these."""
LAG = 0.4
"""s; in which a bend is begun."""
_kernel = kernels_at("stl_diffusion_onward", Path(__file__))


@_kernel
def _pursue(
    states: Any, held: Any, share: Any, index: Any, points: Any, along: Any, aside: Any, there: Any,
    last: Any, most: Any, stride: Any, out: Any,
) -> None:  # fmt: skip
    """Fill the curvatures `out (L, K, D)` towards so many m `aside (L, K)` of the lanes' `points`, to the
    left; a lane without points is driven straight."""
    for row in range(out.shape[0]):
        known = last[row] >= 0
        for path in range(out.shape[1]):
            x, y, heading = states[row, path, 0], states[row, path, 1], states[row, path, 2]
            bent = held[row, path]
            for k in range(out.shape[2]):
                bend = 0.0
                if known:
                    best, near = math.inf, 0
                    for p in range(points.shape[1]):
                        if there[row, p]:
                            dx, dy = points[row, p, 0] - x, points[row, p, 1] - y
                            square = dx * dx + dy * dy
                            if square < best:
                                best, near = square, p
                    goal = min(near + index[row, path], last[row])
                    dx = points[row, goal, 0] - aside[row, path] * along[row, goal, 1] - x
                    dy = points[row, goal, 1] + aside[row, path] * along[row, goal, 0] - y
                    left = dy * math.cos(heading) - dx * math.sin(heading)
                    bend = 2.0 * left / max(dx * dx + dy * dy, 9.0)
                bent += share[row, path] * (min(max(bend, -most), most) - bent)
                out[row, path, k] = bent
                middle = heading + 0.5 * stride * bent
                x += stride * math.cos(middle)
                y += stride * math.sin(middle)
                heading += stride * bent


def drawn_on(states: Floats, way: Way, far: float, most: float, aside: Floats) -> tuple[Floats, Floats]:
    """How `states (L, K, 7)` go on along lanes `way` of L, so many m `aside (L, K)` to the left of them:
    distances `(D,)` from 0 on, and curvatures `(L, K, D)`, none above `most`; straight where there is no
    lane."""
    points = way.starts.detach().double().cpu().numpy()
    there: NDArray[np.bool_] = np.asarray(way.missing.cpu().numpy() == 0.0)
    last = np.where(there, np.arange(there.shape[1]), -1).max(-1)
    step = np.median(way.lengths.detach().cpu().numpy()[there]) if there.any() else 1.0
    index = np.round(np.clip(states[..., 3], *AHEAD) / step).astype(np.int64)
    onward = np.arange(0.0, max(far, 0.0) + 2.0 * STRIDE, STRIDE)
    # Wheels turn by and by: knots are half a second apart.
    share = np.minimum(STRIDE / np.maximum(LAG * states[..., 3], STRIDE), 1.0)
    held = np.tan(states[..., 5]) / VEHICLE.wheelbase
    out = np.zeros((*states.shape[:2], len(onward)))
    _pursue(
        np.ascontiguousarray(states), np.ascontiguousarray(held), np.ascontiguousarray(share), index,
        np.ascontiguousarray(points), np.ascontiguousarray(way.directions.detach().double().cpu().numpy()),
        np.ascontiguousarray(aside), np.ascontiguousarray(there), last, float(most), STRIDE, out,
    )  # fmt: skip
    return onward, out


__all__ = ["AHEAD", "LAG", "STRIDE", "drawn_on"]
