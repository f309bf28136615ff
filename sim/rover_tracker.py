"""The rover's tracker: linear time-varying model predictive control that holds the power limit under slip."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import wrap_angle
from drive.sim.rover_body import load, stance
from drive.vehicle import HEADING, SPEED, YAW_RATE, X, Y

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.surface import Surface
    from drive.terrain import Terrain
    from drive.trajectory import Trajectory
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

STATES = 5
"""Along, aside and heading errors, wheel speed, turn rate."""
FREE = 1e6
"""W that no rover draws."""


@dataclass(frozen=True, slots=True)
class RoverMPC:
    """Weights of the errors along, aside, in heading, speed and turn rate; of the two accelerations.

    `steps` of the scene's clock are looked ahead; `margin` is the share of the limits that is left for what
    the load does within a step; `learn` the share of what it is wrong by that it corrects each step. Without
    `hold` it follows a motion whatever that draws.
    """

    steps: int = 12
    weights: tuple[float, ...] = (1.0, 4.0, 4.0, 1.0, 0.2)
    effort: tuple[float, ...] = (2.0, 0.5)
    margin: float = 0.01
    learn: float = 0.4
    overload: float = 50.0
    hold: bool = True

    def start(self, terrain: Terrain, rover: RoverParams, surface: Surface, dt: float) -> RoverTracker:
        return RoverTracker(self, terrain, rover, surface, dt)


@dataclass(slots=True, eq=False)
class RoverTracker:
    """A tracker in one drive: what it learnt of slip and load, and the solver's warm start."""

    settings: RoverMPC
    terrain: Terrain
    rover: RoverParams
    surface: Surface
    dt: float
    slip: float = 0.0
    ratio: float = 1.0
    before: tuple[float, float, float] | None = None
    solver: Any = None
    last: Floats = field(default_factory=lambda: np.zeros(0))

    def _learn(self, speed: float, drawn: float, wheel_speed: float, turn_rate: float, pitch: float) -> None:
        """Correct the estimates of slip and load by the step since the last call."""
        if self.before is None:
            return
        u, turn, tilt = self.before
        share, r, dt = self.settings.learn, self.rover, self.dt
        mean, a = 0.5 * (u + wheel_speed), (wheel_speed - u) / dt
        if mean > 0.05:
            self.slip += share * (min(max(1.0 - speed / mean, -0.2), 0.6) - self.slip)
        # Uphill is a negative pitch.
        spin = r.inertia * (turn_rate - turn) / dt * 0.5 * (turn + turn_rate)
        modelled = load(r, self.terrain.gravity, mean, a, -math.sin(0.5 * (pitch + tilt)), spin)
        if modelled > 0.0:
            self.ratio += share * (drawn / modelled - self.ratio)

    def command(
        self, trajectory: Trajectory, time: float, pose: Floats, wheel_speed: float, turn_rate: float,
        pitch: float, drawn: float, supply: float, speed: float,
    ) -> tuple[float, float]:  # fmt: skip
        """Accelerations of wheels and turn at `time` for a pose (x, y, heading).

        `drawn` and `supply` in W and the ground's `speed` are means over the step before.
        """
        self._learn(speed, drawn, wheel_speed, turn_rate, pitch)
        self.before = wheel_speed, turn_rate, pitch
        n, dt = self.settings.steps, self.dt
        reference = trajectory.at(time + dt * np.arange(n + 1))
        slopes = self.surface.at(reference[:, [X, Y]])
        heading = reference[:, HEADING]
        rise = slopes[:, 1] * np.cos(heading) + slopes[:, 2] * np.sin(heading)
        # What the wheels feel and the smooth ground does not say fades out ahead.
        rise = rise + (-math.tan(pitch) - float(rise[0])) * np.exp(-np.arange(n + 1) / 5.0)
        sines = rise / np.sqrt(1.0 + rise * rise)
        allowed = self._allowed(reference, time, supply)
        first = np.array([*self._error(pose, reference[0]), wheel_speed, turn_rate])
        moves = self._solve(first, reference, sines, allowed)
        return self._within(
            float(moves[0]), float(moves[1]), wheel_speed, turn_rate, pose, float(sines[0]), float(allowed[0])
        )

    def _allowed(self, reference: Floats, time: float, supply: float) -> Floats:
        """What may be drawn `(n + 1,)` in W now and along the reference, where the light is known from the
        map.

        The first one is that of the step to come: the darker one of its two ends.
        """
        c, rover = self.settings, self.rover
        if not c.hold:
            return np.full(c.steps + 1, FREE)
        light = np.array(
            [
                float(self.terrain.light_at(reference[k, :2], time + k * self.dt))
                for k in range(c.steps + 1)
            ]
        )  # fmt: skip
        known = rover.generator_power + rover.solar_power_max * light
        known[0] = min(supply, float(known[1]))
        return np.minimum(rover.power_limit, known + rover.battery_power_max) * (1.0 - c.margin)

    def _error(self, pose: Floats, reference: Floats) -> tuple[float, float, float]:
        dx, dy = float(pose[0] - reference[X]), float(pose[1] - reference[Y])
        c, s = math.cos(reference[HEADING]), math.sin(reference[HEADING])
        return c * dx + s * dy, c * dy - s * dx, float(wrap_angle(float(pose[2] - reference[HEADING])))

    def _solve(self, first: Floats, reference: Floats, sines: Floats, allowed: Floats) -> Floats:
        """The moves (2 n,) of the condensed problem, accelerations of wheels and turn alternating."""
        c, n, dt, r = self.settings, self.settings.steps, self.dt, self.rover
        keep = 1.0 - self.slip
        speed, turn = reference[:, SPEED], reference[:, YAW_RATE]
        free, reach = np.empty((n, STATES)), np.zeros((n, STATES, 2 * n))
        state, push = first.copy(), np.zeros((STATES, 2 * n))
        for k in range(n):
            a = np.eye(STATES)
            a[0, 1], a[0, 3] = dt * turn[k], dt * keep
            a[1, 0], a[1, 2] = -dt * turn[k], dt * speed[k]
            a[2, 4] = dt
            state = a @ state
            state[0] -= dt * speed[k]
            state[2] -= dt * turn[k]
            push = a @ push
            push[3, 2 * k], push[4, 2 * k + 1] = push[3, 2 * k] + dt, push[4, 2 * k + 1] + dt
            free[k], reach[k] = state, push
        target = np.zeros((n, STATES))
        target[:, 3], target[:, 4] = speed[1:] / keep, turn[1:]
        q = np.asarray(c.weights)
        flat = reach.reshape(n * STATES, 2 * n)
        weights = np.tile(q, n)
        form = 2.0 * (flat.T * weights) @ flat + 2.0 * np.diag(np.tile(c.effort, n))
        linear = 2.0 * (flat.T * weights) @ (free - target).ravel()
        # The load about the moves of the step before; where nothing is pulled uphill it is not linear.
        before = np.zeros(2 * n) if len(self.last) != 2 * n else np.append(self.last[2:], self.last[-2:])
        u0 = np.maximum(free[:, 3] + reach[:, 3] @ before, 0.0)
        a0 = before[0::2]
        pull = r.mass * (a0 + self.terrain.gravity * sines[1:])
        on = pull > 0.0
        resist = (r.resistance_constant + (r.resistance_linear + r.resistance_quadratic * u0) * u0) * u0
        p0 = r.power_base + np.where(on, pull * u0, 0.0) / r.drive_efficiency + resist
        pu = np.where(on, pull, 0.0) / r.drive_efficiency + (
            r.resistance_constant + 2.0 * r.resistance_linear * u0 + 3.0 * r.resistance_quadratic * u0 * u0
        )
        pa = np.where(on, r.mass * u0, 0.0) / r.drive_efficiency
        ratio = max(self.ratio, 0.5)
        rows = ratio * pu[:, None] * reach[:, 3]
        rows[np.arange(n), 2 * np.arange(n)] += ratio * pa
        room = allowed[1:] - ratio * (p0 - pu * u0 - pa * a0) - ratio * pu * free[:, 3]
        m = 2 * n + 1
        # The last unknown is the overload that is paid for, in units of 100 W.
        big = np.zeros((m, m))
        big[: 2 * n, : 2 * n] = form
        big[-1, -1] = c.overload
        top = r.max_speed / max(keep, 0.5)
        constraint = np.zeros((4 * n + n + 1, m))
        constraint[: 2 * n, : 2 * n] = np.eye(2 * n)
        constraint[2 * n : 3 * n, : 2 * n] = reach[:, 3]
        constraint[3 * n : 4 * n, : 2 * n] = reach[:, 4]
        constraint[4 * n : 5 * n, : 2 * n] = rows / 100.0
        constraint[4 * n : 5 * n, -1] = -1.0
        constraint[-1, -1] = 1.0
        ends = np.tile([r.max_acceleration, r.max_yaw_acceleration], n)
        low = np.concatenate(
            (-ends, np.minimum(-free[:, 3], 0.0), -r.max_yaw_rate - free[:, 4], np.full(n, -np.inf), [0.0])
        )
        high = np.concatenate(
            (ends, np.maximum(top - free[:, 3], 0.0), r.max_yaw_rate - free[:, 4], room / 100.0, [np.inf])
        )
        found = self._run(big, np.append(linear, 0.1 * c.overload), constraint, low, high)
        self.last = found[: 2 * n]
        return self.last

    def _run(self, form: Floats, linear: Floats, rows: Floats, low: Floats, high: Floats) -> Floats:
        import osqp
        from scipy.sparse import csc_matrix

        # Every entry is kept, also those that are 0 now: the pattern must stay for the updates.
        if self.solver is None:
            p = csc_matrix(np.triu(np.ones_like(form)))
            p.data[:] = _upper(form)
            a = csc_matrix(np.ones_like(rows))
            a.data[:] = rows.T.ravel()
            self.solver = osqp.OSQP()
            self.solver.setup(
                p, linear, a, low, high, verbose=False, eps_abs=1e-4, eps_rel=1e-4, max_iter=500,
                adaptive_rho_interval=50, polishing=False,
            )  # fmt: skip
        else:
            self.solver.update(q=linear, l=low, u=high, Px=_upper(form), Ax=rows.T.ravel())
        found = self.solver.solve(raise_error=False).x
        if found is None or not np.isfinite(np.asarray(found, dtype=np.float64)).all():
            self.solver = None
            return np.zeros(len(linear))
        return np.asarray(found, dtype=np.float64)

    def _within(
        self,
        a: float,
        alpha: float,
        speed: float,
        turn_rate: float,
        pose: Floats,
        sine: float,
        allowed: float,
    ) -> tuple[float, float]:
        """The move cut down until the exact load of the next step is allowed."""
        r, dt, g = self.rover, self.dt, self.terrain.gravity
        a = min(max(a, -r.max_acceleration, -speed / dt), r.max_acceleration)
        alpha = min(max(alpha, -r.max_yaw_acceleration), r.max_yaw_acceleration)
        way = max(speed, 0.0) * (1.0 - self.slip) * dt
        x, y = pose[0] + way * math.cos(pose[2]), pose[1] + way * math.sin(pose[2])
        # A rover that knows its map knows how it will stand a step from now.
        ahead = -math.sin(stance(self.terrain, r, float(x), float(y), float(pose[2]))[1])
        steep = max(sine, ahead)
        ratio = max(self.ratio, 0.5)

        def drawn(move: float) -> float:
            spin = r.inertia * alpha * (turn_rate + alpha * dt)
            return ratio * load(r, g, max(speed + move * dt, speed if move > 0 else 0.0), move, steep, spin)

        if drawn(a) <= allowed:
            return a, alpha
        low, high = max(-r.max_acceleration, -speed / dt), a
        if drawn(low) > allowed:
            alpha = 0.0 if alpha * turn_rate > 0.0 else alpha
            return low, alpha
        for _ in range(20):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if drawn(middle) <= allowed else (low, middle)
        return low, alpha


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Drives the plan's speeds and turn rates and looks at nothing: what a tracker is compared with."""

    def start(self, terrain: Terrain, rover: RoverParams, surface: Surface, dt: float) -> OpenLoopTracker:
        return OpenLoopTracker(dt)


@dataclass(frozen=True, slots=True)
class OpenLoopTracker:
    """The open loop in one drive; it assumes no slip."""

    dt: float

    def command(
        self, trajectory: Trajectory, time: float, pose: Floats, wheel_speed: float, turn_rate: float,
        pitch: float, drawn: float, supply: float, speed: float,
    ) -> tuple[float, float]:  # fmt: skip
        """Accelerations that reach the plan's next speed and turn rate."""
        ahead = trajectory.at(time + self.dt)
        return (float(ahead[SPEED]) - wheel_speed) / self.dt, (float(ahead[YAW_RATE]) - turn_rate) / self.dt


def _upper(form: Floats) -> Floats:
    """The upper triangle column by column, as a compressed-column matrix holds it."""
    return np.concatenate([form[: k + 1, k] for k in range(len(form))])
