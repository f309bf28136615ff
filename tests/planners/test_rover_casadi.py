"""The rover's objective and optimiser against CasADi: its derivatives, and the optimum of its IPOPT."""

import numpy as np
import pytest

from drive.datasets.generate import generate
from drive.planners.rover.basis import jerk_form, rows_at, sample_rows
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.ground import Ground
from drive.planners.rover.kernels import cost as k
from drive.planners.rover.kernels import power as p
from drive.planners.rover.optimise import Problem, optimise
from drive.sim.surface import Surface

ca = pytest.importorskip("casadi", reason="casadi is not installed: pip install 'drive-toolkit[oracles]'")


def soft(value, sharpness):
    """The positive part, rounded."""
    return ca.fmax(value, 0.0) + ca.log1p(ca.exp(-sharpness * ca.fabs(value))) / sharpness


def modelled(points, h, pieces, per_piece, par, slopes):
    """The cost without limits, and the limits g <= 0 by kind, of columns `points` (2, C) in CasADi's terms.

    Written from docs/rover.md; `slopes` gives the height's two derivatives at a place. Light, battery and
    supply are left out.
    """
    basis, _ = sample_rows(pieces, per_piece)
    x, x1, x2, x3 = (ca.mtimes(basis[:, o], points[0, :].T) / h**o for o in range(4))
    y, y1, y2, y3 = (ca.mtimes(basis[:, o], points[1, :].T) / h**o for o in range(4))
    v2 = x1**2 + y1**2 + 1e-6
    v = ca.sqrt(v2)
    a = (x1 * x2 + y1 * y2) / v
    # The rate of turn and its own derivative by the quotient rule.
    top, bottom = x1 * y2 - y1 * x2, v2 + 1e-3
    turn = top / bottom
    change = (x1 * y3 - y1 * x3) / bottom - top * 2.0 * (x1 * x2 + y1 * y2) / bottom**2
    gx, gy = slopes(x, y)
    rise = (gx * x1 + gy * y1) / v
    sine = ca.sin(ca.atan(rise))
    load = par["base"] + (par["c0"] + par["c1"] * v + par["c2"] * v2) * v
    load += soft((par["mass"] * a + par["mass"] * par["gravity"] * sine) * v, 0.5) / par["efficiency"]
    load += soft(par["inertia"] * change * turn, 0.5) / par["efficiency"]
    dt = h / per_piece
    cost = pieces * h + ca.sum1(2.0 * sine**2 + 2e-4 * load) * dt
    # The third derivative of a quintic is of degree two: three points of Gauss are exact for its square.
    nodes, weights = np.polynomial.legendre.leggauss(3)
    for node, weight in zip(nodes, weights, strict=True):
        row = rows_at(pieces, (np.arange(pieces) + 0.5 + 0.5 * node) / pieces)[:, 3]
        jerk = ca.mtimes(points, row.T) / h**3
        cost += 50.0 * ca.sumsqr(jerk) * 0.5 * weight * h
    limits = [
        load / par["limit"] - 1.0,
        v2 / par["max_speed"] ** 2 - 1.0,
        turn**2 / par["max_yaw_rate"] ** 2 - 1.0,
        (gx**2 + gy**2) / par["max_tilt"] ** 2 - 1.0,
    ]
    return cost, limits, ca.sum1(load) * dt


def chain(pieces, inner, h, start, end):
    """The columns of a motion: scaled ends about the waypoints."""
    first = [ca.DM(start[0]), h * ca.DM(start[1]), h**2 * ca.DM(start[2])]
    last = [ca.DM(end[0]), h * ca.DM(end[1]), h**2 * ca.DM(end[2])]
    return ca.horzcat(*first, inner, *last)


def test_the_objective_and_its_gradient_are_those_of_casadi():
    # A cubic ground is its own spline away from its border, so that CasADi can have it as a formula.
    rng = np.random.default_rng(5)
    pieces, per_piece = 6, 5
    c = rng.normal(0.0, 1.0, 6) * [0.05, 0.05, 0.004, 0.004, 1e-4, 1e-4]

    def height(x, y):
        u, w = x - 20.0, y - 20.0
        return c[0] * u + c[1] * w + c[2] * u * w + c[3] * u**2 + c[4] * w**3 + c[5] * u**2 * w

    def slopes(x, y):
        u, w = x - 20.0, y - 20.0
        return c[0] + c[2] * w + 2 * c[3] * u + 2 * c[5] * u * w, c[1] + c[2] * u + 3 * c[4] * w**2 + c[
            5
        ] * u**2

    grid = 0.5 * np.arange(81)
    surface = Surface.through(height(*np.meshgrid(grid, grid)), 0.5)
    par = np.zeros(p.PARAMS)
    par[: p.SHARPNESS + 1] = 225.0, 60.0, 1.62, 60.0, 0.9, 70.0, 60.0, 40.0, 0.5
    par[p.LIMIT : p.BUDGET + 1] = 180.0, 1e12, 0.0, 1e9, 5e8, -1e12, 3.5e3
    par[p.MAX_SPEED : p.PENALTY + 1] = 0.8, 0.3, 0.06, 0.0, 50.0, 2.0, 2e-4, 0.0
    names = {
        "mass": 225.0, "inertia": 60.0, "gravity": 1.62, "base": 60.0, "efficiency": 0.9, "c0": 70.0,
        "c1": 60.0, "c2": 40.0, "limit": 180.0, "max_speed": 0.8, "max_yaw_rate": 0.3, "max_tilt": 0.06,
    }  # fmt: skip
    start = np.array([[14.0, 17.0], [0.05, 0.01], [0.01, 0.0]])
    end = np.array([[26.0, 22.0], [0.04, 0.0], [0.0, 0.01]])
    basis, places = sample_rows(pieces, per_piece)
    m, rho = len(places), 10.0
    mu = rng.uniform(0.0, 2.0, k.CONSTRAINTS * m + 1)

    inner, h = ca.SX.sym("inner", 2, pieces - 1), ca.SX.sym("h")
    cost, limits, energy = modelled(
        chain(pieces, inner, h, start, end), h, pieces, per_piece, names, slopes
    )  # fmt: skip
    rows = mu[:-1].reshape(k.CONSTRAINTS, m)
    kinds = [rows[i] for i in (k.G_POWER, k.G_SPEED, k.G_TURN, k.G_TILT)]
    pulls = [*zip(limits, kinds, strict=True), (energy / 3.5e3 - 1.0, mu[-1:])]
    for g, force in pulls:
        cost += ca.sum1(ca.fmax(force + rho * g, 0.0) ** 2 - force**2) / (2.0 * rho)
    # Limits that are not there: their forces vanish with them, what is left of them is a constant.
    for i in (k.G_SUPPLY, k.G_CHARGE):
        mu[i * m : (i + 1) * m] = 0.0
    unknowns = ca.vertcat(ca.reshape(inner.T, -1, 1), h)
    theirs = ca.Function("f", [unknowns], [cost, ca.gradient(cost, unknowns)])

    table, bars, gradient = np.zeros((m, k.COLUMNS)), np.zeros((m, 8)), np.zeros((2, pieces + 5))
    pulled = np.zeros(k.CONSTRAINTS, dtype=bool)
    for _ in range(20):
        z = np.linspace(start[0], end[0], pieces + 1)[1:-1].T + rng.normal(0.0, 0.4, (2, pieces - 1))
        span = rng.uniform(3.0, 5.0)
        points = np.asarray(ca.DM(chain(pieces, ca.DM(z), span, start, end)))
        value, by_h = k.cost_and_gradient(
            np.ascontiguousarray(points), span, basis, np.full(m, 1.0 / m), places, jerk_form(pieces), par,
            surface.coefficients, 0.5, np.zeros((2, 4, 4)), np.array([0.0, 1.0]), 2.0, 0.0, mu, rho, table,
            bars, gradient,
        )  # fmt: skip
        told, slope = theirs(np.append(z.ravel(), span))
        mine = np.append(gradient[:, 3:-3].ravel(), by_h)
        assert value == pytest.approx(float(told), rel=1e-9)
        np.testing.assert_allclose(mine, np.asarray(slope).ravel(), rtol=1e-9, atol=1e-9 * np.abs(mine).max())
        values = np.zeros_like(mu)
        k.constraint_table(table, par, 5e3, values)
        pulled |= (values > 0.0)[:-1].reshape(k.CONSTRAINTS, m).any(axis=1)
    assert pulled[[k.G_POWER, k.G_SPEED, k.G_TURN, k.G_TILT]].all()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [200.0, 1e6])
def test_the_optimum_is_that_of_an_interior_point(limit):
    # The reference scene by the formula of its hills, with the same samples; IPOPT begins at the same guess.
    hills = ((12, 1, 1.3, 4.5), (24, 5, 1.6, 5), (33, 2, -1, 4), (18, -5, 1, 5))
    pieces, per_piece = 16, 8

    def slopes(x, y):
        gx = gy = 0.0
        for hx, hy, top, sigma in hills:
            u, w = x - (10.0 + hx), y - (15.0 + hy)
            bump = 1.16 * top * ca.exp(-(u**2 + w**2) / (2.0 * sigma**2)) / sigma**2
            gx, gy = gx - u * bump, gy - w * bump
        return gx, gy

    scene = generate("lunar_reference", 0)
    rover, config = scene.rover, RoverConfig(rounds=1, power="multipliers" if limit < 1e5 else "off")
    begin, goal = np.array([10.0, 15.0]), np.array([50.0, 21.0])
    ahead = (goal - begin) / np.hypot(*(goal - begin))
    start, end = (np.stack((place, 0.05 * ahead, 0.0 * ahead)) for place in (begin, goal))
    problem = Problem.of(start, end, Ground.of(scene.environment, 0.0), rover, config, 0.0, 1e5, 0.0)
    guess = np.linspace(begin, goal, pieces + 1)[1:-1]
    span = 1.2 * float(np.hypot(*(goal - begin))) / rover.max_speed
    ours = optimise(problem, guess, span, config)

    names = {
        "mass": rover.mass, "inertia": rover.inertia, "gravity": 1.62, "base": rover.power_base,
        "efficiency": rover.drive_efficiency, "c0": rover.resistance_constant, "c1": rover.resistance_linear,
        "c2": rover.resistance_quadratic, "limit": limit, "max_speed": rover.max_speed,
        "max_yaw_rate": rover.max_yaw_rate, "max_tilt": np.tan(0.9 * rover.max_slope),
    }  # fmt: skip
    inner, h = ca.SX.sym("inner", 2, pieces - 1), ca.SX.sym("h")
    cost, limits, _ = modelled(chain(pieces, inner, h, start, end), h, pieces, per_piece, names, slopes)
    unknowns = ca.vertcat(ca.reshape(inner.T, -1, 1), h)
    nlp = {"x": unknowns, "f": cost, "g": ca.vertcat(*limits)}
    quiet = {"ipopt.print_level": 0, "print_time": False}
    solver = ca.nlpsol("s", "ipopt", nlp, {**quiet, "ipopt.max_iter": 500})
    low = np.append(np.full(2 * pieces - 2, -np.inf), 0.5)
    found = solver(x0=np.append(guess.T.ravel(), span / pieces), lbx=low, ubx=np.inf, lbg=-np.inf, ubg=0.0)
    least = float(found["f"])
    reached = ca.Function("f", [unknowns], [cost, ca.mmax(ca.vertcat(*limits))])
    mine, worst = reached(np.append(ours.points[:, 3:-3].ravel(), ours.h))
    assert solver.stats()["success"]
    assert float(worst) < 2e-3
    assert float(mine) == pytest.approx(least, rel=1e-3)
