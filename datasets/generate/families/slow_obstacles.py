"""A motorway of three lanes, slow vehicles on all of them: one has to decide on which side to pass whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from drive.datasets.generate.crossings import refuse_panic
from drive.datasets.generate.drivers import EGO_BODY
from drive.datasets.generate.families.six_lanes import (
    LENGTH,
    WARM_UP,
    add_cars,
    add_ego,
    hand_over,
    wide_stage,
)
from drive.datasets.generate.families.stage import START, between
from drive.datasets.generate.traffic import Task

if TYPE_CHECKING:
    import numpy as np

    from drive.datasets.generate.scene import Draw

COUNT, SPEED = 3, 15.0


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    stage = wide_stage(rng, COUNT)
    lane = int(rng.integers(1, COUNT + 1))
    beside = 2 if lane != 2 else int(rng.integers(2)) * 2 + 1
    pace = between(rng, difficulty, (9.5, 11.0), (7.5, 9.0))
    # One after another, each so far ahead that the ego comes up with the first ones in the scene.
    ahead = START + EGO_BODY.length + WARM_UP * (SPEED - pace)
    ahead += between(rng, difficulty, (40.0, 55.0), (32.0, 40.0))
    apart = between(rng, difficulty, (32.0, 40.0), (24.0, 30.0))
    order = [lane, next(n for n in (1, 2, 3) if n not in (lane, beside)), beside]
    for k in range(6):
        place = ahead + k * apart + float(rng.uniform(-4.0, 4.0))
        add_cars(rng, stage, order[k % COUNT], [place], pace, 0.6)
        stage.traffic.edit(k, name=f"slow{k}")
    # Past the first one, and back before the next.
    out = Task(stage.lanes[f"f{beside}"], after=float(rng.uniform(0.6, 2.0)))
    back = Task(stage.lanes[f"f{lane}"], behind=0, gap=float(rng.uniform(8.0, 14.0)))
    ego = add_ego(rng, stage, lane, SPEED, (out, back))
    stage.traffic.edit(ego, driver=replace(stage.traffic.actors[ego].driver, mobil=False))
    drive = stage.traffic.run(-WARM_UP, LENGTH)
    refuse_panic(drive)
    return hand_over(stage, drive, ego, lane, ("highway", "obstacles"))
