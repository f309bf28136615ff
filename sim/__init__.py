"""The simulator: the closed loop, batches of worlds and of candidate motions, vehicles, trackers, traffic."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.sim.candidates import Scores, ScoreScene, Work, pdm_score, rollout, score
    from drive.sim.kernels.layout import Controller
    from drive.sim.loop import simulate
    from drive.sim.vector import VectorWorld
    from drive.sim.world import World, compile_world, step

_HOME = {
    **dict.fromkeys(
        ("ScoreScene", "Scores", "Work", "pdm_score", "rollout", "score"), "drive.sim.candidates"
    ),
    "Controller": "drive.sim.kernels.layout",
    "VectorWorld": "drive.sim.vector",
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


__all__ = [
    "Controller",
    "ScoreScene",
    "Scores",
    "VectorWorld",
    "Work",
    "World",
    "compile_world",
    "pdm_score",
    "rollout",
    "score",
    "simulate",
    "step",
]
