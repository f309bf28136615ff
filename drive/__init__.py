"""A planning and simulation toolkit for autonomous driving.

The names below are loaded when first used, so that `import drive` and the command line start at once.
The decorator of planners without memory is `drive.planner.planner`: a name here would hide the module.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drive.api import bench as bench
    from drive.api import check as check
    from drive.api import load_scenario as load_scenario
    from drive.api import load_scenarios as load_scenarios
    from drive.api import run as run
    from drive.errors import DriveError as DriveError
    from drive.planner import CameraSpec as CameraSpec
    from drive.planner import Control as Control
    from drive.planner import Observation as Observation
    from drive.planner import Plan as Plan
    from drive.planner import Planner as Planner
    from drive.planner import PlannerSpec as PlannerSpec
    from drive.planner import PlanStatus as PlanStatus
    from drive.planner import Session as Session
    from drive.registry import load_planner as load_planner
    from drive.roadmap import RoadMap as RoadMap
    from drive.roadmap import RoadMapBuilder as RoadMapBuilder
    from drive.runlog import RunLog as RunLog
    from drive.scenario import Scenario as Scenario
    from drive.scenario import Task as Task
    from drive.scenario import Tracks as Tracks
    from drive.terrain import Terrain as Terrain
    from drive.trajectory import Trajectory as Trajectory
    from drive.vehicle import RoverParams as RoverParams
    from drive.vehicle import VehicleParams as VehicleParams

__version__ = "0.1.0"

# Name -> the module that defines it; a test keeps this table and the imports above the same.
_HOMES = {
    "CameraSpec": "drive.planner",
    "Control": "drive.planner",
    "DriveError": "drive.errors",
    "Observation": "drive.planner",
    "Plan": "drive.planner",
    "PlanStatus": "drive.planner",
    "Planner": "drive.planner",
    "PlannerSpec": "drive.planner",
    "RoadMap": "drive.roadmap",
    "RoadMapBuilder": "drive.roadmap",
    "RoverParams": "drive.vehicle",
    "RunLog": "drive.runlog",
    "Scenario": "drive.scenario",
    "Session": "drive.planner",
    "Task": "drive.scenario",
    "Terrain": "drive.terrain",
    "Tracks": "drive.scenario",
    "Trajectory": "drive.trajectory",
    "VehicleParams": "drive.vehicle",
    "bench": "drive.api",
    "check": "drive.api",
    "load_planner": "drive.registry",
    "load_scenario": "drive.api",
    "load_scenarios": "drive.api",
    "run": "drive.api",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'drive' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # so that this function is asked once for each name
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
