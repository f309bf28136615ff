"""A scenario of a nuPlan log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.commonroad.matching import driven_lanes, make_route
from drive.datasets.nuplan.city import City, load_city
from drive.datasets.nuplan.exported import Exported
from drive.datasets.nuplan.logdb import Frames, open_log
from drive.datasets.nuplan.mapping import Window, window_of
from drive.datasets.nuplan.maps import map_file
from drive.datasets.nuplan.rejoin import plain_name
from drive.datasets.nuplan.route import route_along
from drive.datasets.nuplan.schema import CATEGORIES, SIGNAL_WORDS
from drive.errors import ScenarioError
from drive.geometry import unwrap_angle, wrap_angle
from drive.roadmap.crop import areas_in, crop, lanes_in
from drive.scenario import Expert, Goal, Route, Scenario, Tracks
from drive.vehicle import STATE_SIZE, AgentKind, VehicleParams, rear_to_center

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

DT = 0.1
NEAR = 0.03
"""Seconds that a frame may lie off the clock's tick that it stands for."""
SHORTEST = 3.0
"""Seconds before which a gap in the log makes a scenario useless."""
FARTHEST_STILL = 5.0
"""Metres that a vehicle must drive to be worth being the ego."""
MARGIN = 200.0
"""Metres around everything that moves in a scenario from which its part of a city's map is taken."""
WHOLE = 400
"""Maps with no more lanes than this are not cut down."""
LICENCE = "nuPlan data set terms (non-commercial), see nuscenes.org/terms-of-use"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a log holds of one scenario: frames on the clock, and boxes, categories and lights in them."""

    frames: Frames
    poses: Floats
    tracks: list[bytes]
    at: NDArray[np.intp]
    boxes: Floats
    categories: dict[bytes, tuple[str, dict[str, Any]]]
    lights: list[tuple[int, int, str]]
    type: str
    city: str
    route: str
    goal: tuple[Any, ...] | None
    exported: Exported
    notes: list[str]


def read_scenario(path: Path, token: str, track: str | None = None, restore: bool = True) -> Scenario:
    """The scenario that the devkit would make of a frame; with `track` that road user is its ego.

    `restore` as in `load_city`: a scenario that we wrote comes back on the map it had.

    Raises InputError, MapError or ScenarioError naming the file.
    """
    rows = read_rows(path, token)
    city = load_city(map_file(path, rows.city), restore)
    name = f"{path.name}#{token}"
    if track is None:
        return _scenario(path, name, rows, city)
    return _recorded(path, name, rows, city, track)


def read_rows(path: Path, token: str) -> Rows:
    """Everything of one scenario, by seven queries on one connection."""
    notes: list[str] = []
    with open_log(path) as log:
        found, lidar, route, goal = log.frame(token)
        window = window_of(found.type)
        first = found.time_us + round(window.offset * 1e6)
        frames = log.frames(lidar, first, first + round(window.duration * 1e6))
        pick = _on_clock(path, frames, window, first, notes)
        tokens = [frames.tokens[k] for k in pick]
        tracks, at, boxes = log.boxes(tokens)
        categories = log.categories(list(dict.fromkeys(tracks)))
        lights = log.lights(tokens)
        exported = Exported.of(log.exported(), path.name)
    poses = frames.poses[pick]
    wrong = ~np.isfinite(poses[:, :10]).all(1)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ScenarioError(f"{path.name}: the ego's pose of frame '{tokens[k].hex()}' is not finite")
    return Rows(
        frames,
        poses,
        tracks,
        at,
        boxes,
        categories,
        lights,
        found.type,
        found.map,
        route,
        goal,
        exported,
        notes,
    )


def _on_clock(path: Path, frames: Frames, window: Window, first_us: int, notes: list[str]) -> list[int]:
    """The frames next to the ticks of a clock of 0.1 s, up to the first tick without one."""
    times = (frames.times - (frames.times[0] if len(frames.times) else 0)) * 1e-6
    if len(times) < 2:
        raise ScenarioError(f"{path.name}: the log holds {len(times)} frames in the scenario's time")
    late = (int(frames.times[0]) - first_us) * 1e-6
    if late > NEAR:
        notes.append(f"the log begins {late:.2f} s after the scenario would")
    count = int(min(times[-1], window.duration) / DT + 0.5) + 1
    out: list[int] = []
    for tick in DT * np.arange(count):
        k = int(np.searchsorted(times, tick))
        k = min((j for j in (k - 1, k) if 0 <= j < len(times)), key=lambda j: abs(times[j] - tick))
        if abs(times[k] - tick) > NEAR:
            where = f"{path.name}: the log has a gap at {tick:.1f} s of the scenario"
            if tick - DT < SHORTEST - 1e-6:
                raise ScenarioError(f"{where}, before {SHORTEST:.0f} s of it are over")
            notes.append(f"the log has a gap; the scenario ends at {tick - DT:.1f} s")
            break
        out.append(k)
    if len(out) < 2:
        raise ScenarioError(f"{path.name}: the log holds less than {2 * DT} s of the scenario")
    return out


def ego_states(poses: Floats, origin: tuple[float, float], vehicle: VehicleParams) -> Floats:
    """Rear-axle states `(N, 7)` of the ego's poses: x, y, quaternion w x y z, vx, vy, ax, ay, yaw rate.

    Steering follows from the curvature by the kinematic single-track model; where the file has no yaw rate,
    the heading's differences stand in.
    """
    qw, qx, qy, qz = poses[:, 2:6].T
    out = np.zeros((len(poses), STATE_SIZE))
    out[:, :2] = poses[:, :2] - origin
    out[:, 2] = np.arctan2(2.0 * (qw * qz + qx * qy), 1.0 - 2.0 * (qy**2 + qz**2))
    out[:, 3], out[:, 4] = poses[:, 6], poses[:, 8]
    turning = np.gradient(unwrap_angle(out[:, 2]), DT)
    out[:, 6] = np.where(np.isfinite(poses[:, 10]), poses[:, 10], turning)
    rolling = np.abs(out[:, 3]) > 0.5
    curvature = np.divide(out[:, 6], out[:, 3], out=np.zeros(len(out)), where=rolling)
    out[:, 5] = np.clip(np.arctan(vehicle.wheelbase * curvature), -vehicle.max_steering, vehicle.max_steering)
    return out


def _scenario(path: Path, name: str, rows: Rows, city: City) -> Scenario:
    told = rows.exported
    vehicle = told.vehicle or VehicleParams()
    start = rows.poses[0, :2]
    origin = told.offset or (float(round(start[0] / 100.0) * 100.0), float(round(start[1] / 100.0) * 100.0))
    states = ego_states(rows.poses, origin, vehicle)
    if told.initial is not None:
        states[0] = told.initial
    tracks = _tracks(rows, states, origin, vehicle)
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
    from drive.datasets.commonroad.scenario import expert_states

    vehicle = rows.exported.vehicle or VehicleParams()
    start = rows.poses[0, :2]
    origin = rows.exported.offset or (
        float(round(start[0] / 100.0) * 100.0),
        float(round(start[1] / 100.0) * 100.0),
    )
    tracks = _tracks(rows, ego_states(rows.poses, origin, vehicle), origin, vehicle)
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
    seen = tracks.valid.any(1)
    ego = int(seen[:ego].sum())
    tracks = tracks.select(seen)
    states = expert_states(tracks.states[ego], own)
    roadmap, _ = part_of(city, rows, origin, tracks)
    lanes = driven_lanes(roadmap, tracks.states[ego, :, :3])
    if not lanes:
        raise ScenarioError(f"{path.name}: road user '{track}' never is on a lane; choose another")
    route = make_route(roadmap, states[0], lanes, Goal(position=tracks.states[ego, -1, :2].copy()))
    lights = [(k - first, c, word) for k, c, word in rows.lights if first <= k <= last]
    rows = replace(rows, lights=lights)
    return _assembled(path, f"{name}@{track}", rows, roadmap, route, tracks, ego, own, states, origin, city)


def recordable(rows: Rows, count: int) -> list[str]:
    """Ids of the `count` motor vehicles that drive farthest of those seen for 3 s on end."""
    vehicle = rows.exported.vehicle or VehicleParams()
    tracks = _tracks(rows, ego_states(rows.poses, (0.0, 0.0), vehicle), (0.0, 0.0), vehicle)
    far: list[tuple[float, str]] = []
    for k, name in enumerate(tracks.ids):
        first, last = whole_run(tracks.valid[k])
        if not AgentKind(int(tracks.kind[k])).is_motor_vehicle or (last - first) * DT < SHORTEST - 1e-6:
            continue
        way = float(np.hypot(*np.diff(tracks.states[k, first : last + 1, :2], axis=0).T).sum())
        if way >= FARTHEST_STILL:
            far.append((-way, name))
    return [name for _, name in sorted(far) if name != _own_name(rows)][:count]


def _own_name(rows: Rows) -> str:
    return rows.exported.ego_id if rows.exported.known else "ego"


def whole_run(valid: Bools) -> tuple[int, int]:
    """First and last sample of the longest stretch without a gap."""
    seen = np.flatnonzero(valid)
    if not len(seen):
        return 0, 0
    run = max(np.split(seen, np.flatnonzero(np.diff(seen) != 1) + 1), key=len)
    return int(run[0]), int(run[-1])


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


def _tracks(rows: Rows, states: Floats, origin: tuple[float, float], vehicle: VehicleParams) -> Tracks:
    """Tracks of the ego and of everything boxed, in the order of their first box."""
    told, count = rows.exported, len(states)
    boxes = rows.boxes.copy()
    good = np.isfinite(boxes[:, [0, 1, 2, 5, 6, 7]]).all(1) & (boxes[:, 5:8] > 0.0).all(1)
    if not good.all():
        rows.notes.append(f"{int((~good).sum())} boxes with values that are not finite or sizes not positive")
    boxes[:, 3:5] = np.nan_to_num(boxes[:, 3:5], nan=0.0, posinf=0.0, neginf=0.0)
    row_of: dict[bytes, int] = {}
    owner = np.asarray([row_of.setdefault(token, len(row_of)) for token in rows.tracks], dtype=np.intp)
    kinds, rears, ids, places = [], [], [], []
    odd: set[str] = set()
    size = np.zeros((len(row_of), 3))
    number = np.zeros(len(row_of))
    np.add.at(size, owner[good], boxes[good, 5:8])
    np.add.at(number, owner[good], 1.0)
    size = size / np.maximum(number, 1.0)[:, None]
    for k, token in enumerate(row_of):
        word, about = rows.categories.get(token, ("", {}))
        if word not in CATEGORIES:
            odd.add(word or "none")
        kind = CATEGORIES.get(word, AgentKind.UNKNOWN)
        kind = AgentKind(about["kind"]) if about.get("kind") in list(AgentKind) else kind
        rear = about.get("rear", 0.28 * size[k, 0] if kind.is_motor_vehicle else 0.0)
        kinds.append(int(kind))
        rears.append(float(rear) if isinstance(rear, int | float) and np.isfinite(rear) else 0.0)
        ids.append(str(about.get("id", token.hex() if isinstance(token, bytes) else token)))
        places.append(about.get("row", k) if isinstance(about.get("row", k), int) else k)
    if odd:
        rows.notes.append(f"categories unknown to this reader: {', '.join(sorted(odd))}")
    out = np.zeros((len(row_of), count, 5))
    valid = np.zeros((len(row_of), count), dtype=np.bool_)
    out[owner[good], rows.at[good], :5] = boxes[good, :5]
    valid[owner[good], rows.at[good]] = True
    out[valid, :2] -= origin
    out[valid, 2] = wrap_angle(out[valid, 2])
    own = np.zeros((1, count, 5))
    own[0, :, :2] = rear_to_center(states, vehicle.rear_axle_to_center)
    own[0, :, 2] = states[:, 2]
    # The centre lies ahead of the axle, so that it moves sideways where the ego turns.
    aside = rows.poses[:, 7] + vehicle.rear_axle_to_center * states[:, 6]
    cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
    own[0, :, 3] = states[:, 3] * cos - aside * sin
    own[0, :, 4] = states[:, 3] * sin + aside * cos
    # The ego comes first, or where it stood among the tracks that we wrote.
    place = np.asarray([told.ego_row if told.known else -1, *places])
    seen = np.concatenate(([True], number > 0.0))
    order = np.argsort(place, kind="stable")
    order = order[seen[order]]
    mine = np.array([[vehicle.length, vehicle.width, vehicle.height]])
    names = [told.ego_id if told.known else "ego", *ids]
    kind0 = told.ego_kind if told.known else int(AgentKind.VEHICLE)
    return Tracks(
        np.concatenate((own, out))[order],
        np.concatenate((np.ones((1, count), dtype=np.bool_), valid))[order],
        np.concatenate((mine, size))[order],
        np.asarray([kind0, *kinds], dtype=np.uint8)[order],
        np.asarray([vehicle.rear_axle_to_center, *rears])[order],
        tuple(names[k] for k in order.tolist()),
    )


def part_of(city: City, rows: Rows, origin: tuple[float, float], tracks: Tracks) -> tuple[RoadMap, list[str]]:
    """The part of a city's map that a scenario needs, and the names of the groups along its route.

    All of a small map, all of the road map that a scenario of ours was written with, else what lies within
    200 m of anything that moves, and the route.
    """
    whole = city.roadmap
    at = dict(zip(city.blocks, city.block_group.tolist(), strict=True))
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
    return crop(whole, lanes, areas, shift), names


def _signals(rows: Rows, city: City, roadmap: RoadMap, count: int) -> tuple[RoadMap, NDArray[np.uint8]]:
    """States `(S, T)` of the map's lights. Connectors with a status in the log but no stop line in the map
    get a light at their start."""
    name_of = {}
    for fid, lane, name in zip(city.fids.tolist(), city.fid_lane.tolist(), city.fid_signal, strict=True):
        if name and lane >= 0:
            name_of[fid] = (name, lane)
    used = {connector for _, connector, _ in rows.lights}
    known = set(roadmap.signal_ids)
    fresh = [name_of[c] for c in sorted(used) if c in name_of and name_of[c][0] not in known]
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
    state_of = {word: k for k, word in enumerate(SIGNAL_WORDS)}
    out = np.zeros((len(row_of), count), dtype=np.uint8)
    lost = set()
    for k, connector, word in rows.lights:
        row = row_of.get(name_of.get(connector, ("", 0))[0])
        if row is not None:
            out[row, k] = state_of.get(word, 0)
        elif connector not in name_of:
            lost.add(connector)
    if lost:
        rows.notes.append(f"{len(lost)} connectors with a traffic light status are not in the map")
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
