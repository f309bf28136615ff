"""Road users in a picture: boxes of a few parts each, of which up to three sides of each part are seen."""

from __future__ import annotations

import math

from drive.sim.kernels.camera_faces import (
    FARTHEST,
    PLAIN,
    REAR,
    REAR_BRAKING,
    SHADOW,
    dark,
    draw_face,
    light,
)
from drive.sim.kernels.compile import routine

SHADOW_WIDER = 1.06


@routine
def draw_side(
    image, depth, column, row, lens, turn, px, py, pz, cos, sin, ox, oy, oz, ux, uy, vy, vz, paint, bright,
    red, green, blue,
):  # fmt: skip
    """Draw one side of a part at (px, py, pz) from the camera; O, U = (ux, uy, 0), V = (0, vy, vz) are its own."""
    wx, wy, wz = px + cos * ox - sin * oy, py + sin * ox + cos * oy, pz + oz
    sx, sy = cos * ux - sin * uy, sin * ux + cos * uy
    tx, ty = -sin * vy, cos * vy
    red, green, blue = dark(bright, red, green, blue)
    draw_face(
        image, depth, column, row, lens,
        turn[0, 0] * wx + turn[1, 0] * wy + turn[2, 0] * wz,
        turn[0, 1] * wx + turn[1, 1] * wy + turn[2, 1] * wz,
        turn[0, 2] * wx + turn[1, 2] * wy + turn[2, 2] * wz,
        turn[0, 0] * sx + turn[1, 0] * sy,
        turn[0, 1] * sx + turn[1, 1] * sy,
        turn[0, 2] * sx + turn[1, 2] * sy,
        turn[0, 0] * tx + turn[1, 0] * ty + turn[2, 0] * vz,
        turn[0, 1] * tx + turn[1, 1] * ty + turn[2, 1] * vz,
        turn[0, 2] * tx + turn[1, 2] * ty + turn[2, 2] * vz,
        paint, red, green, blue,
    )  # fmt: skip


@routine
def draw_shadows(image, depth, column, row, lens, turn, eye, centers, present, size):
    """Darken the ground under those who are `present (A,)`, at `centers (A, 5)` with `size (A, 3)`."""
    for k in range(len(centers)):
        px, py = centers[k, 0] - eye[0], centers[k, 1] - eye[1]
        if not present[k] or not math.hypot(px, py) < 0.5 * FARTHEST:
            continue
        cos, sin = math.cos(centers[k, 2]), math.sin(centers[k, 2])
        long, wide = SHADOW_WIDER * size[k, 0], SHADOW_WIDER * size[k, 1]
        draw_side(
            image, depth, column, row, lens, turn, px, py, -eye[2], cos, sin,
            -0.5 * long, -0.5 * wide, 0.0, long, 0.0, wide, 0.0, SHADOW, 1.0, 0.0, 0.0, 0.0,
        )  # fmt: skip


@routine
def draw_agents(
    image, depth, column, row, lens, turn, eye, centers, present, size, kind, braking, colours, part_start,
    parts, skins, tints,
):  # fmt: skip
    """Draw those who are `present (A,)`, at `centers (A, 5)` with `size (A, 3)`, `kind`, `colours (A, 3)`.

    Parts of kind k are rows `part_start[k]` to `part_start[k + 1]`: `parts (P, 6)` from and to along x and y
    in half lengths and half widths and along z in heights; `skins (P, 4)` paints of front, rear, sides and
    top; `tints (P, 3)` their own colours, red < 0: the agent's.
    """
    for k in range(len(centers)):
        px, py, pz = centers[k, 0] - eye[0], centers[k, 1] - eye[1], -eye[2]
        if not present[k] or not math.hypot(px, py) - 0.5 * (size[k, 0] + size[k, 1]) < FARTHEST:
            continue
        cos, sin = math.cos(centers[k, 2]), math.sin(centers[k, 2])
        hl, hw, tall = 0.5 * size[k, 0], 0.5 * size[k, 1], size[k, 2]
        # The camera as the agent has it.
        ex, ey, ez = -px * cos - py * sin, px * sin - py * cos, eye[2]
        for p in range(part_start[kind[k]], part_start[kind[k] + 1]):
            x0, x1 = hl * parts[p, 0], hl * parts[p, 1]
            y0, y1 = hw * parts[p, 2], hw * parts[p, 3]
            z0, z1 = tall * parts[p, 4], tall * parts[p, 5]
            red, green, blue = colours[k, 0], colours[k, 1], colours[k, 2]
            if tints[p, 0] >= 0.0:
                red, green, blue = tints[p, 0], tints[p, 1], tints[p, 2]
            if ex > x1:
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x1, y0, z0, 0.0, y1 - y0,
                    0.0, z1 - z0, skins[p, 0], light(cos, sin, 0.0), red, green, blue,
                )  # fmt: skip
            if ex < x0:
                paint = skins[p, 1]
                if paint == REAR and braking[k]:
                    paint = REAR_BRAKING
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x0, y1, z0, 0.0, y0 - y1,
                    0.0, z1 - z0, paint, light(-cos, -sin, 0.0), red, green, blue,
                )  # fmt: skip
            if ey > y1:
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x1, y1, z0, x0 - x1, 0.0,
                    0.0, z1 - z0, skins[p, 2], light(-sin, cos, 0.0), red, green, blue,
                )  # fmt: skip
            if ey < y0:
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x0, y0, z0, x1 - x0, 0.0,
                    0.0, z1 - z0, skins[p, 2], light(sin, -cos, 0.0), red, green, blue,
                )  # fmt: skip
            if ez > z1:
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x0, y0, z1, x1 - x0, 0.0,
                    y1 - y0, 0.0, skins[p, 3], light(0.0, 0.0, 1.0), red, green, blue,
                )  # fmt: skip
            elif ez < z0:
                draw_side(
                    image, depth, column, row, lens, turn, px, py, pz, cos, sin, x0, y0, z0, x1 - x0, 0.0,
                    y1 - y0, 0.0, PLAIN, light(0.0, 0.0, -1.0), red, green, blue,
                )  # fmt: skip
