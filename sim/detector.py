"""What a sensor with faults makes of whom a driven agent sees: noise, dropped detections, belief.

Random numbers are a hash of (seed, observer, agent, counter), not a stream: they depend on neither who else
is there nor the order of calls. Whether an agent exists is estimated by a Bayes filter with a detection
probability of `DETECTED` and one of `CLUTTER` for a detection of nobody, in each `TICK` of time: it begins at
even odds, rises with each detection up to `MOST`, falls with each miss, and is 0 once it is below `LEAST`.
Who is hidden by others is missed as well: the filter knows nothing of lines of sight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.detection import Detection

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Words = NDArray[np.uint64]

SPELL = 0.5
"""Seconds that a dropped detection lasts."""
TICK = 0.1
"""Seconds for which `DETECTED` and `CLUTTER` are meant; other steps count by their share of it."""
DETECTED, CLUTTER = 0.7, 0.2
MOST, LEAST = 0.99, 0.05
_ALONG, _ACROSS, _VX, _VY, _PHASE, _FLICKERS, _LOST, _FADED = range(8)


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """The measurements of one driven agent over all N samples and A tracks, written as time goes.

    `noise (N, A, 4)` of x, y in m and vx, vy in m/s; `covariance (N, A, 3, 3)` of x, y, heading as of an
    agent's latest detection; `existence (N, A)`.
    """

    setting: Detection
    seed: int
    row: int
    dt: float
    noise: Floats
    covariance: Floats
    existence: Floats

    @classmethod
    def of(cls, setting: Detection, seed: int, row: int, dt: float, samples: int, agents: int) -> Detector:
        """The sensor of the track `row` in a run with this seed."""
        return cls(
            setting,
            seed,
            row,
            dt,
            np.zeros((samples, agents, 4)),
            np.zeros((samples, agents, 3, 3)),
            np.zeros((samples, agents)),
        )

    def detect(self, sample: int, centers: Floats, seen: Bools) -> Bools:
        """Who of those `seen (A,)` at `centers (A, 5)` is detected at a sample; due in their order."""
        s = self.setting
        who = np.arange(len(seen), dtype=np.uint64)
        gap = np.hypot(*(centers[:, :2] - centers[self.row, :2]).T)
        scale = np.clip((gap - s.near) / (s.far - s.near), 0.0, 1.0)
        found = seen & ~self._lost(sample, who, scale)
        c, h = math.cos(centers[self.row, 2]), math.sin(centers[self.row, 2])
        now = np.uint64(sample)
        along, across = (s.position[k] * self._normal(who, k, now) for k in (_ALONG, _ACROSS))
        self.noise[sample, :, 0] = scale * (c * along - h * across)
        self.noise[sample, :, 1] = scale * (h * along + c * across)
        for k in (_VX, _VY):
            self.noise[sample, :, k] = scale * s.speed * self._normal(who, k, now)
        turn = np.array([[c, -h], [h, c]])
        now_known = np.square(scale)[:, None, None] * (turn @ np.diag(np.square(s.position)) @ turn.T)
        known = self.covariance[sample]
        known[:] = self.covariance[max(sample - 1, 0)]
        known[found, :2, :2] = now_known[found]
        self._believe(sample, found)
        return found

    def _lost(self, sample: int, who: Words, scale: Floats) -> Bools:
        """Whose detection drops out: in every second spell of its own, or not at all in it."""
        s, spell = self.setting, max(round(SPELL / self.dt), 1)
        zero = np.uint64(0)
        # So that not all drop out at once.
        phase = (self._even(who, _PHASE, zero) * 2 * spell).astype(np.int64)
        turn = (sample + phase) // spell
        spells = turn.astype(np.uint64)
        flickers = (self._even(who, _FLICKERS, zero) < s.share) & (self._even(who, _LOST, spells) < s.flicker)
        fades = self._even(who, _FADED, spells) < s.fade * scale
        return np.asarray((turn % 2 == 1) & (flickers | fades))

    def _believe(self, sample: int, found: Bools) -> None:
        before = self.existence[sample - 1] if sample else np.zeros(len(found))
        met = before > 0.0
        p = np.where(met, before, 0.5)
        share = self.dt / TICK
        evidence = np.where(
            found, (DETECTED / CLUTTER) ** share, ((1.0 - DETECTED) / (1.0 - CLUTTER)) ** share
        )
        odds = p / (1.0 - p) * evidence
        now = np.minimum(odds / (1.0 + odds), MOST)
        self.existence[sample] = np.where((met | found) & (now >= LEAST), now, 0.0)

    def _even(self, who: Words, use: int, count: Words | np.uint64) -> Floats:
        """Numbers in [0, 1), one an agent."""
        return np.asarray((self._hash(who, use, count) >> np.uint64(11)) * 2.0**-53)

    def _normal(self, who: Words, use: int, count: np.uint64) -> Floats:
        """Standard normal numbers, one an agent (Box and Muller's transform)."""
        radius = np.sqrt(-2.0 * np.log1p(-self._even(who, use, count)))
        return np.asarray(radius * np.cos(2.0 * np.pi * self._even(who, use + 16, count)))

    def _hash(self, who: Words, use: int, count: Words | np.uint64) -> Words:
        key = _mixed(np.full(1, self.seed % 2**64, dtype=np.uint64))
        for word in (np.uint64(self.row), who, np.uint64(use), count):
            key = _mixed(key ^ _mixed(np.atleast_1d(word)))
        return key


def _mixed(x: Words) -> Words:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014) after one step of its counter."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
