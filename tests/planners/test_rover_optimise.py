"""The rover's optimiser: its basis, its gradient, and the limits that its motions keep."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.interpolate import make_interp_spline

from drive.datasets.generate import generate
from drive.datasets.generate.draws import Draws
from drive.datasets.generate.terrain import fractal, passable
from drive.planners.rover.basis import coefficient_map, jerk_form, rows_at, sample_rows
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.front import guess, search, steady_speeds
from drive.planners.rover.ground import Ground
from drive.planners.rover.kernels import cost as k
from drive.planners.rover.kernels import power as p
from drive.planners.rover.optimise import LateError, Problem, optimise
from drive.sim.surface import Surface
from drive.terrain import Terrain
from drive.vehicle import RoverParams

FREE = RoverConfig(power="off")


def columns(pieces, h, rng):
    """Waypoints and end conditions in the basis's columns, and as plain numbers."""
    values = rng.normal(0.0, 3.0, pieces + 5)
    scaled = values.copy()
    scaled[[1, -2]] *= h
    scaled[[2, -1]] *= h * h
    return values, scaled


def test_the_basis_is_the_quintic_spline_through_the_waypoints():
    # SciPy's spline of degree 5 with two derivatives given at each end is the same chain: C^4 at its knots.
    pieces, h, rng = 6, 1.7, np.random.default_rng(0)
    values, scaled = columns(pieces, h, rng)
    knots = h * np.arange(pieces + 1)
    through = np.concatenate(([values[0]], values[3:-3], [values[-3]]))
    ends = ([(1, values[1]), (2, values[2])], [(1, values[-2]), (2, values[-1])])
    spline = make_interp_spline(knots, through, k=5, bc_type=ends)
    basis, places = sample_rows(pieces, 8)
    for order in range(4):
        mine = basis[:, order] @ scaled / h**order
        assert mine == pytest.approx(spline.derivative(order)(places * pieces * h), rel=1e-8, abs=1e-8)
    assert rows_at(pieces, places) == pytest.approx(basis, abs=1e-12)


def test_the_jerk_form_is_the_integral_of_the_squared_third_derivative():
    pieces, rng = 4, np.random.default_rng(1)
    _, scaled = columns(pieces, 1.0, rng)
    coefficients = coefficient_map(pieces) @ scaled
    third = [np.polynomial.Polynomial(c).deriv(3) for c in coefficients]
    total = sum(quad(lambda u, piece=piece: piece(u) ** 2, 0.0, 1.0)[0] for piece in third)
    assert scaled @ jerk_form(pieces) @ scaled == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("penalty", [0.0, 3.0])
def test_the_gradient_is_that_of_central_differences(penalty):
    rng = np.random.default_rng(2)
    pieces, samples = 8, 4
    heights = np.cumsum(rng.normal(0.0, 0.1, (60, 80)), axis=1)
    ground = Surface.through(heights, 0.5)
    frames = np.stack([Surface.through(rng.uniform(0, 1, (16, 20)), 2.0).coefficients for _ in range(3)])
    light_times = np.array([0.0, 12.0, 60.0])
    par = np.zeros(p.PARAMS)
    par[: p.SHARPNESS + 1] = 225.0, 60.0, 1.62, 60.0, 0.9, 70.0, 60.0, 40.0, 0.5
    par[p.LIMIT : p.BUDGET + 1] = 200.0, 100.0, 80.0, 6e3, 5.9e3, 5.5e3, 5e3
    par[p.MAX_SPEED : p.PENALTY + 1] = 0.8, 0.5, 0.3, 3.0, 50.0, 2.0, 2e-4, penalty
    basis, places = sample_rows(pieces, samples)
    m = len(places)
    table, bars, gradient = np.zeros((m, k.COLUMNS)), np.zeros((m, 8)), np.zeros((2, pieces + 5))
    share, jerk = np.full(m, 1.0 / m), jerk_form(pieces)
    mu = np.zeros(k.CONSTRAINTS * m + 1)

    def cost(z, h):
        points = np.zeros((2, pieces + 5))
        points[:, 0], points[:, -3] = (5.0, 15.0), (28.0, 18.0)
        points[:, 1], points[:, -2] = 0.05 * h, 0.04 * h
        points[:, 2] = 0.02 * h * h
        points[:, 3:-3] = z.reshape(2, -1)
        return k.cost_and_gradient(
            points, h, basis, share, places, jerk, par, ground.coefficients, 0.5, frames, light_times, 2.0,
            90.0, mu, 10.0, table, bars, gradient,
        )  # fmt: skip

    inner = np.arange(1, pieces) / pieces
    worst, e = 0.0, 1e-5
    for _ in range(10):
        z = np.concatenate((5.0 + 23.0 * inner, 15.0 + 3.0 * inner)) + rng.normal(0.0, 0.5, 2 * pieces - 2)
        h = rng.uniform(3.0, 5.0)
        mu[:] = rng.uniform(0.0, 3.0, len(mu))
        _, by_h = cost(z, h)
        mine = np.append(gradient[:, 3:-3].ravel(), by_h)
        steps = np.append(np.eye(len(z)), np.zeros((1, len(z))), axis=0) * e
        span = np.append(np.zeros(len(z)), e)

        def shifted(z, h, times, steps=steps, span=span):
            return np.array([cost(z + times * s, h + times * d)[0] for s, d in zip(steps, span, strict=True)])

        near, far = (shifted(z, h, i) - shifted(z, h, -i) for i in (1, 2))
        numeric = (8.0 * near - far) / (12.0 * e)
        worst = max(worst, float(np.linalg.norm(numeric - mine) / np.linalg.norm(mine)))
    assert worst < 1e-6


def reference(pieces=16):
    """The calibrated scene as an optimisation problem: straight guess, 1.2 times the time at full speed."""
    scene = generate("lunar_reference", 0)
    ground = Ground.of(scene.environment, 0.0)
    start, goal = scene.initial[:2], scene.route.goal.position
    ahead = (goal - start) / np.hypot(*(goal - start))
    ends = [np.stack((place, 0.05 * ahead, 0.0 * ahead)) for place in (start, goal)]
    share = np.arange(1, pieces)[:, None] / pieces
    length = float(np.hypot(*(goal - start)))

    def solve(config, rover=scene.rover):
        problem = Problem.of(*ends, ground, rover, config, 0.0, rover.battery_start, 0.0)
        return optimise(problem, start + share * (goal - start), 1.2 * length / rover.max_speed, config)

    return solve


def test_the_limit_costs_a_little_time_where_the_same_optimiser_without_it_goes_far_over():
    solve = reference()
    held, free = solve(RoverConfig()), solve(FREE)
    assert held.ok
    assert held.binding == "power limit"
    assert 197.0 <= held.peak <= 201.0
    assert free.peak > 1.15 * 200.0
    assert free.duration < held.duration < 1.05 * free.duration
    assert held.energy < 1.02 * free.energy
    soft = solve(RoverConfig(power="penalty"))
    assert 190.0 < soft.peak <= 202.0
    # The check is on a grid of eighty samples a piece; one of a thousand finds no other peak.
    dense = held.table(np.linspace(0.0, 1.0, 16_000))
    assert dense[:, k.LOAD].max() == pytest.approx(held.peak, abs=0.1)
    assert dense[0, k.X : k.Y + 1] == pytest.approx(held.problem.start[0])
    assert dense[-1, k.X : k.Y + 1] == pytest.approx(held.problem.end[0])


def test_a_longer_chain_keeps_the_limit_too():
    assert 197.0 <= reference(48)(RoverConfig()).peak <= 201.0


def test_an_energy_budget_is_kept_or_named():
    solve = reference()
    rover = replace(RoverParams(), max_slope=np.radians(25.0))
    free = solve(RoverConfig(), rover)
    tight = solve(RoverConfig(), replace(rover, energy_budget=0.992 * free.energy))
    assert tight.ok
    assert tight.binding == "energy budget"
    assert tight.energy <= 0.992 * free.energy
    # Near the least that a drive can take only the search for the cheapest one finds it.
    least = solve(RoverConfig(), replace(rover, energy_budget=0.98 * free.energy))
    assert least.ok
    assert least.binding == "energy budget"
    assert least.energy <= 0.98 * free.energy
    assert least.peak <= 1.01 * 200.0
    for share in (0.97, 0.5):
        missed = solve(RoverConfig(), replace(rover, energy_budget=share * free.energy))
        assert missed.ok is (missed.energy <= share * free.energy)
        assert missed.binding == "energy budget"
    assert not missed.ok


def test_the_battery_and_what_feeds_it_can_bind():
    solve = reference()
    rover = replace(RoverParams(), max_slope=np.radians(25.0), solar_power_max=0.0)
    weak = replace(rover, generator_power=100.0, battery_power_max=70.0)
    held = solve(RoverConfig(), weak)
    assert held.ok
    assert 167.0 <= held.peak <= 172.0
    empty = replace(rover, generator_power=0.0, battery_start=7.0e3, battery_min=2.0e3)
    starved = solve(RoverConfig(), empty)
    assert not starved.ok
    assert starved.binding == "battery"


def test_a_rover_that_cannot_pay_its_base_load_is_told_so():
    motion = reference()(RoverConfig(), replace(RoverParams(), power_limit=50.0))
    assert not motion.ok
    assert motion.binding == "power limit"


def test_the_clock_ends_the_search():
    scene = generate("lunar_reference", 0)
    problem = Problem.of(
        np.array([[10.0, 15.0], [0.05, 0.0], [0.0, 0.0]]), np.array([[50.0, 21.0], [0.05, 0.0], [0.0, 0.0]]),
        Ground.of(scene.environment, 0.0), scene.rover, RoverConfig(), 0.0, 1e5, 0.0,
    )  # fmt: skip
    inner = np.linspace((10.0, 15.0), (50.0, 21.0), 9)[1:-1]
    with pytest.raises(LateError):
        optimise(problem, inner, 60.0, RoverConfig(), deadline=0.0)


def hills(seed):
    """A random fractal terrain with cells of 0.1 m, and two ends that a rover can drive between."""
    for attempt in range(20):
        draws = Draws.of(100 * seed + attempt)
        heights = 0.9 * fractal(draws, 32.0, 0.1, 1.25)
        ends = np.array([[3.0, draws.uniform(8.0, 24.0)], [29.0, draws.uniform(8.0, 24.0)]])
        terrain = Terrain(heights, 0.1, 1.62, np.zeros(1), np.array([[0.0, 0.6]]), np.zeros(0))
        if passable(terrain, RoverParams(), *map(tuple, ends)):
            return terrain, ends
    raise AssertionError


def crossing(seed):
    """A terrain of `hills` as an optimisation problem along the way of the front end."""
    terrain, (start, goal) = hills(seed)
    ground = Ground.of(terrain, RoverParams().wheelbase)

    def solve(config, rover):
        points, togo = search(terrain, ground, rover, goal, config).way(start, goal)
        length = np.hypot(*np.diff(points, axis=0).T).sum()
        inner = guess(points, togo, int(np.ceil(length / config.piece_length)))
        ahead, last = inner[0] - start, goal - inner[-1]
        ends = [
            np.stack((place, 0.05 * way / np.hypot(*way), np.zeros(2)))
            for place, way in ((start, ahead), (goal, last))
        ]
        problem = Problem.of(*ends, ground, rover, config, 0.0, rover.battery_start, 0.0)
        return optimise(problem, inner, 1.1 * togo[0], config)

    return solve


@pytest.mark.slow
def test_on_twenty_random_terrains_a_budget_is_kept_or_named():
    kept_budgets = []
    for seed in range(20):
        solve, rover = crossing(seed), RoverParams()
        free = solve(RoverConfig(), rover)
        for share in (0.985, 0.97):
            motion = solve(RoverConfig(), replace(rover, energy_budget=share * free.energy))
            kept = motion.energy <= share * free.energy
            # Never a motion that is said to be good, or only a little steep, and takes more.
            assert kept or (not motion.ok and motion.binding == "energy budget")
            kept_budgets.append(kept)
    # What it gives up is near the least: 1.5 % less than the free drive can be had nearly everywhere.
    assert sum(kept_budgets[::2]) >= 17


@pytest.mark.slow
def test_on_twenty_random_terrains_the_limit_is_held_for_little_time():
    peaks, longer = [], []
    for seed in range(20):
        solve = crossing(seed)
        found = [solve(config, RoverParams()) for config in (RoverConfig(), FREE)]
        peaks.append([motion.peak for motion in found])
        longer.append(found[0].duration / found[1].duration)
    held, free = np.array(peaks).T
    assert held.max() <= 1.01 * 200.0
    assert np.median(longer) <= 1.05
    assert np.median(free) > 1.05 * 200.0


def test_steady_speeds_solve_the_load_by_hand():
    # Flat: 60 + (70 + 60 v + 40 v^2) v = 200 W holds at 0.908 m/s, above the rover's 0.8; at a sine of 0.2
    # the climb adds 225 * 1.62 * 0.2 = 72.9 N, and the limit is met at 0.689 m/s.
    rover = RoverParams()
    flat, climb, down, wall = steady_speeds(rover, 200.0, 1.62, np.array([0.0, 0.2, -0.2, 3.0]))
    assert flat == down == 0.8
    assert climb == pytest.approx(0.689, abs=0.006)
    assert 60.0 + (70.0 + 72.9 + 60.0 * climb + 40.0 * climb**2) * climb <= 200.0
    assert wall < 0.12
    assert steady_speeds(rover, 50.0, 1.62, np.zeros(1))[0] == 0.0


def test_the_front_end_goes_round_what_is_too_steep_and_says_what_closes_the_way():
    # A wall of 4 m right across, with one gap at y between 30 and 34 m.
    y, x = np.meshgrid(0.5 * np.arange(81), 0.5 * np.arange(81), indexing="ij")
    wall = 4.0 * np.exp(-(((x - 20.0) / 1.5) ** 2))
    gap = 1.0 / (1.0 + np.exp(-(np.abs(y - 32.0) - 4.0)))
    terrain = Terrain(wall * gap, 0.5, 1.62, np.zeros(1), np.array([[0.0, 0.6]]), np.zeros(0))
    rover, goal = RoverParams(), np.array([35.0, 8.0])
    ground = Ground.of(terrain, rover.wheelbase)
    field = search(terrain, ground, rover, goal, RoverConfig())
    points, togo = field.way(np.array([5.0, 8.0]), goal)
    crossing = points[np.argmin(np.abs(points[:, 0] - 20.0)), 1]
    assert 29.0 < crossing < 35.0
    assert (np.diff(togo) < 0.0).all()
    inner = guess(points, togo, 20)
    assert inner.shape == (19, 2)
    closed = Terrain(wall, 0.5, 1.62, np.zeros(1), np.array([[0.0, 0.6]]), np.zeros(0))
    shut = search(closed, Ground.of(closed, 1.2), rover, goal, RoverConfig())
    assert not shut.reaches(np.array([5.0, 8.0]))
    assert shut.reaches(np.array([30.0, 30.0]))
    assert shut.why == "slope limit"
    weak = search(terrain, ground, replace(rover, power_limit=40.0), goal, RoverConfig())
    assert weak.why == "power limit"
