"""Junctions: arms that meet, connectors through them, kerbs, crosswalks, and who crosses whose way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.curves import Curve, bend, chain, connect, join, parallel
from drive.datasets.generate.roads import (
    Atlas,
    LaneEnd,
    Profile,
    Road,
    add_road,
    carriageway,
    rounded,
    section_id,
)
from drive.datasets.generate.traffic import Gate, Zone
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.projections import Projections
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

CROSSWALK_WIDTH = 3.0
CROSSWALK_PLACE = 3.0
"""Metres from the stop line to the middle of the crosswalk."""
KERB_EASE = 3.0
"""Metres ahead of the stop line at which a corner's kerb begins to bend."""
PAVEMENT = 5.0
"""Metres of walk beyond each kerb that pedestrians come and go on."""
ISLAND = 8.0
"""Metres of road beside an island before the two directions come together."""
MOUTH = 1.0
"""Metres by which a single lane is wider beside an island, where vehicles come out of a bend."""
TURNS = {1: "right", 2: "straight", 3: "left"}
"""Arms are numbered counter-clockwise, at right angles: the next one is to the right of who comes in."""


@dataclass(frozen=True)
class Arm:
    """A road that begins at the stop line and leads away: lanes `f` out of the junction, `b` into it."""

    road: Road
    lanes_in: int
    lanes_out: int
    width: float

    def mouth(self, offset: float) -> Floats:
        """Pose `(3,)`, leading away, at the stop line and a lateral offset."""
        p = self.road.curve.pose(np.array([0.0]))[0]
        return np.array([p[0] - offset * np.sin(p[2]), p[1] + offset * np.cos(p[2]), p[2]])

    def inward(self, offset: float) -> Floats:
        p = self.mouth(offset)
        return np.array([p[0], p[1], p[2] + np.pi])

    def place(self, lane: str) -> float:
        return self.road.lane(lane).offset.values[0]

    def breadth(self, lane: str) -> float:
        return self.road.lane(lane).width.values[0]


@dataclass(frozen=True)
class Movement:
    """From an inbound lane (1 is the rightmost) of one arm to an outbound lane of another."""

    arm: int
    lane: int
    exit: int
    exit_lane: int

    @property
    def turn(self) -> str:
        return TURNS[(self.exit - self.arm) % 4]

    @property
    def id(self) -> str:
        return f"a{self.arm}b{self.lane}-a{self.exit}f{self.exit_lane}"


@dataclass(frozen=True)
class Junction:
    """Four arms, or three (the fourth is missing), and the movements between them.

    `crosswalks` are the arms that pedestrians cross.
    """

    arms: tuple[Arm, ...]
    movements: tuple[Movement, ...]
    reach: float
    crosswalks: tuple[int, ...] = (0, 1, 2, 3)
    made: dict[tuple[int, str], Curve] = field(default_factory=dict, repr=False, compare=False)

    def limit(self, m: Movement) -> float:
        return self.arms[m.arm].road.lane(f"b{m.lane}").limit

    def connector(self, m: Movement, step: float = 0.5) -> Curve:
        a, b = self.arms[m.arm], self.arms[m.exit]
        return connect(a.inward(a.place(f"b{m.lane}")), b.mouth(b.place(f"f{m.exit_lane}")), step)

    def path(self, m: Movement) -> tuple[Curve, float, float]:
        """Curve along a whole movement, and the stations of its stop line and of its exit."""
        into, through = self._lane(m.arm, f"b{m.lane}").reversed(), self.connector(m)
        out = self._lane(m.exit, f"f{m.exit_lane}")
        return join([into, through, out]), into.length, into.length + through.length

    def _lane(self, arm: int, name: str) -> Curve:
        """An arm's lane as a curve that leads away."""
        if (arm, name) not in self.made:
            a = self.arms[arm]
            self.made[arm, name] = parallel(a.road.curve, a.place(name))
        return self.made[arm, name]

    def crossing(self, arm: int) -> Curve:
        """The walk over an arm's crosswalk, from its inbound to its outbound side."""
        a = self.arms[arm]
        p = a.mouth(a.lanes_in * a.width + PAVEMENT)
        length = (a.lanes_in + a.lanes_out) * a.width + 2.0 * PAVEMENT
        x = p[0] - CROSSWALK_PLACE * np.cos(p[2])
        y = p[1] - CROSSWALK_PLACE * np.sin(p[2])
        return chain([(length, 0.0, 0.0)]).moved((x, y, p[2] - 0.5 * np.pi))

    def build_map(
        self,
        signal_of: Callable[[Movement], str | None],
        minor: tuple[int, ...] = (),
        extra: Callable[[Atlas], None] | None = None,
    ) -> RoadMap:
        """Arms, connectors, the junction's area and its crosswalks; who comes in by a `minor` arm has a
        give-way line: a stop line without a signal. `extra` adds what else there is."""
        atlas = Atlas()
        for k, arm in enumerate(self.arms):
            ends = {
                f"b{i}": LaneEnd(tuple(m.id for m in self.movements if m.arm == k and m.lane == i))
                for i in range(1, arm.lanes_in + 1)
            }
            add_road(atlas, arm.road, 0.0, arm.road.curve.length, ends)
        for m in self.movements:
            signal = signal_of(m)
            self._add_connector(atlas, m, signal, signal is not None or m.arm in minor)
        atlas.builder.add_area(self._outline(), AreaKind.INTERSECTION)
        for arm in (self.arms[k] for k in self.crosswalks):
            half = 0.5 * CROSSWALK_WIDTH
            ring = []
            for offset, near in ((1, -1), (1, 1), (-1, 1), (-1, -1)):
                p = arm.mouth(
                    offset * (arm.lanes_in if offset > 0 else arm.lanes_out) * arm.width + 0.4 * offset
                )
                r = CROSSWALK_PLACE + near * half
                ring.append((p[0] - r * np.cos(p[2]), p[1] - r * np.sin(p[2])))
            atlas.builder.add_area(np.asarray(ring), AreaKind.CROSSWALK)
        if extra is not None:
            extra(atlas)
        return atlas.build()

    def _add_connector(self, atlas: Atlas, m: Movement, signal: str | None, line: bool) -> None:
        curve = self.connector(m, 1.0 if m.turn == "straight" else 0.6)
        a, b = self.arms[m.arm], self.arms[m.exit]
        half = 0.5 * np.linspace(a.width, b.width, len(curve.points))[:, None]
        normal = np.stack((-np.sin(curve.heading), np.cos(curve.heading)), axis=-1)
        spec = LaneSpec(
            id=m.id,
            left=rounded(curve.points + half * normal, 4),
            right=rounded(curve.points - half * normal, 4),
            center=rounded(curve.points, 4),
            kind=LaneKind.CONNECTOR,
            speed_limit=self.limit(m),
            intersection=True,
            successors=(section_id(b.road, b.road.lane(f"f{m.exit_lane}"), 0),),
            left_marking=Marking.NONE,
            right_marking=Marking.NONE,
            signal=signal,
            stop_station=0.0 if line else None,
        )
        atlas.add(spec, curve.heading, curve.curvature)

    def _outline(self) -> Floats:
        """Ring of the junction's area: kerbs from each arm's inbound edge to the next one's outbound edge."""
        parts = []
        for k, arm in enumerate(self.arms):
            after = self.arms[(k + 1) % len(self.arms)]
            start, end = arm.inward(arm.lanes_in * arm.width), after.mouth(-after.lanes_out * after.width)
            # Kerbs have a larger radius than the lanes inside them, for who cuts the corner a little.
            start[:2] -= KERB_EASE * np.array([np.cos(start[2]), np.sin(start[2])])
            end[:2] += KERB_EASE * np.array([np.cos(end[2]), np.sin(end[2])])
            parts.append(connect(start, end, 0.7).points)
        return np.concatenate(parts)


def draw_arms(
    rng: np.random.Generator,
    lanes: Sequence[tuple[int, int]],
    lengths: Sequence[float],
    limits: Sequence[float],
    width: float,
    corner: tuple[float, float] = (10.5, 14.0),
    skew: float = 0.1,
) -> tuple[tuple[Arm, ...], float]:
    """Three or four arms with (inbound, outbound) lane counts around the origin, and the distance of their
    stop lines, `corner` metres from the widest arm's edge; each is turned by up to `skew` rad."""
    widest = max(max(n) for n in lanes) * width
    reach = widest + float(rng.uniform(*corner))
    turn = float(rng.uniform(-np.pi, np.pi))
    arms = []
    for k, count in enumerate(lanes):
        angle = turn + k * 0.5 * np.pi + float(rng.uniform(-skew, skew))
        arms.append(draw_arm(rng, k, angle, reach, count, lengths[k], limits[k], width))
    return tuple(arms), reach


def draw_arm(
    rng: np.random.Generator,
    number: int,
    angle: float,
    reach: float,
    lanes: tuple[int, int],
    length: float,
    limit: float,
    width: float,
    island: float = 0.0,
) -> Arm:
    """An arm that begins `reach` metres from the origin; an island of twice the width `island` divides its
    directions there."""
    size, radius = float(rng.uniform(60.0, 120.0)), float(rng.uniform(180.0, 900.0))
    curvature = (1.0 if rng.random() < 0.5 else -1.0) / radius
    straight = float(rng.uniform(35.0, 90.0))
    parts = [(straight, 0.0, 0.0), *bend(size, curvature), (length - straight - size, 0.0, 0.0)]
    curve = chain(parts).moved((reach * np.cos(angle), reach * np.sin(angle), angle))
    n_in, n_out = lanes
    both = [
        *carriageway(n_out, width, limit, oncoming=True),
        *carriageway(n_in, width, limit, forward=False, oncoming=True),
    ]
    if island > 0.0:
        both = [replace(x, offset=_beside_island(x.offset.values[0], island)) for x in both]
        if lanes == (1, 1):
            wide = Profile((ISLAND, ISLAND + 35.0), (width + MOUTH, width))
            both = [replace(x, width=wide) for x in both]
    cuts = [80.0 + 140.0 * i for i in range(int(length / 140.0))]
    road = Road(curve, tuple(both), tuple(c for c in cuts if c < length - 40.0), f"a{number}")
    return Arm(road, n_in, n_out, width)


def _beside_island(offset: float, island: float) -> Profile:
    near = offset + (island if offset > 0.0 else -island)
    return Profile((ISLAND, ISLAND + 35.0), (near, offset))


def give_way(
    seen: Projections,
    frame: int,
    others: Mapping[int, float],
    span: tuple[float, float],
    wide: float,
    before: float,
    at: float | None = None,
) -> Gate | None:
    """A gate `before` metres ahead of where `frame` first meets any of `others`, or at the station `at`; None
    if they never meet.

    `others` are frames, with the metres of a common stretch at most that one has to be let through.
    """
    found = [(q, c) for q, longest in others.items() if (c := seen.conflict(frame, q, span, wide, longest))]
    if not found:
        return None
    station = max(min(c[0] for _, c in found) - before, span[0] - 0.5) if at is None else at
    zones = tuple(Zone(q, c[2], c[3], c[1] - station) for q, c in found)
    return Gate(frame, station, zones=zones)
