"""What an OpenSCENARIO file says, as plain data: SI units, names and values the format's own.

Parameters are resolved. What is not understood is an `Unsupported` with the element's name, in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.vehicle import AgentKind


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An action, condition or position that is not read."""

    name: str


# --- Positions. Angles in rad; `heading` None: along the lane or road.


@dataclass(frozen=True, slots=True)
class Orientation:
    """A heading, absolute or relative to what the position refers to."""

    heading: float
    relative: bool


@dataclass(frozen=True, slots=True)
class WorldPosition:
    x: float
    y: float
    heading: float


@dataclass(frozen=True, slots=True)
class LanePosition:
    """On lane `lane` of an OpenDRIVE road at station `s`, `offset` m to the left of the lane's middle."""

    road: str
    lane: int
    s: float
    offset: float
    orientation: Orientation | None


@dataclass(frozen=True, slots=True)
class RoadPosition:
    road: str
    s: float
    t: float
    orientation: Orientation | None


@dataclass(frozen=True, slots=True)
class RelativeLanePosition:
    """`lanes` further and `ds` m ahead of an entity; along its lane, or else along the road."""

    entity: str
    lanes: int
    ds: float
    along_lane: bool
    offset: float
    orientation: Orientation | None


@dataclass(frozen=True, slots=True)
class RelativeRoadPosition:
    entity: str
    ds: float
    dt: float
    orientation: Orientation | None


@dataclass(frozen=True, slots=True)
class RelativePosition:
    """(dx, dy) from an entity, in its own frame or, with `world`, in the world's."""

    entity: str
    dx: float
    dy: float
    world: bool
    orientation: Orientation | None


Position = (
    WorldPosition
    | LanePosition
    | RoadPosition
    | RelativeLanePosition
    | RelativeRoadPosition
    | RelativePosition
    | Unsupported
)


# --- Actions.


@dataclass(frozen=True, slots=True)
class Dynamics:
    """How a change is made: `shape` "step", "linear", "sinusoidal" or "cubic" over a `dimension` "time" (s),
    "distance" (m) or "rate" (per s)."""

    shape: str
    dimension: str
    value: float


@dataclass(frozen=True, slots=True)
class Teleport:
    position: Position


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """To `value` m/s; with an `entity` that much above its speed, or with `factor` that many times it."""

    dynamics: Dynamics
    value: float
    entity: str | None = None
    factor: bool = False
    continuous: bool = False


@dataclass(frozen=True, slots=True)
class ChangeLane:
    """To lane `value`; with an `entity` that many lanes to the left of its lane."""

    dynamics: Dynamics
    value: int
    entity: str | None
    offset: float


@dataclass(frozen=True, slots=True)
class OffsetInLane:
    """To `value` m left of the lane's middle, or of where the entity is in its lane."""

    shape: str
    max_lateral_acceleration: float | None
    value: float
    entity: str | None
    continuous: bool


@dataclass(frozen=True, slots=True)
class KeepDistance:
    """Keep a distance in m or a time gap in s to an entity."""

    entity: str
    distance: float | None
    time_gap: float | None
    freespace: bool
    continuous: bool


@dataclass(frozen=True, slots=True)
class FollowTrajectory:
    """A polyline of positions; `times` in s where each is reached, or empty; `following` "position"/"follow".

    `timing` (relative, scale, offset) where the times count, else None: only the way does.
    """

    times: tuple[float, ...]
    positions: tuple[Position, ...]
    closed: bool
    following: str
    timing: tuple[bool, float, float] | None


@dataclass(frozen=True, slots=True)
class AssignRoute:
    waypoints: tuple[Position, ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class AddEntity:
    entity: str
    position: Position


@dataclass(frozen=True, slots=True)
class DeleteEntity:
    entity: str


Action = (
    Teleport
    | SetSpeed
    | ChangeLane
    | OffsetInLane
    | KeepDistance
    | FollowTrajectory
    | AssignRoute
    | AddEntity
    | DeleteEntity
    | Unsupported
)


# --- Conditions.


@dataclass(frozen=True, slots=True)
class Compare:
    """A quantity against a value by a `rule` ("lessThan", "greaterOrEqual", …).

    `what` "time" (simulation), "speed", "relative_speed", "acceleration", "headway", "ttc", "distance" (to an
    entity or position), "traveled", "standstill", "end_of_road" or "offroad" (durations in s).
    `axis` "longitudinal", "lateral" or "euclidian" where the distance is meant so.
    """

    what: str
    rule: str
    value: float
    entity: str | None = None
    position: Position | None = None
    freespace: bool = False
    axis: str = ""
    along_road: bool = False


@dataclass(frozen=True, slots=True)
class ReachPosition:
    position: Position
    tolerance: float


@dataclass(frozen=True, slots=True)
class ElementState:
    """A storyboard element of a kind ("act", "event", "action" …) is in, or goes through, a state."""

    kind: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class ParameterIs:
    name: str
    rule: str
    value: str


@dataclass(frozen=True, slots=True)
class Collides:
    """With an entity, or with any of a type."""

    entity: str | None


Test = Compare | ReachPosition | ElementState | ParameterIs | Collides | Unsupported


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of any of `entities`, with `every` of all; its edge ("rising", "none" …), its delay in s."""

    name: str
    test: Test
    entities: tuple[str, ...] = ()
    every: bool = False
    edge: str = "none"
    delay: float = 0.0


Trigger = tuple[tuple[Condition, ...], ...]
"""Groups, of which one must hold; a group holds when all its conditions do."""


# --- The storyboard.


@dataclass(frozen=True, slots=True)
class Event:
    """Actions started together, without a `start` with their maneuver. `priority` "override", "skip" …"""

    name: str
    priority: str
    most: int
    actions: tuple[tuple[str, Action], ...]
    start: Trigger | None


@dataclass(frozen=True, slots=True)
class ManeuverGroup:
    name: str
    most: int
    actors: tuple[str, ...]
    by_trigger: bool
    maneuvers: tuple[tuple[str, tuple[Event, ...]], ...]


@dataclass(frozen=True, slots=True)
class Act:
    name: str
    groups: tuple[ManeuverGroup, ...]
    start: Trigger | None
    stop: Trigger | None


@dataclass(frozen=True, slots=True)
class Entity:
    """A road user or thing: its box in m, and the box centre's x ahead of the rear axle (0 where unknown)."""

    name: str
    kind: AgentKind
    category: str
    length: float
    width: float
    height: float
    center_x: float
    wheelbase: float | None
    max_speed: float | None


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A whole file. `road` is its road network's path as written, resolved from the file's own folder by who
    opens it. `init` are (entity, action) in order, the entity empty for what concerns nobody. `skipped`
    counts by name what is not read."""

    name: str
    version: str
    description: str
    road: str
    parameters: dict[str, str]
    entities: tuple[Entity, ...]
    init: tuple[tuple[str, Action], ...]
    acts: tuple[Act, ...]
    stop: Trigger | None
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(e for a in self.acts for g in a.groups for _, events in g.maneuvers for e in events)
