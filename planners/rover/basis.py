"""Chains of quintics with C^4 joints and equal durations: their samples as constant matrices.

With a duration h for every piece, positions and derivatives at fixed places of the pieces are
`S_d @ [p0, h v0, h^2 a0, q, pf, h vf, h^2 af] / h^d`: S_d depends on the number of pieces alone (the
minimum-jerk trajectories of GCOPTER, whose banded system is solved here once for all right-hand sides).
"""

from __future__ import annotations

from functools import lru_cache
from math import perm
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DEGREE = 5
EDGE = 5
"""Columns beside the inner waypoints: C = pieces + EDGE in all."""


@lru_cache(maxsize=32)
def coefficient_map(pieces: int) -> Floats:
    """Coefficients `(pieces, 6, C)` in normalised time, lowest power first, of each column."""
    n, size = pieces, (DEGREE + 1) * pieces
    system, right = np.zeros((size, size)), np.zeros((size, n + EDGE))
    start, end = _powers(np.array([0.0, 1.0]))
    row = 0
    for order in range(3):
        system[row, :6] = start[order]
        right[row, order] = 1.0
        row += 1
    for joint in range(n - 1):
        left, after = slice(6 * joint, 6 * joint + 6), slice(6 * joint + 6, 6 * joint + 12)
        system[row, left] = end[0]
        right[row, 3 + joint] = 1.0
        row += 1
        for order in range(DEGREE):
            system[row, left], system[row, after] = end[order], -start[order]
            row += 1
    for order in range(3):
        system[row, -6:] = end[order]
        right[row, n + 2 + order] = 1.0
        row += 1
    found = np.linalg.solve(system, right).reshape(n, DEGREE + 1, n + EDGE)
    return _kept(found)


def _powers(u: Floats) -> Floats:
    """Derivatives `(len(u), 6, 6)`: order by power, of the monomials at `u`."""
    out = np.zeros((len(u), DEGREE + 1, DEGREE + 1))
    for order in range(DEGREE + 1):
        for power in range(order, DEGREE + 1):
            out[:, order, power] = perm(power, order) * u ** (power - order)
    return out


@lru_cache(maxsize=32)
def sample_rows(pieces: int, per_piece: int) -> tuple[Floats, Floats]:
    """The basis `(M, 4, C)` at the middles of `per_piece` equal parts of each piece, and their places in
    [0, 1] of the whole `(M,)`."""
    u = (np.arange(per_piece) + 0.5) / per_piece
    basis = np.einsum("uok,nkc->nuoc", _powers(u)[:, :4], coefficient_map(pieces))
    places = (np.arange(pieces)[:, None] + u) / pieces
    return _kept(basis.reshape(pieces * per_piece, 4, -1)), _kept(places.reshape(-1))


def rows_at(pieces: int, places: Floats) -> Floats:
    """The basis `(M, 4, C)` at any `places (M,)` in [0, 1] of the whole."""
    piece = np.minimum((places * pieces).astype(np.int64), pieces - 1)
    powers = _powers(places * pieces - piece)[:, :4]
    rows = np.einsum("mok,mkc->moc", powers, coefficient_map(pieces)[piece])
    return np.ascontiguousarray(rows, dtype=np.float64)


@lru_cache(maxsize=32)
def jerk_form(pieces: int) -> Floats:
    """The form `(C, C)` of the integral of the squared third derivative, in normalised time."""
    moments = np.zeros((DEGREE + 1, DEGREE + 1))
    for i in range(3, DEGREE + 1):
        for j in range(3, DEGREE + 1):
            moments[i, j] = perm(i, 3) * perm(j, 3) / (i + j - 5)
    found = np.einsum("nic,ij,njd->cd", coefficient_map(pieces), moments, coefficient_map(pieces))
    return _kept(0.5 * (found + found.T))


def _kept(values: Any) -> Floats:
    out: Floats = np.ascontiguousarray(values, dtype=np.float64)
    out.flags.writeable = False
    return out
