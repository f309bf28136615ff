"""Bench2Drive's five abilities: which scenario types count for which, and which of ours stand for them.

Source: the tables of Bench2Drive 0.0.4 (facts). A type may count for several abilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_JUNCTION_TURNS = (
    "NonSignalizedJunctionLeftTurn",
    "NonSignalizedJunctionRightTurn",
    "NonSignalizedJunctionLeftTurnEnterFlow",
    "SignalizedJunctionLeftTurn",
    "SignalizedJunctionRightTurn",
    "SignalizedJunctionLeftTurnEnterFlow",
)
_CROSSERS = (
    "BlockedIntersection",
    "OppositeVehicleTakingPriority",
    "OppositeVehicleRunningRedLight",
    "PedestrianCrossing",
    "VehicleTurningRoute",
    "VehicleTurningRoutePedestrian",
)
ABILITIES: Mapping[str, frozenset[str]] = {
    "overtaking": frozenset(
        {
            "Accident",
            "AccidentTwoWays",
            "ConstructionObstacle",
            "ConstructionObstacleTwoWays",
            "HazardAtSideLane",
            "HazardAtSideLaneTwoWays",
            "ParkedObstacle",
            "ParkedObstacleTwoWays",
            "VehicleOpensDoorTwoWays",
        }
    ),
    "merging": frozenset(
        {
            "CrossingBicycleFlow",
            "EnterActorFlow",
            "HighwayExit",
            "InterurbanActorFlow",
            "HighwayCutIn",
            "InterurbanAdvancedActorFlow",
            "MergerIntoSlowTraffic",
            "MergerIntoSlowTrafficV2",
            "ParkingExit",
            "SequentialLaneChange",
            *_JUNCTION_TURNS,
        }
    ),
    "emergency_brake": frozenset(
        {
            "DynamicObjectCrossing",
            "HardBreakRoute",
            "ParkingCutIn",
            "ParkingCrossingPedestrian",
            "StaticCutIn",
            "ControlLoss",
            *_CROSSERS,
        }
    ),
    "give_way": frozenset({"InvadingTurn", "YieldToEmergencyVehicle"}),
    "traffic_signs": frozenset(
        {
            "EnterActorFlow",
            "CrossingBicycleFlow",
            "T_Junction",
            "VanillaNonSignalizedTurn",
            "VanillaNonSignalizedTurnEncounterStopsign",
            "VanillaSignalizedTurnEncounterGreenLight",
            "VanillaSignalizedTurnEncounterRedLight",
            *_CROSSERS,
            *_JUNCTION_TURNS,
        }
    ),
}
JUNCTION_POINTS = 8.0
"""Route points, 1 m each, beyond the first junction: who passed them by the lights has read the signs."""


def abilities_of(kind: str) -> tuple[str, ...]:
    """The abilities for which a scenario type of Bench2Drive counts; none for an unknown one."""
    return tuple(name for name, kinds in ABILITIES.items() if kind in kinds)


def scenario_type(family: str, tags: Sequence[str] = ()) -> str | None:
    """The type of Bench2Drive that asks for the same as a generated family, or None.

    A likeness of tasks, not of scenes. Families without one (following a lane, a jam, a dense motorway, the
    roundabout, an overtaking among moving vehicles, a crossing without signs) stand for no ability.
    """
    marks = set(tags)
    if family == "lane_change_for_route":
        return "HighwayExit" if "exit" in marks else "SequentialLaneChange"
    if family == "dense_merge":
        return "EnterActorFlow" if "from_ramp" in marks else "MergerIntoSlowTraffic"
    if family == "signalised_intersection":
        if marks & {"left", "right"}:
            return "SignalizedJunctionLeftTurn" if "left" in marks else "SignalizedJunctionRightTurn"
        return f"VanillaSignalizedTurnEncounter{'Green' if 'green' in marks else 'Red'}Light"
    if family == "t_junction_yield":
        if marks & {"from_side_left", "from_side_right"}:
            return f"NonSignalizedJunction{'Left' if 'from_side_left' in marks else 'Right'}Turn"
        return "T_Junction"
    if family == "unprotected_left":
        return "SignalizedJunctionLeftTurn" if "lights" in marks else "NonSignalizedJunctionLeftTurn"
    return _FAMILIES.get(family)


_FAMILIES = {
    "construction_narrowing": "ConstructionObstacle",
    "cut_in": "HighwayCutIn",
    "occluded_pedestrian": "ParkingCrossingPedestrian",
    "parked_vehicle": "ParkedObstacle",
    "parked_vehicle_two_way": "ParkedObstacleTwoWays",
    "stop_for_lead": "HardBreakRoute",
}
