"""An OpenDRIVE network as a `RoadMap`: one lane of the map for each lane of each lane section."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive.furniture import place_objects, place_signals
from drive.datasets.opendrive.lanes import lowest_between, section_lines
from drive.datasets.opendrive.links import lane_successors
from drive.datasets.opendrive.marks import Side, boundary
from drive.errors import MapError
from drive.roadmap import LaneKind, LaneSpec, RoadMap, RoadMapBuilder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.opendrive.lanes import SectionLines
    from drive.datasets.opendrive.links import LaneKey
    from drive.datasets.opendrive.model import Lane, OpenDriveFile, Road

    Floats = NDArray[np.float64]

DRIVING = (
    "driving",
    "entry",
    "exit",
    "onRamp",
    "offRamp",
    "connectingRamp",
    "slipLane",
    "bus",
    "taxi",
    "HOV",
)
KINDS = {
    **dict.fromkeys((*DRIVING, "mwyEntry", "mwyExit"), LaneKind.LANE),
    "biking": LaneKind.BICYCLE,
    "shared": LaneKind.LANE,
    "sidewalk": LaneKind.SIDEWALK,
    "walking": LaneKind.SIDEWALK,
    "parking": LaneKind.PARKING,
    # A lane that both directions turn left from: ground to drive on, but no way that leads anywhere.
    "bidirectional": LaneKind.SHOULDER,
    "shoulder": LaneKind.SHOULDER,
    "border": LaneKind.SHOULDER,
    "stop": LaneKind.SHOULDER,
}
"""Types of lanes that become lanes; the others (none, median, curb, restricted, rail …) are no way to go."""
MIN_LENGTH = 0.05
MIN_WIDTH = 0.05
MAX_POINTS = 20_000_000


@dataclass(frozen=True, eq=False)
class BuiltMap:
    """A network's road map about `origin`, with what scenarios on it need beside the map.

    `phases` gives by junction the signals that are green one after another; `notes` what was left out.
    """

    name: str
    version: str
    roadmap: RoadMap
    origin: tuple[float, float]
    phases: tuple[tuple[tuple[str, ...], ...], ...]
    notes: tuple[str, ...]


def lane_id(key: LaneKey) -> str:
    """The map's id of a lane: ROAD.SECTION.LANE."""
    return f"{key[0]}.{key[1]}.{key[2]}"


def build_roadmap(file: OpenDriveFile, origin: tuple[float, float] | None = None) -> BuiltMap:
    """The road map of a network; without an `origin` about the multiple of 1000 m next to its middle.

    Raises MapError naming the file, and the road where one is at fault.
    """
    skipped: Counter[str] = Counter(file.skipped)
    at = origin if origin is not None else _middle(file)
    builder = RoadMapBuilder(at)
    lines: dict[tuple[str, int], SectionLines] = {}
    gone: set[LaneKey] = set()
    specs: dict[LaneKey, LaneSpec] = {}
    points = 0
    for road in file.roads.values():
        for k, section in enumerate(road.sections):
            if section.end - section.start < MIN_LENGTH:
                gone |= {(road.id, k, i) for i in section.lanes if i}
                skipped["lane sections without length"] += 1
                continue
            try:
                found = lines[road.id, k] = section_lines(road, section)
            except MapError as error:
                raise MapError(f"{file.name}: line {road.line}: {error}") from None
            for lane in section.lanes.values():
                kind = KINDS.get(lane.type)
                if lane.id == 0:
                    continue
                if kind is None:
                    skipped[f"lanes of type {lane.type or 'unknown'}"] += 1
                elif float(found.width(lane.id).max()) < MIN_WIDTH:
                    skipped["lanes without width"] += 1
                else:
                    specs[road.id, k, lane.id] = _spec(road, k, lane, kind, found)
                    points += len(found.s)
                    if points > MAX_POINTS:
                        raise MapError(f"{file.name}: the network takes more than {MAX_POINTS} points")
    driving = [key for key, spec in specs.items() if spec.kind.drivable]
    successors, faults = lane_successors(file, gone, frozenset(driving))
    beside, _ = lane_successors(file, gone, frozenset(specs.keys() - set(driving)))
    successors |= beside
    skipped.update(faults)
    for key, spec in specs.items():
        spec.successors = [lane_id(s) for s in successors[key]]
        _neighbours(file.roads[key[0]], key, spec, specs)
        try:
            builder.add(spec)
        except MapError as error:
            raise MapError(f"{file.name}: line {file.roads[key[0]].line}: {error}") from None
    if not any(spec.kind.drivable for spec in specs.values()):
        raise MapError(f"{file.name}: the map is empty: it has no lane that motor vehicles may drive on")
    phases = place_signals(file, builder, specs, lines, skipped)
    place_objects(file, builder, skipped)
    notes = tuple(f"{what}: {count}" for what, count in sorted(skipped.items()))
    return BuiltMap(file.name, file.version, builder.build(), at, phases, notes)


def _middle(file: OpenDriveFile) -> tuple[float, float]:
    starts = np.asarray([(g.x, g.y) for road in file.roads.values() for g in road.plan])
    x, y = 0.5 * (starts.min(0) + starts.max(0))
    return round(float(x) / 1000.0) * 1000.0 + 0.0, round(float(y) / 1000.0) * 1000.0 + 0.0


def _spec(road: Road, number: int, lane: Lane, kind: LaneKind, lines: SectionLines) -> LaneSpec:
    section = road.sections[number]
    inner, outer = lines.borders[lane.id]
    forward = road.runs_forward(lane.id)
    # Towards smaller t lies the right of who drives along s.
    sides = (outer, inner) if lane.id > 0 else (inner, outer)
    left, right = (lines.at(t) for t in sides)
    if not forward:
        left, right = right[::-1], left[::-1]
    speed = lowest_between(*_columns(lane.speeds), 0.0, section.end - section.start)
    if speed is None:
        speed = lowest_between(*_columns(road.speeds), section.start, section.end)
    inside = bool(road.junction)
    return LaneSpec(
        id=lane_id((road.id, number, lane.id)),
        left=left,
        right=right,
        center=0.5 * (left + right),
        kind=LaneKind.CONNECTOR if inside and kind == LaneKind.LANE else kind,
        speed_limit=speed,
        intersection=inside,
    )


def _columns(rows: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    return [a for a, _ in rows], [b for _, b in rows]


def _neighbours(road: Road, key: LaneKey, spec: LaneSpec, specs: dict[LaneKey, LaneSpec]) -> None:
    """Lanes beside, and what the lines to them allow."""
    _, number, lane = key
    section = road.sections[number]
    for side, step in (
        (("left", 1), ("right", -1)) if road.runs_forward(lane) else (("left", -1), ("right", 1))
    ):
        beside = lane + step or step  # across the centre lies lane 1 or -1
        other = specs.get((road.id, number, beside))
        line = boundary(section, lane, Side.of(lane, step))
        setattr(spec, f"{side}_marking", line.marking)
        if other is None or not (other.kind.drivable and spec.kind.drivable):
            continue
        if road.runs_forward(beside) == road.runs_forward(lane):
            setattr(spec, f"{side}_lane", other.id)
            setattr(spec, f"{side}_change", line.may_cross)
        else:
            setattr(spec, f"{side}_opposite", other.id)
