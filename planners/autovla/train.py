"""How `autovla` is trained: supervised (`autovla-sft`), and then by its own answers' scores (`autovla-rft`).

drive train autovla-sft --preset cpu --out out/sft
drive train autovla-rft --set start=out/sft/autovla-sft.safetensors --out out/rft
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.nn._torch import torch
from drive.nn.fit import FitSettings, fit, mean_loss
from drive.nn.recipe import DataPlan
from drive.nn.rounds import train_in_rounds
from drive.planners.autovla.codebook import Codebook, CodebookSettings, make_codebook, segments_of
from drive.planners.autovla.config import GPU, TEXT, TrainConfig
from drive.planners.autovla.model import load_folder, tiny
from drive.planners.autovla.planner import AutoVLAConfig, AutoVLAPlanner
from drive.planners.autovla.product import (
    ARCHITECTURE,
    CODEBOOK,
    Product,
    Setup,
    load_product,
    save_folder,
    save_product,
    settings_of,
)
from drive.planners.autovla.prompt import CLOSE, FINISH, SYSTEM, SYSTEM_BLIND, THINK, VIEWS, Phrases
from drive.planners.autovla.rationale import FAST, SLOW, SOURCE
from drive.planners.autovla.seen import Clips, Eyes, Taught, eye_batches, eye_loss
from drive.planners.autovla.sft import STRIDE, Examples, batches_of, driven_figures, sft_loss
from drive.planners.autovla.tokenizer import load_words, train_words

if TYPE_CHECKING:
    from drive.nn.fit import Fitted
    from drive.nn.recipe import Data, TrainingRun
    from drive.nn.store import DataRequest

NAME = "autovla-sft"


def data_of(request: DataRequest, setup: Setup) -> DataRequest:
    """The request for what a setup sees."""
    sensors = ("vector", "image", "past") if setup.pictures else ("vector", "past")
    return replace(
        request,
        sensors=sensors,
        picture=setup.picture,
        frames=setup.frames,
        cameras=setup.cameras,
        scored=True,
    )


def codebook_of(data: Data, settings: CodebookSettings, path: Path) -> Codebook:
    """The codebook of a set's futures; one that was made before is read again."""
    if path.exists():
        return Codebook.load(path)
    parts = []
    for begin in range(0, len(data), 4096):
        found = data.take(np.arange(begin, min(begin + 4096, len(data))), ["future", "future_valid"])
        parts.append(segments_of(found["future"], found["future_valid"], STRIDE))
    about = {
        "data": data.hash,
        "of": "half seconds of the expert's drives",
        "expert": data.header["request"]["expert"],
        "generator": data.header["generator"],
    }
    made = make_codebook(np.concatenate(parts), settings, about)
    made.save(path)
    return made


def corpus(examples: Examples) -> list[str]:
    """What a tokenizer of our own is trained on: the texts that it will have to tell."""
    fixed = [
        SYSTEM, SYSTEM_BLIND, "system\nuser\nassistant\n", " ".join(VIEWS.values()), THINK, f" {FAST}",
        f" {SLOW}", CLOSE, FINISH,
    ]  # fmt: skip
    return [*fixed * 50, *examples.states, *(f" {text}" for text in examples.thoughts if text)]


class SFTRecipe:
    """The recipe of `drive train autovla-sft`."""

    name = NAME
    planner = "autovla"
    help = "a small Qwen2.5-VL that reads cameras, thinks and drives, by imitation"

    def __init__(self) -> None:
        self.presets: Mapping[str, TrainConfig] = {"cpu": TrainConfig(), "gpu": GPU, "text": TEXT}

    def data(self, config: TrainConfig) -> DataPlan:
        return DataPlan(data_of(config.data, config.setup))

    def train(self, run: TrainingRun, config: TrainConfig) -> Path:
        torch.manual_seed(run.seed)
        path = run.folder / f"{NAME}.safetensors"
        begun: Product | None = None
        if config.start:
            begun, card = load_product(Path(config.start), run.device)
            # What the prompt tells may be learnt anew; all else is the network's.
            begun = replace(begun, setup=replace(begun.setup, prompt=config.setup.prompt))
            config = replace(config, setup=begun.setup, model=settings_of(card.config))
        setup = config.setup
        codebook = begun.codebook if begun else self._codebook(run, config, path)
        # Published weights can see, and a network without pictures has nothing to see by.
        teach = setup.pictures and not config.model.folder
        clips = Clips.of(setup.cameras, setup.frames, setup.picture) if teach else None

        def examples_of(data: Data) -> Examples:
            return Examples.of(data, setup.prompt, setup.actions, setup.pictures, config.least, clips)

        train, held_out = examples_of(run.train), examples_of(run.validation)
        slow = sum(bool(text) for text in train.thoughts) / len(train)
        run.progress.note(
            f"{len(train)} moments of {len(run.train)} are learnt from, {slow:.0%} slow ({SOURCE})"
        )
        product = begun or self._made(config, codebook, train)
        grammar, vla = product.grammar, product.vla
        if config.compiled:
            vla.compile_blocks()
        if clips and config.seen.steps and not begun:
            self._see(run, config, vla, clips, train, held_out)
        network: Any = Taught(vla, clips, config.seen.width) if clips and config.seen.weight else vla
        loss = sft_loss(config.loss, product.words.first_action, codebook, config.seen.weight)

        def batches(examples: Examples, seed: int, even: float = 0.0) -> Any:
            tokens = codebook.encode(examples.poses)
            return batches_of(examples, product.phrases, tokens, config.batch, seed, config.loss, even)

        size = max(min(config.held_out, len(held_out)) // config.batch, 1)
        teacher_forced = mean_loss(loss, batches(held_out, 0), size, run.device)
        some = np.random.default_rng(0).permutation(len(held_out))[: config.answered]

        def validate(model: Any) -> dict[str, float]:
            driver = model.vla if isinstance(model, Taught) else model
            return {**teacher_forced(model), **driven_figures(driver, held_out, grammar, codebook, some)}

        def learn(data: Data, how: FitSettings, folder: Path) -> Fitted:
            examples = train if data is run.train else examples_of(data)
            return fit(
                network, loss, batches(examples, how.seed, config.even), how, folder, validate=validate,
                resume=run.resume, device=run.device, progress=run.progress,
            )  # fmt: skip

        def write(path: Path, fits: Sequence[Fitted], data: Data) -> None:
            card = run.card(ARCHITECTURE, about(config), fits, data, vocabulary=codebook.hash)
            (save_folder if config.model.folder else save_product)(path, product, card)

        def learner(path: Path) -> AutoVLAPlanner:
            return learner_of(path, bool(config.model.folder))

        return train_in_rounds(run, NAME, config, learn, write, learner)

    @staticmethod
    def _see(
        run: TrainingRun, config: TrainConfig, vla: Any, clips: Clips, train: Examples, held_out: Examples
    ) -> None:
        """Teach the vision tower where others are."""
        s = config.seen
        how = FitSettings(
            steps=s.steps, lr=s.lr, ema=0.99, validate_every=max(s.steps // 4, 1), seed=run.seed,
            log_every=20, bf16=config.fit.bf16,
        )  # fmt: skip
        held = eye_batches(held_out.images, held_out.seen, s.batch, 0)
        size = max(min(config.held_out, len(held_out)) // s.batch, 1)
        fit(
            Eyes(vla, clips, s.width), eye_loss, eye_batches(train.images, train.seen, s.batch, run.seed),
            how, run.folder / "see", validate=mean_loss(eye_loss, held, size, run.device),
            resume=run.resume, device=run.device, progress=run.progress,
        )  # fmt: skip

    @staticmethod
    def _codebook(run: TrainingRun, config: TrainConfig, path: Path) -> Codebook:
        made = codebook_of(run.train, config.codebook, path.with_suffix(CODEBOOK))
        run.progress.note(f"codebook: {len(made)} actions, {made.provenance['covered']:.2%} covered")
        return made

    @staticmethod
    def _made(config: TrainConfig, codebook: Codebook, train: Examples) -> Product:
        """The network before its training, with its tokenizer."""
        if config.model.folder:
            words = load_words(config.model.folder, len(codebook))
            vla = load_folder(config.model.folder, words, config.model.lora)
        else:
            words = train_words(corpus(train), len(codebook), config.text_tokens)
            vla = tiny(config.model, words)
        return Product(vla, words, codebook, config.setup, Phrases.of(words, config.setup.shown))


def learner_of(path: Path, folder: bool = False) -> AutoVLAPlanner:
    """The planner that drives between two rounds, with the shortest answers, for only the states matter;
    weights at `path`, or in the `folder` beside it."""
    if not folder:
        return AutoVLAPlanner(AutoVLAConfig(weights=str(path), thinking="fast"))
    weights, codebook = path.parent / "weights", path.with_suffix(CODEBOOK)
    return AutoVLAPlanner(AutoVLAConfig(weights=str(weights), codebook=str(codebook), thinking="fast"))


def about(config: TrainConfig) -> dict[str, Any]:
    """What a card says of the configuration."""
    return {
        "model": asdict(config.model),
        "setup": asdict(config.setup),
        "loss": asdict(config.loss),
        "seen": asdict(config.seen),
        "codebook": asdict(config.codebook),
        "rationales": SOURCE,
        "batch": config.batch,
        "least": config.least,
        "even": config.even,
        "rounds": config.rounds,
        "round_scenes": config.round_scenes,
        "again": config.again,
    }


RECIPE = SFTRecipe()
"""A small Qwen2.5-VL that reads cameras, thinks and drives, by imitation."""

__all__ = ["RECIPE", "SFTRecipe", "TrainConfig", "about", "codebook_of", "data_of"]
