"""The recipe `autovla-rft`: a trained `autovla` learns from the scores of its own answers.

    drive train autovla-rft --set start=out/sft/autovla-sft.safetensors --out out/rft

Before it learns anything, it says what could be gained: the score of its likeliest answers, of answers by
chance, and of the best of a group. The reference that it is held to is what it started as. Afterwards it
compares what was learnt with that, and with a rival: the same weights after as many steps of imitation more.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
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
from drive.planners.autovla.reward import Judged, rewards_of
from drive.planners.autovla.sft import Examples
from drive.planners.autovla.train import data_of
from drive.planners.learned.intervals import bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        rivals = {"start": replace(product, vla=reference)}
        if config.rival:
            rivals["rival"] = rival_of(product, Path(config.rival), run.device)
        loss = grpo_loss(product.grammar, reference, asked.prompts, asked.judge, config.grpo)

        def batches(step: int) -> Mapping[str, Any]:
            return {"which": epoch_rows(len(learnt), min(config.batch, len(learnt)), run.seed, step)}

        def validate(model: Any) -> dict[str, float]:
            found = asked_held.greedy(replace(product, vla=model)).means()
            return {**found, "watched": 1.0 - found["score"]}

        how = replace(config.fit, seed=run.seed, watch="watched")
        fitted = fit(
            product.vla, loss, batches, how, run.folder / "fit", validate=validate, resume=run.resume,
            device=run.device, progress=run.progress,
        )  # fmt: skip
        path = run.folder / f"{NAME}.safetensors"
        # Fresh scenes: the weights were chosen by the held-out ones.
        final = run.moments(
            replace(request, first_seed=9_700, scenes=max(request.scenes // 2, 1)), config.tested
        )
        lines = Asked.of(product, final, config).compared(product, rivals)
        for line in lines:
            run.progress.note(line)
        about = {
            **dict(card.config), "grpo": asdict(config.grpo), "reward": asdict(config.reward),
            "start": card.sha256, "before": room, "tested": lines,
        }  # fmt: skip
        save_product(path, product, run.card(ARCHITECTURE, about, fitted, vocabulary=card.vocabulary))
        return path


def rival_of(product: Product, path: Path, device: str) -> Product:
    """Weights to compare with. Raises InputError for those that are asked or answer in another way."""
    rival, _ = load_product(path, device)
    same = rival.setup == product.setup and rival.codebook.hash == product.codebook.hash
    if not same or rival.words.json() != product.words.json():
        raise InputError(f"'{path}' has another setup, codebook or tokenizer than what is tuned: no rival")
    return rival


@dataclass(frozen=True, slots=True, eq=False)
class Greedy:
    """Of the likeliest answer to each moment `(N,)`: score, reward, whether it is sound, slow, collides at
    fault, and its length in tokens."""

    score: NDArray[Any]
    reward: NDArray[Any]
    valid: NDArray[Any]
    slow: NDArray[Any]
    hit: NDArray[Any]
    length: NDArray[Any]

    def means(self) -> dict[str, float]:
        """By name."""
        return {field.name: float(getattr(self, field.name).mean()) for field in fields(self)}

    def told(self) -> str:
        """In a line."""
        return ", ".join(f"{name} {value:.3f}" for name, value in self.means().items())


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

    def judge(self, row: int, sampled: Sequence[Sampled]) -> Judged:
        """What a moment's answers are worth."""
        return rewards_of(sampled, row, self.moments, self.grammar, self.codebook, self.config.reward)

    def greedy(self, product: Product, mode: str = "auto") -> Greedy:
        """Of the likeliest answers to all moments, which think as they choose or as they are told."""
        found: list[tuple[float, ...]] = []
        for rows in self._parts():
            answers = sample(product.vla, self.grammar, self.prompts(rows), mode=mode)
            for row, (one,) in zip(rows, answers, strict=True):
                judged = self.judge(row, [one])
                phrases = self.grammar.phrases
                slow = phrases.slow[0] in one.ids[: len(phrases.think) + 1]
                found.append(
                    (judged.score[0], judged.reward[0], float(judged.sound[0]), float(slow),
                     float(judged.hit[0]), float(len(one.ids)))
                )  # fmt: skip
        return Greedy(*np.array(found).T)

    def compared(self, product: Product, rivals: Mapping[str, Product]) -> list[str]:
        """Lines for a reader: what was learnt against each rival, moment by moment, and slow thinking against
        fast where it is chosen. Intervals (95 %) draw whole scenes."""
        scenes = np.asarray(self.moments.scene)
        own = self.greedy(product)
        lines = [f"learnt: {own.told()}"]
        for name, rival in rivals.items():
            other = self.greedy(rival)
            lines.append(f"{name}: {other.told()}")
            gain, hits = (
                bootstrap(a - b, scenes) for a, b in ((own.score, other.score), (own.hit, other.hit))
            )
            lines.append(f"learnt - {name}: score {gain}, collisions {hits}")
        fast = self.greedy(product, "fast")
        chosen = own.slow > 0.0
        lines.append(f"learnt, told to be fast: {fast.told()}")
        if chosen.any():
            gain = bootstrap((own.score - fast.score)[chosen], scenes[chosen])
            lines.append(f"slow - fast in the {int(chosen.sum())} moments in which slow is chosen: {gain}")
        return lines

    def headroom(self, product: Product, config: RFTConfig) -> dict[str, float]:
        """Scores of the likeliest answer, of one by chance, and of the best of a group."""
        generator = torch.Generator().manual_seed(0)
        mean, best = [], []
        for rows in self._parts():
            groups = drawn(product.vla, self.grammar, self.prompts(rows), config.grpo, generator)
            for row, group in zip(rows, groups, strict=True):
                scores = self.judge(row, group).score
                mean.append(scores.mean())
                best.append(scores.max())
        return {
            "greedy": self.greedy(product).means()["score"],
            "by_chance": float(np.mean(mean)),
            f"best_of_{config.grpo.group}": float(np.mean(best)),
        }

    def _parts(self, size: int = 8) -> list[list[int]]:
        rows = list(range(len(self.moments)))
        return [rows[k : k + size] for k in range(0, len(rows), size)]


RECIPE = RFTRecipe()
"""autovla learns from the scores of its own answers."""

__all__ = ["RECIPE", "Asked", "Greedy", "RFTRecipe", "rival_of"]
