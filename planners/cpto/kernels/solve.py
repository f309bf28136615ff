"""The linear algebra of the loop: one small arrow-shaped system, inverted once a call."""

from __future__ import annotations

from drive.planners.cpto.basis import BRANCH, FREE, TRUNK
from drive.sim.kernels.compile import routine


@routine
def invert(a, n):
    """Invert a symmetric positive definite matrix in place (Gauss-Jordan without pivots)."""
    for p in range(n):
        pivot = 1.0 / a[p, p]
        a[p, p] = 1.0
        for j in range(n):
            a[p, j] *= pivot
        for i in range(n):
            if i != p:
                f = a[i, p]
                a[i, p] = 0.0
                for j in range(n):
                    a[i, j] -= f * a[p, j]


@routine
def factor(hessian, tie, joint, bb, cross, trunk):
    """Eliminate the branches of `hessian (Z, 10, 10)`: `bb (Z, 6, 6)`, `cross (Z, 6, 4)`, `trunk (Z, 4, 4)`.

    `joint`: one trunk for all, its inverse in `trunk[0]`; else each branch has its own, tied with the
    weight `tie` to their mean.
    """
    count = len(hessian)
    for z in range(count):
        h = hessian[z]
        for i in range(BRANCH):
            for j in range(BRANCH):
                bb[z, i, j] = h[TRUNK + i, TRUNK + j]
        invert(bb[z], BRANCH)
        for i in range(BRANCH):
            for j in range(TRUNK):
                value = 0.0
                for m in range(BRANCH):
                    value += bb[z, i, m] * h[TRUNK + m, j]
                cross[z, i, j] = value
        for i in range(TRUNK):
            for j in range(TRUNK):
                value = h[i, j]
                for m in range(BRANCH):
                    value -= h[i, TRUNK + m] * cross[z, m, j]
                if i == j:
                    value += tie
                if joint and z > 0:
                    trunk[0, i, j] += value
                else:
                    trunk[z, i, j] = value
    for z in range(1 if joint else count):
        invert(trunk[z], TRUNK)


@routine
def solve(rhs, joint, bb, cross, trunk, w):
    """Solve for `w (Z, 10)` with the factors; `rhs (Z, 10)` is spent."""
    count = len(rhs)
    for z in range(count):
        for j in range(TRUNK):
            for i in range(BRANCH):
                rhs[z, j] -= cross[z, i, j] * rhs[z, TRUNK + i]
    if joint:
        for z in range(1, count):
            for j in range(TRUNK):
                rhs[0, j] += rhs[z, j]
    for z in range(count):
        own = 0 if joint else z
        for i in range(TRUNK):
            value = 0.0
            for j in range(TRUNK):
                value += trunk[own, i, j] * rhs[own, j]
            w[z, i] = value
        for i in range(BRANCH):
            value = 0.0
            for j in range(BRANCH):
                value += bb[z, i, j] * rhs[z, TRUNK + j]
            for j in range(TRUNK):
                value -= cross[z, i, j] * w[z, j]
            w[z, TRUNK + i] = value


@routine
def sample(free, start, w, out):
    """`out (N,) = start + free.T @ w`."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8, w9 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]
    for k in range(len(out)):
        trunk = w0 * free[0, k] + w1 * free[1, k] + w2 * free[2, k] + w3 * free[3, k]
        branch = w4 * free[4, k] + w5 * free[5, k] + w6 * free[6, k] + w7 * free[7, k]
        out[k] = start[k] + trunk + branch + w8 * free[8, k] + w9 * free[9, k]


@routine
def gather(free, g, rhs):
    """`rhs (10,) += free @ g`."""
    for j in range(FREE):
        value, row = 0.0, free[j]
        for k in range(len(g)):
            value += row[k] * g[k]
        rhs[j] += value
