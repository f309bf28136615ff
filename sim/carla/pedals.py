"""From a plan to CARLA's throttle, brake and steering.

The tracker of the toolkit's own closed loop (`drive.sim.trackers`) says the acceleration and turns the
wheels, for plans are made for it: many jump at once to a line beside the ego, or to another speed, and leave
it to the tracker to get there gently. Where a plan brakes hard it is followed at once.

The acceleration goes through the published table of what a throttle does (`drive.sim.carla.world.pedals`) and
a slowly learnt rest (slope, mass, another car); the wheel angle through the turning of the published fit,
scaled by the vehicle's own wheelbase, largest angle and steering curve, and by what it was seen to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Control, ControlKind
from drive.sim.carla.world.pedals import coasting, throttle_table
from drive.sim.trackers import LQRTracker
from drive.vehicle import ACCELERATION, SPEED, STEERING, YAW_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Plan
    from drive.sim.carla.eyes import Figures

    Floats = NDArray[np.float64]

TURN, GAIN, FIT_WHEELBASE = 1.0 / (1.4178275 - 0.090769015), 0.36848336, 2.85
"""World on Rails' fit of its Lincoln: curvature = TURN tan(GAIN steer) at about 20 km/h."""
FIT_SPEED = 20.0 / 3.6
FIT_ANGLE = math.radians(70.0)
BRAKES = 7.4
"""m/s^2 of the full brake (see drive.sim.carla.kernels.move)."""
PREVIEW, HARD_BRAKING = 0.4, 4.0
"""Seconds ahead at which the speed of a plan that brakes harder than this (m/s^2) is aimed for: what the
brake takes to answer."""
HARD, FAST = 7.4, 4.0
STILL, CREEP = 0.3, 0.15
FIRST, LONGEST = 0.05, 0.2
"""Seconds of the first step, and of the longest one."""
HOLD, STAND, TOUCH = 1.0, 0.6, 0.12
"""m/s below which a plan that stands is braked for, and the brake at a standstill and at that speed."""
LEARNT_FROM = 2.0
LEARN_ALONG, LEARN_ACROSS = 0.03, 0.02
MOST_REST, LEAST_SHARE, MOST_SHARE = 1.5, 0.6, 1.6
_THROTTLES = np.linspace(0.0, 1.0, 21)


@dataclass(frozen=True, slots=True)
class Pedals:
    """Throttle and brake 0 to 1, steering -1 to 1 (positive to the right, as CARLA has it)."""

    throttle: float
    steer: float
    brake: float


class Foot:
    """Follows plans with one vehicle; it remembers what the vehicle was seen to do."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        angle = math.tan(min(figures.max_steer, math.radians(80.0))) / math.tan(FIT_ANGLE)
        self.turn = TURN * FIT_WHEELBASE / figures.params.wheelbase * angle
        self.rest = 0.0
        self.share = 1.0
        self.angle = 0.0
        self._tracker = LQRTracker()
        self._last: float | None = None
        self._asked: tuple[float, float] | None = None
        self._steer = 0.0

    def follow(self, plan: Plan, now: float, state: Floats) -> Pedals:
        """What to press at `now` s with the rear-axle state `(7,)`; called every step."""
        if plan.control is not None and plan.control.kind is ControlKind.PEDALS:
            return _given(plan.control, now - float(plan.trajectory.times[0]))
        self._learn(state)
        times, rows = plan.trajectory.times, plan.trajectory.states
        speed = float(state[SPEED])
        wanted = self._track(plan, now, state)
        if plan.control is not None and plan.control.kind is ControlKind.ACCELERATION_STEERING:
            k = int((now - float(times[0])) / plan.control.dt + 1e-6)
            wanted = float(plan.control.values[min(k, len(plan.control.values) - 1)][0])
        ahead = float(np.interp(now + 1.0, times, rows[:, SPEED]))
        stays = max(float(np.interp(now + PREVIEW, times, rows[:, SPEED])), ahead) < STILL
        curvature = math.tan(self.angle) / self.figures.params.wheelbase
        steer = self._steering(curvature, speed) if abs(speed) > CREEP or not stays else self._steer
        self._steer = steer
        if stays and speed < HOLD:
            self._asked = None
            return Pedals(0.0, steer, STAND - (STAND - TOUCH) * max(speed, 0.0) / HOLD)
        self._asked = (wanted, curvature)
        # Slowly the rest does not hold: what was learnt at speed would let the car creep over a stop line.
        throttle, brake = self._pedals(wanted - self.rest * min(abs(speed) / LEARNT_FROM, 1.0), speed)
        return Pedals(throttle, steer, brake)

    def _pedals(self, wanted: float, speed: float) -> tuple[float, float]:
        along = max(speed, 0.0)
        coast = float(coasting(along))
        if wanted < coast - 0.2:
            return 0.0, min((coast - wanted) / BRAKES, 1.0)
        table = throttle_table()
        column = min(along / 0.5, table.shape[1] - 1.001)
        j = int(column)
        pulls = table[:, j] + (column - j) * (table[:, j + 1] - table[:, j])
        if wanted <= pulls[0]:
            return 0.0, 0.0
        return float(np.interp(wanted, pulls, _THROTTLES)), 0.0

    def _track(self, plan: Plan, now: float, state: Floats) -> float:
        """The tracker's acceleration in m/s^2; its steering rate turns the wheel angle that is asked for.
        What the state has is no angle of the wheels but that of the curve which is driven."""
        row = state.copy()
        row[STEERING] = self.angle
        wanted, rate = self._tracker.track(plan.trajectory, now, row, self.figures.params)
        elapsed = FIRST if self._last is None else min(max(now - self._last, 0.0), LONGEST)
        self._last = now
        most = self.figures.params.max_steering
        self.angle = min(max(self.angle + rate * elapsed, -most), most)
        trajectory = plan.trajectory
        target = float(np.interp(now + PREVIEW, trajectory.times, trajectory.states[:, SPEED]))
        braking = (target - float(state[SPEED])) / PREVIEW
        if braking < -HARD_BRAKING:
            wanted = min(wanted, braking)
        return min(max(wanted, -HARD), FAST)

    def _steering(self, curvature: float, speed: float) -> float:
        full = self.turn * self.share * self._curve(speed)
        return min(max(-math.atan(curvature / full) / GAIN, -1.0), 1.0)

    def _curve(self, speed: float) -> float:
        """The vehicle's steering curve, as a share of its value where the fit was made."""
        curve = self.figures.steer_curve
        at, fit = np.interp((abs(speed), FIT_SPEED), curve[:, 0], curve[:, 1])
        return max(float(at) / max(float(fit), 0.1), 0.1)

    def _learn(self, state: Floats) -> None:
        """Compare what was asked for with what came; slowly, so that no bump or contact upsets it."""
        if self._asked is None:
            return
        wanted, curvature = self._asked
        speed = float(state[SPEED])
        if speed > LEARNT_FROM and abs(wanted) < 3.0:
            off = float(state[ACCELERATION]) - wanted
            self.rest += LEARN_ALONG * min(max(off, -1.0), 1.0)
            self.rest = min(max(self.rest, -MOST_REST), MOST_REST)
        if speed > LEARNT_FROM and abs(curvature) > 0.02:
            came = float(state[YAW_RATE]) / speed / curvature
            if 0.3 < came < 3.0:
                self.share *= 1.0 + LEARN_ACROSS * min(max(came - 1.0, -0.5), 0.5)
                self.share = min(max(self.share, LEAST_SHARE), MOST_SHARE)


def _given(control: Control, elapsed: float) -> Pedals:
    row = min(max(int(elapsed / control.dt + 1e-6), 0), len(control.values) - 1)
    throttle, steering, brake = (float(v) for v in control.values[row])
    # Our steering is positive to the left.
    return Pedals(min(max(throttle, 0.0), 1.0), min(max(-steering, -1.0), 1.0), min(max(brake, 0.0), 1.0))
