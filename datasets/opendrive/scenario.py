"""Scenarios on a bare map: an ego with a route, traffic that drives by itself, lights that change."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.draws import Draws
from drive.datasets.generate.drivers import EGO_BODY
from drive.datasets.opendrive.signals import ALL_RED, GREEN, YELLOW, signal_states
from drive.datasets.opendrive.traffic import (
    DEFAULT_LIMIT,
    DT,
    NARROW,
    WARM_UP,
    Draft,
    drive_all,
    place_vehicles,
    random_way,
    width_of,
)
from drive.errors import ScenarioError
from drive.geometry import arc_length
from drive.roadmap import LaneKind, crop, extend_route, find_route, route_groups, route_line
from drive.scenario import STAND_IN, Expert, Goal, Provenance, Route, Scenario
from drive.vehicle import ACCELERATION, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.opendrive.roadmap import BuiltMap
    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

VERSION = "1"
"""Changes whenever a scenario of the same reference changes."""
DURATION, SHORTEST, LONGEST = 15.0, 5.0, 300.0
SLOW, SPARE, AT_LIGHT = 0.5, 15.0, 25.0
"""Time for a way: its length at this share of the limits, seconds to set off, and more for each light."""
BEYOND = 100.0
"""Metres that a route goes on beyond its goal."""
HORIZON = 8.0
REST = 100.0
"""Metres of route beyond what the ego reaches in the duration and a planner's horizon."""
MARGIN = 150.0
"""Metres around the route that the map of a scenario reaches."""
DRAWS = 20
PER_KM = 12.0
"""Vehicles per kilometre of lane around the route at the most; half of it at the least."""
MIN_PROGRESS = 30.0
HARD = 4.5
"""m/s^2 of braking above which a drive shows an emergency, and another one is drawn."""


def seeded_scenario(built: BuiltMap, seed: int, name: str) -> Scenario:
    """A drive from a lane drawn by the seed, by turns drawn by the seed. Raises ScenarioError on a map
    where no drive of 5 s is possible."""
    best: tuple[float, Scenario] | None = None
    fault: ScenarioError | None = None
    for attempt in range(DRAWS):
        rng = draws(built.name, str(seed), str(attempt))
        lanes, start, share = draw_route(rng, built.roadmap)
        if share < 1.0 and attempt < DRAWS - 3:
            continue
        try:
            scenario = make_scenario(built, lanes, start, name, rng, seed=seed)
        except ScenarioError as error:
            fault = error
            continue
        worth = _worth(scenario)
        if best is None or worth > best[0]:
            best = worth, scenario
        if worth >= 1.0:
            break
    if best is None:
        raise fault or ScenarioError(f"{built.name}: none of {DRAWS} drawn routes can be driven")
    return best[1]


def _worth(scenario: Scenario) -> float:
    """1 for a drive that gets somewhere without an emergency; less, the less it does."""
    assert scenario.expert is not None
    e = scenario.expert.states
    way = float(np.hypot(*np.diff(e[:, :2], axis=0).T).sum()) / MIN_PROGRESS
    calm = HARD / max(-float(e[:, ACCELERATION].min()), HARD)
    return min(way, 1.0) * calm * scenario.duration / DURATION


def named_scenario(built: BuiltMap, start: str, goal: str, name: str) -> Scenario:
    """A drive from the start of one lane to the end of another; both by the map's ids."""
    m = built.roadmap
    a, b = m.lane_index(start), m.lane_index(goal)
    lanes = find_route(m, a, (b,))
    if lanes is None:
        raise ScenarioError(f"{built.name}: no way leads from lane '{start}' to lane '{goal}'")
    return make_scenario(
        built,
        lanes,
        1.0,
        name,
        draws(built.name, f"{start}>{goal}"),
        duration=time_for(m, lanes, 1.0, float(m.length[b])),
        goal=m.centerline(b)[-1],
        rolling=False,
    )


def time_for(m: RoadMap, lanes: Sequence[int], start: float, end: float) -> float:
    """Seconds that a drive along lanes may take, from a station on the first to one on the last of them."""
    seconds = sum(m.length[i] / m.limit(i, DEFAULT_LIMIT) for i in lanes)
    seconds -= start / m.limit(lanes[0], DEFAULT_LIMIT)
    seconds -= (m.length[lanes[-1]] - end) / m.limit(lanes[-1], DEFAULT_LIMIT)
    lights = int((m.signal[list(lanes)] >= 0).sum())
    return float(np.clip(np.ceil(seconds / SLOW + SPARE + AT_LIGHT * lights), DURATION, LONGEST))


def draw_route(rng: np.random.Generator, m: RoadMap) -> tuple[list[int], float, float]:
    """Lanes, the station of the start on the first one, and the share of the wanted length that they have."""
    wide = np.asarray([width_of(m, i) > NARROW for i in range(m.num_lanes)])
    fit = np.flatnonzero((m.kind == LaneKind.LANE) & wide)
    if not len(fit):
        # Networks of junctions alone exist.
        fit = np.flatnonzero((m.kind <= LaneKind.CONNECTOR) & wide)
    if not len(fit):
        raise ScenarioError(f"no lane of the map is wider than {NARROW:g} m")
    weight = np.cumsum(m.length[fit])
    lane = int(fit[min(int(np.searchsorted(weight, rng.random() * weight[-1])), len(fit) - 1)])
    length = float(m.length[lane])
    start = float(rng.uniform(0.0, max(length - 20.0, 0.0)))
    need = start + (WARM_UP + DURATION + HORIZON) * m.limit(lane, DEFAULT_LIMIT) + REST
    lanes, covered = random_way(rng, m, lane, need)
    if covered < need:
        # The road ends before: begin as early as the first lane does.
        start, need = max(start - (need - covered), 1.0), need - start + 1.0
    return lanes, start, min((covered - start) / (need - start), 1.0)


def make_scenario(
    built: BuiltMap,
    lanes: Sequence[int],
    start: float,
    name: str,
    rng: np.random.Generator,
    *,
    duration: float = DURATION,
    goal: Floats | None = None,
    seed: int | None = None,
    family: str = "opendrive",
    tags: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    format: str = "",
    rolling: bool = True,
) -> Scenario:
    """The scenario of an ego that drives along `lanes` of a map from a station on the first one.

    A `rolling` ego sets off there 8 s before time 0, another one stands there until then; the others
    drive in anyway. `goal (2,)` is given in the map's coordinates, and the route then goes on beyond it;
    without one there is none, and the scenario is no longer than the route lasts.
    """
    whole = built.roadmap
    if goal is not None:
        lanes = extend_route(whole, lanes, BEYOND)
    line = route_line(whole, lanes, start)
    origin = _near(line[0])
    roadmap = crop(whole, line, MARGIN, origin)
    way = tuple(roadmap.lane_index(whole.lane_ids[i]) for i in lanes)
    line = route_line(roadmap, way, start)
    end = Goal() if goal is None else Goal(position=np.asarray(goal) - origin)
    limit = roadmap.limit(way[0], DEFAULT_LIMIT)
    route = Route(way, route_groups(roadmap, way), line, end, ((0.0, "follow"),))
    ahead = float(arc_length(line)[-1]) - start - EGO_BODY.length
    if goal is None:
        run = ahead / max(limit, 1.0) - (WARM_UP if rolling else 0.0)
        duration = float(np.floor(min(duration, run)))
        if duration < SHORTEST:
            raise ScenarioError(f"{built.name}: the {ahead:.0f} m of road are too short for a drive of 5 s")
    ego = Draft("ego", EGO_BODY, line, start, 0.8 * limit if rolling else 0.0)
    share = PER_KM * float(rng.uniform(0.5, 1.0))
    cycle = 2.0 * (GREEN + YELLOW + ALL_RED)
    shift = float(np.round(rng.uniform(0.0, cycle), 1))
    drafts = place_vehicles(rng, roadmap, ego, duration, MARGIN, share)
    found = drive_all(
        roadmap,
        route,
        drafts,
        duration,
        lambda t: signal_states(built, roadmap.signal_ids, t, shift),
        rolling,
    )
    told = (*built.notes, *notes)
    if found.left_out:
        told = (*told, f"vehicles left out because they met an accident: {found.left_out}")
    samples = round(duration / DT) + 1
    return Scenario(
        id=name,
        dt=DT,
        duration=duration,
        environment=roadmap,
        tracks=found.tracks,
        ego=0,
        initial=found.expert[0].copy(),
        vehicle=VehicleParams(),
        route=route,
        expert=Expert(found.expert, STAND_IN),
        signals=signal_states(built, roadmap.signal_ids, np.asarray(DT * np.arange(samples)), shift),
        origin=(built.origin[0] + origin[0], built.origin[1] + origin[1]),
        family=family,
        tags=tags,
        provenance=Provenance(
            source=built.name,
            format=format or f"OpenDRIVE {built.version}",
            generator=f"opendrive/{VERSION}",
            seed=seed,
            notes=told,
        ),
    )


def _near(point: Floats) -> tuple[float, float]:
    """The multiple of 1000 m next to a place: near enough for float32."""
    return round(float(point[0]) / 1000.0) * 1000.0 + 0.0, round(float(point[1]) / 1000.0) * 1000.0 + 0.0


def draws(*what: str) -> Draws:
    """Random numbers that follow from words alone, the same on every machine."""
    key = "|".join((VERSION, *what)).encode()
    return Draws.of(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))
