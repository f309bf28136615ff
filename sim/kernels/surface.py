"""A height field as a cubic B-spline: height, slope and curvature at a point, twice differentiable."""

from __future__ import annotations

from drive.sim.kernels.compile import kernel, scalar

PAD = 2
"""Rows and columns of coefficients that lie beyond the field on each side."""

EDGE = 1e-6
"""Cells by which a ray along the edge may be rounded off the field."""


@scalar
def spline_cell(position, count):
    """The cell of a position in cells, the place within it, and whether it is held at the field's edge."""
    last = count - 1.0
    held = position < 0.0 or position > last
    p = min(max(position, 0.0), last)
    cell = min(int(p), count - 2)
    return cell, p - cell, held


@scalar
def spline_weights(f):
    """Weights of the four coefficients about a place in a cell, their slopes and their curvatures."""
    g = 1.0 - f
    value = (
        g * g * g / 6.0,
        (4.0 - 6.0 * f * f + 3.0 * f * f * f) / 6.0,
        (4.0 - 6.0 * g * g + 3.0 * g * g * g) / 6.0,
        f * f * f / 6.0,
    )
    slope = (-0.5 * g * g, -2.0 * f + 1.5 * f * f, 2.0 * g - 1.5 * g * g, 0.5 * f * f)
    curve = (g, 3.0 * f - 2.0, 3.0 * g - 2.0, f)
    return value, slope, curve


@scalar
def surface_point(coefficients, resolution, x, y):
    """Height, slopes along x and y, and curvatures xx, xy, yy; beyond the edge the height is held."""
    rows, columns = coefficients.shape[0] - 2 * PAD, coefficients.shape[1] - 2 * PAD
    c, fx, held_x = spline_cell(x / resolution, columns)
    r, fy, held_y = spline_cell(y / resolution, rows)
    bx, dx, ddx = spline_weights(fx)
    by, dy, ddy = spline_weights(fy)
    h = hx = hy = hxx = hxy = hyy = 0.0
    for k in range(4):
        row = r + k + PAD - 1
        a0, a1 = coefficients[row, c + PAD - 1], coefficients[row, c + PAD]
        a2, a3 = coefficients[row, c + PAD + 1], coefficients[row, c + PAD + 2]
        value = bx[0] * a0 + bx[1] * a1 + bx[2] * a2 + bx[3] * a3
        slope = dx[0] * a0 + dx[1] * a1 + dx[2] * a2 + dx[3] * a3
        curve = ddx[0] * a0 + ddx[1] * a1 + ddx[2] * a2 + ddx[3] * a3
        h += by[k] * value
        hx += by[k] * slope
        hy += dy[k] * value
        hxx += by[k] * curve
        hxy += dy[k] * slope
        hyy += ddy[k] * value
    if held_x:
        hx, hxx, hxy = 0.0, 0.0, 0.0
    if held_y:
        hy, hyy, hxy = 0.0, 0.0, 0.0
    s = 1.0 / resolution
    return h, hx * s, hy * s, hxx * s * s, hxy * s * s, hyy * s * s


@kernel
def surface_points(coefficients, resolution, points, out):
    """Fill `out (N, 6)` with the values of `surface_point` at `points (N, 2)`."""
    for i in range(len(points)):
        h, hx, hy, hxx, hxy, hyy = surface_point(coefficients, resolution, points[i, 0], points[i, 1])
        out[i, 0], out[i, 1], out[i, 2] = h, hx, hy
        out[i, 3], out[i, 4], out[i, 5] = hxx, hxy, hyy


@kernel
def shade(height, east, north, rise, reach, out):
    """Fill `out (rows, columns)` with 1 where a ray of steps (`east`, `north`) in cells that rises by `rise`
    in m a step meets a height within `reach` steps, else 0."""
    rows, columns = height.shape
    for r in range(rows):
        for c in range(columns):
            dark = 0.0
            level = height[r, c] + 1e-9
            for k in range(1, reach + 1):
                x, y = c + k * east, r + k * north
                if x < -EDGE or y < -EDGE or x > columns - 1.0 + EDGE or y > rows - 1.0 + EDGE:
                    break
                i, j = min(int(x), columns - 2), min(int(y), rows - 2)
                u, v = x - i, y - j
                low = (1.0 - u) * height[j, i] + u * height[j, i + 1]
                high = (1.0 - u) * height[j + 1, i] + u * height[j + 1, i + 1]
                if (1.0 - v) * low + v * high > level + k * rise:
                    dark = 1.0
                    break
            out[r, c] = dark
