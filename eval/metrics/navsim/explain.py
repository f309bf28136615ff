"""What each metric of NAVSIM's scores measures, where its rule comes from, and what is odd about it."""

from __future__ import annotations

from drive.eval.metrics.navsim import constants as c

_SCORER = f"Source: {c.VERSION_2}, scoring/pdm_scorer.py"
_LOOP = (
    "In a pseudo-closed loop one plan is driven for 4 s at 10 Hz by the LQR and the bicycle of the released "
    "code (with its finite-difference fault), among replayed or IDM traffic. In a closed loop the drive is "
    "cut into stretches of 4 s, the last one back from the end: multipliers are those of the worst stretch, "
    "the others means over stretches, and nothing is filtered by the human; that figure is no NAVSIM result."
)

COMMON = {
    "no_at_fault_collisions": (
        "First contact with each road user at 10 Hz. No fault of an ego that stands (<= 0.05 m/s) nor where "
        "the other comes from behind (more than 150 degrees off); at fault where the other stands, where the "
        "front edge is touched, and where the side is while the ego is in several lanes or off the road. 0 "
        "for a road user, 0.5 for an object, the least counts. Whether the other stands is asked of the "
        "speed at which it was first seen, as in the released code; track_speed='now' asks at the contact. "
        f"{_SCORER}, pdm_scorer_utils.py"
    ),
    "drivable_area_compliance": (
        "0 if any corner ever leaves drivable polygons and lanes; no tolerance, where nuPlan allows 0.3 m. "
        f"{_SCORER}"
    ),
    "ego_progress": (
        "Metres of the box centre along PDM-Closed's centreline, not negative, over the greater of the "
        "plan's and PDM-Closed's (times their multipliers); 1 where that is 5 m or less. Version 1 counts "
        "only metres of who breaks no multiplier and is then 1 for those alone. progress='gen_gt' is the "
        "mode for a teacher's labels. PDM-Closed plans once from the same start, knowing everybody; it is "
        f"this toolkit's planner with the released constants. {_SCORER}"
    ),
    "time_to_collision_within_bound": (
        "0 if the box, carried on at constant speed for 0, 0.3, 0.6 and 0.9 s, ever meets another where that "
        "one is then (not where it would be at constant speed, as in nuPlan). Others ahead (30 degrees) "
        "count, and all that are not behind while the ego is in several lanes, off the road or in an "
        "intersection. Not below 0.005 m/s; one that was met without counting is left out from then on. "
        "Version 2 looks until 3.1 s, version 1 until 4.0 s where the others are known that long. "
        f"{_SCORER}"
    ),
}
PDMS_TEXTS = {
    "pdms": (
        "NC DAC (5 EP + 5 TTC + 2 C + 0 DDC) / 12 of a scene. Scenes are averaged; averaged columns do not "
        f"make the averaged score. {_LOOP} Source: {c.VERSION_1}, scoring/pdm_scorer.py; published with "
        "replayed traffic (--traffic log)."
    ),
    **COMMON,
    "comfort": (
        "nuPlan's six bounds on the four seconds alone. The filters of longitudinal acceleration and jerk "
        "have the whole drive as their window, at the rear axle; 0 lateral acceleration. "
        f"Source: {c.VERSION_1}, scoring/pdm_comfort_metrics.py"
    ),
    "metres": "Not scored. Metres along the centreline, in a closed loop summed over the stretches.",
    "pdm_metres": "Not scored. PDM-Closed's metres along it, summed likewise.",
}
EPDMS_TEXTS = {
    "epdms": (
        "NC DAC DDC TLC (5 EP + 5 TTC + 2 LK + 2 HC + 2 EC) / 16 of a scene; over 14 without a second frame. "
        "Where the recorded driver's own sub-score is 0 the plan's counts as 1; before the fix of September "
        "2025 that changed the columns and not the score (compat='pre_2025_09', epdms_pre_2025_09: never "
        "mix the two). A stand-in driver (IDM) filters nothing. The published one-stage figure averages all "
        f"frames of a log, of which a scenario here has one. {_LOOP} {_SCORER}"
    ),
    **COMMON,
    "driving_direction_compliance": (
        "Metres that the centre drives in no lane of the route and in no intersection within a trailing "
        f"second (eleven movements): below 2 m 1, below 6 m 0.5, else 0. {_SCORER}"
    ),
    "traffic_light_compliance": (
        "0 if the box ever touches a connector of the route while its signal is red, also when it turned red "
        f"with the ego inside. {_SCORER}"
    ),
    "lane_keeping": (
        "0 if the centre is more than 0.5 m off the centreline for 20 samples in a row; samples in an "
        f"intersection are skipped and do not end the row. {_SCORER}"
    ),
    "history_comfort": (
        "nuPlan's six bounds with nuPlan's filters on up to 1.5 s of the recorded past and the drive; "
        "accelerations of the box centre, no lateral one. In a closed loop the past is the ego's own. "
        f"Source: {c.VERSION_2}, scoring/pdm_comfort_metrics.py"
    ),
    "two_frame_extended_comfort": (
        "Two plans half a second apart, each driven by itself: root mean squares of the differences of "
        "acceleration (<= 0.7 m/s^2), jerk (0.5), yaw rate (0.1) and yaw acceleration (0.1, whose filter is "
        "of order 2 here) where they overlap. In a closed loop the plans made at a stretch's start and half "
        f"a second later. Source: {c.VERSION_2}, scoring/scene_aggregator.py"
    ),
    "metres": "Not scored. Metres along the centreline, in a closed loop summed over the stretches.",
    "pdm_metres": "Not scored. PDM-Closed's metres along it, summed likewise.",
    "filtered": "Not scored. How many sub-scores the human filter changes.",
}
_NAMES = (*c.MULTIPLIERS_2, *c.WEIGHTS_2)
TWO_STAGE_TEXTS = {
    "epdms": (
        "Mean over the two frames of first stage times second stage, the latter the mean of follow-up starts "
        "by exp(-d^2 / (2 0.1 m^2)) of the distance between the plan's end and the start, or with equal "
        "weights where all are beyond about 1.9 m: a slower plan silently changes the rule. Same as NAVSIM: "
        "rules, weights, the shared extended comfort of a pair, reactive IDM where --traffic idm is given. "
        "Not the same: the follow-up starts, up to twelve fixed ones on and beside the recorded driver's way "
        "four seconds later (NAVSIM has 5 to 20 rendered ones); and the IDM "
        f"traffic, which is this toolkit's. {_SCORER}, scene_aggregator.py"
    ),
    **{f"{kind}.{n}": EPDMS_TEXTS[n] for kind in ("now", "previous") for n in _NAMES},
    "now.second_stage": "The weighted score of the follow-up starts four seconds after the present frame.",
    "previous.second_stage": "The same of the frame half a second earlier.",
}
TWO_STAGE_TEXTS |= {
    f"{kind}.second_stage.{n}": "Not scored. Weighted mean over the follow-up starts."
    for kind in ("now", "previous")
    for n in _NAMES
}
