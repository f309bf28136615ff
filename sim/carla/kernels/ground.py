"""The ground under an actor: the nearest lane's height and slope, and which lane it is."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.layout import GROUND, LANE, SLOPE_X, SLOPE_Y, X0, Y0, X, Y, Z
from drive.sim.kernels.compile import scalar

WALL = 4.0
"""m^2 that a metre of height beyond the first costs in the search for a lane: bridges and what is below."""
BESIDE = 6.0
"""Metres beyond a lane's edge up to which its height holds."""

FAR_COST, FOOT_COST = 1e-3, 1e-2
"""What a square metre of distance from a lane's middle costs beside one beyond its edge, and what a lane that
is not for vehicles does: of lanes that lie one on another those for vehicles win."""
OFF_ROAD = 2.0
"""Metres beyond a lane's edge up to which a vehicle is on it: its limit holds."""


@scalar
def nearest_piece(x, y, z, grid, start, segments, rows, lane_of_row):
    """The segment (a row of the lanes' points) whose lane lies best under a place, or -1, its lane, and how
    far beside the lane the place is.

    `grid` (x0, y0, cell, columns, rows) in the map's own axes, y to the left; `rows (P, 5)` x, y, z, half
    width of the points in CARLA's axes, and `FOOT_COST` for lanes that are not for vehicles.
    """
    c, r = math.floor((x - grid[0]) / grid[2]), math.floor((-y - grid[1]) / grid[2])
    best, found, beside = 1e18, -1, 0.0
    if c < 0 or r < 0 or c >= grid[3] or r >= grid[4]:
        return -1, -1, 0.0
    k = r * int(grid[3]) + c
    for n in range(start[k], start[k + 1]):
        p = segments[n]
        ax, ay = rows[p, 0], rows[p, 1]
        ex, ey = rows[p + 1, 0] - ax, rows[p + 1, 1] - ay
        square = ex * ex + ey * ey
        t = ((x - ax) * ex + (y - ay) * ey) / square if square > 0.0 else 0.0
        t = min(max(t, 0.0), 1.0)
        dx, dy = x - ax - t * ex, y - ay - t * ey
        far = math.sqrt(dx * dx + dy * dy)
        out = max(far - rows[p, 3] - t * (rows[p + 1, 3] - rows[p, 3]), 0.0)
        high = max(abs(z - rows[p, 2] - t * (rows[p + 1, 2] - rows[p, 2])) - 1.0, 0.0)
        cost = out * out + FAR_COST * far * far + WALL * high * high + rows[p, 4]
        if out < BESIDE and cost < best:
            best, found, beside = cost, p, out
    if found < 0:
        return -1, -1, 0.0
    return found, lane_of_row[found], beside


@scalar
def stand_on(i, body, flag, grid, start, segments, rows, lane_of_row):
    """Look up an actor's ground: its plane about the actor's place. Without a lane the last height holds."""
    x, y = body[i, X], body[i, Y]
    p, lane, beside = nearest_piece(x, y, body[i, Z], grid, start, segments, rows, lane_of_row)
    # What is known is moved along its plane first.
    body[i, GROUND] += body[i, SLOPE_X] * (x - body[i, X0]) + body[i, SLOPE_Y] * (y - body[i, Y0])
    body[i, X0], body[i, Y0] = x, y
    flag[i, LANE] = lane if beside < OFF_ROAD else -1
    if p < 0:
        body[i, SLOPE_X] = 0.0
        body[i, SLOPE_Y] = 0.0
        return
    ex, ey, ez = rows[p + 1, 0] - rows[p, 0], rows[p + 1, 1] - rows[p, 1], rows[p + 1, 2] - rows[p, 2]
    square = ex * ex + ey * ey
    t = ((x - rows[p, 0]) * ex + (y - rows[p, 1]) * ey) / square if square > 0.0 else 0.0
    t = min(max(t, 0.0), 1.0)
    body[i, GROUND] = rows[p, 2] + t * ez
    body[i, SLOPE_X] = ez * ex / square if square > 0.0 else 0.0
    body[i, SLOPE_Y] = ez * ey / square if square > 0.0 else 0.0
