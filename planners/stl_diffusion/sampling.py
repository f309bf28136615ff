"""Samples of a trained policy: denoise, guide, choose among the last iterates, refine; every step counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import sample, visited_steps
from drive.planners.stl_diffusion.scorer import (
    GuidanceSettings,
    Looked,
    PursuitSettings,
    Scorer,
    best,
    guided,
    pursued,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drive.planners.stl_diffusion.model import PolicyNet


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """`count` denoising steps (0: all), `eta` of fresh noise; of the last `candidates` iterates the most
    robust is kept for each sample; `rolls` of RefineNet; guidance while denoising, pursuit after all that. A
    VAE's latents deviate by `temperature`."""

    count: int = 20
    eta: float = 0.0
    candidates: int = 5
    rolls: int = 1
    temperature: float = 1.0
    guidance: GuidanceSettings = field(default_factory=GuidanceSettings)
    pursuit: PursuitSettings = field(default_factory=PursuitSettings)

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < math.inf:
            raise InputError(f"sampling's temperature is 0 or more, not {self.temperature}")
        if self.candidates < 1 or min(self.rolls, self.count) < 0:
            raise InputError("sampling takes 1 candidate or more, and 0 rolls and steps or more")


PLAIN = SampleSettings(candidates=1, rolls=0)
"""The denoiser alone."""
DECODED = SampleSettings(temperature=0.7)
"""A VAE: nearer to the middle of what it learnt it obeys more often, and covers more for it."""
CHOICE = SampleSettings(rolls=0)
OURS = SampleSettings()
GUIDED = SampleSettings(candidates=10, pursuit=PursuitSettings(8))
"""Eight gradients, where ten are published with ours; signed, uncut, and all of them where they cannot be
made noisy again: after the last step, from the best that there is."""
STRONG = SampleSettings(candidates=10, pursuit=PursuitSettings(30))
"""Thirty gradients."""
CTG = SampleSettings(
    count=0, eta=1.0, candidates=1, rolls=0, guidance=GuidanceSettings(-1, iterations=3, rate=0.01)
)
"""Guidance at every step, three gradients each, after Zhong et al. 2023 as Meng and Fan have it; signed."""


class Drawn(NamedTuple):
    """What was drawn for B moments, M modes and N samples, and what it took."""

    drawn: Tensor  # (B, M, N, knots, 2)
    looked: Looked  # what they are and do
    gradients: int  # passes back through the formula
    calls: int  # of the denoiser or decoder
    before: Looked | None = None  # of what was begun from, where that was among the choice

    @property
    def robustness(self) -> Tensor:
        """Hard, of the whole formula, `(B, M, N)`."""
        return self.looked.robustness


class Told(NamedTuple):
    """What a sampler knows of B moments: the network's context and the parameters."""

    context: Tensor  # (B, M, C)
    parameters: Tensor  # (B, M, 6)


@torch.no_grad()
def draw(
    model: PolicyNet,
    told: Told,
    scorer: Scorer,
    number: int,
    settings: SampleSettings,
    generator: torch.Generator,
    *,
    noise: Tensor | None = None,
    start: Tensor | None = None,
    visited: Sequence[int] | None = None,
    kept: Tensor | None = None,
) -> Drawn:
    """`number` samples in each mode of each moment.

    `start (B, M, N, knots, 2)` are clean samples to go on from, as noisy as they are taken to be at the first
    of the steps to be `visited`; `noise` of that shape replaces the first draw; in the end each sample may be
    that of `kept` in its place, if that one is more robust.
    """
    s, own = model.settings, settings.guidance
    b, m = told.context.shape[:2]
    shape = (b, m, number, s.motion.size)
    before = scorer.gradients
    if s.kind == "vae":
        latent = torch.randn((b, m, number, s.latent), generator=generator, device=generator.device)
        latent = settings.temperature * latent.to(told.context)
        flat = model.decode(told.context, told.parameters, latent)
        calls, iterates = 1, [flat]
    else:
        steps = list(visited or visited_steps(s.diffusion.steps, settings.count or s.diffusion.steps))
        calls, iterates = len(steps), []
        first = len(steps) if own.steps == 0 else 0 if own.steps < 0 else max(len(steps) - own.steps, 0)

        def mend(k: int, clean: Tensor) -> Tensor:
            if k >= first:
                clean = guided(scorer, knotted(clean), own).flatten(3)
            if len(steps) - k <= settings.candidates:
                iterates.append(clean)
            return clean

        given = start if start is not None else noise
        flat = sample(
            s.diffusion,
            lambda noisy, at: model.denoise(told.context, told.parameters, noisy, at),
            shape,
            generator,
            eta=settings.eta,
            start=None if given is None else given.flatten(3),
            visited=steps,
            mend=mend,
            device=told.context.device,
        )
    last = [knotted(one).clamp(-1.0, 1.0) for one in iterates]
    # All at once: few samples cost as much as many.
    *looks, other = scorer.look(torch.cat([*last, last[0] if kept is None else kept], 2)).parts(number)
    found, looked = best(last, looks)
    for _ in range(settings.rolls if s.refines else 0):
        again = model.refine(told.context, told.parameters, found, looked.robustness)
        found, looked = best([found, again], [looked, scorer.look(again)])
    if settings.pursuit.iterations:
        found, looked = pursued(scorer, found, looked, settings.pursuit)
    if kept is None:
        return Drawn(found, looked, scorer.gradients - before, calls)
    found, looked = best([found, kept], [looked, other])
    return Drawn(found, looked, scorer.gradients - before, calls, other)


def knotted(flat: Tensor) -> Tensor:
    """`(..., size)` as `(..., knots, 2)`."""
    return flat.reshape(*flat.shape[:-1], -1, 2)


def told_of(model: PolicyNet, batch: object, scorer: Scorer, parameters: Tensor) -> Told:
    """The context of moments for a sampler."""
    g = scorer.ground
    context = model.context(batch, g.points, g.known, parameters, scorer.modes)  # type: ignore[arg-type]
    return Told(context, parameters)


__all__ = [
    "CHOICE", "CTG", "DECODED", "GUIDED", "OURS", "PLAIN", "STRONG", "Drawn", "SampleSettings", "Told",
    "draw", "knotted", "told_of",
]  # fmt: skip
