"""What the kernels are told of everybody around, for tests that call a kernel's part by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numba

from drive.sim.kernels.drivers import look_around
from drive.sim.kernels.follow import place_one_later
from drive.sim.kernels.survey import LATER, place_crowd
from drive.sim.world import World, scratch


def crowd_of(x: Any, y: Any, heading: Any, speed: Any, presence: Any, *size: Any) -> Any:
    """The crowd of agents given as rows `(1, A)`; `size` is length, width and rear-to-centre."""
    crowd = scratch(x.shape[1])[2]
    m = SimpleNamespace(x=x, y=y, heading=heading, speed=speed, presence=presence)
    g = SimpleNamespace(**dict(zip(("length", "width", "rear_to_center"), size, strict=True)))
    place_crowd(0, m, g, crowd, x.shape[1])
    return crowd


@numba.njit(error_model="numpy")  # no cache: this module has no name that a cache could find
def _placed(w, m, g, p, crowd, count):  # type: ignore[no-untyped-def]
    place_crowd(w, m, g, crowd, count)
    for j in range(count):
        place_one_later(w, j, LATER, m, g, p, crowd)


@numba.njit(error_model="numpy")
def _looked(w, i, path, station, m, g, p, crowd, flags, count, anticipate):  # type: ignore[no-untyped-def]
    return look_around(w, i, path, station, m, g, p, crowd, flags, count, anticipate)


def placed(world: World, w: int) -> tuple[Any, ...]:
    """Crowd and flags of a world."""
    crowd, flags = scratch(world.num_agents)[2:4]
    _placed(w, world.motion, world.agents, world.paths, crowd, world.num_agents)
    return crowd, flags


def looked(world: World, w: int, i: int, around: tuple[Any, ...]) -> tuple[Any, ...]:
    """(leader, gap, speed, gap to who has to go first, speed) of an agent on its own path."""
    m = world.motion
    return tuple(
        _looked(
            w, i, int(m.path[w, i]), m.station[w, i], m, world.agents, world.paths, *around,
            world.num_agents, world.anticipate,
        )
    )  # fmt: skip
