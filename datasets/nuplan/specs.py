"""Lanes of a map as its layers have them, ready for a road map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.datasets.nuplan.areas import junctions, stop_lines
from drive.roadmap import LaneKind, LaneSpec, Marking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.datasets.nuplan.edges import RawEdge
    from drive.datasets.nuplan.gpkg import Features


def specs_of(edges: list[RawEdge], layers: Mapping[str, Features]) -> list[LaneSpec]:
    """Lanes of a map that nuPlan's makers (or others) wrote.

    The map names no permission to change lanes: between lanes of one group it is taken as given, on
    connectors as not given. Neighbours are lanes of adjacent `lane_index`, connectors between such, and
    oncoming lanes that share a left boundary.
    """
    place: dict[tuple[int | None, int], int] = {}
    place |= {(e.group, e.index): e.fid for e in edges if not e.connector and e.group is not None}
    right_of: dict[int, int] = {}
    for edge in edges:
        beside = place.get((edge.group, edge.index + 1))
        if not edge.connector and beside is not None:
            right_of[edge.fid] = beside
    between = {(e.source, e.target): e.fid for e in edges if e.connector}
    for edge in edges:
        if edge.connector and edge.source in right_of and edge.target in right_of:
            between_them = between.get((right_of[edge.source], right_of[edge.target]))
            if between_them is not None:
                right_of[edge.fid] = between_them
    left_of = {b: a for a, b in right_of.items()}
    follow: dict[int, list[str]] = {}
    for edge in edges:
        if edge.connector and edge.source is not None:
            follow.setdefault(edge.source, []).append(str(edge.fid))
    oncoming: dict[int, list[int]] = {}
    for edge in edges:
        if edge.bounds[0] is not None and not edge.connector:
            oncoming.setdefault(edge.bounds[0], []).append(edge.fid)
    crossing = junctions(edges, layers)
    stops = stop_lines(edges, layers)
    out = []
    for edge in edges:
        left, right = left_of.get(edge.fid), right_of.get(edge.fid)
        other = [f for f in oncoming.get(edge.bounds[0] or -1, []) if f != edge.fid]
        successors = follow.get(edge.fid, [])
        if edge.connector:
            successors = [] if edge.target is None else [str(edge.target)]
        spec = LaneSpec(
            id=str(edge.fid),
            left=edge.left,
            right=edge.right,
            center=edge.center,
            kind=LaneKind.CONNECTOR if edge.connector else LaneKind.LANE,
            speed_limit=edge.limit,
            intersection=edge.fid in crossing,
            successors=successors,
            left_lane=None if left is None else str(left),
            right_lane=None if right is None else str(right),
            left_change=not edge.connector,
            right_change=not edge.connector,
            left_opposite=str(other[0]) if other and left is None and not edge.connector else None,
            left_marking=Marking.NONE if edge.connector else Marking.DASHED if left else Marking.SOLID,
            right_marking=Marking.NONE if edge.connector else Marking.DASHED if right else Marking.SOLID,
            signal=str(edge.fid) if edge.lights else None,
            stop_station=stops.get(edge.fid),
            group=None if edge.group is None else str(edge.group),
        )
        out.append(spec)
    return out
