"""Traffic on a bare map: vehicles put on its lanes, driven for some time before the scenario begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.check import first_overlap, track_corners
from drive.datasets.generate.drivers import draw_body
from drive.geometry import (
    arc_length,
    box_corners,
    boxes_overlap,
    polyline_heading,
    resample_polyline,
    unwrap_angle,
)
from drive.roadmap import LaneKind, route_line
from drive.scenario import Route, Scenario, Tracks
from drive.sim.kernels.layout import PRESENT, Controller
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import IDM
from drive.sim.world import compile_world, step
from drive.vehicle import STATE_SIZE, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drive.datasets.generate.drivers import Body
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

DT = 0.1
WARM_UP = 8.0
"""Seconds that everybody drives before time 0: queues form, gaps settle."""
DEFAULT_LIMIT = 10.0
"""m/s on lanes whose limit the file does not give."""
NARROW = 2.2
"""Metres of width below which nobody is sent along a lane."""
MAX_VEHICLES = 40
ROOM = 8.0
"""Metres that a vehicle keeps from others at its start, beside one second of way."""
TRIES = 8
STANDING = 1e-3
"""m/s that a driver wants who stands: IDM divides by it."""
PLACE = 5.0
SHORT = 12.0
"""Metres of lane below which nobody sets off on it."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A road user before it has met anybody: its way `line (N, 2)`, station (m) and speed (m/s) on it."""

    name: str
    body: Body
    line: Floats
    station: float
    speed: float


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What came of it: the ego's rear-axle states `(T, 7)`, everybody's tracks, the ego's the first, and
    how many vehicles had to be left out because they would have met an accident."""

    expert: Floats
    tracks: Tracks
    left_out: int


def random_way(
    rng: np.random.Generator, roadmap: RoadMap, lane: int, length: float
) -> tuple[list[int], float]:
    """Lanes from `lane` on, each a successor drawn evenly, over `length` metres beyond its start, and how
    many metres they are: fewer where the road ends. No lane comes twice."""
    way, covered = [lane], float(roadmap.length[lane])
    while covered < length:
        ahead = [
            int(n)
            for n in roadmap.successors(way[-1])
            if roadmap.kind[n] <= LaneKind.CONNECTOR
            and int(n) not in way
            and width_of(roadmap, int(n)) > NARROW
        ]
        if not ahead:
            break
        way.append(ahead[int(rng.integers(len(ahead)))])
        covered += float(roadmap.length[way[-1]])
    return way, covered


def width_of(roadmap: RoadMap, lane: int) -> float:
    """Mean width of a lane in m."""
    return float(roadmap.half_width[roadmap.rows(lane)].sum(1).mean())


def places(roadmap: RoadMap, near: Floats, reach: float) -> tuple[NDArray[np.intp], Floats]:
    """Where vehicles may set off: every `PLACE` metres of the lanes outside junctions that lie within
    `reach` metres of the line `near (N, 2)`; the lanes `(P,)` and the stations on them `(P,)`."""
    from scipy.spatial import cKDTree

    lanes: list[NDArray[np.intp]] = []
    stations: list[Floats] = []
    points: list[Floats] = []
    for i in np.flatnonzero(roadmap.kind == LaneKind.LANE):
        lane = int(i)
        if roadmap.length[lane] < SHORT or width_of(roadmap, lane) <= NARROW:
            continue
        s = np.arange(1.0, roadmap.length[lane] - 0.5 * SHORT, PLACE)
        rows = roadmap.rows(lane)
        points.append(
            np.stack([np.interp(s, roadmap.station[rows], roadmap.points[rows, k]) for k in (0, 1)], axis=-1)
        )
        stations.append(s)
        lanes.append(np.full(len(s), lane, dtype=np.intp))
    if not lanes:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    line = resample_polyline(near, PLACE)
    gap = cKDTree(line).query(np.concatenate(points), distance_upper_bound=reach)[0]
    return np.concatenate(lanes)[gap < np.inf], np.concatenate(stations)[gap < np.inf]


def place_vehicles(
    rng: np.random.Generator, roadmap: RoadMap, ego: Draft, duration: float, reach: float, share: float
) -> list[Draft]:
    """The ego and vehicles on lanes around its way, `share` of them for every kilometre of lane, none in
    another one's way at first."""
    made, boxes = [ego], [_box(ego)]
    lanes, stations = places(roadmap, ego.line, reach)
    count = min(round(share * PLACE * len(lanes) / 1000.0), MAX_VEHICLES)
    for _ in range(3 * count):
        if len(made) > count:
            break
        pick = int(rng.integers(len(lanes)))
        lane, body = int(lanes[pick]), draw_body(rng)
        station = float(stations[pick] + rng.uniform(0.0, PLACE))
        limit = roadmap.limit(lane, DEFAULT_LIMIT)
        speed = limit * float(rng.uniform(0.8, 1.0))
        way, _ = random_way(rng, roadmap, lane, station + (duration + WARM_UP) * limit + 50.0)
        draft = Draft(f"v{len(made)}", body, route_line(roadmap, way), station, speed)
        box = _box(draft)
        if not any(bool(boxes_overlap(box, other)) for other in boxes):
            made.append(draft)
            boxes.append(box)
    return made


def _box(draft: Draft) -> Floats:
    """Corners `(4, 2)` of a vehicle's box with the room that it wants ahead and behind."""
    middle = draft_track(draft, 1)[0][0]
    room = 2.0 * (ROOM + draft.speed)
    return box_corners(middle[:2], middle[2], draft.body.length + room, draft.body.width)


def draft_track(draft: Draft, samples: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Box-centre states `(T, 5)` of a vehicle alone at its speed, and where its way still lasts `(T,)`."""
    s = arc_length(draft.line)
    heading = unwrap_angle(polyline_heading(draft.line))
    at = draft.station + draft.speed * DT * np.arange(samples)
    rear = np.stack([np.interp(at, s, draft.line[:, k]) for k in (0, 1)], axis=-1)
    h = np.interp(at, s, heading)
    along = np.stack((np.cos(h), np.sin(h)), axis=-1)
    center = rear + draft.body.rear * along
    states = np.concatenate((center, h[:, None], draft.speed * along), axis=1)
    return states, np.asarray(at <= s[-1] - draft.body.length)


def drive_all(
    roadmap: RoadMap,
    route: Route,
    drafts: Sequence[Draft],
    duration: float,
    states_at: Callable[[Floats], NDArray[np.uint8]],
    rolling: bool = True,
) -> Drive:
    """Let everybody drive by IDM, the ego (the first) along its route, from `WARM_UP` seconds before time 0.

    `states_at` gives the signals `(S, T)` at times `(T,)`. An ego that is not `rolling` stands
    until time 0. Vehicles in an accident are taken out and the rest drive again.
    """
    people, left_out = list(drafts), 0
    for attempt in range(TRIES + 1):
        drive = _drive_once(roadmap, route, people, duration, states_at, rolling)
        hit = first_overlap(track_corners(drive.tracks), drive.tracks.valid)
        if hit is None or attempt == TRIES:
            break
        # Of the two, the one that is not the ego; and one by one, since others may then do well.
        gone = drive.tracks.ids[hit[1]]
        people = [p for p in people if p.name != gone]
        left_out += 1
    return Drive(drive.expert, drive.tracks, left_out)


def _drive_once(
    roadmap: RoadMap,
    route: Route,
    people: Sequence[Draft],
    duration: float,
    states_at: Callable[[Floats], NDArray[np.uint8]],
    rolling: bool,
) -> Drive:
    warm = round(WARM_UP / DT)
    samples = warm + round(duration / DT) + 1
    found = [draft_track(p, samples) for p in people]
    size = np.asarray([(p.body.length, p.body.width, p.body.height) for p in people])
    rear = np.asarray([p.body.rear for p in people])
    kind = np.asarray([int(p.body.kind) for p in people], dtype=np.uint8)
    names = tuple(p.name for p in people)
    valid = np.stack([v for _, v in found])
    valid[0] = True
    log = np.where(valid[..., None], np.stack([s for s, _ in found]), 0.0)
    ego = people[0]
    initial = np.zeros(STATE_SIZE)
    first = found[0][0][0]
    initial[:2] = first[:2] - ego.body.rear * np.asarray((np.cos(first[2]), np.sin(first[2])))
    initial[2:4] = first[2], ego.speed
    vehicle = VehicleParams()
    draft = Scenario(
        id="draft",
        dt=DT,
        duration=(samples - 1) * DT,
        environment=roadmap,
        tracks=Tracks(log, valid, size, kind, rear, names),
        ego=0,
        initial=initial,
        vehicle=vehicle,
        route=route,
        expert=None,
        signals=states_at(np.asarray(DT * (np.arange(samples) - warm))),
    )
    world = compile_world([cast(draft, IDM, {0: Controller.IDM})], DT)
    wish = world.agents.driver[0, 0]
    target = float(wish[0])
    if not rolling:
        wish[0] = STANDING
    centers, present = np.zeros((samples, len(people), 5)), np.zeros((samples, len(people)), dtype=np.bool_)
    expert = np.zeros((samples, STATE_SIZE))
    expert[0] = initial
    for k in range(samples):
        m = world.motion
        if k == warm and not rolling:
            wish[0] = target
            for part in (m.speed, m.acceleration, m.vx, m.vy):
                part[0, 0] = 0.0
        centers[k], present[k] = world.centers()[0], world.present[0]
        if m.presence[0, 0] == PRESENT:
            row = (m.x, m.y, m.heading, m.speed, m.acceleration, m.steering, m.yaw_rate)
            expert[k] = [float(c[0, 0]) for c in row]
        else:
            # The road ended before the time did: who drove along it waits there.
            expert[k] = (*expert[k - 1, :3], 0.0, 0.0, 0.0, 0.0)
            centers[k, 0], present[k, 0] = (*centers[k - 1, 0, :3], 0.0, 0.0), True
        if k + 1 < samples:
            world = step(world, out=world)
    states, there = centers[warm:].swapaxes(0, 1), present[warm:].T
    kept = there.any(1)
    tracks = Tracks(np.where(there[..., None], states, 0.0), there, size, kind, rear, names).select(
        np.flatnonzero(kept)
    )
    return Drive(expert[warm:], tracks, 0)
