"""What the expert did, as the networks are taught it: pedals, bins of pedals, and a coded signal.

Hydra-NeXt's release knows the brake as on or off (CARLA's expert does). Our experts brake by degrees, so a
brake has a strength here; `graded=False` takes it back to on or off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.planners.hydra_next.kinematics import BRAKE, STEER, THROTTLE, PedalModel
from drive.sim.kernels.lqr import ACCELERATION_LAG

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

RELEASED_THROTTLE = (0.0, 0.3, 0.5, 0.7, 1.0)
RELEASED_STEER = (-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.5, 0.7)


def expert_pedals(
    controls: ArrayLike, speed: ArrayLike, acceleration: ArrayLike, model: PedalModel, dt: float = 0.1
) -> Floats:
    """Pedals `(..., T, 3)` of an expert's accelerations and steering angles `(..., T, 2)`, every `dt` s.

    The accelerations are those it had in each step; the pedals are what it asked for: the ego's lag is taken
    off. Otherwise who imitates it is late twice. `speed` and `acceleration (...)` are those before the first.
    """
    c = np.asarray(controls, dtype=np.float64)
    had = c[..., 0]
    first = np.asarray(acceleration, dtype=np.float64)[..., None]
    before = np.concatenate((first, had[..., :-1]), -1)
    asked = before + (1.0 + ACCELERATION_LAG / dt) * (had - before)
    v = np.asarray(speed, dtype=np.float64)[..., None] + dt * (np.cumsum(had, axis=-1) - had)
    return model.pedals(asked, c[..., 1], v)


@dataclass(frozen=True, slots=True)
class Coding:
    """Pedals as two numbers in [-1, 1]: throttle or minus brake, and steering.

    A knee bends a channel, s = asinh(x / knee) / asinh(1 / knee), so that the small values which most of
    driving consists of fill more of the range; 0 leaves it straight. `graded=False` with straight channels is
    the release: -1 where the expert brakes, and below `threshold` it brakes with all it has.
    """

    brake_knee: float = 0.2
    steer_knee: float = 0.02
    graded: bool = True
    threshold: float = 0.05

    def __post_init__(self) -> None:
        if not (0.0 <= self.brake_knee < np.inf and 0.0 <= self.steer_knee < np.inf):
            raise InputError("a coding's knees must be 0 or positive")
        if not 0.0 < self.threshold < 1.0:
            raise InputError(f"a coding's threshold must lie between 0 and 1, got {self.threshold}")

    def encode(self, pedals: ArrayLike) -> Singles:
        """Signals `(..., 2)` of pedals `(..., 3)`."""
        p = np.asarray(pedals, dtype=np.float64)
        brake = p[..., BRAKE]
        braked = _bent(brake, self.brake_knee) if self.graded else np.ones_like(brake)
        drive = np.where(brake > 0.0, -braked, p[..., THROTTLE])
        wheel = _bent(p[..., STEER], self.steer_knee)
        return np.asarray(np.clip(np.stack((drive, wheel), -1), -1.0, 1.0), dtype=np.float32)

    def decode(self, signals: ArrayLike) -> Floats:
        """Pedals `(..., 3)` of signals `(..., 2)`, within their bounds."""
        s = np.clip(np.asarray(signals, dtype=np.float64), -1.0, 1.0)
        drive, wheel = s[..., 0], s[..., 1]
        strength = _straight(-drive, self.brake_knee) if self.graded else np.ones_like(drive)
        brake = np.where(drive < -self.threshold, strength, 0.0)
        return np.stack((np.maximum(drive, 0.0), _straight(wheel, self.steer_knee), brake), -1)


RELEASED_CODING = Coding(brake_knee=0.0, steer_knee=0.0, graded=False, threshold=0.5)
"""How the release codes its controls."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The classes of the control decoder; the weights' card keeps them."""

    throttle: tuple[float, ...] = RELEASED_THROTTLE
    steer: tuple[float, ...] = RELEASED_STEER
    brake: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            values = tuple(float(v) for v in getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or not np.isfinite(values).all() or (np.diff(values) <= 0.0).any():
                raise InputError(f"the {name} bins must be finite and rise, got {values}")

    @classmethod
    def of(cls, pedals: ArrayLike, counts: tuple[int, int, int] = (5, 15, 4)) -> Bins:
        """Bins of an expert's pedals `(N, 3)`: (throttle, steer, brake) counts at most.

        Steering's are taken of both sides at once: that an expert turned left more often is chance.
        """
        p = np.asarray(pedals, dtype=np.float64).reshape(-1, 3)
        if not len(p) or not np.isfinite(p).all():
            raise InputError("bins need an expert's pedals (N, 3), finite, at least one row")
        throttle, steer, brake = counts
        if min(throttle, brake) < 1 or steer < 3 or steer % 2 == 0:
            raise InputError(f"bins need at least 1, an odd 3 and 1 classes, got {counts}")
        braked = p[p[:, BRAKE] > 0.0, BRAKE]
        pushed = p[p[:, BRAKE] <= 0.0, THROTTLE]
        knee = Coding().steer_knee
        one = _straight(_spread(_bent(np.abs(p[:, STEER]), knee), steer // 2, floor=0.05), knee)
        return cls(
            tuple(_distinct(np.concatenate(([0.0], _spread(pushed, throttle - 1, floor=0.02))))),
            tuple(_distinct(np.concatenate((-one[::-1], [0.0], one)))),
            tuple(_distinct(_spread(braked, brake, floor=0.0) if len(braked) else np.ones(1))),
        )


def nearest_bin(values: ArrayLike, bins: ArrayLike) -> NDArray[np.int64]:
    """Index of the nearest bin for each of `values (...)`; of two as near the lower one."""
    b = np.asarray(bins, dtype=np.float64)
    return np.searchsorted(0.5 * (b[1:] + b[:-1]), np.asarray(values, dtype=np.float64), side="left")


def _spread(values: Floats, count: int, floor: float) -> Floats:
    """`count` levels that cut the range of the values above `floor`, up to the highest 0.2 %, evenly."""
    kept = values[values > floor]
    if not len(kept) or count < 1:
        return np.zeros(0)
    low, high = np.quantile(kept, (0.02, 0.998))
    return np.linspace(low, high, count) if count > 1 else np.array([np.median(kept)])


def _distinct(values: Floats) -> Floats:
    rounded: Floats = np.unique(np.round(values, 5))
    return rounded


def _bent(values: Floats, knee: float) -> Floats:
    return np.asarray(np.arcsinh(values / knee) / np.arcsinh(1.0 / knee)) if knee > 0.0 else values


def _straight(values: Floats, knee: float) -> Floats:
    return np.asarray(knee * np.sinh(values * np.arcsinh(1.0 / knee))) if knee > 0.0 else values


__all__ = [
    "RELEASED_CODING",
    "RELEASED_STEER",
    "RELEASED_THROTTLE",
    "Bins",
    "Coding",
    "expert_pedals",
    "nearest_bin",
]
