"""Clips as the patches that Qwen2.5-VL's vision tower reads.

The layout is that of the library's image processor (`Qwen2VLImageProcessor`), whose twin for videos needs
torchvision; the tests hold this one equal to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATCH, MERGE, TEMPORAL = 14, 2, 2
SIDE = PATCH * MERGE
# Mean and deviation of CLIP's pictures, with which the tower was trained.
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)

# As the library has it, to the bit: scaled in float64, normalised in float32.
_SCALED = ((np.arange(256.0)[:, None] * (1.0 / 255.0)).astype(np.float32) - MEAN) / STD
"""Of each value of a pixel, by colour `(256, 3)`."""


def grid_of(frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Patches of a clip in time, down and across. Raises InputError for sizes that do not divide."""
    if frames < TEMPORAL or frames % TEMPORAL or min(height, width) < SIDE or height % SIDE or width % SIDE:
        raise InputError(
            f"a clip has an even number of frames, its sides are multiples of {SIDE} pixels: "
            f"not {frames} frames of {width} x {height}"
        )
    return frames // TEMPORAL, height // PATCH, width // PATCH


def vision_tokens(grid: tuple[int, int, int]) -> int:
    """How many tokens of the language model a clip becomes."""
    return grid[0] * grid[1] * grid[2] // MERGE**2


def pack_clips(clips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Patches `(C * t * h * w, 1176)` and grids `(C, 3)` of clips `(C, frames, height, width, 3)`."""
    count, frames, height, width, channels = clips.shape
    if channels != 3:
        raise InputError(f"a clip's pictures are red, green, blue, not of {channels} channels")
    t, h, w = grid_of(frames, height, width)
    scaled = _SCALED[clips, np.arange(3)]
    x = scaled.reshape(count, t, TEMPORAL, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH, 3)
    x = x.transpose(0, 1, 3, 6, 4, 7, 9, 2, 5, 8)  # clip, t, h', w', h2, w2, colour, tp, ph, pw
    packed: NDArray[Any] = np.ascontiguousarray(x.reshape(count * t * h * w, 3 * TEMPORAL * PATCH * PATCH))
    return packed, np.tile(np.array([[t, h, w]], dtype=np.int64), (count, 1))


__all__ = ["MERGE", "PATCH", "SIDE", "TEMPORAL", "grid_of", "pack_clips", "vision_tokens"]
