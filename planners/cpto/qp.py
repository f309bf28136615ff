"""The polish: the loop's problem made convex around its last iterate, for a quadratic programme's solver.

Headings and the sides on which obstacles are passed are frozen. A gauge is convex, so that its tangent lies
below it: who keeps the tangent's half-space keeps clear. `model.py` says the same in cvxpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drive.planners.cpto.basis import BRANCH, FREE, TRUNK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.cpto.kernels.admm import Iterate, Model, Problem, Weights

    Floats = NDArray[np.float64]

SLIP_WEIGHT = 50.0
"""Cost of a metre a second sideways of the frozen heading."""


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticProgram:
    """Minimise x' P x / 2 + q' x subject to low <= A x <= high."""

    P: Floats
    q: Floats
    A: Floats
    low: Floats
    high: Floats


class QPBackend(Protocol):
    """A solver: the optimum `(n,)`, or None where it found none. `guess (n,)` may be used."""

    def solve(self, program: QuadraticProgram, guess: Floats | None = None) -> Floats | None: ...


@dataclass(frozen=True, slots=True)
class OSQP:
    """OSQP (Stellato et al. 2020), set up anew for each programme."""

    tolerance: float = 1e-3
    iterations: int = 4000

    def solve(self, program: QuadraticProgram, guess: Floats | None = None) -> Floats | None:
        import osqp
        from scipy import sparse

        p = program
        solver = osqp.OSQP()
        solver.setup(
            sparse.csc_matrix(np.triu(p.P)), p.q, sparse.csc_matrix(p.A), p.low, p.high, verbose=False,
            eps_abs=self.tolerance, eps_rel=self.tolerance, max_iter=self.iterations, polishing=False,
            warm_starting=True,
        )  # fmt: skip
        if guess is not None:
            solver.warm_start(x=guess)
        found: Any = solver.solve(raise_error=False)
        return np.asarray(found.x) if found.info.status == "solved" else None


def convexify(model: Model, weights: Weights, problem: Problem, it: Iterate) -> QuadraticProgram:
    """The programme in (x trunk, x branches, y trunk, y branches): exact consensus, one trunk for all."""
    count, steps = it.psi.shape
    size = TRUNK + BRANCH * count
    P, q = np.zeros((2 * size, 2 * size)), np.zeros(2 * size)
    rows: list[Floats] = []
    low: list[Floats] = []
    high: list[Floats] = []

    def bound(matrix: Floats, lowest: Floats, highest: Floats) -> None:
        rows.append(matrix)
        low.append(lowest)
        high.append(highest)

    for z in range(count):
        x, y = _columns(z, size)
        f = [model.free[r].T for r in range(4)]
        start = [[problem.start[a] @ model.start[r] for r in range(4)] for a in range(2)]
        p = float(problem.probability[z])
        lane = (np.arange(steps) >= model.late).astype(np.float64)
        terms = (
            (x, f[0], problem.x_ref[z] - start[0][0], p * weights.place * np.ones(steps)),
            (x, f[1], problem.v_ref[z] - start[0][1], p * weights.speed * np.ones(steps)),
            (x, f[2], -start[0][2], p * weights.accel * np.ones(steps)),
            (x, f[3], -start[0][3], p * weights.jerk * np.ones(steps)),
            (y, f[0], problem.y_ref[z] - start[1][0], p * weights.lane * lane),
            (y, f[2], -start[1][2], p * weights.accel * np.ones(steps)),
            (y, f[3], -start[1][3], p * weights.jerk * np.ones(steps)),
        )
        for columns, matrix, target, weight in terms:
            P[np.ix_(columns, columns)] += matrix.T @ (weight[:, None] * matrix)
            q[columns] -= matrix.T @ (weight * target)
        cos, sin = np.cos(it.psi[z])[:, None], np.sin(it.psi[z])[:, None]
        wide = np.zeros((steps, 2 * size))
        wide[:, x], wide[:, y] = -sin * f[1], cos * f[1]
        rest = -sin[:, 0] * start[0][1] + cos[:, 0] * start[1][1]
        P += SLIP_WEIGHT * wide.T @ wide
        q += SLIP_WEIGHT * wide.T @ rest
        forward = np.zeros((steps, 2 * size))
        forward[:, x], forward[:, y] = cos * f[1], sin * f[1]
        base = cos[:, 0] * start[0][1] + sin[:, 0] * start[1][1]
        bound(forward[1:], -base[1:], problem.v_max[z][1:] - base[1:])
        for columns, r, offset, lowest, highest in (
            (x, 2, start[0][2], -weights.brake, weights.speed_up),
            (y, 2, start[1][2], -weights.sideways, weights.sideways),
            (x, 0, start[0][0], -np.inf, problem.x_hi[z]),
            (y, 0, start[1][0], problem.y_lo[z], problem.y_hi[z]),
        ):
            matrix = np.zeros((steps, 2 * size))
            matrix[:, columns] = f[r]
            lowest, highest = np.broadcast_to(lowest, steps), np.broadcast_to(highest, steps)
            bound(matrix[1:], (lowest - offset)[1:], (highest - offset)[1:])
        for pair in np.flatnonzero(problem.active[z]).tolist():
            gx, gy, least = tangents(problem, it, z, pair)
            matrix = np.zeros((steps, 2 * size))
            matrix[:, x], matrix[:, y] = gx[:, None] * f[0], gy[:, None] * f[0]
            offset = gx * start[0][0] + gy * start[1][0]
            bound(matrix[1:], (least - offset)[1:], np.full(steps - 1, np.inf))
    return QuadraticProgram(P, q, np.concatenate(rows), np.concatenate(low), np.concatenate(high))


def tangents(problem: Problem, it: Iterate, z: int, pair: int) -> tuple[Floats, Floats, Floats]:
    """Gradient `(N,)`, `(N,)` of a pair's gauge at the iterate, and the least `gx x + gy y` that is clear."""
    x, y = it.path[z, 0]
    lead = float(problem.lead[pair])
    dx = x + lead * np.cos(it.psi[z]) - problem.place[pair, 0]
    dy = y + lead * np.sin(it.psi[z]) - problem.place[pair, 1]
    m = problem.shape[pair]
    u, v = m[0] * dx + m[1] * dy, m[2] * dx + m[3] * dy
    r = np.maximum((u**4 + v**4) ** 0.25, 1e-6)
    gx, gy = (u**3 * m[0] + v**3 * m[2]) / r**3, (u**3 * m[1] + v**3 * m[3]) / r**3
    return gx, gy, 1.0 - r + gx * x + gy * y


def _columns(z: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    own = np.concatenate((np.arange(TRUNK), TRUNK + BRANCH * z + np.arange(BRANCH)))
    return own, size + own


def control_points(solution: Floats, count: int) -> Floats:
    """`(2, Z, 10)` free control points of a programme's solution."""
    size = TRUNK + BRANCH * count
    out = np.empty((2, count, FREE))
    for z in range(count):
        for axis, columns in enumerate(_columns(z, size)):
            out[axis, z] = solution[columns]
    return out


def flat(w: Floats) -> Floats:
    """A programme's variables of control points `w (>= 2, Z, 10)` whose trunks agree."""
    return np.concatenate([np.concatenate((w[a, 0, :TRUNK], w[a, :, TRUNK:].ravel())) for a in range(2)])
