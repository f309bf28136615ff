"""Shapes drawn into the cells of a square raster around a pose: a cell is set where its centre is inside.

Rasters are `(C, N, N)` uint8, rows to the left and columns forward; places in cells from the back right
corner are (u, v), forward and to the left. What is drawn over something else leaves the larger value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drive.sim.kernels import line as columns
from drive.sim.kernels.compile import kernel, routine, scalar
from drive.sim.kernels.scalar import F, in_area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRIVABLE, LANE, ROUTE, VEHICLES, VULNERABLE, STATIC, RED_LIGHT, PAST = range(8)
FULL, HALF, QUARTER = 255, 128, 64
YELLOW, RED = 2, 3
MOST_LANE_KIND = 1
"""Larger kinds of lanes are not for motor vehicles; see `drive.roadmap.model.LaneKind`."""
LEAST_HALF = 0.7072
"""Cells: half extents of a box of which at least one cell's centre lies inside, however it stands."""


class Window(NamedTuple):
    """Where a raster lies: at the pose (x, y) with the axis (c, s), the pose `behind` m from the back edge
    and `half` m from the right edge; `cell` is in m."""

    x: float
    y: float
    c: float
    s: float
    behind: float
    half: float
    cell: float


class Roads(NamedTuple):
    """A map's lanes, and its segments by the cells of `drive.roadmap.index.GridIndex`.

    `stops (S, 4)` are the ends of stop lines, `stop_signals (S,)` their signals.
    """

    points: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    lane_of_row: NDArray[np.int32]
    kind: NDArray[np.uint8]
    signal: NDArray[np.int32]
    x0: float
    y0: float
    cell: float
    columns: int
    rows: int
    start: NDArray[np.int32]
    segments: NDArray[np.int32]
    stops: NDArray[np.float64]
    stop_signals: NDArray[np.int32]


@scalar
def placed(window, x, y):
    """The place (u, v) of a point, in cells."""
    dx, dy = x - window.x, y - window.y
    forward = window.c * dx + window.s * dy + window.behind
    left = window.c * dy - window.s * dx + window.half
    return forward / window.cell, left / window.cell


@scalar
def span_at(v, low, high, au, av, bu, bv):
    """The span (low, high) along a row's middle, widened by where an edge crosses it."""
    if (av <= v) != (bv <= v):
        u = au + (v - av) / (bv - av) * (bu - au)
        low, high = min(low, u), max(high, u)
    return low, high


@routine
def fill_quad(image, au, av, bu, bv, cu, cv, du, dv, value):
    """Set the cells `image (N, N)` whose middle lies in a convex quadrilateral to at least a value."""
    size = image.shape[0]
    least, most = min(min(av, bv), min(cv, dv)), max(max(av, bv), max(cv, dv))
    left, right = min(min(au, bu), min(cu, du)), max(max(au, bu), max(cu, du))
    # Not so either for what is no number.
    if not (most > 0.0 and least < size and right > 0.0 and left < size):
        return
    first, last = max(math.ceil(max(least, 0.0) - 0.5), 0), min(math.floor(min(most, size) - 0.5), size - 1)
    for r in range(first, last + 1):
        v, low, high = r + 0.5, 1e9, -1e9
        low, high = span_at(v, low, high, au, av, bu, bv)
        low, high = span_at(v, low, high, bu, bv, cu, cv)
        low, high = span_at(v, low, high, cu, cv, du, dv)
        low, high = span_at(v, low, high, du, dv, au, av)
        c0, c1 = math.ceil(max(low, 0.0) - 0.5), math.floor(min(high, size) - 0.5)
        for c in range(max(c0, 0), min(c1, size - 1) + 1):
            if image[r, c] < value:
                image[r, c] = value


@routine
def draw_line(image, au, av, bu, bv, value):
    """Set the cells along a line that is one cell wide, without gaps."""
    du, dv = bu - au, bv - av
    length = math.sqrt(du * du + dv * dv)
    if not 1e-9 < length < 1e6:
        return
    nu, nv = -0.5 * dv / length, 0.5 * du / length
    fill_quad(image, au + nu, av + nv, bu + nu, bv + nv, bu - nu, bv - nv, au - nu, av - nv, value)


@routine
def draw_box(image, window, x, y, heading, half_length, half_width, value):
    """Set the cells of a box; one that is too small for the cells is drawn larger."""
    u, v = placed(window, x, y)
    turned = math.cos(heading), math.sin(heading)
    c = window.c * turned[0] + window.s * turned[1]
    s = window.c * turned[1] - window.s * turned[0]
    a, b = max(half_length / window.cell, LEAST_HALF), max(half_width / window.cell, LEAST_HALF)
    au, av, bu, bv = a * c, a * s, -b * s, b * c
    fill_quad(
        image, u + au + bu, v + av + bv, u - au + bu, v - av + bv, u - au - bu, v - av - bv,
        u + au - bu, v + av - bv, value,
    )  # fmt: skip


@kernel
def draw_area(window, area, image):
    """Set the cells of `image (N, N)` whose middle lies in the drivable area `score_area.Area`."""
    size = image.shape[0]
    for r in range(size):
        left = (r + 0.5) * window.cell - window.half
        for k in range(size):
            forward = (k + 0.5) * window.cell - window.behind
            x = F(window.x + window.c * forward - window.s * left)
            y = F(window.y + window.s * forward + window.c * left)
            if in_area(
                x, y, area.x0, area.y0, area.cell, area.state, area.start, area.triangles, area.corners
            ):
                image[r, k] = FULL


@scalar
def light_of(signals, light):
    """What a signal shows, 0 where it is unknown."""
    return signals[light] if 0 <= light < signals.shape[0] else 0


@kernel
def draw_roads(window, roads, on_route, signals, out):
    """Draw lanes, the lanes of the route and the red lights that lie in the window."""
    size = out.shape[1]
    side = size * window.cell
    # The circle around the window.
    ahead, left = 0.5 * side - window.behind, 0.5 * side - window.half
    x = window.x + window.c * ahead - window.s * left
    y = window.y + window.s * ahead + window.c * left
    reach = 0.7072 * side
    c0 = max(math.floor((x - reach - roads.x0) / roads.cell), 0)
    c1 = min(math.floor((x + reach - roads.x0) / roads.cell), roads.columns - 1)
    r0 = max(math.floor((y - reach - roads.y0) / roads.cell), 0)
    r1 = min(math.floor((y + reach - roads.y0) / roads.cell), roads.rows - 1)
    for r in range(r0, r1 + 1):
        for c in range(c0, c1 + 1):
            cell = r * roads.columns + c
            for n in range(roads.start[cell], roads.start[cell + 1]):
                k = roads.segments[n]
                lane = roads.lane_of_row[k]
                if roads.kind[lane] > MOST_LANE_KIND:
                    continue
                # It may be listed in many cells, and is drawn in the first one that is looked at.
                low_x, low_y = roads.points[k, 0], roads.points[k, 1]
                for j in range(k, k + 2):
                    low_x = min(low_x, min(roads.points[j, 0], min(roads.left[j, 0], roads.right[j, 0])))
                    low_y = min(low_y, min(roads.points[j, 1], min(roads.left[j, 1], roads.right[j, 1])))
                if c != max(math.floor((low_x - roads.x0) / roads.cell), c0):
                    continue
                if r != max(math.floor((low_y - roads.y0) / roads.cell), r0):
                    continue
                draw_segment(window, roads, k, on_route[lane], light_of(signals, roads.signal[lane]), out)
    for n in range(roads.stops.shape[0]):
        shown = light_of(signals, roads.stop_signals[n])
        if shown not in (RED, YELLOW):
            continue
        dx, dy = roads.stops[n, 0] - x, roads.stops[n, 1] - y
        if dx * dx + dy * dy > (reach + 50.0) ** 2:
            continue
        au, av = placed(window, roads.stops[n, 0], roads.stops[n, 1])
        bu, bv = placed(window, roads.stops[n, 2], roads.stops[n, 3])
        draw_line(out[RED_LIGHT], au, av, bu, bv, FULL if shown == RED else HALF)


@routine
def draw_segment(window, roads, k, on_route, shown, out):
    """Draw a lane from one row to the next."""
    au, av = placed(window, roads.left[k, 0], roads.left[k, 1])
    bu, bv = placed(window, roads.left[k + 1, 0], roads.left[k + 1, 1])
    cu, cv = placed(window, roads.right[k + 1, 0], roads.right[k + 1, 1])
    du, dv = placed(window, roads.right[k, 0], roads.right[k, 1])
    draw_line(out[LANE], au, av, bu, bv, HALF)
    draw_line(out[LANE], du, dv, cu, cv, HALF)
    eu, ev = placed(window, roads.points[k, 0], roads.points[k, 1])
    fu, fv = placed(window, roads.points[k + 1, 0], roads.points[k + 1, 1])
    draw_line(out[LANE], eu, ev, fu, fv, FULL)
    if on_route:
        fill_quad(out[ROUTE], au, av, bu, bv, cu, cv, du, dv, HALF)
    if shown in (RED, YELLOW):
        fill_quad(out[RED_LIGHT], au, av, bu, bv, cu, cv, du, dv, HALF if shown == RED else QUARTER)


@kernel
def draw_way(window, rows, step, origin_x, origin_y, station, behind, ahead, image):
    """Draw a way's line from `behind` m before a station to `ahead` m after it."""
    first = max(math.floor((station - behind) / step), 0)
    last = min(math.ceil((station + ahead) / step), rows.shape[0] - 1)
    for k in range(first, last):
        au, av = placed(window, rows[k, columns.X] + origin_x, rows[k, columns.Y] + origin_y)
        bu, bv = placed(window, rows[k + 1, columns.X] + origin_x, rows[k + 1, columns.Y] + origin_y)
        draw_line(image, au, av, bu, bv, FULL)


@kernel
def draw_agents(
    window, now, now_valid, past, past_valid, existence, size, channel, own, own_box, back, shade, out
):  # fmt: skip
    """Draw the agents' boxes where they are, or were seen last, and where they and the ego were.

    `now (N, 5)` and `past (N, S, 5)` are tracks, `channel (N,)` the channel of each; `own (T, >= 3)` the
    ego's rear-axle states up to now and `own_box` (half length, half width, rear axle to centre). Samples
    `back (B,)` before now are drawn into PAST with the values `shade (B,)`.
    """
    samples = past.shape[1]
    for i in range(now.shape[0]):
        if not existence[i] > 0.0:
            continue
        half_length, half_width = 0.5 * size[i, 0], 0.5 * size[i, 1]
        value = min(max(round(FULL * existence[i]), 1), FULL)
        if now_valid[i]:
            draw_box(out[channel[i]], window, now[i, 0], now[i, 1], now[i, 2], half_length, half_width, value)
        else:
            k = samples - 1
            while k >= 0 and not past_valid[i, k]:
                k -= 1
            if k < 0:
                continue
            draw_box(
                out[channel[i]], window, past[i, k, 0], past[i, k, 1], past[i, k, 2], half_length, half_width,
                value,
            )  # fmt: skip
        for n in range(back.shape[0]):
            k = samples - 1 - back[n]
            if k >= 0 and past_valid[i, k]:
                draw_box(
                    out[PAST], window, past[i, k, 0], past[i, k, 1], past[i, k, 2], half_length, half_width,
                    shade[n],
                )  # fmt: skip
    for n in range(back.shape[0]):
        k = own.shape[0] - 1 - back[n]
        if k >= 0:
            x = own[k, 0] + own_box[2] * math.cos(own[k, 2])
            y = own[k, 1] + own_box[2] * math.sin(own[k, 2])
            draw_box(out[PAST], window, x, y, own[k, 2], own_box[0], own_box[1], shade[n])
