"""What is learnt: to denoise or to decode what obeys the formula, and to correct what does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import add_noise, target
from drive.nn.tokens import SceneBatch, SceneTokens, scene_batch
from drive.planners.stl_diffusion.bounds import bounds_of
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.model import ModelSettings, PolicyNet, Refine
from drive.planners.stl_diffusion.motion import judged
from drive.planners.stl_diffusion.sampling import PLAIN, SampleSettings, Told, draw, knotted, told_of
from drive.planners.stl_diffusion.scorer import Scorer
from drive.planners.stl_diffusion.signals import make_ground, moved_on, signals_of
from drive.planners.stl_diffusion.template import MODES, Template, named

Figures = dict[str, Tensor]
SHOWN = ("augmented", "expert")


@dataclass(frozen=True, slots=True)
class ObjectiveSettings:
    """What is imitated: the `augmented` samples that obey, or the `expert` alone. Of a VAE `kl` weighs the
    prior, `hinge` what soft robustness lacks, `overlap` what clearance lacks of `margin` m (TrafficSim-like:
    1 and 1)."""

    shows: str = "augmented"
    kl: float = 0.02
    hinge: float = 0.0
    overlap: float = 0.0
    margin: float = 0.1

    def __post_init__(self) -> None:
        if self.shows not in SHOWN:
            raise InputError(f"a policy imitates what is of {', '.join(SHOWN)}, not '{self.shows}'")


@dataclass(frozen=True, slots=True)
class RefineSettings:
    """RefineNet learns on `samples` drawn as `sampling` says: a hinge on what soft robustness lacks of
    `threshold` (as the logarithm of 1 and it), and `diversity` times the expected size of a determinantal
    point process. `steps` of its training at the rate `lr`."""

    steps: int = 300
    lr: float = 1e-3
    samples: int = 16
    threshold: float = 0.05
    diversity: float = 0.1
    sampling: SampleSettings = field(default_factory=lambda: replace(PLAIN, count=10))


class Posed(NamedTuple):
    """A batch of an augmented set as formulas see it."""

    view: SceneBatch
    scorer: Scorer
    parameters: Tensor
    known: Tensor  # (B, 3)


TOKENS = ("seen.tokens", "seen.valid", "seen.ego")
LANES = ("lane.points", "lane.known")
"""What batches hold beside, where the encoder is not trained."""


def context_of(model: PolicyNet, batch: Mapping[str, Any], found: Posed | None) -> Tensor:
    """What the network knows of a batch, `(B, 3, C)`, by tokens that were kept if there are any."""
    parameters = batch["parameters"].float()
    if TOKENS[0] in batch:
        tokens, valid, ego, points, known = (batch[name] for name in TOKENS + LANES)
        seen = SceneTokens(tokens, valid, ego)
        return model.context(seen, points, known, parameters, MODES)
    found = found or posed(batch, model.settings, False)
    return told_of(model, found.view, found.scorer, parameters).context


def posed(batch: Mapping[str, Any], settings: ModelSettings, scored: bool = True) -> Posed:
    """The moments of a batch, in all modes; who is not `scored` need not know how bounds are eased."""
    parameters = batch["parameters"].float()
    view = scene_batch(batch, parameters.device)
    if view.scene is None:
        raise InputError("a policy learns from the arrays of scenes: the set has none")
    others = moved_on(view.scene, look_times(settings.motion, parameters))
    ground = make_ground(view.scene, MODES, others)
    bounds = named(parameters)
    if scored:
        bounds = bounds_of(ground, parameters, batch["eased"].bool(), look_times(settings.motion, parameters))
    scorer = Scorer(Template(settings.motion.look_dt), settings.motion, ground, MODES, bounds)
    return Posed(view, scorer, parameters, ground.known)


def shown(batch: Mapping[str, Any], shows: str) -> tuple[Tensor, Tensor]:
    """What is imitated `(B, 3, n, size)`, and its weight `(B, 3, n)`: 0 for what breaks the formula."""
    usable = batch["usable"].bool()[:, None, None]
    expert = batch["expert"].float().flatten(1)[:, None, None].expand(-1, 3, 1, -1)
    did = (torch.arange(3, device=expert.device) == batch["mode"][:, None])[..., None] & usable
    if shows == "expert":
        # Whatever a human did is shown; whether it obeys is for the augmentation to ask.
        return expert, did.to(expert.dtype)
    clean = torch.cat((batch["drawn"].float().flatten(3), expert), 2)
    good = (batch["robustness"] > 0.0) & batch["known"].bool()[..., None] & usable
    own = did & (batch["expert_robustness"] > 0.0)[:, None, None]
    return clean, torch.cat((good, own), 2).to(clean.dtype)


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """The loss of denoiser or VAE."""

    settings: ObjectiveSettings

    def __call__(
        self, model: PolicyNet, batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, Figures]:
        scored = self.settings.hinge > 0.0 or self.settings.overlap > 0.0
        found = posed(batch, model.settings) if scored else None
        told = Told(context_of(model, batch, found), batch["parameters"].float())
        clean, weight = shown(batch, self.settings.shows)
        total = weight.sum().clamp(min=1.0)
        if model.settings.kind == "vae":
            return self._vae(model, found, told, clean, weight, total, generator)
        d = model.settings.diffusion
        first = 0 if d.zero_terminal_snr else 1
        shape = clean.shape[:3]
        steps = torch.randint(
            first, d.steps, (math.prod(shape),), generator=generator, device=generator.device
        )
        steps = steps.to(clean.device)
        noise = torch.randn(clean.shape, generator=generator, device=generator.device).to(clean)
        flat, white = clean.reshape(-1, clean.shape[-1]), noise.flatten(0, 2)
        noisy = add_noise(d, flat, white, steps).view(clean.shape)
        wanted = target(d, flat, white, steps).view(clean.shape)
        out = model.denoise(told.context, told.parameters, noisy, steps.view(shape))
        loss = (weight * (out.float() - wanted).square().mean(-1)).sum() / total
        return loss, {"shown": weight.mean()}

    def _vae(
        self, model: PolicyNet, found: Posed | None, told: Told, clean: Tensor, weight: Tensor, total: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Figures]:  # fmt: skip
        s = self.settings
        mean, log = model.encode(told.context, told.parameters, clean)
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean)
        out = model.decode(told.context, told.parameters, mean + log.exp() * noise).float()
        miss = (weight * (out - clean).square().mean(-1)).sum() / total
        prior = (weight * (0.5 * (mean.square() + (2.0 * log).exp()) - log - 0.5).mean(-1)).sum() / total
        loss = miss + s.kl * prior
        figures = {"miss": miss.detach(), "prior": prior.detach()}
        if found is not None:
            known = found.known.to(out.dtype)[..., None].expand(weight.shape)
            count = known.sum().clamp(min=1.0)
            drawn = knotted(out)
            signals = signals_of(found.scorer.ground, judged(found.scorer.motion, found.scorer.states(drawn)))
            lack = torch.relu(0.05 - found.scorer.template.robustness(
                signals, found.scorer.parameters, MODES, soft=True
            ))  # fmt: skip
            near = torch.relu(s.margin - signals["clearance"]).mean(-1)
            hinge, overlap = (known * lack).sum() / count, (known * near).sum() / count
            loss = loss + s.hinge * hinge + s.overlap * overlap
            figures |= {"hinge": hinge.detach(), "overlap": overlap.detach()}
        return loss, figures


@dataclass(frozen=True, slots=True, eq=False)
class RefineLoss:
    """The loss of RefineNet, on samples of a policy that is not trained any more."""

    base: PolicyNet
    settings: RefineSettings

    def __call__(
        self, refine: Refine, batch: Mapping[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, Figures]:
        s = self.settings
        found = posed(batch, self.base.settings)
        with torch.no_grad():
            told = Told(context_of(self.base, batch, found), found.parameters)
            first = draw(self.base, told, found.scorer, s.samples, s.sampling, generator)
        mended = refine(told.context, told.parameters, first.drawn, first.robustness).float()
        rho = found.scorer.robustness(mended, soft=True)
        known = found.known.to(rho.dtype)[..., None]
        count = known.expand_as(rho).sum().clamp(min=1.0)
        # Who is far off (5 m into somebody, the wrong way round) would drown all others.
        hinge = (known * torch.log1p(torch.relu(s.threshold - rho))).sum() / count
        loss = hinge
        sizes = mended.new_zeros(())
        if s.diversity > 0.0:
            sizes = (known * expected_size(mended, rho, refine.shard)).mean()
            loss = loss - s.diversity * sizes
        with torch.no_grad():
            hard = found.scorer.robustness(mended)
            before = (known * (first.robustness > 0.0)).sum() / count
            after = (known * (hard > 0.0)).sum() / count
        return loss, {
            "hinge": hinge.detach(), "diverse": sizes.detach(), "before": before, "after": after,
            "broken": 1.0 - after,
        }  # fmt: skip


def expected_size(drawn: Tensor, robustness: Tensor, shard: int) -> Tensor:
    """The expected share of a shard `(B, M, shards)` that a determinantal point process draws (Kulesza and
    Taskar 2012): tr(I - (L + I)^-1) / n with L = q S q, S the likeness of what was drawn, q its quality.

    The quality falls smoothly through robustness 0: with the published step there, who breaks the formula
    gets no slope.
    """
    out = []
    parts = torch.split(drawn.flatten(3), shard, 2), torch.split(robustness, shard, 2)
    for some, rho in zip(*parts, strict=True):
        square = (some[:, :, :, None] - some[:, :, None]).square().sum(-1)
        alike = torch.exp(-(square + 1e-8).sqrt())
        quality = torch.exp(rho.clamp(max=1.0)) * torch.sigmoid(20.0 * rho)
        kernel = quality[..., :, None] * alike * quality[..., None, :]
        one = torch.eye(some.shape[2], dtype=some.dtype, device=some.device)
        inverse = torch.linalg.inv(kernel + one)
        out.append(1.0 - inverse.diagonal(dim1=-2, dim2=-1).mean(-1))
    return torch.stack(out, -1)


__all__ = [
    "LANES", "SHOWN", "TOKENS", "ObjectiveSettings", "PolicyLoss", "Posed", "RefineLoss", "RefineSettings",
    "context_of", "expected_size", "posed", "shown",
]  # fmt: skip
