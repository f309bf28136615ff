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
_NOISE, _LOST, _FADED, _PHASE, _FLICKERS = slice(0, 8), 8, 9, 10, 11
"""What a number is drawn for: four normal ones of two each, spells, and what an agent keeps all the time."""
_USES = 12


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """The measurements of one driven agent over all N samples and A tracks, written as time goes.

    `noise (N, A, 4)` of x, y in m and vx, vy in m/s; `covariance (N, A, 3, 3)` of x, y, heading as of an
    agent's latest detection; `existence (N, A)`. `keys (12, A)` are those of an agent's random numbers,
    `phase (A,)` samples by which its spells are shifted, `flickers (A,)` whether it is one of the share.
    """

    setting: Detection
    row: int
    dt: float
    noise: Floats
    covariance: Floats
    existence: Floats
    keys: Words
    phase: NDArray[np.int64]
    flickers: Bools

    @classmethod
    def of(cls, setting: Detection, seed: int, row: int, dt: float, samples: int, agents: int) -> Detector:
        """The sensor of the track `row` in a run with this seed."""
        keys = _mixed(np.full((_USES, agents), seed % 2**64, dtype=np.uint64))
        uses = np.arange(_USES, dtype=np.uint64)[:, None]
        for word in (np.full(1, row, dtype=np.uint64), np.arange(agents, dtype=np.uint64), uses):
            keys = _mixed(keys ^ _mixed(word))
        even = _even(keys)
        # So that not all drop out at once.
        phase = (even[_PHASE] * 2 * _spell(dt)).astype(np.int64)
        return cls(
            setting,
            row,
            dt,
            np.zeros((samples, agents, 4)),
            np.zeros((samples, agents, 3, 3)),
            np.zeros((samples, agents)),
            keys,
            phase,
            even[_FLICKERS] < setting.share,
        )

    def detect(self, sample: int, centers: Floats, seen: Bools) -> Bools:
        """Who of those `seen (A,)` at `centers (A, 5)` is detected at a sample; due in their order."""
        s = self.setting
        gap = np.hypot(*(centers[:, :2] - centers[self.row, :2]).T)
        scale = np.clip((gap - s.near) / (s.far - s.near), 0.0, 1.0)
        found = seen & ~self._lost(sample, scale)
        c, h = math.cos(centers[self.row, 2]), math.sin(centers[self.row, 2])
        even = _even(_mixed(self.keys[_NOISE] ^ _mixed(np.full(1, sample, dtype=np.uint64))))
        # Box and Muller's transform.
        normal = np.sqrt(-2.0 * np.log1p(-even[:4])) * np.cos(2.0 * np.pi * even[4:])
        along, across = s.position[0] * normal[0], s.position[1] * normal[1]
        self.noise[sample, :, 0] = scale * (c * along - h * across)
        self.noise[sample, :, 1] = scale * (h * along + c * across)
        self.noise[sample, :, 2:] = scale[:, None] * s.speed * normal[2:].T
        turn = np.array([[c, -h], [h, c]])
        now_known = np.square(scale)[:, None, None] * (turn @ np.diag(np.square(s.position)) @ turn.T)
        known = self.covariance[sample]
        known[:] = self.covariance[max(sample - 1, 0)]
        known[found, :2, :2] = now_known[found]
        self._believe(sample, found)
        return found

    def _lost(self, sample: int, scale: Floats) -> Bools:
        """Whose detection drops out: in every second spell of its own, or not at all in it."""
        s = self.setting
        turn = (sample + self.phase) // _spell(self.dt)
        lost, faded = _even(_mixed(self.keys[[_LOST, _FADED]] ^ _mixed(turn.astype(np.uint64))))
        return np.asarray((turn % 2 == 1) & ((self.flickers & (lost < s.flicker)) | (faded < s.fade * scale)))

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


def _spell(dt: float) -> int:
    """Samples of a spell."""
    return max(round(SPELL / dt), 1)


def _even(words: Words) -> Floats:
    """Numbers in [0, 1)."""
    return np.asarray((words >> np.uint64(11)) * 2.0**-53)


def _mixed(x: Words) -> Words:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014) after one step of its counter."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
