"""Where the ego was: its past poses, seen from where it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.scene import SceneSizes

    Floats = NDArray[np.float64]


def past_rows(known: int, sizes: SceneSizes, dt: float) -> NDArray[np.int64]:
    """The rows `(history,)` of a history of `known` samples every `dt` s that a scene's moments are, oldest
    first, the last is now; what is older than the history is its first row."""
    back = np.rint(np.arange(sizes.history - 1, -1, -1) * sizes.history_dt / dt).astype(np.int64)
    rows: NDArray[np.int64] = np.maximum(known - 1 - back, 0)
    return rows


def past_poses(history: Floats, sizes: SceneSizes, dt: float) -> NDArray[np.float32]:
    """Poses `(history - 1, 3)` of the ego before now, oldest first, in the ego's frame, of its states
    `history (N, >= 3)`, the last one now; before the first one known it is taken to have stood there."""
    rows = past_rows(len(history), sizes, dt)[:-1]
    found = to_frame(np.asarray(history, dtype=np.float64)[rows, :3], history[-1, :3])
    return np.asarray(found, dtype=np.float32)
