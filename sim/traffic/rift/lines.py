"""Reference lines of any vehicle: chains of lanes along the way that its recording shows, with those beside.

A vehicle's way is the lanes on which it was recorded. A chain follows them and the lanes beside them, and
where the recording ends, or a change of lane has led off it, the straightest way on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import arc_length, wrap_angle
from drive.roadmap import straightest_successor
from drive.scenario import TRACK_VX, TRACK_VY
from drive.sim.traffic.paths import DEFAULT_LIMIT, EXTENSION, LaneChains, PathBook, match_lanes
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap
    from drive.scenario import Scenario
    from drive.sim.kernels.layout import Paths

    Floats = NDArray[np.float64]

ON_LANE = 2.6
"""m from a lane's middle within which somebody drives on it."""
STILL = 1.0
"""m: who moves less all through the recording, off the lane's middle, is parked."""
OFF_MIDDLE = 0.6
BEYOND = 160.0
"""m that a line is carried on beyond the map: farther than anybody looks."""
SLIPS = 2
"""Samples for which a lane may be matched by mistake."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """The chains of one scenario, and which of them its vehicles begin on.

    `path (A, T)` the chain that a track is on at each sample, -1 where the policy cannot drive it;
    `poses (A, T, 3)` recorded rear axles, `speed (A, T)` along the heading; `leaves (P,)` the station in m at
    which a chain leaves the map, `inf` for those that do not.
    """

    paths: Paths
    leaves: NDArray[np.float32]
    path: NDArray[np.int32]
    poses: Floats
    speed: Floats

    @property
    def drivable(self) -> NDArray[np.bool_]:
        """Who has a line from the first sample on, `(A,)`."""
        return np.asarray(self.path[:, 0] >= 0)

    def begin(self, rows: NDArray[Any], wheelbase: NDArray[Any]) -> NDArray[np.float32]:
        """Rear-axle states `(N, 7)` of some rows at the first sample; they turn as the next one shows."""
        out = np.zeros((len(rows), 7), dtype=np.float32)
        now = self.poses[rows, 0]
        out[:, :3], out[:, 3] = now, np.maximum(self.speed[rows, 0], 0.0)
        if self.poses.shape[1] > 1:
            after = self.poses[rows, 1]
            way = np.hypot(*(after - now)[:, :2].T)
            bend = np.where(way > 0.05, wrap_angle(after[:, 2] - now[:, 2]) / np.maximum(way, 0.05), 0.0)
            known = self.path[rows, 1] >= 0
            bend = np.where(known, np.clip(bend, -0.25, 0.25), 0.0)
            out[:, 5], out[:, 6] = np.arctan(bend * wheelbase), bend * out[:, 3]
        return out


@dataclass
class WayChains(LaneChains):
    """`LaneChains` that prefer the lanes of a way; equal chains of different ways are made once."""

    way: Mapping[int, float] = field(default_factory=dict)
    shared: dict[tuple[int, ...], int] = field(default_factory=dict)
    leaves: dict[int, float] = field(default_factory=dict)

    def path(self, lane: int) -> int:
        if lane not in self.chain_of_lane:
            chain, length = [lane], 0.0
            while length < 2.0 * EXTENSION:
                nxt = self._next(chain[-1])
                if nxt < 0 or nxt in chain:
                    break
                chain.append(nxt)
                length += float(self.roadmap.length[nxt])
            key = tuple(chain)
            if key not in self.shared:
                line = np.concatenate([self.roadmap.centerline(c) for c in chain])
                out = self._leaves(chain[-1])
                long = float(arc_length(line)[-1])
                line = _carried_on(line) if out else line
                self.shared[key] = self.book.add(self.roadmap, line, self.default_limit)
                if out:
                    self.leaves[self.shared[key]] = long
            number = self.shared[key]
            self.lanes[number] = chain
            for c in chain:
                self.chain_of_lane.setdefault(c, number)
        return self.chain_of_lane[lane]

    def _length(self, number: int) -> float:
        return self.leaves.get(number, super()._length(number))

    def _leaves(self, lane: int) -> bool:
        """Whether the map ends with this lane; where the lanes beside it go on, it is the lane that ends."""
        beside = (int(self.roadmap.left_lane[lane]), int(self.roadmap.right_lane[lane]))
        return not any(len(self.roadmap.successors(n)) for n in (lane, *beside) if n >= 0)

    def _next(self, lane: int) -> int:
        """The successor on the way, by how long it and the lane after it were driven on.

        Connectors lie on each other where they part: one lane alone may be matched by mistake.
        """
        best, most = -1, 0.0
        for n in self.roadmap.successors(lane):
            if self.roadmap.kind[n] <= 1:
                after = (self.way.get(int(m), 0.0) for m in self.roadmap.successors(int(n)))
                driven = self.way.get(int(n), 0.0) + 2.0 * max(after, default=0.0)
                if driven > most:
                    best, most = int(n), driven
        return best if best >= 0 else straightest_successor(self.roadmap, lane)


def compile_lines(scenario: Scenario, every: int = 5) -> Lines:
    """The chains of all motor vehicles that drive on lanes, looked up at every `every`-th sample."""
    tracks, roadmap = scenario.tracks, scenario.roadmap
    count, steps = tracks.num_agents, tracks.num_steps
    s = tracks.states
    poses = np.stack([tracks.rear_axle_poses(i) for i in range(count)]) if count else np.zeros((0, steps, 3))
    speed = s[..., TRACK_VX] * np.cos(s[..., 2]) + s[..., TRACK_VY] * np.sin(s[..., 2])
    path = np.full((count, steps), -1, dtype=np.int32)
    book = PathBook()
    default = max(DEFAULT_LIMIT, float(np.nanmax(tracks.speed[tracks.valid])) if tracks.valid.any() else 0.0)
    shared: dict[tuple[int, ...], int] = {}
    leaves: dict[int, float] = {}
    known: dict[tuple[tuple[int, float], ...], WayChains] = {}
    for i in range(count):
        there = np.flatnonzero(tracks.valid[i])
        if len(there) == 0 or not AgentKind(int(tracks.kind[i])).is_motor_vehicle:
            continue
        looked = there[(there % every == 0) | (there == there[0])]
        lane, gap = match_lanes(roadmap, poses[i, looked])
        lane = _without_slips(roadmap, np.where(gap < ON_LANE, lane, -1))
        moved = float(np.ptp(poses[i, there, :2], axis=0).max())
        if lane[0] < 0 or (moved < STILL and gap[0] > OFF_MIDDLE):
            continue
        way = _way(roadmap, lane[lane >= 0])
        key = tuple(sorted(way.items()))
        chains = known.get(key)
        if chains is None:
            chains = known[key] = WayChains(roadmap, book, default, way=way, shared=shared, leaves=leaves)
        number = -1
        at = np.full(steps, -1, dtype=np.int32)
        for k, here in zip(looked, lane.tolist(), strict=True):
            if here >= 0:
                number = chains.path(here)
            at[k:] = number
        path[i] = np.where(tracks.valid[i], at, -1)
    for chains in known.values():
        chains.link()
    paths = book.compile()
    out = np.array([leaves.get(k, np.inf) for k in range(len(paths.step))], dtype=np.float32)
    return Lines(paths, out, path, poses, np.asarray(speed))


def ways_lines(
    roadmap: RoadMap, ways: Iterable[Sequence[int]]
) -> tuple[Paths, NDArray[np.float32], NDArray[np.int32]]:
    """The chains along ways, each from its first lane on, with those beside: the paths, the stations at which
    they leave the map (as `Lines.leaves`), and each way's path."""
    book = PathBook()
    shared: dict[tuple[int, ...], int] = {}
    leaves: dict[int, float] = {}
    known: dict[tuple[int, ...], WayChains] = {}
    path = []
    for lanes in ways:
        key = tuple(int(n) for n in lanes)
        if key not in known:
            way = _way(roadmap, np.asarray(key, dtype=np.int32))
            known[key] = WayChains(roadmap, book, DEFAULT_LIMIT, way=way, shared=shared, leaves=leaves)
        path.append(known[key].path(key[0]))
    for chains in known.values():
        chains.link()
    paths = book.compile()
    out = np.array([leaves.get(k, np.inf) for k in range(len(paths.step))], dtype=np.float32)
    return paths, out, np.asarray(path, dtype=np.int32)


def route_lines(roadmap: RoadMap, lanes: Iterable[int], start: int) -> tuple[Paths, int]:
    """The chains along a route's lanes from the lane `start` on, with those beside, and the first one's
    number."""
    paths, _, path = ways_lines(roadmap, [(start, *lanes)])
    return paths, int(path[0])


def _carried_on(line: Floats) -> Floats:
    """A line `(N, 2)` that goes straight on for `BEYOND` m: to its driver the road does not end."""
    way = line[-1] - line[-2]
    return np.concatenate(
        (line, line[-1] + np.outer(np.arange(4.0, BEYOND + 1.0, 4.0), way / np.hypot(*way)))
    )


def _without_slips(roadmap: RoadMap, lanes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Lanes looked up one after the other `(N,)`, without those that lead elsewhere than the next one.

    Where connectors part they lie on each other, and the nearest is not always the one that is driven.
    """
    out = lanes.copy()
    counts = dict(zip(*(a.tolist() for a in np.unique(lanes, return_counts=True)), strict=True))
    for k in range(len(out) - 2, -1, -1):
        here, nxt = int(out[k]), int(out[k + 1])
        if here == nxt or here < 0 or nxt < 0 or counts[here] > SLIPS:
            continue
        beside = (int(roadmap.left_lane[here]), int(roadmap.right_lane[here]))
        if nxt not in beside and nxt not in roadmap.successors(here):
            out[k] = nxt
    return out


def _way(roadmap: RoadMap, lanes: NDArray[np.int32]) -> dict[int, float]:
    """The lanes that were driven on, by how often, and those beside them, which count half."""
    number, count = np.unique(lanes, return_counts=True)
    found = dict(zip(number.tolist(), count.astype(float).tolist(), strict=True))
    todo = list(found)
    while todo:
        lane = todo.pop()
        for near in (int(roadmap.left_lane[lane]), int(roadmap.right_lane[lane])):
            if near >= 0 and near not in found and roadmap.kind[near] <= 1:
                found[near] = 0.5 * found[lane]
                todo.append(near)
    return found


__all__ = ["Lines", "WayChains", "compile_lines", "route_lines", "ways_lines"]
