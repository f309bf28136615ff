"""The convex sub-problem of `qp.py`, written to be read, in cvxpy: the documentation of what is solved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planners.cpto.basis import BRANCH, TRUNK
from drive.planners.cpto.qp import SLIP_WEIGHT, tangents

if TYPE_CHECKING:
    from drive.planners.cpto.kernels.admm import Iterate, Model, Problem, Weights


def convex_model(model: Model, weights: Weights, problem: Problem, it: Iterate) -> tuple[Any, Any, Any]:
    """The cvxpy problem around an iterate, and its trunk `(2, 4)` and branches `(2, Z * 6)`."""
    import cvxpy

    cp: Any = cvxpy

    count, steps = it.psi.shape
    trunk, branches = cp.Variable((2, TRUNK)), cp.Variable((2, BRANCH * count))
    cost: Any = 0.0
    constraints: list[Any] = []

    for z in range(count):

        def motion(axis: int, order: int, z: int = z) -> Any:
            """Samples of x (0) or y (1): the start's share, the trunk's and the branch's."""
            free = model.free[order].T
            own = branches[axis, BRANCH * z : BRANCH * (z + 1)]
            return (
                problem.start[axis] @ model.start[order]
                + free[:, :TRUNK] @ trunk[axis]
                + free[:, TRUNK:] @ own
            )

        x, vx, ax, jx = (motion(0, r) for r in range(4))
        y, vy, ay, jy = (motion(1, r) for r in range(4))

        # How well the branch drives, weighted by how probable its hypothesis is.
        driving = (
            weights.place * cp.sum_squares(x - problem.x_ref[z])
            + weights.speed * cp.sum_squares(vx - problem.v_ref[z])
            + weights.lane * cp.sum_squares((y - problem.y_ref[z])[model.late :])
            + weights.accel * (cp.sum_squares(ax) + cp.sum_squares(ay))
            + weights.jerk * (cp.sum_squares(jx) + cp.sum_squares(jy))
        )
        # A car does not slip: no motion across the frozen heading.
        cos, sin = np.cos(it.psi[z]), np.sin(it.psi[z])
        across = cp.multiply(cos, vy) - cp.multiply(sin, vx)
        along = cp.multiply(cos, vx) + cp.multiply(sin, vy)
        cost += 0.5 * float(problem.probability[z]) * driving + 0.5 * SLIP_WEIGHT * cp.sum_squares(across)

        # Constraints are not weighted: every hypothesis has to be survived.
        ahead = slice(1, steps)
        constraints += [along[ahead] >= 0.0, along[ahead] <= problem.v_max[z, ahead]]
        constraints += [ax[ahead] >= -weights.brake, ax[ahead] <= weights.speed_up]
        constraints += [cp.abs(ay[ahead]) <= weights.sideways]
        constraints += [x[ahead] <= problem.x_hi[z, ahead]]
        constraints += [y[ahead] >= problem.y_lo[z, ahead], y[ahead] <= problem.y_hi[z, ahead]]
        for pair in np.flatnonzero(problem.active[z]).tolist():
            gx, gy, least = tangents(problem, it, z, pair)
            constraints += [(cp.multiply(gx, x) + cp.multiply(gy, y))[ahead] >= least[ahead]]

    return cp.Problem(cp.Minimize(cost), constraints), trunk, branches
