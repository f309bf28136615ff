"""Rays against upright boxes and the ground: what lidars, radars and labelled cameras see."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.base import kernel
from drive.sim.carla.kernels.ground import nearest_piece
from drive.sim.kernels.compile import scalar

NOTHING, ON_GROUND = -1, -2
"""What a ray met, beside the number of a box."""
BY_THE_WAY = 0.1
"""Metres beside a lane that still look like it."""
ROUGH_GROUND = 3
"""Times that a ray's place on uneven ground is looked up."""


@scalar
def into_box(ox, oy, oz, dx, dy, dz, box, k):
    """Distance along a ray to box k (`box (B, 8)` x, y, z, cos, sin, half extents) or -1, and its face.

    Slabs. Faces: 0 across the box's x, 1 across its y, 2 its top or bottom. From inside nothing is met.
    """
    c, s = box[k, 3], box[k, 4]
    px, py, pz = ox - box[k, 0], oy - box[k, 1], oz - box[k, 2]
    near, far, face = -1e30, 1e30, 0
    for axis in range(3):
        if axis == 0:
            at, along, half = px * c + py * s, dx * c + dy * s, box[k, 5]
        elif axis == 1:
            at, along, half = py * c - px * s, dy * c - dx * s, box[k, 6]
        else:
            at, along, half = pz, dz, box[k, 7]
        if abs(along) < 1e-12:
            if abs(at) > half:
                return -1.0, 0
            continue
        a, b = (-half - at) / along, (half - at) / along
        if a > b:
            a, b = b, a
        if a > near:
            near, face = a, axis
        far = min(far, b)
    if near > far or near <= 0.0:
        return -1.0, 0
    return near, face


@scalar
def to_ground(ox, oy, oz, dx, dy, dz, level, flat, grid, start, segments, rows, lane_of_row):
    """Distance along a ray to the ground or -1, and the lane there; `level` is the ground's height below."""
    if dz > -1e-9:
        return -1.0, -1
    z, lane = level, -1
    t = (z - oz) / dz
    if flat:
        return t, -1
    for _ in range(ROUGH_GROUND):
        p, lane, beside = nearest_piece(ox + t * dx, oy + t * dy, z, grid, start, segments, rows, lane_of_row)
        if p < 0:
            break
        ax, ay = rows[p, 0], rows[p, 1]
        ex, ey = rows[p + 1, 0] - ax, rows[p + 1, 1] - ay
        square = ex * ex + ey * ey
        u = ((ox + t * dx - ax) * ex + (oy + t * dy - ay) * ey) / square if square > 0.0 else 0.0
        # Beside a lane the ground goes on as high as it, but is not of it.
        lane = lane if beside < BY_THE_WAY else -1
        rise = rows[p + 1, 2] - rows[p, 2]
        z = rows[p, 2] + min(max(u, 0.0), 1.0) * rise
        # The ray against the plane that the piece lies in.
        sx = rise * ex / square if 0.0 <= u <= 1.0 and square > 0.0 else 0.0
        sy = rise * ey / square if 0.0 <= u <= 1.0 and square > 0.0 else 0.0
        steep = dz - sx * dx - sy * dy
        if steep > -1e-9:
            return -1.0, -1
        x, y = ox + t * dx, oy + t * dy
        t = max((z + sx * (ox - x) + sy * (oy - y) - oz) / steep, 0.0)
    return t, lane


@kernel
def cast_rays(
    origin, ways, reach, box, level, flat, grid, start, segments, rows, lane_of_row, far, what,
    cosine, lane,
):  # fmt: skip
    """For rays `ways (N, 3)` of length 1 from `origin (3,)`: distance `far (N,)` (-1: nothing in `reach`),
    `what (N,)` the box or `ON_GROUND` or `NOTHING`, `cosine (N,)` of incidence, the `lane (N,)` hit or -1.

    `flat` says that the ground is one plane and lanes are not asked for.
    """
    ox, oy, oz = origin[0], origin[1], origin[2]
    for n in range(len(ways)):
        dx, dy, dz = ways[n, 0], ways[n, 1], ways[n, 2]
        best, met, angle, on = reach, NOTHING, 0.0, -1
        for k in range(box.shape[0]):
            # Only boxes that the ray passes near.
            px, py, pz = box[k, 0] - ox, box[k, 1] - oy, box[k, 2] - oz
            along = px * dx + py * dy + pz * dz
            radius = box[k, 5] ** 2 + box[k, 6] ** 2 + box[k, 7] ** 2
            if px * px + py * py + pz * pz - along * along > radius or along < -math.sqrt(radius):
                continue
            t, face = into_box(ox, oy, oz, dx, dy, dz, box, k)
            if 0.0 < t < best:
                best, met = t, k
                if face == 0:
                    angle = abs(dx * box[k, 3] + dy * box[k, 4])
                elif face == 1:
                    angle = abs(dy * box[k, 3] - dx * box[k, 4])
                else:
                    angle = abs(dz)
        t, ground_lane = to_ground(
            ox, oy, oz, dx, dy, dz, level, flat, grid, start, segments, rows, lane_of_row
        )
        if 0.0 < t < best:
            best, met, angle, on = t, ON_GROUND, -dz, ground_lane
        far[n] = best if met != NOTHING else -1.0
        what[n], cosine[n], lane[n] = met, angle, on
