"""How `gtrs` and its baselines `imitation` and `diffusion` are trained.

    drive train gtrs --preset cpu

One network is trained at once: encoder, scorer and generator. The scorer learns the teacher's verdicts on the
labelled part of the vocabulary, of which each batch sees a random part; with `rounds` it then drives, and
learns from the states that it came to as well (DAgger, Ross et al. 2011).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings, Fitted, fit
from drive.nn.recipe import DataPlan, labelled
from drive.nn.rounds import ENCODER_SENSORS, epoch_rows, train_in_rounds
from drive.nn.store import DataRequest
from drive.nn.weights import save_weights
from drive.planners.gtrs.actions import difference_range
from drive.planners.gtrs.aug import AugSettings
from drive.planners.gtrs.generator import GeneratorSettings
from drive.planners.gtrs.losses import dropout_rows
from drive.planners.gtrs.model import GTRSModel, ModelSettings
from drive.planners.gtrs.objective import Objective, ObjectiveSettings
from drive.planners.gtrs.planner import (
    ARCHITECTURE,
    DiffusionConfig,
    DiffusionPlanner,
    GTRSConfig,
    GTRSPlanner,
    ImitationConfig,
    ImitationPlanner,
    vocabulary_path,
)
from drive.planners.gtrs.profiles import PROFILES
from drive.planners.gtrs.refine import RefineSettings
from drive.planners.gtrs.scorer import ScorerSettings
from drive.planners.gtrs.verdict import chunks, moment, picks, scene_names, spread
from drive.planners.learned.profiles import find_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import Data, TrainingRun
    from drive.nn.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step, of whose labelled candidates each step keeps `keep` (vocabulary dropout).

    After the first training come `rounds` of driving in `round_scenes` fresh scenes of each family and
    learning again, each with `fit.steps * again` more steps at half the learning rate. `held_out` samples are
    validated on. `profile` weighs the heads, in the validation and, by the card, where the weights drive.
    `vocabulary` is the number of its rows, where one must be made.
    """

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=2500, watch="watched"))
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    data: DataRequest = field(default_factory=DataRequest)
    batch: int = 32
    keep: int = 192
    rounds: int = 1
    round_scenes: int = 4
    again: float = 0.5
    held_out: int = 512
    profile: str = "closed_loop"
    vocabulary: int = 4096

    def __post_init__(self) -> None:
        if min(self.batch, self.keep, self.held_out, self.vocabulary) < 1:
            raise InputError("a training's batch, keep, held_out and vocabulary are 1 or more")
        if min(self.rounds, self.round_scenes) < 0 or not 0.0 < self.again <= 1.0:
            raise InputError("a training's rounds are 0 or more, its again lies between 0 and 1")


def batches_of(data: Data, batch: int, keep: int, seed: int) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: epoch after epoch in a new order, each batch with one draw of the labelled candidates.

    A pure function of the step, so that a training that was stopped goes on with the same batches.
    """
    total = len(data)
    names = scene_names(data.fields) + tuple(
        n for n in ("future", "future_valid", "label_rows", "labels") if n in data.fields
    )

    def batches(step: int) -> Mapping[str, Any]:
        rows = epoch_rows(total, batch, seed, step)
        found = data.take(rows, names)
        if "label_rows" in found:
            draw = np.random.default_rng((seed, 2, step))
            kept = dropout_rows(found["label_rows"].shape[1], keep, draw)
            found["label_rows"] = found["label_rows"][:, kept]
            found["labels"] = found["labels"][:, kept]
        return found

    return batches


def validation_of(
    data: Data, poses: Any, config: TrainConfig, device: Any
) -> Callable[[Any], dict[str, float]]:
    """`validate(model)`: the pick's true score beside the best, the mean and the straight candidate's; how
    far the pick ends from the expert; of the generator how near its best of 8 ends, and how far these lie
    apart.

    `watched` is what a smaller value of is better: what the pick misses of the best score, or where nothing
    was learnt of a teacher its distance from the expert, or the generator's loss.
    """
    rows = np.random.default_rng(0).permutation(len(data))[: config.held_out]
    profile = find_profile(config.profile, PROFILES)

    def validate(model: Any) -> dict[str, float]:
        out: dict[str, float] = {}
        if model.scorer is not None:
            out |= picks(model, data, rows, poses, profile, device).figures()
            taught = bool(model.scorer.settings.teacher)
            out["watched"] = out["oracle"] - out["picked"] if taught else out["error"]
        if model.generator is not None:
            out |= _generated(model, data, rows[:256], device)
            out.setdefault("watched", out["generator"])
        return out

    return validate


def _generated(model: Any, data: Data, rows: NDArray[np.intp], device: Any) -> dict[str, float]:
    draw = torch.Generator().manual_seed(0)
    loss, nearest, apart = [], [], []
    for batch in chunks(data, rows, device):
        view = moment(batch)
        tokens = model(view)
        known, future = batch["future_valid"].bool().all(1), batch["future"].float().nan_to_num()
        loss.append(model.generator.loss(tokens, future, known, draw))
        noise = torch.randn((len(known), 8, model.generator.size), generator=draw).to(device)
        proposals = model.propose(tokens, view, noise, draw)
        ends = (proposals[:, :, -1, :2] - future[:, None, -1, :2]).norm(dim=-1).min(1).values
        nearest.append(ends[known])
        apart.append(spread(proposals))
    return {
        "generator": float(torch.stack(loss).mean()),
        "nearest": float(torch.cat(nearest).mean()),
        "spread": float(torch.cat(apart).mean()),
    }


class Recipe:
    """One of three recipes: the scorer with its teacher, without it, or the generator alone."""

    def __init__(self, name: str, help_: str, presets: Mapping[str, TrainConfig]) -> None:
        self.name, self.help, self.presets = name, help_, presets

    def data(self, config: TrainConfig) -> DataPlan:
        data = replace(config.data, sensors=ENCODER_SENSORS[config.model.encoder.kind])
        return labelled(data, config.vocabulary)

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        if run.vocabulary is None:
            raise InputError(f"recipe '{self.name}' needs sets that are labelled for a vocabulary")
        torch.manual_seed(run.seed)
        model: Any = GTRSModel(config.model)
        find_range(model, run.train, run.seed)
        vocabulary = run.vocabulary

        def once(data: Data, how: FitSettings, folder: Path) -> Fitted:
            return learn(
                model, data, run.validation, vocabulary, replace(config, fit=how), folder, run.device,
                run.resume, run.progress,
            )  # fmt: skip

        def write(path: Path, fits: Sequence[Fitted], data: Data) -> None:
            save_weights(path, fits[-1].model, run.card(ARCHITECTURE, about(config), fits, data))
            vocabulary.save(vocabulary_path(path))

        return train_in_rounds(run, self.name, config, once, write, self.learner)

    def learner(self, weights: Path) -> Any:
        """The planner that drives between two rounds; few candidates, for only the states matter."""
        if self.name == "gtrs":
            return GTRSPlanner(GTRSConfig(str(weights), candidates=512))
        if self.name == "imitation":
            return ImitationPlanner(ImitationConfig(str(weights), candidates=512))
        return DiffusionPlanner(DiffusionConfig(str(weights), proposals=1))


def find_range(model: GTRSModel, data: Data, seed: int) -> None:
    """Tell the generator how far expert poses lie apart in the training set."""
    if model.generator is None:
        return
    some = np.sort(np.random.default_rng(seed).permutation(len(data))[:20_000])
    known = data.take(some, ("future", "future_valid"))
    future = np.where(known["future_valid"][..., None], known["future"], np.nan)
    model.generator.actions.set_range(*difference_range(future))


def learn(
    model: GTRSModel,
    data: Data,
    validation: Data,
    vocabulary: Vocabulary,
    config: TrainConfig,
    folder: Path,
    device: str = "cpu",
    resume: bool = False,
    progress: Any = False,
) -> Fitted:
    """One fit of `model`, in place."""
    soft = config.objective.aug.soft
    mean = copy.deepcopy(model).to(device).requires_grad_(False) if soft else None
    poses = torch.tensor(vocabulary.poses, device=device)
    objective = Objective(config.objective, poses, mean)
    return fit(
        model,
        objective,
        batches_of(data, config.batch, config.keep, config.fit.seed),
        config.fit,
        folder,
        validate=validation_of(validation, poses, config, device),
        mean=mean,
        resume=resume,
        device=device,
        progress=progress,
    )


def about(config: TrainConfig) -> dict[str, Any]:
    """What a card says of the configuration."""
    names = ("profile", "batch", "keep", "rounds", "round_scenes", "again")
    return {"model": asdict(config.model), "objective": asdict(config.objective)} | {
        name: getattr(config, name) for name in names
    }


def _presets(change: Callable[[TrainConfig], TrainConfig]) -> dict[str, TrainConfig]:
    small = TrainConfig()
    large = TrainConfig(
        fit=FitSettings(steps=30_000, lr=5e-4, warmup=500, ema=0.998, validate_every=2000, watch="watched"),
        model=ModelSettings(
            EncoderSettings(width=128, layers=3, heads=8, ffn=256),
            ScorerSettings(heads=8, layers=3, ffn=256, hidden=256),
            RefineSettings(topk=64),
            GeneratorSettings(heads=8, layers=4, ffn=512, draws=16),
        ),
        objective=ObjectiveSettings(aug=AugSettings(views=1, soft=True)),
        batch=128,
        keep=288,
        rounds=2,
        round_scenes=24,
        held_out=2048,
        vocabulary=8192,
    )
    return {"cpu": change(small), "gpu": change(large)}


def _imitation(config: TrainConfig) -> TrainConfig:
    model = replace(config.model, scorer=replace(config.model.scorer, teacher=()), proposes=False)
    plain = replace(config.objective, profile="imitation")
    return replace(config, model=model, objective=plain, profile="imitation")


def _diffusion(config: TrainConfig) -> TrainConfig:
    plain = replace(config.objective, aug=AugSettings())
    return replace(config, model=replace(config.model, scores=False), objective=plain)


RECIPE = Recipe("gtrs", "scorer of a dense vocabulary, with its generator", _presets(lambda config: config))
"""Scores a dense vocabulary as a rule-based teacher would; its generator proposes."""
IMITATION = Recipe(
    "imitation", "the baseline of gtrs: the same scorer without a teacher", _presets(_imitation)
)
"""The baseline of gtrs: the same scorer, taught by the expert alone."""
DIFFUSION = Recipe(
    "diffusion", "the baseline of gtrs: the generator alone, a random pick", _presets(_diffusion)
)
"""The baseline of gtrs: the generator alone, of whose proposals a random one is driven."""

__all__ = [
    "DIFFUSION",
    "IMITATION",
    "RECIPE",
    "Recipe",
    "TrainConfig",
    "batches_of",
    "learn",
    "validation_of",
]
