"""The trajectories' basis: a Bernstein trunk on [0, t_c] and a Bernstein branch on [t_c, T], joined C3.

A trunk of degree 6 has seven control points: three follow from the state now (position, speed,
acceleration), four are free. Those four fix value and three derivatives at the joint, hence the first four
of a branch's ten control points (degree 9); six are free. So a trajectory is linear in
(start (3), trunk (4), branch (6)), and no equality constraint is left.

Source: Bernstein trajectories after Singh et al. (Batch-Opt, 2022); the split into a trunk and branches is
reconstructed, because one polynomial of degree 10 cannot share a segment exactly and still part.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TRUNK_DEGREE, BRANCH_DEGREE = 6, 9
TRUNK, BRANCH = 4, 6
"""Free control points of the trunk and of a branch."""
FREE = TRUNK + BRANCH
ORDERS = 4
"""Position, speed, acceleration, jerk."""


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Samples of derivative r are `start[r].T @ (p, v, a) + free[r].T @ (trunk, branch)`.

    `start (4, 3, N)`, `free (4, 10, N)` at `times (N,)`; `gram (4, 10, 10)` are `free[r] @ free[r].T`;
    the first `shared` samples belong to the trunk; `lane (10, 10)` is the gram matrix of the positions
    after them.
    """

    times: Floats
    start: Floats
    free: Floats
    gram: Floats
    lane: Floats
    shared: int


def make_basis(steps: int, dt: float, joint: float) -> Basis:
    """The basis at `steps` samples of `dt` seconds, with the joint at `joint` seconds."""
    times = np.asarray(dt * np.arange(steps), dtype=np.float64)
    start, free = sample_basis(times, joint, float(times[-1]))
    gram = np.einsum("rik,rjk->rij", free, free)
    shared = int(np.searchsorted(times, joint + 1e-9))
    late = free[0][:, min(shared + 2, steps - 1) :]
    return Basis(times, start, free, gram, late @ late.T, shared)


def sample_basis(times: Floats, joint: float, end: float) -> tuple[Floats, Floats]:
    """`start (4, 3, N)` and `free (4, 10, N)` at any times within [0, end]."""
    on_trunk = times <= joint + 1e-9
    to_trunk = _trunk_points(joint)  # (7, 3 + 4)
    to_branch = _branch_points(joint, end - joint) @ to_trunk[TRUNK_DEGREE + 1 - 4 :]
    start = np.zeros((ORDERS, 3, len(times)))
    free = np.zeros((ORDERS, FREE, len(times)))
    for r in range(ORDERS):
        trunk = bernstein(times[on_trunk], 0.0, joint, TRUNK_DEGREE, r) @ to_trunk
        start[r][:, on_trunk], free[r][:TRUNK, on_trunk] = trunk[:, :3].T, trunk[:, 3:].T
        branch = bernstein(times[~on_trunk], joint, end, BRANCH_DEGREE, r)
        joined = branch[:, :4] @ to_branch
        start[r][:, ~on_trunk], free[r][:TRUNK, ~on_trunk] = joined[:, :3].T, joined[:, 3:].T
        free[r][TRUNK:, ~on_trunk] = branch[:, 4:].T
    return np.ascontiguousarray(start), np.ascontiguousarray(free)


def bernstein(times: Floats, low: float, high: float, degree: int, order: int) -> Floats:
    """Derivative `order` of the Bernstein polynomials of a degree on [low, high]: `(N, degree + 1)`."""
    n = degree - order
    u = ((times - low) / (high - low))[:, None]
    i = np.arange(n + 1)
    lower = np.array([comb(n, int(k)) for k in i]) * u**i * (1.0 - u) ** (n - i)
    scale = factorial(degree) / factorial(n) / (high - low) ** order
    return np.asarray(scale * lower @ _differences(degree + 1, order))


def _differences(count: int, order: int) -> Floats:
    """The matrix `(count - order, count)` of forward differences."""
    return np.diff(np.eye(count), n=order, axis=0)


def _trunk_points(joint: float) -> Floats:
    """The trunk's control points from (p, v, a at the start, last four control points)."""
    n, out = TRUNK_DEGREE, np.zeros((TRUNK_DEGREE + 1, 3 + TRUNK))
    out[:3, 0] = 1.0
    out[1, 1], out[2, 1] = joint / n, 2.0 * joint / n
    out[2, 2] = joint**2 / (n * (n - 1))
    out[3:, 3:] = np.eye(TRUNK)
    return out


def _branch_points(joint: float, rest: float) -> Floats:
    """A branch's first four control points from the trunk's last four: equal derivatives 0 to 3."""
    left, right = np.zeros((4, 4)), np.zeros((4, 4))
    for r in range(4):
        end = _differences(TRUNK_DEGREE + 1, r)[-1, -4:]
        begin = _differences(BRANCH_DEGREE + 1, r)[0, :4]
        left[r] = factorial(TRUNK_DEGREE) / factorial(TRUNK_DEGREE - r) / joint**r * end
        right[r] = factorial(BRANCH_DEGREE) / factorial(BRANCH_DEGREE - r) / rest**r * begin
    return np.asarray(np.linalg.solve(right, left))
