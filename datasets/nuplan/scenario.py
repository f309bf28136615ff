"""A scenario of a nuPlan log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.matching import driven_lanes, make_route
from drive.datasets.nuplan.city import City, load_city
from drive.datasets.nuplan.maps import map_file
from drive.datasets.nuplan.rejoin import plain_name
from drive.datasets.nuplan.route import route_along
from drive.datasets.nuplan.rows import DT, SHORTEST, Rows, read_rows
from drive.datasets.nuplan.tracks import ego_states, tracks_of, whole_run
from drive.errors import ScenarioError
from drive.roadmap.crop import areas_in, lanes_in, select
from drive.scenario import Expert, Goal, Route, Scenario, Tracks
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

MARGIN = 200.0
"""Metres around everything that moves in a scenario from which its part of a city's map is taken."""
WHOLE = 400
"""Maps with no more lanes than this are not cut down."""
LICENCE = "the nuPlan data set's own terms"


def read_scenario(
    path: Path, token: str, track: str | None = None, restore: bool = True, maps: Path | None = None
) -> Scenario:
    """The scenario that the devkit would make of a frame; with `track` that road user is its ego.

    `restore` as in `load_city`: a scenario that we wrote comes back on the map it had. `maps` is the folder
    of the maps, where it is not to be looked for.

    Raises InputError, MapError or ScenarioError naming the file.
    """
    rows = read_rows(path, token)
    city = load_city(map_file(path, rows.city, maps), restore)
    name = f"{path.name}#{token}"
    if track is None:
        return _scenario(path, name, rows, city)
    return _recorded(path, name, rows, city, track)


def _scenario(path: Path, name: str, rows: Rows, city: City) -> Scenario:
    told = rows.exported
    vehicle = told.vehicle or VehicleParams()
    start = rows.poses[0, :2]
    origin = told.offset or (float(round(start[0] / 100.0) * 100.0), float(round(start[1] / 100.0) * 100.0))
    states = ego_states(rows.poses, origin, vehicle)
    if told.initial is not None and rows.frames.times[0] == told.start_us:
        states[0] = told.initial
    tracks = tracks_of(rows, states, origin, vehicle)
    ego = told.ego_row if told.known else 0
    roadmap, route_groups = part_of(city, rows, origin, tracks)
    if city.restored:
        route = told.route(roadmap, states[0])
    else:
        goal = None
        if rows.goal is not None and np.isfinite(np.asarray(rows.goal[:2], dtype=np.float64)).all():
            goal = np.asarray(rows.goal[:2], dtype=np.float64) - origin
        route, note = route_along(roadmap, route_groups, states[0, :3], goal)
        rows.notes.extend([note] if note else [])
    return _assembled(path, name, rows, roadmap, route, tracks, ego, vehicle, states, origin, city)


def _recorded(path: Path, name: str, rows: Rows, city: City, track: str) -> Scenario:
    """The scenario with another vehicle as its ego, over the frames from its first on that it is in."""
    from drive.datasets.conventions import expert_states

    vehicle = rows.exported.vehicle or VehicleParams()
    start = rows.poses[0, :2]
    origin = rows.exported.offset or (
        float(round(start[0] / 100.0) * 100.0),
        float(round(start[1] / 100.0) * 100.0),
    )
    tracks = tracks_of(rows, ego_states(rows.poses, origin, vehicle), origin, vehicle)
    if track not in tracks.ids:
        raise ScenarioError(f"{path.name}: there is no road user '{track}' in the scenario")
    ego = tracks.ids.index(track)
    kind = AgentKind(int(tracks.kind[ego]))
    if not kind.is_motor_vehicle:
        raise ScenarioError(f"{path.name}: road user '{track}' is no motor vehicle and cannot be the ego")
    first, last = whole_run(tracks.valid[ego])
    if (last - first) * DT < SHORTEST - 1e-6:
        raise ScenarioError(f"{path.name}: road user '{track}' is not seen for {SHORTEST:.0f} s on end")
    span = slice(first, last + 1)
    length, width, height = (float(v) for v in tracks.size[ego])
    own = VehicleParams.from_box(length, width, height)
    rear = tracks.rear_to_centre.copy()
    rear[ego] = own.rear_axle_to_center
    tracks = replace(tracks, states=tracks.states[:, span], valid=tracks.valid[:, span], rear_to_centre=rear)
    seen = np.asarray(tracks.valid.any(axis=1), dtype=np.bool_)
    ego = int(seen[:ego].sum())
    tracks = tracks.select(seen)
    states = expert_states(tracks.states[ego], own)
    roadmap, _ = part_of(city, rows, origin, tracks)
    lanes = driven_lanes(roadmap, tracks.states[ego, :, :3])
    if not lanes:
        raise ScenarioError(f"{path.name}: road user '{track}' never is on a lane; choose another")
    route = make_route(roadmap, states[0], lanes, Goal(position=tracks.states[ego, -1, :2].copy()))
    lights = rows.lights[(rows.lights[:, 0] >= first) & (rows.lights[:, 0] <= last)]
    rows = replace(rows, lights=lights - (first, 0, 0))
    return _assembled(path, f"{name}@{track}", rows, roadmap, route, tracks, ego, own, states, origin, city)


def _assembled(
    path: Path,
    name: str,
    rows: Rows,
    roadmap: RoadMap,
    route: Route,
    tracks: Tracks,
    ego: int,
    vehicle: VehicleParams,
    states: Floats,
    origin: tuple[float, float],
    city: City,
) -> Scenario:
    told, steps = rows.exported, tracks.num_steps - 1
    roadmap, signals = _signals(rows, city, roadmap, steps + 1)
    human = told.expert if told.known and "@" not in name else "human" if not told.known else "recorded"
    if city.restored:
        roadmap = _plain(roadmap)
    notes = (*told.provenance.notes, *rows.notes, *city.notes)
    return Scenario(
        id=name,
        dt=DT,
        duration=DT * steps,
        environment=roadmap,
        tracks=tracks,
        ego=ego,
        initial=states[0].copy(),
        vehicle=vehicle,
        route=route,
        expert=Expert(states, human),
        signals=signals,
        origin=origin,
        family=told.family if told.known else f"nuplan/{rows.type}",
        tags=told.tags if told.known else (rows.type, rows.city),
        provenance=replace(
            told.provenance,
            source=path.name,
            format="nuPlan",
            licence=told.provenance.licence if told.known else LICENCE,
            notes=notes,
        ),
    )


def part_of(city: City, rows: Rows, origin: tuple[float, float], tracks: Tracks) -> tuple[RoadMap, list[str]]:
    """The part of a city's map that a scenario needs, and the names of the groups along its route.

    All of a small map, all of the road map that a scenario of ours was written with, else what lies within
    200 m of anything that moves, and the route.
    """
    whole = city.roadmap
    at = city.group_of
    groups = [g for block in rows.route.replace(",", " ").split() if (g := at.get(block, -1)) >= 0]
    unknown = sum(block not in at for block in rows.route.replace(",", " ").split())
    if unknown:
        rows.notes.append(f"{unknown} lane groups of the route are not in the map")
    names = [whole.group_ids[g] for g in groups]
    shift = (city.origin[0] - origin[0], city.origin[1] - origin[1])
    everything = np.ones(whole.num_lanes, dtype=np.bool_), np.ones(len(whole.areas), dtype=np.bool_)
    if rows.exported.known:
        lanes, areas = city.world == rows.exported.world, city.area_world == rows.exported.world
    elif whole.num_lanes <= WHOLE:
        lanes, areas = everything
    else:
        moving = tracks.states[..., :2][tracks.valid] - np.asarray(shift)
        low, high = moving.min(0) - MARGIN, moving.max(0) + MARGIN
        lanes = lanes_in(whole, low, high) | np.isin(whole.group, groups)
        areas = areas_in(whole.areas, low, high)
    if not lanes.any():
        raise ScenarioError(f"{city.name}: the map holds no lane within {MARGIN:.0f} m of the scenario")
    return select(whole, lanes, areas, shift), names


def _signals(rows: Rows, city: City, roadmap: RoadMap, count: int) -> tuple[RoadMap, NDArray[np.uint8]]:
    """States `(S, T)` of the map's lights. Connectors with a status in the log but no stop line in the map
    get a light at their start."""
    name_of = city.light_of
    used, place = np.unique(rows.lights[:, 1], return_inverse=True)
    connectors = used.tolist()
    known = set(roadmap.signal_ids)
    fresh = [name_of[c] for c in connectors if c in name_of and name_of[c][0] not in known]
    if fresh and not city.restored:
        lane_at = {lane_id: k for k, lane_id in enumerate(roadmap.lane_ids)}
        signal, stop = roadmap.signal.copy(), roadmap.stop_station.copy()
        names = list(roadmap.signal_ids)
        for name, lane in fresh:
            k = lane_at.get(city.roadmap.lane_ids[lane])
            if k is not None:
                signal[k], stop[k] = len(names), 0.0
                names.append(name)
        roadmap = replace(roadmap, signal=signal, stop_station=stop, signal_ids=tuple(names))
    row_of = {name: k for k, name in enumerate(roadmap.signal_ids)}
    out = np.zeros((len(row_of), count), dtype=np.uint8)
    row = np.asarray([row_of.get(name_of.get(c, ("", 0))[0], -1) for c in connectors], dtype=np.intp)
    shown = row[place] >= 0 if len(row) else np.zeros(0, dtype=np.bool_)
    out[row[place][shown], rows.lights[shown, 0]] = rows.lights[shown, 2]
    lost = sum(c not in name_of for c in connectors)
    if lost:
        rows.notes.append(f"{lost} connectors with a traffic light status are not in the map")
    return roadmap, out


def _plain(roadmap: RoadMap) -> RoadMap:
    """A road map that we wrote, under the names that it had."""
    areas = tuple(plain_name(i) for i in roadmap.area_ids)
    return replace(
        roadmap,
        lane_ids=tuple(plain_name(i) for i in roadmap.lane_ids),
        group_ids=tuple(plain_name(i) for i in roadmap.group_ids),
        signal_ids=tuple(plain_name(i) for i in roadmap.signal_ids),
        area_ids=areas if any(areas) else (),
    )
