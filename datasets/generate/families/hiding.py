"""What hides people beside a street (rows of vehicles, corners of houses), and who steps out from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.buildings import footprint
from drive.datasets.generate.drivers import CITY_BUS, EGO_BODY, Body, draw_body, draw_van
from drive.datasets.generate.families.stage import between
from drive.datasets.generate.kernels.base import PARKED
from drive.datasets.generate.people import add_crossing, bicycle, walker_body
from drive.datasets.generate.traffic import Actor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.generate.people import Crossing
    from drive.datasets.generate.street import Street

    Floats = NDArray[np.float64]

ALLEY = 1.4
"""Half the width of the alley between two houses, m."""


@dataclass(frozen=True, slots=True)
class Comer:
    """Who comes: its way, body, pace, acceleration, where it starts, where it stops for `rest` s, if so."""

    crossing: Crossing
    body: Body
    pace: float
    accel: float
    begin: float
    stop_at: float | None
    rest: float

    @property
    def waits(self) -> bool:
        return self.rest > 100.0


def park_rows(rng: np.random.Generator, street: Street, kind: str, place: float) -> None:
    """Rows at the kerb with a gap at `place`; right before the gap stands what hides who steps out of it."""
    if kind in ("van", "bus"):
        tall = draw_van(rng, lorries=0.3) if kind == "van" else CITY_BUS
        _row(rng, street, -1.0, (place - 60.0, place - 1.1), tall, "k")
        _row(rng, street, -1.0, (place + 1.4, place + 40.0), None, "l")
    elif kind == "across":
        _row(rng, street, 1.0, (place - 40.0, place - 1.1), draw_van(rng, lorries=0.3), "k")
        _row(rng, street, 1.0, (place + 1.4, place + 35.0), None, "l")
        _row(rng, street, -1.0, (place - 60.0, place - 12.0), None, "m")


def _row(
    rng: np.random.Generator,
    street: Street,
    side: float,
    span: tuple[float, float],
    tall: Body | None,
    name: str,
) -> None:
    """Park along a kerb between two stations, most of the places taken, `tall` at the end of the row."""
    stage = street.stage
    lane = stage.lanes["f1" if side < 0.0 else "b1"]
    at, number = span[1], 0
    while True:
        body = tall if tall is not None and number == 0 else draw_body(rng, heavy=0.0, vans=0.12)
        begin = at - body.length
        if begin < span[0] or number > 6:
            return
        if rng.random() < 0.75 or number == 0:
            inset = float(rng.uniform(0.22, 0.35)) if body.width < 2.3 else -0.05
            middle = begin + 0.5 * body.length
            station = middle if side < 0.0 else stage.road.curve.length - middle
            stage.traffic.add(
                Actor(
                    f"{name}{number}", body, lane, station - body.rear, 0.0, mode=PARKED,
                    bias=-0.5 * street.width - inset - 0.5 * body.width,
                )
            )  # fmt: skip
        number += 1
        at = begin - float(rng.uniform(0.7, 1.6))


def draw_comer(
    rng: np.random.Generator, difficulty: float, street: Street, kind: str, side: float, place: float,
    seconds: float,
) -> Comer:  # fmt: skip
    """A child that runs, somebody who walks or hurries, or a cyclist, from the kerb of a side to the other.

    It is seen `seconds` before a driver who does not brake would be there.
    """
    depth = 5.0 if kind == "corner" else 0.45
    start = side * ((street.wall(side) if kind == "corner" else street.kerb(side)) + depth)
    end = -side * (street.kerb(-side) + 1.4)
    crossing = add_crossing(street.stage.traffic, street.stage.road.curve, place, start, end)
    hidden = street.wall(side) if kind == "corner" else street.width * (1.0 if side < 0.0 else 2.0)
    lane = crossing.at(-0.5 * street.width)
    # So fast that who drives on without braking meets it in the lane; the faster ones stand still there.
    far = lane + 0.5 * EGO_BODY.width + 0.3 - crossing.at(side * hidden)
    meets = far / (seconds + float(rng.uniform(0.2, 0.8)))
    u, tight = rng.random(), rng.random() < 0.2 + 0.8 * difficulty
    if kind == "corner" and u < 0.3:
        body, pace, accel = bicycle(rng), float(rng.uniform(2.6, 4.0)), 1.2
    elif u < 0.55:
        body, pace, accel = walker_body(rng, child=True), float(rng.uniform(2.0, 3.0)), 2.5
    else:
        body, pace, accel = walker_body(rng), float(rng.uniform(1.2, 1.8)), 1.5
        pace = float(np.clip(meets, 0.8, 1.9)) if tight else pace
    begin = 0.5 * body.length + 0.1
    if kind != "bus" and rng.random() < 0.45 - 0.15 * difficulty:
        # It looks round what hid it, and does not set foot on the lane.
        ahead = 0.5 * body.length + float(rng.uniform(0.0, 0.08))
        return Comer(crossing, body, pace, accel, begin, crossing.at(side * street.width) - ahead, 1e3)
    if tight and pace > meets:
        return Comer(
            crossing,
            body,
            pace,
            accel,
            begin,
            lane + float(rng.uniform(-0.6, 0.6)),
            between(rng, difficulty, (0.0, 0.3), (0.3, 1.5)),
        )
    return Comer(crossing, body, pace, accel, begin, None, 0.0)


def corner_walls(street: Street, side: float, place: float) -> list[Floats]:
    """The two houses of the alley."""
    near = side * street.wall(side)
    curve = street.stage.road.curve
    return [
        footprint(curve, place - ALLEY - 24.0, place - ALLEY, near, near + side * 11.0),
        footprint(curve, place + ALLEY, place + ALLEY + 18.0, near, near + side * 12.0),
    ]


def alley(street: Street, side: float, place: float) -> Floats:
    near = side * (street.kerb(side) + street.pavement[0 if side < 0.0 else 1])
    half = ALLEY - 0.1
    return footprint(street.stage.road.curve, place - half, place + half, near, near + side * 11.0)
