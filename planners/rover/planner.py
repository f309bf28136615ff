"""The rover planner: a way over the terrain, made smooth and kept within power, energy and slope."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import ScenarioError
from drive.geometry import wrap_angle
from drive.planner import Control, ControlKind, Plan, PlannerSpec, PlanStatus
from drive.planners.rover.config import RoverConfig
from drive.planners.rover.course import Course
from drive.planners.rover.front import ROOM, Field, guess, search
from drive.planners.rover.ground import Ground
from drive.planners.rover.kernels import cost as k
from drive.planners.rover.kernels import power as p
from drive.planners.rover.optimise import STORES, LateError, Problem, optimise
from drive.sim.rover_tracker import RoverMPC
from drive.terrain import Terrain
from drive.trajectory import Trajectory
from drive.vehicle import ACCELERATION, HEADING, PITCH, SPEED, STATE_SIZE, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

NEAR = 1.5
"""Metres from the goal within which nothing is planned any more: the rover stops."""
ALIGN = math.radians(60.0)
"""A rover that stands turns on the spot first if the way begins further to the side than this."""
TURN_SHARE = 0.6
"""Share of the greatest turn rate at which it does."""
GEOMETRY = ("turn rate", "speed limit", "slope limit")
"""What a motion may break a little and still be driven, with the status that says so."""
BENT = 0.1
"""Share by which it may: slopes then stay within the rover's own limit, of which a motion uses 0.9."""
HELD = {"power limit": 0.03, "supply": 0.03}
"""The same for limits that the tracker keeps."""
TRIES = ((ROOM, 1.0, 1.0), (0.75, 1.0, 1.0), (ROOM, 3.0, 1.3))
"""What is tried one after the other where a motion breaks GEOMETRY by more: the share of the slope that the
way may use, how much its corners are rounded off, and how much longer it may take. A kink or a narrow pass is
rarely left by going on from where the search got stuck."""
PAUSE = 5.0
"""Seconds after a failure before it is tried again."""


class Rover:
    """Energy- and power-constrained motion over a height field, replanned when the rover strays from it."""

    config_type = RoverConfig
    name = "rover"

    def __init__(self, config: RoverConfig | None = None) -> None:
        self.config = config or type(self).config_type()
        c = self.config
        self.spec = PlannerSpec(type(self).name, horizon=c.horizon, dt=c.dt, rate=c.rate, needs=("terrain",))

    def start(self, task: Task) -> RoverSession:
        if not isinstance(task.environment, Terrain) or task.rover is None:
            raise ScenarioError("rover drives on terrain, and this scene has a road map")
        return RoverSession(self.config, task, task.environment, task.rover)


class RoverSession:
    """One rover on one terrain. The field of ways is found once; the motion is kept as long as it holds."""

    def __init__(self, config: RoverConfig, task: Task, terrain: Terrain, rover: RoverParams) -> None:
        self.config, self.task, self.terrain, self.rover = config, task, terrain, rover
        self.ground = Ground.of(terrain, rover.wheelbase)
        position = task.route.goal.position
        self.goal = None if position is None else np.asarray(position, dtype=np.float64)[:2]
        self.fields: dict[float, Field] = {}
        self.course: Course | None = None
        self.failed: tuple[float, PlanStatus, str] | None = None
        self.tracker = None
        if config.track == "hold":
            hold = config.power != "off" and not config.slope_only
            self.tracker = RoverMPC(hold=hold).start(terrain, rover, self.ground.surface, task.dt)

    def plan(self, observation: Observation) -> Plan:
        """The plan from now on; where none can be had, a stop, with what stands against it as the reason."""
        plan = self._plan(observation)
        return plan if self.tracker is None else replace(plan, control=self._control(plan, observation))

    def _control(self, plan: Plan, observation: Observation) -> Control:
        """Speed of the wheels and turn rate at the end of the next step, as the tracker has them."""
        assert self.tracker is not None
        ego, extras, dt = observation.ego, observation.extras, self.task.dt
        speed, turn = (
            float(extras.get("wheel_speed", ego[SPEED])),
            float(extras.get("turn_rate", ego[YAW_RATE])),
        )
        pitch = float(ego[PITCH]) if len(ego) > PITCH else 0.0
        a, alpha = self.tracker.command(
            plan.trajectory, observation.time, ego[:3], speed, turn, pitch,
            float(extras.get("power", 0.0)), float(extras.get("supply", self.rover.generator_power)),
            float(ego[SPEED]),
        )  # fmt: skip
        return Control(ControlKind.SPEED_YAW_RATE, np.array([[speed + a * dt, turn + alpha * dt]]), dt)

    def _plan(self, observation: Observation) -> Plan:
        deadline = None
        if observation.time_budget is not None:
            deadline = time.perf_counter() + 0.8 * observation.time_budget
        ego, now = observation.ego, observation.time
        if self.goal is not None and float(np.hypot(*(self.goal - ego[:2]))) < NEAR and self.course is None:
            return self._stop(observation, PlanStatus.OK, "at the goal")
        if self.course is not None and self._holds(observation):
            return self._follow(observation, PlanStatus.OK)
        if self.failed is not None and now - self.failed[0] < PAUSE:
            return self._stop(observation, *self.failed[1:])
        try:
            status, reason = self._replan(observation, deadline)
        except LateError:
            if self.course is not None:
                return self._follow(observation, PlanStatus.TIMEOUT, "no time left to plan anew")
            return self._stop(observation, PlanStatus.TIMEOUT, "no time left to plan")
        if status in (PlanStatus.OK, PlanStatus.DEGRADED):
            self.failed = None
            return self._follow(observation, status, reason)
        self.course, self.failed = None, (now, status, reason)
        return self._stop(observation, status, reason)

    def _holds(self, observation: Observation) -> bool:
        """Whether the rover is where the motion has it; a rover that lags gets the motion later."""
        assert self.course is not None
        course, ego, now = self.course, observation.ego, observation.time
        m = course.motion
        end = course.begin + m.duration
        if now >= end:
            at = course.states(np.array([end]))[0]
            return float(np.hypot(*(at[:2] - ego[:2]))) < self.config.keep
        around = now + np.arange(-4.0, 4.01, 0.1)
        states = course.states(np.clip(around, course.turn_start, end))
        gap = np.hypot(states[:, 0] - ego[0], states[:, 1] - ego[1])
        if now < course.begin:
            return float(gap.min()) < self.config.keep
        best = int(np.argmin(gap))
        if float(gap[best]) > 0.5 * self.config.keep:
            return False
        late = now - float(around[best])
        speed = max(float(states[best, SPEED]), self.config.creep)
        if abs(late) * speed < 0.25 * self.config.keep:
            return True
        # The same way at another time: it may be dark there by then, so the limits are looked at again.
        moved = m.problem.par.copy()
        moved[p.START] += late
        shifted = replace(m, problem=replace(m.problem, par=moved))
        table = shifted.table(np.linspace(0.0, 1.0, 40 * m.pieces))
        ahead = np.linspace(0.0, 1.0, 40 * m.pieces) >= (now - late - course.begin) / m.duration
        par = m.problem.par
        over = np.maximum(
            table[:, k.LOAD] / par[p.LIMIT],
            (table[:, k.LOAD] - table[:, k.GIVEN]) / par[p.SUPPLY],
        )
        if float(over[ahead].max(initial=0.0)) > 1.0 + m.problem.tolerance:
            return False
        self.course = replace(
            course, motion=shifted, begin=course.begin + late, turn_start=course.turn_start + late
        )
        return True

    def _replan(self, observation: Observation, deadline: float | None) -> tuple[PlanStatus, str]:
        ego, goal = observation.ego, self.goal
        if goal is None:
            return PlanStatus.INFEASIBLE, "no goal is given"
        width, depth = self.terrain.extent
        if not (np.isfinite(goal).all() and 0.0 <= goal[0] <= width and 0.0 <= goal[1] <= depth):
            return PlanStatus.INFEASIBLE, "the goal lies outside of the terrain"
        if not self._field(ROOM, goal).reaches(ego[:2]):
            why = self._field(ROOM, goal).why
            return PlanStatus.INFEASIBLE, f"no way leads to the goal: {why} ({self._figure(why)})"
        best: Course | None = None
        for room, round_off, stretch in TRIES:
            field = self._field(room, goal)
            if not field.reaches(ego[:2]):
                continue
            found = self._attempt(observation, field, goal, round_off, stretch, deadline)
            best = found if best is None else min(best, found, key=_badness)
            m = best.motion
            if m.binding not in (*GEOMETRY, *STORES) or max(m.excess[name] for name in GEOMETRY) < BENT:
                break
        assert best is not None
        self.course, motion = best, best.motion
        if motion.ok:
            return PlanStatus.OK, f"bound by the {motion.binding}" if motion.binding else ""
        over = motion.excess[motion.binding]
        text = f"{motion.binding} exceeded by {100.0 * over:.1f} % ({self._figure(motion.binding)})"
        # The tracker holds a load that is planned a little too high; a budget nobody holds afterwards.
        if over < (BENT if motion.binding in GEOMETRY else HELD.get(motion.binding, 0.0)):
            return PlanStatus.DEGRADED, text
        return PlanStatus.INFEASIBLE, text

    def _field(self, room: float, goal: Floats) -> Field:
        if room not in self.fields:
            self.fields[room] = search(self.terrain, self.ground, self.rover, goal, self.config, room)
        return self.fields[room]

    def _attempt(
        self,
        observation: Observation,
        field: Field,
        goal: Floats,
        round_off: float,
        stretch: float,
        deadline: float | None,
    ) -> Course:
        """The motion along a field's way, its corners rounded off and its time stretched by so much."""
        ego, now, c = observation.ego, observation.time, self.config
        points, togo = field.way(ego[:2].copy(), goal)
        length = float(np.hypot(*np.diff(points, axis=0).T).sum())
        pieces = int(np.clip(math.ceil(length / c.piece_length), 6, c.max_pieces))
        waypoints = guess(points, togo, pieces, round_off)
        away = math.atan2(*(waypoints[0] - ego[:2])[::-1])
        heading, speed = float(ego[HEADING]), max(float(ego[SPEED]), c.creep)
        turn = float(wrap_angle(away - heading))
        begin, first = now, heading
        if abs(turn) > ALIGN and ego[SPEED] < 2.0 * c.creep:
            begin += abs(turn) / (TURN_SHARE * self.rover.max_yaw_rate)
            first, speed = away, c.creep
        ahead = np.array([math.cos(first), math.sin(first)])
        arrive = goal - waypoints[-1]
        arrive = arrive / max(float(np.hypot(*arrive)), 1e-9)
        still = np.zeros(2)
        # Who stands on ground that is too steep must be able to leave it.
        here = float(np.hypot(*self.ground.surface.at(ego[:2])[0, 1:3]))
        charge = float(observation.extras.get("battery", self.rover.battery_start))
        used = float(observation.extras.get("energy_used", 0.0))
        problem = Problem.of(
            np.stack((ego[:2], speed * ahead, still)), np.stack((goal, c.creep * arrive, still)),
            self.ground, self.rover, c, begin, charge, used,
        )  # fmt: skip
        problem.par[p.MAX_TILT] = max(float(problem.par[p.MAX_TILT]), 1.05 * here)
        span = stretch * 1.1 * max(float(togo[0]), 1.0)
        return Course(optimise(problem, waypoints, span, c, deadline), begin, heading, now)

    def _figure(self, name: str) -> str:
        r = self.rover
        return {
            "power limit": f"{r.power_limit:g} W",
            "supply": f"{r.generator_power + r.battery_power_max:g} W and the sun",
            "speed limit": f"{r.max_speed:g} m/s",
            "turn rate": f"{r.max_yaw_rate:g} rad/s",
            "slope limit": f"{math.degrees(self.config.slope_share * r.max_slope):.0f} deg",
            "battery": f"{r.battery_min:g} J",
            "energy budget": "none" if r.energy_budget is None else f"{r.energy_budget:g} J",
        }.get(name, name)

    def _follow(self, observation: Observation, status: PlanStatus, reason: str = "") -> Plan:
        assert self.course is not None
        course, c = self.course, self.config
        times = observation.time + c.dt * np.arange(round(c.horizon / c.dt) + 1)
        # It begins at the rover's place on the motion: a tracker corrects only what it is shown.
        states = course.states(np.asarray(times, dtype=np.float64))
        m = course.motion
        now = float(np.clip((observation.time - course.begin) / m.duration, 0.0, 1.0))
        row = m.table(np.array([now]))[0]
        return Plan(
            Trajectory(np.asarray(times, dtype=np.float64), states),
            status=status,
            reason=reason or (f"bound by the {m.binding}" if m.binding else ""),
            figures={
                "planned_power": float(row[k.LOAD]),
                "planned_peak": m.peak,
                "planned_energy": m.energy,
                "arrival": course.begin + m.duration,
            },
        )

    def _stop(self, observation: Observation, status: PlanStatus, reason: str) -> Plan:
        """Brake on the way straight ahead and stand."""
        c, ego = self.config, observation.ego
        t = c.dt * np.arange(round(c.horizon / c.dt) + 1)
        brake, v = self.rover.max_acceleration, float(ego[SPEED])
        stop = abs(v) / brake
        gone = np.minimum(t, stop)
        states = np.zeros((len(t), STATE_SIZE))
        states[:, SPEED] = np.sign(v) * np.maximum(abs(v) - brake * t, 0.0)
        states[:, ACCELERATION] = np.where(t < stop, -np.sign(v) * brake, 0.0)
        along = np.sign(v) * (abs(v) * gone - 0.5 * brake * gone * gone)
        states[:, 0] = ego[0] + along * math.cos(ego[HEADING])
        states[:, 1] = ego[1] + along * math.sin(ego[HEADING])
        states[:, HEADING] = ego[HEADING]
        states[0] = ego[:STATE_SIZE]
        return Plan(
            Trajectory(np.asarray(observation.time + t, dtype=np.float64), states),
            status=status,
            reason=reason,
        )


def _badness(course: Course) -> tuple[bool, float]:
    return not course.motion.ok, max(course.motion.excess.values())
