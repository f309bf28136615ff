"""What a call hands on to the next: the duals, which say how hard each constraint pushes, moved on in time.

Branches find theirs again by the hypothesis, obstacles by the road user and the disc; who is new begins
without. Positions are not kept: drives give better ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from drive.planners.cpto.kernels.admm import Iterate

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The duals of a call at `time`: `dual (Z, 3, 2, N)` of the branches with `keys`, `press (Z, P, N)` of
    the pairs `(id, disc)`. They hold on one `path`: a frame and a lateral option."""

    time: float
    path: Hashable
    keys: Sequence[Hashable]
    pairs: Sequence[tuple[int, int]]
    dual: Floats
    press: Floats


def warm(
    it: Iterate,
    memory: Memory | None,
    time: float,
    dt: float,
    path: Hashable,
    keys: Sequence[Hashable],
    pairs: Sequence[tuple[int, int]],
) -> bool:
    """Put the duals that are remembered into an iterate whose slacks are not made yet; whether there are any.

    Steps of `dt` s; what lies beyond the last horizon begins without.
    """
    if memory is None or memory.path != path:
        return False
    late = (time - memory.time) / dt
    k, steps = round(late), it.psi.shape[1]
    if abs(late - k) > 1e-3 or not 0 <= k < steps // 2:
        return False
    known = {key: y for y, key in enumerate(memory.keys)}
    met = {pair: q for q, pair in enumerate(memory.pairs)}
    same = [(p, met[pair]) for p, pair in enumerate(pairs) if pair in met]
    now, before = np.array(same, dtype=np.intp).reshape(-1, 2).T
    found = False
    for z, key in enumerate(keys):
        y = known.get(key, -1)
        if y >= 0:
            found = True
            it.dual[z, :, :, : steps - k] = memory.dual[y, :, :, k:]
            it.press[z, now, : steps - k] = memory.press[y, before, k:]
    return found
