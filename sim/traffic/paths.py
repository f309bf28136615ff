"""The paths that traffic follows: recorded ones carried on along the lanes, and chains of lanes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import arc_length, polyline_heading, remove_duplicates, resample_polyline, wrap_angle
from drive.roadmap import straightest_successor
from drive.sim.kernels.layout import ENDS, GIVE_WAY, SIGNALS, Paths
from drive.sim.traffic.rows import path_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]

STEP = 1.0
EXTENSION = 250.0
"""Metres of road beyond the recorded end that a path goes on for."""
DEFAULT_LIMIT = 10.0
"""m/s on lanes without a limit: the target of nuPlan's reactive agents."""
BESIDE = 7.0
"""m within which a sample of the chain beside is a sample's neighbour."""
OFFSET_DECAY = 15.0
BETWEEN_LANES = 1.2
"""m from the nearest centreline at which a path is between lanes; the tree's spacing makes up 1 m of it."""
MERGE_MARGIN = 10
DIP = 12


@dataclass
class PathBook:
    """Collects the paths of one world before they are compiled."""

    points: list[Floats] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    stops: list[NDArray[np.int32]] = field(default_factory=list)
    lines: list[NDArray[np.int32]] = field(default_factory=list)
    merging: list[NDArray[np.uint8]] = field(default_factory=list)
    left: list[NDArray[np.int32]] = field(default_factory=list)
    right: list[NDArray[np.int32]] = field(default_factory=list)
    trees: dict[int, Any] = field(default_factory=dict)

    def tree(self, number: int) -> Any:
        """The samples of a path for nearest neighbours."""
        if number not in self.trees:
            from scipy.spatial import cKDTree

            self.trees[number] = cKDTree(self.points[number][:, :2])
        return self.trees[number]

    def add(self, roadmap: RoadMap, line: Floats, default_limit: float) -> int:
        """Add a path along a polyline `(N, 2)` of the rear axle; returns its number."""
        points, step, merging = path_samples(roadmap, line, default_limit)
        self.points.append(points)
        self.steps.append(step)
        self.stops.append(stop_lines(roadmap, points))
        self.lines.append(give_way_lines(roadmap, points))
        self.merging.append(merging)
        none = np.full((len(points), 2), -1, dtype=np.int32)
        self.left.append(none)
        self.right.append(none.copy())
        return len(self.points) - 1

    def compile(self) -> Paths:
        """Flat arrays of all paths; an empty book gives one path of two samples that nobody drives."""
        if not self.points:
            self.points.append(np.array([[0.0, 0, 0, 0, 1], [1, 0, 0, 0, 1]]))
            self.steps.append(1.0)
            self.stops.append(np.full(2, -1, dtype=np.int32))
            self.lines.append(np.full(2, -1, dtype=np.int32))
            self.merging.append(np.zeros(2, dtype=np.uint8))
            self.left.append(np.full((2, 2), -1, dtype=np.int32))
            self.right.append(np.full((2, 2), -1, dtype=np.int32))
        counts = [len(p) for p in self.points]
        start = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        following = []
        for first, stop in zip(start, self.stops, strict=False):
            rows = np.where(stop >= 0, np.arange(len(stop)), len(stop))
            later = np.minimum.accumulate(rows[::-1])[::-1]
            later = np.append(later[1:], len(stop))
            following.append(np.where(later < len(stop), later + first, -1))
        # Inside the book a neighbour's sample counts from its path's start, in the arrays it is a row.
        for side in (*self.left, *self.right):
            linked = side[:, 0] >= 0
            side[linked, 1] += start[side[linked, 0]]
        ends = [bool((a[-1, 0] >= 0) | (b[-1, 0] >= 0)) for a, b in zip(self.left, self.right, strict=True)]
        holds = [
            SIGNALS * bool((stop >= 0).any()) | GIVE_WAY * bool((line >= 0).any()) | ENDS * end
            for stop, line, end in zip(self.stops, self.lines, ends, strict=True)
        ]
        return Paths(
            np.ascontiguousarray(np.concatenate(self.points), dtype=np.float32),
            np.concatenate([path_rows(x, step) for x, step in zip(self.points, self.steps, strict=True)]),
            start,
            np.asarray(self.steps, dtype=np.float32),
            np.concatenate(self.stops).astype(np.int32),
            np.concatenate(following).astype(np.int32),
            np.concatenate(
                [np.where(x >= 0, x + n, -1) for x, n in zip(self.lines, start, strict=False)]
            ).astype(np.int32),
            np.concatenate(self.merging),
            np.concatenate(self.left).astype(np.int32),
            np.concatenate(self.right).astype(np.int32),
            np.asarray(holds, dtype=np.uint8),
        )


def concatenate_paths(parts: list[Paths]) -> Paths:
    """Paths of several worlds as one set; the caller shifts path numbers by how many come before."""
    if len(parts) == 1:
        return parts[0]
    rows = np.cumsum([0] + [len(p.points) for p in parts])
    paths = np.cumsum([0] + [len(p.step) for p in parts])

    def shifted(side: str) -> NDArray[np.int32]:
        out: list[NDArray[np.int32]] = []
        for part, n in zip(parts, paths, strict=False):
            a = getattr(part, side).copy()
            a[a[:, 0] >= 0, 0] += n
            # The sample is a row of the flat arrays.
            a[a[:, 0] >= 0, 1] += rows[len(out)]
            out.append(a)
        return np.concatenate(out).astype(np.int32)

    def followed(name: str) -> NDArray[np.int32]:
        """Rows of the flat arrays."""
        arrays = [getattr(part, name) for part in parts]
        moved = [np.where(a >= 0, a + r, -1) for a, r in zip(arrays, rows, strict=False)]
        return np.concatenate(moved).astype(np.int32)

    return Paths(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.rows for p in parts]),
        np.concatenate([[0]] + [p.start[1:] + r for p, r in zip(parts, rows, strict=False)]).astype(np.int32),
        np.concatenate([p.step for p in parts]),
        np.concatenate([p.stop for p in parts]),
        followed("next_stop"),
        followed("give_way"),
        np.concatenate([p.merging for p in parts]),
        shifted("left"),
        shifted("right"),
        np.concatenate([p.holds for p in parts]),
    )


def map_tree(roadmap: RoadMap) -> tuple[Any, NDArray[np.int32]]:
    """A k-d tree over the centreline points of the lanes for motor vehicles, and the tree's map rows."""
    cached: tuple[Any, NDArray[np.int32]] | None = roadmap.__dict__.get("_map_tree")
    if cached is None:
        from scipy.spatial import cKDTree

        lane_of_row = np.repeat(np.arange(roadmap.num_lanes), np.diff(roadmap.lane_start))
        rows = np.flatnonzero(roadmap.kind[lane_of_row] <= 1)
        # Long straight segments need points in between, or the nearest vertex lies on another lane.
        nxt = np.minimum(rows + 1, len(roadmap.points) - 1)
        same = lane_of_row[nxt] == lane_of_row[rows]
        gap = np.hypot(*(roadmap.points[nxt] - roadmap.points[rows]).T) * same
        pieces = np.maximum(np.ceil(gap / 2.0).astype(int), 1)
        owner = np.repeat(np.arange(len(rows)), pieces)
        part = (np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) / pieces[owner]
        points = roadmap.points[rows[owner]] + part[:, None] * (
            roadmap.points[nxt[owner]] - roadmap.points[rows[owner]]
        )
        cached = (cKDTree(points), rows[owner].astype(np.int32))
        roadmap.__dict__["_map_tree"] = cached
    return cached


def match_lanes(roadmap: RoadMap, poses: Floats, neighbours: int = 16) -> tuple[NDArray[np.int32], Floats]:
    """Nearest lane of each pose `(N, 3)` that runs within 60 degrees of its heading: (lane, distance).

    Lane -1 where none of the nearest centreline points fits.
    """
    tree, rows = map_tree(roadmap)
    k = min(neighbours, len(rows))
    distance, at = tree.query(poses[:, :2], k=k)
    distance, at = distance.reshape(len(poses), -1), at.reshape(len(poses), -1)
    row = rows[at]
    turn = np.abs(wrap_angle(roadmap.heading[row] - poses[:, 2:3]))
    distance = np.where(turn < np.pi / 3.0, distance, np.inf)
    best = np.argmin(distance, axis=1)
    pick = np.arange(len(poses))
    lane_of_row = np.searchsorted(roadmap.lane_start, row[pick, best], side="right") - 1
    gap = distance[pick, best]
    return np.where(np.isfinite(gap), lane_of_row, -1).astype(np.int32), gap


def recorded_line(roadmap: RoadMap, poses: Floats, lane: int) -> Floats:
    """The polyline `(N, 2)` of a recorded motion `(T, 3)`, carried on along the lanes.

    `lane` is where the motion ends, or -1: then it goes on straight for 30 m.
    """
    moved = _spaced(poses[:, :2], 0.5)
    if len(moved) < 3 or arc_length(moved)[-1] < 3.0:
        moved = poses[-1:, :2]
    end = poses[-1]
    ahead = np.array([np.cos(end[2]), np.sin(end[2])])
    if lane < 0:
        return np.concatenate((moved, end[:2] + np.outer(np.linspace(2.0, 30.0, 15), ahead)))
    line, s, heading = onward(roadmap, lane)
    rel = line - end[:2]
    k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
    offset = float(np.cos(heading[k]) * -rel[k, 1] + np.sin(heading[k]) * rel[k, 0])
    beyond = s > s[k] + 3.0
    decay = offset * np.exp(-(s[beyond] - s[k]) / OFFSET_DECAY)
    normal = np.stack((-np.sin(heading[beyond]), np.cos(heading[beyond])), axis=-1)
    tail = line[beyond] + decay[:, None] * normal
    if len(tail) == 0:
        tail = end[:2] + np.outer(np.array([2.0, 4.0]), ahead)
    # Starting behind the end would fold the path back on itself.
    front = (tail - end[:2]) @ ahead > 1.0
    tail = tail[int(np.argmax(front)) :] if front.any() else tail[:0]
    return np.concatenate((moved, tail)) if len(tail) else np.concatenate((moved, [end[:2] + 2.0 * ahead]))


def onward_lanes(roadmap: RoadMap, lane: int) -> list[int]:
    """A lane and the straightest after it, for `EXTENSION` metres beyond its end."""
    chain, length = [lane], float(roadmap.length[lane])
    while length < EXTENSION + roadmap.length[lane]:
        nxt = straightest_successor(roadmap, chain[-1])
        if nxt < 0 or nxt in chain:
            break
        chain.append(nxt)
        length += float(roadmap.length[nxt])
    return chain


def onward(roadmap: RoadMap, lane: int) -> tuple[Floats, Floats, Floats]:
    """The line `(N, 2)` along `onward_lanes`, its stations and headings `(N,)`; kept with the map."""
    known: dict[int, tuple[Floats, Floats, Floats]] = roadmap.__dict__.setdefault("_onward", {})
    if lane not in known:
        # Straight lanes may have no vertex for a long way; the offset is worked off from vertex to vertex.
        chain = onward_lanes(roadmap, lane)
        line = resample_polyline(np.concatenate([roadmap.centerline(c) for c in chain]), 1.0)
        s = arc_length(line)
        heading = polyline_heading(line)
        known[lane] = line, s, heading
    return known[lane]


def _spaced(points: Floats, gap: float) -> Floats:
    """Of the points `(N, 2)` the first, then each that lies `gap` metres from the one kept before it."""
    kept, (x0, y0) = [0], points[0].tolist()
    for k, (x, y) in enumerate(points.tolist()):
        if (x - x0) ** 2 + (y - y0) ** 2 >= gap * gap:
            kept.append(k)
            x0, y0 = x, y
    return np.asarray(points[kept])


def path_samples(
    roadmap: RoadMap, line: Floats, default_limit: float
) -> tuple[Floats, float, NDArray[np.uint8]]:
    """Samples `(N, 5)` in PATH_COLUMNS a metre apart, their exact distance, which run between lanes."""
    line = remove_duplicates(line, 1e-3)
    if len(line) < 2:
        line = np.concatenate((line, line[-1:] + np.array([[2.0, 0.0]])))
    s = arc_length(line)
    n = max(round(s[-1] / STEP), 4)
    at = np.linspace(0.0, s[-1], n + 1)
    xy = np.stack((np.interp(at, s, line[:, 0]), np.interp(at, s, line[:, 1])), axis=-1)
    xy = smoothed(xy, 2)
    # Smoothing shortens the line a little: make the samples equidistant again.
    s = arc_length(xy)
    at = np.linspace(0.0, s[-1], n + 1)
    xy = np.stack((np.interp(at, s, xy[:, 0]), np.interp(at, s, xy[:, 1])), axis=-1)
    heading = np.unwrap(polyline_heading(xy))
    step = float(s[-1] / n)
    curvature = np.gradient(smoothed(heading[:, None], 2)[:, 0], step)
    tree, rows = map_tree(roadmap)
    gap, nearest = tree.query(xy)
    lane = np.searchsorted(roadmap.lane_start, rows[nearest], side="right") - 1
    between = np.convolve(gap > BETWEEN_LANES, np.ones(2 * MERGE_MARGIN + 1), "same") > 0
    limit = roadmap.speed_limit[lane]
    limit = _without_dips(np.where(np.isfinite(limit), limit, default_limit))
    return np.column_stack((xy, wrap_angle(heading), curvature, limit)), step, between.astype(np.uint8)


def _without_dips(limit: Floats) -> Floats:
    """Limits `(N,)` without dips of less than `DIP` samples: where lanes overlap, as in junctions, the
    nearest centreline is now the own one and now another's."""
    if (limit == limit[0]).all():
        return limit
    wide = np.pad(limit, DIP, mode="edge")
    high = np.lib.stride_tricks.sliding_window_view(wide, DIP + 1).max(-1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(high, DIP + 1).min(-1))


def smoothed(values: Floats, half: int) -> Floats:
    """Moving average of `values (N, D)` over 2 half + 1 samples, shrinking towards the ends, which stay."""
    n = len(values)
    total = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)))
    k = np.arange(n)
    reach = np.minimum(half, np.minimum(k, n - 1 - k))
    return np.asarray((total[k + reach + 1] - total[k - reach]) / (2 * reach + 1)[:, None])


def stop_lines(roadmap: RoadMap, points: Floats) -> NDArray[np.int32]:
    """Signal per sample of a path, -1 none: the stop lines of the signalled lanes that it drives on."""
    out = np.full(len(points), -1, dtype=np.int32)
    for lane, k in _lines(roadmap, points, np.flatnonzero(roadmap.signal >= 0)):
        out[k] = roadmap.signal[lane]
    return out


def give_way_lines(roadmap: RoadMap, points: Floats) -> NDArray[np.int32]:
    """Sample of the next give-way line at or after each sample of a path, -1 none.

    Such a line is a stop line that belongs to no signal.
    """
    lanes = np.flatnonzero((roadmap.signal < 0) & np.isfinite(roadmap.stop_station))
    n = len(points)
    at = np.full(n, n)
    for _, k in _lines(roadmap, points, lanes):
        at[k] = k
    following = np.minimum.accumulate(at[::-1])[::-1]
    return np.where(following < n, following, -1).astype(np.int32)


def _lines(roadmap: RoadMap, points: Floats, lanes: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Those of the lanes that a path drives on, and its samples at their stop lines.

    A path drives on a lane if the lane's middle lies within 1.5 m of it and runs the same way, and so does
    the lane where its line is.
    """
    found = []
    for lane in lanes.tolist():
        rows = roadmap.rows(lane)
        station, xy, heading = roadmap.station[rows], roadmap.points[rows], roadmap.heading[rows]
        stop = float(roadmap.stop_station[lane])
        stop = float(station[-1]) if np.isnan(stop) else stop
        used = True
        for at in (0.5, 0.9):
            middle = np.array([np.interp(at * station[-1], station, xy[:, c]) for c in range(2)])
            rel = points[:, :2] - middle
            k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
            turn = abs(
                float(wrap_angle(points[k, 2] - np.interp(at * station[-1], station, np.unwrap(heading))))
            )
            used &= bool(np.hypot(*rel[k]) < 1.5 and turn < np.pi / 4.0)
        if not used:
            continue
        inside = np.clip(stop, 0.0, station[-1])
        line = np.array([np.interp(inside, station, xy[:, c]) for c in range(2)])
        if stop < 0.0:
            line = line + stop * np.array([np.cos(heading[0]), np.sin(heading[0])])
        rel = points[:, :2] - line
        k = int(np.argmin(np.einsum("ij,ij->i", rel, rel)))
        # A short turn may join the path early; who drives on the path does not cross its line.
        turn = abs(float(wrap_angle(points[k, 2] - np.interp(inside, station, np.unwrap(heading)))))
        if np.hypot(*rel[k]) < 4.0 and turn < np.pi / 3.0:
            found.append((lane, k))
    return found


@dataclass
class LaneChains:
    """Chains of lanes for drivers who change lanes: one path per chain, with the chains beside it."""

    roadmap: RoadMap
    book: PathBook
    default_limit: float
    chain_of_lane: dict[int, int] = field(default_factory=dict)
    lanes: dict[int, list[int]] = field(default_factory=dict)

    def path(self, lane: int) -> int:
        """The path of the first chain that holds `lane`, made where there is none."""
        if lane not in self.chain_of_lane:
            chain = [lane]
            length = 0.0
            while length < 2.0 * EXTENSION:
                nxt = straightest_successor(self.roadmap, chain[-1])
                if nxt < 0 or nxt in chain:
                    break
                chain.append(nxt)
                length += float(self.roadmap.length[nxt])
            line = np.concatenate([self.roadmap.centerline(c) for c in chain])
            number = self.book.add(self.roadmap, line, self.default_limit)
            self.lanes[number] = chain
            for c in chain:
                self.chain_of_lane.setdefault(c, number)
        return self.chain_of_lane[lane]

    def link(self) -> None:
        """Fill in the neighbours of all chains, adding the chains that they lead to."""
        done: set[int] = set()
        while todo := [n for n in self.lanes if n not in done]:
            for number in todo:
                done.add(number)
                for side, near, allowed in (
                    ("left", self.roadmap.left_lane, self.roadmap.left_change),
                    ("right", self.roadmap.right_lane, self.roadmap.right_change),
                ):
                    self._link_side(number, side, near, allowed)

    def _link_side(self, number: int, side: str, near: NDArray[Any], allowed: NDArray[Any]) -> None:
        points = self.book.points[number]
        lane_at = self._lane_of_samples(number)
        for lane in self.lanes[number]:
            if not allowed[lane] or self.roadmap.kind[near[lane]] > 1:
                continue
            other = self.path(int(near[lane]))
            mine = np.flatnonzero(lane_at == lane)
            gap, k = self.book.tree(other).query(points[mine, :2], distance_upper_bound=BESIDE)
            close = np.isfinite(gap)
            getattr(self.book, side)[number][mine[close]] = np.column_stack(
                (np.full(close.sum(), other), k[close])
            )

    def _length(self, number: int) -> float:
        """Of a path on its lanes, in m."""
        return self.book.steps[number] * (len(self.book.points[number]) - 1)

    def _lane_of_samples(self, number: int) -> NDArray[np.int64]:
        chain = self.lanes[number]
        ends = np.cumsum([self.roadmap.length[c] for c in chain])
        station = self.book.steps[number] * np.arange(len(self.book.points[number]))
        scale = ends[-1] / max(self._length(number), 1e-9)
        row = np.minimum(np.searchsorted(ends, station * scale), len(chain) - 1)
        return np.asarray(np.asarray(chain)[row])
