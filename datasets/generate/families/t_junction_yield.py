"""A side road meets a main road: the ego comes out of it through a gap, or meets those who do."""

from __future__ import annotations

from functools import partial

import numpy as np

from drive.datasets.generate.check import MAX_START_ACCELERATION
from drive.datasets.generate.crossings import (
    Scene,
    add_ego,
    add_priority_gates,
    command,
    refuse_panic,
    route_ends,
    stream,
)
from drive.datasets.generate.families.stage import KMH, between, pick
from drive.datasets.generate.junctions import Junction, Movement, draw_arms
from drive.datasets.generate.projections import project
from drive.datasets.generate.scene import DURATION, SAMPLES, Draw, reach
from drive.errors import ScenarioError

WARM_UP = 7.0
SPARE = 6.0
"""Seconds by which the scenario may begin later, once the ego drives calmly."""
EAST, SIDE, WEST = 0, 1, 2
"""The main road's two arms, and the side road's."""
ROLES = ("from_side_left", "from_side_right", "main_road")


def draw_junction(rng: np.random.Generator, ego_arm: int, exit_arm: int) -> tuple[Junction, list[float]]:
    """A junction of three arms, and its arms' limits."""
    limit = round(KMH * pick(rng, 50, 50, 60, 70), 3)
    side_limit = round(KMH * pick(rng, 30, 30, 40, 50), 3)
    limits = [limit, side_limit, limit]
    width = round(float(rng.uniform(3.4, 3.75)), 2)
    main = 1 if rng.random() < 0.7 else 2
    lengths = [150.0 + 9.0 * limit, 180.0, 150.0 + 9.0 * limit]
    lengths[ego_arm] = max(lengths[ego_arm], 60.0 + (WARM_UP + 7.0) * limits[ego_arm])
    lengths[exit_arm] = reach(limit) + 60.0
    lanes = [(main, main), (1, 1), (main, main)]
    whole = [float(np.round(x)) for x in lengths]
    arms, at = draw_arms(rng, lanes, whole, limits, width, (11.0, 14.0))
    movements = []
    for i in range(1, main + 1):
        movements += [Movement(EAST, i, WEST, i), Movement(WEST, i, EAST, i)]
    movements += [
        Movement(EAST, 1, SIDE, 1),
        Movement(WEST, main, SIDE, 1),
        Movement(SIDE, 1, WEST, 1),
        Movement(SIDE, 1, EAST, main),
    ]
    crossed = (SIDE,) if rng.random() < 0.5 else ()
    return Junction(arms, tuple(movements), at, crossed), limits


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    role = ROLES[int(np.searchsorted([0.4, 0.7], rng.random()))]
    if role == "main_road":
        arm, leave = (EAST, WEST) if rng.random() < 0.5 else (WEST, EAST)
    else:
        arm, leave = SIDE, EAST if role == "from_side_left" else WEST
    junction, limits = draw_junction(rng, arm, leave)
    scene: Scene[Movement] = Scene(junction, -WARM_UP)
    mine = [m for m in junction.movements if (m.arm, m.exit) == (arm, leave)]
    own = mine[int(rng.integers(len(mine)))]
    if arm == SIDE:
        ego = _from_side(rng, scene, junction, own, limits, difficulty)
    else:
        ego = _on_main(rng, scene, junction, own, limits, difficulty)
    scene.keep_limits()
    seen = project(scene.traffic.frames)
    add_priority_gates(scene, seen, (SIDE,))
    drive = scene.traffic.run(-WARM_UP, DURATION + SPARE, None, seen)
    earliest = 0
    if arm == SIDE:
        through = drive.log[ego, :, 0] > scene.stops[own][0] + 4.0
        if not through.any():
            raise ScenarioError("the ego does not come out of the side road")
        earliest = max(0, int(np.argmax(through)) - SAMPLES)
    elif not any(
        (drive.log[i, :, 0] > scene.stops[m][0])[int(np.argmax(drive.log[ego, :, 0] > scene.stops[own][0]))]
        and drive.log[i, 0, 0] < scene.stops[m][0]
        for i, m in _comers(scene)
    ):
        raise ScenarioError("nobody comes out of the side road before the ego passes")
    drive, _ = drive.from_calm(ego, SAMPLES, MAX_START_ACCELERATION, earliest)
    refuse_panic(drive)
    ends = route_ends(junction, scene, own, drive, ego)
    waits = bool(drive.log[ego, :, 1].min() < 0.5)

    return Draw(
        partial(junction.build_map, lambda m: None, (SIDE,)),
        drive,
        ego,
        *ends,
        scene.visible(),
        ("intersection", "priority", role, *(("waits",) if waits else ())),
        commands=command(junction, own, own.turn),
    )


def _main_stream(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    arm: int,
    limits: list[float],
    difficulty: float,
    free: list[tuple[float, float]],
    turning: float,
    left: float = 0.0,
) -> None:
    """Traffic of the main road from an arm, dense but for the `free` times; so many turn off it to the right
    and to the left for each who goes straight on."""
    speed = limits[arm] * between(rng, difficulty, (0.8, 0.9), (0.88, 1.0))
    for lane in range(1, junction.arms[arm].lanes_in + 1):
        share = {"straight": 1.0, "right": turning, "left": left}
        ways = {m: share[m.turn] for m in junction.movements if _from(m, arm, lane)}
        apart = (
            between(rng, difficulty, (3.0, 5.0), (1.5, 1.6)),
            between(rng, difficulty, (8.0, 12.0), (2.5, 3.2)),
        )
        stream(
            rng, scene, f"m{arm}{lane}", ways, (-6.0, DURATION), apart, speed, free=free, heavy=0.08,
            factor=1.03 * speed / limits[arm], headway=float(rng.uniform(0.8, 1.1)),
            critical=between(rng, difficulty, (1.2, 2.0), (0.6, 1.2)),
        )  # fmt: skip


def _from_side(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    own: Movement,
    limits: list[float],
    difficulty: float,
) -> int:
    """The ego comes out of the side road in a gap that both directions leave."""
    arrival = float(rng.uniform(6.5, 9.5))
    ego = add_ego(
        rng, scene, own, arrival - 3.5, 0.75 * limits[SIDE],
        critical=between(rng, difficulty, (1.2, 1.8), (0.6, 1.0)), lateral=float(rng.uniform(1.0, 1.4)),
    )  # fmt: skip
    when = arrival + between(rng, difficulty, (-2.0, 1.0), (0.0, 3.0))
    room = between(rng, difficulty, (10.0, 13.0), (7.0, 8.5)) + (1.0 if own.turn == "left" else 0.0)
    free = [(when, when + room)]
    for arm in (EAST, WEST):
        # Who turns right need not mind those who come from the other side.
        mind = own.turn == "left" or arm != own.exit
        _main_stream(rng, scene, junction, arm, limits, difficulty, free if mind else [], 0.15)
    if rng.random() < 0.5:
        stream(rng, scene, "s", {own: 1.0}, (arrival + 3.0, arrival + 9.0), (1.5, 4.0), 0.7 * limits[SIDE])
    return ego


def _on_main(
    rng: np.random.Generator,
    scene: Scene[Movement],
    junction: Junction,
    own: Movement,
    limits: list[float],
    difficulty: float,
) -> int:
    """The ego has priority; somebody comes out of the side road ahead of it, or slows down to turn off."""
    speed = 0.85 * limits[own.arm]
    arrival = float(rng.uniform(4.0, 8.0))
    ego = add_ego(rng, scene, own, arrival, speed)
    # A gap ahead of the ego that invites, and someone impatient who takes it.
    room = between(rng, difficulty, (9.0, 11.0), (7.0, 8.0))
    critical = between(rng, difficulty, (0.3, 0.9), (-0.8, -0.1))
    other = {EAST: WEST, WEST: EAST}[own.arm]
    lane = {
        m: 1.0 if m.turn == "straight" else 0.3 for m in junction.movements if _from(m, own.arm, own.lane)
    }
    stream(
        rng, scene, "a", lane, (arrival - room - 9.0, arrival - room), (1.2, 2.5), speed,
        factor=speed / limits[own.arm],
    )  # fmt: skip
    stream(rng, scene, "r", lane, (arrival + 2.0, arrival + 9.0), (1.3, 3.0), speed)
    out = {m: 1.0 for m in junction.movements if m.arm == SIDE}
    first = arrival - room - float(rng.uniform(2.5, 5.0))
    stream(rng, scene, "s", out, (first, first + 5.0), (1.2, 2.5), 0.7 * limits[SIDE], critical=critical)
    free = [(arrival - room, arrival + 1.0)]
    _main_stream(rng, scene, junction, other, limits, difficulty, free, 0.15, 0.3)
    for n in range(1, junction.arms[own.arm].lanes_in + 1):
        if n != own.lane:
            beside = {m: 1.0 for m in junction.movements if _from(m, own.arm, n) and m.turn == "straight"}
            stream(rng, scene, f"n{n}", beside, (-6.0, 14.0), (2.0, 5.0), speed, free=free)
    return ego


def _comers(scene: Scene[Movement]) -> list[tuple[int, Movement]]:
    """Who comes out of the side road, and how."""
    ways = {scene.lanes[m]: m for m in scene.stops if m.arm == SIDE}
    return [(i, ways[a.lane]) for i, a in enumerate(scene.traffic.actors) if a.lane in ways]


def _from(m: Movement, arm: int, lane: int) -> bool:
    return (m.arm, m.lane) == (arm, lane)
