"""From a moment to a decision: gather the candidates, have them judged, take the best.

Candidates are the vocabulary's rows near the ego's speed, the generator's proposals where asked for, and the
plan that is being driven, as it lies ahead now; a vocabulary's scorer alone changes its mind at every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.planner import Candidates, PlanStatus
from drive.planners.gtrs.ensemble import ensemble
from drive.planners.gtrs.profiles import PROFILES
from drive.planners.gtrs.refine import gather
from drive.planners.gtrs.scorer import ScoreOutput
from drive.planners.learned.decision import Decision, Memory
from drive.planners.learned.lights import red_light_cost
from drive.planners.learned.profiles import IMITATION, emphasised, find_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.tokens import SceneBatch
    from drive.nn.vocabulary import Vocabulary
    from drive.planner import Observation
    from drive.planners.gtrs.model import GTRSModel

HORIZON, STEP, EVERY = 40, 0.1, 5
FORGET = 0.55
"""Seconds after which the last plan is no guide any more: a longer pause means that something broke."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How candidates are gathered and weighed; the fields as in `GTRSConfig`."""

    candidates: int = 1024
    proposals: int = 0
    keep_plan: bool = True
    consistency: float = 0.0
    profile: str = "closed_loop"
    emphasis: str = ""
    refine: bool = True
    topk: int = 16
    red_lights: float = 0.0

    def __post_init__(self) -> None:
        if self.candidates < 0 or self.proposals < 0 or self.candidates + self.proposals < 1:
            raise InputError("a policy needs candidates: of the vocabulary, or the generator's proposals")
        if self.topk < 1 or not 0.0 <= min(self.consistency, self.red_lights) < np.inf:
            raise InputError("a policy's topk is 1 or more, its consistency and red_lights 0 or more")


class GTRSPolicy:
    """One network, or several of one kind as an ensemble, over one vocabulary."""

    def __init__(
        self,
        models: Sequence[GTRSModel],
        vocabulary: Vocabulary,
        settings: PolicySettings | None = None,
        device: str = "cpu",
    ) -> None:
        self.settings = s = settings or PolicySettings()
        self.models = [model.to(device).eval() for model in models]
        self.vocabulary = vocabulary
        self.poses = torch.tensor(vocabulary.poses, dtype=torch.float32, device=device)
        self.profile = emphasised(find_profile(s.profile, PROFILES), s.emphasis)
        if vocabulary.poses.shape[1] != HORIZON or abs(vocabulary.dt - STEP) > 1e-9:
            raise InputError(f"the vocabulary must hold {HORIZON} poses every {STEP} s")
        heads = {name for model in self.models if model.scorer for name in model.scorer.settings.names}
        missing = [name for name in self.profile.heads if name not in heads]
        if missing:
            raise InputError(
                f"profile '{s.profile}' weighs '{missing[0]}', for which these weights have no head"
            )

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        tokens = [model(batch) for model in self.models]
        candidates, before, known = self.gather(batch, tokens[0], observations, memories)
        offset = self._steadying(candidates, before, known) if self.settings.consistency > 0.0 else None
        if self.settings.red_lights > 0.0:
            cost = red_light_cost(batch.scene, candidates, self.settings.red_lights, STEP)
            offset = cost if offset is None else offset + cost
        out = self.judge(batch, tokens, candidates, offset)
        return decisions(out, candidates, self.settings.topk)

    def gather(
        self, batch: SceneBatch, tokens: Any, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(candidates (B, K, 40, 3), the plans being driven (B, 40, 3), how far they are known (B, 40))."""
        s, device = self.settings, self.poses.device
        parts = []
        if s.candidates:
            rows = np.stack([self.vocabulary.near(float(o.ego[3]), s.candidates) for o in observations])
            flat = torch.from_numpy(rows.astype(np.int64).ravel()).to(device)
            parts.append(self.poses.index_select(0, flat).view(*rows.shape, HORIZON, 3))
        if s.proposals:
            parts.append(propose(self.models[0], tokens, batch, memories, s.proposals))
        ahead = [last_plan(memory, o) for memory, o in zip(memories, observations, strict=True)]
        before = torch.from_numpy(np.stack([poses for poses, _ in ahead])).to(device)
        known = torch.from_numpy(np.stack([reach for _, reach in ahead])).to(device)
        if s.keep_plan:
            # Who has no plan yet gets his first candidate twice, so that all have as many.
            kept = torch.where(known[:, :1, None], before, parts[0][:, 0])
            parts.append(kept[:, None])
        return torch.cat(parts, 1), before, known

    def judge(
        self, batch: SceneBatch, tokens: Sequence[Any], candidates: Tensor, offset: Tensor | None = None
    ) -> ScoreOutput:
        """The verdict of the network or the ensemble; an ensemble's members do not refine."""
        s = self.settings
        if len(self.models) > 1:
            logits = [
                model.scorer(t, batch.scene, candidates)
                for model, t in zip(self.models, tokens, strict=True)
                if model.scorer is not None
            ]
            return ensemble(logits, self.profile, s.topk, offset)
        model = self.models[0]
        return model.judge(
            tokens[0], batch, candidates, self.profile, s.topk, offset=offset, refined=s.refine
        )

    def _steadying(self, candidates: Tensor, before: Tensor, known: Tensor) -> Tensor:
        """Minus what a candidate's mean distance from the plan being driven costs, `(B, K)`."""
        seen = slice(EVERY - 1, None, EVERY)
        away = (candidates[:, :, seen, :2] - before[:, None, seen, :2]).norm(dim=-1).clamp(max=5.0)
        weight = known[:, None, seen].to(away.dtype)
        mean = (away * weight).sum(-1) / weight.sum(-1).clamp(min=1.0)
        cost: Tensor = -self.settings.consistency * mean
        return cost


class DiffusionPolicy:
    """The baseline: the generator's proposals, of which one is taken by chance."""

    def __init__(self, model: GTRSModel, proposals: int = 16, device: str = "cpu") -> None:
        if model.generator is None:
            raise InputError("these weights hold no generator")
        if proposals < 1:
            raise InputError("a diffusion policy needs at least one proposal")
        self.model, self.proposals = model.to(device).eval(), proposals

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        tokens = self.model(batch)
        drawn = propose(self.model, tokens, batch, memories, self.proposals).cpu().numpy()
        # They are drawn independently, so that the first is a draw by chance.
        return [
            Decision(own[0], candidates=Candidates(TIMES, own.astype(np.float64), chosen=0)) for own in drawn
        ]


TIMES = np.asarray(STEP * np.arange(1, HORIZON + 1), dtype=np.float64)


def propose(
    model: GTRSModel, tokens: Any, batch: SceneBatch, memories: Sequence[Memory], count: int
) -> Tensor:
    """Proposals `(B, count, 40, 3)`, each session's from its own seed whoever else is in the batch."""
    if model.generator is None:
        raise InputError("proposals were asked for, but these weights hold no generator")
    size = model.generator.size
    noise = np.stack([memory.rng().standard_normal((count, size), dtype=np.float32) for memory in memories])
    generator = torch.Generator().manual_seed(memories[0].seed + memories[0].calls)
    return model.propose(tokens, batch, torch.from_numpy(noise).to(batch.ego.device), generator)


def last_plan(memory: Memory, observation: Observation) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The plan being driven as it lies ahead `(40, 3)`, and how far it reaches `(40,)`.

    Beyond its end it goes on straight, as fast as it ended. Nothing is known after a pause.
    """
    poses, reach = memory.ahead(observation, HORIZON, STEP)
    if observation.time - memory.time > FORGET or not reach[:2].all():
        return np.zeros((HORIZON, 3), dtype=np.float32), np.zeros(HORIZON, dtype=np.bool_)
    last = int(np.flatnonzero(reach)[-1])
    beyond = np.arange(1, HORIZON - last)
    stride = np.hypot(*(poses[last, :2] - poses[last - 1, :2]))
    heading = poses[last, 2]
    poses[last + 1 :, 0] = poses[last, 0] + beyond * stride * np.cos(heading)
    poses[last + 1 :, 1] = poses[last, 1] + beyond * stride * np.sin(heading)
    poses[last + 1 :, 2] = heading
    return poses.astype(np.float32), reach


def decisions(out: ScoreOutput, candidates: Tensor, k: int) -> list[Decision]:
    """One decision a row: the best candidate, and the `k` best with every head's probability as scores."""
    rows = out.topk[:, :k]
    poses = gather(candidates, rows).cpu().numpy()
    if out.refined is not None and out.refined_combined is not None:
        logits = {name: values[:, :k] for name, values in out.refined.items()}
        combined = out.refined_combined[:, :k]
    else:
        logits = {name: values.gather(1, rows) for name, values in out.logits.items()}
        combined = out.combined.gather(1, rows)
    scores: Mapping[str, NDArray[Any]] = {
        name: values.double().cpu().numpy()
        for name, values in {**_odds(logits), "combined": combined}.items()
    }
    made = []
    for row, own in enumerate(poses):
        mine = {name: values[row] for name, values in scores.items()}
        safe = float(np.prod([mine[name][0] for name in ("nc", "dac") if name in mine]))
        made.append(
            Decision(
                own[0],
                candidates=Candidates(TIMES, own.astype(np.float64), mine, chosen=0),
                figures={name: float(values[0]) for name, values in mine.items()},
                status=PlanStatus.OK if safe > 0.2 else PlanStatus.DEGRADED,
                reason="" if safe > 0.2 else "every candidate is likely to break a rule",
            )
        )
    return made


def _odds(logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Probabilities; of imitation, which compares with the others alone, the logit."""
    return {name: v if name == IMITATION else torch.sigmoid(v) for name, v in logits.items()}


__all__ = [
    "DiffusionPolicy", "GTRSPolicy", "PolicySettings", "decisions", "last_plan",
    "propose",
]  # fmt: skip
