"""How `gtrs` and its baselines `imitation` and `diffusion` are trained: data, batches, loss, validation, weights.

    drive train gtrs --preset cpu

One network is trained at once: encoder, scorer and generator. The scorer learns the teacher's verdicts on the
labelled part of the vocabulary, of which each batch sees a random part; with `rounds` it then drives, and learns
from the states that it came to as well (DAgger, Ross et al. 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings, fit
from drive.nn.store import DataRequest, JoinedSet, TrainingSet
from drive.nn.vocabulary import Vocabulary
from drive.nn.weights import Card, save_weights
from drive.planners.gtrs.actions import difference_range
from drive.planners.gtrs.aug import AugSettings
from drive.planners.gtrs.generator import GeneratorSettings
from drive.planners.gtrs.losses import dropout_rows
from drive.planners.gtrs.model import GTRSModel, ModelSettings
from drive.planners.gtrs.objective import Objective, ObjectiveSettings
from drive.planners.gtrs.planner import ARCHITECTURE, vocabulary_path
from drive.planners.gtrs.profiles import find_profile
from drive.planners.gtrs.refine import RefineSettings
from drive.planners.gtrs.scorer import ScorerSettings
from drive.planners.gtrs.verdict import chunks, moment, picks, scene_names, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Data = TrainingSet | JoinedSet


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` samples a step, of whose labelled candidates each step keeps `keep` (vocabulary dropout);
    `rounds` of driving and learning again, each with `fit.steps * again` steps more; `held_out` samples are
    validated on. `profile` weighs the heads, in the validation and, by the card, where the weights drive."""

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=6000, watch="watched"))
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    data: DataRequest = field(default_factory=DataRequest)
    batch: int = 32
    keep: int = 192
    rounds: int = 1
    again: float = 0.5
    held_out: int = 512
    profile: str = "closed_loop"

    def __post_init__(self) -> None:
        if min(self.batch, self.keep, self.held_out) < 1 or self.rounds < 0 or not 0.0 < self.again <= 1.0:
            raise InputError("a training's batch, keep and held_out are 1 or more, again lies in (0, 1]")


def batches_of(data: Data, batch: int, keep: int, seed: int) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: epoch after epoch in a new order, each batch with one draw of the labelled candidates.

    A pure function of the step, so that a training that was stopped goes on with the same batches.
    """
    total = len(data)
    per_epoch = max(total // batch, 1)
    names = scene_names(data.fields) + tuple(
        n for n in ("future", "future_valid", "label_rows", "labels") if n in data.fields
    )

    def batches(step: int) -> Mapping[str, Any]:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((seed, 1, epoch)).permutation(total)
        rows = order[place * batch : (place + 1) * batch]
        found = data.take(rows, names)
        if "label_rows" in found:
            draw = np.random.default_rng((seed, 2, step))
            kept = dropout_rows(found["label_rows"].shape[1], keep, draw)
            found["label_rows"] = found["label_rows"][:, kept]
            found["labels"] = found["labels"][:, kept]
        return found

    return batches


def validation_of(
    data: Data, poses: Any, objective: Objective, config: TrainConfig, device: Any
) -> Callable[[Any], dict[str, float]]:
    """`validate(model)`: the pick's true score beside the best, the mean and the straight candidate's; how
    far the pick ends from the expert; of the generator how near its best of 8 ends and how far they lie apart.

    `watched` is what a smaller value of is better: what the pick misses of the best score, or where nothing
    was learnt of a teacher its distance from the expert, or the generator's loss.
    """
    rows = np.random.default_rng(0).permutation(len(data))[: config.held_out]
    profile = find_profile(config.profile)

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


def train_model(
    train: Data,
    validation: Data,
    vocabulary: Vocabulary,
    config: TrainConfig,
    folder: Path,
    *,
    seed: int = 0,
    start: Mapping[str, Any] | None = None,
    device: str = "cpu",
    resume: bool = False,
    progress: Any = True,
) -> Any:
    """One fit, from scratch or from the weights `start`; gives what `drive.nn.fit.fit` gives."""
    torch.manual_seed(seed)
    model, mean = GTRSModel(config.model), None
    if model.generator is not None:
        some = np.random.default_rng(seed).permutation(len(train))[:20_000]
        known = train.take(np.sort(some), ("future", "future_valid"))
        model.generator.actions.set_range(
            *difference_range(np.where(known["future_valid"][..., None], known["future"], np.nan))
        )
    if start is not None:
        model.load_state_dict(start)
    if config.objective.aug.soft:
        mean = GTRSModel(config.model)
    poses = torch.tensor(vocabulary.poses, device=device)
    objective = Objective(config.objective, poses, None if mean is None else mean.to(device))
    return fit(
        model,
        objective,
        batches_of(train, config.batch, config.keep, seed),
        replace(config.fit, seed=seed),
        folder,
        validate=validation_of(validation, poses, objective, config, device),
        mean=mean,
        resume=resume,
        device=device,
        progress=progress,
    )


def write(
    path: Path, fitted: Any, vocabulary: Vocabulary, config: TrainConfig, train: Data, about: Mapping[str, Any]
) -> Path:
    """Weights, their card and their vocabulary."""
    card = Card(
        architecture=ARCHITECTURE,
        config={
            "model": asdict(config.model), "objective": asdict(config.objective), "profile": config.profile,
            "batch": config.batch, "keep": config.keep, "rounds": config.rounds,
        },
        vocabulary=vocabulary.hash,
        data=train.hash,
        licences=tuple(train.header.get("licences", ())),
        steps=fitted.steps,
        seconds=fitted.seconds,
        training=fitted.figures,
        **about,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, fitted.model, card)
    vocabulary.save(vocabulary_path(path))
    return path
