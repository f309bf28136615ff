"""The ego enters a roundabout through a gap, drives round and leaves it by one of the next exits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.check import MAX_START_ACCELERATION
from drive.datasets.generate.crossings import (
    MERGE,
    WIDE,
    Scene,
    add_ego,
    command,
    refuse_panic,
    route_ends,
    stream,
)
from drive.datasets.generate.families.stage import KMH, between, pick
from drive.datasets.generate.junctions import draw_arm, give_way
from drive.datasets.generate.projections import project
from drive.datasets.generate.roundabouts import Passage, Roundabout
from drive.datasets.generate.scene import DURATION, SAMPLES, Draw, reach
from drive.datasets.generate.traffic import Gate, Zone
from drive.errors import ScenarioError

if TYPE_CHECKING:
    from drive.datasets.generate.projections import Projections

WARM_UP = 8.0
SPARE = 6.0
"""Seconds by which the scenario may begin later, once the ego drives calmly."""
PACE = 6.0
"""m/s at which a ring is driven on, about."""


def draw_place(rng: np.random.Generator) -> tuple[Roundabout, int]:
    """A roundabout whose arm 0 is the ego's, and how many exits on the ego leaves it."""
    count = int(pick(rng, 3, 4, 4, 4, 5))
    exits = int(rng.integers(1, count))
    lanes = 2 if count < 5 and rng.random() < 0.35 else 1
    width = round(float(rng.uniform(4.9, 5.4) if lanes == 1 else rng.uniform(4.2, 4.5)), 2)
    low, high = {3: (16.0, 20.0), 4: (18.0, 23.0), 5: (26.0, 30.0)}[count] if lanes == 1 else (26.0, 31.0)
    radius = round(float(rng.uniform(low, high)), 1)
    wobble = {3: 0.25, 4: 0.12, 5: 0.07}[count]
    turn = float(rng.uniform(-np.pi, np.pi))
    whole = 2.0 * np.pi / count
    angles = [turn + k * whole + float(rng.uniform(-wobble, wobble)) for k in range(count)]
    gaps = np.diff([*angles, angles[0] + 2.0 * np.pi])
    spread = min(0.5 * float(gaps.min()) - 0.05, 0.9)
    limit = round(KMH * pick(rng, 30, 40, 50, 50), 3)
    own_width = round(float(rng.uniform(3.5, 3.9)), 2)
    island = round(float(rng.uniform(0.8, 1.6)), 2)
    away = radius + float(rng.uniform(11.0, 14.0))
    lengths = [100.0 + 10.0 * limit] * count
    lengths[0] = 60.0 + (WARM_UP + 8.0) * limit
    lengths[exits] = reach(limit) + 60.0
    arms = []
    for k, angle in enumerate(angles):
        n = lanes if k in (0, exits) or rng.random() < 0.7 else 1
        length = float(np.round(lengths[k]))
        arms.append(draw_arm(rng, k, angle, away, (n, n), length, limit, own_width, island))
    ring_limit = round(KMH * (20.0 if radius < 18.0 else 30.0), 3)
    return Roundabout(tuple(arms), tuple(angles), radius, lanes, width, spread, ring_limit), exits


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    place, exits = draw_place(rng)
    scene: Scene[Passage] = Scene(place, -WARM_UP)
    count = len(place.arms)
    lane = 2 if place.lanes == 2 and exits > 1 and rng.random() < 0.6 else 1
    own = Passage(0, lane, exits, lane)
    arrival = float(rng.uniform(4.0, 7.5))
    limit = place.limit(own)
    ego = add_ego(
        rng, scene, own, arrival - 2.0, 0.8 * limit,
        critical=between(rng, difficulty, (0.6, 1.1), (0.2, 0.6)), lateral=float(rng.uniform(1.1, 1.5)),
    )  # fmt: skip
    when = arrival + between(rng, difficulty, (-2.0, 1.5), (0.0, 2.0))
    room = between(rng, difficulty, (7.0, 11.0), (5.5, 7.0))
    for k in range(1, count):
        # Who comes from there is at the ego's entry so much later.
        later = place.middle(1) * ((place.angles[0] - place.angles[k]) % (2.0 * np.pi)) / PACE + 1.5
        free = [(when - later, when - later + room)]
        for i in range(1, place.arms[k].lanes_in + 1):
            least = between(rng, difficulty, (5.0, 7.0), (1.6, 2.2))
            most = between(rng, difficulty, (12.0, 16.0), (3.5, 5.0))
            ways = _ways(rng, place, k, i)
            stream(
                rng, scene, f"v{k}{i}", ways, (-6.0, DURATION), (least, most), 0.75 * limit, free=free,
                critical=between(rng, difficulty, (0.6, 1.2), (0.2, 0.8)),
                lateral=between(rng, difficulty, (1.4, 1.9), (2.1, 2.6)),
            )  # fmt: skip
    for i in range(1, place.arms[0].lanes_in + 1):
        ways = _ways(rng, place, 0, i)
        if i == lane:
            if rng.random() < 0.5:
                stream(rng, scene, "a", ways, (arrival - 10.0, arrival - 5.5), (2.0, 5.0), 0.75 * limit)
            stream(rng, scene, "r", ways, (arrival + 1.5, arrival + 9.0), (1.8, 5.0), 0.75 * limit)
        else:
            stream(rng, scene, "n", ways, (-7.0, DURATION), (3.0, 8.0), 0.75 * limit)
    seen = project(scene.traffic.frames)
    add_gates(scene, place, seen)
    drive = scene.traffic.run(-WARM_UP, DURATION + SPARE, None, seen)
    through = drive.log[ego, :, 0] > place.ring_span(own)[0]
    if not through.any():
        raise ScenarioError("the ego does not come to enter the roundabout")
    earliest = max(0, int(np.argmax(through)) - SAMPLES)
    drive, _ = drive.from_calm(ego, SAMPLES, MAX_START_ACCELERATION, earliest)
    refuse_panic(drive)
    ends = route_ends(place, scene, own, drive, ego)
    waits = bool(drive.log[ego, :, 1].min() < 0.5)

    return Draw(
        place.build_map,
        drive,
        ego,
        *ends,
        scene.visible(),
        ("intersection", "roundabout", f"exit_{exits}", *(("two_lanes",) if place.lanes == 2 else ()),
         *(("waits",) if waits else ())),
        commands=command(place, own, f"exit_{exits}"),
    )  # fmt: skip


def _ways(rng: np.random.Generator, place: Roundabout, arm: int, lane: int) -> dict[Passage, float]:
    """Two ways from an inbound lane: near exits from the outer lane of two, far ones from the inner lane."""
    count = len(place.arms)
    exits = list(range(1, count))
    if place.lanes == 2 and place.arms[arm].lanes_in == 2:
        exits = [n for n in exits if n <= 2] if lane == 1 else [n for n in exits if n >= 2]
    ways = [Passage(arm, lane, (arm + n) % count, lane) for n in exits]
    ways = [m for m in ways if place.arms[m.exit].lanes_out >= lane]
    keep = rng.permutation(len(ways))[:2]
    return {ways[int(i)]: 1.0 for i in sorted(keep)}


def add_gates(scene: Scene[Passage], place: Roundabout, seen: Projections) -> None:
    """Who enters gives way to the ring; who leaves its inner lane, to the outer lane."""
    traffic = scene.traffic
    spans = {m: place.ring_span(m) for m in scene.stops}
    for m, (stop, leave) in scene.stops.items():
        joins, parts = spans[m]
        others = {scene.frame(x): MERGE for x in scene.stops if x.arm != m.arm}
        gate = give_way(seen, scene.frame(m), others, (stop, joins + 8.0), WIDE, 0.0, at=stop - 0.5)
        # Whether somebody will leave just before the entry shows only when it does.
        leaving = tuple(
            Zone(scene.frame(x), spans[x][1] - 6.0, spans[x][1] - 2.0, -3.0)
            for x in scene.stops
            if x.exit == m.arm
        )
        zones = (gate.zones if gate is not None else ()) + leaving
        if zones:
            traffic.gates.append(Gate(scene.frame(m), stop - 0.5, zones=zones))
        if m.lane == 2:
            outer = {scene.frame(x): 12.0 for x in scene.stops if x.lane == 1}
            cross = give_way(seen, scene.frame(m), outer, (parts + 1.0, leave), WIDE, 2.5)
            if cross is not None:
                traffic.gates.append(cross)
