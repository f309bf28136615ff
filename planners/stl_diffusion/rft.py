"""The recipe `stl_diffusion-rft`: a trained policy learns from the scores of what it draws.

    drive train stl_diffusion-rft --out out/rft
    drive train stl_diffusion-rft --set tune.diversity=0.3 --out out/diverse

It goes on from weights (`start`, "" for the shipped ones). The encoder and RefineNet stay as they are. On
held-out moments it says what has come of it, and of figures that no reward looks at: where the share that
obeys the formula falls by more than `guard`, the weights are not kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.fit import FitSettings, fit
from drive.nn.recipe import DataPlan
from drive.nn.rounds import ENCODER_SENSORS, epoch_rows
from drive.nn.store import DataRequest
from drive.nn.weights import save_weights
from drive.planners.learned.shipped import find_weights
from drive.planners.stl_diffusion.model import ARCHITECTURE, PolicyNet
from drive.planners.stl_diffusion.planner import WEIGHTS, load_policy
from drive.planners.stl_diffusion.tuning import TuneSettings, measured, tune_loss

if TYPE_CHECKING:
    from drive.nn.recipe import TrainingRun

NAME = "stl_diffusion-rft"


@dataclass(frozen=True, slots=True)
class RFTConfig:
    """`batch` moments a step of the `moments` that are driven; `held_out` others tell what it is worth.
    Weights whose samples obey the formula more seldom than before by a share of `guard` are not kept."""

    start: str = ""
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            steps=400, lr=5e-4, schedule="constant", warmup=10, ema=0.0, validate_every=50, log_every=10,
            watch="watched", weight_decay=0.0, speed="eager",
        )
    )  # fmt: skip
    tune: TuneSettings = field(default_factory=TuneSettings)
    data: DataRequest = field(
        default_factory=lambda: DataRequest(scenes=8, first_seed=20_000, every=1.5, near=0, random=0)
    )
    batch: int = 32
    moments: int = 512
    held_out: int = 192
    guard: float = 0.05

    def __post_init__(self) -> None:
        if min(self.batch, self.moments, self.held_out) < 1:
            raise InputError("a fine-tuning's batch, moments and held_out are 1 or more")
        if not 0.0 <= self.guard <= 1.0:
            raise InputError(f"a fine-tuning's guard lies between 0 and 1, not at {self.guard}")


class RFTRecipe:
    """The recipe of `drive train stl_diffusion-rft`."""

    name = NAME
    planner = "stl_diffusion"
    help = "stl_diffusion learns from the scores of what it draws (GRPO on the denoising chain)"
    presets: Mapping[str, RFTConfig] = {
        "cpu": RFTConfig(),
        "gpu": RFTConfig(
            fit=replace(RFTConfig().fit, steps=3000, validate_every=250),
            tune=TuneSettings(group=16),
            data=replace(RFTConfig().data, scenes=64),
            batch=64,
            moments=8192,
            held_out=1024,
        ),
    }

    def data(self, config: RFTConfig) -> DataPlan:
        # The moments to learn from are driven by the recipe itself: of a set it needs no more than one scene.
        few = replace(config.data, scenes=1, families=config.data.families[:1])
        return DataPlan(few, replace(few, first_seed=9_000))

    def train(self, run: TrainingRun, config: RFTConfig) -> Path:
        if run.moments is None:
            raise InputError(f"{NAME} needs moments whose answers can be judged: run it by drive train")
        torch.manual_seed(run.seed)
        model, card = load_policy(find_weights("stl_diffusion", config.start, WEIGHTS)[0], run.device)
        if model.settings.kind != "ddpm":
            raise InputError(f"{NAME} tunes a denoising chain: these weights are a {model.settings.kind}")
        kind = model.settings.encoder
        request = replace(config.data, sensors=ENCODER_SENSORS[kind.kind], sizes=kind.sizes)
        held = replace(request, first_seed=9_500, scenes=max(request.scenes // 3, 1))
        learnt, held_out = run.moments(request, config.moments), run.moments(held, config.held_out)
        model.requires_grad_(True)
        for part in (model.encoder, model.refine):
            part.requires_grad_(False)
        before: PolicyNet = copy.deepcopy(model).eval().requires_grad_(False)
        first = measured(before, held_out, config.tune, run.device)
        run.progress.note("before: " + ", ".join(f"{name} {value:.3f}" for name, value in first.items()))

        def batches(step: int) -> Mapping[str, Any]:
            return {"which": epoch_rows(len(learnt), min(config.batch, len(learnt)), run.seed, step)}

        def validate(tuned: Any) -> dict[str, float]:
            found = measured(tuned, held_out, config.tune, run.device)
            fell = found["compliance"] < (1.0 - config.guard) * first["compliance"]
            return {**found, "watched": 1.0 - found["score"] + float(fell)}

        loss = tune_loss(learnt, before, config.tune, run.device)
        fitted = fit(
            model, loss, batches, replace(config.fit, seed=run.seed), run.folder / "fit", validate=validate,
            resume=run.resume, device=run.device, progress=run.progress,
        )  # fmt: skip
        about: dict[str, Any] = {
            **dict(card.config), "tune": asdict(config.tune), "start": card.sha256, "before": first,
        }  # fmt: skip
        path = run.folder / f"{NAME}.safetensors"
        save_weights(path, fitted.model, run.card(ARCHITECTURE, about, fitted))
        return path


RECIPE = RFTRecipe()
"""stl_diffusion learns from the scores of what it draws."""

__all__ = ["RECIPE", "RFTConfig", "RFTRecipe"]
