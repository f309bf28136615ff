"""How `hydra_next` is trained: data, batches, losses, validation, rounds with the learner, weights.

    drive train hydra_next --preset cpu

Encoder and the three decoders are trained at once, on the expert's futures and controls and on the teacher's
labels of the vocabulary. After that the network drives, and learns from the states that it came to as well
(DAgger, Ross et al. 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings, Fitted, fit, mean_loss
from drive.nn.recipe import DataPlan, labelled
from drive.nn.rounds import ENCODER_SENSORS, epoch_rows, train_in_rounds
from drive.nn.store import DataRequest
from drive.nn.tokens import scene_batch
from drive.nn.training.feed import to_device
from drive.nn.weights import save_weights
from drive.planners.hydra_next.config import HydraNextConfig
from drive.planners.hydra_next.decoder import ARCHITECTURE, HydraNext, ModelSettings
from drive.planners.hydra_next.planner import HydraNextPlanner
from drive.planners.hydra_next.signals import Bins, expert_pedals
from drive.planners.hydra_next.targets import INPUTS, HydraLoss, targets_of
from drive.planners.learned.profiles import CLOSED_LOOP, combine
from drive.sim.teacher import TEACHER_NAMES
from drive.vehicle import ACCELERATION, SPEED

if TYPE_CHECKING:
    from drive.nn.recipe import Data, TrainingRun
    from drive.nn.vocabulary import Vocabulary

NAME = "hydra_next"
BIN_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step; of the labelled candidates of each, `keep` are learnt, among them the `near`
    that are nearest to the expert; `draws` of noise a sample for the diffusion policy. `vocabulary` is its
    size, `bins` are the classes (throttle, steering, brake) of the control decoder. After the first training
    come `rounds` of driving in `round_scenes` fresh scenes of each family and learning again, each with
    `fit.steps * again` more steps at half the learning rate. `held_out` samples are validated on.
    """

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=6000))
    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataRequest = field(default_factory=DataRequest)
    vocabulary: int = 4096
    bins: tuple[int, int, int] = (6, 15, 5)
    batch: int = 32
    keep: int = 96
    near: int = 16
    draws: int = 8
    rounds: int = 1
    round_scenes: int = 12
    again: float = 0.5
    held_out: int = 512

    def __post_init__(self) -> None:
        for name in ("batch", "keep", "near", "draws", "held_out", "vocabulary"):
            if getattr(self, name) < 1:
                raise InputError(f"a training's {name} must be at least 1, got {getattr(self, name)}")
        if min(self.rounds, self.round_scenes) < 0 or self.near > self.keep:
            raise InputError("a training's rounds are 0 or more, and near is no more than keep")
        if not 0.0 < self.again <= 1.0:
            raise InputError(f"a training's again lies between 0 and 1, not at {self.again}")


def batches_of(
    data: Data, vocabulary: Vocabulary, settings: ModelSettings, config: TrainConfig, seed: int
) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: epoch after epoch in a new order; a pure function of the step."""
    total, batch = len(data), config.batch
    names = [name for name in data.fields if name.startswith(INPUTS)]
    names += ["start", "future", "future_valid", "controls", "label_rows", "labels"]

    def batches(step: int) -> Mapping[str, Any]:
        found = data.take(epoch_rows(total, batch, seed, step), names)
        rng = np.random.default_rng((seed, 2, step))
        return targets_of(found, vocabulary.poses, settings, config.keep, config.near, rng)

    return batches


def bins_of(data: Data, settings: ModelSettings, config: TrainConfig, seed: int) -> Bins:
    """The control decoder's classes, of the expert's first controls in the training set."""
    some = np.sort(np.random.default_rng((seed, 3)).permutation(len(data))[:BIN_ROWS])
    found = data.take(some, ("controls", "start", "future_valid"))
    start = found["start"]
    pedals = expert_pedals(found["controls"], start[:, SPEED], start[:, ACCELERATION], settings.pedals)
    return Bins.of(pedals[:, :16][found["future_valid"][:, :16]], config.bins)


def validation_of(
    data: Data, vocabulary: Vocabulary, settings: ModelSettings, config: TrainConfig, device: str
) -> Callable[[Any], dict[str, float]]:
    """`validate(model)`: the mean losses, and the true score of the trajectory decoder's pick among all that
    were labelled, beside the best one's."""
    count = max(min(config.held_out, len(data)) // config.batch, 1)
    losses = mean_loss(
        HydraLoss(draws=config.draws), batches_of(data, vocabulary, settings, config, 0), count, device
    )
    order = np.random.default_rng((0, 1, 0)).permutation(len(data))
    score = TEACHER_NAMES.index("score")

    def validate(model: Any) -> dict[str, float]:
        out = losses(model)
        picked, best = [], []
        for k in range(count):
            found = data.take(order[k * config.batch : (k + 1) * config.batch])
            moments = scene_batch(
                to_device({n: found[n] for n in found if n.startswith(INPUTS)}, torch.device(device))
            )
            poses = torch.from_numpy(vocabulary.poses[found["label_rows"]]).to(device)
            total = combine(model.trajectory(model(moments), moments.scene, poses).logits, CLOSED_LOOP)
            choice = total.argmax(1).cpu().numpy()
            labels = found["labels"][..., score].astype(np.float64)
            picked += labels[np.arange(len(choice)), choice].tolist()
            best += labels.max(1).tolist()
        return {**out, "picked": float(np.mean(picked)), "oracle": float(np.mean(best))}

    return validate


class Recipe:
    """The recipe of `drive train hydra_next`."""

    name = NAME
    help = "Hydra-NeXt: scored vocabulary, control decoder and diffusion policy, fused into one control"

    def __init__(self) -> None:
        large = EncoderSettings(width=128, layers=3, heads=8, ffn=256)
        self.presets: Mapping[str, TrainConfig] = {
            "cpu": TrainConfig(),
            "gpu": TrainConfig(
                fit=FitSettings(steps=20_000, lr=5e-4, validate_every=2000),
                model=ModelSettings(
                    encoder=large,
                    heads=8,
                    ffn=256,
                    hidden=256,
                    trajectory_layers=3,
                    control_layers=3,
                    policy_layers=3,
                ),
                batch=256,
                keep=160,
                rounds=2,
                round_scenes=24,
            ),
        }

    def data(self, config: TrainConfig) -> DataPlan:
        data = replace(config.data, sensors=ENCODER_SENSORS[config.model.encoder.kind])
        return labelled(data, config.vocabulary)

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        vocabulary = run.vocabulary
        if vocabulary is None:
            raise InputError("hydra_next learns from a labelled vocabulary, and this training has none")
        settings = replace(config.model, vocabulary=len(vocabulary))
        settings = replace(settings, bins=bins_of(run.train, settings, config, run.seed))
        torch.manual_seed(run.seed)
        model: Any = HydraNext(settings)
        model.vocabulary.copy_(torch.tensor(vocabulary.poses))
        validate = validation_of(run.validation, vocabulary, settings, config, run.device)

        def learn(data: Data, how: FitSettings, folder: Path) -> Fitted:
            batches = batches_of(data, vocabulary, settings, config, how.seed)
            return fit(
                model, HydraLoss(draws=config.draws), batches, how, folder, validate=validate,
                resume=run.resume, device=run.device, progress=run.progress,
            )  # fmt: skip

        def write(path: Path, fits: Sequence[Fitted], data: Data) -> None:
            names = ("batch", "keep", "near", "draws", "rounds", "round_scenes", "again")
            about = {"model": asdict(settings)} | {name: getattr(config, name) for name in names}
            save_weights(path, fits[-1].model, run.card(ARCHITECTURE, about, fits, data))

        def learner(path: Path) -> HydraNextPlanner:
            return HydraNextPlanner(HydraNextConfig(weights=str(path)))

        return train_in_rounds(run, NAME, config, learn, write, learner)


RECIPE = Recipe()

__all__ = ["RECIPE", "Recipe", "TrainConfig", "batches_of", "bins_of", "validation_of"]
