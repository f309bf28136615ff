"""A town as the world needs it: a road map, its signs and lights, and the OpenDRIVE text for clients.

Poses are in CARLA's frame (x, y to the right, z, then pitch, yaw, roll in degrees). The map itself keeps its
own axes, y to the left, with the file's origin. Readers of files make towns (drive.datasets.opendrive).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.roadmap import RoadMap

Pose = tuple[float, float, float, float, float, float]
Triple = tuple[float, float, float]

TRAFFIC_LIGHT, STOP_SIGN, YIELD_SIGN, SPEED_SIGN = (
    "traffic.traffic_light",
    "traffic.stop",
    "traffic.yield",
    "traffic.speed_limit",
)


@dataclass(frozen=True, slots=True)
class Sign:
    """A traffic light or sign: its OpenDRIVE id, actor type, pose, and trigger box in its own axes.

    The box's x runs across the lanes it is meant for, `heading` is the degrees in which they drive; `value`
    is a speed limit in km/h.
    """

    id: str
    type: str
    pose: Pose
    center: Triple
    half: Triple
    heading: float
    value: float = 0.0

    @property
    def type_id(self) -> str:
        return f"{self.type}.{self.value:g}" if self.type == SPEED_SIGN else self.type


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """A map and what stands in it.

    `phases` gives by junction the signal ids that are green one after another; `geo` latitude and longitude
    of the origin in degrees.
    """

    name: str
    xodr: str
    roadmap: RoadMap
    signs: tuple[Sign, ...]
    phases: tuple[tuple[tuple[str, ...], ...], ...]
    geo: tuple[float, float] = (42.0, 2.0)
    notes: tuple[str, ...] = field(default=())
