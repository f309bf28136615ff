"""Flat faces in a picture: parallelograms O + a U + b V, and triangles (a + b <= 1), with a z-buffer.

A ray t d meets such a face where t = O.(U x V) / D, a = d.(V x O) / D, b = d.(O x U) / D, with
D = d.(U x V) (Cramer's rule). Every pixel is asked so, hence nothing needs to be clipped: what lies behind
the camera has t < 0. Rays are those of `camera_ground`.
"""

from __future__ import annotations

import math

from drive.sim.kernels.camera_ground import AIR, haze_at
from drive.sim.kernels.compile import routine, scalar

NEAR = 0.05
"""Nothing nearer than this is drawn, m."""
FARTHEST = 400.0
"""Boxes and walls farther than this are not drawn, m: there half of a colour is haze, and a car a pixel."""
SUN = (0.40, 0.28, 0.87)
AMBIENT, DIRECT = 0.62, 0.42
PINHOLE, CYLINDER = 0, 1
(
    PLAIN, SIDE, FRONT, REAR, REAR_BRAKING, GLASS, WINDOWS, STRIPES, LAMPS, CAB, PERSON, SHADOW, TRIANGLE,
) = range(13)  # fmt: skip
"""What a face is painted like."""
SHADE = 0.55
"""Share of light on the ground under a vehicle."""
WHEEL = 0.33
"""Radius of a car's wheels, m."""
VISOR = 0.34  # cosine of the angle, 70 degrees, beyond which lamps are hidden by their visors
SLACK = 0.15  # m, of lamps before the board that they stand on, seen askew
BULB = 1.0
"""No lit bulb is drawn smaller than this, pixels of radius: lamps outshine their size."""


@scalar
def dark(factor, red, green, blue):
    """A colour's darker kin."""
    return factor * red, factor * green, factor * blue


@scalar
def painted(paint, a, b, long, tall, red, green, blue):
    """Colour at (a, b) of a face of `long` x `tall` m: b runs up, a to the right for who stands before it."""
    if paint in (PLAIN, TRIANGLE, SHADOW):
        return red, green, blue
    x, z = a * long, b * tall
    if paint == SIDE:
        wx = min(x - 0.19 * long, 0.81 * long - x)
        wx = wx if wx < 0.0 else min(abs(x - 0.19 * long), abs(x - 0.81 * long))
        wz = z - WHEEL
        if wx * wx + wz * wz < WHEEL * WHEEL:
            return 24.0, 24.0, 26.0
        if z < 0.2:
            return 40.0, 40.0, 42.0
        return red, green, blue
    if paint in (FRONT, REAR, REAR_BRAKING):
        side = min(x, long - x)
        if z < 0.2:
            return 40.0, 40.0, 42.0
        if side < 0.2 * long and 0.58 < b < 0.9:
            if paint == FRONT:
                return 246.0, 246.0, 226.0
            if paint == REAR:
                return 110.0, 14.0, 16.0
            return 255.0, 24.0, 20.0
        if abs(2.0 * x - long) < 0.5 and 0.3 < b < 0.5:
            return 235.0, 235.0, 225.0
        return red, green, blue
    if paint == GLASS:
        if x < 0.1 or x > long - 0.1 or b > 0.88 or b < 0.06:
            return red, green, blue
        return 46.0, 60.0, 76.0
    if paint == WINDOWS:
        u, v = x - 3.0 * math.floor(x / 3.0), z - 3.0 * math.floor(z / 3.0)
        if 0.8 < u < 2.2 and 0.9 < v < 2.4:
            return 78.0, 92.0, 108.0
        return red, green, blue
    if paint == STRIPES:
        if z - 0.5 * math.floor(2.0 * z) < 0.25:
            return 240.0, 240.0, 236.0
        return red, green, blue
    if paint == LAMPS:
        # A head of signals: three dark discs on a dark board.
        disc = 3.0 * b - math.floor(3.0 * b) - 0.5
        if (a - 0.5) * (a - 0.5) + disc * disc < 0.14:
            return 52.0, 54.0, 54.0
        return red, green, blue
    if paint == CAB:
        if 0.52 < b < 0.9 and 0.08 < a < 0.92:
            return 46.0, 60.0, 76.0
        if z < 0.35:
            return 40.0, 40.0, 42.0
        return red, green, blue
    # A person: trousers below.
    if z < 0.8:
        return dark(0.35, red, green, blue)
    return red, green, blue


@routine
def draw_face(
    image, depth, column, row, lens, ox, oy, oz, ux, uy, uz, vx, vy, vz, paint, red, green, blue,
):  # fmt: skip
    """Draw one face, given in camera axes, where it is nearest; colours are already shaded by its slope."""
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    gap = ox * nx + oy * ny + oz * nz
    if gap == 0.0:
        return
    height, width = depth.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    # The picture's part that can show it: bounds of its outline, cut off close before the camera.
    low, high, top, bottom = 1e30, -1e30, 1e30, -1e30
    px, py, pz = ox + vx, oy + vy, oz + vz  # the corner before the first one
    if lens[4] == PINHOLE:
        for k in range(4):
            qx, qy, qz = ox, oy, oz
            if k == 1 or k == 2:
                qx, qy, qz = qx + ux, qy + uy, qz + uz
            if k == 2 or k == 3:
                qx, qy, qz = qx + vx, qy + vy, qz + vz
            if (px < NEAR) != (qx < NEAR):
                s = (NEAR - px) / (qx - px)
                u = cx - fx * (py + s * (qy - py)) / NEAR
                v = cy - fy * (pz + s * (qz - pz)) / NEAR
                low, high, top, bottom = min(low, u), max(high, u), min(top, v), max(bottom, v)
            if qx >= NEAR:
                u, v = cx - fx * qy / qx, cy - fy * qz / qx
                low, high, top, bottom = min(low, u), max(high, u), min(top, v), max(bottom, v)
            px, py, pz = qx, qy, qz
    else:
        azimuth = math.atan2(py, px)
        near, low_z, high_z = 1e30, 1e30, -1e30
        first = azimuth
        for k in range(4):
            qx, qy, qz = ox, oy, oz
            if k == 1 or k == 2:
                qx, qy, qz = qx + ux, qy + uy, qz + uz
            if k == 2 or k == 3:
                qx, qy, qz = qx + vx, qy + vy, qz + vz
            ex, ey = qx - px, qy - py
            s = min(max(-(px * ex + py * ey) / max(ex * ex + ey * ey, 1e-12), 0.0), 1.0)
            near = min(near, math.hypot(px + s * ex, py + s * ey))
            azimuth += math.atan2(px * qy - py * qx, px * qx + py * qy)
            low, high = min(low, azimuth), max(high, azimuth)
            low_z, high_z = min(low_z, qz), max(high_z, qz)
            px, py, pz = qx, qy, qz
        away = max(math.hypot(ox, oy), 0.0) + math.hypot(ux, uy) + math.hypot(vx, vy)
        if near < NEAR or low < -math.pi or high > math.pi or abs(azimuth - first) > 1.0:
            low, high, top, bottom = 0.0, float(width), 0.0, float(height)
        else:
            low, high = cx - fx * high, cx - fx * low
            top = cy - fy * high_z / (near if high_z > 0.0 else away)
            bottom = cy - fy * low_z / (near if low_z < 0.0 else away)
    if not (low <= high and top <= bottom):
        return
    # A pixel is asked at its middle.
    j0, j1 = int(min(max(low - 0.5, 0.0), float(width))), int(min(max(high + 1.5, 0.0), float(width)))
    i0, i1 = int(min(max(top - 0.5, 0.0), float(height))), int(min(max(bottom + 1.5, 0.0), float(height)))
    if i0 >= i1 or j0 >= j1:
        return
    ax, ay, az = vy * oz - vz * oy, vz * ox - vx * oz, vx * oy - vy * ox
    bx, by, bz = oy * uz - oz * uy, oz * ux - ox * uz, ox * uy - oy * ux
    long, tall = math.sqrt(ux * ux + uy * uy + uz * uz), math.sqrt(vx * vx + vy * vy + vz * vz)
    for i in range(i0, i1):
        r = row[i, 0]
        n_row, a_row, b_row = nz * r, az * r, bz * r
        for j in range(j0, j1):
            c0, c1 = column[j, 0], column[j, 1]
            d = nx * c0 + ny * c1 + n_row
            a = ax * c0 + ay * c1 + a_row
            b = bx * c0 + by * c1 + b_row
            if d < 0.0:
                d, a, b, ahead = -d, -a, -b, -gap
            else:
                ahead = gap
            # All three are still to be divided by d.
            if a < 0.0 or b < 0.0 or a > d or b > d or d == 0.0 or ahead < NEAR * d:
                continue
            if paint == TRIANGLE and a + b > d:
                continue
            # Shadows lie on the ground, before anything stands there.
            if paint != SHADOW and ahead >= depth[i, j] * d:
                continue
            if paint == SHADOW:
                for k in range(3):
                    image[i, j, k] = int(SHADE * image[i, j, k])
                continue
            inverse = 1.0 / d
            t = ahead * inverse
            depth[i, j] = t
            x, y, z = painted(paint, a * inverse, b * inverse, long, tall, red, green, blue)
            haze = haze_at(t * t * (c0 * c0 + c1 * c1 + r * r))
            image[i, j, 0] = int(min(x + haze * (AIR[0] - x), 255.0) + 0.5)
            image[i, j, 1] = int(min(y + haze * (AIR[1] - y), 255.0) + 0.5)
            image[i, j, 2] = int(min(z + haze * (AIR[2] - z), 255.0) + 0.5)


@scalar
def light(x, y, z):
    """How bright the sun makes a face with the unit normal (x, y, z)."""
    return AMBIENT + DIRECT * max(SUN[0] * x + SUN[1] * y + SUN[2] * z, 0.0)


@routine
def draw_walls(image, depth, column, row, lens, turn, eye, faces, paints, colours):
    """Draw faces that stand still: `faces (F, 9)` O, U, V in the world, `paints (F,)`, `colours (F, 3)`.

    They are seen from both sides. `lens (5,)` fx, fy, cx, cy and which kind of camera it is.
    """
    for f in range(len(faces)):
        ox, oy, oz = faces[f, 0] - eye[0], faces[f, 1] - eye[1], faces[f, 2] - eye[2]
        ux, uy, uz = faces[f, 3], faces[f, 4], faces[f, 5]
        vx, vy, vz = faces[f, 6], faces[f, 7], faces[f, 8]
        mx, my = ox + 0.5 * (ux + vx), oy + 0.5 * (uy + vy)
        half = 0.5 * (math.hypot(ux, uy) + math.hypot(vx, vy))
        if math.hypot(mx, my) - half > FARTHEST:
            continue
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        size = math.sqrt(nx * nx + ny * ny + nz * nz)
        if not size > 0.0:
            continue
        if nx * ox + ny * oy + nz * oz > 0.0:
            size = -size
        bright = light(nx / size, ny / size, nz / size)
        red, green, blue = dark(bright, colours[f, 0], colours[f, 1], colours[f, 2])
        draw_face(
            image, depth, column, row, lens,
            turn[0, 0] * ox + turn[1, 0] * oy + turn[2, 0] * oz,
            turn[0, 1] * ox + turn[1, 1] * oy + turn[2, 1] * oz,
            turn[0, 2] * ox + turn[1, 2] * oy + turn[2, 2] * oz,
            turn[0, 0] * ux + turn[1, 0] * uy + turn[2, 0] * uz,
            turn[0, 1] * ux + turn[1, 1] * uy + turn[2, 1] * uz,
            turn[0, 2] * ux + turn[1, 2] * uy + turn[2, 2] * uz,
            turn[0, 0] * vx + turn[1, 0] * vy + turn[2, 0] * vz,
            turn[0, 1] * vx + turn[1, 1] * vy + turn[2, 1] * vz,
            turn[0, 2] * vx + turn[1, 2] * vy + turn[2, 2] * vz,
            paints[f], red, green, blue,
        )  # fmt: skip


@routine
def draw_bulbs(image, depth, column, row, lens, turn, eye, bulbs, colours):
    """Draw `bulbs (B, 6)`: place, the way they shine (x, y), radius; `colours (B, 3)`, red < 0: off."""
    height, width = depth.shape
    for b in range(len(bulbs)):
        ox, oy, oz = bulbs[b, 0] - eye[0], bulbs[b, 1] - eye[1], bulbs[b, 2] - eye[2]
        askew = ox * bulbs[b, 3] + oy * bulbs[b, 4]
        if colours[b, 0] < 0.0 or askew > -VISOR * math.hypot(ox, oy):
            continue
        x = turn[0, 0] * ox + turn[1, 0] * oy + turn[2, 0] * oz
        y = turn[0, 1] * ox + turn[1, 1] * oy + turn[2, 1] * oz
        z = turn[0, 2] * ox + turn[1, 2] * oy + turn[2, 2] * oz
        if lens[4] == PINHOLE:
            if x < NEAR:
                continue
            t = x
            u = lens[2] - lens[0] * y / x
        else:
            t = math.hypot(x, y)
            if t < NEAR:
                continue
            u = lens[2] - lens[0] * math.atan2(y, x)
        v = lens[3] - lens[1] * z / t
        if t > FARTHEST or not -1e6 < u < 1e6 or not -1e6 < v < 1e6:
            continue
        radius = max(lens[1] * bulbs[b, 5] / t, BULB)
        haze = 0.5 * haze_at(t * t)
        for i in range(max(int(v - radius), 0), min(int(v + radius) + 1, height)):
            for j in range(max(int(u - radius), 0), min(int(u + radius) + 1, width)):
                du, dv = j + 0.5 - u, i + 0.5 - v
                if du * du + dv * dv <= radius * radius and t - SLACK < depth[i, j]:
                    for k in range(3):
                        image[i, j, k] = int(colours[b, k] + haze * (AIR[k] - colours[b, k]) + 0.5)
