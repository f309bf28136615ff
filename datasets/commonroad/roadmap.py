"""Lanelets to a `RoadMap`: kinds, neighbours and the right to change, speed limits, lights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.xml import MAX_COORDINATE
from drive.errors import MapError
from drive.geometry import polyline_heading, project_to_polyline, resample_polyline, wrap_angle
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder
from drive.scenario import SignalState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.datasets.commonroad.model import CommonRoadFile, Lanelet

MARKINGS = {
    "dashed": Marking.DASHED,
    "broad_dashed": Marking.DASHED,
    "dashed_dashed": Marking.DASHED,
    "solid": Marking.SOLID,
    "broad_solid": Marking.SOLID,
    "solid_solid": Marking.DOUBLE_SOLID,
    "curb": Marking.CURB,
    "lowered_curb": Marking.CURB,
}
SIGN_MAX_SPEED = "274"
"""Germany's number, which published scenarios of every country use; some countries' own follow."""
COUNTRY_MAX_SPEED = {
    "USA": "R2-1",
    "PRI": "R2-1",
    "ESP": "r301",
    "RUS": "3.24",
    "ARG": "R15",
    "BEL": "C43",
    "FRA": "B14",
    "GRC": "\u03a1-32",  # the letter is a Greek capital rho
    "HRV": "B31",
}
COLORS = {
    "green": SignalState.GREEN,
    "yellow": SignalState.YELLOW,
    "red": SignalState.RED,
    "redYellow": SignalState.RED,  # it announces green, and must not be passed
}
DIRECTIONS = {
    "left": ("left",),
    "right": ("right",),
    "straight": ("straight",),
    "leftStraight": ("left", "straight"),
    "straightRight": ("straight", "right"),
    "leftRight": ("left", "right"),
}
TURN = math.radians(30.0)


def build_roadmap(file: CommonRoadFile, origin: tuple[float, float]) -> tuple[RoadMap, tuple[str, ...]]:
    """The road map relative to `origin`, and notes on what had to be left out.

    Crosswalk lanelets become areas; every other lanelet one lane of the same id. Lanelets that follow an
    intersection's incoming lanelets are connectors. Raises MapError naming the file and the lanelet for a
    file without lanelets, reversed bounds, or a lanelet without length or with values that are not finite.

    A traffic light for all directions stands on the lanelet that refers to it, at its stop line (its end
    where it gives none). A light for some directions stands on the lanelet's successors that lead there,
    at the same place, so that their stop station is 0 or negative. Where several lights rule one lane, the
    one for fewest directions counts and, while it is inactive, the next: their ids are joined by '|'.
    """
    if not file.lanelets:
        raise MapError(f"{file.name}: the map is empty: the file has no lanelet")
    builder = RoadMapBuilder(origin)
    notes: list[str] = []
    known = {lane.id: lane for lane in file.lanelets}
    inside = _intersection_lanes(file)
    links = {lane.id: dict.fromkeys(lane.successors) for lane in file.lanelets}
    for lane in file.lanelets:
        for before in lane.predecessors:
            if before in links:
                links[before][lane.id] = None
    for lane in file.lanelets:
        for bound in (lane.left, lane.right):
            # Not finite is told by the builder; NaN compares false.
            if bool((np.abs(bound) > MAX_COORDINATE).any()) and np.isfinite(bound).all():
                raise MapError(f"{file.name}: line {lane.line}: lane '{lane.id}' lies farther out than 1e8 m")
        kind = _kind(lane)
        if kind is None:
            _add_crosswalk(builder, lane, file.name)
            continue
        if lane.id in inside and kind == LaneKind.LANE:
            kind = LaneKind.CONNECTOR
        left, right = _neighbour(lane, known, left=True), _neighbour(lane, known, left=False)
        opposite = lane.adjacent_left
        spec = LaneSpec(
            id=lane.id,
            left=lane.left,
            right=lane.right,
            kind=kind,
            speed_limit=speed_limit(file, lane),
            intersection=lane.id in inside,
            successors=tuple(links[lane.id]),
            left_lane=left,
            right_lane=right,
            left_change=left is not None and _may_cross(lane, known[left], left=True),
            right_change=right is not None and _may_cross(lane, known[right], left=False),
            left_opposite=opposite[0] if opposite is not None and not opposite[1] else None,
            left_marking=_marking(lane.left_marking, left=True),
            right_marking=_marking(lane.right_marking, left=False),
        )
        try:
            builder.add(spec)
        except MapError as error:
            raise MapError(f"{file.name}: line {lane.line}: {error}") from None
    if not builder.lanes:
        raise MapError(f"{file.name}: the map is empty: it has crosswalks only")
    for ring in file.buildings:
        builder.add_area(ring, AreaKind.OCCLUDER)
    _place_lights(file, builder, notes)
    return builder.build(), tuple(notes)


def signal_states(file: CommonRoadFile, roadmap: RoadMap, at: NDArray[np.float64]) -> NDArray[np.uint8]:
    """States `(S, T)` of the map's signals at the times `at (T,)`, in time steps of the file."""
    steps = np.floor(at + 1e-6).astype(int)
    out = np.zeros((len(roadmap.signal_ids), len(at)), dtype=np.uint8)
    for row, joined in enumerate(roadmap.signal_ids):
        lights = [file.lights[name] for name in joined.split("|")]
        for column, step in enumerate(steps):
            states = (COLORS.get(light.color(int(step)), SignalState.UNKNOWN) for light in lights)
            out[row, column] = next((s for s in states if s != SignalState.UNKNOWN), SignalState.UNKNOWN)
    return out


def speed_limit(file: CommonRoadFile, lane: Lanelet) -> float | None:
    """The lowest speed limit in m/s of the signs that a lanelet refers to, or None.

    2018b gives it on the lanelet, 2020a by signs: 274 or the country's own number.
    """
    ids = (SIGN_MAX_SPEED, COUNTRY_MAX_SPEED.get(file.country, SIGN_MAX_SPEED))
    found = [] if lane.speed_limit is None else [lane.speed_limit]
    for ref in lane.signs:
        for sign, values in file.signs[ref].elements if ref in file.signs else ():
            if sign in ids and values:
                try:
                    found.append(float(values[0]))
                except ValueError:
                    continue
    found = [v for v in found if math.isfinite(v) and v > 0.0]
    return min(found) if found else None


def _kind(lane: Lanelet) -> LaneKind | None:
    """Kind of a lanelet by its types, then by who may use it; None for a crosswalk."""
    types, users = lane.types, lane.users
    if "crosswalk" in types:
        return None
    if "sidewalk" in types or (users and users <= {"pedestrian"}):
        return LaneKind.SIDEWALK
    if "bicycleLane" in types or (users and users <= {"pedestrian", "bicycle"}):
        return LaneKind.BICYCLE
    if "parking" in types:
        return LaneKind.PARKING
    # Paved ground that traffic does not use as a lane.
    if types & {"shoulder", "border", "restricted", "restricted_area", "busStop"}:
        return LaneKind.SHOULDER
    return LaneKind.LANE


def _add_crosswalk(builder: RoadMapBuilder, lane: Lanelet, name: str) -> None:
    try:
        builder.add_area(np.concatenate((lane.left, lane.right[::-1])), AreaKind.CROSSWALK)
    except MapError as error:
        raise MapError(f"{name}: line {lane.line}: lanelet '{lane.id}': {error}") from None


def _intersection_lanes(file: CommonRoadFile) -> set[str]:
    arms = [arm for arms in file.intersections for arm in arms]
    inside = {ref for arm in arms for ref in (*arm.left, *arm.straight, *arm.right)}
    return inside | {lane.id for lane in file.lanelets if "intersection" in lane.types}


def _neighbour(lane: Lanelet, known: dict[str, Lanelet], left: bool) -> str | None:
    """The neighbour that runs the same way, if the file has it and it is no crosswalk."""
    side = lane.adjacent_left if left else lane.adjacent_right
    if side is None or not side[1] or side[0] not in known or side[0] == lane.id:
        return None
    return side[0] if "crosswalk" not in known[side[0]].types else None


def _near_line(marking: str | None, left: bool) -> str | None:
    """Of a double line, the one next to the lane whose left (or right) bound it is painted on.

    The format names the line on the left first, seen in driving direction.
    """
    if marking in ("solid_dashed", "dashed_solid"):
        return marking.split("_")[1 if left else 0]
    return None if marking in (None, "unknown") else marking


def _marking(marking: str | None, left: bool) -> Marking:
    return MARKINGS.get(_near_line(marking, left) or "", Marking.NONE)


def _may_cross(lane: Lanelet, other: Lanelet, left: bool) -> bool:
    """Whether the line towards a neighbour may be crossed; where ours is unknown, the neighbour's speaks."""
    own = _near_line(lane.left_marking if left else lane.right_marking, left)
    if own is None:
        # The neighbour's bound is the same line, so the same one of a double line is near to us.
        own = _near_line(other.right_marking if left else other.left_marking, left)
    return MARKINGS.get(own or "", Marking.NONE) in (Marking.NONE, Marking.DASHED)


def _place_lights(file: CommonRoadFile, builder: RoadMapBuilder, notes: list[str]) -> None:
    turns = {}
    for arms in file.intersections:
        for arm in arms:
            for side, refs in (("left", arm.left), ("straight", arm.straight), ("right", arm.right)):
                turns.update(dict.fromkeys(refs, side))
    used: set[str] = set()
    for lane in file.lanelets:
        lights = [file.lights[ref] for ref in lane.lights if ref in file.lights]
        if not lights or lane.id not in builder.lanes:
            continue
        used.update(light.id for light in lights)
        spec = builder.lanes[lane.id]
        ahead = [builder.lanes[s] for s in spec.successors if s in builder.lanes]
        directed = any(light.direction in DIRECTIONS for light in lights)
        length = _length(spec)
        station = _stop_station(lane, spec, builder.origin)
        placed = False
        for follower in ahead if directed else []:
            turn = turns.get(follower.id) or _turn(follower)
            here = [light for light in lights if turn in DIRECTIONS.get(light.direction, (turn,))]
            here.sort(key=lambda light: len(DIRECTIONS.get(light.direction, "all")))
            if here:
                placed = True
                if follower.signal is not None:
                    notes.append(f"lane {follower.id} has lights from two lanelets; the first one's counts")
                    continue
                follower.signal = "|".join(light.id for light in here)
                follower.stop_station = station - length
        if not placed:
            spec.signal, spec.stop_station = "|".join(light.id for light in lights), station
    notes += [f"traffic light {name}: no lanelet refers to it" for name in file.lights if name not in used]


def _length(spec: LaneSpec) -> float:
    line = spec.center if spec.center is not None else spec.left
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _stop_station(lane: Lanelet, spec: LaneSpec, origin: tuple[float, float]) -> float:
    """Station of a lanelet's stop line, the mean of its two ends; its end where it names no points."""
    length = _length(spec)
    if lane.stop is None or not len(lane.stop) or not np.isfinite(lane.stop).all() or spec.center is None:
        return length
    s, _, _ = project_to_polyline(lane.stop - np.asarray(origin), spec.center)
    return float(np.clip(s.mean(), 0.0, length))


def _turn(spec: LaneSpec) -> str:
    """Direction of a lane by how much it bends, where the file's intersections do not say."""
    line = spec.center if spec.center is not None else spec.left
    heading = polyline_heading(resample_polyline(line, 1.0))
    bend = float(wrap_angle(heading[-1] - heading[0]))
    return "left" if bend > TURN else "right" if bend < -TURN else "straight"
