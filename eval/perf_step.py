"""The parts of the batch step, each timed alone over a batch of busy roads."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.eval.perf import Row
from drive.eval.perf_scenes import CROWD, batch_world
from drive.sim.kernels import step_parts
from drive.sim.kernels.layout import copy_motion
from drive.sim.kernels.scalar import F
from drive.sim.world import scratch, step

if TYPE_CHECKING:
    from drive.sim.world import World

INSTANT = 1e-6
"""s by which the part `move` advances, so that it finds the same roads at every call."""


PARTS = {
    "places": ("places", "boxes of everybody now and in up to 3 s; the parts below are beside this one"),
    "decision": ("decisions", "leader search, IDM, stop lines, who goes first"),
    "steering": ("steering", "projection on the lane and steering along it"),
    "move": ("moves", "bicycle"),
    "collision": ("collisions", "collisions of all pairs"),
}
"""The kernel of `step_parts` that is each part, and what it does."""


def part_rows(worlds: int) -> list[Row]:
    """The parts of a step, one step a visit."""
    return [
        Row(
            f"step/{name}", "agent-step", lambda name=name: part(name, worlds),  # type: ignore[misc]
            float(worlds * CROWD), about, minus="" if name == "places" else "step/places",
        )
        for name, (_, about) in PARTS.items()
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _settled(worlds: int) -> World:
    """Busy roads on which everybody has found a leader."""
    return step(batch_world(worlds), steps=10)


def part(name: str, worlds: int) -> Callable[[], Any]:
    """Work: one part of PARTS for every agent of a batch."""
    world = _settled(worlds)
    m, shape = copy_motion(world.motion), world.motion.x.shape
    control, pose = (np.zeros((*shape, n), dtype=np.float32) for n in (2, 5))
    dt = F(INSTANT if name == "move" else world.dt)
    kernel = getattr(step_parts, PARTS[name][0])
    return lambda: kernel(m, world.agents, world.paths, control, pose, *scratch(shape[1]), dt)
