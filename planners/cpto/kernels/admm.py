"""The loop of the consensus planner: over-relaxed ADMM over branches, one call for all its iterations.

Every branch solves for heading, then for the two axes, against targets that cheap projections give: the
speed along the heading, an ellipse of accelerations, boxes, and the polar barrier of each obstacle. The
systems are inverted beforehand; an iteration is a few matrix-vector products and the projections.

Source: the splitting after Zheng et al. (arXiv 2409.10310, 2402.10441) as their released code has it;
trunk, branches and their exact consensus are reconstructed. Duals are scaled by the penalty.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from drive.planners.cpto.basis import FREE, TRUNK
from drive.planners.cpto.kernels.make import kernel
from drive.planners.cpto.kernels.polar import project_row
from drive.planners.cpto.kernels.solve import factor, gather, invert, sample, solve
from drive.sim.kernels.compile import routine, scalar

EXACT, ADMM, NONE = 0, 1, 2
"""One trunk; a copy of it for each branch, tied to their mean; copies that nothing ties."""
SPEED_ROW, ACCEL_ROW, BOX_ROW = 0, 1, 2
HOLD_SPEED = 2.0
"""m/s below which the direction of motion is not trusted alone."""
MOST_TURN = 0.15
"""rad from the guess's heading when slow."""
NUM_RESIDUALS = 5

_project = routine(project_row)


class Model(NamedTuple):
    """What depends on the grid alone (`basis.Basis`)."""

    start: Any  # (4, 3, N)
    free: Any  # (4, 10, N)
    gram: Any  # (4, 10, 10)
    lane: Any  # (10, 10) without the trunk's samples
    late: int  # the first sample that the lane term sees


class Weights(NamedTuple):
    """Costs, penalties and limits, SI units; `curvature` is that of the tightest turn, 1/m."""

    accel: float
    jerk: float
    speed: float
    place: float
    lane: float
    heading: float
    rho: float
    tie: float
    relax: float
    speed_up: float
    brake: float
    sideways: float
    curvature: float
    dual: float


class Problem(NamedTuple):
    """One call's figures, in the road's frame. Z branches, P pairs of a disc and an obstacle, N samples.

    `start (3, 3)`: x, y, heading with two derivatives each. References `v_ref, x_ref, y_ref, psi_ref`, bounds
    `v_max, x_hi, y_lo, y_hi`, all `(Z, N)`. A pair keeps the point `lead (P,)` metres ahead of the
    reference point clear of the shape `(P, 4, N)` at `place (P, 2, N)`, in branches where `active (Z, P)`.
    """

    start: Any
    probability: Any  # (Z,)
    v_ref: Any
    x_ref: Any
    y_ref: Any
    psi_ref: Any
    v_max: Any
    x_hi: Any
    y_lo: Any
    y_hi: Any
    place: Any
    shape: Any
    lead: Any
    active: Any
    gamma: Any  # (N,)
    side: Any  # (Z,)


class Iterate(NamedTuple):
    """Where the loop stands, and what a next call may start from.

    `w (3, Z, 10)` free control points of x, y, heading; `path (Z, 3, 2, N)` position, speed, acceleration
    of x, y; `psi (Z, N)`; slacks and duals `slack, dual (Z, 3, 2, N)` of the speed, acceleration and box
    rows; of the obstacles
    `away, aim (Z, P, 2, N)`, `press, d (Z, P, N)` as in `polar.py`;
    `mean, trunk_dual (3, 4), (3, Z, 4)` of the consensus.
    """

    w: Any
    path: Any
    psi: Any
    slack: Any
    dual: Any
    away: Any
    aim: Any
    press: Any
    d: Any
    mean: Any
    trunk_dual: Any
    residual: Any  # (NUM_RESIDUALS,)


class Factors(NamedTuple):
    """The inverted systems of x, y and heading: they depend on settings, the branches' probabilities and on
    how many pairs each of them has, and may be kept over the calls."""

    bb: Any  # (3, Z, 6, 6)
    cross: Any  # (3, Z, 6, 4)
    trunk: Any  # (3, Z, 4, 4), or (3, 1, 4, 4) where it is one for all


class Scratch(NamedTuple):
    hessian: Any  # (10, 10)
    cost: Any  # (3, Z, 10) the right-hand side that never changes
    rhs: Any  # (3, Z, 10)
    offset: Any  # (3, 4, N) what the start adds to each derivative
    target: Any  # (2, 3, N)
    turn: Any  # (Z, 2, N) cosine and sine of the heading
    way: Any  # (N,) direction of motion
    rel: Any  # (2, N)
    old: Any  # (Z, 4) trunk copies


@scalar
def _clamp(value, limit):
    return min(max(value, -limit), limit)


@kernel
def factorise(model, weights, probability, pairs, mode, hessian, factors):
    """Invert the systems for branches of `probability (Z,)` with `pairs (Z,)`; `hessian (Z, 10, 10)` is
    scratch."""
    rho = weights.rho
    tie = weights.tie if mode == ADMM else 0.0
    for axis in range(3):
        for z in range(len(probability)):
            p = probability[z]
            for i in range(FREE):
                for j in range(FREE):
                    g0, g1, g2 = model.gram[0, i, j], model.gram[1, i, j], model.gram[2, i, j]
                    if axis == 2:
                        hessian[z, i, j] = p * weights.heading * g2 + rho * g0
                        continue
                    value = p * (weights.accel * g2 + weights.jerk * model.gram[3, i, j])
                    if axis == 0:
                        value += p * (weights.speed * g1 + weights.place * g0)
                    else:
                        value += p * weights.lane * model.lane[i, j]
                    hessian[z, i, j] = value + rho * (g1 + g2 + (1 + pairs[z]) * g0)
        factor(hessian, tie, mode == EXACT, factors.bb[axis], factors.cross[axis], factors.trunk[axis])


@routine
def _constants(model, weights, problem, s):
    """The start's share of every derivative, and the costs' right-hand sides."""
    steps = model.free.shape[2]
    for axis in range(3):
        a, b, c = problem.start[axis, 0], problem.start[axis, 1], problem.start[axis, 2]
        for r in range(4):
            for k in range(steps):
                row = model.start[r]
                s.offset[axis, r, k] = a * row[0, k] + b * row[1, k] + c * row[2, k]
    g = s.rel[0]
    for z in range(len(problem.probability)):
        p = problem.probability[z]
        for axis in range(3):
            s.cost[axis, z, :] = 0.0
            bend = weights.heading if axis == 2 else weights.accel
            for k in range(steps):
                g[k] = -p * bend * s.offset[axis, 2, k]
            gather(model.free[2], g, s.cost[axis, z])
            if axis == 2:
                continue
            for k in range(steps):
                g[k] = -p * weights.jerk * s.offset[axis, 3, k]
            gather(model.free[3], g, s.cost[axis, z])
        for k in range(steps):
            g[k] = p * weights.speed * (problem.v_ref[z, k] - s.offset[0, 1, k])
        gather(model.free[1], g, s.cost[0, z])
        for k in range(steps):
            g[k] = p * weights.place * (problem.x_ref[z, k] - s.offset[0, 0, k])
        gather(model.free[0], g, s.cost[0, z])
        for k in range(steps):
            g[k] = p * weights.lane * (problem.y_ref[z, k] - s.offset[1, 0, k]) if k >= model.late else 0.0
        gather(model.free[0], g, s.cost[1, z])


@routine
def _directions(problem, it, z, s):
    """The direction of motion `s.way`.

    A slow motion says little about it: below `HOLD_SPEED` the guess's heading is blended in.
    """
    for k in range(it.psi.shape[1]):
        vx, vy = max(it.path[z, 1, 0, k], 0.0), it.path[z, 1, 1, k]
        held = max(1.0 - math.sqrt(vx * vx + vy * vy) / HOLD_SPEED, 0.0)
        if held > 0.0:
            ref = problem.psi_ref[z, k]
            vx += held * math.cos(ref)
            vy += held * math.sin(ref)
            # Standing still nothing else would hold the heading.
            s.way[k] = ref + _clamp(math.atan2(vy, vx) - ref, MOST_TURN)
        else:
            s.way[k] = math.atan2(vy, vx)


@routine
def _turn(psi, turn):
    for k in range(len(psi)):
        turn[0, k], turn[1, k] = math.cos(psi[k]), math.sin(psi[k])


@routine
def _right_sides(model, weights, problem, it, z, s):
    """`s.rhs[:2, z]`: the penalties' targets, summed over obstacles before they meet the basis."""
    steps, rho = model.free.shape[2], weights.rho
    for axis in range(2):
        target = s.target[axis]
        for k in range(steps):
            target[0, k] = it.slack[z, BOX_ROW, axis, k] - it.dual[z, BOX_ROW, axis, k] - s.offset[axis, 0, k]
            target[1, k] = (
                it.slack[z, SPEED_ROW, axis, k] - it.dual[z, SPEED_ROW, axis, k] - s.offset[axis, 1, k]
            )
            target[2, k] = (
                it.slack[z, ACCEL_ROW, axis, k] - it.dual[z, ACCEL_ROW, axis, k] - s.offset[axis, 2, k]
            )
        for q in range(len(problem.lead)):
            if not problem.active[z, q]:
                continue
            lead, place = problem.lead[q], problem.place[q, axis]
            aim = it.aim[z, q, axis]
            turn, offset = s.turn[z, axis], s.offset[axis, 0]
            for k in range(steps):
                target[0, k] += aim[k] + place[k] - lead * turn[k] - offset[k]
        for j in range(FREE):
            s.rhs[axis, z, j] = s.cost[axis, z, j]
        for r in range(3):
            for k in range(steps):
                target[r, k] *= rho
            gather(model.free[r], target[r], s.rhs[axis, z])


@routine
def _project_rows(weights, problem, it, z, relax, s):
    """Speed, acceleration and box rows: slacks and duals of the new path."""
    limit, steps = weights.dual, it.psi.shape[1]
    for k in range(steps):
        c, n = s.turn[z, 0, k], s.turn[z, 1, k]
        # Along the heading, not backwards, and no faster than allowed.
        hx = relax * it.path[z, 1, 0, k] + (1.0 - relax) * it.slack[z, SPEED_ROW, 0, k]
        hy = relax * it.path[z, 1, 1, k] + (1.0 - relax) * it.slack[z, SPEED_ROW, 1, k]
        hx += it.dual[z, SPEED_ROW, 0, k]
        hy += it.dual[z, SPEED_ROW, 1, k]
        v = min(max(hx * c + hy * n, 0.0), problem.v_max[z, k])
        it.slack[z, SPEED_ROW, 0, k], it.slack[z, SPEED_ROW, 1, k] = v * c, v * n
        it.dual[z, SPEED_ROW, 0, k] = _clamp(hx - v * c, limit)
        it.dual[z, SPEED_ROW, 1, k] = _clamp(hy - v * n, limit)
        # A radial clip to the ellipse of accelerations; a slow car cannot move sideways.
        hx = relax * it.path[z, 2, 0, k] + (1.0 - relax) * it.slack[z, ACCEL_ROW, 0, k]
        hy = relax * it.path[z, 2, 1, k] + (1.0 - relax) * it.slack[z, ACCEL_ROW, 1, k]
        hx += it.dual[z, ACCEL_ROW, 0, k]
        hy += it.dual[z, ACCEL_ROW, 1, k]
        along = weights.speed_up if hx > 0.0 else weights.brake
        across = min(weights.sideways, 0.05 + weights.curvature * v * v)
        r = math.sqrt(hx * hx / (along * along) + hy * hy / (across * across))
        f = 1.0 / r if r > 1.0 else 1.0
        it.slack[z, ACCEL_ROW, 0, k], it.slack[z, ACCEL_ROW, 1, k] = f * hx, f * hy
        it.dual[z, ACCEL_ROW, 0, k] = _clamp(hx - f * hx, limit)
        it.dual[z, ACCEL_ROW, 1, k] = _clamp(hy - f * hy, limit)
        hx = relax * it.path[z, 0, 0, k] + (1.0 - relax) * it.slack[z, BOX_ROW, 0, k]
        hy = relax * it.path[z, 0, 1, k] + (1.0 - relax) * it.slack[z, BOX_ROW, 1, k]
        hx += it.dual[z, BOX_ROW, 0, k]
        hy += it.dual[z, BOX_ROW, 1, k]
        x = min(hx, problem.x_hi[z, k])
        y = min(max(hy, problem.y_lo[z, k]), problem.y_hi[z, k])
        it.slack[z, BOX_ROW, 0, k], it.slack[z, BOX_ROW, 1, k] = x, y
        it.dual[z, BOX_ROW, 0, k] = _clamp(hx - x, limit)
        it.dual[z, BOX_ROW, 1, k] = _clamp(hy - y, limit)


@routine
def _project_obstacles(weights, problem, it, z, relax, square, over_time, s):
    limit, steps = weights.dual, it.psi.shape[1]
    rel_x, rel_y = s.rel[0], s.rel[1]
    x, y, cos, sin = it.path[z, 0, 0], it.path[z, 0, 1], s.turn[z, 0], s.turn[z, 1]
    for q in range(len(problem.lead)):
        if not problem.active[z, q]:
            continue
        lead, px, py = problem.lead[q], problem.place[q, 0], problem.place[q, 1]
        away = it.away[z, q]
        for k in range(steps):
            rel_x[k] = relax * (x[k] + lead * cos[k] - px[k]) + (1.0 - relax) * away[0, k]
            rel_y[k] = relax * (y[k] + lead * sin[k] - py[k]) + (1.0 - relax) * away[1, k]
        _project(
            rel_x, rel_y, problem.shape[q], problem.gamma, square, over_time, problem.side[z], limit,
            it.d[z, q], it.press[z, q], away, it.aim[z, q],
        )  # fmt: skip


@routine
def _agree(weights, it, axis, s):
    """The consensus step: the mean of the over-relaxed trunk copies, and their duals."""
    count, worst = it.w.shape[1], 0.0
    for j in range(TRUNK):
        before, total = it.mean[axis, j], 0.0
        for z in range(count):
            s.old[z, j] = weights.relax * it.w[axis, z, j] + (1.0 - weights.relax) * before
            total += s.old[z, j] + it.trunk_dual[axis, z, j]
        mean = total / count
        it.mean[axis, j] = mean
        for z in range(count):
            it.trunk_dual[axis, z, j] += s.old[z, j] - mean
            worst = max(worst, abs(it.w[axis, z, j] - mean))
    if axis < 2:
        it.residual[4] = max(it.residual[4], worst)


@routine
def _project_all(weights, problem, it, fresh, square, over_time, s):
    relax = 1.0 if fresh else weights.relax
    for z in range(len(problem.probability)):
        _project_rows(weights, problem, it, z, relax, s)
        _project_obstacles(weights, problem, it, z, relax, square, over_time, s)


@routine
def _residuals(problem, it, s):
    """The largest distances between the path and its slacks."""
    it.residual[:3] = 0.0
    for z in range(len(problem.probability)):
        path, slack = it.path[z], it.slack[z]
        for k in range(it.psi.shape[1]):
            for row in range(2):
                x = path[row + 1, 0, k] - slack[row, 0, k]
                y = path[row + 1, 1, k] - slack[row, 1, k]
                it.residual[row] = max(it.residual[row], math.sqrt(x * x + y * y))
        for q in range(len(problem.lead)):
            if not problem.active[z, q]:
                continue
            place, away, lead = problem.place[q], it.away[z, q], problem.lead[q]
            for k in range(it.psi.shape[1]):
                x = path[0, 0, k] + lead * s.turn[z, 0, k] - place[0, k] - away[0, k]
                y = path[0, 1, k] + lead * s.turn[z, 1, k] - place[1, k] - away[1, k]
                it.residual[2] = max(it.residual[2], abs(x) + abs(y))


@routine
def _fit_trunks(model, problem, it, s):
    """The trunk that follows the guesses' positions best becomes the mean of the copies."""
    count, steps = len(problem.probability), model.free.shape[2]
    for i in range(FREE):
        for j in range(FREE):
            s.hessian[i, j] = model.gram[0, i, j] + 1e-6 * model.gram[2, i, j]
    invert(s.hessian, FREE)
    g, rhs = s.rel[0], s.rhs[0, 0]
    it.mean[:] = 0.0
    for z in range(count):
        for axis in range(3):
            for k in range(steps):
                value = it.psi[z, k] if axis == 2 else it.path[z, 0, axis, k]
                g[k] = value - s.offset[axis, 0, k]
            rhs[:] = 0.0
            gather(model.free[0], g, rhs)
            for i in range(TRUNK):
                for j in range(FREE):
                    it.mean[axis, i] += s.hessian[i, j] * rhs[j] / count


def _iterate(model, weights, factors, problem, it, mode, fresh, square, over_time, iterations, s):
    """Run `iterations` passes from `it`; `fresh`: its path is a guess whose slacks are not made yet.

    `it.residual`: the largest of the speed rows (m/s), the acceleration rows (m/s^2), the obstacles' (m),
    the heading's (rad), and the trunk copies' largest distance from their mean (m).
    """
    _constants(model, weights, problem, s)
    count, steps, rho = len(problem.probability), model.free.shape[2], weights.rho
    if fresh:
        if mode == ADMM:
            _fit_trunks(model, problem, it, s)
        for z in range(count):
            _turn(it.psi[z], s.turn[z])
        _project_all(weights, problem, it, True, square, over_time, s)
    g = s.rel[0]
    for _ in range(iterations):
        it.residual[3:] = 0.0
        for z in range(count):
            _directions(problem, it, z, s)
            for k in range(steps):
                it.residual[3] = max(it.residual[3], abs(it.psi[z, k] - s.way[k]))
                g[k] = rho * (s.way[k] - s.offset[2, 0, k])
            for j in range(FREE):
                s.rhs[2, z, j] = s.cost[2, z, j]
            gather(model.free[0], g, s.rhs[2, z])
        _solve_axis(weights, factors, it, 2, mode, s)
        for z in range(count):
            sample(model.free[0], s.offset[2, 0], it.w[2, z], it.psi[z])
            _turn(it.psi[z], s.turn[z])
            _right_sides(model, weights, problem, it, z, s)
        for axis in range(2):
            _solve_axis(weights, factors, it, axis, mode, s)
            for z in range(count):
                for r in range(3):
                    sample(model.free[r], s.offset[axis, r], it.w[axis, z], it.path[z, r, axis])
        _project_all(weights, problem, it, False, square, over_time, s)
    _residuals(problem, it, s)


@routine
def _solve_axis(weights, factors, it, axis, mode, s):
    if mode == ADMM:
        for z in range(it.w.shape[1]):
            for j in range(TRUNK):
                s.rhs[axis, z, j] += weights.tie * (it.mean[axis, j] - it.trunk_dual[axis, z, j])
    solve(s.rhs[axis], mode == EXACT, factors.bb[axis], factors.cross[axis], factors.trunk[axis], it.w[axis])
    if mode == ADMM:
        _agree(weights, it, axis, s)


iterate = kernel(_iterate)
