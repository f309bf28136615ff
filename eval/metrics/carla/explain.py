"""What the CARLA formulas measure here, where each rule comes from, and its quirks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.eval.metrics.carla.constants import Rules

_RUNNER = "Source: scenario_runner atomic_criteria.py, "
OURS = (
    "The leaderboard's formulas applied to a run of this toolkit: no simulation in CARLA, no CARLA route, "
    "and so no CARLA score. "
)


def texts(name: str, rules: Rules) -> dict[str, str]:
    """The texts of one version, by metric."""
    costs = ", ".join(f"{key} {value:g}" for key, value in rules.table.items())
    if rules.additive:
        how = f"(1 - share outside) / (1 + sum of coefficients): {costs}, "
        how += "minimum speed 0.4 (1 - p) a checkpoint at p of the traffic's speed"
    else:
        how = f"(1 - share outside) times a factor for each infraction: {costs}"
        if rules.checkpoints:
            how += ", minimum speed 1 - 0.3 (1 - p) a checkpoint at p of the traffic's speed"
        if rules.checkpoints and not rules.min_speed_scored:
            how += ", which Bench2Drive writes down and does not count"
    filtered = (
        "Two contacts with the last road user within 5 s, or within 3 m of an earlier collision not yet 5 m "
        "behind, are one; a standing ego's count as well"
        if rules.first_rules
        else "A contact counts where the ego has at least 0.1 m/s, has gone more than 5 m since the last "
        "collision and touches another road user, or the same one 5 s later"
    )
    found = {
        name: OURS + "Route completion times the infraction penalty; the mean over routes is the benchmark's "
        f"number. A failed run scores 0. Source: {rules.source}.",
        "route_completion": "Share of the route's points that were passed, 1 once it exceeds 0.99 within 10 "
        "m "
        "of the end. The route is the scenario's own up to its goal, or, where the goal lies beyond the "
        "scenario, to 2 m before the expert's last place: there it counts as complete while infractions go "
        "on "
        "to be counted to the last sample. The route ends for good at a goal, more than 30 m off it (or 15 m "
        f"for over 30 % of it), and after {rules.blocked_time:g} s below 0.1 m/s. An expert that stood asks "
        "for nothing. Points are followed at 20 Hz, two ahead at most. " + _RUNNER + "RouteCompletionTest.",
        "infraction_penalty": how + f". Source: {rules.source}, statistics_manager.py.",
        "collisions_pedestrian": f"Not scored by itself. Collisions with pedestrians. {filtered}. Whoever "
        "caused it, the ego pays. " + _RUNNER + "CollisionTest.",
        "collisions_vehicle": "Not scored by itself. Collisions with vehicles, bicycles among them, as "
        "CARLA's "
        "bicycles are vehicles. " + _RUNNER + "CollisionTest.",
        "collisions_layout": "Not scored by itself. Collisions with static objects and buildings. "
        + _RUNNER
        + "CollisionTest.",
        "red_light": "Not scored by itself. Red lights run: the tail (from 0.8 of the half length to 1 m "
        "beyond "
        "the box) crosses the stop line of a lane that the ego drives, red at that moment. "
        + _RUNNER
        + "RunningRedLightTest.",
        "stop_infraction": "Not scored by itself. Stop signs left without having been below 0.1 m/s with the "
        "sign's area at most 4 m ahead. A give-way line is no stop sign; none of the generated families has "
        "one. " + _RUNNER + "RunningStopTest.",
        "outside_route_lanes": "Not scored by itself. Share of the metres passed while the box centre was "
        "more "
        f"than {rules.allowed_outside:g} m from all driving and parking lanes, or in lanes that run over 120 "
        "degrees against the ego (not in intersections, nor in families whose way may lead over the oncoming "
        "lane). " + _RUNNER + "OutsideRouteLanesTest.",
        "route_dev": "Not scored by itself. Whether the route was left by 30 m. " + _RUNNER + "InRouteTest.",
        "route_timeout": "Not scored by itself. Whether a route to a goal took longer than it may: 1.0 "
        "gives 5 s "
        "and 0.8 s a metre, later versions 300 s and more by distance. Source: route_scenario.py, timer.py.",
        "vehicle_blocked": f"Not scored by itself. Whether the ego stood for {rules.blocked_time:g} s. "
        + _RUNNER
        + "ActorBlockedTest.",
        "scenario_timeouts": "Not scored by itself. 1 where a run of more than 240 s did not complete its "
        "route; CARLA times the scenario's own part of the route. " + _RUNNER + "ScenarioTimeoutTest.",
        "yield_emergency_vehicle_infractions": "Not scored by itself. 1 where the road user that a tag "
        "'emergency:ID' names is still behind the ego at the end. "
        + _RUNNER
        + "YieldToEmergencyVehicleTest.",
    }
    if rules.checkpoints:
        kept = "all are kept" if rules.at_any_speed else "those below 100 % are kept"
        found["min_speed_infractions"] = (
            f"Not scored by itself. Number of the route's {rules.checkpoints} checkpoints written down; "
            f"{kept}. "
            "Each has the ego's mean speed since the last one over that of the motor vehicles around (of "
            "those "
            "that move at all in the run; CARLA takes its background traffic, without the scenario's "
            "actors). " + _RUNNER + "MinimumSpeedRouteTest."
        )
        found["min_speed"] = "Not scored by itself. Mean share of the traffic's speed over those checkpoints."
    return found
