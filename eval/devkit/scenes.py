"""The scenes of the golden comparison, and who drives them.

Three of each family that lasts 15 s and one of each other, for log replay and reactive agents; a few more are
driven by scripts that break what planners keep. Both planners drive in replayed traffic, and among reactive
agents in the first scene of a family; in the others they take turns there.
"""

from __future__ import annotations

from drive.eval.devkit.scripted import Script

FAMILIES = (
    *("lane_follow_curved", "stop_for_lead", "stop_and_go", "cut_in", "dense_merge", "dense_highway"),
    *("overtake_slow", "lane_change_for_route", "parked_vehicle", "parked_vehicle_two_way"),
    *("construction_narrowing", "occluded_pedestrian", "signalised_intersection", "t_junction_yield"),
    *("unprotected_left", "roundabout"),
)
LONG_FAMILIES = (
    *("occluded_crossing", "occluded_crossing_empty", "six_lanes", "slow_obstacles"),
    *("curved_overtake", "curved_overtake_blocked"),
)
SEEDS = (901, 902, 903)
PLANNERS = ("idm", "pdm")
TRAFFIC = ("log", "idm")

SCENES = (
    *(f"gen/{family}/{seed}" for family in FAMILIES for seed in SEEDS),
    *(f"gen/{family}/{SEEDS[0]}" for family in LONG_FAMILIES),
)

SCRIPTS: dict[str, tuple[Script, ...]] = {
    "gen/parked_vehicle_two_way/901": (
        Script("wrong_way", offset=3.5),
        Script("half_wrong_way", speed=3.5, offset=3.5),
        Script("verge", offset=-1.2),
        Script("off_road", offset=-4.0),
    ),
    "gen/lane_follow_curved/901": (
        Script("over_the_limit", speed=25.0, acceleration=2.2),
        Script("harsh", speed=12.0, acceleration=6.0, stop=7.0),
        Script("sluggish", speed=1.0),
        Script("standing", speed=0.0, acceleration=4.0),
        Script("brink_in", offset=-0.8),
        Script("brink_out", offset=-1.0),
    ),
    "gen/construction_narrowing/901": (Script("through_cones", speed=6.0, offset=1.0),),
    "gen/occluded_pedestrian/901": (Script("blind", speed=9.0),),
    "gen/dense_highway/901": (Script("swerve", offset=3.5, ramp=1.5), Script("swerve_right", offset=-3.5)),
    "gen/roundabout/901": (Script("rush", speed=9.0),),
    "gen/unprotected_left/901": (Script("push", speed=8.0),),
}
"""Rule breakers by scene, in replayed traffic."""


def planners_of(scene: str, traffic: str) -> tuple[str, ...]:
    """Who drives a scene in that traffic."""
    _, family, seed = scene.split("/")
    if traffic == "log" or int(seed) == SEEDS[0] or family not in FAMILIES:
        return PLANNERS
    return (PLANNERS[FAMILIES.index(family) % 2],)
