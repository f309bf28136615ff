"""Supervised fine-tuning: examples of a training set, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.rounds import epoch_rows
from drive.nn.scene import SceneArrays
from drive.planners.autovla.codebook import DT, Codebook, corners
from drive.planners.autovla.decode import Grammar, InvalidAnswer, sample
from drive.planners.autovla.prompt import Phrases, Prompt, answer_ids, batch_arrays, make_prompt
from drive.planners.autovla.rationale import facts_of, needs_thought, thought
from drive.planners.autovla.scene_words import SPEED, PromptSettings, state_text
from drive.planners.autovla.seen import Clips, seen_loss, seen_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import Data, JudgedMoments
    from drive.planners.autovla.model import VLA

STRIDE = round(DT / 0.1)
SCENE = tuple(f"scene.{name}" for name in SceneArrays._fields)
_CHUNK = 512
LENGTHS = 16
"""Sequences are padded to multiples of it: what is compiled is compiled for each length."""
CHANGES = (-12.0, -4.0, 4.0)
"""m of way in 4 s, more or less than at the present speed, between moments that brake, slow down, go on and
speed up."""
GOES_ON = 2
"""Which of them goes on as it is."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """`slow_weight` of samples that are thought over and `action_weight` of the action tokens' own loss.

    `form` "paper": w (L + a L_action), w = 1 for fast samples; "code" as the released program has it:
    w L + L_action where slow, L alone where fast. w is more by `change` for each 10 m that the expert's 4 s
    end from where its present speed would lead, at most 2 of them: hardly any moment of a drive is one in
    which something begins. With a `spread` in m actions near the expert's are right
    too, in L_action: by a Gaussian of the mean distance of their boxes' corners.
    """

    slow_weight: float = 40.0
    action_weight: float = 1.0
    form: str = "paper"
    change: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        if self.form not in ("paper", "code"):
            raise InputError(f"a loss's form is paper or code, not '{self.form}'")
        if not (0.0 < self.slow_weight < np.inf and 0.0 <= self.action_weight < np.inf):
            raise InputError("a loss's weights are positive and finite")
        if not (0.0 <= self.spread < np.inf and 0.0 <= self.change < np.inf):
            raise InputError("a loss's spread and change are 0 or more and finite")


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """The moments of a set that are learnt from: their rows, states as text, thoughts ("" where none is
    needed), the expert's poses `(N, T, 3)` every half second, how many m more or less (below 0) of way they
    have than the present speed would lead `(N,)`, and what is there to be seen `(N, S)`."""

    data: Data | JudgedMoments
    rows: NDArray[np.int64]
    states: tuple[str, ...]
    thoughts: tuple[str, ...]
    poses: NDArray[np.float64]
    changes: NDArray[np.float64]
    seen: NDArray[np.float32]
    pictures: bool

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(
        cls,
        data: Data | JudgedMoments,
        prompt: PromptSettings,
        actions: int,
        pictures: bool = True,
        least: float = 0.0,
        clips: Clips | None = None,
    ) -> Examples:
        """Those whose expert's own score is `least` or more: careless demonstrations stay out. Without
        `clips` what is to be seen is not told, S = 0.

        Raises InputError where none is left, or the set's futures are too short.
        """
        names = [*SCENE, "past", "future", "future_valid"] + (["expert_score"] if least > 0.0 else [])
        rows, states, thoughts, poses, changes, seen = [], [], [], [], [], []
        for begin in range(0, len(data), _CHUNK):
            at = np.arange(begin, min(begin + _CHUNK, len(data)))
            found = data.take(at, names)
            if found["future"].shape[1] < actions * STRIDE:
                raise InputError(f"{actions} actions need {actions * DT:g} s of the expert's future")
            good = found["future_valid"][:, : actions * STRIDE].all(1)
            if least > 0.0:
                good &= found["expert_score"] >= least
            for k in np.flatnonzero(good).tolist():
                scene = SceneArrays(*(found[name][k] for name in SCENE))
                facts = facts_of(scene)
                rows.append(int(at[k]))
                states.append(state_text(scene, found["past"][k], prompt))
                thoughts.append(thought(scene, found["future"][k], facts) if needs_thought(facts) else "")
                poses.append(found["future"][k, STRIDE - 1 :: STRIDE][:actions])
                way = float(np.hypot(*poses[-1][-1, :2]))
                changes.append(way - max(float(scene.ego[SPEED]), 0.0) * DT * actions)
                seen.append(seen_of(scene, clips) if clips else np.zeros(0, dtype=np.float32))
        if not rows:
            raise InputError("the set holds no moment to learn from: none scores as it should")
        return cls(
            data, np.array(rows), tuple(states), tuple(thoughts),
            np.stack(poses).astype(np.float64), np.array(changes), np.stack(seen), pictures,
        )  # fmt: skip

    def images(self, which: NDArray[np.int64]) -> NDArray[np.uint8]:
        """What the cameras saw at some examples `(B, cameras, frames, H, W, 3)`."""
        found: NDArray[np.uint8] = self.data.take(self.rows[which], ["images"])["images"]
        return found

    def prompts(self, phrases: Phrases, which: Sequence[int] | NDArray[Any]) -> list[Prompt]:
        """The prompts of some examples."""
        chosen = np.asarray(which, dtype=np.int64)
        clips: Any = [None] * len(chosen)
        if self.pictures:
            clips = self.images(chosen)
        return [make_prompt(phrases, self.states[k], c) for k, c in zip(chosen.tolist(), clips, strict=True)]


def drawn_rows(
    changes: NDArray[np.float64], batch: int, seed: int, step: int, even: float
) -> NDArray[np.int64]:
    """The rows `(batch,)` that a step learns from, a pure function of it: epoch after epoch in a new order,
    and a share `even` of the batch drawn from those that brake, slow down and speed up in turn, of which a
    drive has few."""
    kind = np.digitize(changes, CHANGES)
    kinds = [rows for k in range(len(CHANGES) + 1) if k != GOES_ON and len(rows := np.flatnonzero(kind == k))]
    size = round(even * batch) if kinds else 0
    rng = np.random.default_rng((seed, 2, step))
    some = [rng.choice(kinds[(step * size + k) % len(kinds)]) for k in range(size)]
    if size == batch:
        return np.array(some)
    return np.concatenate(
        (epoch_rows(len(changes), batch - size, seed, step), np.array(some, dtype=np.int64))
    )


def batches_of(
    examples: Examples, phrases: Phrases, tokens: NDArray[np.int64], batch: int, seed: int,
    loss: LossSettings, even: float = 0.0,
) -> Callable[[int], Mapping[str, Any]]:  # fmt: skip
    """`batches(step)` of `drawn_rows`."""

    def batches(step: int) -> Mapping[str, Any]:
        which = drawn_rows(examples.changes, min(batch, len(examples)), seed, step, even)
        answers = [answer_ids(phrases, tokens[k], examples.thoughts[k]) for k in which.tolist()]
        slow = [bool(examples.thoughts[k]) for k in which.tolist()]
        made = batch_arrays(
            phrases, examples.prompts(phrases, which), answers,
            [
                (loss.slow_weight if s else 1.0) * (1.0 + loss.change * min(abs(more) / 10.0, 2.0))
                for s, more in zip(slow, examples.changes[which].tolist(), strict=True)
            ],
            LENGTHS,
        )  # fmt: skip
        return {**made, "slow": np.array(slow), "seen": examples.seen[which]}

    return batches


def nearby(codebook: Codebook, spread: float) -> Tensor:
    """How right each action is in place of another `(K, K)`: rows sum to 1."""
    boxes = corners(codebook.motions, codebook.length, codebook.width)
    apart = np.stack([np.hypot(*np.moveaxis(boxes - box, -1, 0)).mean(-1) for box in boxes])
    near = np.exp(-0.5 * (apart / spread) ** 2)
    return torch.from_numpy((near / near.sum(1, keepdims=True)).astype(np.float32))


def sft_loss(
    settings: LossSettings, first_action: int, codebook: Codebook, seen: float = 0.0
) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """`loss(model, batch, generator)` of a training: cross-entropies over the answers alone, and `seen` times
    what is wrong with what a `Taught` network makes of the pictures."""
    near = nearby(codebook, settings.spread) if settings.spread else None

    def loss(model: Any, batch: Mapping[str, Tensor], generator: Any) -> tuple[Tensor, dict[str, Tensor]]:
        logits, ids, row, *told = model(batch)
        each = torch.nn.functional.cross_entropy(logits, ids, reduction="none")
        action = ids >= first_action
        count = len(batch["weight"])
        motion = _mean_by(each, row, count, action)
        right = (logits.argmax(-1) == ids)[action].float().mean()
        figures = {"action": motion.mean(), "accuracy": right}
        if near is not None:
            wanted = near.to(logits.device)[ids[action] - first_action]
            logp = torch.log_softmax(logits[action], -1)[:, first_action : first_action + len(near)]
            each = each.masked_scatter(action, -(wanted * logp).sum(-1))
            motion = _mean_by(each, row, count, action)
        language = _mean_by(each, row, count, torch.ones_like(action))
        figures["language"] = language.mean()
        weight = batch["weight"]
        if settings.form == "paper":
            total = weight * (language + settings.action_weight * motion)
        else:
            total = weight * language + settings.action_weight * motion * batch["slow"]
        value = total.mean()
        if seen and told:
            missed, more = seen_loss(told[0], batch["seen"])
            figures |= more
            value = value + seen * missed
        return value, {name: figure.detach() for name, figure in figures.items()}

    return loss


def _mean_by(each: Tensor, row: Tensor, count: int, mask: Tensor) -> Tensor:
    """Means `(count,)` of values by row, over those in the mask."""
    zero = torch.zeros(count, dtype=each.dtype, device=each.device)
    chosen = mask.to(each.dtype)
    return zero.index_add(0, row, each * chosen) / zero.index_add(0, row, chosen).clamp(min=1.0)


def driven_figures(
    model: VLA, examples: Examples, grammar: Grammar, codebook: Codebook, which: NDArray[Any], batch: int = 16
) -> dict[str, float]:
    """Of greedy answers: the share that is sound and that is thought over, how often that agrees with the
    labels, and the mean distance from the expert in m over all poses (of sound answers)."""
    valid: list[float] = []
    means: dict[str, list[float]] = {"slow": [], "agree": [], "ade": []}
    for begin in range(0, len(which), batch):
        some = which[begin : begin + batch]
        for k, (one,) in zip(
            some.tolist(), sample(model, grammar, examples.prompts(grammar.phrases, some)), strict=True
        ):
            try:
                answer = grammar.parse(one.ids)
            except InvalidAnswer:
                valid.append(0.0)
                continue
            valid.append(1.0)
            means["slow"].append(float(answer.slow))
            means["agree"].append(float(answer.slow == bool(examples.thoughts[k])))
            poses = codebook.decode(np.array(answer.actions))
            means["ade"].append(float(np.hypot(*(poses - examples.poses[k])[:, :2].T).mean()))
    return {"valid": float(np.mean(valid))} | {
        name: float(np.mean(values)) if values else 0.0 for name, values in means.items()
    }


__all__ = ["Examples", "LossSettings", "batches_of", "driven_figures", "nearby", "sft_loss"]
