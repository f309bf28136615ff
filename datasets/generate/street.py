"""A town street: one lane or more each way, parking strips, pavements with people, buildings behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.buildings import add_buildings, row
from drive.datasets.generate.families.stage import Stage, regular_cuts, road_length
from drive.datasets.generate.people import ride, stroll
from drive.datasets.generate.roads import Profile, Road, carriageway, lane_pose, strip, winding
from drive.roadmap import AreaKind, LaneKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drive.datasets.generate.roads import Atlas, RoadLane
    from drive.roadmap import RoadMap

WALL = 0.6
"""Metres between a pavement and the building line."""


@dataclass(frozen=True)
class Street:
    """A street of `count` lanes each way, `width` m each; its other widths are given right and left.

    `beside` is the strip next to the lanes: for parking, for bicycles where `cycles` says so, or none (0).
    `median` is the width of a paved strip between the directions, which belongs to no lane.
    """

    stage: Stage
    limit: float
    count: int
    width: float
    beside: tuple[float, float]
    cycles: tuple[bool, bool]
    pavement: tuple[float, float]
    median: float = 0.0

    def kerb(self, side: float) -> float:
        """Distance in m of the kerb from the road's curve, on the right (side -1) or the left (+1)."""
        return 0.5 * self.median + self.count * self.width + self.beside[0 if side < 0 else 1]

    def wall(self, side: float) -> float:
        """Distance in m of the building line from the road's curve."""
        return self.kerb(side) + self.pavement[0 if side < 0 else 1] + WALL

    def add_walkers(
        self, rng: np.random.Generator, span: tuple[float, float], name: str = "p", most: int = 8
    ) -> None:
        """People on both pavements between two stations."""
        frames = (self.stage.forward, self.stage.backward)
        for side, where in ((-1.0, "r"), (1.0, "l")):
            wide = self.pavement[0 if side < 0 else 1]
            middle = side * (self.kerb(side) + 0.5 * wide)
            stroll(rng, self.stage.traffic, frames, middle, wide, span, name + where, most=most // 2)

    def add_cyclists(self, rng: np.random.Generator, span: tuple[float, float], most: int = 2) -> None:
        """People on the bicycle strips of both sides, between two stations at the simulation's start."""
        stage, length = self.stage, self.stage.road.curve.length
        for k, (lane, ends) in enumerate((("f1", span), ("b1", (length - span[1], length - span[0])))):
            if self.cycles[k]:
                bias = -0.5 * (self.width + self.beside[k])
                ride(rng, stage.traffic, stage.lanes[lane], ends, bias, f"c{lane}", most=most)

    def build_map(
        self,
        rng: np.random.Generator,
        window: tuple[float, float],
        span: tuple[float, float],
        extra: Callable[[Atlas], None] | None = None,
    ) -> RoadMap:
        """The map between the stations `window`, with buildings along `span`; `extra` adds before them."""

        def finish(atlas: Atlas) -> None:
            if self.median > 0.0:
                atlas.builder.add_area(self._median(window), AreaKind.ROAD)
            if extra is not None:
                extra(atlas)
            for side in (-1.0, 1.0):
                ends = (max(span[0], window[0]), min(span[1], window[1]))
                add_buildings(atlas, row(rng, self.stage.road.curve, ends, side * self.wall(side)))

        return self.stage.build_map(window, finish)

    def _median(self, window: tuple[float, float]) -> NDArray[np.float64]:
        curve = self.stage.road.curve
        s = np.arange(window[0], window[1] + 0.5, 2.0)
        # A little wider than the gap, so that no slit stays where the lanes' points lie elsewhere.
        half = Profile.of(0.5 * self.median + 0.05)
        left, right = lane_pose(curve, half, s)[0], lane_pose(curve, Profile.of(-half.values[0]), s)[0]
        return np.concatenate((left[:, :2], right[::-1, :2]))


def draw_street(
    rng: np.random.Generator,
    limit: float,
    width: float,
    *,
    count: int = 1,
    parking: tuple[float, float] = (0.0, 0.0),
    cycle: float = 0.0,
    hold: tuple[float, float] | None = None,
    radius: tuple[float, float] = (180.0, 1200.0),
    median: float = 0.0,
) -> Street:
    """A winding street, straight between the stations `hold`.

    Bicycles have strips of the width `cycle` where nobody parks.
    """
    length = road_length(limit)
    curve = winding(rng, length, radius, (50.0, 150.0), (50.0, 200.0), 0.5, hold)
    pavement = (round(float(rng.uniform(1.8, 3.2)), 2), round(float(rng.uniform(1.8, 3.2)), 2))
    half = 0.5 * median
    forward = carriageway(count, width, limit, center=-half, oncoming=True)
    backward = carriageway(count, width, limit, forward=False, center=half, oncoming=True)
    edges: list[RoadLane] = []
    beside = (parking[0] or cycle, parking[1] or cycle)
    cycles = (cycle > 0.0 and not parking[0], cycle > 0.0 and not parking[1])
    for k, (head, outer, walk) in enumerate(
        (("f", forward[0], pavement[0]), ("b", backward[0], pavement[1]))
    ):
        if beside[k] > 0.0:
            kind = LaneKind.BICYCLE if cycles[k] else LaneKind.PARKING
            outer = strip(f"{head}s", outer, beside[k], kind)
            edges.append(outer)
        edges.append(strip(f"{head}w", outer, walk, LaneKind.SIDEWALK))
    road = Road(curve, (*forward, *backward, *edges), tuple(regular_cuts(rng, length)))
    return Street(Stage.of(road), limit, count, width, beside, cycles, pavement, median)
