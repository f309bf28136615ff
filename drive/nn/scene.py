"""One moment as a network sees it: fixed arrays in the ego's frame (rear axle, x forward, y left).

The columns are named once, here; `drive.sim.sensors.vector` fills them, networks read them, training sets
store them. All arrays are float32; masks are bool. Nothing is normalised: that is the networks' affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

EGO_COLUMNS = (
    "speed", "acceleration", "steering", "yaw_rate", "limit", "offset", "heading", "stop_distance",
    "red_distance", "goal_distance", "length", "width", "rear_to_centre", "wheelbase",
)  # fmt: skip
"""m/s, m/s^2, rad, rad/s; the way's speed limit here in m/s; the ego's lateral offset from the way in m and
its heading on it in rad; metres from the front bumper to the next give-way line, to the next line whose
signal is red, and to the end of the route, at most `FAR`; then its body in m. A line that the bumper has
passed by up to 1 m still counts, its distance negative. Without a way limit, offset and heading are 0."""
AGENT_COLUMNS = ("x", "y", "cosine", "sine", "vx", "vy")
"""Box centres now and before: m, heading in the ego's frame, velocity over ground in m/s."""
BODY_COLUMNS = ("length", "width", "existence", "vehicle", "pedestrian", "bicycle", "static")
LANE_COLUMNS = ("x", "y", "cosine", "sine", "half_width")
LANE_INFO_COLUMNS = (
    "limit", "on_route", "intersection", "gives_way", "unsignalled", "green", "yellow", "red",
)  # fmt: skip
EDGE_COLUMNS = ("x", "y")
ROUTE_COLUMNS = ("x", "y", "cosine", "sine", "curvature", "limit", "room_left", "room_right", "station")
"""Points of the way: `room` is the distance from the line to the edge of the drivable area, at most 12 m;
`station` in m from the ego's foot, negative behind."""
FAR = 200.0


@dataclass(frozen=True, slots=True)
class SceneSizes:
    """How much of a scene is kept.

    The `agents` nearest, at `history` moments every `history_dt` s (the last is now); `lanes` pieces of lane
    centrelines of `lane_points` points over `lane_length` m each; `edges` pieces of the drivable area's
    outline of `edge_points` points, about `edge_length` m each; none of these farther than `reach` m; `route`
    points of the way every `route_step` m, the first `route_behind` m behind the ego.
    """

    agents: int = 24
    history: int = 4
    history_dt: float = 0.5
    lanes: int = 40
    lane_points: int = 5
    lane_length: float = 20.0
    edges: int = 40
    edge_points: int = 4
    edge_length: float = 12.0
    route: int = 64
    route_step: float = 2.0
    route_behind: float = 8.0
    reach: float = 80.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0.0 < value < np.inf:
                raise InputError(f"a scene's {name} must be positive and finite, got {value}")


class SceneArrays(NamedTuple):
    """Arrays of one moment, or of B with a leading axis; NumPy arrays or tensors.

    Rows that are not valid hold zeros. Agents come nearest first, pieces of lanes and edges too.
    """

    ego: Any  # (14,) EGO_COLUMNS
    agents: Any  # (A, H, 6) AGENT_COLUMNS, oldest first
    agents_valid: Any  # (A, H) bool; an agent that is not valid now is not listed
    bodies: Any  # (A, 7) BODY_COLUMNS
    lanes: Any  # (L, P, 5) LANE_COLUMNS
    lane_info: Any  # (L, 8) LANE_INFO_COLUMNS
    lanes_valid: Any  # (L,) bool
    edges: Any  # (E, Q, 2) EDGE_COLUMNS, the road on their left
    edges_valid: Any  # (E,) bool
    route: Any  # (R, 9) ROUTE_COLUMNS
    route_valid: Any  # (R,) bool


def scene_shapes(sizes: SceneSizes) -> SceneArrays:
    """The shape of each array of one moment."""
    s = sizes
    return SceneArrays(
        (len(EGO_COLUMNS),),
        (s.agents, s.history, len(AGENT_COLUMNS)),
        (s.agents, s.history),
        (s.agents, len(BODY_COLUMNS)),
        (s.lanes, s.lane_points, len(LANE_COLUMNS)),
        (s.lanes, len(LANE_INFO_COLUMNS)),
        (s.lanes,),
        (s.edges, s.edge_points, len(EDGE_COLUMNS)),
        (s.edges,),
        (s.route, len(ROUTE_COLUMNS)),
        (s.route,),
    )


def is_mask(name: str) -> bool:
    """Whether a field of `SceneArrays` is a mask."""
    return name.endswith("_valid")


def empty_scene(sizes: SceneSizes) -> SceneArrays:
    """A moment of which nothing is known: zeros, nothing valid."""
    shapes = scene_shapes(sizes)
    return SceneArrays(
        *(
            np.zeros(shape, dtype=np.bool_ if is_mask(name) else np.float32)
            for name, shape in zip(SceneArrays._fields, shapes, strict=True)
        )
    )


def stack_scenes(scenes: Sequence[SceneArrays]) -> SceneArrays:
    """Several moments as one, with a leading axis."""
    return SceneArrays(*(np.stack(arrays) for arrays in zip(*scenes, strict=True)))


__all__ = [
    "AGENT_COLUMNS",
    "BODY_COLUMNS",
    "EDGE_COLUMNS",
    "EGO_COLUMNS",
    "FAR",
    "LANE_COLUMNS",
    "LANE_INFO_COLUMNS",
    "ROUTE_COLUMNS",
    "SceneArrays",
    "SceneSizes",
    "empty_scene",
    "is_mask",
    "scene_shapes",
    "stack_scenes",
]
