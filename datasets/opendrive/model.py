"""What an OpenDRIVE file says, as plain data: names, units and signs are the format's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

End = Literal["start", "end"]
EPSILON = 1e-6
"""Metres within which two stations are the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Cubics:
    """Piecewise cubic polynomials: the record k holds from `start[k]` on, in `ds = s - start[k]`.

    `start (K,)` ascending, `coefficients (K, 4)` of a + b ds + c ds^2 + d ds^3.
    """

    start: Floats
    coefficients: Floats

    def __len__(self) -> int:
        return len(self.start)

    def at(self, s: Floats, end: float = np.inf) -> Floats:
        """Values `(N,)`; 0 without a record, and the first one's start value before it.

        A record that starts at `end` does not hold yet: there another lane section begins.
        """
        if not len(self.start):
            return np.zeros(len(s))
        k = np.searchsorted(self.start, np.minimum(s, end - EPSILON), side="right") - 1
        k = np.maximum(k, 0)
        ds = np.maximum(s - self.start[k], 0.0)
        a, b, c, d = self.coefficients[k].T
        return np.asarray(a + ds * (b + ds * (c + ds * d)))

    def bend(self, s: Floats) -> Floats:
        """Absolute second derivatives `(N,)`."""
        if not len(self.start):
            return np.zeros(len(s))
        k = np.maximum(np.searchsorted(self.start, s, side="right") - 1, 0)
        _, _, c, d = self.coefficients[k].T
        return np.asarray(np.abs(2.0 * c + 6.0 * d * np.maximum(s - self.start[k], 0.0)))


@dataclass(frozen=True, slots=True)
class Geometry:
    """One piece of a plan view: `kind` "line", "arc", "spiral", "poly3" or "paramPoly3" with its numbers.

    `values`: arc (curvature,), spiral (at the start, at the end), poly3 (a, b, c, d), paramPoly3
    (aU … dU, aV … dV, largest p).
    """

    s: float
    x: float
    y: float
    heading: float
    length: float
    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RoadMark:
    """A painted line from `offset` metres after its section's start on; `change` as in the file, or empty."""

    offset: float
    type: str
    change: str


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One lane of a section: `widths` (or, with `is_border`, distances of its outer border from the
    reference line) over the distance from the section's start; `speeds` pairs of (offset, m/s)."""

    id: int
    type: str
    widths: Cubics
    is_border: bool
    predecessors: tuple[int, ...]
    successors: tuple[int, ...]
    marks: tuple[RoadMark, ...]
    speeds: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A lane section from `start` to `end`; `lanes` by their ids, 0 the centre."""

    start: float
    end: float
    lanes: dict[int, Lane]


@dataclass(frozen=True, slots=True)
class RoadLink:
    """What a road's end meets: a "road" with the end of it, or a "junction"."""

    type: str
    id: str
    contact: End


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal (or a reference to one, then without a type) at station `s` of its road.

    `orientation` "+", "-" or "none"; `lanes` ranges (from, to) of lane ids; none given: all of them.
    `height` above the road (zOffset) and `heading` to it (hOffset, rad), counter-clockwise.
    """

    id: str
    s: float
    t: float
    orientation: str
    lanes: tuple[tuple[int, int], ...]
    type: str = ""
    name: str = ""
    is_reference: bool = False
    height: float = 0.0
    heading: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RoadObject:
    """An object at (s, t), its `heading` relative to the road; `corners (N, 2)` of its outline.

    Corners are (u, v) about the object, or with `on_road` (s, t) of the road; empty where it has none.
    """

    id: str
    type: str
    name: str
    s: float
    t: float
    heading: float
    length: float
    width: float
    corners: Floats
    on_road: bool
    orientation: str


@dataclass(frozen=True, slots=True, eq=False)
class Road:
    """A road with everything along it; `junction` is empty outside junctions, `rule` "RHT" or "LHT"."""

    id: str
    line: int
    length: float
    junction: str
    rule: str
    predecessor: RoadLink | None
    successor: RoadLink | None
    plan: tuple[Geometry, ...]
    elevation: Cubics
    lane_offset: Cubics
    sections: tuple[Section, ...]
    speeds: tuple[tuple[float, float], ...]
    signals: tuple[Signal, ...]
    objects: tuple[RoadObject, ...]

    def link(self, end: End) -> RoadLink | None:
        return self.predecessor if end == "start" else self.successor

    def section_at(self, end: End) -> int:
        return 0 if end == "start" else len(self.sections) - 1

    def section_of(self, s: float) -> int:
        """The section that a station lies in; the first or last one beyond the ends."""
        starts = [section.start for section in self.sections]
        return max(int(np.searchsorted(starts, s, side="right")) - 1, 0)

    def runs_forward(self, lane: int) -> bool:
        """Whether traffic on a lane drives along the road's s (on the right in right-hand traffic)."""
        return (lane < 0) == (self.rule != "LHT")


@dataclass(frozen=True, slots=True)
class Connection:
    """A way into a junction: lanes `links` (from, to) of the incoming road onto the end `contact` of
    another one."""

    incoming: str
    connecting: str
    contact: End
    links: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """A junction: `type` "default", "direct", "virtual" …; `controllers` pairs of (sequence, id)."""

    id: str
    type: str
    connections: tuple[Connection, ...]
    controllers: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Controller:
    """Signals that are switched together."""

    id: str
    sequence: int
    signals: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OpenDriveFile:
    """A whole file. `skipped` counts what was not read, by name."""

    name: str
    version: str
    roads: dict[str, Road]
    junctions: dict[str, Junction]
    controllers: tuple[Controller, ...]
    skipped: dict[str, int] = field(default_factory=dict)
