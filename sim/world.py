"""A batch of scenarios compiled to flat arrays, and its stateless step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import ScenarioError, SimulationError
from drive.sim.kernels.checks import first_lost
from drive.sim.kernels.layout import (
    GONE,
    PRESENT,
    Agents,
    Controller,
    Motion,
    Paths,
    copy_motion,
    empty_motion,
)
from drive.sim.kernels.passes import ID_ROWS, OWN_ROWS
from drive.sim.kernels.step import step_kernel
from drive.sim.kernels.survey import CROWD_ROWS, PAD
from drive.sim.traffic.paths import concatenate_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.sim.traffic.compile import Cast

    Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class World:
    """W scenarios with up to A agents each (padded with absent ones), at one moment.

    `motion` is what a step replaces, the rest is shared by all steps. Deterministic: one world alone
    and the same world in a batch go through the same arithmetic.
    """

    dt: float
    anticipate: bool
    motion: Motion
    agents: Agents
    paths: Paths

    @property
    def num_worlds(self) -> int:
        return int(self.motion.x.shape[0])

    @property
    def num_agents(self) -> int:
        return int(self.motion.x.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Who is there now, `(W, A)`."""
        return np.asarray(self.motion.presence == PRESENT)

    def centers(self) -> NDArray[np.float64]:
        """States `(W, A, 5)` at the box centres in `drive.scenario.TRACK_COLUMNS`; zeros for the absent."""
        m = self.motion
        r = self.agents.rear_to_center
        h = m.heading.astype(np.float64)
        out = np.stack((m.x + r * np.cos(h), m.y + r * np.sin(h), h, m.vx, m.vy), axis=-1)
        return np.where(self.present[..., None], out, 0.0)


def compile_world(casts: Sequence[Cast], dt: float, anticipate: bool = True) -> World:
    """Pad and stack the casts of W scenarios; all must share one time step `dt`."""
    if not casts:
        raise ScenarioError("a world needs at least one scenario")
    if not (np.isfinite(dt) and dt > 0.0):
        raise ScenarioError(f"a world's dt must be positive, got {dt}")
    count = max(len(c.controller) for c in casts)
    samples = max(c.log.shape[1] for c in casts)
    lights = max(1, max(c.signals.shape[0] for c in casts))
    w = len(casts)
    log = np.zeros((w, count, samples, 6), dtype=np.float32)
    log_valid = np.zeros((w, count, samples), dtype=np.uint8)
    signals = np.zeros((w, lights, samples), dtype=np.uint8)
    driver = np.ones((w, count, 7), dtype=np.float32)
    flat = {
        name: np.full((w, count), fill, dtype=np.float32)
        for name, fill in (
            ("length", 1.0),
            ("width", 1.0),
            ("rear_to_center", 0.0),
            ("wheelbase", 1.0),
            ("stop_station", np.nan),
            ("stop_until", 0.0),
        )
    }
    controller = np.zeros((w, count), dtype=np.uint8)
    motion = empty_motion(w, count)
    # Worlds of one cast share its paths: a thousand of them need no thousand copies.
    different = list({id(c.paths): c.paths for c in casts}.values())
    ends = np.cumsum([len(p.step) for p in different])
    shifts = {id(p): int(n) - len(p.step) for p, n in zip(different, ends, strict=True)}
    for i, c in enumerate(casts):
        a, t = c.log.shape[:2]
        log[i, :a, :t], log_valid[i, :a, :t] = c.log, c.log_valid
        signals[i, : c.signals.shape[0], : c.signals.shape[1]] = c.signals
        driver[i, :a], controller[i, :a] = c.driver, c.controller
        for name, array in flat.items():
            array[i, :a] = getattr(c, name)
        first = c.log[:, 0]
        there = c.log_valid[:, 0] == 1
        m = motion
        m.presence[i, :a] = there
        for k, name in enumerate(("x", "y", "heading", "speed", "vx", "vy")):
            getattr(m, name)[i, :a] = np.where(there, first[:, k], 0.0)
        m.path[i, :a] = np.where(c.path >= 0, c.path + shifts[id(c.paths)], -1)
        m.station[i, :a], m.offset[i, :a] = c.station, c.offset
        m.steering[i, :a] = c.steering
    agents = Agents(
        controller=controller, log=log, log_valid=log_valid, driver=driver, signals=signals, **flat
    )
    return World(dt, anticipate, motion, agents, concatenate_paths(different))


def step(
    world: World,
    control: Floats | None = None,
    pose: Floats | None = None,
    steps: int = 1,
    out: World | None = None,
    threads: int = 1,
) -> World:
    """The world `steps` steps later; `world` itself is left as it was unless it is `out`.

    `control (W, A, 2)`: acceleration in m/s^2 and steering rate in rad/s of agents under CONTROL;
    `pose (W, A, 5)`: rear-axle x, y, heading, speed and yaw rate after the step of agents under
    TRAJECTORY. With `out` its arrays are written over, so that a loop allocates nothing.

    Raises SimulationError on arrays of the wrong shape or with values that are not finite, an agent's state
    among them, and on less than 0 steps or 1 thread.
    """
    shape = (world.num_worlds, world.num_agents)
    if steps < 0 or steps != int(steps) or threads < 1:
        raise SimulationError(
            f"a step needs 0 steps or more and a thread, got {steps} steps, {threads} threads"
        )
    _check_motion(world.motion, "world", shape)
    if out is not None and out is not world:
        _check_motion(out.motion, "out", shape)
    m = world.motion
    lost = int(first_lost(m.x, m.y, m.heading, m.speed, m.steering, m.presence))
    if lost >= 0:
        raise SimulationError(
            f"agent {lost % shape[1]} of world {lost // shape[1]} has a state that is not finite"
        )
    motion = (
        copy_motion(world.motion, out.motion if out is not None else None)
        if out is not world
        else world.motion
    )
    ctl = checked_wish(control, (*shape, 2), "control")
    target = checked_wish(pose, (*shape, 5), "pose")
    fixed = (np.float32(world.dt), int(steps), world.anticipate)

    def visit(first: int, last: int) -> None:
        step_kernel(motion, world.agents, world.paths, ctl, target, *scratch(shape[1]), *fixed, first, last)

    if threads == 1 or shape[0] < 2 * threads:
        visit(0, shape[0])
    else:
        bounds = np.linspace(0, shape[0], threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(visit, bounds[:-1], bounds[1:]))
    return replace(world, motion=motion)


_LIKE = empty_motion(0, 0)
_KINDS = [(name, array.dtype, array.ndim) for name, array in zip(Motion._fields, _LIKE, strict=True)]


def _check_motion(motion: Motion, name: str, shape: tuple[int, int]) -> None:
    """Kernels read and write these arrays by the shape of one of them."""
    for array, (field, dtype, ndim) in zip(motion, _KINDS, strict=True):
        if array.shape != shape[:ndim] or array.dtype != dtype or not array.flags.c_contiguous:
            raise SimulationError(
                f"{name}.motion.{field} must be {dtype} of shape {shape[:ndim]} in C order, got "
                f"{array.dtype} of {array.shape}"
            )


def scratch(count: int) -> tuple[NDArray[Any], ...]:
    """What one thread needs for worlds of `count` agents, as `step_kernel` names it."""
    padded = PAD * -(-count // PAD)
    return (
        np.zeros((4, count), dtype=np.float32),
        np.zeros(count, dtype=np.int32),
        np.zeros((CROWD_ROWS, padded), dtype=np.float32),
        np.zeros(padded, dtype=np.uint8),
        np.zeros((OWN_ROWS, padded), dtype=np.float32),
        np.zeros((ID_ROWS, padded), dtype=np.int32),
    )


def checked_wish(values: Floats | None, shape: tuple[int, ...], name: str) -> NDArray[np.float32]:
    """Controls or poses for a step as kernels take them, zeros for None; SimulationError where unfit."""
    if values is None:
        return np.zeros(shape, dtype=np.float32)
    try:
        with np.errstate(over="ignore"):
            a = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SimulationError(f"{name} must be an array of numbers, of shape {shape}") from error
    if a.shape != shape:
        raise SimulationError(f"{name} must have the shape {shape}, got {a.shape}")
    if not np.isfinite(a).all():
        raise SimulationError(f"{name} holds values that are not finite")
    return a


__all__ = ["GONE", "PRESENT", "Controller", "World", "compile_world", "step"]
