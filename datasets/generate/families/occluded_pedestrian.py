"""Somebody steps onto the road from behind a van, a bus or a corner; or only looks, and lets the ego pass."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.buildings import add_buildings
from drive.datasets.generate.drivers import (
    EGO_BODY,
    Body,
    draw_body,
    draw_driver,
    draw_ego_driver,
    draw_wander,
)
from drive.datasets.generate.families.hiding import alley, corner_walls, draw_comer, park_rows
from drive.datasets.generate.families.stage import KMH, START, WARM_UP, between, pick
from drive.datasets.generate.kernels.base import VEHICLE
from drive.datasets.generate.people import add_walker, start_lag
from drive.datasets.generate.scene import DURATION, Draw
from drive.datasets.generate.street import Street, draw_street
from drive.datasets.generate.traffic import Actor, Gate, Slow, Task, Zone, fill_lane
from drive.datasets.generate.view import box_of, eye_of, notice_times, sees, tall_boxes
from drive.errors import ScenarioError
from drive.roadmap import AreaKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.generate.families.hiding import Comer
    from drive.datasets.generate.roads import Atlas
    from drive.datasets.generate.traffic import Drive, Traffic

    Floats = NDArray[np.float64]

FRONT = EGO_BODY.rear + 0.5 * EGO_BODY.length
STOP = 2.4
"""Metres before the way of who crosses at which the line lies that drivers stop at."""
HARDEST = 6.0
"""m/s^2 that an alert driver at the limit may at most need; more would ask the impossible."""


def draw(rng: np.random.Generator, difficulty: float) -> Draw:
    limit = round(KMH * pick(rng, 30, 30, 40, 50), 3)
    width = round(float(rng.uniform(3.0, 3.5)), 2)
    kind = ("van", "bus", "corner", "across")[int(np.searchsorted([0.35, 0.55, 0.8], rng.random()))]
    side = 1.0 if kind == "across" else -1.0
    room = round(float(rng.uniform(2.2, 2.4)), 2)
    driver = draw_ego_driver(rng, critical=0.8)
    careful = between(rng, difficulty, (0.85, 0.95), (0.62, 0.78)) * driver.factor * limit
    braking = between(rng, difficulty, (1.3, 1.8), (2.3, 2.8))
    away = _need(careful, braking) + between(rng, difficulty, (1.6, 5.0), (1.5, 3.0)) * careful
    place = float(np.round(START + FRONT + WARM_UP * careful + away, 2))
    right = 0.0 if kind == "corner" else room
    cycle = round(float(rng.uniform(1.5, 1.9)), 2) if kind == "corner" and rng.random() < 0.4 else 0.0
    left = room if kind == "across" or rng.random() < 0.4 else 0.0
    street = draw_street(
        rng,
        limit,
        width,
        parking=(right, left),
        cycle=cycle,
        hold=(place - 90.0, place + 30.0),
        radius=(120.0, 800.0),
    )
    stage = street.stage
    own = stage.lanes["f1"]
    park_rows(rng, street, kind, place)
    comer = draw_comer(rng, difficulty, street, kind, side, place, _need(careful, braking) / careful)
    _gates(street, comer, place)

    shift = (
        0.0 if kind in ("corner", "across") else float(rng.uniform(0.1, 0.5 * width - 0.5 * EGO_BODY.width))
    )
    tasks = (
        Task(own, shift, begin=place - 75.0, length=40.0),
        Task(own, 0.0, begin=place + 12.0, length=40.0),
    )
    ego = stage.traffic.add(
        Actor(
            "ego", EGO_BODY, own, START, careful, driver, wander=draw_wander(rng, 0.03), tasks=tasks,
            slows=(Slow(START - 5.0, place + 4.0, careful),),
        )
    )  # fmt: skip
    _others(rng, difficulty, street, careful, tasks)
    street.add_cyclists(rng, (START + 30.0, place - 15.0), most=1)
    street.add_walkers(rng, (place - 90.0, place - 25.0), "p", most=4)
    street.add_walkers(rng, (place + 25.0, place + 90.0), "q", most=4)

    # Until it sees somebody, the ego drives as if nobody came: such a drive says when it will see whom.
    walls = corner_walls(street, side, place) if kind == "corner" else []
    who = _send(stage.traffic, comer, 1e3)
    blind = np.full((who + 1, who + 1), -np.inf)
    blind[:, who] = 1e3
    drive = stage.traffic.run(-WARM_UP, DURATION, aware=blind)
    shown, leave = _cue(drive, ego, comer, place, braking, walls)
    stage.traffic.actors.pop()
    _send(stage.traffic, comer, leave)
    drive = stage.traffic.run(-WARM_UP, DURATION, aware=blind)
    late = {
        i: float(rng.uniform(0.35, 0.55)) for i, a in enumerate(stage.traffic.actors) if a.mode == VEHICLE
    }
    aware = notice_times(drive, who, leave, late, walls)
    if abs(aware[ego, who] - late[ego] - shown) > 0.25:
        raise ScenarioError("who steps out is seen before")
    drive = stage.traffic.run(-WARM_UP, DURATION, aware=aware)
    if notice_times(drive, who, leave, {ego: late[ego]}, walls)[ego, who] > aware[ego, who] + 0.05:
        raise ScenarioError("the ego takes notice of somebody whom it cannot see yet")
    if drive.log[ego, -1, 0] < place:
        raise ScenarioError("the ego does not come past the place")
    _check_fair(drive, ego, who, limit, place, walls)
    window = stage.window(drive, ego, limit)
    s0 = float(drive.log[ego, 0, 0])

    def finish(atlas: Atlas) -> None:
        if kind == "corner":
            atlas.builder.add_area(alley(street, side, place), AreaKind.WALKWAY)
            add_buildings(atlas, walls, margin=0.05)

    stopped = bool(drive.log[ego, :, 1].min() < 0.5)
    return Draw(
        partial(street.build_map, rng, window, (s0 - 40.0, place + 110.0), finish),
        drive,
        ego,
        stage.lane_id("f1", window, s0),
        stage.lane_id("f1", window, window[1]),
        {**stage.visible(window), comer.crossing.frame: (0.0, comer.crossing.length)},
        (
            "occlusion", kind, comer.body.kind.name.lower(), "waits" if comer.waits else "crosses",
            *(("stops",) if stopped else ()),
        ),
    )  # fmt: skip


def _gates(street: Street, comer: Comer, place: float) -> None:
    """Drivers of both directions let cross whom they have noticed."""
    stage, w = street.stage, street.width
    for frame, station, band in (
        (stage.forward, place, (-w + 0.1, 0.3)),
        (stage.backward, stage.road.curve.length - place, (-0.2, w - 0.1)),
    ):
        ends = sorted(comer.crossing.at(x) for x in band)
        zone = Zone(comer.crossing.frame, ends[0], ends[1], STOP + 0.5)
        stage.traffic.gates.append(Gate(frame, station - STOP, zones=(zone,)))


def _others(
    rng: np.random.Generator, difficulty: float, street: Street, speed: float, tasks: tuple[Task, ...]
) -> None:
    """Somebody far ahead, somebody behind, and oncoming vehicles."""
    stage = street.stage
    own = stage.lanes["f1"]
    if rng.random() < 0.5:
        ahead = START + 12.0 + float(rng.uniform(4.0, 6.0)) * speed
        fill_lane(rng, stage.traffic, own, (ahead, ahead + 3.0 * speed), speed, (2.0, 4.0), "a", body=_light)
    if rng.random() < 0.6:
        body = _light(rng)
        back = START - body.length - 4.0 - float(rng.uniform(1.5, 3.5)) * speed
        stage.traffic.add(Actor("r0", body, own, back, speed, draw_driver(rng, factor=0.9), tasks=tasks))
    meet = 0.85 * street.limit
    far = stage.road.curve.length - START
    gaps = (
        between(rng, difficulty, (5.0, 6.0), (2.5, 3.5)),
        between(rng, difficulty, (12.0, 14.0), (6.0, 9.0)),
    )
    span = (far - (WARM_UP + 14.0) * (speed + meet), far - WARM_UP * (speed + meet) + 20.0)
    fill_lane(
        rng, stage.traffic, stage.lanes["b1"], (max(span[0], 5.0), span[1]), meet, gaps, "o", body=_light
    )


def _light(rng: np.random.Generator) -> Body:
    return draw_body(rng, heavy=0.0, vans=0.08)


def _send(traffic: Traffic, comer: Comer, leave: float) -> int:
    return add_walker(
        traffic, comer.crossing, "comer", comer.body, comer.pace, comer.begin, leave,
        accel=comer.accel, stop_at=comer.stop_at, rest=comer.rest,
    )  # fmt: skip


def _need(speed: Any, braking: float) -> Any:
    """Metres in which a driver who has just seen somebody stops at the line."""
    return 0.95 * speed + STOP + 0.8 + speed * speed / (2.0 * braking)


def _cue(
    drive: Drive, ego: int, comer: Comer, place: float, braking: float, walls: list[Floats]
) -> tuple[float, float]:
    """When the ego shall see somebody come, so that it must brake so hard; when to leave for that."""
    station, v = drive.log[ego, :, 0] + FRONT, drive.log[ego, :, 1]
    near = place - 0.5 * comer.body.width - station <= _need(v, braking)
    k = int(np.argmax(near))
    if not near.any() or not 12 <= k <= 100:
        raise ScenarioError("the ego is too near or too far when somebody steps out")
    curve = drive.traffic.frames[comer.crossing.frame]
    at = np.arange(comer.begin, comer.crossing.length - 0.5, 0.05)
    pose = curve.pose(at)
    boxes = box_of(np.concatenate((pose, np.zeros((len(at), 4))), axis=1), comer.body)
    tall = [ring[k] if ring.ndim == 3 else ring for ring in tall_boxes(drive, ego)]
    seen = sees(np.repeat(eye_of(drive, ego)[k : k + 1], len(at), axis=0), boxes, [*tall, *walls])
    # Before it comes out it may be seen for a moment elsewhere, over a gap in the row.
    out = len(at) - int(np.argmin(seen[::-1])) if not seen.all() else 0
    if out == 0 or out >= len(at):
        raise ScenarioError("nothing hides who steps out")
    shown = 0.1 * k
    way = at[out] - comer.begin
    return shown, shown - (way + start_lag(comer.pace, comer.accel)) / comer.pace


def _check_fair(drive: Drive, ego: int, who: int, limit: float, place: float, walls: list[Floats]) -> None:
    """Raise ScenarioError where even an alert driver could not help an accident.

    Such a driver goes at the limit soon after the start, sees what its place lets it see, and must either
    come to a stand by braking at `HARDEST` or be gone before anybody is in its way.
    """
    t = 0.1 * np.arange(len(drive.log[ego]))
    v0 = float(drive.log[ego, 0, 1])
    gain = np.minimum(t, (limit - v0) / 1.2)
    v = v0 + 1.2 * gain
    station = drive.log[ego, 0, 0] + v0 * t + 0.6 * gain * gain + (v - v0) * (t - gain)
    body, curve = drive.traffic.actors[who].body, drive.traffic.frames[drive.frame(ego)]
    offset = drive.offset(ego, station)
    pose = curve.pose(station + EGO_BODY.rear)
    eye = pose[:, :2] + offset[:, None] * np.stack((-np.sin(pose[:, 2]), np.cos(pose[:, 2])), axis=-1)
    states = drive.rear_states(who)
    corners = box_of(states, body)
    seen = sees(eye, corners, [*tall_boxes(drive, ego), *walls]) & (drive.log[who, :, 1] > 0.3)
    front = station + FRONT
    at = curve.pose(np.array([place]))[0]
    across = np.cos(at[2]) * (corners[..., 1] - at[1]) - np.sin(at[2]) * (corners[..., 0] - at[0])
    half = 0.5 * EGO_BODY.width + 0.2
    inside = (across.max(axis=1) > offset - half) & (across.min(axis=1) < offset + half)
    beside = (front > place - 0.4) & (front - EGO_BODY.length < place + 0.4)
    if not (inside & beside).any():
        return
    k = int(np.argmax(seen)) if seen.any() else len(t) - 1
    room = place - 0.5 * body.width - 0.3 - front[k] - 0.2 * v[k]
    if room <= 0.5 or v[k] ** 2 / (2.0 * room) > HARDEST:
        raise ScenarioError("not even an alert driver at the limit could stop")
