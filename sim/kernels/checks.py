"""Whether arrays hold what kernels may be given."""

from __future__ import annotations

from drive.sim.kernels.compile import kernel


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
