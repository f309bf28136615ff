"""States between the devkit's objects and our rows.

The devkit's positions are in its map's projection (metres of some 1e6), ours relative to an `origin`; its
times are whole microseconds, ours seconds from the scenario's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nuplan.common.actor_state.agent import Agent
from nuplan.common.actor_state.ego_state import EgoState
from nuplan.common.actor_state.oriented_box import OrientedBox
from nuplan.common.actor_state.scene_object import SceneObjectMetadata
from nuplan.common.actor_state.state_representation import StateSE2, StateVector2D, TimePoint
from nuplan.common.actor_state.static_object import StaticObject
from nuplan.common.actor_state.tracked_objects import TrackedObjects
from nuplan.common.actor_state.tracked_objects_types import TrackedObjectType
from nuplan.common.actor_state.vehicle_parameters import VehicleParameters
from nuplan.common.maps.maps_datatypes import TrafficLightStatusData, TrafficLightStatusType
from nuplan.planning.simulation.observation.observation_type import DetectionsTracks

from drive.scenario import SignalState
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]
    Place = tuple[float, float]

KIND_OF = {
    TrackedObjectType.VEHICLE: AgentKind.VEHICLE,
    TrackedObjectType.BICYCLE: AgentKind.BICYCLE,
    TrackedObjectType.PEDESTRIAN: AgentKind.PEDESTRIAN,
    TrackedObjectType.TRAFFIC_CONE: AgentKind.STATIC,
    TrackedObjectType.BARRIER: AgentKind.STATIC,
    TrackedObjectType.CZONE_SIGN: AgentKind.STATIC,
    TrackedObjectType.GENERIC_OBJECT: AgentKind.STATIC,
}
"""The devkit's types; all but the first three are static objects there, without a velocity."""

_TYPE_OF = {
    AgentKind.BICYCLE: TrackedObjectType.BICYCLE,
    AgentKind.PEDESTRIAN: TrackedObjectType.PEDESTRIAN,
    AgentKind.STATIC: TrackedObjectType.GENERIC_OBJECT,
    AgentKind.UNKNOWN: TrackedObjectType.GENERIC_OBJECT,
}
_SIGNAL_OF = {
    TrafficLightStatusType.GREEN: SignalState.GREEN,
    TrafficLightStatusType.YELLOW: SignalState.YELLOW,
    TrafficLightStatusType.RED: SignalState.RED,
}
_STATUS_OF = {ours: theirs for theirs, ours in _SIGNAL_OF.items()}


def vehicle_params(devkit: VehicleParameters) -> VehicleParams:
    """The ego's size, with our default limits."""
    return VehicleParams(
        length=devkit.length,
        width=devkit.width,
        height=devkit.height or VehicleParams().height,
        wheelbase=devkit.wheel_base,
        rear_axle_to_center=devkit.rear_axle_to_center,
    )


def devkit_vehicle(vehicle: VehicleParams) -> VehicleParameters:
    """Ours as the devkit's parameters."""
    rear = 0.5 * vehicle.length - vehicle.rear_axle_to_center
    return VehicleParameters(
        width=vehicle.width,
        front_length=vehicle.length - rear,
        rear_length=rear,
        cog_position_from_rear_axle=vehicle.rear_axle_to_center,
        wheel_base=vehicle.wheelbase,
        vehicle_name="ego",
        vehicle_type="ours",
        height=vehicle.height,
    )


def ego_row(state: EgoState, origin: Place) -> Floats:
    """The rear-axle state `(7,)`. A lateral velocity or acceleration, which only a log has, is left out."""
    rear, car = state.rear_axle, state.dynamic_car_state
    return np.array(
        [
            rear.x - origin[0],
            rear.y - origin[1],
            rear.heading,
            car.rear_axle_velocity_2d.x,
            car.rear_axle_acceleration_2d.x,
            state.tire_steering_angle,
            car.angular_velocity,
        ],
        dtype=np.float64,
    )


def ego_state(row: Floats, time_us: int, origin: Place, vehicle: VehicleParameters) -> EgoState:
    """Inverse of `ego_row`."""
    x, y, heading, speed, acceleration, steering, yaw_rate = row[:7].tolist()
    return EgoState.build_from_rear_axle(
        rear_axle_pose=StateSE2(x + origin[0], y + origin[1], heading),
        rear_axle_velocity_2d=StateVector2D(speed, 0.0),
        rear_axle_acceleration_2d=StateVector2D(acceleration, 0.0),
        tire_steering_angle=steering,
        time_point=TimePoint(time_us),
        vehicle_parameters=vehicle,
        angular_vel=yaw_rate,
    )


def object_row(thing: Any, origin: Place) -> tuple[float, float, float, float, float]:
    """An object's (x, y, heading, vx, vy) at its centre, in `drive.scenario.TRACK_COLUMNS`."""
    center = thing.box.center
    velocity = getattr(thing, "velocity", None)
    vx, vy = (0.0, 0.0) if velocity is None else (float(velocity.x), float(velocity.y))
    if not (np.isfinite(vx) and np.isfinite(vy)):
        vx = vy = 0.0  # logs hold NaN where a track has one box alone
    return center.x - origin[0], center.y - origin[1], center.heading, vx, vy


def detections(
    rows: Floats, size: Floats, kind: NDArray[np.uint8], names: Sequence[str], time_us: int, origin: Place
) -> DetectionsTracks:
    """Road users `rows (A, 5)` as the devkit's observation, in the order of its types."""
    found = []
    for row, extent, of, name in zip(rows.tolist(), size.tolist(), kind.tolist(), names, strict=True):
        x, y, heading, vx, vy = row
        box = OrientedBox(StateSE2(x + origin[0], y + origin[1], heading), *extent)
        about = SceneObjectMetadata(time_us, f"{name}@{time_us}", None, name)
        group = _TYPE_OF.get(AgentKind(of), TrackedObjectType.VEHICLE)
        if group is TrackedObjectType.GENERIC_OBJECT:
            found.append(StaticObject(group, box, about))
        else:
            found.append(Agent(group, box, StateVector2D(vx, vy), about))
    return DetectionsTracks(TrackedObjects(found))


class Signals:
    """Where a map's signals stand in the devkit's terms: one light for each lane connector."""

    def __init__(self, roadmap: RoadMap) -> None:
        self.count = len(roadmap.signal_ids)
        lanes = np.flatnonzero(roadmap.signal >= 0).tolist()
        self.of_lane = {roadmap.lane_ids[lane]: int(roadmap.signal[lane]) for lane in lanes}

    def read(self, status: Iterable[TrafficLightStatusData] | None) -> NDArray[np.uint8]:
        """States `(S,)` of the map's signals; who is not mentioned is unknown."""
        out = np.zeros(self.count, dtype=np.uint8)
        for light in status or ():
            signal = self.of_lane.get(str(light.lane_connector_id))
            if signal is not None:
                out[signal] = _SIGNAL_OF.get(light.status, SignalState.UNKNOWN)
        return out

    def write(self, states: NDArray[np.uint8], time_us: int) -> list[TrafficLightStatusData]:
        """The devkit's list for states `(S,)`; lanes whose id is no number are no connectors there."""
        return [
            TrafficLightStatusData(
                _STATUS_OF.get(SignalState(int(states[signal])), TrafficLightStatusType.UNKNOWN),
                int(lane),
                time_us,
            )
            for lane, signal in self.of_lane.items()
            if lane.isdigit()
        ]
