"""A storyboard as plain data: entities, their start, and acts of events that wait for conditions.

The names and their meaning are those of ASAM OpenSCENARIO XML 1.0 to 1.3. SI units, scenario coordinates;
an entity's place is that of its rear axle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import AgentKind

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Entity:
    """A road user: box in m, rear axle to box centre in m, and what it can do in m/s and m/s^2."""

    name: str
    kind: AgentKind
    size: tuple[float, float, float]
    rear_to_centre: float
    max_speed: float = 70.0
    max_acceleration: float = 10.0
    max_braking: float = 10.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """A place that does not depend on others: x, y in m, heading in rad."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True, slots=True)
class Beside:
    """`lanes` lanes beside an entity, counted as the map numbers them, `ahead` m along the road's direction.

    `offset` m from that lane's middle, to the left of the road's direction; None keeps the entity's own
    distance from its lane, and adds `left` m.
    """

    entity: str
    lanes: int = 0
    ahead: float = 0.0
    offset: float | None = 0.0
    left: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Near:
    """A place by its distance (x, y) in m from an entity, in its own axes or in the world's."""

    entity: str
    x: float
    y: float
    turn: float = 0.0
    own_axes: bool = True


Place = Fixed | Beside | Near


@dataclass(frozen=True, slots=True)
class Profile:
    """How something changes over: "step", "linear", "cubic" or "sinusoidal"; `value` s, m, or, as a "rate",
    the most per s."""

    shape: str = "step"
    dimension: str = "time"
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Reach a speed in m/s; with an `entity` relative to its: by a "delta" or a "factor"."""

    value: float
    profile: Profile
    entity: str = ""
    relative: str = "delta"
    continuous: bool = False


@dataclass(frozen=True, slots=True)
class ChangeLane:
    """To the lane of that number, or, with an `entity`, so many lanes beside it."""

    lane: int
    profile: Profile
    entity: str = ""
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class ChangeOffset:
    """To an offset in m from the lane's middle, or from an entity's; no more than `acceleration` m/s^2."""

    offset: float
    shape: str = "step"
    acceleration: float | None = None
    entity: str = ""
    continuous: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FollowPoints:
    """Along `points (N, 3)` x, y, heading; at `times (N,)` in s since the action's start, or at one's own
    speed where they are None."""

    points: Floats
    times: Floats | None = None
    of_scenario: bool = False


@dataclass(frozen=True, slots=True)
class Teleport:
    """To be somewhere at once; also how an entity is added."""

    place: Place


@dataclass(frozen=True, slots=True)
class Remove:
    """To be there no longer."""


@dataclass(frozen=True, slots=True)
class KeepDistance:
    """Keep a distance in m, or a gap in s, behind (or before, where negative) an entity."""

    entity: str
    value: float
    in_time: bool = False
    freespace: bool = False
    continuous: bool = True
    acceleration: float | None = None
    braking: float | None = None
    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Synchronise:
    """Be at a place when the `master` is at another one; then at `final` m/s, or with its speed and that much
    more where it is `relative`; None leaves the speed open."""

    master: str
    place: Place
    master_place: Place
    final: float | None = None
    relative: bool = False


@dataclass(frozen=True, slots=True)
class TakeRoute:
    """From now on by way of these places."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class NoMotion:
    """An action that moves nobody (lights, weather, controllers): done as soon as it begins; its name."""

    name: str


Doing = (
    Speed | ChangeLane | ChangeOffset | FollowPoints | Teleport | Remove | KeepDistance | Synchronise
    | TakeRoute | NoMotion
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Test:
    """A condition: what is asked (`kind`, the standard's name without "Condition"), of whom, and how.

    `rule` compares the quantity with `value`. `who` are the triggering entities, `every` whether all have to
    fulfil it. `along` "longitudinal", "lateral" or "euclidean", and `in_lane` whether along the lane.
    """

    kind: str
    rule: str = "greaterOrEqual"
    value: float = 0.0
    who: tuple[str, ...] = ()
    every: bool = False
    entity: str = ""
    place: Place | None = None
    freespace: bool = False
    along: str = "euclidean"
    in_lane: bool = False
    element: str = ""
    state: str = ""
    delay: float = 0.0
    edge: str = "none"


Trigger = tuple[tuple[Test, ...], ...]
"""Groups of tests: one group whose tests all hold is enough. Without a group it never holds."""


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    doing: Doing
    actors: tuple[str, ...] = ()
    """Who acts; empty: the actors of the group."""


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    actions: tuple[Action, ...]
    start: Trigger | None
    priority: str = "parallel"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Maneuver:
    name: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    actors: tuple[str, ...]
    maneuvers: tuple[Maneuver, ...]


@dataclass(frozen=True, slots=True)
class Act:
    name: str
    groups: tuple[Group, ...]
    start: Trigger | None
    stop: Trigger | None = None
    story: str = ""


@dataclass(frozen=True, eq=False)
class Storyboard:
    """All that a file says of its entities; the first of them is the ego.

    `numbers (L,)` are the map's lane numbers, and `leftward (L,)` whether the next greater number lies to the
    left of who drives on the lane: by them lanes are counted.
    """

    entities: tuple[Entity, ...]
    init: tuple[tuple[str, Doing], ...]
    acts: tuple[Act, ...]
    stop: Trigger | None
    numbers: NDArray[np.int32]
    leftward: NDArray[np.bool_]
    digest: str = field(default="")

    @property
    def content_hash(self) -> str:
        """Digest of the file's content, which the reader gives, and of the lanes' numbers."""
        text = f"{self.digest}|{self.numbers.tolist()}|{self.leftward.tolist()}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
