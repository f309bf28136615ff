"""Lines of sight between a sensor and boxes, past other boxes and the walls of buildings.

In float64, as the closed loop's own poses are. A line of sight is a thread `2 THREAD` wide and is cut
where both its sides are: a line that runs along a wall or touches a corner is free, one that runs into
the seam of two touching walls is not, and a mirrored scene gives the mirrored answer.

`boxes (A, 8)` hold what `BOX` names, one row an agent, with the height `OPEN` where it hides nothing now.
Buildings are rings in compressed rows: `ring (P, 2)`, `start (R + 1,)`, `circle (R, 3)` centre and radius
of a circle around each, `closed (R,)` 0 for those that hide nothing now.
"""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import boxes_apart

BOX = ("x", "y", "cos", "sin", "half_length", "half_width", "radius", "height")
OPEN = -1.0
THREAD = 1e-6
"""Half the width of a line of sight, in m: far below a pixel, far above the rounding of coordinates."""
SHORTEST = 0.01
"""Occlusion edges shorter than this (m) are left out."""
FAR = 1e30
# Centre, corners, middles of the sides, in half lengths and half widths.
_ALONG = (0.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 0.0, 0.0)
_ACROSS = (0.0, 1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 1.0, -1.0)


@scalar
def box_entry(px, py, ux, uy, cx, cy, cos, sin, hl, hw):
    """Distance from p along the unit vector u at which a ray enters a box, `FAR` where it passes by."""
    rx, ry = px - cx, py - cy
    low, high = 0.0, FAR
    position, direction, half = rx * cos + ry * sin, ux * cos + uy * sin, hl
    for _ in range(2):
        if abs(direction) < 1e-12:
            if abs(position) >= half:
                return FAR
        else:
            a, b = (-half - position) / direction, (half - position) / direction
            low, high = max(low, min(a, b)), min(high, max(a, b))
        position, direction, half = ry * cos - rx * sin, uy * cos - ux * sin, hw
    return low if low < high else FAR


@scalar
def ring_entry(px, py, ux, uy, ring, first, last):
    """Distance from p along the unit vector u to the first wall of a polygon, `FAR` where it passes by."""
    best = FAR
    ax, ay = ring[last - 1, 0] - px, ring[last - 1, 1] - py
    for k in range(first, last):
        bx, by = ring[k, 0] - px, ring[k, 1] - py
        side_a, side_b = ux * ay - uy * ax, ux * by - uy * bx
        if (side_a >= 0.0) != (side_b >= 0.0):
            start = ux * ax + uy * ay
            t = start + (ux * bx + uy * by - start) * side_a / (side_a - side_b)
            if 0.0 < t < best:
                best = t
        ax, ay = bx, by
    return best


@scalar
def inside_ring(x, y, ring, first, last):
    """Whether a point lies inside a simple polygon (even-odd rule)."""
    inside = False
    ax, ay = ring[last - 1, 0], ring[last - 1, 1]
    for k in range(first, last):
        bx, by = ring[k, 0], ring[k, 1]
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
        ax, ay = bx, by
    return inside


@scalar
def cast(ox, oy, ux, uy, enough, reach, skip, least, boxes, ring, start, circle, closed):
    """How far the left and the right side of a line of sight get from o along the unit vector u.

    Box `skip`, boxes lower than `least` m and what is beyond `reach` m hide nothing. The search ends as
    soon as both sides are known to end before `enough` m: only else are the distances the nearest ones.
    """
    left, right = FAR, FAR
    lx, ly = ox - THREAD * uy, oy + THREAD * ux
    rx, ry = ox + THREAD * uy, oy - THREAD * ux
    for b in range(boxes.shape[0]):
        if b == skip or boxes[b, 7] < least:
            continue
        dx, dy, radius = boxes[b, 0] - ox, boxes[b, 1] - oy, boxes[b, 6] + 2.0 * THREAD
        along = ux * dx + uy * dy
        if abs(ux * dy - uy * dx) > radius or along < -radius or along > reach + radius:
            continue
        x, y, c, s, hl, hw = boxes[b, 0], boxes[b, 1], boxes[b, 2], boxes[b, 3], boxes[b, 4], boxes[b, 5]
        left = min(left, box_entry(lx, ly, ux, uy, x, y, c, s, hl, hw))
        right = min(right, box_entry(rx, ry, ux, uy, x, y, c, s, hl, hw))
        if left < enough and right < enough:
            return left, right
    for r in range(circle.shape[0]):
        dx, dy, radius = circle[r, 0] - ox, circle[r, 1] - oy, circle[r, 2] + 2.0 * THREAD
        along = ux * dx + uy * dy
        if abs(ux * dy - uy * dx) > radius or along < -radius or along > reach + radius or closed[r] == 0:
            continue
        left = min(left, ring_entry(lx, ly, ux, uy, ring, start[r], start[r + 1]))
        right = min(right, ring_entry(rx, ry, ux, uy, ring, start[r], start[r + 1]))
        if left < enough and right < enough:
            return left, right
    return left, right


@kernel
def place_occluders(centers, presence, size, row, sensor, boxes, ring, start, circle, closed):
    """Fill `boxes` and `closed` for one moment: who and what may hide something from agent `row`.

    `centers (A, 5)`, `presence (A,)`, `size (A, 3)`; `sensor` is the height of its sensor in m. A box
    lower than that, and whatever the sensor itself stands in, hide nothing.
    """
    ox, oy = centers[row, 0], centers[row, 1]
    for a in range(centers.shape[0]):
        cos, sin = math.cos(centers[a, 2]), math.sin(centers[a, 2])
        hl, hw = 0.5 * size[a, 0], 0.5 * size[a, 1]
        boxes[a, 0], boxes[a, 1], boxes[a, 2], boxes[a, 3] = centers[a, 0], centers[a, 1], cos, sin
        boxes[a, 4], boxes[a, 5], boxes[a, 6] = hl, hw, math.sqrt(hl * hl + hw * hw)
        dx, dy = ox - centers[a, 0], oy - centers[a, 1]
        around = abs(dx * cos + dy * sin) <= hl + THREAD and abs(dy * cos - dx * sin) <= hw + THREAD
        hides = presence[a] and a != row and size[a, 2] >= sensor and not around
        boxes[a, 7] = size[a, 2] if hides else OPEN
    for r in range(circle.shape[0]):
        closed[r] = 0 if inside_ring(ox, oy, ring, start[r], start[r + 1]) else 1


@kernel
def whom_it_sees(presence, size, row, reach, boxes, ring, start, circle, closed, seen):
    """Fill `seen (A,)`: whether one of nine points of an agent's box is in the sight of agent `row`.

    Needs `place_occluders` first. `reach` is the sensor's range in m. Who touches `row` is seen always.
    """
    ox, oy = boxes[row, 0], boxes[row, 1]
    for a in range(boxes.shape[0]):
        seen[a] = False
        if not presence[a] or a == row:
            continue
        x, y, c, s, hl, hw = boxes[a, 0], boxes[a, 1], boxes[a, 2], boxes[a, 3], boxes[a, 4], boxes[a, 5]
        apart = boxes_apart(
            x - ox, y - oy, boxes[row, 2], boxes[row, 3], boxes[row, 4], boxes[row, 5], c, s, hl, hw
        )
        if apart <= 0.0:
            seen[a] = True
            continue
        # What is taller than the box before it is seen over it.
        least = max(size[a, 2], 0.0)
        for k in range(9):
            dx = x + _ALONG[k] * hl * c - _ACROSS[k] * hw * s - ox
            dy = y + _ALONG[k] * hl * s + _ACROSS[k] * hw * c - oy
            d = math.sqrt(dx * dx + dy * dy)
            if d > reach:
                continue
            end = d - THREAD
            left, right = cast(ox, oy, dx / d, dy / d, end, end, a, least, boxes, ring, start, circle, closed)
            if left >= end or right >= end:
                seen[a] = True
                break


@kernel
def edges_of_sight(row, reach, boxes, ring, start, circle, closed, edges):
    """Fill `edges (A * 4 + P, 2, 2)`; the number of rows filled. Needs `place_occluders` first.

    From each corner that is seen and behind which something is hidden, along the ray from the sensor to
    the next occluder or to `reach` m. What is hidden lies left of the way from the first to the second point.
    """
    ox, oy = boxes[row, 0], boxes[row, 1]
    count = 0
    corners = 4 * boxes.shape[0]
    for k in range(corners + ring.shape[0]):
        if k < corners:
            b, q = k // 4, 1 + k % 4
            if boxes[b, 7] < 0.0:
                continue
            along, across = _ALONG[q] * boxes[b, 4], _ACROSS[q] * boxes[b, 5]
            x = boxes[b, 0] + along * boxes[b, 2] - across * boxes[b, 3]
            y = boxes[b, 1] + along * boxes[b, 3] + across * boxes[b, 2]
        else:
            x, y = ring[k - corners, 0], ring[k - corners, 1]
        dx, dy = x - ox, y - oy
        d = math.sqrt(dx * dx + dy * dy)
        if d >= reach or d <= SHORTEST:
            continue
        ux, uy = dx / d, dy / d
        left, right = cast(ox, oy, ux, uy, d - SHORTEST, reach, -1, 0.0, boxes, ring, start, circle, closed)
        end = min(max(left, right), reach)
        if end < d + SHORTEST or min(left, right) >= reach:
            continue
        near, far = (0, 1) if left < right else (1, 0)
        edges[count, near, 0], edges[count, near, 1] = x, y
        edges[count, far, 0], edges[count, far, 1] = ox + end * ux, oy + end * uy
        count += 1
    return count
