"""Linear time-varying MPC on the route: one quadratic programme for speed and steering at every call.

What most engineers would write first, as a fair comparison: a kinematic bicycle in the route's frame,
linearised about the last plan; who is followed, passed or waited for is decided before (`corridor`), the
programme (`problem`) finds the motion. It does not change lanes but where the route does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.planner import PlannerSpec, PlanStatus
from drive.planners.mpc.corridor import bound
from drive.planners.mpc.problem import TH, A, Bounds, C, D, Guess, Problem, S, V, Weights
from drive.planners.road.guide import Guide, GuideSettings, RoadScene
from drive.planners.road.kernels.boxes import first_overlap
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels import line as columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation, Plan
    from drive.scenario import Task

    Floats = NDArray[np.float64]

LOOK = 41
"""Samples for which others are forecast; gaps at give-way lines need more than the horizon."""


@dataclass(frozen=True, slots=True)
class MPCConfig:
    """Times in s, distances in m, accelerations in m/s^2.

    `steps` of `dt` are the horizon; at most `iterations` of OSQP; `pace` is the share of the speed limit
    that is aimed for; a plan that meets somebody sooner than `emergency_time` is given up for braking; plans
    carry their `control`; without it a tracker drives them, and a plan begins on the last one if the ego is
    within `stitch` m of it.
    """

    steps: int = 30
    dt: float = 0.2
    iterations: int = 200
    headway: float = 1.0
    min_gap: float = 2.0
    side_gap: float = 0.35
    person_gap: float = 0.8
    edge_gap: float = 0.1
    pace: float = 0.98
    acceleration: float = 2.0
    braking: float = 6.0
    jerk: float = 15.0
    emergency_time: float = 1.0
    stitch: float = 0.4
    control: bool = True
    weights: Weights = field(default_factory=Weights)
    road: GuideSettings = field(default_factory=GuideSettings)

    def __post_init__(self) -> None:
        if not 5 <= self.steps < LOOK:
            raise InputError(f"mpc's steps must lie between 5 and {LOOK - 1}, got {self.steps}")
        for name in ("dt", "headway", "acceleration", "braking", "jerk", "pace"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"mpc's {name} must be positive, got {getattr(self, name)}")
        for name in ("min_gap", "side_gap", "person_gap", "edge_gap", "emergency_time", "stitch"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"mpc's {name} must be 0 or more, got {getattr(self, name)}")
        if self.iterations < 10:
            raise InputError(f"mpc's iterations must be at least 10, got {self.iterations}")


class MPC:
    """Linear time-varying MPC with OSQP."""

    config_type = MPCConfig

    def __init__(self, config: MPCConfig | None = None) -> None:
        self.config = config or MPCConfig()
        self.spec = PlannerSpec("mpc", horizon=self.config.steps * self.config.dt, needs=("road", "route"))

    def start(self, task: Task) -> MPCSession:
        return MPCSession(self.config, task)


class MPCSession:
    """One ego in one run."""

    def __init__(self, config: MPCConfig, task: Task) -> None:
        c, vehicle = config, task.vehicle
        self.config, self.task = config, task
        self.guide = Guide(task, c.dt * np.arange(LOOK), c.road)
        # A bend of the path and its change at the speeds of a town; the wheels bound it at lower ones.
        bounds = Bounds(
            -c.braking, c.acceleration, c.jerk, math.tan(vehicle.max_steering) / vehicle.wheelbase, 0.4
        )
        self.problem = Problem(c.steps, c.dt, c.headway, c.weights, bounds, c.iterations)
        self.last: Floats | None = None
        self.last_time = -math.inf
        self.last_frame: object = None

    def plan(self, observation: Observation) -> Plan:
        vehicle, c = self.task.vehicle, self.config
        scene = self.guide.look(observation)
        if scene is None:
            self.last = None
            return braking_plan(observation, vehicle, "no lane to follow", PlanStatus.INFEASIBLE)
        begin = self._begin(scene, observation)
        states, good = self._solve(scene, begin, observation.time)
        if not good:
            self.last = None
            return braking_plan(observation, vehicle, "the quadratic programme found no motion")
        self.last, self.last_time, self.last_frame = states, observation.time, scene.frame
        frenet = _frenet(scene, states)
        plan = plan_on_frame(
            scene.frame, _finer(frenet, c.dt), 0.5 * c.dt, observation, vehicle, controlled=c.control
        )
        return self._checked(plan, scene, observation)

    def _begin(self, scene: RoadScene, observation: Observation) -> Floats:
        """The state (6,) from which the programme starts.

        Where the ego is near the last plan it is the plan's: the tracker corrects only what it is shown.
        """
        ego, state = observation.ego, scene.state
        heading = float(scene.frame.at(float(state[0]), columns.HEADING))
        turn = math.remainder(float(ego[2]) - heading, 2.0 * math.pi)
        bend = math.tan(float(ego[5])) / self.task.vehicle.wheelbase
        c = self.config
        here = np.array(
            [
                state[0],
                max(float(ego[3]), 0.0),
                min(max(float(ego[4]), -c.braking), c.acceleration),
                state[3],
                min(max(turn, -0.8), 0.8),
                bend,
            ]
        )
        late = observation.time - self.last_time
        if not c.control and self.last is not None and late <= c.dt and self.last_frame is scene.frame:
            meant = np.array([np.interp(late, (0.0, c.dt), self.last[:2, what]) for what in range(6)])
            off = np.abs(meant - here)
            if off[D] < c.stitch and off[TH] < 0.2 and off[V] < 1.0:
                here[[D, TH, C, V, A]] = meant[[D, TH, C, V, A]]
        return here

    def _solve(self, scene: RoadScene, begin: Floats, time: float) -> tuple[Floats, bool]:
        rounds = 1
        station, speed, offset = self._shifted(scene, time)
        if station is None or speed is None or offset is None:
            station, speed, offset = self._first_guess(scene, begin)
            rounds = 3
        good = False
        states = np.zeros((len(station), 6))
        for _ in range(rounds):
            guess = Guess(station, speed, offset, scene.frame.at(station, columns.CURVATURE))
            corridor = bound(scene, guess, self.task.vehicle, self.config)
            states, _, good = self.problem.solve(begin, guess, corridor)
            if not good:
                break
            station, speed, offset = states[:, S], np.maximum(states[:, V], 0.0), states[:, D]
        return states, good

    def _shifted(
        self, scene: RoadScene, time: float
    ) -> tuple[Floats, Floats, Floats] | tuple[None, None, None]:
        """The last plan, seen from now: stations, speeds, offsets; nothing where there is none."""
        c, late = self.config, time - self.last_time
        if self.last is None or late > 1.0 or self.last_frame is not scene.frame:
            return None, None, None
        t = c.dt * np.arange(c.steps + 1)
        s, v, d = (np.interp(t + late, t, self.last[:, what]) for what in (S, V, D))
        over = np.maximum(t + late - t[-1], 0.0)
        return s + v * over, np.maximum(v, 0.0), d

    def _first_guess(self, scene: RoadScene, begin: Floats) -> tuple[Floats, Floats, Floats]:
        c = self.config
        t = c.dt * np.arange(c.steps + 1)
        target = float(scene.frame.at(float(begin[S]), columns.LIMIT))
        speed = begin[V] + np.clip(target - begin[V], -1.5 * t, 1.0 * t)
        station = begin[S] + np.concatenate(([0.0], np.cumsum(0.5 * c.dt * (speed[1:] + speed[:-1]))))
        station = np.minimum(station, max(scene.hold.station, begin[S]))
        return station, speed, begin[D] * np.exp(-t / 2.0)

    def _checked(self, plan: Plan, scene: RoadScene, observation: Observation) -> Plan:
        """The plan, or braking where it meets somebody too soon."""
        vehicle, others = self.task.vehicle, scene.others
        states, whose = plan.trajectory.states[::2], np.zeros(1)
        met = first_overlap(
            np.ascontiguousarray(states), vehicle.rear_axle_to_center, 0.5 * vehicle.length,
            0.5 * vehicle.width, others.poses, others.size, 0.0, others.existence < 0.3, whose,
        )  # fmt: skip
        if 0 < met * self.config.dt <= self.config.emergency_time:
            who = int(others.id[int(whose[0])])
            return braking_plan(observation, vehicle, f"it would meet road user {who}")
        return plan


def _frenet(scene: RoadScene, states: Floats) -> Floats:
    """Frenet states `(T, 6)` in time of the programme's states `(T, 6)`."""
    v, a, th, bend = np.maximum(states[:, V], 0.0), states[:, A], states[:, TH], states[:, C]
    own = scene.frame.at(states[:, S], columns.CURVATURE)
    stretch = 1.0 / np.maximum(1.0 - own * states[:, D], 0.2)
    turn = v * bend - own * stretch * v
    return np.stack(
        (
            states[:, S],
            v * np.cos(th) * stretch,
            a * stretch,
            states[:, D],
            v * np.sin(th),
            a * th + v * turn,
        ),
        axis=-1,
    )


def _finer(frenet: Floats, dt: float) -> Floats:
    """The same motion at half the step: quintics through positions and their first two derivatives."""
    out = np.empty((2 * len(frenet) - 1, 6))
    out[::2] = frenet
    for p in (0, 3):
        x0, x1 = frenet[:-1, p : p + 3], frenet[1:, p : p + 3]
        out[1::2, p] = (
            0.5 * (x0[:, 0] + x1[:, 0])
            + 5.0 / 32.0 * dt * (x0[:, 1] - x1[:, 1])
            + dt * dt / 64.0 * (x0[:, 2] + x1[:, 2])
        )
        out[1::2, p + 1] = (
            15.0 / 8.0 * (x1[:, 0] - x0[:, 0]) / dt
            - 7.0 / 16.0 * (x0[:, 1] + x1[:, 1])
            + dt / 32.0 * (x1[:, 2] - x0[:, 2])
        )
        out[1::2, p + 2] = 1.5 * (x1[:, 1] - x0[:, 1]) / dt - 0.25 * (x0[:, 2] + x1[:, 2])
    return out
