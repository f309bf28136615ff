"""Forecasts bent along lanes: who drives in a lane follows it, at the speed that a forecaster says.

Forecasters are told no map. On a winding road one that goes on straight has every oncoming vehicle come over.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.extending import register_jitable

from drive._kernel import kernels_at
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ASIDE, BEYOND, TURNED = 2.0, 6.0, 0.7
"""m, m, rad: who is no farther from a point of a lane's centreline, across and along, nor turned more, drives
in that lane."""
SLOWEST = 1.0
"""m/s; slower ones are left as they are."""
FADE = 2.0
"""s; in which a heading that is not the lane's fades to 1/e."""
STEP = 0.2
"""s; how often a lane is looked for."""
_ON_LANES = tuple(int(kind) for kind in AgentKind if kind not in (AgentKind.PEDESTRIAN, AgentKind.STATIC))
_kernel = kernels_at("forecast", Path(__file__))
_inline: Callable[[Any], Any] = register_jitable(forceinline=True)


@_inline
def _wrapped(angle: Any) -> Any:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@_kernel
def _bend(
    poses: Any, now: Any, moves: Any, lanes: Any, course: Any, times: Any, fade: Any, step: Any, out: Any
) -> None:
    """Fill `out (A, T, 3)`; `lanes (S, 4)` with their `course (S,)`."""
    for a in range(len(now)):
        x, y, heading = now[a, 0], now[a, 1], now[a, 2]
        px, py, off, before, on = x, y, 0.0, 0.0, moves[a]
        for k in range(len(times)):
            if on:
                count = max(round((times[k] - before) / step), 1)
                way = math.hypot(poses[a, k, 0] - px, poses[a, k, 1] - py) / count
                for j in range(count):
                    best, found = math.inf, -1
                    for s in range(len(lanes)):
                        dx, dy = x - lanes[s, 0], y - lanes[s, 1]
                        ahead = abs(dx * lanes[s, 2] + dy * lanes[s, 3])
                        aside = abs(dy * lanes[s, 2] - dx * lanes[s, 3])
                        if ahead < BEYOND and aside < ASIDE:
                            turned = abs(_wrapped(course[s] - heading))
                            cost = ahead + 2.0 * aside + 6.0 * turned
                            if turned < TURNED and cost < best:
                                best, found = cost, s
                    if found < 0:
                        on = False
                        break
                    if k == 0 and j == 0:
                        off = _wrapped(heading - course[found])
                    off *= math.exp((before - times[k]) / (count * fade))
                    heading = course[found] + off
                    x += way * math.cos(heading)
                    y += way * math.sin(heading)
            px, py, before = poses[a, k, 0], poses[a, k, 1], times[k]
            if on:
                out[a, k, 0], out[a, k, 1], out[a, k, 2] = x, y, heading
            else:
                out[a, k, 0], out[a, k, 1], out[a, k, 2] = poses[a, k, 0], poses[a, k, 1], poses[a, k, 2]


def along_lanes(poses: Floats, now: Floats, kinds: NDArray[np.uint8], lanes: Floats, times: Floats) -> Floats:
    """Forecast `poses (A, T, 3)` at `times (T,)` from now, bent along `lanes (S, 4)`.

    `now (A, 4)` x, y, heading, speed; `lanes` are points of centrelines with cosine and sine. All in one
    frame. Who is in no lane, or comes to where none is known, goes on as forecast.
    """
    moves = (now[:, 3] > SLOWEST) & np.isin(kinds, _ON_LANES)
    out = np.empty_like(poses)
    course = np.arctan2(lanes[:, 3], lanes[:, 2])
    _bend(
        np.ascontiguousarray(poses), np.ascontiguousarray(now), moves, np.ascontiguousarray(lanes), course,
        np.asarray(times, np.float64), FADE, STEP, out,
    )  # fmt: skip
    return out


__all__ = ["along_lanes"]
