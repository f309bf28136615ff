"""A recipe for the tests of `drive train`: where the expert is in 1 s, from the ego's own state."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from drive.nn._torch import nn
from drive.nn.fit import FitSettings, fit, mean_loss
from drive.nn.recipe import DataPlan, TrainingRun
from drive.nn.store import DataRequest
from drive.nn.weights import save_weights


@dataclass(frozen=True)
class Config:
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(steps=60, warmup=5, validate_every=20, log_every=20, ema=0.9)
    )
    data: DataRequest = field(
        default_factory=lambda: DataRequest(families=("lane_follow_curved",), scenes=1, every=1.0, twins=0.0)
    )
    hidden: int = 16


class OneSecond:
    """One second ahead, for the tests."""

    name = "one_second"
    help = "One second ahead, for the tests."
    presets: Mapping[str, Any] = {"cpu": Config(), "gpu": Config(hidden=64)}

    def data(self, config: Config) -> DataPlan:
        return DataPlan(config.data, replace(config.data, first_seed=9_000))

    def train(self, run: TrainingRun, config: Config) -> Path:
        def batches(step: int) -> Mapping[str, Any]:
            if os.environ.get("STOP_AT") == str(step):
                signal.raise_signal(signal.SIGTERM)
            rows = np.random.default_rng([run.seed, step]).integers(0, len(run.train), 16)
            return run.train.take(rows, ("scene.ego", "future"))

        def held_out(number: int) -> Mapping[str, Any]:
            return run.validation.take(np.arange(len(run.validation)), ("scene.ego", "future"))

        def loss(model: Any, batch: Any, generator: Any) -> Any:
            miss = model(batch["scene.ego"][:, :4] / 10.0) - batch["future"][:, 9] / 10.0
            return miss.square().mean(), {"metres": 10.0 * miss.detach()[:, :2].norm(dim=1).mean()}

        network = nn.Sequential(nn.Linear(4, config.hidden), nn.GELU(), nn.Linear(config.hidden, 3))
        fitted = fit(
            network, loss, batches, replace(config.fit, seed=run.seed), run.folder / "fit",
            validate=mean_loss(loss, held_out, 1, run.device), resume=run.resume, device=run.device,
            progress=run.progress,
        )  # fmt: skip
        path = run.folder / f"{self.name}.safetensors"
        save_weights(path, fitted.model, run.card("one-second-1", {"hidden": config.hidden}, fitted))
        return path


RECIPE = OneSecond()
