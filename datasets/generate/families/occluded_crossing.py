"""A crossing whose other road two corner buildings hide; who comes there has the right of way, and is fast.

No line is painted and no sign stands there. Nobody on the other road brakes for the ego, as far as its
recording goes: whoever slows down at the corner sees them in time, whoever does not trusts to luck.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.buildings import add_buildings
from drive.datasets.generate.crossings import Scene, add_ego, refuse_panic, route_ends, stream
from drive.datasets.generate.drivers import EGO_BODY
from drive.datasets.generate.families.stage import between
from drive.datasets.generate.junctions import Junction, Movement, draw_arms, give_way
from drive.datasets.generate.projections import project
from drive.datasets.generate.scene import Draw, reach
from drive.datasets.generate.traffic import Order, Slow
from drive.datasets.generate.view import notice_times
from drive.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.roads import Atlas
    from drive.datasets.generate.traffic import Drive
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

LENGTH = 20.0
"""Seconds of a scene: who waits at the corner must still come to its goal."""
WARM_UP = 2.0
LIMIT, OTHER_LIMIT = 7.0, 10.0
"""m/s on the ego's road and on the other one."""
START, SPEED = 50.0, 5.0
"""Metres before the middle of the crossing, and speed in m/s, at which the ego begins."""
BEYOND = 18.0
"""Metres from the middle of the crossing to the goal."""
OWN, RIGHT, AHEAD, LEFT = 0, 1, 2, 3
WIDE = 2.3
BLOCK = 30.0
"""Metres of a building's walls along both roads."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    """As the other families; somebody comes."""
    return draw_crossing(rng, difficulty, True)


def draw_crossing(rng: np.random.Generator, difficulty: float, busy: bool) -> Draw:
    """The crossing with traffic on the other road, or with nobody there."""
    width = round(float(rng.uniform(3.3, 3.6)), 2)
    lengths = [90.0, 170.0, reach(LIMIT) + 100.0, 170.0]
    limits = [LIMIT, OTHER_LIMIT, LIMIT, OTHER_LIMIT]
    arms, far = draw_arms(rng, [(1, 1)] * 4, lengths, limits, width, (3.8, 4.8), skew=0.0)
    ways = tuple(Movement(k, 1, (k + 2) % 4, 1) for k in range(4))
    junction = Junction(arms, ways, far, ())
    own, others = ways[OWN], (ways[RIGHT], ways[LEFT])
    scene: Scene[Movement] = Scene(junction, -WARM_UP)
    walls = _buildings(rng, difficulty, junction, width, far)

    # The front is at its line so many seconds after the start if it goes on at the speed that it starts with.
    line = START - far - EGO_BODY.rear - 0.5 * EGO_BODY.length
    ego = add_ego(rng, scene, own, line / SPEED, SPEED, critical=float(rng.uniform(0.8, 1.4)))
    careful = between(rng, difficulty, (2.4, 3.0), (2.0, 2.4))
    stop, leave = scene.stops[own]
    edge = stop + far - width
    scene.traffic.edit(
        ego,
        orders=(Order(-WARM_UP, float(rng.uniform(0.2, 0.6)), SPEED),),
        # Slow until its front is at the other road's edge: there it sees past the buildings.
        slows=(Slow(edge - 12.0, edge - EGO_BODY.rear - 0.5 * EGO_BODY.length, careful),),
    )
    if busy:
        _comers(rng, difficulty, scene, others, far)
    if rng.random() < 0.5:
        oncoming = (float(rng.uniform(0.0, 4.0)), float(rng.uniform(9.0, 14.0)))
        stream(rng, scene, "o", {ways[AHEAD]: 1.0}, oncoming, (3.0, 8.0), 0.9 * LIMIT, factor=0.9)
    used = [m for m in others if m in scene.lanes]
    seen = project(scene.traffic.frames)
    if used:
        across = {scene.frame(m): 18.0 for m in used}
        gate = give_way(seen, scene.frame(own), across, (stop, leave + 12.0), WIDE, 2.5, edge)
        if gate is None:
            raise ScenarioError("the ways do not meet")
        scene.traffic.gates.append(gate)
    drive = _unaware(rng, scene, ego, walls)
    refuse_panic(drive)
    through = drive.log[ego, :, 0] - edge
    if through[-1] < 2.0 * width + BEYOND + 4.0:
        raise ScenarioError("the ego does not come to its goal")
    if busy and not _meets(scene, drive, others, far):
        raise ScenarioError("nobody comes where who does not slow down would be hit")
    ends = route_ends(junction, scene, own, drive, ego)
    goal = arms[AHEAD].mouth(arms[AHEAD].place("f1"))
    ahead = (BEYOND - far) * np.array([np.cos(goal[2]), np.sin(goal[2])])
    waits = bool(drive.log[ego, :, 1].min() < 0.5)
    return Draw(
        partial(_build_map, junction, walls),
        drive,
        ego,
        *ends,
        scene.visible(),
        ("occlusion", "crossing", "busy" if busy else "empty", *(("waits",) if waits else ())),
        goal=(float(goal[0] + ahead[0]), float(goal[1] + ahead[1])),
    )


def _buildings(
    rng: np.random.Generator, difficulty: float, junction: Junction, width: float, far: float
) -> list[Floats]:
    """A block on either side of the ego's road, its corner a pavement's breadth from both roads."""
    arm = junction.arms[OWN]
    origin = arm.inward(0.0)
    along = np.array([np.cos(origin[2]), np.sin(origin[2])])
    left = np.array([-along[1], along[0]])
    rings = []
    for side in (-1.0, 1.0):
        # From the other road's edge, and from the ego's.
        back = between(rng, difficulty, (3.3, 4.0), (2.8, 3.3))
        beside = side * (width + between(rng, difficulty, (3.0, 4.5), (2.6, 3.4)))
        near, deep = far - width - back, BLOCK + float(rng.uniform(0.0, 6.0))
        corners = [(near - deep, beside), (near, beside), (near, beside + side * BLOCK)]
        corners.append((near - deep, beside + side * BLOCK))
        rings.append(np.asarray([origin[:2] + x * along + y * left for x, y in corners]))
    return rings


def _build_map(junction: Junction, walls: list[Floats]) -> RoadMap:
    def finish(atlas: Atlas) -> None:
        if add_buildings(atlas, walls) < len(walls):
            raise ScenarioError("a building stands on the road")

    return junction.build_map(lambda m: None, (), finish)


def _comers(
    rng: np.random.Generator,
    difficulty: float,
    scene: Scene[Movement],
    others: Sequence[Movement],
    far: float,
) -> None:
    """Two streams with a gap; somebody comes when a driver who does not slow down is in the middle."""
    hit = float(rng.uniform(6.9, 7.7))
    first = int(rng.integers(2))
    begin = hit + between(rng, difficulty, (0.8, 1.6), (1.2, 2.8))
    free = (begin, begin + between(rng, difficulty, (8.0, 10.0), (6.0, 7.0)))
    for k, m in enumerate(others):
        speed = between(rng, difficulty, (4.0, 8.0), (5.5, 9.5))
        way = far / speed
        if k == first:
            times = [hit - way]
            at = times[0] - float(rng.uniform(1.5, 4.0)) - 5.0 / speed
        else:
            times, at = [], hit - way - float(rng.uniform(-0.5, 3.0))
        while at > 1.0 and len(times) < 3:
            times.append(at)
            at -= float(rng.uniform(1.5, 5.0)) + 5.0 / speed
        at = free[1] - way + float(rng.uniform(0.0, 3.0))
        while at < LENGTH and len(times) < 6:
            times.append(at)
            at += float(rng.uniform(2.0, 6.0)) + 5.0 / speed
        for i, when in enumerate(sorted(times)):
            stream(
                rng, scene, f"{'rl'[k]}{i}_", {m: 1.0}, (when, when + 0.1), (0.0, 0.1), speed,
                factor=speed / OTHER_LIMIT, headway=1.0, lateral=3.0,
            )  # fmt: skip


def _unaware(rng: np.random.Generator, scene: Scene[Movement], ego: int, walls: list[Floats]) -> Drive:
    """The drive in which the ego's driver takes notice of others only when it sees them."""
    late = {ego: float(rng.uniform(0.3, 0.5))}
    count = len(scene.traffic.actors)
    aware = np.full((count, count), -np.inf)
    aware[ego, :] = 1e3
    aware[ego, ego] = -np.inf
    drive = scene.traffic.run(-WARM_UP, LENGTH, aware=aware)
    for _ in range(3):
        before = aware
        seen = [notice_times(drive, i, -np.inf, late, walls) for i in range(count) if i != ego]
        aware = np.maximum.reduce([np.full((count, count), -np.inf), *seen])
        drive = scene.traffic.run(-WARM_UP, LENGTH, aware=aware)
        if np.array_equal(aware, before):
            break
    return drive


def _meets(scene: Scene[Movement], drive: Drive, others: Sequence[Movement], far: float) -> bool:
    """Whether a driver who went on at the limit would be in somebody's way, or within half a second."""
    t = 0.1 * np.arange(drive.log.shape[1])
    speed = np.minimum(SPEED + 1.2 * t, LIMIT)
    middle = np.concatenate(([0.0], np.cumsum(0.05 * (speed[1:] + speed[:-1])))) - START
    lanes = {scene.lanes[m]: m for m in others if m in scene.lanes}
    for i, actor in enumerate(scene.traffic.actors):
        m = lanes.get(actor.lane)
        if m is None:
            continue
        theirs = drive.log[i, :, 0] + actor.body.rear - scene.stops[m][0] - far
        width = scene.place.arms[OWN].width
        at = (-0.5 if m.arm == LEFT else 0.5) * width
        side = (-0.5 if m.arm == RIGHT else 0.5) * width
        here = np.abs(middle - at) < 0.5 * (EGO_BODY.length + actor.body.width) + 0.3
        there = np.abs(theirs - side) < 0.5 * (actor.body.length + EGO_BODY.width) + 0.5 * actor.speed
        if (here & there).any():
            return True
    return False
