"""What each metric measures, where its rule comes from, and what is odd about it."""

from __future__ import annotations

from drive.eval.metrics.nuplan import constants as c

_DEVKIT = f"Source: {c.VERSION}, planning/metrics/evaluation_metrics/common/"

TEXTS: dict[str, str] = {
    "nuplan_cls": (
        "Closed-loop score: the product of no_ego_at_fault_collisions, drivable_area_compliance, "
        "ego_is_making_progress and driving_direction_compliance times the mean of progress (weight 5), "
        "time to collision (5), speed limit (4) and comfort (2). A metric without a value leaves "
        "numerator and denominator. Source: metric_aggregator/closed_loop_*_weighted_average.yaml. The "
        "prose page of the same project gives the direction a weight and the progress another threshold; "
        "the YAML is what runs. A run that ended in a failure scores 0."
    ),
    "no_ego_at_fault_collisions": (
        "First contact with each road user, typed in this order: the ego stands (<= 0.05 m/s), the other "
        "stands, the other is behind (more than 150 degrees off the rear axle's heading), the front edge "
        "is touched, else lateral. The ego is at fault for a standing other, a frontal contact, and a "
        "lateral one while its four corners are not in one common or directly connected lane. Any "
        "pedestrian, bicycle or vehicle gives 0, one object 0.5, two 0. Boxes that touch collide. Static "
        "objects have no speed; objects of unknown kind count as objects with their own speed (the devkit "
        f"has no such kind). {_DEVKIT}no_ego_at_fault_collisions.py"
    ),
    "drivable_area_compliance": (
        "0 if any corner was ever 0.3 m or more outside the drivable area, which is the union of drivable "
        f"polygons and of all lanes. {_DEVKIT}drivable_area_compliance.py"
    ),
    "ego_is_making_progress": (
        "1 if the score of ego_progress_along_expert_route is at least 0.2. A standing ego passes where "
        f"the expert covers 10 m or less, as both are floored at 2 m. {_DEVKIT}ego_is_making_progress.py"
    ),
    "driving_direction_compliance": (
        "Worst movement of the box centre against its lane's baseline within one second: below 2 m 1, "
        "below 6 m 0.5, else 0. The second spans int(1/dt) + 1 movements; the first two samples in "
        "another lane count none. Where lanes overlap, the one that the heading and the route fit best is "
        f"taken (the devkit stops with an error). {_DEVKIT}driving_direction_compliance.py"
    ),
    "ego_progress_along_expert_route": (
        "Metres along the baselines of the expert's lane groups, ego over expert, both floored at 2 m, "
        "capped at 1; 0 if the ego went back more than 2 m; 1 if the expert was in no lane. Frames "
        "outside the route's groups give no progress, which is made good on return; overtaking the expert "
        f"earns nothing. No value without an expert. {_DEVKIT}ego_progress_along_expert_route.py"
    ),
    "time_to_collision_within_bound": (
        "1 if the time to collision exceeds 0.95 s at every sample. Boxes are carried on at constant "
        "speed along their own headings in steps of 0.1 s, below 3 s, so that 1.0 passes and 0.9 fails. "
        "Road users within 30 degrees of the rear axle's heading count; between lanes or in an "
        "intersection all not behind. An ego at 0.005 m/s or less has none; an at-fault contact counts as "
        "0; whoever was touched is left out from then on. A reversing vehicle is projected forwards. The "
        "devkit loses a road user exactly ahead when rounding makes a cosine exceed 1; here it counts. "
        f"{_DEVKIT}time_to_collision_within_bound.py"
    ),
    "speed_limit_compliance": (
        "1 - sum of overspeed dt / (2.23 m/s duration), at least 0. On connectors the limit is the "
        "largest of the lanes before and after; no limit is held against the ego where one of them has "
        "none or where it is in no lane. The sum has one sample more than the duration has steps. "
        f"{_DEVKIT}speed_limit_compliance.py"
    ),
    "ego_is_comfortable": (
        "1 if at every sample longitudinal acceleration lies in (-4.05, 2.40), |lateral acceleration| < "
        "4.89, |jerk| < 8.37, |longitudinal jerk| < 4.13, |yaw rate| < 0.95, |yaw acceleration| < 1.93 "
        "(SI units). Savitzky-Golay: acceleration window 8 order 2 (an even window: half a sample late), "
        "jerk window 15 order 2, yaw rate window 5 order 2, yaw acceleration window 5 order 3; rounded to "
        "8 decimals. The acceleration of the box centre is the rear axle's plus d (omega^2 + alpha) along "
        "the heading, not the rigid body's; the kinematic bicycle reports no lateral acceleration, so "
        "that this bound never bites. The series lateral_acceleration is speed times yaw rate, which is "
        "not scored. p90 statistics follow NumPy before 2, whose rule for ties differs from NumPy 2. "
        f"{_DEVKIT}ego_is_comfortable.py, utils/state_extractors.py"
    ),
    "goal_reached": (
        "Not scored. 1 if at any sample every condition of the goal holds: box centre in the polygon or "
        "lanes (a bare position: within 2 m), heading, speed and time in their intervals. No value "
        "without a goal, nor for a goal without a time that a driven expert does not come to either."
    ),
    "collisions": ("Not scored. Road users that the ego touched, whoever caused it."),
    "min_time_to_collision": (
        "Not scored. Smallest time to collision in s; no value where there was none below 3 s."
    ),
    "mean_speed": ("Not scored. Mean speed of the rear axle in m/s."),
}
