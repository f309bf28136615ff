"""The three batch primitives on a GPU (extra `cuda`): worlds, roll-out and score that stay on the device.

`drive.sim` has the same on the CPU; the rules are one source for both. Arrays on the device have
`__cuda_array_interface__`: torch.as_tensor(array, device="cuda") shares their memory, and every function
takes such arrays, torch's too, without copying.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.sim.cuda.candidates import DeviceScores, DeviceWork, rollout, score
    from drive.sim.cuda.scenes import DeviceScenes, upload_scenes
    from drive.sim.cuda.worlds import DeviceWorld, upload

_HOME = {
    **dict.fromkeys(("DeviceScores", "DeviceWork", "rollout", "score"), "drive.sim.cuda.candidates"),
    **dict.fromkeys(("DeviceScenes", "upload_scenes"), "drive.sim.cuda.scenes"),
    **dict.fromkeys(("DeviceWorld", "upload"), "drive.sim.cuda.worlds"),
}


def __getattr__(name: str) -> object:
    # Loaded on use, after a look whether there is a GPU: importing this must not need one.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'drive.sim.cuda' has no attribute '{name}'")


__all__ = [
    "DeviceScenes",
    "DeviceScores",
    "DeviceWork",
    "DeviceWorld",
    "rollout",
    "score",
    "upload",
    "upload_scenes",
]
