"""Weights and thresholds of NAVSIM's scores.

Source: autonomousvision/navsim at 0a380a9 (v2.2 with the fix of September 2025) and its branch v1.1,
`planning/simulation/planner/pdm_planner/scoring/pdm_scorer.py`, `pdm_comfort_metrics.py`,
`scene_aggregator.py`. The comfort bounds and filters are nuPlan's (`drive.eval.metrics.nuplan.constants`).
"""

from __future__ import annotations

VERSION_1 = "navsim v1.1 (3e8291b)"
VERSION_2 = "navsim v2.2 (0a380a9)"

DT = 0.1  # s
STEPS = 40  # a plan is driven for 4 s

MULTIPLIERS_1 = ("no_at_fault_collisions", "drivable_area_compliance")
WEIGHTS_1 = {"ego_progress": 5.0, "time_to_collision_within_bound": 5.0, "comfort": 2.0}
MULTIPLIERS_2 = (*MULTIPLIERS_1, "driving_direction_compliance", "traffic_light_compliance")
WEIGHTS_2 = {
    "ego_progress": 5.0,
    "time_to_collision_within_bound": 5.0,
    "lane_keeping": 2.0,
    "history_comfort": 2.0,
    "two_frame_extended_comfort": 2.0,
}

PROGRESS_THRESHOLD = 5.0  # m: where nobody gets farther, everybody has made progress

LANE_KEEPING_LIMIT = 0.5  # m off the centreline
LANE_KEEPING_SAMPLES = 20  # 2 s in a row

# two_frame_extended_comfort: largest root mean squares of the differences
EXTENDED_ACCELERATION = 0.7  # m/s^2
EXTENDED_JERK = 0.5  # m/s^3
EXTENDED_YAW_RATE = 0.1  # rad/s
EXTENDED_YAW_ACCELERATION = 0.1  # rad/s^2
EXTENDED_YAW_ORDER = 2  # of the filter's polynomial; the comfort metric's is 3
APART = 5  # samples between two frames

KERNEL_VARIANCE = 0.1  # m^2, of the follow-up starts' weights
SUM_IS_ZERO = 1e-8
