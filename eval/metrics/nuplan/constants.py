"""Every threshold and weight of the closed-loop score, with the file of the devkit that sets it.

Source: motional/nuplan-devkit at e924167, `planning/script/config/common/simulation_metric/**.yaml` and
`planning/script/config/simulation/metric_aggregator/closed_loop_*_weighted_average.yaml`. The prose page of
that project differs in places (progress threshold, weight of the direction); its YAML files decide.
"""

from __future__ import annotations

VERSION = "nuplan-devkit 1.2.2 (e924167)"

MULTIPLIERS = (
    "no_ego_at_fault_collisions",
    "drivable_area_compliance",
    "ego_is_making_progress",
    "driving_direction_compliance",
)
WEIGHTS = {
    "ego_progress_along_expert_route": 5.0,
    "time_to_collision_within_bound": 5.0,
    "speed_limit_compliance": 4.0,
    "ego_is_comfortable": 2.0,
}

# no_ego_at_fault_collisions
STOPPED_SPEED = 5e-2  # m/s, ego and track
ALLOWED_VRU, ALLOWED_VEHICLE, ALLOWED_OBJECT = 0, 0, 1
MASS_RATIO = 0.5  # 2000 kg each
BEHIND_ANGLE = 150.0  # degrees from the rear axle's heading
AHEAD_ANGLE = 30.0

# drivable_area_compliance
OFF_ROAD_DISTANCE = 0.3  # m

# ego_is_making_progress, ego_progress_along_expert_route
MIN_PROGRESS_RATIO = 0.2
PROGRESS_FLOOR = 2.0  # m

# driving_direction_compliance
WRONG_WAY_TOLERATED = 2.0  # m
WRONG_WAY_FORBIDDEN = 6.0  # m
WRONG_WAY_HORIZON = 1.0  # s

# speed_limit_compliance
MAX_OVERSPEED = 2.23  # m/s

# time_to_collision_within_bound
TTC_STEP = 0.1  # s
TTC_HORIZON = 3.0  # s
TTC_BOUND = 0.95  # s
TTC_STOPPED_SPEED = 5e-3  # m/s

# ego_is_comfortable
LON_ACCELERATION = (-4.05, 2.40)  # m/s^2
LAT_ACCELERATION = 4.89  # m/s^2
JERK = 8.37  # m/s^3
LON_JERK = 4.13  # m/s^3
YAW_RATE = 0.95  # rad/s
YAW_ACCELERATION = 1.93  # rad/s^2

# Smoothing: Savitzky-Golay (window, order)
ACCELERATION_FILTER = (8, 2)
JERK_FILTER = (15, 2)
YAW_RATE_FILTER = (5, 2)
YAW_ACCELERATION_FILTER = (5, 3)
DECIMALS = 8

# Route of a sequence of poses
SAME_CONNECTOR_DISTANCE = 5.0  # m
