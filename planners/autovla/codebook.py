"""Physical action tokens: rigid motions of half a second, and trajectories as sequences of them.

Source: AutoVLA (arXiv 2506.13757), whose codebook is clustered by "K-disks" as in SMART (arXiv 2405.15677).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.files import write_whole
from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DT = 0.5
"""s that an action lasts."""
SCHEMA = "drive-codebook/1"
MAX_FILE = 1 << 22
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class CodebookSettings:
    """`size` actions at most, disks of `tolerance` m (mean distance of a box's corners), of at most
    `segments` segments. The box is `length` x `width` m. A segment is feasible whose heading turns by at most
    `turn` rad, that bends by at most `curvature` 1/m, and goes back by at most `back` m."""

    size: int = 2048
    tolerance: float = 0.05
    segments: int = 400_000
    length: float = 4.8
    width: float = 2.0
    turn: float = 0.6
    curvature: float = 0.25
    back: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 2 or self.segments < 1:
            raise InputError("a codebook has two actions or more, of one segment or more")
        for name in ("tolerance", "length", "width", "turn", "curvature"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"a codebook's {name} is positive and finite, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """`motions (K, 3)`: x, y in m and heading in rad after `DT` s, in the frame where the motion begins (rear
    axle, x forward); the first one stands still. `provenance` says what they were made of."""

    motions: Floats
    length: float = 4.8
    width: float = 2.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = self.motions
        if m.ndim != 2 or m.shape[1] != 3 or len(m) < 2 or not np.isfinite(m).all():
            raise InputError(f"a codebook's motions are finite numbers (K, 3), not {m.shape}")
        if m[0].any():
            raise InputError("a codebook's first motion is to stand still")

    def __len__(self) -> int:
        return len(self.motions)

    @property
    def hash(self) -> str:
        """Digest of the motions."""
        data = np.ascontiguousarray(self.motions, dtype="<f8").tobytes()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def decode(self, tokens: NDArray[np.integer[Any]]) -> Floats:
        """Poses `(..., T, 3)` every `DT` s of tokens `(..., T)`, in the frame where the first one begins."""
        t = np.asarray(tokens)
        if t.size and not (t.min() >= 0 and t.max() < len(self)):
            raise InputError(f"the codebook's tokens lie between 0 and {len(self) - 1}")
        steps = self.motions[t]
        out = np.zeros_like(steps)
        pose = np.zeros((*t.shape[:-1], 3))
        for k in range(t.shape[-1]):
            pose = compose(pose, steps[..., k, :])
            out[..., k, :] = pose
        return out

    def encode(self, poses: Floats, forced: bool = True) -> NDArray[np.int64]:
        """Tokens `(N, T)` of poses `(N, T, 3)` every `DT` s in the frame where they begin.

        Each token is the one whose box's corners come nearest to the pose's, starting from where the tokens
        before it have led, so that errors do not add up; `forced=False` starts each from the pose itself, for
        comparison. Raises InputError for poses that are not finite.
        """
        p = np.asarray(poses, dtype=np.float64)
        if p.ndim != 3 or p.shape[2] != 3 or not np.isfinite(p).all():
            raise InputError(f"poses to be told by tokens are finite (N, T, 3), got {p.shape}")
        out = np.empty(p.shape[:2], dtype=np.int64)
        for begin in range(0, len(p), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            out[part] = self._encoded(p[part], forced)
        return out

    def _encoded(self, poses: Floats, forced: bool) -> NDArray[np.int64]:
        own = corners(self.motions, self.length, self.width)
        here = np.zeros((len(poses), 3))
        out = np.empty(poses.shape[:2], dtype=np.int64)
        for k in range(poses.shape[1]):
            wanted = corners(_within(poses[:, k], here), self.length, self.width)
            apart = np.hypot(*np.moveaxis(own[None] - wanted[:, None], -1, 0)).sum(-1)
            out[:, k] = apart.argmin(1)
            here = compose(here, self.motions[out[:, k]]) if forced else poses[:, k]
        return out

    def save(self, path: str | Path) -> Path:
        """Write an npz with the motions and, as JSON, the provenance."""
        head = {"schema": SCHEMA, "length": self.length, "width": self.width, **dict(self.provenance)}
        text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), dtype=np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, motions=self.motions, about=text)
        return write_whole(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Codebook:
        """Raises InputError with one line for a file that is missing or no codebook."""
        place = Path(path)
        try:
            if place.stat().st_size > MAX_FILE:
                raise ValueError("it is too large")
            with np.load(io.BytesIO(place.read_bytes()), allow_pickle=False) as found:
                motions = np.asarray(found["motions"], dtype=np.float64)
                about = json.loads(found["about"].tobytes())
            if about.pop("schema") != SCHEMA:
                raise ValueError("it has another version")
            return cls(motions, float(about.pop("length")), float(about.pop("width")), about)
        except FileNotFoundError:
            raise InputError(f"there is no codebook '{place}'") from None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"'{place}' is no codebook ({error})") from None


def compose(pose: Floats, motion: Floats) -> Floats:
    """The pose `(..., 3)` after a motion `(..., 3)` in its own frame."""
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = pose[..., 0] + c * motion[..., 0] - s * motion[..., 1]
    y = pose[..., 1] + s * motion[..., 0] + c * motion[..., 1]
    return np.stack((x, y, wrap_angle(pose[..., 2] + motion[..., 2])), axis=-1)


def _within(poses: Floats, frames: Floats) -> Floats:
    """Poses `(N, 3)`, each in its own frame `(N, 3)`."""
    dx, dy = poses[:, 0] - frames[:, 0], poses[:, 1] - frames[:, 1]
    c, s = np.cos(frames[:, 2]), np.sin(frames[:, 2])
    return np.stack((c * dx + s * dy, c * dy - s * dx, wrap_angle(poses[:, 2] - frames[:, 2])), axis=1)


def corners(poses: Floats, length: float, width: float) -> Floats:
    """Corners `(..., 4, 2)` of boxes about poses `(..., 3)`: left front, right front, right and left back."""
    box = 0.5 * np.array([[length, width], [length, -width], [-length, -width], [-length, width]])
    c, s = np.cos(poses[..., 2, None]), np.sin(poses[..., 2, None])
    x = poses[..., 0, None] + c * box[:, 0] - s * box[:, 1]
    y = poses[..., 1, None] + s * box[:, 0] + c * box[:, 1]
    return np.stack((x, y), axis=-1)


def poses_of_corners(found: Floats) -> Floats:
    """Poses `(..., 3)` of corners `(..., 4, 2)`: their mean, the direction from left back to left front."""
    ahead = found[..., 0, :] - found[..., 3, :]
    return np.concatenate((found.mean(-2), np.arctan2(ahead[..., 1], ahead[..., 0])[..., None]), axis=-1)


def segments_of(futures: Floats, valid: NDArray[np.bool_], every: int) -> Floats:
    """Motions `(S, 3)` between each `every`-th pose of futures `(N, T, 3)` that begin at the origin."""
    steps = np.asarray(futures, dtype=np.float64)[:, every - 1 :: every]
    known = np.asarray(valid)[:, every - 1 :: every]
    before = np.concatenate((np.zeros((len(steps), 1, 3)), steps[:, :-1]), axis=1)
    both = known & np.concatenate((np.ones((len(known), 1), dtype=np.bool_), known[:, :-1]), axis=1)
    return _within(steps[both], before[both])


def feasible(segments: Floats, settings: CodebookSettings) -> NDArray[np.bool_]:
    """Which motions `(S, 3)` a car can do in `DT` s."""
    s = settings
    turn, way = np.abs(segments[:, 2]), np.hypot(segments[:, 0], segments[:, 1])
    bends = turn > s.curvature * np.maximum(way, 0.1)
    return np.isfinite(segments).all(1) & (turn <= s.turn) & ~bends & (segments[:, 0] >= -s.back)


def make_codebook(segments: Floats, settings: CodebookSettings, about: Mapping[str, Any]) -> Codebook:
    """Cluster motions `(S, 3)` by K-disks: again and again one that is left is drawn, the mean of all within
    `tolerance` of it becomes an action, and they are taken away. The first disk lies around standing still.

    A mean that lies within half the tolerance of an action before it is left out. Raises InputError where no
    motion is feasible.
    """
    s = settings
    kept = np.asarray(segments, dtype=np.float64)[feasible(segments, s)]
    if not len(kept):
        raise InputError("no segment is feasible: there is nothing to make a codebook of")
    rng = np.random.default_rng(s.seed)
    if len(kept) > s.segments:
        kept = kept[rng.choice(len(kept), s.segments, replace=False)]
    boxes = corners(kept, s.length, s.width)
    left = np.arange(len(kept))
    centre, chosen = np.zeros(3), [np.zeros(3)]
    told = [corners(centre, s.length, s.width)]
    while True:
        box = corners(centre, s.length, s.width)
        near = np.hypot(*np.moveaxis(boxes[left] - box, -1, 0)).mean(-1) <= s.tolerance
        if len(told) > 1 or near.any():
            disk, left = left[near], left[~near]
            mean = kept[disk].mean(0) if len(disk) else centre
            corner = corners(mean, s.length, s.width)
            apart = np.hypot(*np.moveaxis(np.stack(told) - corner, -1, 0)).mean(-1).min()
            if apart >= 0.5 * s.tolerance:
                chosen.append(mean)
                told.append(corner)
        if not len(left) or len(chosen) >= s.size:
            break
        centre = kept[left[rng.integers(len(left))]]
    provenance = {
        **dict(about),
        "segments": len(kept),
        "covered": 1.0 - len(left) / len(kept),
        "tolerance": s.tolerance,
        "seed": s.seed,
        "method": "K-disk",
    }
    return Codebook(np.stack(chosen), s.length, s.width, provenance)


__all__ = [
    "DT", "Codebook", "CodebookSettings", "compose", "corners", "feasible", "make_codebook",
    "poses_of_corners", "segments_of",
]  # fmt: skip
