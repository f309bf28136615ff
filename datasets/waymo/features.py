"""The map features of a record, as they stand there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.waymo.wire import Message
from drive.errors import MapError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MAP_FEATURES = 8  # of Scenario
# MapFeature
ID, LANE, ROAD_LINE, ROAD_EDGE, STOP_SIGN, CROSSWALK, SPEED_BUMP, DRIVEWAY = 1, 3, 4, 5, 7, 8, 9, 10
# LaneCenter
LIMIT, LANE_TYPE, POLYLINE, ENTRIES, EXITS = 1, 2, 8, 9, 10
NEIGHBOURS, BOUNDARIES = {"left": 11, "right": 12}, {"left": 13, "right": 14}
# LaneNeighbor: feature, own first and last index, the neighbour's, boundaries; BoundarySegment: first and
# last index, feature, type
NEIGHBOUR_BOUNDARIES = 6
MAX_POINTS = 2_000_000
MAX_VALUE = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class Neighbour:
    """A lane beside, between rows `first` and `last` of this lane and `there` of that one; `bounds (N, 5)`:
    columns 1 to 4 are first and last row, feature and type of the line between."""

    lane: int
    first: int
    last: int
    there: tuple[int, int]
    bounds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """A lane's middle `line (N, 3)` in driving direction; `bounds` by side as in `Neighbour`."""

    id: int
    line: Floats
    limit_mph: float
    kind: int
    entries: tuple[int, ...]
    exits: tuple[int, ...]
    neighbours: dict[str, tuple[Neighbour, ...]]
    bounds: dict[str, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """All features of a map, by their ids where others refer to them; `lines` are (type, points (N, 3))."""

    lanes: dict[int, Lane] = field(default_factory=dict)
    lines: dict[int, tuple[int, Floats]] = field(default_factory=dict)
    edges: dict[int, Floats] = field(default_factory=dict)
    stops: list[tuple[tuple[int, ...], Floats]] = field(default_factory=list)
    crosswalks: dict[int, Floats] = field(default_factory=dict)
    driveways: dict[int, Floats] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def read_features(scenario: Message) -> Features:
    """The features of a scenario message; raises MapError for one that cannot be, and for too many points."""
    out = Features(left_out=dict.fromkeys(("lanes of one point", "speed bumps"), 0))
    total = 0
    for feature in scenario.messages(MAP_FEATURES):
        ident = feature.number(ID)
        for message in feature.messages(LANE):
            lane = _lane(ident, message)
            total += len(lane.line)
            if ident in out.lanes:
                raise MapError(f"lane '{ident}' is defined twice")
            if len(lane.line) < 2 or float(np.ptp(lane.line[:, :2], axis=0).max()) < 0.1:
                out.left_out["lanes of one point"] += 1
            else:
                out.lanes[ident] = lane
        for message in feature.messages(ROAD_LINE):
            out.lines[ident] = message.number(1), _points(message, 2, ident)
            total += len(out.lines[ident][1])
        for message in feature.messages(ROAD_EDGE):
            out.edges[ident] = _points(message, 2, ident)
            total += len(out.edges[ident])
        for message in feature.messages(STOP_SIGN):
            out.stops.append((message.numbers(1), _points(message, 2, ident)))
        for message in feature.messages(CROSSWALK):
            out.crosswalks[ident] = _points(message, 1, ident)
        for message in feature.messages(DRIVEWAY):
            out.driveways[ident] = _points(message, 1, ident)
        out.left_out["speed bumps"] += feature.has(SPEED_BUMP)
        if total > MAX_POINTS:
            raise MapError(f"the map has more than {MAX_POINTS} points")
    return out


def _points(message: Message, number: int, ident: int) -> Floats:
    points = message.table(number, 4)[:, 1:]
    if not (np.abs(points) < MAX_VALUE).all():
        raise MapError(f"map feature {ident} holds points that are not finite")
    return points


def _lane(ident: int, message: Message) -> Lane:
    limit = message.doubles(LIMIT)
    return Lane(
        id=ident,
        line=_points(message, POLYLINE, ident),
        limit_mph=float(limit[-1]) if len(limit) else 0.0,
        kind=message.number(LANE_TYPE),
        entries=message.numbers(ENTRIES),
        exits=message.numbers(EXITS),
        neighbours={side: tuple(_neighbours(message, number)) for side, number in NEIGHBOURS.items()},
        bounds={side: message.table(number, 5) for side, number in BOUNDARIES.items()},
    )


def _neighbours(lane: Message, number: int) -> list[Neighbour]:
    out = []
    for message in lane.messages(number):
        there = message.number(4), message.number(5)
        bounds = message.table(NEIGHBOUR_BOUNDARIES, 5)
        out.append(Neighbour(message.number(1), message.number(2), message.number(3), there, bounds))
    return out
