"""How `regression` is trained: data, batches, loss, validation, rounds with the learner, weights.

    drive train regression --preset cpu

It learns from the expert's futures alone, and from no teacher; encoder, samples, steps and rounds are those
of the planners that it is the baseline of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings, Fitted, fit, mean_loss
from drive.nn.recipe import DataPlan
from drive.nn.rounds import ENCODER_SENSORS, epoch_rows, train_in_rounds
from drive.nn.store import DataRequest
from drive.nn.weights import save_weights
from drive.planners.regression.model import ARCHITECTURE, Regression, RegressionSettings, imitation_loss
from drive.planners.regression.planner import RegressionConfig, RegressionPlanner

if TYPE_CHECKING:
    from drive.nn.recipe import Data, TrainingRun

NAME = "regression"
INPUTS = ("scene.", "raster", "images")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step. After the first training come `rounds` of driving in `round_scenes` fresh
    scenes of each family and learning again, each with `fit.steps * again` more steps at half the learning
    rate. `held_out` samples are validated on.
    """

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=6000))
    model: RegressionSettings = field(default_factory=RegressionSettings)
    data: DataRequest = field(default_factory=DataRequest)
    batch: int = 32
    rounds: int = 1
    round_scenes: int = 12
    again: float = 0.5
    held_out: int = 512

    def __post_init__(self) -> None:
        if min(self.batch, self.held_out) < 1 or min(self.rounds, self.round_scenes) < 0:
            raise InputError("a training's batch and held_out are 1 or more, its rounds 0 or more")
        if not 0.0 < self.again <= 1.0:
            raise InputError(f"a training's again lies between 0 and 1, not at {self.again}")


def batches_of(data: Data, batch: int, seed: int) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: epoch after epoch in a new order; a pure function of the step."""
    total = len(data)
    names = [name for name in data.fields if name.startswith(INPUTS)] + ["future", "future_valid"]

    def batches(step: int) -> Mapping[str, Any]:
        return data.take(epoch_rows(total, batch, seed, step), names)

    return batches


class Recipe:
    """The recipe of `drive train regression`."""

    name = NAME
    help = "the baseline of all learned planners: one trajectory, learned by imitation"

    def __init__(self) -> None:
        large = EncoderSettings(width=128, layers=3, heads=8, ffn=256)
        self.presets: Mapping[str, TrainConfig] = {
            "cpu": TrainConfig(),
            "gpu": TrainConfig(
                fit=FitSettings(steps=20_000, lr=5e-4, validate_every=2000),
                model=RegressionSettings(encoder=large, decoder_layers=2, hidden=512),
                batch=256,
                rounds=2,
                round_scenes=24,
            ),
        }

    def data(self, config: TrainConfig) -> DataPlan:
        return DataPlan(replace(config.data, sensors=ENCODER_SENSORS[config.model.encoder.kind]))

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        torch.manual_seed(run.seed)
        model: Any = Regression(config.model)
        count = max(min(config.held_out, len(run.validation)) // config.batch, 1)
        validate = mean_loss(imitation_loss, batches_of(run.validation, config.batch, 0), count, run.device)

        def learn(data: Data, how: FitSettings, folder: Path) -> Fitted:
            batches = batches_of(data, config.batch, how.seed)
            return fit(
                model, imitation_loss, batches, how, folder, validate=validate, resume=run.resume,
                device=run.device, progress=run.progress,
            )  # fmt: skip

        def write(path: Path, fits: Sequence[Fitted], data: Data) -> None:
            about = {"model": asdict(config.model)} | {
                name: getattr(config, name) for name in ("batch", "rounds", "round_scenes", "again")
            }
            save_weights(path, fits[-1].model, run.card(ARCHITECTURE, about, fits, data))

        def learner(path: Path) -> RegressionPlanner:
            return RegressionPlanner(RegressionConfig(weights=str(path)))

        return train_in_rounds(run, NAME, config, learn, write, learner)


RECIPE = Recipe()
"""The baseline of all learned planners: one trajectory, learned by imitation."""

__all__ = ["RECIPE", "Recipe", "TrainConfig", "batches_of"]
