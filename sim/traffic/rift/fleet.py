"""The vehicles that the policy drives in a batch of worlds: what they see, their candidates, their motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.nn.scene import SceneArrays, is_mask, scene_shapes
from drive.sim.candidates import rollout
from drive.sim.traffic.rift.kernels import plans
from drive.sim.traffic.rift.kernels.base import FEARS, HORIZON, KNOTS, LINE_WIDTH, LINES, MODES, PROBES
from drive.sim.traffic.rift.kernels.sense import sense
from drive.sim.traffic.rift.net import SIZES
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.kernels.layout import Paths

    Array = NDArray[np.float32]

EVERY = 0.5
"""s between two decisions."""
SAMPLES = round(EVERY / 0.1)
GROUPS = np.zeros(256, dtype=np.float32)
GROUPS[AgentKind.PEDESTRIAN], GROUPS[AgentKind.BICYCLE], GROUPS[AgentKind.STATIC] = 1, 2, 3
CANDIDATES = LINES * MODES


class Crowd(NamedTuple):
    """Everybody in W worlds: `states (H, W, A, 8)` in CROWD_COLUMNS, now and at decisions before; `body
    (W, A, 3)` length, width and group of the kind; `signals (W, S)` now."""

    states: Array
    body: Array
    signals: NDArray[np.uint8]


class Sight(NamedTuple):
    """What N vehicles see: the arrays of a scene, their reference lines `(N, LINES, LINE_WIDTH)`, the paths
    and rows of these, the rows of the nearest others `(N, K)`, and how hard who is ahead on each line brakes
    `(N, LINES)` in m/s^2."""

    scene: SceneArrays
    lines: Array
    lines_valid: NDArray[np.bool_]
    line_path: NDArray[np.int32]
    line_row: NDArray[np.int32]
    others: NDArray[np.int32]
    braking: Array


class Drawn(NamedTuple):
    """Candidates as poses `(N, C, T + 1, 4)`, along their lines `(N, C, T + 1, 3)`, and their PROBES and
    FEARS."""

    poses: Array
    along: Array
    probes: Array


@dataclass(slots=True, eq=False)
class Fleet:
    """N vehicles: `world` and `row` say who they are, `path` and `at` on what line they are and where.

    `states (N, 7)` at the rear axle, `own (N, 4)` length, width, rear axle to centre, wheelbase in m.
    """

    world: NDArray[np.int32]
    row: NDArray[np.int32]
    path: NDArray[np.int32]
    at: NDArray[np.int32]
    states: Array
    own: Array

    @classmethod
    def of(cls, world: Any, row: Any, path: Any, states: Any, own: Any) -> Fleet:
        """A fleet whose places on its lines are to be found."""
        count = len(world)
        return cls(
            np.ascontiguousarray(world, dtype=np.int32),
            np.ascontiguousarray(row, dtype=np.int32),
            np.ascontiguousarray(path, dtype=np.int32),
            np.full(count, -1, dtype=np.int32),
            np.ascontiguousarray(states, dtype=np.float32).reshape(count, 7),
            np.ascontiguousarray(own, dtype=np.float32).reshape(count, 4),
        )

    def __len__(self) -> int:
        return len(self.world)

    def take(self, which: NDArray[Any]) -> Fleet:
        """Some of them, as copies."""
        return Fleet(*(getattr(self, name)[which].copy() for name in self.__slots__))

    def look(self, crowd: Crowd, paths: Paths) -> Sight:
        """What they see now; finds their places on their lines."""
        n = len(self)
        arrays = [
            np.zeros((n, *shape), dtype=np.bool_ if is_mask(name) else np.float32)
            for name, shape in zip(SceneArrays._fields, scene_shapes(SIZES), strict=True)
        ]
        scene = SceneArrays(*arrays)
        lines = np.zeros((n, LINES, LINE_WIDTH), dtype=np.float32)
        valid = np.zeros((n, LINES), dtype=np.bool_)
        line_path, line_row = np.zeros((2, n, LINES), dtype=np.int32)
        others = np.full((n, SIZES.agents), -1, dtype=np.int32)
        braking = np.zeros((n, LINES), dtype=np.float32)
        sense(
            self.world, self.row, self.path, self.at, self.states, self.own, crowd.states, crowd.body,
            crowd.signals, paths.rows, paths.points, paths.start, paths.step, paths.stop, paths.give_way,
            paths.left, paths.right, 2, others, scene.ego, scene.agents, scene.agents_valid, scene.bodies,
            scene.lanes, scene.lane_info, scene.lanes_valid, scene.route, scene.route_valid, lines, valid,
            line_path, line_row, braking,
        )  # fmt: skip
        return Sight(scene, lines, valid, line_path, line_row, others, braking)

    def draw(self, sight: Sight, accelerations: Array, lengths: Array, crowd: Crowd, paths: Paths) -> Drawn:
        """The candidates of `accelerations (N, C, KNOTS)` and `lengths (N, C)`; the first mode of each line
        brakes harder where who is ahead demands it."""
        n = len(self)
        accelerations = accelerations.copy()
        plans.harden(sight.lines, sight.lines_valid, sight.braking, accelerations)
        poses = np.empty((n, CANDIDATES, HORIZON + 1, 4), dtype=np.float32)
        along = np.empty((n, CANDIDATES, HORIZON + 1, 3), dtype=np.float32)
        probes = np.zeros((n, CANDIDATES, len(PROBES) + len(FEARS)), dtype=np.float32)
        plans.draw(
            self.states, sight.lines_valid, sight.line_path, sight.line_row, accelerations, lengths,
            paths.rows, paths.start, paths.step, poses, along,
        )  # fmt: skip
        cast = np.empty((SIZES.agents, KNOTS, 5), dtype=np.float32)
        plans.probe(
            self.world, self.own, sight.lines, sight.lines_valid, sight.others, crowd.states, crowd.body,
            poses, along, accelerations, sight.braking, cast, probes,
        )  # fmt: skip
        return Drawn(poses, along, probes)

    def drive(self, poses: Array) -> Array:
        """Rear-axle states `(N, K, T + 1, 7)` of the tracker and bicycle on plans `(N, K, T + 1, >= 3)`."""
        n, k, t = poses.shape[:3]
        out = np.empty((n, k, t, 7), dtype=np.float32)
        bases = np.maximum(np.round(2.0 * self.own[:, 3]) / 2.0, 1.0)
        for base in np.unique(bases):
            mine = np.flatnonzero(bases == base)
            vehicle = VehicleParams(wheelbase=float(base))
            start = np.repeat(self.states[mine], k, 0)
            flat = np.ascontiguousarray(poses[mine, ..., :3].reshape(-1, t, 3))
            # Tracking knows no place: near the origin float32 has digits to spare.
            flat[..., :2] -= start[:, None, :2]
            begin = start.copy()
            begin[:, :2] = 0.0
            driven = rollout(vehicle, begin, flat, compat="fixed")
            driven[..., :2] += start[:, None, :2]
            out[mine] = driven.reshape(len(mine), k, t, 7)
        # Who brakes to a stop stands; the tracker would creep back.
        back = out[..., 3] < 0.0
        if back.any():
            out[..., 3] = np.maximum(out[..., 3], 0.0)
        return out

    def leaving(self, paths: Paths, leaves: Array) -> NDArray[np.bool_]:
        """Whose front is where its line leaves the map, `(N,)`; `leaves (P,)` as in `Lines`."""
        out = np.isfinite(leaves[self.path])
        if not out.any():
            return out
        p = np.maximum(self.path, 0)
        row = np.where(out, np.rint(np.where(out, leaves[p], 0.0) / paths.step[p]), 0).astype(np.int64)
        at = paths.rows[np.minimum(paths.start[p] + row, paths.start[p + 1] - 1)]
        dx, dy = self.states[:, 0] - at[:, 0], self.states[:, 1] - at[:, 1]
        front = self.own[:, 2] + 0.5 * self.own[:, 0]
        # A line may come near its end long before: beside it, and farther off than a few samples' way.
        near = (np.abs(dy * at[:, 2] - dx * at[:, 3]) < 5.0) & (np.hypot(dx, dy) < front + 12.0)
        return np.asarray(out & near & (dx * at[:, 2] + dy * at[:, 3] + front > 0.0))

    def follow(self, sight: Sight, choice: NDArray[Any]) -> None:
        """Make the line of the chosen candidates (N,) their own."""
        line = choice // MODES
        every = np.arange(len(self))
        self.path = np.where(sight.lines_valid[every, line], sight.line_path[every, line], self.path)
        self.at = np.where(sight.lines_valid[every, line], sight.line_row[every, line], self.at)


def crowd_states(centers: Any, present: Any) -> Array:
    """CROWD_COLUMNS `(..., 8)` from centres `(..., 5)` in TRACK_COLUMNS and who is present `(...)`."""
    c = np.asarray(centers)
    cos, sin = np.cos(c[..., 2]), np.sin(c[..., 2])
    out = np.stack(
        (c[..., 0], c[..., 1], cos, sin, c[..., 3] * cos + c[..., 4] * sin, c[..., 3], c[..., 4],
         np.asarray(present, dtype=np.float64)),
        -1,
    )  # fmt: skip
    return np.ascontiguousarray(np.where(np.asarray(present)[..., None], out, 0.0), dtype=np.float32)


def bodies_of(size: Any, kind: Any) -> Array:
    """`body (..., 3)` from sizes `(..., >= 2)` and kinds `(...)`."""
    s = np.asarray(size)
    return np.stack((s[..., 0], s[..., 1], GROUPS[np.asarray(kind)]), -1).astype(np.float32)


__all__ = ["CANDIDATES", "EVERY", "SAMPLES", "Crowd", "Drawn", "Fleet", "Sight", "bodies_of", "crowd_states"]
