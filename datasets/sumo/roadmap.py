"""A SUMO network to a `RoadMap`: lanes with their bounds, junction lanes, signals, give-way lines, areas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from drive.datasets.sumo.network import MOTOR, Lane, Network
from drive.errors import MapError
from drive.geometry import arc_length, project_to_polyline
from drive.roadmap import AreaKind, LaneKind, LaneSpec, Marking, RoadMap, RoadMapBuilder
from drive.roadmap.builder import MIN_LANE_LENGTH
from drive.sim.sumo.signals import signals_of, split_signal

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

GIVES_WAY = frozenset("msw=")
GROUND = ("walkingarea", "crossing")
"""Functions of edges that are areas of our map, not lanes."""
BESIDE = 0.8
"""m between the near bounds of two lanes of opposite directions that count as beside each other."""
MITER = 2.0
SPACING = 2.0
"""m between the points of a centreline; SUMO's shapes have points at bends only."""


def build_roadmap(
    network: Network, origin: tuple[float, float] = (0.0, 0.0), keep: Collection[str] | None = None
) -> tuple[RoadMap, tuple[str, ...]]:
    """The road map relative to `origin`, of all lanes or of those in `keep`, and notes on what is left out.

    A lane keeps SUMO's id, an edge is a group. Junction lanes are connectors; the signal of a connection
    stands at the start of its junction lane under the id `PROGRAM:LINK`, and where a connection without
    signal has to give way its junction lane begins with a give-way line. Raises MapError.
    """
    builder = RoadMapBuilder(origin)
    kept = {name: lane for name, lane in network.lanes.items() if keep is None or name in keep}
    short = {name for name, lane in kept.items() if arc_length(lane.shape[:, :2])[-1] < MIN_LANE_LENGTH}
    kinds = {name: _kind(network, lane) for name, lane in kept.items()}
    notes = list(network.notes)
    rails = sum(k is None for k in kinds.values())
    if rails:
        notes.append(f"{rails} lanes for none but rail vehicles, ships or aircraft are left out")
    after = _successors(network, short)
    rules = _rules(network, short)
    opposite = _opposites(network, kept)
    for name, lane in kept.items():
        kind = kinds[name]
        if kind is None or name in short or network.edges[lane.edge].function in GROUND:
            continue
        spec = _spec(network, lane, kind, opposite, kinds)
        spec.successors = after.get(name, ())
        if name in rules:
            spec.stop_station, spec.signal = rules[name]
        try:
            builder.add(spec)
        except MapError as error:
            raise MapError(f"{network.name}: {error}") from None
    if not builder.lanes:
        raise MapError(f"{network.name}: no lane for road users on wheels is left")
    jumps = sum(c.via is None and _is_road(network, c.start) for c in network.connections)
    if jumps:
        notes.append(f"{jumps} connections have no lane through their junction (no internal links)")
    _add_areas(network, builder, kept)
    return builder.build(), tuple(notes)


def planned_signals(network: Network, roadmap: RoadMap, times: Floats) -> NDArray[np.uint8]:
    """States `(S, T)` of the map's signals at times `(T,)` of SUMO's clock, by their programs as planned."""
    links = [split_signal(name) for name in roadmap.signal_ids]
    known = {name: network.programs[name] for name in dict(links) if name in network.programs}
    columns = [
        signals_of({name: program.state_at(float(t)) for name, program in known.items()}, links)
        for t in times
    ]
    return np.stack(columns, axis=1) if links else np.zeros((0, len(times)), dtype=np.uint8)


def offset_line(line: Floats, distance: float) -> Floats:
    """A polyline `(N, 2)` moved to its left by `distance` m: mitred corners, spikes cut at twice that."""
    step = np.diff(line, axis=0)
    length = np.hypot(*step.T)
    step = step[length > 1e-9] / length[length > 1e-9, None]
    along = np.zeros((len(line), 2))
    rows = np.flatnonzero(length > 1e-9)
    # Each point's direction is the mean of its segments'; points on top of each other share theirs.
    for k, r in enumerate(rows):
        along[r] += step[k]
        along[r + 1 : (rows[k + 1] if k + 1 < len(rows) else len(line) - 1) + 1] += step[k]
    norm = np.maximum(np.hypot(*along.T), 1e-9)
    along /= norm[:, None]
    # |sum of two unit vectors| = 2 cos(half the turn); ends have one segment only.
    inner = norm > 1.0 + 1e-6
    stretch = np.where(inner, np.minimum(2.0 / norm, MITER), 1.0)
    normal = np.stack((-along[:, 1], along[:, 0]), axis=-1)
    return np.asarray(line + distance * stretch[:, None] * normal)


def _close_points(center: Floats, *others: Floats) -> list[Floats]:
    """Lines `(N, D)` with the same points added to each, the first one's `SPACING` m apart or less.

    Whoever looks for the nearest point of a lane and its heading finds both where the lane is straight.
    """
    pieces = np.maximum(np.ceil(np.hypot(*np.diff(center[:, :2], axis=0).T) / SPACING), 1).astype(int)
    at = np.concatenate([k + np.arange(n) / n for k, n in enumerate(pieces)] + [[len(center) - 1.0]])
    rows = np.arange(len(center))
    return [
        np.stack([np.interp(at, rows, line[:, c]) for c in range(line.shape[1])], axis=-1)
        for line in (center, *others)
    ]


def _kind(network: Network, lane: Lane) -> LaneKind | None:
    """A crossing is a sidewalk until it becomes an area; None for rails, ships and aircraft alone."""
    if not lane.users:
        return LaneKind.SHOULDER
    if lane.users & MOTOR:
        return LaneKind.CONNECTOR if network.edges[lane.edge].function == "internal" else LaneKind.LANE
    if "bicycle" in lane.users or "scooter" in lane.users:
        return LaneKind.BICYCLE
    return LaneKind.SIDEWALK if "pedestrian" in lane.users else None


def _spec(
    network: Network,
    lane: Lane,
    kind: LaneKind,
    opposite: dict[str, str],
    kinds: dict[str, LaneKind | None],
) -> LaneSpec:
    edge = network.edges[lane.edge]
    inside = edge.function == "internal"
    at = edge.lanes.index(lane.id)
    step = -1 if network.lefthand else 1
    left, right = (
        edge.lanes[k] if 0 <= k < len(edge.lanes) and edge.lanes[k] in kinds else None
        for k in (at + step, at - step)
    )

    def change(other: str | None, allowed: frozenset[str]) -> bool:
        if other is None or inside:
            return False
        return bool(lane.users & network.lanes[other].users & allowed & MOTOR)

    facing = opposite.get(lane.id)
    flat, half = lane.shape[:, :2], 0.5 * lane.width
    heights = lane.shape[:, 2:]
    bounds = [np.column_stack((offset_line(flat, side), heights)) for side in (half, -half)]
    center, bounds[0], bounds[1] = _close_points(lane.shape, *bounds)
    outer = Marking.NONE if inside else Marking.SOLID

    def marking(other: str | None, allowed: bool) -> Marking:
        return outer if other is None or inside else Marking.DASHED if allowed else Marking.SOLID

    go_left, go_right = change(left, lane.change_left), change(right, lane.change_right)
    return LaneSpec(
        id=lane.id,
        left=bounds[0],
        right=bounds[1],
        center=center,
        kind=kind,
        speed_limit=lane.speed,
        intersection=inside,
        left_lane=left,
        right_lane=right,
        left_change=go_left,
        right_change=go_right,
        left_opposite=None if network.lefthand else facing,
        right_opposite=facing if network.lefthand else None,
        left_marking=marking(left, go_left),
        right_marking=marking(right, go_right),
        group=lane.edge,
    )


def _successors(network: Network, short: set[str]) -> dict[str, tuple[str, ...]]:
    """Next lanes by lane; lanes without length, which the map cannot hold, are leapt over."""
    steps: dict[str, list[str]] = {}
    for c in network.connections:
        steps.setdefault(c.start, []).append(c.via or c.end)

    def beyond(name: str, depth: int = 0) -> list[str]:
        if name not in short or depth > 8:
            return [name]
        return [x for following in steps.get(name, ()) for x in beyond(following, depth + 1)]

    return {
        name: tuple(dict.fromkeys(x for following in rows for x in beyond(following)))
        for name, rows in steps.items()
    }


def _is_road(network: Network, lane: str) -> bool:
    return network.edges[network.lanes[lane].edge].is_road


def _rules(network: Network, short: set[str]) -> dict[str, tuple[float, str | None]]:
    """Stop station and signal by lane: where a connection has a signal, or none and has to give way.

    The line lies at the start of the junction lane. Where there is none, or one without length, it lies at
    the end of the lane before, or if that leads elsewhere as well, at the start of the one behind.
    """
    ways: dict[str, int] = {}
    for c in network.connections:
        ways[c.start] = ways.get(c.start, 0) + 1
    out: dict[str, tuple[float, str | None]] = {}
    for c in network.connections:
        if c.program is None and c.state not in GIVES_WAY:
            continue
        signal = None if c.program is None else f"{c.program}:{c.link}"
        if c.via is not None and c.via not in short:
            out[c.via] = 0.0, signal
        elif ways[c.start] == 1 and c.start not in short:
            out[c.start] = float(arc_length(network.lanes[c.start].shape[:, :2])[-1]), signal
        else:
            out.setdefault(c.end, (0.0, signal))
    return out


def _opposites(network: Network, kept: dict[str, Lane]) -> dict[str, str]:
    """Oncoming neighbours: those that `<neigh>` names; inner lanes of edges between the same junctions."""
    out = {name: lane.opposite for name, lane in kept.items() if lane.opposite in kept}
    back: dict[tuple[str, str], list[str]] = {}
    for edge in network.edges.values():
        if edge.is_road:
            back.setdefault((edge.start, edge.end), []).append(edge.lanes[-1])
    for edge in network.edges.values():
        inner = edge.lanes[-1]
        if not edge.is_road or inner not in kept or inner in out:
            continue
        mine = kept[inner]
        middle = mine.shape[:, :2][[len(mine.shape) // 2]]
        for name in back.get((edge.end, edge.start), ()):
            if name in kept:
                _, d, _ = project_to_polyline(middle, kept[name].shape[:, :2])
                if abs(float(d[0])) < 0.5 * (mine.width + kept[name].width) + BESIDE:
                    out[inner] = name
                    break
    return {name: other for name, other in out.items() if other is not None}


def _add_areas(network: Network, builder: RoadMapBuilder, kept: dict[str, Lane]) -> None:
    """Junctions as drivable ground, crossings as crosswalks, walking areas as walkways."""
    inside = {name.rpartition("_")[0].rpartition("_")[0] for name in kept if name.startswith(":")}
    for junction in network.junctions:
        if f":{junction.id}" in inside:
            for ring in _rings(junction.shape[:, :2]):
                builder.add_area(ring, AreaKind.INTERSECTION, junction.id)
    for name, lane in kept.items():
        function = network.edges[lane.edge].function
        if function == "walkingarea":
            for ring in _rings(lane.shape[:, :2]):
                builder.add_area(ring, AreaKind.WALKWAY, name)
        elif function == "crossing":
            flat = lane.shape[:, :2]
            ring = np.concatenate(
                (offset_line(flat, lane.width / 2), offset_line(flat, -lane.width / 2)[::-1])
            )
            for part in _rings(ring):
                builder.add_area(part, AreaKind.CROSSWALK, name)


def _rings(points: Floats) -> list[Floats]:
    """A shape as simple rings; SUMO's junction shapes may cross themselves."""
    if len(points) < 3:
        return []
    polygon = shapely.make_valid(shapely.Polygon(points))
    parts = shapely.get_parts(polygon) if hasattr(polygon, "geoms") else [polygon]
    return [
        np.asarray(part.exterior.coords)[:-1]
        for part in parts
        if isinstance(part, shapely.Polygon) and part.area > 1e-3
    ]
