"""A vocabulary: the fixed set of candidate trajectories that a scorer chooses from.

Poses are kept in steps of a power of two of a metre and of a radian, so that a file gives back the very
numbers that the hash was taken of. How one is built: `drive.eval.training.vocabulary`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.files import parse_json, read_npz, write_npz

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

SCHEMA = "drive-vocabulary/1"
STEPS = np.array([2.0**-7, 2.0**-8, 2.0**-13])
"""Of x and y in m, and of the heading in rad: +-256 m, +-128 m and +-4 rad in two bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """`poses (K, T, 3)` float32: x, y, heading in the ego's frame (rear axle), the first `dt` s after now.

    `provenance` says how it came about: seed, method, data and their hash. `hash` is of poses and dt alone.
    Raises InputError for poses that are not finite, or too far away to be kept.
    """

    poses: NDArray[np.float32]
    dt: float = 0.1
    provenance: Mapping[str, Any] = field(default_factory=dict)
    hash: str = field(init=False)
    speed: NDArray[np.float64] = field(init=False)
    _order: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        counts = _counts(self.poses)
        if not 1e-3 <= self.dt <= 1e3:
            raise InputError(f"a vocabulary's dt must lie between 0.001 and 1000 s, got {self.dt}")
        poses = np.ascontiguousarray(counts * STEPS, dtype=np.float32)
        poses.flags.writeable = False
        object.__setattr__(self, "poses", poses)
        digest = hashlib.blake2b(f"{poses.shape} {self.dt:.6f}".encode(), digest_size=16)
        digest.update(counts.astype("<i2").tobytes())
        object.__setattr__(self, "hash", digest.hexdigest())
        object.__setattr__(self, "speed", initial_speed(poses, self.dt))
        object.__setattr__(self, "_order", np.argsort(self.speed, kind="stable"))

    def __len__(self) -> int:
        return len(self.poses)

    @property
    def horizon(self) -> float:
        """Seconds that a trajectory covers."""
        return int(self.poses.shape[1]) * self.dt

    def near(self, speed: float, count: int) -> NDArray[np.int32]:
        """The `count` rows whose initial speed is nearest to `speed` in m/s, in ascending order.

        Of equally near ones the lower rows; all rows where there are no more.
        """
        total = len(self.poses)
        if count < 1:
            raise InputError(f"one row or more of a vocabulary, not {count}")
        count = min(count, total)
        at = int(np.searchsorted(self.speed, speed, sorter=self._order))
        around = np.sort(self._order[max(at - count, 0) : at + count])
        nearest = np.argsort(np.abs(self.speed[around] - speed), kind="stable")[:count]
        return np.sort(around[nearest]).astype(np.int32)

    def save(self, path: str | Path) -> Path:
        """Write it as `.npz`; reading gives the same poses and hash."""
        counts = _counts(self.poses).astype(np.int16)
        # Differences along time are small, and small numbers pack well; two bytes wrap there and back.
        steps = np.diff(counts, axis=1, prepend=np.int16(0)).astype(np.int16)
        header = {"schema": SCHEMA, "dt": self.dt, "hash": self.hash, "provenance": dict(self.provenance)}
        text = json.dumps(header, sort_keys=True).encode()
        return write_npz(
            Path(path), {"header": np.frombuffer(text, dtype=np.uint8), "steps": steps.transpose(2, 1, 0)}
        )

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read one; raises InputError naming the file and what is wrong with it."""
        source = Path(path)
        try:
            arrays = read_npz(source)
            header = parse_json(arrays["header"].tobytes().decode())
            if header["schema"] != SCHEMA:
                raise InputError(f"it has version '{header['schema']!s:.40}', this toolkit reads '{SCHEMA}'")
            steps = arrays["steps"]
            if steps.dtype != np.int16 or steps.ndim != 3:
                raise InputError(f"its steps are {steps.dtype} {steps.shape}")
            counts = np.cumsum(steps.transpose(2, 1, 0), axis=1, dtype=np.int16)
            made = cls((counts * STEPS).astype(np.float32), float(header["dt"]), header["provenance"])
            stored = str(header["hash"])
        except FileNotFoundError:
            raise InputError(f"there is no vocabulary '{source}'") from None
        except (InputError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{source.name} is no sound vocabulary: {error}") from None
        if made.hash != stored:
            raise InputError(f"{source.name} is damaged: its hash is {made.hash[:12]}, not {stored[:12]}")
        return made


def initial_speed(poses: ArrayLike, dt: float) -> NDArray[np.float64]:
    """Speeds `(...)` in m/s now of trajectories `(..., T >= 2, 3)` that begin at the origin.

    The mean speeds of the first two steps, carried back by half a step; along the heading, so that it is
    negative for who goes backwards.
    """
    p = np.asarray(poses, dtype=np.float64)
    second = p[..., 1, :2] - p[..., 0, :2]
    heading = p[..., 0, 2]
    first = p[..., 0, 0] * np.cos(0.5 * heading) + p[..., 0, 1] * np.sin(0.5 * heading)
    then = second[..., 0] * np.cos(heading) + second[..., 1] * np.sin(heading)
    return np.asarray((1.5 * first - 0.5 * then) / dt)


def _counts(poses: ArrayLike) -> NDArray[np.float64]:
    """Poses in whole steps; raises InputError for what is no vocabulary."""
    given = np.asarray(poses, dtype=np.float64)
    if given.ndim != 3 or given.shape[2] != 3 or given.shape[1] < 2 or len(given) == 0:
        raise InputError(f"a vocabulary holds poses (K >= 1, T >= 2, 3), got {given.shape}")
    counts: NDArray[np.float64] = np.rint(given / STEPS)
    fits = np.isfinite(counts).all(-1) & (np.abs(counts) <= 32767).all(-1)
    bad = np.flatnonzero(~fits.all(-1))
    if len(bad):
        raise InputError(f"row {bad[0]} of the vocabulary is not finite or leaves 256 m, 128 m, 4 rad")
    return counts


__all__ = ["SCHEMA", "STEPS", "Vocabulary", "initial_speed"]
