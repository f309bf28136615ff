"""The quadratic programme of the `mpc` planner: its sparsity is fixed, its numbers change from call to call.

Per step k of N: the state (s, v, a, d, th, c), station, speed, acceleration, offset, heading against the
frame and curvature of the ego's path; the inputs (jerk, rate of curvature); and slacks. The model is the
kinematic bicycle in the Frenet frame, linearised about a guess of stations, speeds and offsets (Rajamani,
Vehicle Dynamics and Control, section 2.5; any text on linear time-varying MPC):

    s' = v g,  v' = a,  a' = jerk,  d' = V th,  th' = V c - k_r(S) g V,  c' = rate,   g = 1 / (1 - k_r D)

with capitals from the guess, discretised by the trapezoidal rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import osqp
import scipy.sparse as sp

from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

S, V, A, D, TH, C, NX = range(7)
JERK, TURN, NU = range(3)
NEAR, HEADWAY, BESIDE, FAST, NS = range(5)
"""Slacks: nearer than the least gap, nearer than the headway, beside the corridor, faster than allowed."""
FREE = 1e6
"""m; a station or an offset that bounds nothing."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the squares of deviations, per step, but for the slacks' `*_slack`, which weigh linearly as well."""

    speed: float = 1.0
    acceleration: float = 1.0
    jerk: float = 1.0
    offset: float = 2.0
    heading: float = 10.0
    curvature: float = 20.0
    turn: float = 300.0
    near_slack: float = 300.0
    headway_slack: float = 3.0
    beside_slack: float = 100.0
    fast_slack: float = 20.0

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0.0 <= getattr(self, f.name) < math.inf:
                raise InputError(f"mpc's weights.{f.name} must be 0 or more, got {getattr(self, f.name)}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits: `least`, `most` acceleration and `jerk` in m/s^2 and m/s^3, `curvature` 1/m, `turn` 1/(m s)."""

    least: float
    most: float
    jerk: float
    curvature: float
    turn: float


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """What the model is linearised about, at `N + 1` samples: stations, speeds, offsets; and the frame's
    curvature there."""

    station: Floats
    speed: Floats
    offset: Floats
    curvature: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Corridor:
    """Bounds at the samples 1 to N: `last (N,)` station that must not be passed, `behind (N,)` the one to
    stay behind by the headway, `left` and `right (N,)` the largest and the least offset, `fast (N,)` m/s;
    and the `target (N,)` speed and `centre (N,)` offset."""

    last: Floats
    behind: Floats
    left: Floats
    right: Floats
    fast: Floats
    target: Floats
    centre: Floats


class Problem:
    """The programme for N steps of `dt` s; every call of `solve` begins where the last one ended."""

    def __init__(
        self, steps: int, dt: float, headway: float, weights: Weights, bounds: Bounds, iterations: int
    ) -> None:
        self.steps, self.dt, self.headway = steps, dt, headway
        self.weights, self.bounds = weights, bounds
        n = steps
        self._inputs = NX * (n + 1)
        self._slacks = self._inputs + NU * n
        self.size = self._slacks + NS * n
        self._build_cost()
        self._build_rows()
        self._solver = osqp.OSQP()
        self._q = np.zeros(self.size)
        self._solver.setup(
            self._cost, self._q, self._matrix, self._low, self._high, verbose=False, warm_starting=True,
            eps_abs=1e-3, eps_rel=1e-3, max_iter=iterations, check_termination=10, polishing=False,
            adaptive_rho=True, adaptive_rho_interval=50, scaling=4, rho=0.1,
        )  # fmt: skip

    def _x(self, k: Any, what: int) -> Any:
        return NX * k + what

    def _u(self, k: Any, what: int) -> Any:
        return self._inputs + NU * k + what

    def _slack(self, k: Any, what: int) -> Any:
        """`k` counts from 0 for the sample 1."""
        return self._slacks + NS * k + what

    def _build_cost(self) -> None:
        w, k = self.weights, np.arange(1, self.steps + 1)
        diagonal = np.zeros(self.size)
        for what, weight in (
            (V, w.speed),
            (A, w.acceleration),
            (D, w.offset),
            (TH, w.heading),
            (C, w.curvature),
        ):
            diagonal[self._x(k, what)] = weight
        diagonal[self._u(k - 1, JERK)], diagonal[self._u(k - 1, TURN)] = w.jerk, w.turn
        slacks = (w.near_slack, w.headway_slack, w.beside_slack, w.fast_slack)
        for what, weight in enumerate(slacks):
            diagonal[self._slack(k - 1, what)] = weight
        self._cost = sp.csc_matrix(sp.diags(2.0 * diagonal))
        self._linear = np.zeros(self.size)
        for what, weight in enumerate(slacks):
            self._linear[self._slack(k - 1, what)] = 0.5 * weight if what in (NEAR, BESIDE) else 0.0

    def _build_rows(self) -> None:
        """The matrix with ones where numbers come from the guess, and where in its data they are."""
        n, dt, k = self.steps, self.dt, np.arange(self.steps)
        rows: list[Any] = []
        columns: list[Any] = []
        values: list[Any] = []

        def put(row: Any, column: Any, value: Any) -> None:
            r, c, v = np.broadcast_arrays(row, column, np.asarray(value, dtype=np.float64))
            rows.append(r)
            columns.append(c)
            values.append(v)

        top = 0
        for what in range(NX):
            put(what, self._x(0, what), 1.0)
        top += NX
        self._dynamics = top
        half = 0.5 * dt
        for what in range(NX):
            row = top + NX * k + what
            put(row, self._x(k + 1, what), 1.0)
            put(row, self._x(k, what), -1.0)
        row = top + NX * k
        # What comes from the guess is marked, and found again by that.
        for shift in (0, 1):
            put(row + V, self._x(k + shift, A), -half)
            put(row + S, self._x(k + shift, V), np.nan)
            put(row + D, self._x(k + shift, TH), np.nan)
            put(row + TH, self._x(k + shift, C), np.nan)
        put(row + A, self._u(k, JERK), -dt)
        put(row + C, self._u(k, TURN), -dt)
        top += NX * n
        self._first = {}
        for name in ("last", "behind", "left", "right", "fast"):
            self._first[name] = top
            top += n
        put(self._first["last"] + k, self._x(k + 1, S), 1.0)
        put(self._first["last"] + k, self._slack(k, NEAR), -1.0)
        put(self._first["behind"] + k, self._x(k + 1, S), 1.0)
        put(self._first["behind"] + k, self._x(k + 1, V), self.headway)
        put(self._first["behind"] + k, self._slack(k, HEADWAY), -1.0)
        put(self._first["left"] + k, self._x(k + 1, D), 1.0)
        put(self._first["left"] + k, self._slack(k, BESIDE), -1.0)
        put(self._first["right"] + k, self._x(k + 1, D), 1.0)
        put(self._first["right"] + k, self._slack(k, BESIDE), 1.0)
        put(self._first["fast"] + k, self._x(k + 1, V), 1.0)
        put(self._first["fast"] + k, self._slack(k, FAST), -1.0)
        self._limits = top
        for what in (V, A, C):
            put(top + k, self._x(k + 1, what), 1.0)
            top += n
        for what in (JERK, TURN):
            put(top + k, self._u(k, what), 1.0)
            top += n
        for what in range(NS):
            put(top + k, self._slack(k, what), 1.0)
            top += n
        r, c, v = (np.concatenate([np.atleast_1d(x) for x in part]) for part in (rows, columns, values))
        matrix = sp.csc_matrix((np.arange(1, len(v) + 1), (r, c)), shape=(top, self.size))
        order = matrix.data.astype(int) - 1
        numbers = np.where(np.isnan(v), -half, v)[order]
        matrix = sp.csc_matrix((numbers, matrix.indices, matrix.indptr), shape=matrix.shape)
        where = np.empty(len(v), dtype=int)
        where[order] = np.arange(len(v))
        marked = where[np.isnan(v)].reshape(2, 3, n)
        self._guessed = {name: marked[:, i] for i, name in enumerate(("s", "d", "th"))}
        self._changing = np.sort(marked.reshape(-1))
        self._matrix = matrix
        self._low, self._high = np.full(top, -FREE), np.full(top, FREE)
        b, limits = self.bounds, self._limits
        for i, (low, high) in enumerate(
            (
                (0.0, FREE),
                (b.least, b.most),
                (-b.curvature, b.curvature),
                (-b.jerk, b.jerk),
                (-b.turn, b.turn),
            )
        ):
            self._low[limits + n * i : limits + n * (i + 1)] = low
            self._high[limits + n * i : limits + n * (i + 1)] = high
        self._low[limits + 5 * n :] = 0.0

    def solve(self, begin: Floats, guess: Guess, corridor: Corridor) -> tuple[Floats, Floats, bool]:
        """States `(N + 1, 6)`, inputs `(N, 2)`, and whether the solver came near enough to the optimum."""
        n, dt, w = self.steps, self.dt, self.weights
        data = self._matrix.data
        stretch = 1.0 / np.maximum(1.0 - guess.curvature * guess.offset, 0.2)
        half = 0.5 * dt
        data[self._guessed["s"]] = -half * np.stack((stretch[:-1], stretch[1:]))
        data[self._guessed["d"]] = -half * np.stack((guess.speed[:-1], guess.speed[1:]))
        data[self._guessed["th"]] = data[self._guessed["d"]]
        bend = guess.curvature * stretch * guess.speed
        low, high = self._low, self._high
        low[:NX] = high[:NX] = begin
        row = self._dynamics + NX * np.arange(n)
        for what in range(NX):
            low[row + what] = high[row + what] = 0.0
        low[row + TH] = high[row + TH] = -half * (bend[:-1] + bend[1:])
        for name in ("last", "behind", "left", "fast"):
            at = self._first[name]
            high[at : at + n] = np.minimum(getattr(corridor, name), FREE)
        at = self._first["right"]
        low[at : at + n] = np.maximum(corridor.right, -FREE)
        k = np.arange(1, n + 1)
        self._q[:] = self._linear
        self._q[self._x(k, V)] = -2.0 * w.speed * corridor.target
        self._q[self._x(k, D)] = -2.0 * w.offset * corridor.centre
        # The curvature that keeps the offset is the frame's own.
        own = guess.curvature[1:] * stretch[1:]
        self._q[self._x(k, C)] = -2.0 * w.curvature * own
        self._solver.update(q=self._q, l=low, u=high, Ax=data[self._changing], Ax_idx=self._changing)
        result = self._solver.solve(raise_error=False)
        x = result.x
        good = x is not None and bool(np.isfinite(x).all()) and result.info.status_val in (1, 2, 7)
        if not good:
            return np.zeros((n + 1, NX)), np.zeros((n, NU)), False
        return x[: self._inputs].reshape(n + 1, NX), x[self._inputs : self._slacks].reshape(n, NU), True
