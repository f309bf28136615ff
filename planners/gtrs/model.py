"""The whole network: an encoder, the scorer, and where wanted the refinement and the generator."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from drive.errors import InputError
from drive.nn._torch import Tensor, nn
from drive.nn.encoders import EncoderSettings, make_encoder
from drive.nn.tokens import SceneBatch, SceneTokens
from drive.planners.gtrs.generator import Generator, GeneratorSettings
from drive.planners.gtrs.refine import Refiner, RefineSettings, refine
from drive.planners.gtrs.scorer import ScoreOutput, Scorer, ScorerSettings, rank
from drive.planners.learned.profiles import Profile


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What the network is made of; `scores` and `proposes` say which of its two halves it has.

    The encoder's width is everyone's.
    """

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    scorer: ScorerSettings = field(default_factory=ScorerSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    scores: bool = True
    proposes: bool = True

    def __post_init__(self) -> None:
        if not (self.scores or self.proposes):
            raise InputError("a network that neither scores nor proposes has nothing to do")
        width = self.encoder.width
        object.__setattr__(self, "scorer", replace(self.scorer, width=width))
        object.__setattr__(self, "generator", replace(self.generator, width=width))
        if self.encoder.kind != "vector" and self.scorer.geometry:
            # Where candidates lie in the scene is what such a network must see for itself.
            object.__setattr__(self, "scorer", replace(self.scorer, geometry=False))


class GTRSModel(nn.Module):
    """Encoder, scorer, refinement, generator; the parts not wanted are None."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.encoder = make_encoder(s.encoder)
        self.scorer = Scorer(s.scorer) if s.scores else None
        self.refiner = Refiner(s.scorer, s.refine) if s.scores and s.refine.topk else None
        self.generator = Generator(s.generator) if s.proposes else None

    def forward(self, batch: SceneBatch) -> SceneTokens:
        tokens: SceneTokens = self.encoder(batch)
        return tokens

    def judge(
        self,
        tokens: SceneTokens,
        batch: SceneBatch,
        candidates: str | Tensor,
        profile: Profile,
        k: int = 16,
        refine_profile: Profile | None = None,
        offset: Tensor | None = None,
        refined: bool = True,
    ) -> ScoreOutput:
        """The verdict over candidates, `refined` where there is a refinement; what else speaks for
        or against them, `offset (B, K)`, is added to the combined scores."""
        if self.scorer is None:
            raise InputError("these weights only propose: they hold no scorer")
        poses = self.scorer.candidates(candidates, len(batch.ego), batch.ego)
        states = self.scorer.states(tokens, batch.scene, poses)
        refiner = self.refiner if refined else None
        first = k if refiner is None else max(k, refiner.settings.topk)
        coarse = rank(self.scorer.heads(states), profile, first, offset)
        if refiner is None:
            return coarse
        return refine(coarse, states, tokens, refiner, refine_profile or profile, offset)

    def propose(self, tokens: SceneTokens, batch: SceneBatch, start: Tensor, generator: Any = None) -> Tensor:
        """Trajectories `(B, N, T, 3)` of the generator from the first noise `start (B, N, 32)`."""
        if self.generator is None:
            raise InputError("these weights only score: they hold no generator")
        return self.generator.propose(tokens, batch.ego[:, 0], start, generator)


__all__ = ["GTRSModel", "ModelSettings"]
