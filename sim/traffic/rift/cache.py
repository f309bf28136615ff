"""What the head learns from in closed loop: the states that the policy visits, all candidates' worth in them.

Features, logits and returns are stored once; every objective learns from the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.sim.traffic.rift.fleet import SAMPLES
from drive.sim.traffic.rift.kernels import plans
from drive.sim.traffic.rift.kernels.base import HORIZON, MODES
from drive.sim.traffic.rift.net import SIZES
from drive.sim.traffic.rift.policy import Decision, Driver, drive_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.sim.kernels.areas import Areas
    from drive.sim.traffic.rift.fleet import Crowd, Fleet
    from drive.sim.traffic.rift.style import Style
    from drive.sim.traffic.rift.worlds import Worlds

    Array = NDArray[np.float32]

SPARSE = 15.0
"""What a collision and leaving the road cost in the sparse reward of RS and RTR."""


class Cache(NamedTuple):
    """S states of C candidates: `features (S, C, F)`, `valid (S, C)`, `logits (S, C)` when they were visited,
    `returns (S, C)` of the style, `sparse (S, C)`, `wish (S, C)` -|teacher's mean speed - candidate's| in
    m/s, the `teacher (S,)`'s candidate, and the `pace (S, C)` of `plans.OUTCOMES`."""

    features: Array
    valid: NDArray[np.bool_]
    logits: Array
    returns: Array
    sparse: Array
    wish: Array
    teacher: NDArray[np.int64]
    pace: Array

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What becomes of all candidates of N vehicles: `returns (N, C)`, `outcome (N, C, 4)`, driven `states
    (N, C, T + 1, 7)`."""

    returns: Array
    outcome: Array
    states: Array


def joined(parts: Sequence[Cache]) -> Cache:
    """The states of several caches as one."""
    return Cache(*(np.concatenate(a) for a in zip(*parts, strict=True)))


def worth(fleet: Fleet, decision: Decision, crowd: Crowd, areas: Areas, style: Style) -> Worth:
    """Drive all candidates by the tracker and judge them by a style, others at constant control."""
    poses = decision.drawn.poses
    states = fleet.drive(poses)
    returns = np.zeros(poses.shape[:2], dtype=np.float32)
    outcome = np.zeros((*poses.shape[:2], len(plans.OUTCOMES)), dtype=np.float32)
    cast = np.empty((SIZES.agents, HORIZON, 5), dtype=np.float32)
    s = decision.sight
    plans.reward(
        fleet.world, fleet.own, s.lines, s.lines_valid, s.others, crowd.states, crowd.body, states,
        decision.drawn.along, areas, style.weights(), cast, returns, outcome,
    )  # fmt: skip
    return Worth(returns, outcome, states)


def teacher_speed(lines: Array) -> Array:
    """Mean speed in m/s over the next 4 s of the intelligent driver on lines `(N, LINE_WIDTH)`, `(N,)`.

    It follows who is ahead, at that one's speed, and stops at closed signals and the line's end.
    """
    facts = lines[:, -16:].astype(np.float64)
    v, gap, lead = facts[:, 13], facts[:, 5].copy(), facts[:, 6]
    has = facts[:, 7] > 0.5
    stop = np.minimum(facts[:, 2], facts[:, 3])
    halts = stop < 99.0
    target = np.maximum(np.minimum(facts[:, 12], facts[:, 11]), 1.0)
    s = np.zeros(len(v))
    for _ in range(HORIZON):
        free = 1.5 * (1.0 - (v / target) ** 4)
        a = free
        for d, u, there in ((gap, lead, has), (stop - s, np.zeros_like(v), halts)):
            wanted = 2.0 + np.maximum(1.5 * v + v * (v - u) / (2.0 * np.sqrt(1.5 * 2.0)), 0.0)
            a = np.minimum(a, np.where(there, free - 1.5 * (wanted / np.maximum(d, 0.5)) ** 2, free))
        after = np.maximum(v + 0.1 * np.clip(a, -6.0, 1.5), 0.0)
        move = 0.05 * (v + after)
        s, gap, v = s + move, gap + 0.1 * lead - move, after
    return np.asarray(s / (0.1 * HORIZON), dtype=np.float32)


def taught(decision: Decision, states: Array) -> tuple[Array, NDArray[np.int64]]:
    """`wish (N, C)` and the teacher's candidates `(N,)`, on each vehicle's most probable line."""
    every = np.arange(len(states))
    line = decision.logits.argmax(1) // MODES
    goal = teacher_speed(decision.sight.lines[every, line])
    far = np.hypot(*np.moveaxis(np.diff(states[..., :2], axis=2), -1, 0)).sum(-1) / (0.1 * HORIZON)
    miss = np.abs(far - goal[:, None])
    mine = np.arange(miss.shape[1])[None] // MODES == line[:, None]
    return -miss.astype(np.float32), np.where(mine, miss, np.inf).argmin(1)


def collect(
    net: object, worlds: Worlds, style: Style, rng: np.random.Generator, states: int = 4096
) -> tuple[Cache, dict[str, float]]:
    """Drive the worlds once by the network's most probable candidates; about `states` visited states, of
    vehicles drawn by `rng`, and how the drive went."""
    driver, fleet = Driver(net), worlds.fleet
    total = max(worlds.steps // SAMPLES, 1)
    share = min(states / (total * len(fleet)), 1.0)
    watched = rng.random(len(fleet)) < share
    if not watched.any():
        watched[rng.integers(len(fleet))] = True
    parts: list[tuple[NDArray[np.generic], ...]] = []

    def choose(f: Fleet, crowd: Crowd, paths: object, number: int) -> Array:
        decision = driver.decide(f, crowd, worlds.paths)
        which = np.flatnonzero(watched & worlds.alive)
        if len(which):
            some, part = f.take(which), _taken(decision, which)
            w = worth(some, part, crowd, worlds.areas, style)
            wish, teacher = taught(part, w.states)
            sparse = -SPARSE * (w.outcome[..., 0] + (w.outcome[..., 1] > 0.0))
            parts.append((
                part.features, np.repeat(part.sight.lines_valid, MODES, 1), part.logits, w.returns, sparse,
                wish, teacher, w.outcome[..., 3],
            ))  # fmt: skip
        return drive_on(f, decision)

    worlds.run(choose)
    if not parts:
        raise InputError("nothing was collected: all vehicles of these scenarios crash at once")
    cache = Cache(*(np.concatenate(a) for a in zip(*parts, strict=True)))
    return cache, {"crashed": float(worlds.crashed.mean())}


def _taken(decision: Decision, which: NDArray[np.intp]) -> Decision:
    s, d = decision.sight, decision.drawn
    rest: Any = tuple(a[which] for a in s[1:])
    sight = type(s)(type(s.scene)(*(a[which] for a in s.scene)), *rest)
    return Decision(
        sight, type(d)(*(a[which] for a in d)), decision.features[which], decision.logits[which],
        decision.choice[which],
    )  # fmt: skip


__all__ = ["SPARSE", "Cache", "Worth", "collect", "joined", "taught", "teacher_speed", "worth"]
