"""The simulator: kernels, vehicle models, trackers, traffic and the closed loop."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.sim.kernels.layout import Controller
    from drive.sim.loop import simulate
    from drive.sim.world import World, compile_world, step

_HOME = {
    "Controller": "drive.sim.kernels.layout",
    "World": "drive.sim.world",
    "compile_world": "drive.sim.world",
    "simulate": "drive.sim.loop",
    "step": "drive.sim.world",
}


def __getattr__(name: str) -> object:
    # Loaded on use: whoever needs one kernel does not pay for all of them.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'drive.sim' has no attribute '{name}'")


__all__ = ["Controller", "World", "compile_world", "simulate", "step"]
