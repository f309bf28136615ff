"""How the learned forecaster is trained.

drive train forecaster
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.fit import FitSettings, fit, mean_loss
from drive.nn.recipe import DataPlan
from drive.nn.rounds import epoch_rows
from drive.nn.store import DataRequest
from drive.nn.weights import save_weights
from drive.sim.forecast.movers import SHAPES
from drive.sim.forecast.net import ARCHITECTURE, Forecast, NetSettings, forecast_loss

if TYPE_CHECKING:
    from drive.nn.recipe import Data, TrainingRun

NAME = "forecaster"
FIELDS = tuple(f"movers.{name}" for name in SHAPES)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` moments a step, each with all its agents; `held_out` moments are validated on."""

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=6000, validate_every=1000))
    model: NetSettings = field(default_factory=NetSettings)
    data: DataRequest = field(
        default_factory=lambda: DataRequest(
            scenes=24, every=0.5, twins=0.0, near=0, random=0, sensors=("movers",)
        )
    )
    batch: int = 32
    held_out: int = 1024

    def __post_init__(self) -> None:
        if min(self.batch, self.held_out) < 1:
            raise InputError("a training's batch and held_out are 1 or more")


def batches_of(data: Data, batch: int, seed: int) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: epoch after epoch in a new order; a pure function of the step."""
    total = len(data)

    def batches(step: int) -> Mapping[str, Any]:
        return data.take(epoch_rows(total, min(batch, total), seed, step), FIELDS)

    return batches


def scaled_to(model: Forecast, data: Data) -> None:
    """Give the network the means and deviations of what it is told."""
    rows = np.arange(0, len(data), max(len(data) // 4096, 1))
    some = data.take(rows, ["movers.own", "movers.future_known"])
    own = some["movers.own"][some["movers.future_known"].any(-1)]
    if not len(own):
        raise InputError("a forecaster learns from others: the set has none")
    with torch.no_grad():
        model.shift_own.copy_(torch.from_numpy(own.mean(0)))
        model.scale_own.copy_(torch.from_numpy(np.maximum(own.std(0), 0.05)))


class Recipe:
    """The recipe of `drive train forecaster`."""

    name = NAME
    planner = "learned"
    help = "where others will be, learned from drives; a forecaster, not a planner"
    presets: Mapping[str, TrainConfig] = {
        "cpu": TrainConfig(),
        "gpu": TrainConfig(
            fit=FitSettings(steps=20_000, validate_every=2000),
            model=NetSettings(hidden=192, others=64),
            data=replace(TrainConfig().data, scenes=96),
            batch=256,
        ),
    }

    def data(self, config: TrainConfig) -> DataPlan:
        return DataPlan(config.data)

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        torch.manual_seed(run.seed)
        model = Forecast(config.model)
        scaled_to(model, run.train)
        how = replace(config.fit, seed=run.seed)
        count = max(min(config.held_out, len(run.validation)) // config.batch, 1)
        validate = mean_loss(forecast_loss, batches_of(run.validation, config.batch, 0), count, run.device)
        fitted = fit(
            model, forecast_loss, batches_of(run.train, config.batch, how.seed), how, run.folder / "fit",
            validate=validate, resume=run.resume, device=run.device, progress=run.progress,
        )  # fmt: skip
        path = run.folder / f"{NAME}.safetensors"
        about = {"model": asdict(config.model), "batch": config.batch}
        save_weights(path, fitted.model, run.card(ARCHITECTURE, about, fitted))
        return path


RECIPE = Recipe()
"""Where others will be, learned from drives."""

__all__ = ["RECIPE", "Recipe", "TrainConfig", "batches_of", "scaled_to"]
