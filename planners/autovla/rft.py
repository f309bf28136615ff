"""The recipe `autovla-rft`: a trained `autovla` learns from the scores of its own answers.

    drive train autovla-rft --set start=out/sft/autovla-sft.safetensors --out out/rft

Before it learns anything, it says what could be gained: the score of its likeliest answers, of answers by
chance, and of the best of a group. The reference that it is held to is what it started as.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.fit import fit
from drive.nn.recipe import DataPlan
from drive.nn.rounds import epoch_rows
from drive.planners.autovla.config import RFT_CPU, RFT_GPU, RFTConfig
from drive.planners.autovla.decode import Sampled, sample
from drive.planners.autovla.grpo import drawn, grpo_loss
from drive.planners.autovla.product import ARCHITECTURE, Product, load_product, save_product
from drive.planners.autovla.reward import rewards_of
from drive.planners.autovla.sft import Examples
from drive.planners.autovla.train import data_of

if TYPE_CHECKING:
    from drive.nn.recipe import JudgedMoments, TrainingRun

NAME = "autovla-rft"


class RFTRecipe:
    """The recipe of `drive train autovla-rft`."""

    name = NAME
    planner = "autovla"
    help = "autovla learns from the scores of its own answers (GRPO)"

    def __init__(self) -> None:
        self.presets: Mapping[str, RFTConfig] = {"cpu": RFT_CPU, "gpu": RFT_GPU}

    def data(self, config: RFTConfig) -> DataPlan:
        # The moments to learn from are driven by the recipe itself: of a set it needs no more than one scene.
        few = replace(config.data, scenes=1, families=config.data.families[:1])
        return DataPlan(few, replace(few, first_seed=9_000))

    def train(self, run: TrainingRun, config: RFTConfig) -> Path:
        if not config.start:
            raise InputError("autovla-rft goes on from trained weights: give --set start=FILE.safetensors")
        if run.moments is None:
            raise InputError("autovla-rft needs moments whose answers can be judged: run it by drive train")
        torch.manual_seed(run.seed)
        product, card = load_product(Path(config.start), run.device)
        request = data_of(config.data, product.setup)
        held = replace(request, first_seed=9_500, scenes=max(request.scenes // 4, 1))
        learnt, held_out = run.moments(request, config.moments), run.moments(held, config.held_out)
        asked, asked_held = Asked.of(product, learnt, config), Asked.of(product, held_out, config)
        room = asked_held.headroom(product, config)
        run.progress.note("before: " + ", ".join(f"{name} {value:.3f}" for name, value in room.items()))
        reference = copy.deepcopy(product.vla).eval().requires_grad_(False)
        loss = grpo_loss(product.grammar, reference, asked.prompts, asked.judge, config.grpo)

        def batches(step: int) -> Mapping[str, Any]:
            return {"which": epoch_rows(len(learnt), min(config.batch, len(learnt)), run.seed, step)}

        def validate(model: Any) -> dict[str, float]:
            found = asked_held.greedy(replace(product, vla=model))
            return {**found, "watched": 1.0 - found["score"]}

        how = replace(config.fit, seed=run.seed, watch="watched")
        fitted = fit(
            product.vla, loss, batches, how, run.folder / "fit", validate=validate, resume=run.resume,
            device=run.device, progress=run.progress,
        )  # fmt: skip
        path = run.folder / f"{NAME}.safetensors"
        about = {
            **dict(card.config), "grpo": asdict(config.grpo), "reward": asdict(config.reward),
            "start": card.sha256, "before": room,
        }  # fmt: skip
        save_product(path, product, run.card(ARCHITECTURE, about, fitted, vocabulary=card.vocabulary))
        return path


class Asked:
    """Judged moments with their prompts."""

    def __init__(
        self, product: Product, moments: JudgedMoments, examples: Examples, config: RFTConfig
    ) -> None:
        self.moments, self.examples, self.config = moments, examples, config
        self.grammar, self.codebook = product.grammar, product.codebook

    @classmethod
    def of(cls, product: Product, moments: JudgedMoments, config: RFTConfig) -> Asked:
        setup = product.setup
        examples = Examples.of(moments, setup.prompt, setup.actions, setup.pictures)
        if len(examples) != len(moments):
            raise InputError("some moments have no future of the expert: their answers cannot be judged")
        return cls(product, moments, examples, config)

    def prompts(self, which: Sequence[int]) -> Any:
        """The prompts of some moments."""
        return self.examples.prompts(self.grammar.phrases, which)

    def judge(self, row: int, sampled: Sequence[Sampled]) -> Any:
        """Rewards, scores and soundness of a moment's answers."""
        return rewards_of(sampled, row, self.moments, self.grammar, self.codebook, self.config.reward)

    def greedy(self, product: Product) -> dict[str, float]:
        """Of the likeliest answers: the mean score and reward, the share that is sound, that is slow, that
        collides at fault, and their length in tokens."""
        found: list[tuple[float, ...]] = []
        for rows in self._parts():
            for row, (one,) in zip(rows, sample(product.vla, self.grammar, self.prompts(rows)), strict=True):
                reward, score, sound = self.judge(row, [one])
                slow = self.grammar.phrases.slow[0] in one.ids[: len(self.grammar.phrases.think) + 1]
                found.append((score[0], reward[0], float(sound[0]), float(slow), float(len(one.ids))))
        means = np.array(found).mean(0).tolist()
        return dict(zip(("score", "reward", "valid", "slow", "length"), means, strict=True))

    def headroom(self, product: Product, config: RFTConfig) -> dict[str, float]:
        """Scores of the likeliest answer, of one by chance, and of the best of a group."""
        generator = torch.Generator().manual_seed(0)
        mean, best = [], []
        for rows in self._parts():
            groups = drawn(product.vla, self.grammar, self.prompts(rows), config.grpo, generator)
            for row, group in zip(rows, groups, strict=True):
                _, scores, _ = self.judge(row, group)
                mean.append(scores.mean())
                best.append(scores.max())
        return {
            "greedy": self.greedy(product)["score"],
            "by_chance": float(np.mean(mean)),
            f"best_of_{config.grpo.group}": float(np.mean(best)),
        }

    def _parts(self, size: int = 8) -> list[list[int]]:
        rows = list(range(len(self.moments)))
        return [rows[k : k + size] for k in range(0, len(rows), size)]


RECIPE = RFTRecipe()
"""autovla learns from the scores of its own answers."""

__all__ = ["RECIPE", "Asked", "RFTRecipe"]
