"""CommonRoad XML (2018b, 2020a): reader, road map, tracks, planning problems, and the scenario source."""

from drive.datasets.commonroad.model import CommonRoadFile, GoalState, Lanelet, Obstacle, PlanningProblem
from drive.datasets.commonroad.reader import read_commonroad
from drive.datasets.commonroad.roadmap import build_roadmap, signal_states
from drive.datasets.commonroad.source import SOURCE, CommonRoadSource

__all__ = [
    "SOURCE",
    "CommonRoadFile",
    "CommonRoadSource",
    "GoalState",
    "Lanelet",
    "Obstacle",
    "PlanningProblem",
    "build_roadmap",
    "read_commonroad",
    "signal_states",
]
