"""Training in rounds: learn, drive, and learn again from where the driving led (DAgger, Ross et al. 2011)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from drive.nn.store import JoinedSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.nn.fit import FitSettings, Fitted
    from drive.nn.recipe import Data, TrainingRun
    from drive.planner import Planner


ENCODER_SENSORS = {"vector": ("vector",), "raster": ("vector", "raster"), "image": ("vector", "image")}
"""The sensors of a training set by the encoder's kind; geometry and the ego come with the vectors."""


def epoch_rows(total: int, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """The rows `(batch,)` of `total` that a step learns from: epoch after epoch in a new order.

    A pure function of the step, so that a training that was stopped goes on with the same batches.
    """
    epoch, place = divmod(step, max(total // batch, 1))
    order = np.random.default_rng((seed, 1, epoch)).permutation(total)
    return order[place * batch : (place + 1) * batch]


class RoundsConfig(Protocol):
    """What a recipe's configuration says of its rounds: after the first training come `rounds` of driving in
    `round_scenes` fresh scenes of each family and learning again, each `again` times as long as the first one
    and at half its learning rate."""

    @property
    def fit(self) -> FitSettings: ...
    @property
    def rounds(self) -> int: ...
    @property
    def round_scenes(self) -> int: ...
    @property
    def again(self) -> float: ...


def train_in_rounds(
    run: TrainingRun,
    name: str,
    config: RoundsConfig,
    learn: Callable[[Data, FitSettings, Path], Fitted],
    write: Callable[[Path, Sequence[Fitted], Data], object],
    learner: Callable[[Path], Planner],
) -> Path:
    """The path of the weights `NAME.safetensors` after all rounds.

    `learn(data, settings, folder)` is one training; it goes on with the weights of the one before. `write`
    puts what all trainings so far have made at a path, and `learner` is the planner that drives with it.
    """
    data: Data = run.train
    fits: list[Fitted] = []
    for number in range(config.rounds + 1):
        how = replace(config.fit, seed=run.seed + 1000 * number)
        if number:
            how = _shorter(how, config.again)
        fits.append(learn(data, how, run.folder / f"fit-{number}"))
        last = number == config.rounds
        path = run.folder / (f"{name}.safetensors" if last else f"round-{number}.safetensors")
        write(path, fits, data)
        if not last:
            more = run.collect(learner(path), number + 1, config.round_scenes)
            data = JoinedSet([*(data.sets if isinstance(data, JoinedSet) else (data,)), more])
    return path


def _shorter(how: FitSettings, share: float) -> FitSettings:
    """The settings of a later round."""
    lr = 0.5 * how.lr
    if how.steps:
        return replace(how, lr=lr, steps=max(round(how.steps * share), 1))
    return replace(how, lr=lr, minutes=how.minutes * share)


__all__ = ["ENCODER_SENSORS", "RoundsConfig", "epoch_rows", "train_in_rounds"]
