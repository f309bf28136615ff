"""A scenario: the environment, the log of what happened in it, and what the ego is asked to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import ScenarioError
from drive.roadmap.model import RoadMap, hash_arrays
from drive.vehicle import STATE_SIZE, AgentKind, RoverParams, VehicleParams, center_to_rear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.terrain import Terrain

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

TRACK_X, TRACK_Y, TRACK_HEADING, TRACK_VX, TRACK_VY = range(5)
TRACK_COLUMNS = ("x", "y", "heading", "vx", "vy")
"""Columns of a track's state at its box centre: m, m, rad, and the velocity in scenario axes, m/s."""


def _keep(owner: object, **dtypes: type) -> None:
    """Hold the named arrays of a frozen dataclass as read-only views of a fixed type."""
    for name, dtype in dtypes.items():
        value = getattr(owner, name)
        if value is not None:
            view: NDArray[Any] = np.ascontiguousarray(value, dtype=dtype).view()
            view.flags.writeable = False
            object.__setattr__(owner, name, view)


class SignalState(IntEnum):
    """State of a traffic signal; values are stored in files and read by kernels."""

    UNKNOWN = 0
    GREEN = 1
    YELLOW = 2
    RED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The log of all road users, the ego among them, on the scenario's clock.

    `states (A, T, 5)` in `TRACK_COLUMNS`, `valid (A, T)`, `size (A, 3)` length, width, height in m,
    `kind (A,)` of `AgentKind`, `rear_to_centre (A,)` in m, `ids` of the source. States that are not
    valid hold zeros. The arrays are kept as read-only views.
    """

    states: Floats
    valid: Bools
    size: Floats
    kind: NDArray[np.uint8]
    rear_to_centre: Floats
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        _keep(
            self, states=np.float64, valid=np.bool_, size=np.float64, kind=np.uint8, rear_to_centre=np.float64
        )
        if self.valid.ndim != 2:
            raise ScenarioError(f"tracks need a valid mask (A, T), got {self.valid.shape}")
        a, t = self.valid.shape
        found = tuple(getattr(self, f.name).shape for f in fields(self)[:5])
        if found != ((a, t, len(TRACK_COLUMNS)), (a, t), (a, 3), (a,), (a,)) or len(self.ids) != a:
            raise ScenarioError(f"tracks of {len(self.ids)} ids disagree about their shapes: {found}")
        if not np.isfinite(self.states[self.valid]).all():
            raise ScenarioError("a track holds values that are not finite while it is marked valid")
        if not bool((np.isfinite(self.size) & (self.size > 0.0)).all()):
            raise ScenarioError("a track has a size that is not positive and finite")
        if not np.isfinite(self.rear_to_centre).all():
            raise ScenarioError("a track's distance from rear axle to centre is not finite")

    @property
    def num_agents(self) -> int:
        return int(self.valid.shape[0])

    @property
    def num_steps(self) -> int:
        return int(self.valid.shape[1])

    @property
    def speed(self) -> Floats:
        """Speeds `(A, T)` in m/s."""
        return np.asarray(np.hypot(self.states[..., TRACK_VX], self.states[..., TRACK_VY]))

    def rear_axle_poses(self, agent: int) -> Floats:
        """Rear-axle poses `(T, 3)` of one agent."""
        s = self.states[agent]
        rear = center_to_rear(s[:, :2], s[:, TRACK_HEADING], self.rear_to_centre[agent])
        return np.concatenate((rear, s[:, TRACK_HEADING : TRACK_HEADING + 1]), axis=1)

    def select(self, agents: NDArray[Any]) -> Tracks:
        """The tracks of `agents` (indices or mask) alone."""
        index = np.arange(self.num_agents)[agents]
        return Tracks(
            self.states[index],
            self.valid[index],
            self.size[index],
            self.kind[index],
            self.rear_to_centre[index],
            tuple(self.ids[i] for i in index),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """Where the ego should end up; what is None does not matter.

    `position (2,)`; `polygon (N, 2)` to be inside of with the centre; `lanes` of the map, any of them;
    intervals (low, high) of heading in rad, speed in m/s and time in s.
    """

    position: Floats | None = None
    polygon: Floats | None = None
    lanes: tuple[int, ...] = ()
    heading: tuple[float, float] | None = None
    speed: tuple[float, float] | None = None
    time: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _keep(self, position=np.float64, polygon=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What the ego is told of its way: lanes, their groups, a polyline, the goal and spoken commands.

    `lanes` are map indices, consecutive ones successors or neighbours; `groups` the lane groups along
    them; `line (N, 2)` the reference line; `commands` pairs of (station on the line in m, "left" |
    "right" | "straight" | "lane_left" | "lane_right" | "follow"). All may be empty: no route known.
    """

    lanes: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    line: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    goal: Goal = field(default_factory=Goal)
    commands: tuple[tuple[float, str], ...] = ()

    def __post_init__(self) -> None:
        _keep(self, line=np.float64)
        if self.line.ndim != 2 or self.line.shape[1] != 2 or not np.isfinite(self.line).all():
            raise ScenarioError(f"a route's line needs finite points (N, 2), got {self.line.shape}")

    @property
    def known(self) -> bool:
        return len(self.line) >= 2


STAND_IN = "idm"
"""Source of an expert who stands in where no driver exists: it follows from the rest of the scenario."""


@dataclass(frozen=True, slots=True, eq=False)
class Expert:
    """The motion that the ego's progress is measured against, and where it comes from.

    `states (T, 7)` at the rear axle on the scenario's clock; `source` is "human" for a recorded
    driver, "generated" for a simulated human, or a planner's name ("idm") where no driver exists.
    """

    states: Floats
    source: str

    def __post_init__(self) -> None:
        _keep(self, states=np.float64)
        if self.states.ndim != 2 or self.states.shape[1] < STATE_SIZE:
            raise ScenarioError(f"an expert needs states (T, {STATE_SIZE}), got {self.states.shape}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a scenario comes from: file name (never a path), format, licence, generator version, seed."""

    source: str = ""
    format: str = ""
    licence: str = ""
    generator: str = ""
    seed: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Scenario:
    """Immutable. Equal inputs give an equal `content_hash`.

    `duration / dt + 1` samples; the tracks and signals cover them. Positions are relative to
    `origin`, a float64 pair of the source's coordinates. `initial (7,)` is the ego's rear-axle state at
    time 0; `ego` the row of the ego's own track. `signals (S, T)` of `SignalState` in the order of the
    map's `signal_ids`. `rover` is the ego's body where the environment is a terrain. `live` holds, by the
    name of a traffic model, what that model needs of the source beside the log: a simulator's files, a
    storyboard. Its values have a `content_hash`, which is part of the scenario's.
    """

    id: str
    dt: float
    duration: float
    environment: RoadMap | Terrain
    tracks: Tracks
    ego: int
    initial: Floats
    vehicle: VehicleParams
    route: Route
    expert: Expert | None
    signals: NDArray[np.uint8]
    origin: tuple[float, float] = (0.0, 0.0)
    family: str = ""
    tags: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    rover: RoverParams | None = None
    live: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _keep(self, initial=np.float64, signals=np.uint8)
        where = f"scenario '{self.id}':"
        if not (0.0 < self.dt <= 1.0) or not np.isfinite(self.duration) or self.duration < self.dt:
            raise ScenarioError(f"{where} dt {self.dt} s and duration {self.duration} s make no clock")
        n = self.num_steps + 1
        if abs(self.num_steps * self.dt - self.duration) > 1e-3 * self.dt:
            raise ScenarioError(f"{where} duration {self.duration} s is no multiple of dt {self.dt} s")
        if self.tracks.num_steps != n:
            raise ScenarioError(f"{where} tracks cover {self.tracks.num_steps} samples, not {n}")
        if not 0 <= self.ego < self.tracks.num_agents:
            raise ScenarioError(f"{where} no track is the ego ({self.ego})")
        if self.initial.ndim != 1 or len(self.initial) < STATE_SIZE or not np.isfinite(self.initial).all():
            raise ScenarioError(f"{where} the ego's initial state must be {STATE_SIZE} finite numbers")
        if self.signals.ndim != 2 or self.signals.shape[1] != n:
            raise ScenarioError(f"{where} signals cover {self.signals.shape}, not (S, {n})")
        if self.signals.size and self.signals.max() > max(SignalState):
            raise ScenarioError(f"{where} a signal has the unknown state {self.signals.max()}")
        if self.expert is not None and len(self.expert.states) != n:
            raise ScenarioError(f"{where} the expert covers {len(self.expert.states)} samples, not {n}")
        if isinstance(self.environment, RoadMap):
            lights, lanes = len(self.environment.signal_ids), self.environment.num_lanes
            # Kernels index with these without a check.
            if len(self.signals) != lights:
                raise ScenarioError(f"{where} it has states of {len(self.signals)} signals, its map {lights}")
            if any(not 0 <= lane < lanes for lane in (*self.route.lanes, *self.route.goal.lanes)):
                raise ScenarioError(f"{where} its route names a lane that the map does not have")

    @property
    def num_steps(self) -> int:
        """Simulation steps; samples are one more."""
        return round(self.duration / self.dt)

    @property
    def times(self) -> Floats:
        """Times `(N,)` of the samples in s."""
        return np.asarray(self.dt * np.arange(self.num_steps + 1), dtype=np.float64)

    @property
    def roadmap(self) -> RoadMap:
        """The environment as a road map; raises ScenarioError on a terrain."""
        if not isinstance(self.environment, RoadMap):
            raise ScenarioError(f"scenario '{self.id}' has a terrain, not a road map")
        return self.environment

    @cached_property
    def content_hash(self) -> str:
        """Digest of everything that a run depends on; names, tags, origin and provenance do not count."""
        t = self.tracks
        arrays: dict[str, NDArray[Any]] = {
            "track_states": t.states,
            "track_valid": t.valid,
            "track_size": t.size,
            "track_kind": t.kind,
            "track_rear": t.rear_to_centre,
            "initial": self.initial,
            "signals": self.signals,
            "route_lanes": np.asarray(self.route.lanes, dtype=np.int64),
            "route_groups": np.asarray(self.route.groups, dtype=np.int64),
            "route_line": self.route.line,
        }
        goal = self.route.goal
        places = {"goal_position": goal.position, "goal_polygon": goal.polygon}
        arrays |= {name: points for name, points in places.items() if points is not None}
        # A stand-in follows from the rest: with and without it the scenario is the same one.
        if self.expert is not None and self.expert.source != STAND_IN:
            arrays["expert"] = self.expert.states
        meta = {
            "environment": self.environment.content_hash,
            "arrays": hash_arrays(arrays),
            "dt": float(self.dt),
            "duration": float(self.duration),
            "ego": int(self.ego),
            "vehicle": asdict(self.vehicle),
            "rover": None if self.rover is None else asdict(self.rover),
            "expert_source": None
            if self.expert is None or self.expert.source == STAND_IN
            else self.expert.source,
            "commands": [(float(station), word) for station, word in self.route.commands],
            "goal_lanes": [int(lane) for lane in goal.lanes],
            "goal": [pair and [float(v) for v in pair] for pair in (goal.heading, goal.speed, goal.time)],
        }
        if self.live:
            meta["live"] = {name: str(value.content_hash) for name, value in self.live.items()}
        text = json.dumps(meta, sort_keys=True)
        return hash_arrays({"meta": np.frombuffer(text.encode(), dtype=np.uint8)})

    def with_(self, **changes: Any) -> Scenario:
        """A copy with some fields replaced."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is fixed for one run and known to the planner. Nothing of the future.

    `log` is the scenario itself, given only to planners whose spec says that they are privileged.
    """

    environment: RoadMap | Terrain
    route: Route
    vehicle: VehicleParams
    dt: float
    duration: float
    seed: int = 0
    log: Scenario | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    rover: RoverParams | None = None

    @property
    def roadmap(self) -> RoadMap:
        """The environment as a road map; raises ScenarioError on a terrain."""
        if not isinstance(self.environment, RoadMap):
            raise ScenarioError("this planner needs a road map and was given a terrain")
        return self.environment

    @classmethod
    def of(cls, scenario: Scenario, seed: int = 0, privileged: bool = False) -> Task:
        """The task of a scenario's ego."""
        return cls(
            scenario.environment,
            scenario.route,
            scenario.vehicle,
            scenario.dt,
            scenario.duration,
            seed,
            scenario if privileged else None,
            rover=scenario.rover,
        )


def tracks_from_rows(
    rows: list[tuple[str, AgentKind, tuple[float, float, float], Floats, Bools]],
    rear_fraction: float = 0.28,
) -> Tracks:
    """Tracks from rows of (id, kind, (length, width, height), states (T, 5), valid (T,)).

    The rear axle of motor vehicles is taken `rear_fraction` of the length behind the centre; other
    road users turn about their centre.
    """
    if not rows:
        raise ScenarioError("a scenario needs at least one track: the ego's")
    kinds = np.asarray([int(r[1]) for r in rows], dtype=np.uint8)
    size = np.asarray([r[2] for r in rows], dtype=np.float64).reshape(-1, 3)
    motor = np.asarray([r[1].is_motor_vehicle for r in rows], dtype=np.bool_)
    states = np.stack([np.where(r[4][:, None], r[3], 0.0) for r in rows])
    return Tracks(
        states,
        np.stack([r[4] for r in rows]),
        size,
        kinds,
        np.where(motor, rear_fraction * size[:, 0], 0.0),
        tuple(r[0] for r in rows),
    )
