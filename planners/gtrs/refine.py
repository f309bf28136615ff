"""The second look (DriveSuprim, GTRS-Aug): the best candidates ask the scene again, with heads of their own.

Only a candidate of the first stage's top k can win; every layer is supervised, the last one ranks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drive.errors import InputError
from drive.nn._torch import Tensor, nn
from drive.nn.blocks import Decoder
from drive.planners.gtrs.scorer import Heads, ScoreOutput, ScorerSettings, best
from drive.planners.learned.profiles import Profile, combine

if TYPE_CHECKING:
    from drive.nn.tokens import SceneTokens


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """`topk` candidates (published: 256 of 8192) look again through `layers` layers; 0 turns it off."""

    topk: int = 0
    layers: int = 2

    def __post_init__(self) -> None:
        if self.topk < 0 or self.layers < 1:
            raise InputError(f"a refinement of the top {self.topk} in {self.layers} layers makes no sense")


class Refiner(nn.Module):
    """Decoder states of the top k `(B, k, d)` and the scene's tokens in, logits of every layer out."""

    def __init__(self, scorer: ScorerSettings, settings: RefineSettings) -> None:
        super().__init__()
        self.settings = settings
        self.decoder = Decoder(
            scorer.width, scorer.heads, settings.layers, scorer.ffn, self_attention=scorer.self_attention
        )
        self.heads = Heads(scorer)

    def forward(self, states: Tensor, tokens: SceneTokens) -> list[dict[str, Tensor]]:
        layers = self.decoder(states, tokens.tokens, tokens.valid, all_layers=True)
        return [self.heads(layer + tokens.ego[:, None]) for layer in layers]


def gather(values: Tensor, rows: Tensor) -> Tensor:
    """`values (B, K, ...)` at `rows (B, k)`."""
    index = rows.reshape(*rows.shape, *(1,) * (values.ndim - 2))
    return values.gather(1, index.expand(*rows.shape, *values.shape[2:]))


def refine(
    coarse: ScoreOutput,
    states: Tensor,
    tokens: SceneTokens,
    refiner: Refiner,
    profile: Profile,
    offset: Tensor | None = None,
) -> ScoreOutput:
    """The coarse output with its top k looked at again and put in the new order.

    `states (B, K, d)` are those that the coarse logits came from; `offset (B, K)` is added to the scores.
    """
    rows = coarse.topk[:, : refiner.settings.topk]
    last = refiner(gather(states, rows), tokens)[-1]
    combined = combine(last, profile)
    combined = combined if offset is None else combined + offset.gather(1, rows)
    _, order = best(combined, rows.shape[1])
    topk = rows.gather(1, order)
    refined = {name: values.gather(1, order) for name, values in last.items()}
    return replace(
        coarse, index=topk[:, 0], topk=topk, refined=refined, refined_combined=combined.gather(1, order)
    )


__all__ = ["RefineSettings", "Refiner", "gather", "refine"]
