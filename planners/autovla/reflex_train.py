"""The recipe `autovla-reflex`: a trained `autovla` gets the reflex to brake for whom it sees ahead.

    drive train autovla-reflex --set start=out/rft/autovla-rft.safetensors --out out/reflex

The network stays as it is: its hidden states at the prompts' ends are computed once, and a small head learns
from them what the simulator knows of who is ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.fit import fit, mean_loss
from drive.nn.recipe import DataPlan
from drive.nn.rounds import epoch_rows
from drive.nn.scene import SceneArrays
from drive.nn.store import JoinedSet
from drive.planners.autovla.config import DATA, ReflexConfig
from drive.planners.autovla.planner import AutoVLAConfig, AutoVLAPlanner
from drive.planners.autovla.product import Product, Setup, load_product, save_product
from drive.planners.autovla.reflex import (
    ARCHITECTURE,
    BRAKES,
    Reflex,
    ReflexSettings,
    pressure_of,
    prompt_states,
    save_reflex,
)
from drive.planners.autovla.sft import SCENE, Examples
from drive.planners.autovla.train import data_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import Data, TrainingRun
    from drive.progress import Listener

NAME = "autovla-reflex"
OWN_EVERY, OWN_TWINS = 0.5, 0.3
"""Of its own drives every moment at which it is asked (s), and others beside some of them."""
CLEAR = 0.25
"""Pressure below which braking is a false alarm."""


@dataclass(frozen=True, slots=True, eq=False)
class Felt:
    """Of moments `(N,)`: hidden states `(N, D)`, speeds in m/s, and the true pressure."""

    states: NDArray[np.float32]
    speed: NDArray[np.float32]
    pressure: NDArray[np.float32]

    @classmethod
    def of(cls, data: Data, product: Product, listener: Listener) -> Felt:
        """Of all moments of a set."""
        setup, size = product.setup, 16
        examples = Examples.of(data, setup.prompt, setup.actions, setup.pictures)
        states, speed, found = [], [], []
        for begin in range(0, len(examples), size):
            rows = np.arange(begin, min(begin + size, len(examples)))
            listener.progress("hidden states", begin, len(examples))
            states.append(
                prompt_states(product.vla, product.phrases, examples.prompts(product.phrases, rows))
            )
            taken = data.take(examples.rows[rows], [*SCENE, "start"])
            speed.append(np.maximum(taken["start"][:, 3], 0.0))
            found += [pressure_of(SceneArrays(*(taken[n][k] for n in SCENE))) for k in range(len(rows))]
        listener.progress("hidden states", len(examples), len(examples))
        return cls(np.concatenate(states), np.concatenate(speed), np.array(found, dtype=np.float32))

    def batch(self, rows: NDArray[Any]) -> dict[str, Any]:
        """Some moments."""
        return {"states": self.states[rows], "speed": self.speed[rows], "pressure": self.pressure[rows]}


def reflex_loss(caution: float) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """`loss(model, batch, generator)` for `drive.nn.fit`: twice the squared error, what is told too small
    times `caution` and what is told too large times the rest (an expectile, Newey and Powell 1987)."""

    def loss(model: Any, batch: Mapping[str, Tensor], generator: Any) -> tuple[Tensor, dict[str, Tensor]]:
        missed = batch["pressure"] - model(batch["states"], batch["speed"])
        weight = torch.where(missed > 0.0, caution, 1.0 - caution)
        return 2.0 * (weight * missed**2).mean(), {"error": (missed.detach() ** 2).mean()}

    return loss


def figures_of(told: NDArray[Any], true: NDArray[Any]) -> dict[str, float]:
    """How well pressures are told: the squared error and the variance, the share of alarms that are right, of
    moments that want one that get it, and of clear moments that are braked in."""
    alarm, wanted = told > BRAKES, true > BRAKES
    return {
        "error": float(((told - true) ** 2).mean()),
        "variance": float(true.var()),
        "right": float(wanted[alarm].mean()) if alarm.any() else 0.0,
        "found": float(alarm[wanted].mean()) if wanted.any() else 0.0,
        "false": float(alarm[true < CLEAR].mean()) if (true < CLEAR).any() else 0.0,
    }


class ReflexRecipe:
    """The recipe of `drive train autovla-reflex`."""

    name = NAME
    planner = "autovla"
    help = "a trained autovla gets the reflex to brake for whom it sees ahead"

    def __init__(self) -> None:
        self.presets: Mapping[str, ReflexConfig] = {
            "cpu": ReflexConfig(),
            "gpu": ReflexConfig(data=replace(DATA, scenes=160)),
        }

    def data(self, config: ReflexConfig) -> DataPlan:
        if not config.start:
            # `train` will tell: not after all scenes, but after one.
            few = replace(config.data, scenes=1, families=config.data.families[:1])
            return DataPlan(data_of(few, Setup()))
        return DataPlan(data_of(config.data, load_product(Path(config.start))[0].setup))

    def train(self, run: TrainingRun, config: ReflexConfig) -> Path:
        if not config.start:
            raise InputError("autovla-reflex is of trained weights: give --set start=FILE.safetensors")
        torch.manual_seed(run.seed)
        product, card = load_product(Path(config.start), run.device)
        data: Data = run.train
        if config.own_scenes:
            learner = AutoVLAPlanner(AutoVLAConfig(config.start, reflex=False, device=run.device))
            request = replace(data_of(config.data, product.setup), every=OWN_EVERY, twins=OWN_TWINS)
            data = JoinedSet([run.train, run.collect(learner, 1, config.own_scenes, request)])
        train, held_out = (Felt.of(part, product, run.progress) for part in (data, run.validation))
        reflex = Reflex(ReflexSettings(train.states.shape[1], config.width))
        reflex.of_states(torch.from_numpy(train.states))

        def batches(step: int) -> Mapping[str, Any]:
            return train.batch(
                epoch_rows(len(train.speed), min(config.batch, len(train.speed)), run.seed, step)
            )

        loss = reflex_loss(config.caution)
        watched = mean_loss(loss, lambda step: held_out.batch(np.arange(len(held_out.speed))), 1, run.device)

        def validate(model: Any) -> dict[str, float]:
            device = next(model.parameters()).device
            with torch.no_grad():
                told = model(*(torch.from_numpy(a).to(device) for a in (held_out.states, held_out.speed)))
            return {**watched(model), **figures_of(told.cpu().numpy(), held_out.pressure)}

        fitted = fit(
            reflex, loss, batches, replace(config.fit, seed=run.seed), run.folder / "fit",
            validate=validate, resume=run.resume, device=run.device, progress=run.progress,
        )  # fmt: skip
        path = run.folder / f"{NAME}.safetensors"
        save_product(path, product, card)
        about = {
            "start": card.sha256, "data": asdict(config.data), "batch": config.batch,
            "caution": config.caution, "own_scenes": config.own_scenes,
        }  # fmt: skip
        save_reflex(path, reflex, run.card(ARCHITECTURE, about, fitted, data))
        return path


RECIPE = ReflexRecipe()
"""A trained autovla gets the reflex to brake for whom it sees ahead."""

__all__ = ["RECIPE", "Felt", "ReflexRecipe", "figures_of", "reflex_loss"]
