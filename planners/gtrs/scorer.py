"""The scorer: what a rule-based teacher would say of each candidate, learnt.

Candidates are embedded from their coordinates (so any vocabulary and any proposal can be judged), look at the
scene's tokens, and get one logit a head (GTRS 3.3; Hydra-MDP, Li et al. 2024). A scorer is trained on the
candidates that a vocabulary or a generator makes. It is NO safe reward for a free search: an optimiser finds
the places where it errs. `drive.planners.gtrs.search` measures by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.errors import InputError, UnknownNameError
from drive.nn._torch import Tensor, constant, nn, torch
from drive.nn.blocks import Decoder, EncoderLayer, mlp
from drive.nn.geometry import GEOMETRY_COLUMNS, candidate_geometry, scaled
from drive.planners.gtrs.profiles import TEACHER_HEADS
from drive.planners.learned.profiles import IMITATION, Profile, combine

if TYPE_CHECKING:
    from drive.nn.scene import SceneArrays
    from drive.nn.tokens import SceneTokens

STEP = 0.1
"""Seconds between two poses of a candidate."""


@dataclass(frozen=True, slots=True)
class ScorerSettings:
    """The scorer's shape. `every`: it looks at every so-manieth pose, the last included; `geometry`: it is
    told where candidates lie in the scene (vector scenes only), and not their coordinates alone;
    `self_attention`: candidates look at each other, as published; without, a candidate's verdict does not
    depend on what else is judged."""

    width: int = 64
    heads: int = 4
    layers: int = 2
    ffn: int = 128
    horizon: int = 40
    every: int = 5
    hidden: int = 128
    geometry: bool = True
    self_attention: bool = False
    teacher: tuple[str, ...] = TEACHER_HEADS
    imitation: bool = True

    def __post_init__(self) -> None:
        for name in self.teacher:
            if name not in (*TEACHER_HEADS, "score"):
                raise UnknownNameError("teacher's head", name, (*TEACHER_HEADS, "score"))
        if not self.teacher and not self.imitation:
            raise InputError("a scorer needs at least one head")
        if self.horizon < 1 or self.every < 1 or self.horizon % self.every:
            raise InputError(f"a horizon of {self.horizon} poses cannot be seen every {self.every}")

    @property
    def names(self) -> tuple[str, ...]:
        """The heads, in order."""
        return (*self.teacher, IMITATION) if self.imitation else self.teacher


@dataclass(frozen=True, slots=True, eq=False)
class ScoreOutput:
    """Verdicts over K candidates of B scenes; `refined` and `refined_combined` are over the `topk` alone."""

    logits: Mapping[str, Tensor]  # head -> (B, K)
    combined: Tensor  # (B, K)
    index: Tensor  # (B,) the best candidate
    topk: Tensor  # (B, k) candidates from best to worst
    refined: Mapping[str, Tensor] | None = None  # head -> (B, k), in the order of `topk`
    refined_combined: Tensor | None = None  # (B, k), descending


class Heads(nn.Module):
    """One small network a teacher's head, a deeper one for imitation: `(B, K, d) -> head -> (B, K)`."""

    def __init__(self, settings: ScorerSettings) -> None:
        super().__init__()
        self.teacher = settings.teacher
        d, hidden, count = settings.width, settings.width // 2, len(self.teacher)
        # The teacher's heads stand side by side: two products in all instead of two each.
        self.first = nn.Linear(d, hidden * count) if count else None
        self.second = nn.Parameter(torch.randn(count, 1, hidden) * hidden**-0.5) if count else None
        self.bias = nn.Parameter(torch.zeros(count)) if count else None
        self.imitation = mlp((d, d, d, 1)) if settings.imitation else None

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        if self.first is not None and self.second is not None:
            hidden = torch.relu(self.first(states))
            values = torch.nn.functional.linear(hidden, torch.block_diag(*self.second.unbind(0)), self.bias)  # type: ignore[no-untyped-call]
            out = {name: values[..., i] for i, name in enumerate(self.teacher)}
        if self.imitation is not None:
            out[IMITATION] = self.imitation(states).squeeze(-1)
        return out


class Scorer(nn.Module):
    """Candidates `(B, K, T, 3)` and a scene's tokens in, one logit a head and candidate out.

    Where a search could move the candidates towards higher scores, read the module's warning first.
    """

    def __init__(self, settings: ScorerSettings) -> None:
        super().__init__()
        self.settings = s = settings
        count = s.horizon // s.every
        columns = 4 + (len(GEOMETRY_COLUMNS) if s.geometry else 0)
        self.embed = mlp((count * columns, s.hidden, s.width))
        self.decoder = Decoder(s.width, s.heads, s.layers, s.ffn, s.self_attention)
        self.own = EncoderLayer(s.width, s.heads, s.ffn) if s.self_attention else None
        self.heads = Heads(s)
        self.vocabularies: dict[str, Tensor] = {}

    def register(self, name: str, poses: Tensor) -> None:
        """Keep a vocabulary `(K, T, 3)` by name; it is no part of the weights, any one can be swapped in."""
        poses = torch.as_tensor(poses, dtype=torch.float32)
        self._check(poses)
        self.vocabularies[name] = poses

    def candidates(self, which: str | Tensor, batch: int, like: Tensor) -> Tensor:
        """`(B, K, T, 3)` on the device of `like`, from a registered name, `(K, T, 3)` or `(B, K, T, 3)`."""
        if isinstance(which, str):
            if which not in self.vocabularies:
                raise UnknownNameError("registered vocabulary", which, self.vocabularies)
            if self.vocabularies[which].device != like.device:
                self.vocabularies[which] = self.vocabularies[which].to(like.device)
            which = self.vocabularies[which]
        self._check(which)
        return which.expand(batch, -1, -1, -1) if which.ndim == 3 else which

    def states(
        self,
        tokens: SceneTokens,
        scene: SceneArrays | None,
        candidates: Tensor,
        turn: Tensor | float = 0.0,
    ) -> Tensor:
        """What the candidates `(B, K, T, 3)` have learnt of the scene, `(B, K, d)`: the heads' input.

        `turn`, a number or `(B,)`, is the ego's heading where the frame was turned away from it.
        """
        s = self.settings
        poses = candidates[:, :, s.every - 1 :: s.every]
        place, heading = poses[..., :2], poses[..., 2:]
        scale = constant((0.05, 0.1), place.device, place.dtype)
        features = [place * scale, heading.cos(), heading.sin()]
        if s.geometry:
            if scene is None:
                raise InputError(
                    "this scorer looks at geometry, which needs vector scenes: set geometry=False"
                )
            features.append(scaled(candidate_geometry(scene, candidates, STEP, every=s.every, heading=turn)))
        queries = self.embed(torch.cat(features, dim=-1).flatten(2))
        if self.own is not None:
            queries = self.own(queries)
        decoded: Tensor = self.decoder(queries, tokens.tokens, tokens.valid)
        return decoded + tokens.ego[:, None]

    def forward(
        self, tokens: SceneTokens, scene: SceneArrays | None, candidates: Tensor
    ) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self.heads(self.states(tokens, scene, candidates))
        return logits

    def score(
        self,
        tokens: SceneTokens,
        scene: SceneArrays | None,
        candidates: str | Tensor,
        profile: Profile,
        k: int = 16,
    ) -> ScoreOutput:
        """Judge candidates: a registered vocabulary's name, `(K, T, 3)` or `(B, K, T, 3)`."""
        poses = self.candidates(candidates, len(tokens.tokens), tokens.tokens)
        return rank(self(tokens, scene, poses), profile, k)

    def _check(self, poses: Tensor) -> None:
        if poses.ndim not in (3, 4) or poses.shape[-2:] != (self.settings.horizon, 3) or not poses.shape[-3]:
            raise InputError(
                f"candidates must be (K, {self.settings.horizon}, 3) or (B, K, {self.settings.horizon}, 3), "
                f"got {tuple(poses.shape)}"
            )


def rank(logits: Mapping[str, Tensor], profile: Profile, k: int, offset: Tensor | None = None) -> ScoreOutput:
    """Combine, add the `offset (B, K)`, and order: the `k` best candidates; of equals the first."""
    combined = combine(logits, profile)
    combined = combined if offset is None else combined + offset
    return ScoreOutput(logits, combined, *best(combined, k))


def best(combined: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(index (B,), topk (B, k)) of scores `(B, K)`; a stable order, so that equal scores do not flicker."""
    k = max(1, min(k, combined.shape[1]))
    order = torch.sort(combined, dim=1, descending=True, stable=True).indices[:, :k]
    return order[:, 0], order


__all__ = ["STEP", "Heads", "ScoreOutput", "Scorer", "ScorerSettings", "best", "rank"]
