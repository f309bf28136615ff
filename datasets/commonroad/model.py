"""What a CommonRoad file says, as plain data in the file's own coordinates and time steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.vehicle import AgentKind

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lanelet:
    """One lanelet: bounds `left (N, 2)` and `right (M, 2)`, its graph, markings and references.

    Adjacent lanelets come as (id, whether they run the same way). `stop` is the stop line's two points
    `(2, 2)`; an empty array puts the line at the lanelet's end; None where there is none.
    """

    id: str
    line: int
    left: Floats
    right: Floats
    left_marking: str | None
    right_marking: str | None
    predecessors: tuple[str, ...]
    successors: tuple[str, ...]
    adjacent_left: tuple[str, bool] | None
    adjacent_right: tuple[str, bool] | None
    types: frozenset[str]
    users: frozenset[str]
    speed_limit: float | None
    signs: tuple[str, ...]
    lights: tuple[str, ...]
    stop: Floats | None


@dataclass(frozen=True, slots=True)
class TrafficSign:
    """A sign: pairs of (sign id, its additional values)."""

    id: str
    elements: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """A light: cycle of (colour, duration in time steps), offset in time steps, direction, activity."""

    id: str
    cycle: tuple[tuple[str, int], ...]
    offset: int
    direction: str
    active: bool

    def color(self, step: int) -> str:
        """Colour at a time step: the cycle begins anew at every `offset + n * period`."""
        period = sum(duration for _, duration in self.cycle)
        if not self.active or period <= 0:
            return "inactive"
        at = (step - self.offset) % period
        for color, duration in self.cycle:
            if at < duration:
                return color
            at -= duration
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One arm of an intersection: lanelets that lead in, and those that follow, by direction."""

    lanelets: tuple[str, ...]
    left: tuple[str, ...]
    straight: tuple[str, ...]
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Obstacle:
    """A road user or thing: its box in its own frame and its states.

    `size` length and width in m; `steps (N,)` increasing time steps; `states (N, 5)` x, y, heading, vx,
    vy of the box centre in the columns of `drive.scenario.Tracks`, NaN where the file has none.
    """

    id: str
    type: str
    kind: AgentKind
    static: bool
    size: tuple[float, float]
    steps: NDArray[np.int64]
    states: Floats

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Samples `(N,)` that hold finite values only."""
        return np.asarray(np.isfinite(self.states).all(1))


@dataclass(frozen=True, slots=True, eq=False)
class GoalState:
    """One goal of a planning problem; what is None does not matter. Times in time steps.

    `center (2,)` and `polygon (N, 2)` of the region's first shape; `lanelets` instead where it names some.
    """

    center: Floats | None
    polygon: Floats | None
    lanelets: tuple[str, ...]
    time: tuple[float, float] | None
    heading: tuple[float, float] | None
    speed: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class PlanningProblem:
    """Initial state at the vehicle's centre and the goals, any of which will do."""

    id: str
    step: int
    x: float
    y: float
    heading: float
    speed: float
    acceleration: float
    yaw_rate: float
    goals: tuple[GoalState, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CommonRoadFile:
    """A whole file. `skipped` says what could not be used and why; `buildings` are polygons `(N, 2)`."""

    name: str
    benchmark: str
    version: str
    dt: float
    source: str
    author: str
    tags: tuple[str, ...]
    lanelets: tuple[Lanelet, ...]
    signs: dict[str, TrafficSign]
    lights: dict[str, TrafficLight]
    intersections: tuple[tuple[Incoming, ...], ...]
    obstacles: tuple[Obstacle, ...]
    problems: tuple[PlanningProblem, ...]
    buildings: tuple[Floats, ...] = ()
    skipped: tuple[str, ...] = field(default=())

    @property
    def country(self) -> str:
        """Three letters of the benchmark id; "ZAM" (the format's imaginary country) where it has none."""
        code = self.benchmark.removeprefix("C-")[:3]
        return code if len(code) == 3 and code.isalpha() and code.isupper() else "ZAM"

    @property
    def origin_of_traffic(self) -> str:
        """Where the trajectories come from: "recorded", "simulated" or "handcrafted", by what the file says.

        A scenario that a simulator drives is simulated even where its road was recorded.
        """
        source = self.source.lower()
        if "sumo" in source or "simulated" in self.tags:
            return "simulated"
        if any(name in source for name in RECORDINGS):
            return "recorded"
        return "handcrafted"


RECORDINGS = (
    "ngsim",
    "bmw",
    "highd",
    "ind dataset",
    "round dataset",
    "exid dataset",
    "interaction dataset",
    "ko-haf",
    "argoverse",
    "waymo",
    "nuplan",
)
"""Names of recordings that the `source` attribute of published scenarios gives."""
