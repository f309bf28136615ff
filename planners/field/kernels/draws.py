"""Random numbers by counting: the same (seed, cycle, place) gives the same number, whoever asks and when.

The mixing is that of SplitMix64 (Steele, Lea, Flood 2014); no state is kept, so no order of evaluation and
no number of threads can change what is drawn.
"""

from __future__ import annotations

import math

import numpy as np

from drive.sim.kernels.compile import scalar

U = np.uint64
GOLDEN, MIX_A, MIX_B = U(0x9E3779B97F4A7C15), U(0xBF58476D1CE4E5B9), U(0x94D049BB133111EB)
S30, S27, S31, S11 = U(30), U(27), U(31), U(11)
TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@scalar
def mixed(z):
    """A 64-bit word, well mixed."""
    z = (z ^ (z >> S30)) * MIX_A
    z = (z ^ (z >> S27)) * MIX_B
    return z ^ (z >> S31)


@scalar
def uniform(key, counter):
    """A number in [0, 1) of a key (uint64) and a counter (int)."""
    return float(mixed(key + GOLDEN * U(counter + 1)) >> S11) * TO_UNIT


@scalar
def normal(key, counter):
    """A standard normal number of the counters 2n and 2n + 1 (Box, Muller)."""
    a, b = uniform(key, 2 * counter), uniform(key, 2 * counter + 1)
    return math.sqrt(-2.0 * math.log(1.0 - a)) * math.cos(2.0 * math.pi * b)
