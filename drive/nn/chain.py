"""Denoising as a chain of draws, each with a probability: what a policy's gradient needs of a diffusion.

After Ren et al. 2024 (DPPO) and ReCogDrive (arXiv 2506.08052): each step draws from a normal distribution
about the sampler's mean, whose deviation has a floor; the chain's logarithms of probabilities are averaged
over what is drawn, and bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import DiffusionSettings, alpha_bars, to_clean, towards, visited_steps

if TYPE_CHECKING:
    from collections.abc import Callable

    Network = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ChainSettings:
    """`count` steps; `floor` is the least deviation of a draw, `told` the least with which its probability is
    told; draws lie within `reach` deviations, logarithms between `low` and `high`."""

    count: int = 10
    floor: float = 0.04
    told: float = 0.1
    reach: float = 5.0
    low: float = -5.0
    high: float = 2.0

    def __post_init__(self) -> None:
        if self.count < 1 or not (self.floor > 0.0 and self.told > 0.0 and self.reach > 0.0):
            raise InputError("a chain has a step or more, its floor, told and reach are above 0")
        if not self.low < self.high:
            raise InputError("a chain's low lies below its high")


class Chain(NamedTuple):
    """`noisy (K + 1, ...)`: the first draw, then what each of the `visited` steps drew; the last one, kept
    within the bounds of clean inputs, is the sample."""

    visited: tuple[int, ...]
    noisy: Tensor

    def sample(self, settings: DiffusionSettings) -> Tensor:
        """What came out."""
        last = self.noisy[-1]
        return last.clamp(-settings.clip, settings.clip) if settings.clip > 0.0 else last


@torch.no_grad()
def walk(
    settings: DiffusionSettings, model: Network, start: Tensor, chain: ChainSettings,
    generator: torch.Generator,
) -> Chain:  # fmt: skip
    """Draw a chain from `start (B, ...)`, which is noise; `model(noisy, steps (B,))` is a denoiser."""
    visited = tuple(visited_steps(settings.steps, min(chain.count, settings.steps)))
    found = [start]
    for k in range(len(visited)):
        mean, spread = _transition(settings, model, found[-1], visited, k)
        white = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
        found.append(mean + max(spread, chain.floor) * white.clamp(-chain.reach, chain.reach))
    return Chain(visited, torch.stack(found))


def log_probabilities_of(
    settings: DiffusionSettings, model: Network, drawn: Chain, chain: ChainSettings
) -> Tensor:
    """The logarithm of each step's density `(..., K)`, a mean over the last axis of what is drawn; slopes
    flow to the model."""
    out = []
    for k in range(len(drawn.visited)):
        mean, spread = _transition(settings, model, drawn.noisy[k], drawn.visited, k)
        deviation = max(spread, chain.told)
        miss = (drawn.noisy[k + 1] - mean) / deviation
        density = -0.5 * miss.square() - math.log(deviation) - 0.5 * math.log(2.0 * math.pi)
        out.append(density.mean(-1).clamp(chain.low, chain.high))
    return torch.stack(out, -1)


def _transition(
    settings: DiffusionSettings, model: Network, noisy: Tensor, visited: tuple[int, ...], k: int
) -> tuple[Tensor, float]:
    """Mean and deviation of the draw at the k-th visited step."""
    bars = alpha_bars(settings)
    before = bars[visited[k + 1]] if k + 1 < len(visited) else 1.0
    steps = torch.full((len(noisy),), visited[k], dtype=torch.long, device=noisy.device)
    clean = to_clean(settings, model(noisy, steps), noisy, steps)
    if settings.clip > 0.0:
        clean = clean.clamp(-settings.clip, settings.clip)
    return towards(clean, noisy, bars[visited[k]], before, 1.0)


__all__ = ["Chain", "ChainSettings", "log_probabilities_of", "walk"]
