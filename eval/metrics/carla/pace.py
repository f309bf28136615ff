"""The ego's pace: minimum speed at checkpoints of the route, standing too long, timeouts, yielding.

Source: scenario_runner `MinimumSpeedRouteTest`, `ActorBlockedTest`, `ScenarioTimeoutTest`,
`YieldToEmergencyVehicleTest`, `RouteTimeoutBehavior`; leaderboard-1.0 `route_scenario.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.carla.course import Course, Passage
    from drive.eval.metrics.nuplan.ego import Ego
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

EMERGENCY = "emergency:"
"""A scenario's tag `emergency:ID` names the road user that is the emergency vehicle."""


def traffic_speed(run: RunLog) -> Floats:
    """Mean speed `(N,)` of the motor vehicles that are there, NaN without any.

    CARLA means its background vehicles. A vehicle that never moves in the whole run is taken for parked and
    left out, as CARLA's parked cars are.
    """
    motor = np.asarray([k.is_motor_vehicle for k in AgentKind], dtype=np.bool_)[run.agent_kind]
    speed = np.where(run.agent_valid, np.hypot(run.agents[..., 3], run.agents[..., 4]), 0.0)
    moving = motor & (speed > c.STANDING_SPEED).any(axis=1)
    there = run.agent_valid & moving[:, None]
    count = there.sum(axis=0)
    total = (speed * there).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


def minimum_speed(
    course: Course, index: NDArray[np.intp], speed: Floats, traffic: Floats, checkpoints: int
) -> list[tuple[int, float]]:
    """Tick and per cent of the traffic's speed at each checkpoint of the route that was passed.

    `index`, `speed`, `traffic` per tick `(T,)`. A stretch without traffic, or with traffic that stands,
    counts 100. The end of the run closes the last stretch beyond 95 % of the route.
    """
    if checkpoints == 0 or course.last == 0:
        return []
    found: list[tuple[int, float]] = []
    step, reached = course.length / checkpoints, 0.0
    own = others = points = 0.0

    def share() -> float:
        return round(float(100.0 * own / others), c.PERCENT_DIGITS) if points and others else 100.0

    for t, at in enumerate(index.tolist()):
        station = float(course.station[at])
        if station - reached > step:
            found.append((t, share()))
            reached = station
            own = others = points = 0.0
        if np.isfinite(traffic[t]):
            own, others, points = own + speed[t], others + traffic[t], points + 1
    if len(index) and course.station[index[-1]] > 0.95 * course.length:
        found.append((len(index) - 1, share()))
    return found


def blocked(times: Floats, speed: Floats, longest: float) -> int:
    """Sample at which the ego has stood below 0.1 m/s for more than `longest` seconds, -1 for never."""
    since = times[0] if len(times) else 0.0
    for n, (now, v) in enumerate(zip(times.tolist(), speed.tolist(), strict=True)):
        if v >= c.BLOCKED_SPEED:
            since = now
        elif now - since > longest:
            return n
    return -1


def route_timeout(course: Course, passage: Passage, limit: Floats, first_rules: bool) -> int:
    """Tick at which a route with an end of its own has taken too long, -1 for never.

    1.0 gives 5 s and 0.8 s a metre; since then it is 300 s, and for each stretch as much as it takes at a
    tenth of the speed `limit (N,)`, per sample, NaN unknown: then no time is taken away.
    """
    if not course.goal:
        return -1
    elapsed = passage.times - passage.times[0]
    if first_rules:
        given = np.full(len(elapsed), float(int(c.TIMEOUT_PER_METRE * course.length + c.TIMEOUT_START_1_0)))
    else:
        pace = c.TIMEOUT_SPEED_SHARE * limit[passage.sample]
        way = np.diff(course.station[passage.index], prepend=0.0)
        more = np.divide(way, pace, out=np.zeros(len(way)), where=pace > 0.0)
        unknown = ~(pace > 0.0) & (way > 0.0)
        given = c.TIMEOUT_START + np.cumsum(np.where(unknown, np.inf, more))
    late = np.flatnonzero(elapsed > given)
    return int(late[0]) if len(late) else -1


def blocks_emergency(run: RunLog, ego: Ego, end: int) -> bool:
    """Whether at the sample `end`, or when it was last there, the emergency vehicle was still behind the
    ego; False without one (see `EMERGENCY`)."""
    tags = run.header["scenario"].get("tags") or ()
    names = {str(tag)[len(EMERGENCY) :] for tag in tags if str(tag).startswith(EMERGENCY)}
    for row, name in enumerate(run.agent_ids):
        there = np.flatnonzero(run.agent_valid[row, : end + 1])
        if name in names and len(there):
            n = int(there[-1])
            x, y, heading = run.agents[row, n, :3]
            gap = ego.center[n] - (x, y)
            if gap[0] * np.cos(heading) + gap[1] * np.sin(heading) > 0.0:
                return True
    return False
