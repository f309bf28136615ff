"""Roads: a reference curve with lanes at lateral offsets, cut into map sections.

The form is OpenDRIVE's: a lane is a profile of offset and width over the stations of the reference
curve, so that ramps, tapers and narrowings are profiles and not special cases.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.curves import Curve, bend, chain
from drive.datasets.generate.kernels.curves import steps
from drive.roadmap import LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Ends = Mapping[str, "LaneEnd"]

SAGITTA = 0.004
"""Metres by which a map's polyline may miss its curve."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A value over stations: quintic steps between knots, constant beyond them."""

    stations: tuple[float, ...] = (0.0,)
    values: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, value: float) -> Profile:
        return cls((0.0,), (value,))

    def __call__(self, station: ArrayLike) -> Floats:
        s = np.asarray(station, dtype=np.float64)
        if len(self.stations) == 1:
            return np.full(s.shape, self.values[0])
        out = np.empty(s.size)
        steps(s.ravel(), np.asarray(self.stations), np.asarray(self.values), out)
        return out.reshape(s.shape)

    def mirrored(self, length: float) -> Profile:
        """The profile as seen by who drives the reference curve of `length` backwards, left positive."""
        return Profile(tuple(length - s for s in self.stations[::-1]), tuple(-v for v in self.values[::-1]))


@dataclass(frozen=True, slots=True)
class RoadLane:
    """A lane between the stations `begin` and `end`; offset of its centre (left positive) and width in m.

    `right` and `left` are markings as the lane's own driver sees them. `zone` is a stretch (from, to) with
    another limit than the rest; the road must be cut at its ends.
    """

    name: str
    offset: Profile
    width: Profile
    limit: float
    forward: bool = True
    begin: float = -np.inf
    end: float = np.inf
    kind: LaneKind = LaneKind.LANE
    left: Marking = Marking.DASHED
    right: Marking = Marking.DASHED
    left_change: bool = True
    right_change: bool = True
    zone: tuple[float, float, float] | None = None

    def limit_at(self, station: float) -> float:
        inside = self.zone is not None and self.zone[0] <= station <= self.zone[1]
        return self.zone[2] if self.zone is not None and inside else self.limit


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """What follows a lane where its road ends: connectors by id."""

    successors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Road:
    """A reference curve and its lanes. `cuts` are stations at which the map's lanes are divided."""

    curve: Curve
    lanes: tuple[RoadLane, ...]
    cuts: tuple[float, ...] = ()
    name: str = ""

    def lane(self, name: str) -> RoadLane:
        return next(x for x in self.lanes if x.name == name)

    def sections(self, s0: float, s1: float) -> list[tuple[float, float]]:
        """Stretches between `s0` and `s1` in which the lanes neither begin nor end."""
        marks = {float(x.begin) for x in self.lanes} | {float(x.end) for x in self.lanes} | set(self.cuts)
        inner = sorted(m for m in marks if s0 + 5.0 < m < s1 - 5.0)
        edges = [s0, *inner, s1]
        return list(itertools.pairwise(edges))


def lane_pose(curve: Curve, offset: Profile, station: Floats) -> tuple[Floats, Floats]:
    """Poses `(N, 3)` and curvature `(N,)` of a line at a lateral offset, by Werling's Frenet formulas."""
    if len(offset.stations) == 1:
        return _parallel_pose(curve, station, offset.values[0])
    h = 0.5
    d, up, down = offset(station), offset(station + h), offset(station - h)
    d1, d2 = (up - down) / (2 * h), (up - 2 * d + down) / (h * h)
    return offset_pose(curve, station, d, d1, d2)


def _parallel_pose(curve: Curve, s: Floats, d: float) -> tuple[Floats, Floats]:
    """As `offset_pose` at a constant offset, to the last bit: most lanes have one."""
    pose, k = curve.pose(s), curve.curvature_at(s)
    x, y = d * -np.sin(pose[..., 2]), d * np.cos(pose[..., 2])
    pose[..., 0] += x
    pose[..., 1] += y
    return pose, k / (1.0 - k * d)


def offset_pose(curve: Curve, s: Floats, d: Floats, d1: Floats, d2: Floats) -> tuple[Floats, Floats]:
    """Poses `(N, 3)` and curvature `(N,)` at offset d with derivatives d', d'' (Werling et al., 2010)."""
    base = curve.pose(s)
    k = curve.curvature_at(s)
    k1 = (curve.curvature_at(s + 0.5) - curve.curvature_at(s - 0.5)) / 1.0
    one = 1.0 - k * d
    delta = np.arctan2(d1, one)
    c = np.cos(delta)
    kappa = ((d2 + (k1 * d + k * d1) * d1 / one) * c * c / one + k) * c / one
    normal = np.stack((-np.sin(base[..., 2]), np.cos(base[..., 2])), axis=-1)
    xy = base[..., :2] + d[..., None] * normal
    return np.concatenate((xy, (base[..., 2] + delta)[..., None]), axis=-1), kappa


@dataclass
class Atlas:
    """Gathers lanes with their exact headings and curvatures; `build` makes the rounded map."""

    builder: RoadMapBuilder = field(default_factory=RoadMapBuilder)
    heading: dict[str, Floats] = field(default_factory=dict)
    curvature: dict[str, Floats] = field(default_factory=dict)

    def add(self, spec: LaneSpec, heading: Floats, curvature: Floats) -> None:
        self.builder.add(spec)
        self.heading[spec.id], self.curvature[spec.id] = heading, curvature

    def build(self) -> RoadMap:
        """The map, its numbers rounded so that two machines' libraries of functions give the same hash."""
        m = self.builder.build()
        heading = np.concatenate([self.heading[i] for i in m.lane_ids])
        curvature = np.concatenate([self.curvature[i] for i in m.lane_ids])
        heading = -((-heading + np.pi) % (2.0 * np.pi) - np.pi)
        areas = replace(m.areas, points=rounded(m.areas.points, 4))
        return replace(
            m,
            heading=rounded(heading, 7),
            curvature=rounded(curvature, 7),
            station=rounded(m.station, 5),
            areas=areas,
        )


def rounded(values: ArrayLike, digits: int) -> Floats:
    """Round and turn -0 into 0, which differs from it in its bytes."""
    return np.asarray(np.round(np.asarray(values, dtype=np.float64), digits) + 0.0)


def section_id(road: Road, lane: RoadLane, index: int) -> str:
    return f"{road.name}{lane.name}.{index}"


def add_road(atlas: Atlas, road: Road, s0: float, s1: float, ends: Ends | None = None) -> None:
    """Add the lanes of a road between two stations; neighbours and successors follow from the geometry.

    `ends` names connectors that follow a lane (by its name) at its last section in driving direction.
    """
    sections = road.sections(s0, s1)
    present = [[x for x in road.lanes if x.begin <= a + 1e-6 and x.end >= b - 1e-6] for a, b in sections]
    for k, (a, b) in enumerate(sections):
        middle = np.array([0.5 * (a + b)])
        across = sorted(present[k], key=lambda x: -float(x.offset(middle)[0]))
        for lane in present[k]:
            after = k + 1 if lane.forward else k - 1
            follows: tuple[str, ...] = ()
            if 0 <= after < len(sections):
                follows = (section_id(road, lane, after),) if lane in present[after] else ()
            elif ends and lane.name in ends:
                follows = ends[lane.name].successors
            _add_section(atlas, road, lane, k, (a, b), across, follows)


def _add_section(
    atlas: Atlas,
    road: Road,
    lane: RoadLane,
    index: int,
    span: tuple[float, float],
    across: Sequence[RoadLane],
    follows: tuple[str, ...],
) -> None:
    s = _sampling(road.curve, lane, *span)
    pose, curvature = lane_pose(road.curve, lane.offset, s)
    half = 0.5 * lane.width(s)[:, None]
    normal = np.stack((-np.sin(pose[:, 2]), np.cos(pose[:, 2])), axis=-1)
    center, left, right = pose[:, :2], pose[:, :2] + half * normal, pose[:, :2] - half * normal
    heading = pose[:, 2]
    if not lane.forward:
        center, left, right = center[::-1], right[::-1], left[::-1]
        heading, curvature = heading[::-1] + np.pi, -curvature[::-1]
    i = across.index(lane)
    up, down = (i - 1, i + 1) if lane.forward else (i + 1, i - 1)
    near: dict[str, str | None] = {"left": None, "right": None, "opposite": None}
    middle = np.array([0.5 * (span[0] + span[1])])
    for side, j in (("left", up), ("right", down)):
        if not 0 <= j < len(across) or not (lane.kind.drivable and across[j].kind.drivable):
            continue
        gap = abs(float((across[j].offset(middle) - lane.offset(middle))[0]))
        gap -= 0.5 * float((across[j].width(middle) + lane.width(middle))[0])
        if gap > 0.3:
            continue
        if across[j].forward == lane.forward:
            near[side] = section_id(road, across[j], index)
        elif side == "left":
            near["opposite"] = section_id(road, across[j], index)
    spec = LaneSpec(
        id=section_id(road, lane, index),
        left=rounded(left, 4),
        right=rounded(right, 4),
        center=rounded(center, 4),
        kind=lane.kind,
        speed_limit=lane.limit_at(float(middle[0])) if lane.kind.drivable else None,
        successors=follows,
        left_lane=near["left"],
        right_lane=near["right"],
        left_opposite=near["opposite"],
        left_change=lane.left_change,
        right_change=lane.right_change,
        left_marking=lane.left,
        right_marking=lane.right,
    )
    atlas.add(spec, heading, curvature)


def _sampling(curve: Curve, lane: RoadLane, a: float, b: float) -> Floats:
    """Stations between a and b, as dense as the sharpest bend of the section demands."""
    _, k = lane_pose(curve, lane.offset, np.linspace(a, b, max(int((b - a) / 2.0), 4)))
    step = float(np.clip(np.sqrt(8.0 * SAGITTA / max(float(np.abs(k).max()), 1e-6)), 0.5, 3.0))
    return np.linspace(a, b, max(int(np.ceil((b - a) / step)), 2) + 1)


def winding(
    rng: np.random.Generator,
    length: float,
    radius: tuple[float, float],
    bend_length: tuple[float, float],
    straight: tuple[float, float],
    max_turn: float = 1.1,
    hold: tuple[float, float] | None = None,
) -> Curve:
    """A road that winds between the headings -1.2 and 1.2 rad, so that it never meets itself.

    Radii in m are drawn evenly in curvature; each bend turns by at most `max_turn`. It is straight
    between the stations `hold`.
    """
    parts: list[tuple[float, float, float]] = []
    covered, heading = 0.0, 0.0
    side = 1.0 if rng.random() < 0.5 else -1.0
    while covered < length:
        gap = float(rng.uniform(*straight))
        curvature = float(rng.uniform(1.0 / radius[1], 1.0 / radius[0]))
        size = float(rng.uniform(*bend_length))
        # A road changes sides more often than it goes on turning, and must when it has turned far.
        side = -side if rng.random() < 0.65 else side
        room = 1.2 - side * heading
        if room < 0.25:
            side, room = -side, 1.2 + side * heading
        turn = min(curvature * size * (1.0 - CLOTHOID), max_turn, room)
        size = turn / (curvature * (1.0 - CLOTHOID))
        if hold is not None and covered < hold[1] and covered + gap + size > hold[0]:
            gap = max(gap, hold[1] - covered)
        if size > 20.0:
            parts += [(gap, 0.0, 0.0), *bend(size, side * curvature, CLOTHOID)]
            covered, heading = covered + gap + size, heading + side * turn
        else:
            parts.append((gap, 0.0, 0.0))
            covered += gap
    return chain(parts)


CLOTHOID = 0.35
"""Share of a road bend that each of its clothoids takes."""


def carriageway(
    count: int,
    width: float,
    limit: float,
    *,
    forward: bool = True,
    center: float = 0.0,
    oncoming: bool = False,
) -> list[RoadLane]:
    """`count` lanes of one direction beside the line at offset `center`; number 1 is the rightmost.

    `oncoming`: the leftmost lane's left line may be a centre line that others drive beyond.
    """
    lanes = []
    for i in range(count):
        away = center + (-1.0 if forward else 1.0) * width * (count - i - 0.5)
        lanes.append(
            RoadLane(
                name=f"{'f' if forward else 'b'}{i + 1}",
                offset=Profile.of(away),
                width=Profile.of(width),
                limit=limit,
                forward=forward,
                left=Marking.DASHED
                if i < count - 1
                else (
                    (Marking.DASHED if count == 1 else Marking.DOUBLE_SOLID) if oncoming else Marking.SOLID
                ),
                right=Marking.DASHED if i else Marking.CURB,
            )
        )
    return lanes


def strip(name: str, beside: RoadLane, width: float, kind: LaneKind) -> RoadLane:
    """A shoulder, parking or bicycle strip to the right of a lane of constant offset."""
    sign = -1.0 if beside.forward else 1.0
    away = beside.offset.values[0] + sign * 0.5 * (beside.width.values[0] + width)
    return RoadLane(
        name, Profile.of(away), Profile.of(width), beside.limit, beside.forward,
        kind=kind, left=Marking.SOLID, right=Marking.CURB,
    )  # fmt: skip
