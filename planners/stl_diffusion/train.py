"""How `stl_diffusion` and its baselines are trained: calibrate, augment, imitate, refine.

    drive train stl_diffusion --preset cpu
    drive train stl_diffusion --set model.kind=vae
    drive train stl_diffusion --set objective.shows=expert
    drive train stl_diffusion --set model.kind=vae --set objective.hinge=1 --set objective.overlap=1

Without augmentation ("expert") and as a VAE these are baselines; the last one is like TrafficSim. Calibration
happens chunk by chunk within the augmentation, which is kept beside the run, or in `augmented` for several
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings, fit, mean_loss
from drive.nn.recipe import DataPlan
from drive.nn.rounds import ENCODER_SENSORS, epoch_rows
from drive.nn.store import DataRequest
from drive.nn.tensors import read_tensors
from drive.nn.tokens import scene_batch
from drive.nn.weights import save_weights
from drive.planners.gtrs.planner import WEIGHTS as GTRS_WEIGHTS
from drive.planners.learned.shipped import find_weights
from drive.planners.stl_diffusion.augment import AugmentSettings, augmented
from drive.planners.stl_diffusion.losses import (
    LANES,
    TOKENS,
    ObjectiveSettings,
    PolicyLoss,
    RefineLoss,
    RefineSettings,
)
from drive.planners.stl_diffusion.model import ARCHITECTURE, ModelSettings, PolicyNet
from drive.planners.stl_diffusion.signals import make_ground, moved_on
from drive.planners.stl_diffusion.template import MODES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import Data, TrainingRun
    from drive.nn.store import TrainingSet

NAME = "stl_diffusion"
INPUTS = ("scene.", "raster", "images")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`batch` moments a step, each in three modes with all its samples; `held_out` moments of the validation
    set are augmented too, and validated on. `augmented` is a folder for the augmentation, "" for the run's
    own; equal settings make equal ones, whatever the seed of the run. `encoder` names weights of `gtrs`
    (shipped ones, or a file) whose encoder is taken as it is; "" trains one."""

    fit: FitSettings = field(default_factory=lambda: FitSettings(steps=4000, validate_every=1000))
    model: ModelSettings = field(default_factory=ModelSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    data: DataRequest = field(default_factory=lambda: DataRequest(near=0, random=0))
    batch: int = 32
    held_out: int = 128
    augmented: str = ""
    encoder: str = "gtrs"

    def __post_init__(self) -> None:
        if min(self.batch, self.held_out) < 1 or self.refine.steps < 0:
            raise InputError("a training's batch and held_out are 1 or more, refine.steps 0 or more")
        if self.model.motion.steps > 40 or abs(self.model.motion.dt - 0.1) > 1e-9:
            raise InputError("training sets know 40 poses, one every 0.1 s: fewer knots, or shorter ones")


def batches_of(
    data: Data, extra: TrainingSet, batch: int, seed: int, kept: Mapping[str, NDArray[Any]] | None = None
) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: moments with their augmentation, and what was `kept` of each; a pure function of the
    step."""
    scenes = [name for name in data.fields if name.startswith(INPUTS)]
    total, size = len(extra), min(batch, len(extra))

    def batches(step: int) -> Mapping[str, Any]:
        rows = epoch_rows(total, size, seed, step)
        found = extra.take(rows)
        beside = {name: values[rows] for name, values in (kept or {}).items()}
        return {**found, **data.take(found["row"], scenes), **beside}

    return batches


def take_encoder(model: PolicyNet, name: str) -> None:
    """Give a policy the encoder of weights of `gtrs`, not to be trained."""
    path = find_weights("gtrs", name, GTRS_WEIGHTS)[0]
    found = {
        key.removeprefix("encoder."): value
        for key, value in read_tensors(path)[0].items()
        if key.startswith("encoder.")
    }
    try:
        model.encoder.load_state_dict(found)
    except RuntimeError:
        raise InputError(f"the encoder of '{path}' is not one of model.encoder's settings") from None
    model.encoder.requires_grad_(False)


@torch.no_grad()
def kept_of(model: PolicyNet, data: Data, extra: TrainingSet, device: str) -> dict[str, NDArray[Any]]:
    """What an encoder that is not trained sees of each moment, and its lanes: TOKENS and LANES."""
    scenes = [name for name in data.fields if name.startswith(INPUTS)]
    rows, found = extra.take(np.arange(len(extra)), ["row"])["row"], []
    model = model.to(device).eval()
    for begin in range(0, len(rows), 64):
        view = scene_batch(data.take(rows[begin : begin + 64], scenes), device)
        if view.scene is None:
            raise InputError("a policy learns from the arrays of scenes: the set has none")
        ground = make_ground(view.scene, MODES, moved_on(view.scene, torch.zeros(1, device=device), 1))
        seen = model.encoder(view)
        found.append((seen.tokens, seen.valid, seen.ego, ground.points, ground.known))
    whole = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    return dict(zip(TOKENS + LANES, whole, strict=True))


class Recipe:
    """The recipe of `drive train stl_diffusion`."""

    name = NAME
    help = "diffusion over controls that obeys a formula of signal temporal logic, and its baselines"

    def __init__(self) -> None:
        large = EncoderSettings(width=128, layers=3, heads=8, ffn=256)
        small = TrainConfig()
        self.presets: Mapping[str, TrainConfig] = {
            "cpu": small,
            "gpu": replace(
                small,
                fit=FitSettings(steps=40_000, lr=5e-4, validate_every=4000),
                model=ModelSettings(encoder=large, hidden=512, layers=4),
                refine=RefineSettings(steps=5000, samples=32),
                augment=AugmentSettings(
                    rows=12_000, samples=32, chunk=512,
                    optimise=replace(small.augment.optimise, steps=500, rate=0.03),
                ),
                batch=128,
                held_out=512,
                encoder="",
            ),
        }  # fmt: skip

    def data(self, config: TrainConfig) -> DataPlan:
        return DataPlan(replace(config.data, sensors=ENCODER_SENSORS[config.model.encoder.kind]))

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        place = Path(config.augmented) if config.augmented else run.folder / "augmented"
        motion, some = config.model.motion, replace(config.augment, rows=config.held_out)
        extra, held = (
            augmented(data, place / name, how, motion, device=run.device, progress=run.progress)
            for name, data, how in (
                ("train", run.train, config.augment), ("validation", run.validation, some)
            )
        )  # fmt: skip
        torch.manual_seed(run.seed)
        refines = config.model.kind == "ddpm" and config.refine.steps > 0
        settings = replace(config.model, refines=refines)
        model: Any = PolicyNet(settings)
        own: dict[str, dict[str, NDArray[Any]]] = {"train": {}, "validation": {}}
        if config.encoder:
            take_encoder(model, config.encoder)
            own = {
                "train": kept_of(model, run.train, extra, run.device),
                "validation": kept_of(model, run.validation, held, run.device),
            }
        count = max(len(held) // config.batch, 1)
        known = batches_of(run.validation, held, config.batch, 0, own["validation"])

        def learn(part: Any, loss: Any, how: FitSettings, folder: str) -> Any:
            return fit(
                part, loss, batches_of(run.train, extra, config.batch, how.seed, own["train"]), how,
                run.folder / folder, validate=mean_loss(loss, known, count, run.device),
                resume=run.resume, device=run.device, progress=run.progress,
            )  # fmt: skip

        o = config.objective
        how = replace(config.fit, seed=run.seed)
        if o.hinge > 0.0 or o.overlap > 0.0:
            how = replace(how, speed="eager")  # roll-outs ask the device, which a graph cannot replay
        fits = [learn(model, PolicyLoss(o), how, "fit-0")]
        if refines:
            r = config.refine
            how = FitSettings(
                steps=r.steps, lr=r.lr, warmup=min(50, r.steps), seed=run.seed + 1000,
                validate_every=max(r.steps // 4, 1), watch="broken", speed="eager",
            )  # fmt: skip
            base = model.eval().requires_grad_(False)
            model.refine.requires_grad_(True)
            fits.append(learn(model.refine, RefineLoss(base, r), how, "fit-refine"))
        about: dict[str, Any] = {
            name: asdict(getattr(config, name)) for name in ("objective", "refine", "augment")
        }
        about |= {"model": asdict(settings), "batch": config.batch, "augmentation": extra.hash}
        about |= {"encoder": config.encoder}
        path = run.folder / f"{NAME}.safetensors"
        save_weights(path, model, run.card(ARCHITECTURE, about, fits))
        return path


RECIPE = Recipe()
"""A diffusion policy that obeys a formula, and its baselines."""

__all__ = ["RECIPE", "Recipe", "TrainConfig", "batches_of", "kept_of", "take_encoder"]
