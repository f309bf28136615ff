"""Every coefficient and threshold of the CARLA formulas, by the version that sets it.

Sources (read for facts; MIT): carla-simulator/leaderboard `utils/statistics_manager.py` and
`scenarios/route_scenario.py` on the branches leaderboard-1.0 (2165f5e), -2.0 (a87a341), -2.1 (cfecdc8);
carla-simulator/scenario_runner `atomic_criteria.py` and `timer.py` on leaderboard-1.0 and leaderboard-2.0
(d7bcaf0). Bench2Drive 0.0.4 (7ec25d1) states the numbers of its own copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COUNTED = (
    "collisions_pedestrian",
    "collisions_vehicle",
    "collisions_layout",
    "red_light",
    "stop_infraction",
    "scenario_timeouts",
    "yield_emergency_vehicle_infractions",
)
"""Infractions that cost a fixed amount each, by the names of the leaderboard's results file."""

ENDING = ("route_dev", "route_timeout", "vehicle_blocked")
"""What ends a route; it costs nothing but the rest of the route."""

FACTORS_1_0 = {
    "collisions_pedestrian": 0.50,
    "collisions_vehicle": 0.60,
    "collisions_layout": 0.65,
    "red_light": 0.70,
    "stop_infraction": 0.80,
}
FACTORS_2_0 = {**FACTORS_1_0, "scenario_timeouts": 0.70, "yield_emergency_vehicle_infractions": 0.70}
COEFFICIENTS_2_1 = {
    "collisions_pedestrian": 1.0,
    "collisions_vehicle": 0.7,
    "collisions_layout": 0.6,
    "red_light": 0.4,
    "stop_infraction": 0.25,
    "scenario_timeouts": 0.4,
    "yield_emergency_vehicle_infractions": 0.4,
}
MIN_SPEED_FACTOR = 0.7  # 2.0: what is left of the score at 0 % of the traffic's speed, a checkpoint
MIN_SPEED_COEFFICIENT = 0.4  # 2.1


@dataclass(frozen=True, slots=True)
class Rules:
    """One version's accounting.

    `table` has the cost of each counted infraction: factors of a product, or where `additive` coefficients
    c of 1 / (1 + sum c). `checkpoints` of the minimum speed (0: none), whether it is `min_speed_scored`,
    and whether a checkpoint is written down `at_any_speed` or only below 100 %. `allowed_outside` m beyond
    the lane's edge; `blocked_time` s; `first_rules`: the collision filter and the timeout of 1.0.
    """

    version: str
    source: str
    table: Mapping[str, float] = field(hash=False)
    additive: bool = False
    checkpoints: int = 4
    min_speed_scored: bool = True
    at_any_speed: bool = False
    allowed_outside: float = 0.5
    blocked_time: float = 180.0
    first_rules: bool = False


RULES_1_0 = Rules(
    "1.0",
    "leaderboard-1.0 (2165f5e)",
    FACTORS_1_0,
    checkpoints=0,
    min_speed_scored=False,
    allowed_outside=1.3,
    first_rules=True,
)
RULES_2_0 = Rules("2.0", "leaderboard-2.0 (a87a341)", FACTORS_2_0)
RULES_2_1 = Rules("2.1", "leaderboard-2.1 (cfecdc8)", COEFFICIENTS_2_1, additive=True)
RULES_BENCH2DRIVE = Rules(
    "0.0.4",
    "Bench2Drive 0.0.4 (7ec25d1)",
    FACTORS_2_0,
    checkpoints=20,
    min_speed_scored=False,
    at_any_speed=True,
    blocked_time=60.0,
)

TICK = 0.05  # s, the leaderboard's fixed step
POINT_SPACING = 1.0  # m between the points of a route

# RouteCompletionTest
COMPLETION_WINDOW = 2  # points beyond the present one
COMPLETED_SHARE = 99.0  # %
TARGET_RADIUS = 10.0  # m

# InRouteTest
DEVIATION_WINDOW = 5
MAX_DEVIATION = 30.0  # m
SAFE_DEVIATION = 15.0  # m
MAX_UNSAFE_SHARE = 30.0  # % of the route

# OutsideRouteLanesTest
OUTSIDE_WINDOW = 3
WRONG_WAY_ANGLE = 120.0  # degrees between heading and lane

# CollisionTest
COLLISION_RADIUS = 5.0  # m
SAME_PLACE_1_0 = 3.0  # m
SAME_USER_TIME = 5.0  # s
STANDING_SPEED = 0.1  # m/s

# RunningRedLightTest
TAIL_NEAR, TAIL_BEYOND = 0.8, 1.0  # share of the half length, metres beyond it
LINE_SHARE = 0.6  # of the lane's width to each side

# RunningStopTest
STOP_REACH = 4.0  # m ahead of the ego
STOP_STEP = 0.5  # m
STOPPED_SPEED = 0.1  # m/s

# ActorBlockedTest
BLOCKED_SPEED = 0.1  # m/s

# Route timeout: 1.0 in seconds per metre; since 2.0 it grows by the distance at a tenth of the speed limit
TIMEOUT_PER_METRE, TIMEOUT_START_1_0 = 0.8, 5.0
TIMEOUT_START, TIMEOUT_SPEED_SHARE = 300.0, 0.1
SCENARIO_TIMEOUT = 240.0  # s, of most scenario types of 2.0

# Digits that the leaderboard's results keep since 2.0
SCORE_DIGITS = 6
PERCENT_DIGITS = 2

# Ours: a route without an end of its own ends where the expert was, less this much.
EXPERT_MARGIN = 2.0  # m
