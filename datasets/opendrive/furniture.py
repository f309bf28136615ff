"""Signals, stop lines and objects of a network, put on the lanes of its road map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive.plan import reference_line
from drive.errors import MapError
from drive.geometry import arc_length, rotate
from drive.roadmap import AreaKind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drive.datasets.opendrive.lanes import SectionLines
    from drive.datasets.opendrive.links import LaneKey
    from drive.datasets.opendrive.model import OpenDriveFile, Road, RoadObject, Signal
    from drive.roadmap import LaneSpec, RoadMapBuilder

    Floats = NDArray[np.float64]
    Specs = dict[LaneKey, LaneSpec]
    Lines = dict[tuple[str, int], SectionLines]

LIGHT = "10000"
"""How the types of OpenDRIVE's own traffic lights begin."""
NOT_FOR_CARS = ("1000002", "1000003", "1000007", "1000013", "1000014")
"""Of these, those for people on foot and on bicycles, and painted crosswalks."""
GIVE_WAY = ("205", "206")
"""Germany's numbers for yield and stop, which CARLA's towns use as well."""
STOP_LINE = "294"
NEAR_END = 15.0
"""Metres before a junction within which a stop line belongs to it."""
CROSSWALK, PARKING, BUILDING = "crosswalk", "parkingSpace", "building"


def place_signals(
    file: OpenDriveFile, builder: RoadMapBuilder, specs: Specs, lines: Lines, skipped: Counter[str]
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Give lanes their signal and stop line; returns, by junction, the phases of its signals.

    A signal on a road before a junction stops at its own station. One on a connecting road stops before
    the junction: at a painted stop line near the end of the lane that leads there, else at the end itself.
    """
    by_id = {s.id: s for road in file.roads.values() for s in road.signals if not s.is_reference}
    ruled: dict[str, list[LaneKey]] = {}
    for road in file.roads.values():
        for signal in road.signals:
            given = by_id.get(signal.id)
            if given is None:
                skipped["references to a signal that does not exist"] += 1
                continue
            full = replace(signal, type=given.type)
            is_light = full.type.startswith(LIGHT) and full.type not in NOT_FOR_CARS
            if not is_light and full.type not in (*GIVE_WAY, STOP_LINE):
                if not signal.is_reference:
                    skipped[f"signals of type {full.type or 'unknown'}"] += 1
                continue
            if full.type == STOP_LINE:
                continue
            for key in ruled_lanes(road, full):
                spec = specs.get(key)
                if spec is None or not spec.kind.drivable:
                    continue
                if spec.signal is not None and (spec.signal != full.id or not is_light):
                    skipped["further signals of a lane that has one"] += 1
                    continue
                if is_light:
                    spec.signal = full.id
                    ruled.setdefault(full.id, []).append(key)
                spec.stop_station = 0.0 if road.junction else _station(lines, key, full.s, road)
    _paint_stop_lines(file, specs, lines)
    return _phases(file, ruled, specs)


def ruled_lanes(road: Road, signal: Signal) -> list[LaneKey]:
    """The lanes at a signal's station that it is meant for: those that its validity names, and of these
    (or of all lanes, without one) the ones in its orientation.

    Where the validity names lanes of one direction only, the orientation has nothing to add: CARLA's
    towns give in it the way that the signal looks.
    """
    k = road.section_of(signal.s)
    lanes = [i for i in road.sections[k].lanes if i]
    if signal.lanes:
        lanes = [i for i in lanes if any(min(a, b) <= i <= max(a, b) for a, b in signal.lanes)]
    if len({road.runs_forward(i) for i in lanes}) > 1 or not signal.lanes:
        ahead = {"+": (True,), "-": (False,)}.get(signal.orientation, (True, False))
        lanes = [i for i in lanes if road.runs_forward(i) in ahead]
    return [(road.id, k, i) for i in lanes]


def _station(lines: Lines, key: LaneKey, s: float, road: Road) -> float:
    """Station on a lane, in its driving direction, of the road's station `s`."""
    found = lines[key[:2]]
    inner, outer = found.borders[key[2]]
    way = arc_length(found.at(0.5 * (inner + outer)))
    at = float(np.interp(s, found.s, way))
    return at if road.runs_forward(key[2]) else float(way[-1]) - at


def _paint_stop_lines(file: OpenDriveFile, specs: Specs, lines: Lines) -> None:
    """Stop lines painted before a junction hold for the signals of the lanes that follow."""
    after = {spec.id: spec for spec in specs.values()}
    for road in file.roads.values():
        if road.junction:
            continue
        for s, t, width, orientation in _stop_lines(road):
            k = road.section_of(s)
            if (road.id, k) not in lines:
                continue
            for lane in road.sections[k].lanes:
                spec = specs.get((road.id, k, lane))
                facing = orientation not in ("+", "-") or road.runs_forward(lane) == (orientation == "+")
                if spec is None or not spec.kind.drivable or not facing:
                    continue
                inner, outer = (
                    float(np.interp(s, lines[road.id, k].s, b)) for b in lines[road.id, k].borders[lane]
                )
                if abs(0.5 * (inner + outer) - t) > 0.5 * width:
                    continue
                length = float(arc_length(spec.left)[-1])
                rest = length - _station(lines, (road.id, k, lane), s, road)
                for follower in (after[i] for i in spec.successors):
                    if follower.stop_station == 0.0 and 0.0 < rest < NEAR_END:
                        follower.stop_station = -rest


def _stop_lines(road: Road) -> Iterator[tuple[float, float, float, str]]:
    """(s, t, length across, orientation) of a road's painted stop lines."""
    for o in road.objects:
        if o.name.lower().startswith("stopline") or o.type == "stopLine":
            yield o.s, o.t, max(o.length, o.width), "none"
    for signal in road.signals:
        if signal.type == STOP_LINE:
            yield signal.s, signal.t, 1e3, signal.orientation


def _phases(
    file: OpenDriveFile, ruled: dict[str, list[LaneKey]], specs: Specs
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """By junction, groups of signals that are green together: its controllers in their sequence.

    A signal without a controller is grouped with those of the same road that leads in; one that is at
    no junction makes a cycle of its own.
    """
    controller = {s: c for c in reversed(file.controllers) for s in c.signals}
    order = {name: number for j in file.junctions.values() for number, name in j.controllers}
    road_of = {spec.id: key[0] for key, spec in specs.items()}
    into: dict[str, list[str]] = {}
    for key, spec in specs.items():
        for successor in spec.successors:
            into.setdefault(successor, []).append(key[0])
    groups: dict[str, dict[tuple[int, str], list[str]]] = {}
    for name, keys in ruled.items():
        junction, arm = "", ""
        for key in keys:
            road = file.roads[key[0]]
            spec = specs[key]
            if road.junction:
                junction, arm = road.junction, min(into.get(spec.id, [road.id]))
            else:
                ahead = [file.roads[road_of[i]].junction for i in spec.successors]
                junction, arm = next((j for j in ahead if j), junction), road.id
        group = controller.get(name)
        phase = (0, f"road {arm}") if group is None else (order.get(group.id, group.sequence), group.id)
        groups.setdefault(junction or f"signal {name}", {}).setdefault(phase, []).append(name)
    return tuple(tuple(tuple(cycle[p]) for p in sorted(cycle)) for cycle in groups.values())


def place_objects(file: OpenDriveFile, builder: RoadMapBuilder, skipped: Counter[str]) -> None:
    """Add crosswalks, parking spaces and buildings as areas of the map."""
    kinds = {CROSSWALK: AreaKind.CROSSWALK, PARKING: AreaKind.PARKING, BUILDING: AreaKind.OCCLUDER}
    for road in file.roads.values():
        for thing in road.objects:
            kind = kinds.get(thing.type)
            if kind is None:
                if not thing.name.lower().startswith("stopline"):
                    skipped[f"objects of type {thing.type or 'unknown'}"] += 1
                continue
            try:
                builder.add_area(outline(road, thing), kind, thing.id)
            except MapError:
                skipped[f"{thing.type} objects without an outline"] += 1


def outline(road: Road, thing: RoadObject) -> Floats:
    """The outline `(N, 2)` of an object on the ground; its box where the file gives no corners."""
    if thing.on_road:
        points, heading, _ = reference_line(road.plan, thing.corners[:, 0])
        t = thing.corners[:, 1]
        return np.asarray(points + t[:, None] * np.stack((-np.sin(heading), np.cos(heading)), axis=-1))
    at, along, _ = reference_line(road.plan, np.asarray([thing.s]))
    h = float(along[0])
    corners = thing.corners
    if not len(corners):
        x, y = 0.5 * thing.length, 0.5 * thing.width
        corners = np.asarray([(x, y), (-x, y), (-x, -y), (x, -y)])
    center = at[0] + thing.t * np.asarray((-np.sin(h), np.cos(h)))
    return np.asarray(rotate(corners, h + thing.heading) + center)
