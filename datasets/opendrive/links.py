"""The lane graph of a network: which lane's end touches which other lane's end, and who follows whom."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from drive.datasets.opendrive.model import End, Junction, OpenDriveFile, Road

LaneKey = tuple[str, int, int]
"""Road id, number of the section, lane id."""
Port = tuple[LaneKey, str]
"""One end of a lane, "start" or "end" by the road's s."""


def lane_successors(
    file: OpenDriveFile, gone: set[LaneKey], wanted: Collection[LaneKey]
) -> tuple[dict[LaneKey, list[LaneKey]], Counter[str]]:
    """For each lane of `wanted` those of them that traffic drives onto from it, and a count of bad links.

    A link counts whichever of its two lanes names it. Lanes in `gone` (without length) are passed
    through. Links between lanes of opposite driving directions are dropped.
    """
    touching: dict[Port, dict[Port, None]] = {}
    faults: Counter[str] = Counter()
    known = {
        (r.id, k, i) for r in file.roads.values() for k, s in enumerate(r.sections) for i in s.lanes if i
    }
    for a, b in _contacts(file, faults):
        if b[0] not in known or a[0] not in known:
            faults["lane links to a lane that does not exist"] += 1
            continue
        touching.setdefault(a, {})[b] = None
        touching.setdefault(b, {})[a] = None
    out: dict[LaneKey, list[LaneKey]] = {}
    for key in wanted:
        found: dict[LaneKey, None] = {}
        todo, seen = [(key, _exit(file, key))], {key}
        while todo:
            for other, end in touching.get(todo.pop(), {}):
                if other not in wanted and other not in gone:
                    continue
                if end != _entry(file, other):
                    faults["lane links against the driving direction"] += 1
                elif other not in gone:
                    found[other] = None
                elif other not in seen:
                    seen.add(other)
                    todo.append((other, _exit(file, other)))
        out[key] = sorted(found)
    return out, faults


def _exit(file: OpenDriveFile, key: LaneKey) -> End:
    return "end" if file.roads[key[0]].runs_forward(key[2]) else "start"


def _entry(file: OpenDriveFile, key: LaneKey) -> End:
    return "start" if file.roads[key[0]].runs_forward(key[2]) else "end"


def _contacts(file: OpenDriveFile, faults: Counter[str]) -> Iterator[tuple[Port, Port]]:
    for road in file.roads.values():
        yield from _inside(road)
        for end in ("start", "end"):
            yield from _between(file.roads, road, end, faults)
    for junction in file.junctions.values():
        yield from _through(file.roads, junction, faults)


def _inside(road: Road) -> Iterator[tuple[Port, Port]]:
    """Links between the sections of a road."""
    last = len(road.sections) - 1
    for k, section in enumerate(road.sections):
        for lane in section.lanes.values():
            if lane.id == 0:
                continue
            here: LaneKey = (road.id, k, lane.id)
            if k < last:
                yield from (((here, "end"), ((road.id, k + 1, i), "start")) for i in lane.successors)
            if k > 0:
                yield from (((here, "start"), ((road.id, k - 1, i), "end")) for i in lane.predecessors)


def _between(
    roads: Mapping[str, Road], road: Road, end: End, faults: Counter[str]
) -> Iterator[tuple[Port, Port]]:
    """Links from a road's end to another road."""
    link = road.link(end)
    if link is None or link.type != "road":
        return
    other = roads.get(link.id)
    if other is None:
        faults["road links to a road that does not exist"] += 1
        return
    k = road.section_at(end)
    for lane in road.sections[k].lanes.values():
        if lane.id == 0:
            continue
        for i in lane.predecessors if end == "start" else lane.successors:
            target: LaneKey = (other.id, other.section_at(link.contact), i)
            yield ((road.id, k, lane.id), end), (target, link.contact)


def _through(
    roads: Mapping[str, Road], junction: Junction, faults: Counter[str]
) -> Iterator[tuple[Port, Port]]:
    """Links by which a junction's incoming roads lead into its connecting (or directly linked) ones."""
    for c in junction.connections:
        a, b = roads.get(c.incoming), roads.get(c.connecting)
        if a is None or b is None:
            faults["connections of a road that does not exist"] += 1
            continue
        end = _touching_end(a, b, c.contact, junction.id)
        if end is None:
            faults["connections of a road that does not touch its junction"] += 1
            continue
        for i, j in c.links:
            if i and j:
                yield (
                    ((a.id, a.section_at(end), i), end),
                    ((b.id, b.section_at(c.contact), j), c.contact),
                )


def _touching_end(a: Road, b: Road, contact: End, junction: str) -> End | None:
    """The end of the incoming road `a` that meets the junction; the connecting road says so best."""
    back = b.link(contact)
    if back is not None and back.type == "road" and back.id == a.id:
        return back.contact
    ends: list[End] = [
        end
        for end in ("start", "end")
        if (link := a.link(end)) is not None and link.type == "junction" and link.id == junction
    ]
    return ends[0] if ends else None
