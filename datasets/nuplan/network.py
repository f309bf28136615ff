"""A road map as nuPlan knows roads: lanes that meet only through connectors, in groups.

nuPlan's lanes never follow each other directly, every connector leads from one lane to one lane, and no
connector is without either. Where a road map does otherwise, short pieces are cut off its lanes: the last
metre of a lane that another lane follows becomes a connector ("seam"); the end of a connector that meets
another connector, or nothing, becomes a lane ("stub"). `Piece` says of what lane it was cut, so that the
reader joins it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import arc_length
from drive.roadmap import LaneKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]
    Lines = tuple[Floats, Floats, Floats]

CUT = 1.0
"""Length in m of a seam or a stub, where the lane is at least four times as long."""


@dataclass(eq=False)
class Piece:
    """A part of one lane of the road map: lines `(N, 2)` for centre, left and right bound.

    `part` counts the parts along the lane; `tail` is the last bit that was cut off a lane and leads, as a
    connector, to the lanes that follow.
    """

    lane: int
    connector: bool
    lines: Lines
    part: int = 0
    tail: Lines | None = None
    before: list[Piece] = field(default_factory=list)
    after: list[Piece] = field(default_factory=list)


@dataclass(eq=False)
class Edge:
    """One lane or connector of nuPlan.

    A connector leads from `source` to `target`. Of its rows the first `head` belong to the lane before it.
    `fid` and `group` are nuPlan's ids, `index` counts the lanes of a group from the left.
    """

    piece: Piece
    lines: Lines
    seam: bool = False
    head: int = 0
    source: Edge | None = None
    target: Edge | None = None
    signal: int = -1
    fid: int = 0
    group: int = 0
    index: int = 0

    @property
    def polygon(self) -> Any:
        """Outline as one valid shapely polygon; None where bounds that cross leave none."""
        import shapely

        _, left, right = self.lines
        shape = shapely.make_valid(shapely.Polygon(np.concatenate((left, right[::-1]))))
        parts = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"]
        return max(parts, key=lambda p: p.area) if parts else None


@dataclass(eq=False)
class Network:
    """Lanes and connectors of one road map, and the groups of either by their ids."""

    roadmap: RoadMap
    lanes: list[Edge]
    connectors: list[Edge]
    pieces: list[list[Piece]]
    lane_of: dict[Piece, Edge]

    def groups(self) -> dict[int, list[Edge]]:
        out: dict[int, list[Edge]] = {}
        for edge in self.lanes:
            out.setdefault(edge.group, []).append(edge)
        return out

    def group_connectors(self) -> dict[int, list[Edge]]:
        out: dict[int, list[Edge]] = {}
        for edge in self.connectors:
            out.setdefault(edge.group, []).append(edge)
        return out

    def route(self, lanes: Sequence[int]) -> list[int]:
        """Ids of the lane groups and group connectors, alternating, along lanes of the road map."""
        path = [piece for lane in lanes for piece in self.pieces[lane]]
        links = {
            (e.piece, e.source.piece, e.target.piece): e for e in self.connectors if e.source and e.target
        }
        out: list[int] = []
        for k, piece in enumerate(path):
            before, after = path[k - 1] if k else None, path[k + 1] if k + 1 < len(path) else None
            if piece.connector:
                found = [(s is not before, t is not after, e) for (p, s, t), e in links.items() if p is piece]
                found.sort(key=lambda item: item[0] + 2 * item[1])
                out += [edge.group for _, _, edge in found[:1]]
                continue
            out.append(self.lane_of[piece].group)
            seam = links.get((piece, piece, after)) if after is not None else None
            out += [seam.group] if seam is not None else []
        return [fid for i, fid in enumerate(out) if i == 0 or fid != out[i - 1]]


def build_network(roadmap: RoadMap, ids: Ids) -> Network:
    """The lanes and connectors of a road map's driving lanes."""
    pieces = _pieces(roadmap)
    everything = [piece for row in pieces for piece in row]
    lane_of = {p: Edge(p, p.lines) for p in everything if not p.connector}
    connectors: list[Edge] = []
    for piece in everything:
        if not piece.connector:
            if piece.tail is not None:
                for after in piece.after:
                    if not after.connector:
                        link = Edge(piece, piece.tail, True, 0, lane_of[piece], lane_of[after])
                        connectors.append(link)
            continue
        for before in piece.before:
            lines, head = piece.lines, 0
            if before.tail is not None:
                lines, head = _prefixed(before.tail, lines)
            source = lane_of[before]
            connectors += [Edge(piece, lines, False, head, source, lane_of[after]) for after in piece.after]
    for edge in connectors:
        assert edge.source is not None
        own = int(roadmap.signal[edge.piece.lane])
        edge.signal = own if own >= 0 else int(roadmap.signal[edge.source.piece.lane])
    network = Network(roadmap, list(lane_of.values()), connectors, pieces, lane_of)
    _number(network, ids)
    return network


@dataclass
class Ids:
    """Hands out whole numbers, each once; an outside id that is one is kept where it is free."""

    taken: set[int] = field(default_factory=set)
    keep: bool = True
    last: int = 0

    def claim(self, wanted: str = "") -> int:
        if self.keep and wanted.isascii() and wanted.isdigit() and len(wanted) < 16:
            number = int(wanted)
            if number > 0 and number not in self.taken:
                self.taken.add(number)
                return number
        self.last += 1
        while self.last in self.taken:
            self.last += 1
        self.taken.add(self.last)
        return self.last


def _pieces(roadmap: RoadMap) -> list[list[Piece]]:
    """Pieces of each lane in order, linked; none of the lanes that are not for driving."""
    out: list[list[Piece]] = []
    for lane in range(roadmap.num_lanes):
        kind, rows = roadmap.kind[lane], roadmap.rows(lane)
        lines = (roadmap.points[rows], roadmap.left[rows], roadmap.right[rows])
        out.append([Piece(lane, kind == LaneKind.CONNECTOR, lines)] if kind <= LaneKind.CONNECTOR else [])
    for lane, row in enumerate(out):
        for after in (out[int(n)] for n in roadmap.successors(lane)):
            if row and after:
                row[0].after.append(after[0])
                after[0].before.append(row[0])
    for row in out:
        if row and row[0].connector:
            row[:] = _with_stubs(row[0])
    places: dict[tuple[int, int], float] = {}
    for piece in (p for row in out for p in row):
        if not piece.connector and any(not after.connector for after in piece.after):
            # Lanes side by side are cut at the same row, so that they still share their bounds.
            key = (int(roadmap.group[piece.lane]), len(piece.lines[0]))
            place = places.setdefault(key, _row_at(piece, _length(piece) - _bit(piece)))
            piece.lines, piece.tail = _cut(piece.lines, place)
    return out


def _with_stubs(main: Piece) -> list[Piece]:
    """A connector with a lane before it where it has none, and behind it where it meets a connector."""
    row = [main]
    if not main.before:
        stub = Piece(main.lane, False, main.lines)
        stub.lines, main.lines = _cut(main.lines, _row_at(main, _bit(main)))
        stub.after, main.before = [main], [stub]
        row.insert(0, stub)
    if not main.after or any(after.connector for after in main.after):
        stub = Piece(main.lane, False, main.lines)
        main.lines, stub.lines = _cut(main.lines, _row_at(main, _length(main) - _bit(main)))
        for after in main.after:
            after.before[after.before.index(main)] = stub
        stub.after, stub.before, main.after = main.after, [main], [stub]
        row.append(stub)
    for part, piece in enumerate(row):
        piece.part = part
    return row


def _length(piece: Piece) -> float:
    return float(arc_length(piece.lines[0])[-1])


def _bit(piece: Piece) -> float:
    return min(CUT, 0.25 * _length(piece))


def _row_at(piece: Piece, station: float) -> float:
    """Row, with a fraction, at a station of a piece's centreline; never a whole one, where a cut would leave
    two rows at one place."""
    s = arc_length(piece.lines[0])
    row = float(np.interp(station, s, np.arange(len(s))))
    return row if 1e-3 < row % 1.0 < 1.0 - 1e-3 else float(np.clip(round(row) + 0.01, 0.01, len(s) - 1.01))


def _cut(lines: Lines, row: float) -> tuple[Lines, Lines]:
    """Both parts of a lane's lines, cut at a row with a fraction; both hold the new row."""
    k, u = int(row) + 1, row % 1.0
    first, second = [], []
    for line in lines:
        new = ((1.0 - u) * line[k - 1] + u * line[k])[None]
        first.append(np.concatenate((line[:k], new)))
        second.append(np.concatenate((new, line[k:])))
    return (first[0], first[1], first[2]), (second[0], second[1], second[2])


def _prefixed(tail: Lines, lines: Lines) -> tuple[Lines, int]:
    """A connector's lines behind the bit cut off the lane before it, and how many rows that adds."""
    close = float(np.hypot(*(tail[0][-1] - lines[0][0]))) < 0.05
    end = len(tail[0]) - 1 if close else len(tail[0])
    joined = [np.concatenate((a[:end], b)) for a, b in zip(tail, lines, strict=True)]
    return (joined[0], joined[1], joined[2]), end


def _number(network: Network, ids: Ids) -> None:
    """Give every edge its id, its group and its place in it."""
    roadmap = network.roadmap
    for edge in network.lanes:
        edge.fid = ids.claim(roadmap.lane_ids[edge.piece.lane] if len(_own(network, edge)) == 1 else "")
    for edge in network.connectors:
        edge.fid = ids.claim("" if edge.seam else roadmap.lane_ids[edge.piece.lane])
    for row in _side_by_side(network):
        group = ids.claim(roadmap.group_ids[roadmap.group[row[0].piece.lane]])
        for index, edge in enumerate(row):
            edge.group, edge.index = group, index
    ends: dict[tuple[int, int], int] = {}
    for edge in network.connectors:
        assert edge.source is not None
        assert edge.target is not None
        key = (edge.source.group, edge.target.group)
        if key not in ends:
            ends[key] = ids.claim("" if edge.seam else roadmap.group_ids[roadmap.group[edge.piece.lane]])
        edge.group = ends[key]


def _own(network: Network, edge: Edge) -> list[Piece]:
    return network.pieces[edge.piece.lane]


def _side_by_side(network: Network) -> Iterator[list[Edge]]:
    """Lanes of one group from left to right, as far as they are neighbours; stubs stand alone."""
    roadmap = network.roadmap
    main = {e.piece.lane: e for e in network.lanes if roadmap.kind[e.piece.lane] == LaneKind.LANE}
    yield from ([e] for e in network.lanes if e.piece.lane not in main)
    done: set[int] = set()

    def beside(lane: int, left: bool) -> int:
        near = int((roadmap.left_lane if left else roadmap.right_lane)[lane])
        back = int((roadmap.right_lane if left else roadmap.left_lane)[near]) if near >= 0 else -1
        same = near in main and roadmap.group[near] == roadmap.group[lane]
        return near if back == lane and same and near not in done else -1

    for lane in main:
        if lane in done:
            continue
        chain = [lane]
        done.add(lane)
        while (near := beside(chain[0], left=True)) >= 0:
            chain.insert(0, near)
            done.add(near)
        while (near := beside(chain[-1], left=False)) >= 0:
            chain.append(near)
            done.add(near)
        yield [main[k] for k in chain]
