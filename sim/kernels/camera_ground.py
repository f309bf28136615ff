"""Sky and ground of a picture: every pixel's ray against the plane z = 0.

A ray of a camera is d = (column[u, 0], column[u, 1], row[v]) in its own axes (x forward, y left, z up), for
pinholes and for cylinders alike; depths are measured in multiples of d. `turn (3, 3)` brings camera axes into
the world's.
"""

from __future__ import annotations

import math

from drive.sim.kernels.camera_paint import CELL, LEVELS, SIDE, TILE, TILES
from drive.sim.kernels.compile import routine, scalar

MASK = SIDE - 1
REACH = CELL * TILE * (TILES // 2 - 1)
"""The finest raster is painted at least so far from the ego along x and y, m; each next one twice as far."""
SAMPLES = 16
"""Most samples along the longer side of a pixel's footprint."""
HAZE = 260.0
"""Distance at which half of what is seen is haze, m."""
SKY = (108.0, 156.0, 214.0)
AIR = (205.0, 216.0, 226.0)
FAR_GROUND = (122.0, 137.0, 104.0)
"""Colour of the ground where no raster reaches."""
NO_DEPTH = 1e30


@scalar
def haze_at(square):
    """Share of haze in what is seen at a squared distance."""
    return square / (square + HAZE * HAZE)


@routine
def draw_ground(image, depth, column, row, turn, eye, x, y, cells):
    """Fill `image (H, W, 3)` and `depth (H, W)` with sky and ground.

    `column (W, 4)` the rays' first two parts and their derivatives, `row (H, 2)` the third and its one;
    `eye (3,)` the camera in the world, above the ground; rasters `cells` are painted around (x, y).
    """
    height, width = depth.shape
    ex, ey, ez = eye[0], eye[1], eye[2]
    far = REACH * 2.0 ** (LEVELS - 1)
    for i in range(height):
        r, dr = row[i, 0], row[i, 1]
        vx, vy, vz = turn[0, 2] * dr, turn[1, 2] * dr, turn[2, 2] * dr
        for j in range(width):
            a, b, da, db = column[j, 0], column[j, 1], column[j, 2], column[j, 3]
            dx = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * r
            dy = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * r
            dz = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * r
            if dz > -1e-6:
                depth[i, j] = NO_DEPTH
                up = max(dz / math.sqrt(dx * dx + dy * dy + dz * dz), 0.0)
                up = up * (2.0 - up)
                for k in range(3):
                    image[i, j, k] = int(AIR[k] + up * (SKY[k] - AIR[k]) + 0.5)
                continue
            t = -ez / dz
            depth[i, j] = t
            px, py = ex + t * dx, ey + t * dy
            ux, uy = turn[0, 0] * da + turn[0, 1] * db, turn[1, 0] * da + turn[1, 1] * db
            uz = turn[2, 0] * da + turn[2, 1] * db
            # The pixel's footprint: how the point on the ground moves with u and with v.
            ratio_u, ratio_v = uz / dz, vz / dz
            fx, fy = t * (ux - dx * ratio_u), t * (uy - dy * ratio_u)
            gx, gy = t * (vx - dx * ratio_v), t * (vy - dy * ratio_v)
            minor, major = fx * fx + fy * fy, gx * gx + gy * gy
            if minor > major:
                minor, major, gx, gy = major, minor, fx, fy
            minor, major = math.sqrt(minor), math.sqrt(major)
            away = max(abs(px - x), abs(py - y)) + 0.5 * major
            if not away < far:
                red, green, blue = FAR_GROUND
            else:
                foot = max(minor, major * (1.0 / SAMPLES))
                level, cell, reach = 0, CELL, REACH
                while level < LEVELS - 1 and (cell * 1.4 < foot or away > reach):
                    level, cell, reach = level + 1, 2.0 * cell, 2.0 * reach
                n = min(max(int(math.ceil(major / max(foot, cell))), 1), SAMPLES)
                inverse = 1.0 / cell
                sx, sy = gx / n * inverse, gy / n * inverse
                qx, qy = px * inverse - 0.5 * (n - 1) * sx, py * inverse - 0.5 * (n - 1) * sy
                red, green, blue = 0.0, 0.0, 0.0
                if minor < cell or n < 4:
                    qx, qy = qx - 0.5, qy - 0.5
                    for k in range(n):
                        wx, wy = qx + k * sx, qy + k * sy
                        bx, by = math.floor(wx), math.floor(wy)
                        wx, wy = wx - bx, wy - by
                        c0, r0 = int(bx) & MASK, int(by) & MASK
                        c1, r1 = (c0 + 1) & MASK, (r0 + 1) & MASK
                        w11 = wx * wy
                        w10, w01 = wy - w11, wx - w11
                        w00 = 1.0 - wx - wy + w11
                        red += (
                            w00 * cells[level, r0, c0, 0] + w01 * cells[level, r0, c1, 0]
                            + w10 * cells[level, r1, c0, 0] + w11 * cells[level, r1, c1, 0]
                        )  # fmt: skip
                        green += (
                            w00 * cells[level, r0, c0, 1] + w01 * cells[level, r0, c1, 1]
                            + w10 * cells[level, r1, c0, 1] + w11 * cells[level, r1, c1, 1]
                        )  # fmt: skip
                        blue += (
                            w00 * cells[level, r0, c0, 2] + w01 * cells[level, r0, c1, 2]
                            + w10 * cells[level, r1, c0, 2] + w11 * cells[level, r1, c1, 2]
                        )  # fmt: skip
                else:
                    for k in range(n):
                        c0 = int(math.floor(qx + k * sx)) & MASK
                        r0 = int(math.floor(qy + k * sy)) & MASK
                        red += cells[level, r0, c0, 0]
                        green += cells[level, r0, c0, 1]
                        blue += cells[level, r0, c0, 2]
                share = 1.0 / n
                red, green, blue = red * share, green * share, blue * share
            haze = haze_at(t * t * (dx * dx + dy * dy))
            image[i, j, 0] = int(red + haze * (AIR[0] - red) + 0.5)
            image[i, j, 1] = int(green + haze * (AIR[1] - green) + 0.5)
            image[i, j, 2] = int(blue + haze * (AIR[2] - blue) + 0.5)
