"""What differs between the client releases that the server speaks to.

The orders are those of the clients themselves: the C++ type names in the installed wheels name the sensors in
the order of their registry (`CompositeSerializer<...>`), and the batch commands were read off the wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drive.errors import UnknownNameError

_SENSORS_0_9_15 = (
    "collision",
    "camera.depth",
    "camera.normals",
    "camera.dvs",
    "gnss",
    "imu",
    "lane_invasion",
    "obstacle",
    "camera.optical_flow",
    "radar",
    "lidar.ray_cast_semantic",
    "lidar.ray_cast",
    "rss",
    "camera.rgb",
    "camera.semantic_segmentation",
    "camera.instance_segmentation",
    "world_observer",
    "gbuffer_uint8",
    "gbuffer_float",
)
_AT = _SENSORS_0_9_15.index("world_observer")
_SENSORS_0_9_16 = (
    *_SENSORS_0_9_15[:_AT],
    "camera.cosmos_visualization",
    *_SENSORS_0_9_15[_AT:],
    "v2x",
    "v2x_custom",
)

COMMANDS = (
    "spawn",
    "destroy",
    "vehicle_control",
    "ackermann_control",
    "walker_control",
    "physics_control",
    "transform",
    "walker_state",
    "target_velocity",
    "target_angular_velocity",
    "impulse",
    "force",
    "angular_impulse",
    "torque",
    "simulate_physics",
    "enable_gravity",
    "autopilot",
    "show_debug_telemetry",
    "light_state",
    "console_command",
    "traffic_light_state",
)
"""The batch commands by their index on the wire."""


@dataclass(frozen=True, slots=True)
class Version:
    """One release of the client: the numbers that it expects."""

    name: str
    attribute_base: int
    """The code of the attribute type `bool`; int, float, string and color follow."""
    sensors: tuple[str, ...]
    y_is_north: bool
    """Whether the client's map takes y for north: its `transform_to_geolocation` changed sign with 0.9.16."""
    _types: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    def attribute_type(self, name: str) -> int:
        return self.attribute_base + ("bool", "int", "float", "string", "color").index(name)

    def sensor_type(self, kind: str) -> int:
        """The type index that heads a stream's record."""
        if not self._types:
            self._types.update({name: at for at, name in enumerate(self.sensors)})
        return self._types[kind]


VERSIONS = {
    "0.9.15": Version("0.9.15", 0, _SENSORS_0_9_15, False),
    "0.9.16": Version("0.9.16", 1, _SENSORS_0_9_16, True),
}
DEFAULT = "0.9.16"


def version(name: str) -> Version:
    """The release of that name. Raises UnknownNameError."""
    if name not in VERSIONS:
        raise UnknownNameError("version of the CARLA client", name, VERSIONS)
    return VERSIONS[name]
