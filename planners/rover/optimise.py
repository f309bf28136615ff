"""The optimiser: an augmented Lagrangian over waypoints and duration, L-BFGS-B inside.

Structure after Hu et al. 2025 (arXiv 2509.15062: limits of power and energy on SE(2) polynomials) and
uneven_planner (arXiv 2309.06115); the parts that could not be read are reconstructed, see docs/rover.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.rover.basis import EDGE, jerk_form, rows_at, sample_rows
from drive.planners.rover.kernels import cost as k
from drive.planners.rover.kernels import power as p

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.rover.config import RoverConfig
    from drive.planners.rover.ground import Ground
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

NAMES = ("power limit", "supply", "speed limit", "turn rate", "slope limit", "battery", "energy budget")
"""What binds, in the order of the kernels' constraints."""
FREE = 1e12
"""J and W of a limit that is not there."""
STEP = 0.1
"""Of the logarithm of the duration that one unit of the search stands for."""
STORES, SPARE = ("battery", "energy budget"), 2e-3
"""What is not to be exceeded at all: the optimiser is told of so much less, and may exceed that by it."""
FIRM = 1e-3
"""Share of its limit by which a constraint may be exceeded at the samples."""
CHEAPEST = 1.0
"""The weight of a joule in the search for the drive that takes the least."""
EDGE_ROOM = 0.5
"""Metres that waypoints keep from the terrain's edge."""


class LateError(Exception):
    """The time to think is over."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """From `start (3, 2)` position, velocity, acceleration to `end (3, 2)` over a ground; `par` are the
    kernels' parameters, `generator` in W, `tolerance` the share by which a limit may be exceeded."""

    start: Floats
    end: Floats
    ground: Ground
    par: Floats
    generator: float
    tolerance: float

    @classmethod
    def of(
        cls,
        start: Floats,
        end: Floats,
        ground: Ground,
        rover: RoverParams,
        config: RoverConfig,
        time: float,
        charge: float,
        used: float,
    ) -> Problem:
        """The problem of a rover that has `charge` J left and has taken `used` J since the drive began."""
        par = np.zeros(p.PARAMS)
        free = config.power == "off" or config.slope_only
        left = FREE if rover.energy_budget is None else max(rover.energy_budget - used, 1.0)
        share = 1.0 - config.margin
        par[p.MASS], par[p.INERTIA], par[p.GRAVITY] = rover.mass, rover.inertia, ground.gravity
        par[p.BASE], par[p.EFFICIENCY] = rover.power_base, rover.drive_efficiency
        par[p.C0 : p.C2 + 1] = (
            rover.resistance_constant,
            rover.resistance_linear,
            rover.resistance_quadratic,
        )
        par[p.SHARPNESS] = config.sharpness
        par[p.LIMIT] = FREE if free else share * rover.power_limit
        par[p.SUPPLY] = FREE if free else share * (rover.generator_power + rover.battery_power_max)
        par[p.LIGHT_POWER] = share * rover.solar_power_max
        par[p.CAPACITY], par[p.CHARGE] = rover.battery_capacity, charge
        reserve = min(rover.battery_min + SPARE * rover.battery_capacity, charge)
        par[p.CHARGE_MIN] = -FREE if config.slope_only else reserve
        par[p.BUDGET] = FREE if config.slope_only else (1.0 - SPARE) * left
        par[p.MAX_SPEED], par[p.MAX_YAW_RATE] = rover.max_speed, rover.max_yaw_rate
        par[p.MAX_TILT], par[p.START] = np.tan(config.slope_share * rover.max_slope), time
        par[p.W_JERK], par[p.W_POWER] = config.jerk, config.load
        par[p.W_SLOPE] = config.avoid_slope if config.slope_only else config.slope
        par[p.PENALTY] = config.penalty if config.power == "penalty" else 0.0
        return cls(start, end, ground, par, rover.generator_power, config.tolerance)


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A chain of `pieces` quintics of `h` s each; `points (2, C)` are its columns (see `basis`).

    `excess` is by how much each of `NAMES` is exceeded at most on the fine grid, in shares of its limit;
    `binding` the one that holds it back most, empty where none does; `energy` in J; `peak` in W.
    """

    points: Floats
    h: float
    ok: bool
    excess: dict[str, float]
    binding: str
    energy: float
    peak: float
    evaluations: int
    problem: Problem

    @property
    def pieces(self) -> int:
        return int(self.points.shape[1]) - EDGE

    @property
    def duration(self) -> float:
        return self.h * self.pieces

    def table(self, places: Floats, exact: bool = True) -> Floats:
        """The kernels' sample table `(M, COLUMNS)` at `places (M,)` in [0, 1] of the whole."""
        return _table(self.problem, self.points, self.h, rows_at(self.pieces, places), places, exact)[0]


def optimise(
    problem: Problem, waypoints: Floats, duration: float, config: RoverConfig, deadline: float | None = None
) -> Motion:
    """The motion through inner `waypoints (P - 1, 2)`, moved until the limits hold and the cost is least.

    Where the energy budget is missed the drive that takes the least energy is looked for as well: a budget is
    called too small only if that one misses it too. Raises LateError where the clock passes `deadline`.
    """
    motion = _optimise(problem, waypoints, duration, config, deadline)
    if motion.ok or motion.binding != "energy budget":
        return motion
    par = problem.par.copy()
    par[p.W_POWER] = CHEAPEST
    inner = np.ascontiguousarray(motion.points[:, 3 : motion.pieces + 2].T)
    try:
        cheap = _optimise(replace(problem, par=par), inner, motion.duration, config, deadline)
    except LateError:
        return motion
    cheap = replace(cheap, problem=problem, evaluations=motion.evaluations + cheap.evaluations)
    if cheap.ok:
        return replace(cheap, binding="energy budget")
    return cheap if max(cheap.excess.values()) < max(motion.excess.values()) else motion


def _optimise(
    problem: Problem, waypoints: Floats, duration: float, config: RoverConfig, deadline: float | None
) -> Motion:
    """One search; where the load comes near its limit between samples, those places are added."""
    search = _Search(problem, waypoints, duration, config, deadline)
    for round_ in range(config.rounds):
        search.solve(config.outer if round_ == 0 else 4)
        motion, table, places = search.check()
        if motion.ok or round_ == config.rounds - 1:
            return motion
        if not search.add(table, places):
            return motion
    raise AssertionError


class _Search:
    """The unknowns are what the waypoints are moved by, in coordinates in which the jerk's form is round."""

    def __init__(
        self,
        problem: Problem,
        waypoints: Floats,
        duration: float,
        config: RoverConfig,
        deadline: float | None,
    ) -> None:
        self.problem, self.config, self.deadline = problem, config, deadline
        self.pieces = len(waypoints) + 1
        n, columns = self.pieces - 1, self.pieces + EDGE
        self.jerk = jerk_form(self.pieces)
        self.h0 = duration / self.pieces
        inner = self.jerk[3 : 3 + n, 3 : 3 + n]
        form = 2.0 * config.jerk * inner / self.h0**5 + 0.1 * np.eye(n)
        self.shape = np.ascontiguousarray(np.linalg.inv(np.linalg.cholesky(form)).T)
        self.first = np.ascontiguousarray(waypoints.T)
        self.points, self.gradient = np.zeros((2, columns)), np.zeros((2, columns))
        self.points[:, 0], self.points[:, n + 3] = problem.start[0], problem.end[0]
        self.z = np.zeros(2 * n + 1)
        self.rho, self.evaluations = config.stiffness, 0
        self.best: tuple[float, Floats] | None = None
        self._sample(*sample_rows(self.pieces, config.samples), None)

    def _sample(self, basis: Floats, places: Floats, share: Floats | None) -> None:
        m = len(places)
        self.basis, self.places = basis, places
        self.share = np.full(m, 1.0 / m) if share is None else share
        self.table, self.bars = np.zeros((m, k.COLUMNS)), np.zeros((m, 8))
        self.mu = np.zeros(k.CONSTRAINTS * m + 1)
        self.values = np.zeros_like(self.mu)

    def _place(self, z: Floats) -> float:
        n = self.pieces - 1
        h = self.h0 * float(np.exp(STEP * z[-1]))
        self.points[:, 3 : 3 + n] = self.first + z[:-1].reshape(2, n) @ self.shape.T
        start, end = self.problem.start, self.problem.end
        self.points[:, 1], self.points[:, 2] = h * start[1], h * h * start[2]
        self.points[:, n + 4], self.points[:, n + 5] = h * end[1], h * h * end[2]
        return h

    def _cost(self, z: Floats) -> tuple[float, Floats]:
        self.evaluations += 1
        if self.deadline is not None and time.perf_counter() > self.deadline:
            raise LateError
        h, n, g = self._place(z), self.pieces - 1, self.problem.ground
        value, by_h = k.cost_and_gradient(
            self.points, h, self.basis, self.share, self.places, self.jerk, self.problem.par,
            g.surface.coefficients, g.surface.resolution, g.light, g.times, g.cell, self.problem.generator,
            self.mu, self.rho, self.table, self.bars, self.gradient,
        )  # fmt: skip
        inner = self.gradient[:, 3 : 3 + n] @ self.shape
        return value, np.concatenate((inner.ravel(), [STEP * h * by_h]))

    def solve(self, outer: int) -> None:
        """The outer iterations: minimise, then raise the multipliers of what is exceeded."""
        from scipy.optimize import minimize

        c = self.config
        for _ in range(outer):
            options = {"maxcor": 20, "maxiter": c.inner}
            bounds = [(None, None)] * (len(self.z) - 1) + [(-25.0, 25.0)]
            found = minimize(self._cost, self.z, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
            self.z = found.x
            h, g = self._place(self.z), self.problem.ground
            energy = k.sample_motion(
                self.points, h, self.basis, self.share, self.places, self.problem.par,
                g.surface.coefficients, g.surface.resolution, g.light, g.times, g.cell,
                self.problem.generator, self.table,
            )  # fmt: skip
            k.constraint_table(self.table, self.problem.par, energy, self.values)
            self.mu = np.maximum(self.mu + self.rho * self.values, 0.0)
            if self.values.max() < FIRM:
                return
            self.rho = min(self.rho * c.growth, c.max_stiffness)

    def check(self) -> tuple[Motion, Floats, Floats]:
        """The motion as it stands, judged by the exact load on the fine grid."""
        c, problem = self.config, self.problem
        h = self._place(self.z)
        basis, places = sample_rows(self.pieces, c.samples * c.fine)
        table, energy = _table(problem, self.points, h, basis, places, True)
        excess = _excess(problem, table, energy)
        m = len(self.places)
        force = [float(self.mu[i * m : (i + 1) * m].sum()) for i in range(k.CONSTRAINTS)]
        force.append(float(self.mu[-1]))
        beyond = {name: v - (SPARE if name in STORES else problem.tolerance) for name, v in excess.items()}
        # A bend that is a little too steep may be driven, a store that is spent may not: it is named first.
        spent = [name for name in STORES if beyond[name] > 0.0]
        over = max(spent or beyond, key=lambda name: beyond[name])
        ok = beyond[over] <= 0.0
        strongest = int(np.argmax(force))
        binding = over if not ok else NAMES[strongest] if force[strongest] > 1e-3 else ""
        motion = Motion(
            self.points.copy(), h, ok, excess, binding, energy, float(table[:, k.LOAD].max()),
            self.evaluations, problem,
        )  # fmt: skip
        return motion, table, places

    def add(self, table: Floats, places: Floats) -> bool:
        """Constrain the load's peaks on the fine grid that come near a limit; False where none is new."""
        par, load = self.problem.par, table[:, k.LOAD]
        allowed = np.minimum(par[p.LIMIT], table[:, k.GIVEN] + par[p.SUPPLY])
        # Where light fades, what is allowed falls faster than the load: the share has the peaks.
        share_of = load / np.maximum(allowed, 1e-9)
        rising = np.concatenate(([True], share_of[1:] >= share_of[:-1]))
        falling = np.concatenate((share_of[:-1] > share_of[1:], [True]))
        near = rising & falling & (share_of > self.config.near)
        new = places[near]
        new = new[np.abs(new[:, None] - self.places[None, :]).min(axis=1) > 1e-9] if len(new) else new
        if not len(new):
            return False
        every = np.concatenate((self.places, new))
        order = np.argsort(every, kind="stable")
        share = np.concatenate((self.share, np.zeros(len(new))))[order]
        # What is known of the samples so far stays; the new ones begin without a multiplier.
        m = len(self.places)
        mu = np.concatenate((self.mu[:-1].reshape(-1, m), np.zeros((k.CONSTRAINTS, len(new)))), axis=1)
        last = self.mu[-1]
        basis = np.concatenate((self.basis, rows_at(self.pieces, new)))[order]
        self._sample(np.ascontiguousarray(basis), every[order], share)
        self.mu[:-1], self.mu[-1] = mu[:, order].ravel(), last
        return True


def _table(
    problem: Problem, points: Floats, h: float, basis: Floats, places: Floats, exact: bool
) -> tuple[Floats, float]:
    par, g = problem.par, problem.ground
    if exact:
        par = par.copy()
        par[p.SHARPNESS] = 0.0
    table = np.zeros((len(places), k.COLUMNS))
    energy = k.sample_motion(
        points, h, np.ascontiguousarray(basis), np.full(len(places), 1.0 / len(places)), places, par,
        g.surface.coefficients, g.surface.resolution, g.light, g.times, g.cell, problem.generator, table,
    )  # fmt: skip
    return table, float(energy)


def _excess(problem: Problem, table: Floats, energy: float) -> dict[str, float]:
    """By how much each limit is exceeded at most, in shares of it; a speed's square counts double."""
    values = np.zeros(k.CONSTRAINTS * len(table) + 1)
    k.constraint_table(table, problem.par, energy, values)
    worst = values[:-1].reshape(k.CONSTRAINTS, -1).max(axis=1)
    worst[[k.G_SPEED, k.G_TURN, k.G_TILT]] = np.sqrt(1.0 + worst[[k.G_SPEED, k.G_TURN, k.G_TILT]]) - 1.0
    return {name: float(v) for name, v in zip(NAMES, (*worst, values[-1]), strict=True)}
