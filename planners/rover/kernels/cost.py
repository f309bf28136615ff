"""The rover's objective and its exact gradient in one pass forwards and one backwards.

A motion is a chain of quintics of equal duration; with C^4 joints its samples depend linearly on the
waypoints (`planners.rover.basis`). The gradient is the adjoint of that chain, written out by hand.
"""

from __future__ import annotations

import math

from drive.planners.rover.kernels import power as p
from drive.planners.rover.kernels.compile import kernel
from drive.planners.rover.kernels.power import light_point, positive_part
from drive.sim.kernels.compile import scalar
from drive.sim.kernels.surface import surface_point

(
    X, Y, X1, Y1, X2, Y2, X3, Y3, V, ACCELERATION, TURN, TURN_CHANGE, SINE, GX, GY, HXX, HXY, HYY, LOAD,
    GIVEN, GIVEN_T, GIVEN_X, GIVEN_Y, DRIVE_SLOPE, TURN_SLOPE, CHARGE, TILT, TANGENT, FULL,
) = range(29)  # fmt: skip
COLUMNS = 29
"""Columns of the sample table; positions and derivatives by time, then what they lead to.

GIVEN in W is what the supply can give, *_SLOPE those of the soft positive parts; CHARGE in J; TILT the
squared gradient of the ground; FULL is 1 where the battery takes no more.
"""
G_POWER, G_SUPPLY, G_SPEED, G_TURN, G_TILT, G_CHARGE = range(6)
CONSTRAINTS = 6
"""Rows of the constraint table, each at most 0 where it holds, in shares of its limit; the energy budget,
which has no samples, comes after them."""


@scalar
def fill_sample(row, par, coefficients, resolution, frames, light_times, light_resolution, t):
    """What follows from the motion at a sample: kinematics, ground, load and supply."""
    x1, y1, x2, y2, x3, y3 = row[X1], row[Y1], row[X2], row[Y2], row[X3], row[Y3]
    v2 = x1 * x1 + y1 * y1 + p.SPEED_FLOOR
    v = math.sqrt(v2)
    s = x1 * x2 + y1 * y2
    c, c1 = x1 * y2 - y1 * x2, x1 * y3 - y1 * x3
    d = v2 + p.TURN_FLOOR
    a, turn = s / v, c / d
    change = (c1 * d - 2.0 * c * s) / (d * d)
    _, gx, gy, hxx, hxy, hyy = surface_point(coefficients, resolution, row[X], row[Y])
    tangent = (gx * x1 + gy * y1) / v
    sine = tangent / math.sqrt(1.0 + tangent * tangent)
    drive, drive_slope = positive_part(par[p.MASS] * (a + par[p.GRAVITY] * sine) * v, par[p.SHARPNESS])
    spin, turn_slope = positive_part(par[p.INERTIA] * change * turn, par[p.SHARPNESS])
    resist = (par[p.C0] + par[p.C1] * v + par[p.C2] * v2) * v
    row[V], row[ACCELERATION], row[TURN], row[TURN_CHANGE] = v, a, turn, change
    row[SINE], row[TANGENT], row[GX], row[GY] = sine, tangent, gx, gy
    row[HXX], row[HXY], row[HYY], row[TILT] = hxx, hxy, hyy, gx * gx + gy * gy
    row[LOAD] = par[p.BASE] + (drive + spin) / par[p.EFFICIENCY] + resist
    row[DRIVE_SLOPE], row[TURN_SLOPE] = drive_slope / par[p.EFFICIENCY], turn_slope / par[p.EFFICIENCY]
    given, given_t, given_x, given_y = 0.0, 0.0, 0.0, 0.0
    if par[p.LIGHT_POWER] > 0.0:
        given, given_t, given_x, given_y = light_point(
            frames, light_times, light_resolution, t, row[X], row[Y]
        )
    row[GIVEN] = par[p.LIGHT_POWER] * given
    row[GIVEN_T] = par[p.LIGHT_POWER] * given_t
    row[GIVEN_X], row[GIVEN_Y] = par[p.LIGHT_POWER] * given_x, par[p.LIGHT_POWER] * given_y


@scalar
def constraint_value(which, row, par):
    """One constraint at a sample; at most 0 where it holds."""
    if which == G_POWER:
        return row[LOAD] / par[p.LIMIT] - 1.0
    if which == G_SUPPLY:
        return (row[LOAD] - row[GIVEN] - par[p.SUPPLY]) / par[p.LIMIT]
    if which == G_SPEED:
        r = row[V] / par[p.MAX_SPEED]
        return r * r - 1.0
    if which == G_TURN:
        r = row[TURN] / par[p.MAX_YAW_RATE]
        return r * r - 1.0
    if which == G_TILT:
        return row[TILT] / (par[p.MAX_TILT] * par[p.MAX_TILT]) - 1.0
    return (par[p.CHARGE_MIN] - row[CHARGE]) / par[p.CAPACITY]


@kernel
def sample_motion(
    points, h, basis, share, place, par, coefficients, resolution, frames, light_times, light_resolution,
    generator, table,
):  # fmt: skip
    """Fill `table (M, COLUMNS)` along a motion; returns the energy that it takes in J.

    `points (2, C)` are the columns that the basis maps, `h` the duration of a piece in s; `basis (M, 4, C)`,
    `share (M,)` of the duration and `place (M,)` in it belong to the samples. `generator` in W charges the
    battery whatever the light.
    """
    m, columns = basis.shape[0], basis.shape[2]
    duration = h * (columns - 5)
    charge, energy = par[p.CHARGE], 0.0
    for i in range(m):
        row = table[i]
        scale = 1.0
        for order in range(4):
            sx = sy = 0.0
            weights = basis[i, order]
            for k in range(columns):
                sx += weights[k] * points[0, k]
                sy += weights[k] * points[1, k]
            row[2 * order], row[2 * order + 1] = sx * scale, sy * scale
            scale /= h
        t = par[p.START] + place[i] * duration
        fill_sample(row, par, coefficients, resolution, frames, light_times, light_resolution, t)
        # Half of the step before and half after the sample: the charge at the sample itself.
        net = (generator + row[GIVEN] - row[LOAD]) * share[i] * duration
        row[CHARGE] = charge + 0.5 * net
        charge += net
        row[FULL] = 0.0
        if charge > par[p.CAPACITY]:
            charge, row[FULL] = par[p.CAPACITY], 1.0
        energy += row[LOAD] * share[i] * duration
    return energy


@kernel
def constraint_table(table, par, energy, out):
    """Fill `out (CONSTRAINTS * M + 1,)`: each constraint at each sample, then the energy budget."""
    m = len(table)
    for which in range(CONSTRAINTS):
        for i in range(m):
            out[which * m + i] = constraint_value(which, table[i], par)
    out[CONSTRAINTS * m] = energy / par[p.BUDGET] - 1.0


@scalar
def pull(mu, rho, g):
    """The augmented Lagrangian's term of g <= 0 and its slope (Powell, Hestenes, Rockafellar)."""
    force = mu + rho * g
    if force <= 0.0:
        return -0.5 * mu * mu / rho, 0.0
    return 0.5 * (force * force - mu * mu) / rho, force


@kernel
def cost_and_gradient(
    points, h, basis, share, place, jerk, par, coefficients, resolution, frames, light_times,
    light_resolution, generator, mu, rho, table, bars, gradient,
):  # fmt: skip
    """The augmented Lagrangian of a motion; `gradient (2, C)` by the points, and by the piece's duration.

    `points` must hold h times the velocities and h^2 times the accelerations in the columns 1, 2, C - 2 and
    C - 1; their own dependence on h is counted. `jerk (C, C)` is the form of the integral of the squared
    third derivative, `mu` the multipliers in the order of `constraint_table`, `rho` the stiffness.
    """
    m, columns = basis.shape[0], basis.shape[2]
    pieces = columns - 5
    duration = h * pieces
    energy = sample_motion(
        points, h, basis, share, place, par, coefficients, resolution, frames, light_times, light_resolution,
        generator, table,
    )  # fmt: skip
    value, by_h, by_duration = 0.0, 0.0, 1.0
    value += duration
    for k in range(columns):
        gradient[0, k] = gradient[1, k] = 0.0
    h5 = h * h * h * h * h
    for axis in range(2):
        form = 0.0
        for k in range(columns):
            total = 0.0
            for j in range(columns):
                total += jerk[k, j] * points[axis, j]
            form += total * points[axis, k]
            gradient[axis, k] += 2.0 * par[p.W_JERK] * total / h5
        value += par[p.W_JERK] * form / h5
        by_h -= 5.0 * par[p.W_JERK] * form / (h5 * h)
    term, by_energy = pull(mu[CONSTRAINTS * m], rho, energy / par[p.BUDGET] - 1.0)
    value += term
    by_energy /= par[p.BUDGET]
    # The charge at a sample hangs on all samples before it: their sum runs backwards.
    later = 0.0
    for i in range(m - 1, -1, -1):
        row, bar = table[i], bars[i]
        weight = share[i] * duration
        bar_load = by_energy * weight + par[p.W_POWER] * weight
        bar_given = bar_t = 0.0
        v, sine, turn = row[V], row[SINE], row[TURN]
        value += (par[p.W_SLOPE] * sine * sine + par[p.W_POWER] * row[LOAD]) * weight
        by_duration += share[i] * (par[p.W_SLOPE] * sine * sine + (par[p.W_POWER] + by_energy) * row[LOAD])
        if par[p.PENALTY] > 0.0:
            for which in range(2):
                over = row[LOAD] - (par[p.LIMIT] if which == 0 else row[GIVEN] + par[p.SUPPLY])
                soft, slope = positive_part(over, par[p.SHARPNESS])
                value += par[p.PENALTY] * soft * weight
                by_duration += share[i] * par[p.PENALTY] * soft
                bar_load += par[p.PENALTY] * slope * weight
                if which == 1:
                    bar_given -= par[p.PENALTY] * slope * weight
        else:
            term, force = pull(mu[G_POWER * m + i], rho, constraint_value(G_POWER, row, par))
            value += term
            bar_load += force / par[p.LIMIT]
            term, force = pull(mu[G_SUPPLY * m + i], rho, constraint_value(G_SUPPLY, row, par))
            value += term
            bar_load += force / par[p.LIMIT]
            bar_given -= force / par[p.LIMIT]
        term, force = pull(mu[G_SPEED * m + i], rho, constraint_value(G_SPEED, row, par))
        value += term
        bar_v = force * 2.0 * v / (par[p.MAX_SPEED] * par[p.MAX_SPEED])
        term, force = pull(mu[G_TURN * m + i], rho, constraint_value(G_TURN, row, par))
        value += term
        bar_turn = force * 2.0 * turn / (par[p.MAX_YAW_RATE] * par[p.MAX_YAW_RATE])
        term, force = pull(mu[G_TILT * m + i], rho, constraint_value(G_TILT, row, par))
        value += term
        tilt = 2.0 * force / (par[p.MAX_TILT] * par[p.MAX_TILT])
        bar_gx, bar_gy = tilt * row[GX], tilt * row[GY]
        term, force = pull(mu[G_CHARGE * m + i], rho, constraint_value(G_CHARGE, row, par))
        value += term
        by_charge = -force / par[p.CAPACITY]
        net = generator + row[GIVEN] - row[LOAD]
        if row[FULL] > 0.0:
            later = 0.0
        bar_net = later + 0.5 * by_charge
        later += by_charge
        by_duration += bar_net * net * share[i]
        bar_load -= bar_net * weight
        bar_given += bar_net * weight
        bar_t = bar_given * row[GIVEN_T]
        by_duration += bar_t * place[i]
        # From the load down to the derivatives.
        x1, y1, x2, y2, x3, y3 = row[X1], row[Y1], row[X2], row[Y2], row[X3], row[Y3]
        a = row[ACCELERATION]
        pull_down = par[p.GRAVITY] * sine
        bar_drive = bar_load * row[DRIVE_SLOPE] * par[p.MASS]
        bar_spin = bar_load * row[TURN_SLOPE] * par[p.INERTIA]
        bar_v += bar_drive * (a + pull_down)
        bar_v += bar_load * (par[p.C0] + 2.0 * par[p.C1] * v + 3.0 * par[p.C2] * v * v)
        bar_a = bar_drive * v
        bar_sine = bar_drive * v * par[p.GRAVITY] + 2.0 * par[p.W_SLOPE] * sine * weight
        bar_change = bar_spin * turn
        bar_turn += bar_spin * row[TURN_CHANGE]
        root = 1.0 / math.sqrt(1.0 + row[TANGENT] * row[TANGENT])
        bar_tangent = bar_sine * root * root * root
        bar_along = bar_tangent / v
        bar_v -= bar_tangent * row[TANGENT] / v
        bar_gx += bar_along * x1
        bar_gy += bar_along * y1
        s = x1 * x2 + y1 * y2
        c, c1 = x1 * y2 - y1 * x2, x1 * y3 - y1 * x3
        d = v * v + p.TURN_FLOOR
        bar_c1 = bar_change / d
        bar_c = bar_turn / d - 2.0 * s * bar_change / (d * d)
        bar_s = bar_a / v - 2.0 * c * bar_change / (d * d)
        bar_d = -bar_turn * turn / d + bar_change * (4.0 * c * s / (d * d * d) - c1 / (d * d))
        bar_v -= bar_a * a / v
        bar_v2 = bar_d + 0.5 * bar_v / v
        bar[X] = bar_gx * row[HXX] + bar_gy * row[HXY] + bar_given * row[GIVEN_X]
        bar[Y] = bar_gx * row[HXY] + bar_gy * row[HYY] + bar_given * row[GIVEN_Y]
        bar[X1] = bar_along * row[GX] + 2.0 * x1 * bar_v2 + bar_s * x2 + bar_c * y2 + bar_c1 * y3
        bar[Y1] = bar_along * row[GY] + 2.0 * y1 * bar_v2 + bar_s * y2 - bar_c * x2 - bar_c1 * x3
        bar[X2], bar[Y2] = bar_s * x1 - bar_c * y1, bar_s * y1 + bar_c * x1
        bar[X3], bar[Y3] = -bar_c1 * y1, bar_c1 * x1
        scale = 1.0
        for order in range(4):
            ax, ay = bar[2 * order], bar[2 * order + 1]
            by_h -= order * (ax * row[2 * order] + ay * row[2 * order + 1]) / h
            ax, ay = ax * scale, ay * scale
            weights = basis[i, order]
            for k in range(columns):
                gradient[0, k] += ax * weights[k]
                gradient[1, k] += ay * weights[k]
            scale /= h
    for axis in range(2):
        by_h += gradient[axis, 1] * points[axis, 1] / h
        by_h += 2.0 * gradient[axis, 2] * points[axis, 2] / h
        by_h += gradient[axis, columns - 2] * points[axis, columns - 2] / h
        by_h += 2.0 * gradient[axis, columns - 1] * points[axis, columns - 1] / h
    return value, by_h + by_duration * pieces
