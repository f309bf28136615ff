"""An OpenDRIVE network as a town of the CARLA world: its road map with the signs and lights beside it."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive.furniture import LIGHT, NOT_FOR_CARS, ruled_lanes
from drive.datasets.opendrive.plan import reference_line
from drive.datasets.opendrive.reader import read_opendrive
from drive.datasets.opendrive.roadmap import build_roadmap, lane_id
from drive.errors import InputError
from drive.sim.carla.world.town import SPEED_SIGN, STOP_SIGN, TRAFFIC_LIGHT, YIELD_SIGN, Sign, Town

if TYPE_CHECKING:
    from drive.datasets.opendrive.links import LaneKey
    from drive.datasets.opendrive.model import OpenDriveFile, Road, RoadObject, Signal
    from drive.roadmap import RoadMap

    Place = tuple[float, float, float, float, float, float]

TYPES = {"206": STOP_SIGN, "205": YIELD_SIGN}
HALF_ALONG, HALF_HIGH = 2.0, 1.0
"""Half extents of trigger boxes along the lanes and upwards, m: as long as it takes to stop from 30 km/h."""
SHARE = 0.9
"""Of the lanes' width that a box covers, as CARLA's own do."""
SPREAD = 25.0
"""Metres within which the lanes of one sign lie."""


def read_town(path: str | Path, name: str | None = None) -> Town:
    """The town in a file; its name is the file's. Raises InputError or MapError naming the file."""
    where = Path(path)
    file = read_opendrive(where)
    try:
        raw = where.read_bytes()
    except OSError as error:
        raise InputError(f"{where.name}: cannot be read ({error.strerror or error})") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Clients are sent UTF-8, and the text has to say so.
        text = re.sub(r"(<\?xml[^>]*encoding=[\"'])[^\"']+", r"\1UTF-8", raw.decode("latin-1"), count=1)
    built = build_roadmap(file, (0.0, 0.0))
    return Town(
        name or where.stem, text, built.roadmap, tuple(_signs(file, built.roadmap)), built.phases,
        _origin(text), built.notes,
    )  # fmt: skip


def _origin(text: str) -> tuple[float, float]:
    """Latitude and longitude of the origin in the file's geoReference; CARLA's defaults without one."""
    found = re.search(r"<geoReference>(.*?)</geoReference>", text[:100_000], re.DOTALL)
    out = []
    for key, limit, default in (("lat_0", 90.0, 42.0), ("lon_0", 180.0, 2.0)):
        value = re.search(rf"\+{key}=([-+0-9.eE]+)", found.group(1)) if found else None
        try:
            number = float(value.group(1)) if value else default
        except ValueError:
            number = default
        out.append(number if abs(number) <= limit else default)
    return out[0], out[1]


def _signs(file: OpenDriveFile, roadmap: RoadMap) -> list[Sign]:
    known = {lane: i for i, lane in enumerate(roadmap.lane_ids)}
    given: dict[str, tuple[Road, Signal]] = {}
    lanes: dict[str, list[tuple[LaneKey, float]]] = {}
    for road in file.roads.values():
        for signal in road.signals:
            if not signal.is_reference:
                given[signal.id] = (road, signal)
    for road in file.roads.values():
        for signal in road.signals:
            if signal.id in given:
                full = replace(signal, type=given[signal.id][1].type)
                lanes.setdefault(signal.id, []).extend((key, full.s) for key in ruled_lanes(road, full))
    out = []
    for name, (road, signal) in given.items():
        kind = TYPES.get(signal.type)
        if signal.type.startswith(LIGHT) and signal.type not in NOT_FOR_CARS:
            kind = TRAFFIC_LIGHT
        if kind is not None and len(name.encode()) <= 32:
            pose = _pose(road, signal.s, signal.t, signal.height, signal.heading)
            places = [_entry(file, roadmap, known, key, s) for key, s in lanes.get(name, [])]
            out.append(_sign(name, kind, pose, [p for p in places if p is not None]))
    for road in file.roads.values():
        out += [sign for thing in road.objects if (sign := _speed_sign(file, roadmap, known, road, thing))]
    return out


def _pose(road: Road, s: float, t: float, height: float, heading: float) -> tuple[float, float, float, float]:
    """Where something stands beside a road, in CARLA's frame: x, y, z and yaw in degrees."""
    at, along, _ = reference_line(road.plan, np.asarray([s]))
    h = float(along[0])
    x, y = float(at[0, 0]) - t * math.sin(h), float(at[0, 1]) + t * math.cos(h)
    z = float(road.elevation.at(np.asarray([s]))[0]) + height
    return x, -y, z, -math.degrees(h + heading)


def _entry(
    file: OpenDriveFile, roadmap: RoadMap, known: dict[str, int], key: LaneKey, s: float
) -> Place | None:
    """Where traffic on a ruled lane has to stop: x, y, z (CARLA's), heading (deg), the lane's width, and
    how many metres of road that is no junction lead there.

    In a junction that is where the lane begins, elsewhere the signal's own station.
    """
    lane = known.get(lane_id(key))
    if lane is None or roadmap.kind[lane] > 1:
        return None
    rows = roadmap.rows(lane)
    road = file.roads[key[0]]
    station = 0.0
    if not road.junction:
        section = road.sections[key[1]]
        span = max(section.end - section.start, 1e-6)
        share = min(max((s - section.start) / span, 0.0), 1.0)
        station = float(roadmap.length[lane]) * (share if road.runs_forward(key[2]) else 1.0 - share)
    at = roadmap.station[rows]
    k = min(max(int(np.searchsorted(at, station, side="right")) - 1, 0), len(at) - 2)
    part = (station - at[k]) / max(at[k + 1] - at[k], 1e-9)

    def mix(values: np.ndarray) -> float:
        return float(values[rows][k] + part * (values[rows][k + 1] - values[rows][k]))

    z = mix(roadmap.elevation) if len(roadmap.elevation) else 0.0
    width = mix(roadmap.half_width.sum(1))
    dx, dy = roadmap.points[rows][k + 1] - roadmap.points[rows][k]
    heading = math.degrees(math.atan2(-dy, dx))
    before = [float(roadmap.length[i]) for i in roadmap.predecessors(lane) if not roadmap.intersection[i]]
    room = station if not road.junction else min(before, default=0.0)
    return mix(roadmap.points[:, 0]), -mix(roadmap.points[:, 1]), z, heading, width, room


def _sign(
    name: str, kind: str, pose: tuple[float, float, float, float], places: list[Place], value: float = 0.0
) -> Sign:
    """A sign with its box before the places where it stops traffic, across all of their lanes."""
    x, y, z, yaw = pose
    if not places:
        return Sign(name, kind, (x, y, z, 0.0, yaw + 90.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), yaw, value)
    # The lanes nearest to the sign's own direction give the way; others that merely touch are left out.
    heading = min((p[3] for p in places), key=lambda h: abs((h - yaw + 180.0) % 360.0 - 180.0))
    near = [p for p in places if abs((p[3] - heading + 180.0) % 360.0 - 180.0) < 45.0]
    h = math.radians(heading)
    ahead, right = (math.cos(h), math.sin(h)), (-math.sin(h), math.cos(h))
    first = near[0]
    near = [p for p in near if math.hypot(p[0] - first[0], p[1] - first[1]) < SPREAD]
    across = [
        ((p[0] * right[0] + p[1] * right[1]) + side * 0.5 * SHARE * p[4]) for p in near for side in (-1, 1)
    ]
    # Clients look for the lanes at the box's middle: it is to lie on the road that leads to the junction.
    back = min(HALF_ALONG + 0.2, 0.5 * max(min(p[5] for p in near), 0.4))
    along = min(p[0] * ahead[0] + p[1] * ahead[1] for p in near) - back
    middle = 0.5 * (min(across) + max(across))
    cx, cy = along * ahead[0] + middle * right[0], along * ahead[1] + middle * right[1]
    ground = min(p[2] for p in near)
    # The actor's x points across the lanes to their right, as CARLA's signs do.
    turned = math.radians(heading + 90.0)
    c, s = math.cos(turned), math.sin(turned)
    center = (
        (cx - x) * c + (cy - y) * s,
        (cy - y) * c - (cx - x) * s,
        ground + HALF_HIGH - z,
    )
    half = (0.5 * (max(across) - min(across)), max(min(HALF_ALONG, back), 1.0), HALF_HIGH)
    return Sign(name, kind, (x, y, z, 0.0, heading + 90.0, 0.0), center, half, heading, value)


def _speed_sign(
    file: OpenDriveFile, roadmap: RoadMap, known: dict[str, int], road: Road, thing: RoadObject
) -> Sign | None:
    """A speed-limit sign, which CARLA's towns hold as an object named Speed_NN (km/h)."""
    found = re.fullmatch(r"[Ss]peed_(\d{2,3})", thing.name)
    if found is None or len(thing.id.encode()) > 32:
        return None
    k = road.section_of(thing.s)
    ahead = {"+": True, "-": False}.get(thing.orientation)
    lanes: list[LaneKey] = [
        (road.id, k, i)
        for i in road.sections[k].lanes
        # The orientation is the way that a sign looks, towards who comes.
        if i and (ahead is None or road.runs_forward(i) != ahead)
    ]
    places = [_entry(file, roadmap, known, key, thing.s) for key in lanes]
    pose = _pose(road, thing.s, thing.t, 0.0, thing.heading)
    return _sign(thing.id, SPEED_SIGN, pose, [p for p in places if p is not None], float(found.group(1)))
