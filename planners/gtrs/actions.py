"""A trajectory as the generator's signal: first differences of few poses, normalised to [-1, 1], and back.

GTRS 3.2: 8 poses half a second apart become 8 x (dx, dy, sin h, cos h); the differences are shifted by their
mean and divided by the largest one-sided range, both found in the training set and kept with the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline

from drive.errors import InputError
from drive.nn._torch import Tensor, nn, torch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CHANNELS = 4


def difference_range(future: ArrayLike, every: int = 5) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(shift (2,), scale (2,)) of the differences of expert poses `(N, T, >= 2)` seen every `every` poses.

    Raises InputError where nothing is finite to learn from.
    """
    seen = np.asarray(future, dtype=np.float64)[:, every - 1 :: every, :2]
    seen = seen[np.isfinite(seen).all((1, 2))]
    if not len(seen):
        raise InputError("no expert's future is complete: the generator's range cannot be found")
    steps = np.diff(seen, axis=1, prepend=0.0).reshape(-1, 2)
    shift = steps.mean(0)
    scale = np.maximum(np.abs(steps - shift).max(0), 0.05)
    return shift.astype(np.float32), scale.astype(np.float32)


def spline_matrix(poses: int, every: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How `poses` poses, `every` fine steps apart, become `poses * every` fine ones by a cubic spline.

    The spline begins at the ego with its velocity and ends with no change of acceleration forced
    (not-a-knot); it is linear in what it goes through, so it is one product: `fine = A @ (0, p_1 .. p_n) +
    b * v_0` with A `(n * every, n + 1)` and b `(n * every,)`, v_0 in units per coarse step.
    """
    knots = np.arange(poses + 1, dtype=np.float64)
    fine = np.arange(1, poses * every + 1) / every

    def through(values: NDArray[np.float64], slope: float) -> NDArray[np.float64]:
        spline = CubicSpline(knots, values, bc_type=((1, slope), "not-a-knot"))
        return np.asarray(spline(fine), dtype=np.float64)

    unit = np.eye(poses + 1)
    matrix = np.stack([through(unit[i], 0.0) for i in range(poses + 1)], axis=1)
    return matrix.astype(np.float32), through(np.zeros(poses + 1), 1.0).astype(np.float32)


class Actions(nn.Module):
    """Between poses and the generator's signal; holds the range that was found in the training set."""

    matrix: Tensor
    slope: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, horizon: int = 40, every: int = 5, step: float = 0.1) -> None:
        super().__init__()
        if horizon < 1 or every < 1 or horizon % every or horizon // every < 3:
            raise InputError(f"a horizon of {horizon} poses cannot be drawn every {every}")
        self.horizon, self.every, self.step = horizon, every, step
        self.count = horizon // every
        matrix, slope = spline_matrix(self.count, every)
        self.register_buffer("matrix", torch.from_numpy(matrix), persistent=False)
        self.register_buffer("slope", torch.from_numpy(slope), persistent=False)
        self.register_buffer("shift", torch.zeros(2))
        self.register_buffer("scale", torch.ones(2))

    def set_range(self, shift: ArrayLike, scale: ArrayLike) -> None:
        """Store what `difference_range` found."""
        self.shift.copy_(torch.as_tensor(np.asarray(shift)))
        self.scale.copy_(torch.as_tensor(np.asarray(scale)))

    def encode(self, poses: Tensor) -> Tensor:
        """Poses `(..., T, 3)` as the signal `(..., n * 4)`; clipped to [-1, 1] beyond the range."""
        seen = poses[..., self.every - 1 :: self.every, :]
        before = torch.nn.functional.pad(seen[..., :-1, :2], (0, 0, 1, 0))
        steps = ((seen[..., :2] - before - self.shift) / self.scale).clamp(-1.0, 1.0)
        heading = seen[..., 2:]
        return torch.cat((steps, heading.sin(), heading.cos()), dim=-1).flatten(-2)

    def coarse(self, signal: Tensor) -> Tensor:
        """The signal `(..., n * 4)` as `n` poses `(..., n, 3)`."""
        values = signal.reshape(*signal.shape[:-1], self.count, CHANNELS)
        places = (values[..., :2] * self.scale + self.shift).cumsum(-2)
        heading = torch.atan2(values[..., 2], values[..., 3])
        return torch.cat((places, heading[..., None]), dim=-1)

    def decode(self, signal: Tensor, speed: Tensor) -> Tensor:
        """The signal as poses `(..., T, 3)` every 0.1 s, by a spline that leaves at `speed (...)` m/s."""
        return self.interpolate(self.coarse(signal), speed)

    def interpolate(self, coarse: Tensor, speed: Tensor) -> Tensor:
        """Few poses `(..., n, 3)` as all `(..., T, 3)`; headings are unwrapped and start along the ego."""
        origin = torch.zeros_like(coarse[..., :1, :])
        knots = torch.cat((origin, coarse), dim=-2)
        turn = torch.diff(knots[..., 2], dim=-1)
        turn = torch.atan2(turn.sin(), turn.cos()).cumsum(-1)
        knots = torch.cat((knots[..., :2], torch.nn.functional.pad(turn, (1, 0))[..., None]), dim=-1)
        fine = torch.einsum("ts,...sc->...tc", self.matrix, knots)
        along = (speed * self.step * self.every)[..., None] * self.slope
        x = fine[..., 0] + along
        # The headings have no slope to keep at the start: straight lines between them overshoot least.
        heading = self._straight(knots[..., 2])
        return torch.stack((x, fine[..., 1], heading), dim=-1)

    def _straight(self, values: Tensor) -> Tensor:
        """Linear interpolation of `(..., n + 1)` knots to `(..., T)`, wrapped to (-pi, pi]."""
        share = torch.arange(1, self.every + 1, device=values.device) / self.every
        low, high = values[..., :-1, None], values[..., 1:, None]
        fine = (low + (high - low) * share).flatten(-2)
        return torch.atan2(fine.sin(), fine.cos())


__all__ = ["CHANNELS", "Actions", "difference_range", "spline_matrix"]
