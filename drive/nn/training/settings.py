"""What a training is asked to do, and the two schedules that follow from it. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from drive.errors import InputError


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a network is trained; a recipe's presets hold one of these, `--set fit.lr=0.001` changes it.

    `steps` is the number of updates; 0 means as many as fit into `minutes` at the speed measured at the
    start. AdamW with learning rate `lr`, reached after `warmup` steps, then constant or on a half cosine down
    to `lr_end` of it; `weight_decay` on matrices only; gradients clipped to the norm `clip` (0: not). `ema`
    is the decay of the running mean of the weights, which is what is validated and kept (0: none). Every
    `validate_every` steps the network is validated; it is kept as it was where the figure `watch` was least
    (`keep` best) or as it is at the end (last); after `patience` validations without a better one the
    training ends (0: never). A checkpoint is written every `checkpoint_minutes`, and every `checkpoint_every`
    steps (0: not). `bf16` auto is bfloat16 on a GPU that has it; "on" is so on a CPU too, where it pays only
    with instructions for it. `speed` is for the GPU: auto is the fastest of eager, a CUDA graph and
    torch.compile, measured at the start; on the CPU it is off.
    """

    steps: int = 0
    minutes: float = 0.0
    lr: float = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    lr_end: float = 0.01
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    validate_every: int = 500
    watch: str = "loss"
    keep: Literal["best", "last"] = "best"
    patience: int = 0
    log_every: int = 50
    checkpoint_minutes: float = 2.0
    checkpoint_every: int = 0
    bf16: Literal["auto", "on", "off"] = "auto"
    speed: Literal["auto", "eager", "compile", "graph"] = "auto"

    def __post_init__(self) -> None:
        for name in (
            "steps", "minutes", "lr", "lr_end", "warmup", "weight_decay", "clip", "ema", "seed", "patience",
            "checkpoint_every",
        ):  # fmt: skip
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise InputError(f"a training's {name} must be 0 or more and finite, got {value}")
        for name in ("lr", "validate_every", "log_every", "checkpoint_minutes"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise InputError(f"a training's {name} must be more than 0 and finite, got {value}")
        if not (self.ema < 1.0 and self.lr_end <= 1.0):
            raise InputError("a training's ema must be less than 1, its lr_end at most 1")
        if self.steps == 0 and self.minutes == 0.0:
            raise InputError("a training needs steps or minutes, both are 0")


# What may change when a training is gone on with: none of it moves a weight.
FREE = ("log_every", "checkpoint_minutes", "checkpoint_every", "minutes")


def learning_rate(settings: FitSettings, step: int, total: int) -> float:
    """The learning rate of the step (0 is the first) of `total`."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.lr
    share = (step - settings.warmup) / max(total - settings.warmup, 1)
    wave = 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
    return settings.lr * (settings.lr_end + (1.0 - settings.lr_end) * wave)


def mean_decay(settings: FitSettings, step: int) -> float:
    """The decay of the running mean after the step (0 is the first): short at the start, when the weights
    still move fast (as TensorFlow's ExponentialMovingAverage does with `num_updates`).
    """
    return min(settings.ema, (1.0 + step) / (10.0 + step))


__all__ = ["FREE", "FitSettings", "learning_rate", "mean_decay"]
