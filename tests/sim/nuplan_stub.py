"""As much of the nuPlan devkit's interface as the bridge touches, written from its signatures (e924167).

Where the devkit itself can be imported the tests take that instead.
"""

from __future__ import annotations

import sys
import types
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

import numpy as np

NAMES: dict[str, tuple[str, ...]] = {
    "common.actor_state.agent": ("Agent",),
    "common.actor_state.ego_state": ("EgoState",),
    "common.actor_state.oriented_box": ("OrientedBox",),
    "common.actor_state.scene_object": ("SceneObjectMetadata",),
    "common.actor_state.state_representation": ("StateSE2", "StateVector2D", "TimePoint"),
    "common.actor_state.static_object": ("StaticObject",),
    "common.actor_state.tracked_objects": ("TrackedObjects",),
    "common.actor_state.tracked_objects_types": ("TrackedObjectType",),
    "common.actor_state.vehicle_parameters": ("VehicleParameters",),
    "common.maps.maps_datatypes": ("TrafficLightStatusData", "TrafficLightStatusType"),
    "planning.simulation.history.simulation_history_buffer": ("SimulationHistoryBuffer",),
    "planning.simulation.observation.observation_type": ("DetectionsTracks",),
    "planning.simulation.planner.abstract_planner": (
        *("AbstractPlanner", "PlannerInitialization", "PlannerInput"),
    ),
    "planning.simulation.simulation_time_controller.simulation_iteration": ("SimulationIteration",),
    "planning.simulation.trajectory.interpolated_trajectory": ("InterpolatedTrajectory",),
}


@dataclass
class StateSE2:
    x: float
    y: float
    heading: float


@dataclass
class StateVector2D:
    x: float
    y: float


@dataclass
class TimePoint:
    time_us: int


class TrackedObjectType(Enum):
    VEHICLE = 0
    PEDESTRIAN = 1
    BICYCLE = 2
    TRAFFIC_CONE = 3
    BARRIER = 4
    CZONE_SIGN = 5
    GENERIC_OBJECT = 6
    EGO = 7


class TrafficLightStatusType(IntEnum):
    GREEN = 0
    YELLOW = 1
    RED = 2
    UNKNOWN = 3


@dataclass
class TrafficLightStatusData:
    status: TrafficLightStatusType
    lane_connector_id: int
    timestamp: int


@dataclass
class SceneObjectMetadata:
    timestamp_us: int
    token: str
    track_id: int | None
    track_token: str | None


@dataclass
class OrientedBox:
    center: StateSE2
    length: float
    width: float
    height: float


@dataclass
class StaticObject:
    tracked_object_type: TrackedObjectType
    box: OrientedBox
    metadata: SceneObjectMetadata

    @property
    def track_token(self) -> str | None:
        return self.metadata.track_token


@dataclass
class Agent:
    tracked_object_type: TrackedObjectType
    box: OrientedBox
    velocity: StateVector2D
    metadata: SceneObjectMetadata

    @property
    def track_token(self) -> str | None:
        return self.metadata.track_token


@dataclass
class TrackedObjects:
    tracked_objects: list[Any]

    def __iter__(self) -> Any:
        return iter(self.tracked_objects)


@dataclass
class DetectionsTracks:
    tracked_objects: TrackedObjects


class VehicleParameters:
    def __init__(
        self, width, front_length, rear_length, cog_position_from_rear_axle, wheel_base, vehicle_name,
        vehicle_type, height=None,
    ) -> None:  # fmt: skip
        self.width, self.length, self.height = width, front_length + rear_length, height
        self.front_length, self.rear_length, self.wheel_base = front_length, rear_length, wheel_base
        self.rear_axle_to_center = 0.5 * self.length - rear_length


@dataclass
class _Car:
    rear_axle_velocity_2d: StateVector2D
    rear_axle_acceleration_2d: StateVector2D
    angular_velocity: float
    angular_acceleration: float


@dataclass
class EgoState:
    rear_axle: StateSE2
    dynamic_car_state: _Car
    tire_steering_angle: float
    time_point: TimePoint
    car_footprint: Any

    @classmethod
    def build_from_rear_axle(
        cls, rear_axle_pose, rear_axle_velocity_2d, rear_axle_acceleration_2d, tire_steering_angle,
        time_point, vehicle_parameters, is_in_auto_mode=True, angular_vel=0.0, angular_accel=0.0,
        tire_steering_rate=0.0,
    ) -> EgoState:  # fmt: skip
        car = _Car(rear_axle_velocity_2d, rear_axle_acceleration_2d, angular_vel, angular_accel)
        footprint = types.SimpleNamespace(vehicle_parameters=vehicle_parameters)
        return cls(rear_axle_pose, car, tire_steering_angle, time_point, footprint)


@dataclass
class SimulationIteration:
    time_point: TimePoint
    index: int

    @property
    def time_us(self) -> int:
        return self.time_point.time_us


@dataclass
class SimulationHistoryBuffer:
    ego_buffer: deque[Any]
    observation_buffer: deque[Any]
    sample_interval: float | None = None

    @property
    def ego_states(self) -> list[Any]:
        return list(self.ego_buffer)

    @property
    def observations(self) -> list[Any]:
        return list(self.observation_buffer)

    @property
    def current_state(self) -> tuple[Any, Any]:
        return self.ego_buffer[-1], self.observation_buffer[-1]

    def append(self, ego: Any, observation: Any) -> None:
        self.ego_buffer.append(ego)
        self.observation_buffer.append(observation)


@dataclass
class PlannerInitialization:
    route_roadblock_ids: list[str]
    mission_goal: StateSE2 | None
    map_api: Any


@dataclass
class PlannerInput:
    iteration: SimulationIteration
    history: SimulationHistoryBuffer
    traffic_light_data: list[TrafficLightStatusData] | None = None


class AbstractPlanner:
    requires_scenario = False

    def compute_trajectory(self, current_input: PlannerInput) -> Any:
        return self.compute_planner_trajectory(current_input)  # type: ignore[attr-defined]


@dataclass
class InterpolatedTrajectory:
    states: list[EgoState]
    times: Any = field(init=False)

    def __post_init__(self) -> None:
        self.times = np.array([s.time_point.time_us for s in self.states])

    def get_sampled_trajectory(self) -> list[EgoState]:
        return self.states

    def get_state_at_time(self, time_point: TimePoint) -> EgoState:
        at = time_point.time_us
        if not self.times[0] <= at <= self.times[-1]:
            raise AssertionError("Interpolation time not in trajectory time window!")
        k = int(np.clip(np.searchsorted(self.times, at, side="right") - 1, 0, len(self.times) - 2))
        a, b = self.states[k], self.states[k + 1]
        u = (at - self.times[k]) / (self.times[k + 1] - self.times[k])

        def mix(p: float, q: float) -> float:
            return float(p + u * (q - p))

        va, vb = a.dynamic_car_state, b.dynamic_car_state
        turn = (b.rear_axle.heading - a.rear_axle.heading + np.pi) % (2.0 * np.pi) - np.pi
        return EgoState.build_from_rear_axle(
            StateSE2(
                mix(a.rear_axle.x, b.rear_axle.x),
                mix(a.rear_axle.y, b.rear_axle.y),
                a.rear_axle.heading + u * turn,
            ),
            StateVector2D(mix(va.rear_axle_velocity_2d.x, vb.rear_axle_velocity_2d.x), 0.0),
            StateVector2D(mix(va.rear_axle_acceleration_2d.x, vb.rear_axle_acceleration_2d.x), 0.0),
            mix(a.tire_steering_angle, b.tire_steering_angle),
            time_point,
            a.car_footprint.vehicle_parameters,
        )


def install() -> list[str]:
    """Put the stub where the devkit would be; returns the names of the modules."""
    made: dict[str, types.ModuleType] = {}
    for dotted, names in NAMES.items():
        parts = f"nuplan.{dotted}".split(".")
        for k in range(1, len(parts) + 1):
            name = ".".join(parts[:k])
            made.setdefault(name, types.ModuleType(name))
            made[name].__path__ = []  # type: ignore[attr-defined]
        for name in names:
            setattr(made[f"nuplan.{dotted}"], name, globals()[name])
    sys.modules.update(made)
    return list(made)
