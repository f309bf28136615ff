"""Whether arrays hold what kernels may be given."""

from __future__ import annotations

import numpy as np

from drive.sim.kernels.compile import kernel
from drive.sim.kernels.layout import PRESENT

INFINITE = np.float32(np.inf)


@kernel
def first_lost(x, y, heading, speed, steering, presence):
    """Number `w A + i` of the first agent that is there with a state `(W, A)` that is not finite, or -1."""
    for w in range(x.shape[0]):
        for i in range(x.shape[1]):
            size = abs(x[w, i]) + abs(y[w, i]) + abs(heading[w, i]) + abs(speed[w, i]) + abs(steering[w, i])
            if presence[w, i] == PRESENT and not size < INFINITE:
                return w * x.shape[1] + i
    return -1


@kernel
def first_bad(values, limit):
    """Row of `values (N, M)` with the first value that is not smaller than `limit` in size (NaN too), or -1.

    Counts first, without branches, so that the usual answer comes at the speed of the memory.
    """
    for i in range(values.shape[0]):
        count = 0
        for k in range(values.shape[1]):
            count += 0 if abs(values[i, k]) < limit else 1
        if count != 0:
            return i
    return -1
