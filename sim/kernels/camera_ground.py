"""Sky and ground of a picture: every pixel's ray against the plane z = 0.

A ray of a camera is d = (column[u, 0], column[u, 1], row[v]) in its own axes (x forward, y left, z up), for
pinholes and for cylinders alike; depths are measured in multiples of d. `turn (3, 3)` brings camera axes into
the world's.
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.camera_paint import CELL, LEVELS, SIDE, TILE, TILES
from drive.sim.kernels.compile import routine, scalar

MASK = SIDE - 1
POSITIVE = 2.0**30
"""A multiple of `SIDE` that is added to numbers of cells: of what is positive, int() is the floor."""
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
LANE = 2**21 - 1


@scalar
def spread(packed):
    """The three bytes of a cell in lanes of 21 bits each: `SAMPLES` times 256 times 255 fit into one."""
    c = np.int64(packed)
    return (c & 0xFF) | ((c & 0xFF00) << 13) | ((c & 0xFF0000) << 26)


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
            steep = 1.0 / dz
            t = -ez * steep
            depth[i, j] = t
            px, py = ex + t * dx, ey + t * dy
            ux, uy = turn[0, 0] * da + turn[0, 1] * db, turn[1, 0] * da + turn[1, 1] * db
            uz = turn[2, 0] * da + turn[2, 1] * db
            # The pixel's footprint: how the point on the ground moves with u and with v.
            ratio_u, ratio_v = uz * steep, vz * steep
            fx, fy = t * (ux - dx * ratio_u), t * (uy - dy * ratio_u)
            gx, gy = t * (vx - dx * ratio_v), t * (vy - dy * ratio_v)
            minor, major = fx * fx + fy * fy, gx * gx + gy * gy
            if minor > major:
                minor, major, gx, gy = major, minor, fx, fy
            away = max(abs(px - x), abs(py - y)) + 0.5 * (abs(gx) + abs(gy))
            if not away < far:
                red, green, blue = FAR_GROUND
            else:
                # Squares of lengths: a root is as slow as a division.
                foot = max(minor, major * (1.0 / SAMPLES**2))
                level, cell, inverse, reach = 0, CELL, 1.0 / CELL, REACH
                while level < LEVELS - 1 and (2.0 * cell * cell < foot or away > reach):
                    level, cell, inverse, reach = level + 1, 2.0 * cell, 0.5 * inverse, 2.0 * reach
                n = min(max(math.ceil(math.sqrt(major / max(foot, cell * cell))), 1), SAMPLES)
                # Where cells are larger than pixels, they are blended; a blend reaches two cells far.
                soft = n < 4 or 4.0 * minor < cell * cell
                if soft and n > 3:
                    n = (n + 1) >> 1
                share = 1.0 / n
                sx, sy = gx * share * inverse, gy * share * inverse
                qx = px * inverse + (POSITIVE - 0.5 * (n - 1) * sx)
                qy = py * inverse + (POSITIVE - 0.5 * (n - 1) * sy)
                total = 0
                if soft:
                    qx, qy = qx - 0.5, qy - 0.5
                    for _ in range(n):
                        c0, r0 = int(qx), int(qy)
                        # Weights in 256ths; they sum up to 256.
                        right, up = int(256.0 * (qx - c0)), int(256.0 * (qy - r0))
                        qx, qy = qx + sx, qy + sy
                        c0, r0 = c0 & MASK, r0 & MASK
                        c1, r1 = (c0 + 1) & MASK, (r0 + 1) & MASK
                        both = (right * up) >> 8
                        total += (
                            (256 - right - up + both) * spread(cells[level, r0, c0])
                            + (right - both) * spread(cells[level, r0, c1])
                            + (up - both) * spread(cells[level, r1, c0])
                            + both * spread(cells[level, r1, c1])
                        )
                    share *= 1.0 / 256.0
                else:
                    for _ in range(n):
                        c0, r0 = int(qx) & MASK, int(qy) & MASK
                        qx, qy = qx + sx, qy + sy
                        total += spread(cells[level, r0, c0])
                red = (total & LANE) * share
                green = ((total >> 21) & LANE) * share
                blue = (total >> 42) * share
            haze = haze_at(t * t * (dx * dx + dy * dy))
            image[i, j, 0] = int(red + haze * (AIR[0] - red) + 0.5)
            image[i, j, 1] = int(green + haze * (AIR[1] - green) + 0.5)
            image[i, j, 2] = int(blue + haze * (AIR[2] - blue) + 0.5)
