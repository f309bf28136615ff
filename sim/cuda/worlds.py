"""A batch of worlds that lives on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import SimulationError
from drive.sim.cuda.device import borrowed, download_all, gpu, on_device, upload_all
from drive.sim.world import checked_wish

SIZES = (32, 64, 128, 256, 512, 768)
"""Agents for which shared memory is laid out; a world takes the first that holds it."""
MOST_THREADS = 128
"""Threads of a block; in worlds of more agents each has several."""

if TYPE_CHECKING:
    from drive.sim.cuda.device import DeviceArray
    from drive.sim.kernels.layout import Agents, Motion, Paths
    from drive.sim.world import World


@dataclass(frozen=True, eq=False)
class DeviceWorld:
    """W worlds with up to A agents each on the device, at one moment.

    `motion`, `agents` and `paths` hold the arrays of `drive.sim.kernels.layout`; `motion` changes in
    place. `world` is what was uploaded.
    """

    world: World
    motion: Motion
    agents: Agents
    paths: Paths
    nothing: tuple[DeviceArray, DeviceArray]
    given: tuple[DeviceArray, DeviceArray]

    def step(self, control: Any = None, pose: Any = None, steps: int = 1) -> None:
        """Advance all worlds by `steps` steps of their `dt`, without waiting until the device is done.

        `control (W, A, 2)` and `pose (W, A, 5)` as in `drive.sim.step`: NumPy arrays, which are checked and
        copied, or float32 arrays on the device, whose values are taken as they are (looking for NaN would
        have to wait for the device).

        Raises SimulationError or InputError on arrays that do not fit.
        """
        from drive.sim.kernels.cuda_step import step_kernel

        count = self.world.num_agents
        if steps < 0:
            raise SimulationError(f"steps must be 0 or more, got {steps}")
        wishes = (self._wish(control, 0, 2, "control"), self._wish(pose, 1, 5, "pose"))
        threads = min(-(-count // 32) * 32, MOST_THREADS)
        step_kernel(size_for(count))[self.world.num_worlds, threads](
            self.motion, self.agents, self.paths, *wishes, np.float32(self.world.dt), steps,
            bool(self.world.anticipate),
        )  # fmt: skip

    def to_host(self) -> World:
        """The worlds as they are now, in main memory; waits until the device is done."""
        return replace(self.world, motion=download_all(self.motion))

    def _wish(self, values: Any, place: int, columns: int, name: str) -> DeviceArray:
        shape = (self.world.num_worlds, self.world.num_agents, columns)
        if values is None:
            return self.nothing[place]
        if on_device(values):
            return borrowed(values, name, (np.float32,), shape)
        self.given[place].copy_to_device(checked_wish(values, shape, name))
        return self.given[place]


def upload(world: World) -> DeviceWorld:
    """A copy of the worlds on the GPU.

    Raises MissingExtraError without the extra `cuda`, InputError without a GPU, SimulationError on worlds
    of too many agents.
    """
    cuda = gpu()
    size_for(world.num_agents)
    shapes = [(world.num_worlds, world.num_agents, n) for n in (2, 5)]
    zeros = tuple(np.zeros(shape, dtype=np.float32) for shape in shapes)
    return DeviceWorld(
        world,
        upload_all(world.motion),
        upload_all(world.agents),
        upload_all(world.paths),
        (cuda.to_device(zeros[0]), cuda.to_device(zeros[1])),
        (cuda.device_array_like(zeros[0]), cuda.device_array_like(zeros[1])),
    )


def size_for(count: int) -> int:
    """For how many agents the kernel is compiled that serves worlds of `count`."""
    for size in SIZES:
        if count <= size:
            return size
    raise SimulationError(
        f"a GPU steps worlds of up to {SIZES[-1]} agents, got {count}; drive.sim.step has no limit"
    )
