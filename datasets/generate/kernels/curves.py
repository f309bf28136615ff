"""Poses on curves that are given by samples, and profiles of offsets and widths along them."""

from __future__ import annotations

from drive.datasets.generate.kernels.base import exact, step5


@exact
def hermite(s, step, nodes, slopes, out, beyond):  # type: ignore[no-untyped-def]
    """Poses `out (S, 3)` at stations `s (S,)` by cubics between `nodes (N, 3)` with the given `slopes`.

    `beyond (S,)` gets how far a station lies before the first (negative) or behind the last node, where
    the pose is the end's. True if any does.
    """
    last, any_beyond = len(nodes) - 1, False
    length = step * last
    for i in range(len(s)):
        inner = min(max(s[i], 0.0), length)
        beyond[i] = s[i] - inner
        any_beyond = any_beyond or beyond[i] != 0.0
        x = inner / step
        k = min(int(x), last - 1)
        u = x - k
        u2 = u * u
        u3 = u2 * u
        a, b = 2.0 * u3 - 3.0 * u2 + 1.0, u3 - 2.0 * u2 + u
        c, d = 3.0 * u2 - 2.0 * u3, u3 - u2
        for j in range(3):
            near = a * nodes[k, j] + b * slopes[k, j]
            out[i, j] = near + (c * nodes[k + 1, j] + d * slopes[k + 1, j])
    return any_beyond


@exact
def steps(s, knots, values, out):  # type: ignore[no-untyped-def]
    """Values `out (S,)` at stations `s (S,)`: quintic steps between knots, constant beyond them."""
    for i in range(len(s)):
        k = 0
        while k < len(knots) - 2 and s[i] >= knots[k + 1]:
            k += 1
        u = (s[i] - knots[k]) / (knots[k + 1] - knots[k])
        out[i] = values[k] + step5(u) * (values[k + 1] - values[k])
