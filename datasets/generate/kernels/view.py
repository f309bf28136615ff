"""Lines of sight past rings."""

from __future__ import annotations

from drive.datasets.generate.kernels.base import exact, part


@part
def side(ox, oy, ux, uy, vx, vy):  # type: ignore[no-untyped-def]
    """Positive where v lies left of the line from o to u."""
    return (ux - ox) * (vy - oy) - (uy - oy) * (vx - ox)


@part
def crosses(px, py, qx, qy, ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """Whether segments p-q and a-b cross in their interiors."""
    if not side(px, py, qx, qy, ax, ay) * side(px, py, qx, qy, bx, by) < 0.0:
        return False
    return side(ax, ay, bx, by, px, py) * side(ax, ay, bx, by, qx, qy) < 0.0


@exact
def hide(eye, points, rings, free):  # type: ignore[no-untyped-def]
    """Clear `free (T, P)` where a ring cuts the line from `eye (T, 2)` to one of `points (T, P, 2)`.

    `rings (T, N, 2)`, or `(1, N, 2)` for one that stands.
    """
    corners = rings.shape[1]
    for t in range(len(eye)):
        r, x, y = min(t, len(rings) - 1), eye[t, 0], eye[t, 1]
        for p in range(points.shape[1]):
            for i in range(corners):
                if not free[t, p]:
                    break
                j = i + 1 if i + 1 < corners else 0
                if crosses(
                    x, y, points[t, p, 0], points[t, p, 1],
                    rings[r, i, 0], rings[r, i, 1], rings[r, j, 0], rings[r, j, 1],
                ):  # fmt: skip
                    free[t, p] = False
