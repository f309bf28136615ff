"""The ego turns left across oncoming traffic that has priority, and over a crosswalk."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.check import MAX_START_ACCELERATION
from drive.datasets.generate.crossings import (
    Scene,
    add_ego,
    add_light_gates,
    add_priority_gates,
    add_walkers,
    command,
    refuse_panic,
    route_ends,
    stream,
)
from drive.datasets.generate.families.stage import KMH, between, pick
from drive.datasets.generate.junctions import Junction, Movement, draw_arms
from drive.datasets.generate.projections import project
from drive.datasets.generate.scene import DURATION, SAMPLES, Draw, reach
from drive.datasets.generate.signals import Programme, at_onset
from drive.datasets.generate.traffic import STEP
from drive.errors import ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WARM_UP = 7.0
SPARE = 6.0
"""Seconds by which the scenario may begin later, once the ego drives calmly."""
OWN, RIGHT, AHEAD, LEFT = 0, 1, 2, 3
"""The ego's arm, the one to its right, the oncoming traffic's, and the one that it turns into."""


def draw_junction(rng: np.random.Generator) -> tuple[Junction, list[float]]:
    """A junction of four arms, and its arms' limits."""
    limit = round(KMH * pick(rng, 40, 50, 50, 60, 70), 3)
    side_limit = round(min(limit, KMH * pick(rng, 30, 40, 50)), 3)
    limits = [limit, side_limit, limit, side_limit]
    width = round(float(rng.uniform(3.35, 3.7)), 2)
    main = 1 if rng.random() < 0.6 else 2
    lengths = [70.0 + (WARM_UP + 8.0) * limit, 160.0, 120.0 + 11.0 * limit, reach(limit) + 60.0]
    lanes = [(main, main), (1, 1), (main, main), (1, 1)]
    whole = [float(np.round(x)) for x in lengths]
    arms, at = draw_arms(rng, lanes, whole, limits, width, (11.0, 14.0))
    movements = []
    for k in range(4):
        count = lanes[k][0]
        movements += [Movement(k, i, (k + 2) % 4, i) for i in range(1, count + 1)]
        movements.append(Movement(k, 1, (k + 1) % 4, 1))
        movements.append(Movement(k, count, (k + 3) % 4, lanes[(k + 3) % 4][1]))
    return Junction(arms, tuple(movements), at), limits


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    lit = bool(rng.random() < 0.6)
    junction, limits = draw_junction(rng)
    scene: Scene[Movement] = Scene(junction, -WARM_UP)
    own = next(m for m in junction.movements if m.arm == OWN and m.turn == "left")
    arrival = float(rng.uniform(4.5, 7.5))
    ego = add_ego(
        rng, scene, own, arrival - 1.0, 0.85 * limits[OWN],
        critical=between(rng, difficulty, (1.2, 1.8), (0.5, 0.9)), lateral=float(rng.uniform(1.0, 1.4)),
    )  # fmt: skip
    _oncoming(rng, scene, junction, limits, arrival, difficulty)
    _others(rng, scene, junction, own, limits, arrival, lit)
    programme = _programme(rng, arrival, limits[OWN])
    walks = [(-WARM_UP, 13.0)] if not lit else programme.greens("main", -WARM_UP, 13.0)
    if rng.random() < 0.3 + 0.5 * difficulty:
        times = [(max(a, arrival - 6.0), b) for a, b in walks if b > arrival]
        add_walkers(rng, scene, junction, LEFT, times, int(rng.integers(1, 3 + round(2.0 * difficulty))))
    scene.keep_limits()
    seen = project(scene.traffic.frames)
    ids = [f"arm{k}" for k in range(4)]
    signals = None
    if lit:
        add_light_gates(scene, seen, lambda m: m.arm, lambda m: False)
        times_of = -WARM_UP + STEP * np.arange(round((WARM_UP + DURATION + SPARE) / STEP) + 1)
        signals = np.stack([programme.states("side" if k % 2 else "main", times_of) for k in range(4)])
    else:
        add_priority_gates(scene, seen, (RIGHT, LEFT))
    drive = scene.traffic.run(-WARM_UP, DURATION + SPARE, signals, seen)
    stop, leave = scene.stops[own]
    through = drive.log[ego, :, 0] > 0.6 * stop + 0.4 * leave
    if not through.any():
        raise ScenarioError("the ego does not come to turn left")
    earliest = max(0, int(np.argmax(through)) - SAMPLES)
    drive, late = drive.from_calm(ego, SAMPLES, MAX_START_ACCELERATION, earliest)
    refuse_panic(drive)
    if not _meets(scene, drive.log, ego, own):
        raise ScenarioError("nobody is oncoming while the ego turns left")
    ends = route_ends(junction, scene, own, drive, ego)
    waits = bool(drive.log[ego, :, 1].min() < 0.5)

    logged = {}
    if signals is not None:
        first = round(WARM_UP / STEP) + 2 * late
        logged = dict(zip(ids, signals[:, first::2][:, :SAMPLES], strict=True))
    return Draw(
        partial(
            junction.build_map,
            (lambda m: ids[m.arm]) if lit else (lambda m: None),
            () if lit else (RIGHT, LEFT),
        ),
        drive,
        ego,
        *ends,
        scene.visible(),
        ("intersection", "left", "lights" if lit else "priority", *(("waits",) if waits else ())),
        commands=command(junction, own, "left"),
        signals=logged,
    )


def _programme(rng: np.random.Generator, arrival: float, limit: float) -> Programme:
    """The ego's road has green from some seconds before it arrives until after it has turned."""
    order = [("main", 40.0), ("side", 16.0)]
    when = float(np.round(min(-2.0, arrival - rng.uniform(6.0, 14.0)), 1))
    return at_onset(order, 3.0 if limit < 14.5 else 4.0, 2.0, "main", when, "green")


def _oncoming(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    limits: list[float],
    arrival: float,
    difficulty: float,
) -> None:
    """Oncoming traffic with gaps that are too short, and then one that is long enough."""
    speed = limits[AHEAD] * between(rng, difficulty, (0.75, 0.9), (0.9, 1.0))
    when = arrival + between(rng, difficulty, (-1.0, 2.0), (1.0, 3.5))
    room = between(rng, difficulty, (9.0, 13.0), (6.5, 7.5))
    apart = (
        between(rng, difficulty, (4.0, 7.0), (1.5, 1.8)),
        between(rng, difficulty, (11.0, 16.0), (3.5, 4.8)),
    )
    for lane in range(1, junction.arms[AHEAD].lanes_in + 1):
        ways = {
            m: 1.0 if m.turn == "straight" else 0.15
            for m in junction.movements
            if (m.arm, m.lane) == (AHEAD, lane) and m.turn != "left"
        }
        stream(
            rng, scene, f"o{lane}", ways, (-5.0, DURATION + 1.0), apart, speed, free=[(when, when + room)],
            heavy=0.08, factor=1.03 * speed / limits[AHEAD], headway=float(rng.uniform(0.8, 1.1)),
        )  # fmt: skip


def _others(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    own: Movement,
    limits: list[float],
    arrival: float,
    lit: bool,
) -> None:
    """Who comes behind the ego, who waits on the side roads, who goes straight on beside it."""
    lane = {m: 1.0 for m in junction.movements if (m.arm, m.lane) == (OWN, own.lane)}
    speed = 0.8 * limits[OWN]
    if rng.random() < 0.6:
        stream(rng, scene, "r", lane, (arrival + 1.5, arrival + 9.0), (1.5, 4.0), speed)
    if own.lane == 2:
        beside = {m: 1.0 for m in junction.movements if (m.arm, m.lane) == (OWN, 1)}
        stream(rng, scene, "n", beside, (-5.0, 14.0), (2.0, 6.0), speed)
    for arm in (RIGHT, LEFT):
        ways = {m: 1.0 if lit or m.turn == "right" else 0.3 for m in junction.movements if m.arm == arm}
        first = float(rng.uniform(-4.0, 8.0))
        stream(rng, scene, f"s{arm}", ways, (first, first + 6.0), (1.5, 5.0), 0.75 * limits[arm])


def _meets(scene: Scene[Movement], log: Floats, ego: int, own: Movement) -> bool:
    """Whether anybody oncoming passes its stop line within the 8 s around the ego's passing its own."""
    through = log[ego, :, 0] > scene.stops[own][0]
    begins = int(np.argmax(through)) if through.any() else log.shape[1]
    lines = {scene.lanes[m]: scene.stops[m][0] for m in scene.stops if m.arm == AHEAD}
    for i, a in enumerate(scene.traffic.actors):
        passed = log[i, :, 0] > lines.get(a.lane, np.inf)
        if passed.any() and not passed[0] and abs(int(np.argmax(passed)) - begins) < 80:
            return True
    return False
