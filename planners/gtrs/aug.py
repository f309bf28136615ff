"""Training with turned views and with a slow copy of the student as a second teacher (GTRS 3.5, DriveSuprim).

A view turned by an angle is what the ego would see had it stood so; the same candidates, turned with the
scene, keep their labels. The published work turns pictures by shifting a panorama; of vector scenes the turn
is exact. The slow copy is the running mean of the weights that `drive.nn.fit` keeps anyway (published decay:
0.998 from the fourth epoch on).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from drive.errors import InputError
from drive.nn._torch import Tensor, torch


@dataclass(frozen=True, slots=True)
class AugSettings:
    """`views` turned views beside the original one, each by an angle of up to `angle` rad with probability
    `share`; `soft` adds the loss against soft targets. No views and no soft targets: plain training."""

    views: int = 0
    angle: float = math.radians(30.0)
    share: float = 0.5
    soft: bool = False
    soft_limit: float = 0.15
    plan_limit: float = 1.0

    @property
    def on(self) -> bool:
        return self.views > 0 or self.soft


def draw_angles(count: int, settings: AugSettings, generator: Any) -> Tensor:
    """`(count,)` angles in rad on the generator's device: uniform within the bound with probability `share`,
    else none."""
    draw = torch.rand(2, count, generator=generator, device=generator.device)
    return (2.0 * draw[0] - 1.0) * settings.angle * (draw[1] < settings.share)


def shift_panorama(images: Tensor, angle: Tensor, field_of_view: float) -> Tensor:
    """Views `(B, V, H, W, 3)`, left to right, as if the ego were turned by `angle (B,)` to the left.

    The views are taken as one panorama over `field_of_view` rad and shifted by whole columns; a full circle
    wraps around, else what comes into view from beyond repeats the last column. A shift is a turn only in a
    cylindrical picture; of flat pictures it is the published approximation.
    """
    if images.ndim != 5 or not 0.0 < field_of_view <= 2.0 * math.pi + 1e-6:
        raise InputError(f"cannot shift views of shape {tuple(images.shape)} over {field_of_view} rad")
    b, v, h, w, c = images.shape
    columns = v * w
    strip = images.permute(0, 2, 1, 3, 4).reshape(b, h, columns, c)
    pixels = torch.round(angle * columns / field_of_view).long().to(images.device)
    # Turned to the left, the ego sees everything farther right: a column shows what lay left of it.
    source = torch.arange(columns, device=images.device)[None] - pixels[:, None]
    full = field_of_view > 2.0 * math.pi - 1e-3
    source = source % columns if full else source.clamp(0, columns - 1)
    index = source[:, None, :, None].expand(b, h, columns, c)
    return strip.gather(2, index).reshape(b, h, v, w, c).permute(0, 2, 1, 3, 4)


__all__ = [
    "AugSettings",
    "draw_angles",
    "shift_panorama",
]
