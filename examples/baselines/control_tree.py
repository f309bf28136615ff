"""A control tree in the manner of Phiquepal and Toussaint (ICRA 2021): several beliefs about the others, one
quadratic programme. Branches share their first second of jerk, each keeps clear of those whom it believes to
be in the lane, and costs are weighted by the beliefs. It plans along the lane; lanes are not changed.
`drive bench --planner examples/baselines/control_tree.py:ControlTree`"""

import math
from dataclasses import dataclass

import numpy as np
import osqp
import scipy.sparse as sp

from drive.errors import InputError
from drive.planner import PlannerSpec, PlanStatus
from drive.planners.road.guide import Guide
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels.line import LIMIT

DT, STEPS, SHARED = 0.1, 40, 10
TIMES = DT * np.arange(STEPS + 1)
SURE, DENIED = 0.95, 0.05


@dataclass(frozen=True)
class ControlTreeConfig:
    """At most so many `branches`; offsets of others are known to `spread` m; `gap` m and `headway` s are kept
    from them; accelerations in m/s^2; weights of squares."""

    branches: int = 3
    spread: float = 0.5
    gap: float = 3.0
    headway: float = 1.0
    speed_up: float = 2.0
    brake: float = 6.0
    w_speed: float = 1.0
    w_acceleration: float = 0.5
    w_jerk: float = 0.5
    w_slack: float = 100.0

    def __post_init__(self):
        if self.branches < 1 or min(self.spread, self.speed_up, self.brake, self.w_speed) <= 0.0:
            raise InputError("control_tree needs a branch, and a positive spread, limits and w_speed")


class ControlTree:
    config_type = ControlTreeConfig

    def __init__(self, config=None):
        self.config = config or ControlTreeConfig()
        self.spec = PlannerSpec("control_tree", horizon=DT * STEPS, dt=DT, needs=("road", "route"))

    def start(self, task):
        return ControlTreeSession(self.config, task, Guide(task, np.concatenate((TIMES, [5.0, 6.0]))))


class ControlTreeSession:
    def __init__(self, config, task, guide):
        self.config, self.task, self.guide = config, task, guide
        # Acceleration, speed and way of unit jerks, each held for a step.
        late = np.arange(STEPS)[:, None] - np.arange(STEPS)[None]
        held = np.where(late >= 0, 1.0, 0.0)
        since = DT * np.maximum(late, 0)
        self.to_a = DT * held
        self.to_v = held * (0.5 * DT**2 + DT * since)
        self.to_s = held * (DT**3 / 6.0 + 0.5 * DT**2 * since + 0.5 * DT * since**2)

    def plan(self, observation):
        scene, vehicle = self.guide.look(observation), self.task.vehicle
        if scene is None:
            return braking_plan(observation, vehicle, "no lane to follow")
        limits, weights = self._beliefs(scene)
        jerk = self._solve(scene, limits, weights)
        if jerk is None:
            return braking_plan(observation, vehicle, "the tree has no solution", PlanStatus.DEGRADED)
        s0, v0, a0 = scene.state[:3]
        motion = np.zeros((STEPS + 1, 6))
        motion[0, :3] = s0, max(v0, 0.0), a0
        t = TIMES[1:]
        motion[1:, 0] = s0 + v0 * t + 0.5 * a0 * t**2 + self.to_s @ jerk
        motion[1:, 1] = np.maximum(v0 + a0 * t + self.to_v @ jerk, 0.0)
        motion[1:, 2] = a0 + self.to_a @ jerk
        motion[:, 0] = np.maximum.accumulate(motion[:, 0])
        motion[:, 3:] = _back_to_the_line(scene.state[3:])
        return plan_on_frame(
            scene.frame, motion, DT, observation, vehicle, figures={"branches": float(len(weights))}
        )

    def _beliefs(self, scene):
        """How far the front may come in each belief `(Z, STEPS)`, and the beliefs' weights `(Z,)`."""
        c, vehicle, others = self.config, self.task.vehicle, scene.others
        front = scene.state[0] + vehicle.rear_axle_to_center + 0.5 * vehicle.length
        most = np.full(STEPS, min(scene.hold.station, 1e5))
        doubtful = []
        for i in range(len(others)):
            rear = others.frenet[i, 1 : STEPS + 1, 0] - others.extent[i, 1 : STEPS + 1, 0] - c.gap
            if others.frenet[i, 0, 0] < front:
                continue
            # The nearest it comes to the lane's middle, against the room that both boxes need.
            aside = np.abs(others.frenet[i, : STEPS + 1, 1]) - others.extent[i, : STEPS + 1, 1]
            inside = 0.5 * (1.0 + math.erf((0.5 * vehicle.width - aside.min()) / (c.spread * math.sqrt(2.0))))
            belief = float(others.existence[i]) * inside
            if belief >= SURE:
                most = np.minimum(most, rear)
            elif belief > DENIED:
                doubtful.append((float(rear[0]), belief, rear))
        doubtful.sort(key=lambda one: one[0])
        limits, weights, rest = [], [], 1.0
        # The nearest doubtful one is there; it is not, but the next is; and so on; none of them is.
        for _, belief, rear in doubtful[: c.branches - 1]:
            limits.append(np.minimum(most, rear))
            weights.append(rest * belief)
            rest *= 1.0 - belief
        return np.array([*limits, most]), np.array([*weights, rest])

    def _solve(self, scene, limits, weights):
        """Jerk of the first branch, `(STEPS,)`: its first second is that of all."""
        c, vehicle, count = self.config, self.task.vehicle, len(weights)
        s0, v0, a0 = scene.state[:3]
        t = TIMES[1:]
        front = s0 + vehicle.rear_axle_to_center + 0.5 * vehicle.length + v0 * t + 0.5 * a0 * t**2
        v, a, own = v0 + a0 * t, np.full(STEPS, a0), STEPS - SHARED
        wanted = np.asarray(scene.frame.at(s0 + v0 * t, LIMIT))
        size = SHARED + count * own
        quadratic = np.zeros((size + count, size + count))
        linear = np.zeros(size + count)
        rows, low, high = [], [], []
        for z in range(count):
            pick = np.zeros((STEPS, size + count))
            pick[:SHARED, :SHARED] = np.eye(SHARED)
            pick[SHARED:, SHARED + z * own : SHARED + (z + 1) * own] = np.eye(own)
            to_s, to_v, to_a = self.to_s @ pick, self.to_v @ pick, self.to_a @ pick
            quadratic += weights[z] * (
                c.w_speed * to_v.T @ to_v + c.w_acceleration * to_a.T @ to_a + c.w_jerk * pick.T @ pick
            )
            linear += weights[z] * (c.w_speed * (v - wanted) @ to_v + c.w_acceleration * a @ to_a)
            # One slack a belief: how much nearer than the headway asks it comes.
            quadratic[size + z, size + z] = c.w_slack
            keep = to_s + c.headway * to_v
            keep[:, size + z] = -1.0
            rows += [keep, to_v, to_a]
            low += [np.full(STEPS, -np.inf), -v, -c.brake - a]
            high += [limits[z] - front - c.headway * v, np.full(STEPS, np.inf), c.speed_up - a]
        rows.append(np.eye(size + count)[size:])
        low.append(np.zeros(count))
        high.append(np.full(count, np.inf))
        solver = osqp.OSQP()
        solver.setup(
            sp.csc_matrix(np.triu(quadratic)), linear, sp.csc_matrix(np.concatenate(rows)),
            np.concatenate(low), np.concatenate(high),
            verbose=False, eps_abs=1e-4, eps_rel=1e-4, max_iter=4000,
        )  # fmt: skip
        found = solver.solve(raise_error=False)
        if found.x is None or not np.isfinite(found.x).all() or found.info.status_val not in (1, 2, 7):
            return None
        return found.x[: SHARED + own]


def _back_to_the_line(state):
    """Offsets, rates and accelerations `(STEPS + 1, 3)`: a quintic to the line's middle in the horizon."""
    d, rate, acceleration = state
    end = TIMES[-1]
    powers = np.array([[1, 1, 1], [3, 4, 5], [6, 12, 20]], dtype=float)
    left = -np.array(
        [
            d + rate * end + 0.5 * acceleration * end**2,
            (rate + acceleration * end) * end,
            acceleration * end**2,
        ]
    )
    c3, c4, c5 = np.linalg.solve(powers, left) / end ** np.array([3, 4, 5])
    p = np.polynomial.Polynomial([d, rate, 0.5 * acceleration, c3, c4, c5])
    return np.stack([p(TIMES), p.deriv(1)(TIMES), p.deriv(2)(TIMES)], axis=-1)
