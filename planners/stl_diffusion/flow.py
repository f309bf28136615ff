"""Forecasts bent along lanes: who drives in a lane follows it, at the speed that a forecaster says.

Forecasters are told no map. On a winding road one that goes on straight has every oncoming vehicle come over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ASIDE, TURNED = 2.0, 0.7
"""m, rad: who is no farther from a lane's centreline, nor turned more, drives in it."""
SLOWEST = 1.0
"""m/s; slower ones are left as they are."""
FADE = 2.0
"""s; in which a heading that is not the lane's fades to 1/e."""
STEP = 0.2
"""s; how often a lane is looked for."""
_ON_LANES = tuple(int(kind) for kind in AgentKind if kind not in (AgentKind.PEDESTRIAN, AgentKind.STATIC))


def along_lanes(poses: Floats, now: Floats, kinds: NDArray[np.uint8], lanes: Floats, times: Floats) -> Floats:
    """Forecast `poses (A, T, 3)` at `times (T,)` from now, bent along `lanes (S, 4)`.

    `now (A, 4)` x, y, heading, speed; `lanes` are points of centrelines with cosine and sine. All in one
    frame. Who is in no lane stays with its forecast.
    """
    out = poses.copy()
    rows = np.flatnonzero((now[:, 3] > SLOWEST) & np.isin(kinds, _ON_LANES))
    if not len(rows) or not len(lanes):
        return out
    course = np.arctan2(lanes[:, 3], lanes[:, 2])

    def lane_at(xy: Floats, heading: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """The direction of the lane at places `(A, 2)`, and whether there is one."""
        gap = xy[:, None] - lanes[:, :2]
        ahead = gap[..., 0] * lanes[:, 2] + gap[..., 1] * lanes[:, 3]
        aside = gap[..., 1] * lanes[:, 2] - gap[..., 0] * lanes[:, 3]
        turned = np.abs(wrap_angle(course - heading[:, None]))
        good = (np.abs(aside) < ASIDE) & (np.abs(ahead) < 6.0) & (turned < TURNED)
        cost = np.where(good, np.abs(ahead) + 2.0 * np.abs(aside) + 6.0 * turned, np.inf)
        best = cost.argmin(1)
        return course[best], good[np.arange(len(xy)), best]

    xy, heading, last = now[rows, :2].copy(), now[rows, 2].copy(), now[rows, :2].copy()
    found, there = lane_at(xy, heading)
    off = np.where(there, wrap_angle(heading - found), 0.0)
    on = there.copy()
    before = 0.0
    for k, after in enumerate(times):
        count = max(round((after - before) / STEP), 1)
        step = np.hypot(*(poses[rows, k, :2] - last).T) / count
        last = poses[rows, k, :2]
        for _ in range(count):
            found, there = lane_at(xy, heading)
            on &= there
            off = off * np.exp((before - after) / count / FADE)
            heading = np.where(there, found + off, heading)
            xy = xy + step[:, None] * np.column_stack((np.cos(heading), np.sin(heading)))
        # Who was in a lane all the way goes with it; who leaves what is known goes on as forecast.
        out[rows, k, :2] = np.where(on[:, None], xy, out[rows, k, :2])
        out[rows, k, 2] = np.where(on, heading, out[rows, k, 2])
        before = float(after)
    return out


__all__ = ["along_lanes"]
