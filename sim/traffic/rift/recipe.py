"""How the traffic policy is trained: a base by imitation, or a style tuned on one in closed loop.

    drive train rift --set style=safe --set base_weights=base --out out/safe
    drive train rift --set style= --out out/base

It makes its own data: scenes of the generator, of training seeds alone.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn.fit import FitSettings
from drive.nn.recipe import device_name
from drive.nn.weights import Card, save_weights
from drive.sim.traffic.rift.base import (
    FAMILIES,
    TRAIN,
    TUNE,
    BaseSettings,
    examples_of,
    generated,
    opposed,
    train_base,
)
from drive.sim.traffic.rift.net import ARCHITECTURE
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.pretrain import gather
from drive.sim.traffic.rift.style import STYLES, style_of
from drive.sim.traffic.rift.tune import TuneSettings, tune
from drive.sim.traffic.rift.worlds import Worlds

if TYPE_CHECKING:
    from drive.nn.recipe import TrainingRun

NAME = "rift"


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """`style` is one of `style.STYLES`, or empty for a base alone. Styles are tuned on `base_weights`: a
    file, the name of shipped ones, or empty: then a base is trained first. `families` of the generator make
    the scenes of the tuning; in half of its states a rash driver of the same trunk has come, whose head
    learns from `rash` scenes of each family (0: nobody)."""

    style: str = "default"
    base_weights: str = "base"
    families: tuple[str, ...] = FAMILIES
    rash: int = 2
    base: BaseSettings = field(default_factory=BaseSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)

    def __post_init__(self) -> None:
        if self.style:
            style_of(self.style)
        elif self.base_weights:
            object.__setattr__(self, "base_weights", "")
        if not self.families or self.rash < 0:
            raise InputError("a tuning needs families of scenes, and a rash driver 0 or more of each")


class Recipe:
    """The recipe of `drive train rift`."""

    name = NAME
    help = "traffic: a multimodal policy by imitation, tuned in closed loop for a style"
    presets: Mapping[str, TrainConfig] = {
        "cpu": TrainConfig(),
        "gpu": TrainConfig(
            base_weights="",
            base=BaseSettings(scenes=96, batch=512, fit=FitSettings(steps=12_000, warmup=300)),
            tune=TuneSettings(rounds=40, refresh=6, scenes=24, parts=4, states=16_384, batch=1024),
        ),
    }

    def data(self, config: TrainConfig) -> None:
        """None: the recipe makes its own data, for a set of one ego's moments is none for traffic."""

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        base_path = run.folder / "base.safetensors"
        began = time.monotonic()
        licences = config.base.licences
        if config.base_weights or base_path.exists():
            net, base = load_policy(config.base_weights or base_path)
            licences = base.licences
        else:
            how = replace(config.base, fit=replace(config.base.fit, seed=run.seed))
            examples, held = examples_of(how, run.seed, run.progress)
            run.progress.note(f"{len(examples)} examples of people, {len(held)} held out")
            net, fitted, figures = train_base(
                how, examples, held, run.folder / "fit", seed=run.seed, resume=run.resume, device=run.device,
                progress=run.progress,
            )  # fmt: skip
            about = {
                "model": asdict(how.model), "base": how.base, "scenes": how.scenes,
                "recorded": [Path(one).name for one in how.scenarios], "repeats": how.repeats,
                "unseen": [Path(one).name for one in how.unseen], "start": Path(how.start).name,
            }  # fmt: skip
            steps, seconds = (fitted.steps, fitted.seconds) if fitted else (0, time.monotonic() - began)
            card = _card(run, about, _digest(how), steps, seconds, figures, how.licences)
            save_weights(base_path, net, card)
        if not config.style:
            return base_path
        path = run.folder / f"{config.style}.safetensors"
        rash = None
        if config.rash:
            shown = gather(generated(config.families, TRAIN, config.rash), run.seed, run.progress.note)
            rash = opposed(net, "aggressive", shown)
        state = tune(
            net, style_of(config.style), pool_of(config, run.seed), config.tune, run.folder / "tune",
            seed=run.seed, resume=run.resume, progress=run.progress, rash=rash,
        )  # fmt: skip
        about = {
            "model": asdict(net.settings), "style": config.style, "weights": asdict(STYLES[config.style]),
            "tune": asdict(config.tune), "rash": config.rash,
            "base_weights": Path(config.base_weights).name or "own",
        }  # fmt: skip
        last = {k: v for k, v in state.history[state.kept - 1].items() if v == v}
        digest = _digest((config.families, config.tune, run.seed))
        seconds = time.monotonic() - began
        save_weights(path, state.net, _card(run, about, digest, state.done, seconds, last, licences))
        return path


def pool_of(config: TrainConfig, seed: int, first: int = TUNE) -> list[Callable[[], Worlds]]:
    """The parts of the tuning's pool of scenes, made at their first use and kept."""
    how = config.tune
    begin = first + 1000 * seed
    made: dict[int, Worlds] = {}

    def part(k: int) -> Worlds:
        if k not in made:
            scenes = list(generated(config.families, begin, how.scenes))
            made[k] = Worlds.of(scenes[k :: how.parts])
        return made[k].fresh()

    return [lambda k=k: part(k) for k in range(how.parts)]  # type: ignore[misc]


def _digest(what: Any) -> str:
    """What the data follows from: the settings, and the package's version (the generator's goes with it)."""
    from drive import __version__

    return hashlib.blake2b(f"{__version__}|{what!r}".encode(), digest_size=16).hexdigest()


def _card(
    run: TrainingRun, about: Mapping[str, Any], digest: str, steps: int, seconds: float,
    figures: Mapping[str, float], licences: tuple[str, ...] = (),
) -> Card:  # fmt: skip
    import numpy as np

    from drive import __version__
    from drive.nn._torch import torch

    return Card(
        recipe=run.recipe, architecture=ARCHITECTURE, preset=run.preset, seed=run.seed,
        config=json.loads(json.dumps(about)), data=digest,
        licences=tuple(dict.fromkeys(("Apache-2.0", *licences))), steps=steps,
        seconds=round(seconds, 1), device=device_name(run.device),
        training={k: float(v) for k, v in figures.items()},
        versions={"drive-toolkit": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
    )  # fmt: skip


RECIPE = Recipe()
"""Traffic: a multimodal policy by imitation, tuned in closed loop for a style."""

__all__ = ["RECIPE", "Recipe", "TrainConfig", "pool_of"]
