"""How robustly samples obey the formula in their moments, with the slopes counted that were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.planners.stl_diffusion.kernel import COUNT, Place, measure
from drive.planners.stl_diffusion.motion import MotionSettings, judged, outside, roll
from drive.planners.stl_diffusion.rolling import followed, rolled
from drive.planners.stl_diffusion.signals import FARTHEST, NEAREST, SIGNALS, Ground, place_of, signals_of
from drive.planners.stl_diffusion.template import Template, named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Looked(NamedTuple):
    """What samples are and do."""

    states: Tensor  # (B, M, N, steps + 1, 7)
    offset: Tensor  # (B, M, N, T), m
    clearance: Tensor  # (B, M, N, T), m
    terms: Tensor  # (6, B, M, N), hard robustness of each clause, as TERMS

    @property
    def robustness(self) -> Tensor:
        """Of the whole formula, `(B, M, N)`."""
        return self.terms.amin(0)

    def parts(self, number: int) -> list[Looked]:
        """`number` samples at a time."""
        split = (torch.split(field, number, 2) for field in self[:3])
        return [Looked(*fields) for fields in zip(*split, torch.split(self.terms, number, 3), strict=True)]


def joined(looked: Sequence[Looked]) -> Looked:
    """Samples and more samples."""
    states, offset, gap = (torch.cat(fields, 2) for fields in list(zip(*looked, strict=True))[:3])
    return Looked(states, offset, gap, torch.cat([one.terms for one in looked], 3))


@dataclass(eq=False)
class Scorer:
    """B moments, M modes and their parameters: `(B, M, 6)`, or by name as `Template.robustness` takes them.

    `gradients` counts the passes back through roll-out and formula, however many samples one is of. With
    `lag` s what is looked at is how a tracker follows samples (`rolling.followed`); slopes are of these.
    """

    template: Template
    motion: MotionSettings
    ground: Ground
    modes: tuple[str, ...]
    parameters: Mapping[str, Tensor]
    gradients: int = 0
    lag: float = 0.0

    @classmethod
    def of(
        cls,
        template: Template,
        motion: MotionSettings,
        ground: Ground,
        modes: Sequence[str],
        parameters: Tensor,
    ) -> Scorer:
        return cls(template, motion, ground, tuple(modes), named(parameters))

    def states(self, drawn: Tensor) -> Tensor:
        """The roll-outs `(B, M, N, steps + 1, 7)` of `drawn (B, M, N, knots, 2)`."""
        return roll(self.motion, self.ground.ego, drawn)

    def look(self, drawn: Tensor) -> Looked:
        """Roll-outs and hard robustness, without slopes; on a processor in float32 compiled."""
        if drawn.device.type != "cpu" or drawn.dtype != torch.float32:
            states = driven = self.states(drawn)
            if self.lag > 0.0:
                array = followed(self.motion, states.detach().float().cpu().numpy(), self.lag)
                driven = torch.from_numpy(array).to(states)
            signals = signals_of(self.ground, judged(self.motion, driven))
            terms = self.template.terms(signals, self.parameters, self.modes)
            return Looked(states, signals["offset"], signals["clearance"], torch.stack(list(terms.values())))
        b, m, n = drawn.shape[:3]
        flat = drawn.detach().reshape(b, m * n, *drawn.shape[3:]).contiguous()
        plans = rolled(self.motion, self.ground.ego.numpy(), flat.numpy())
        paths = plans if self.lag <= 0.0 else followed(self.motion, plans, self.lag)
        at = np.ascontiguousarray(paths[:, :, self.motion.look :: self.motion.look])
        at = at.reshape(b * m, n, *at.shape[2:])
        found = measure(self.place, at, NEAREST, FARTHEST, False).signals.reshape(COUNT, b, m, n, -1)
        looked = self.template.looked(dict(zip(SIGNALS, found, strict=True)), self.traces, self.modes)
        whole = torch.from_numpy(plans).view(b, m, n, *plans.shape[2:])
        offset, gap = (torch.from_numpy(found[SIGNALS.index(name)]) for name in ("offset", "clearance"))
        return Looked(whole, offset, gap, torch.from_numpy(looked))

    @cached_property
    def place(self) -> Place:
        return place_of(self.ground)

    @cached_property
    def traces(self) -> dict[str, NDArray[np.float32]]:
        """The parameters as arrays `(B, M, 1, T or 1)`."""
        steps = self.motion.steps // self.motion.look
        return {
            name: (value[..., None].expand(*value.shape, steps) if value.ndim == 3 else value).numpy()
            for name, value in self.parameters.items()
        }

    def robustness(self, drawn: Tensor, soft: bool = False, bounds: bool = True) -> Tensor:
        """`(B, M, N)`; hard ones tell compliance."""
        if not soft and bounds and not (torch.is_grad_enabled() and drawn.requires_grad):
            return self.look(drawn).robustness
        signals = signals_of(self.ground, judged(self.motion, self.states(drawn)))
        return self.template.robustness(signals, self.parameters, self.modes, soft=soft, bounds=bounds)

    def terms(self, drawn: Tensor) -> dict[str, Tensor]:
        """The hard robustness of each clause, `(B, M, N)`."""
        signals = signals_of(self.ground, judged(self.motion, self.states(drawn)))
        return self.template.terms(signals, self.parameters, self.modes)

    def shortfall(self, drawn: Tensor, threshold: float) -> Tensor:
        """What soft robustness lacks of `threshold`, `(B, M, N)`; slopes flow to `drawn`. Counted."""
        self.gradients += 1
        return torch.relu(threshold - self.robustness(drawn, soft=True))

    def slope(self, drawn: Tensor, threshold: float, penalty: float = 0.0) -> Tensor:
        """The slope of the shortfall, and of `penalty` times what is out of bounds, in `drawn`. Counted."""
        with torch.enable_grad():
            leaf = drawn.detach().requires_grad_()
            loss = self.shortfall(leaf, threshold).sum() + penalty * outside(leaf).sum()
            (found,) = torch.autograd.grad(loss, (leaf,))
        out: Tensor = torch.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
        return out


@dataclass(frozen=True, slots=True)
class OptimiseSettings:
    """Trajectory optimisation (Meng and Fan 2024): `steps` of Adam at `rate` on what soft robustness lacks of
    `threshold`, from starts that are drawn `spread` wide in yaw rate and all over in acceleration, a share
    `steady` of them of about one acceleration. Published: 2000 steps at 0.005 on controls that are not
    scaled, none steady.
    """

    steps: int = 150
    rate: float = 0.08
    threshold: float = 0.05
    spread: float = 0.1
    steady: float = 0.6
    penalty: float = 10.0


def starts(shape: Sequence[int], spread: float, generator: torch.Generator, steady: float = 0.0) -> Tensor:
    """Random first guesses `(..., knots, 2)`; a share `steady` of them nearly keeps one acceleration."""
    found = 2.0 * torch.rand(tuple(shape), generator=generator) - 1.0
    found[..., 1] *= spread
    if steady > 0.0:
        level, lot = torch.rand((2, *shape[:-2], 1), generator=generator)
        level = 2.0 * level - 1.0
        found[..., 0] = torch.where(
            lot < steady, (level + 0.15 * found[..., 0]).clamp(-1.0, 1.0), found[..., 0]
        )
    return found


def optimise(scorer: Scorer, drawn: Tensor, settings: OptimiseSettings) -> Tensor:
    """Samples `(B, M, N, knots, 2)` after Adam; of each the most robust of first and last is kept."""
    leaf = drawn.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=settings.rate)
    for _ in range(settings.steps):
        leaf.grad = scorer.slope(leaf, settings.threshold, settings.penalty)
        optimiser.step()
    with torch.no_grad():
        last = leaf.detach().clamp(-1.0, 1.0)
        better = scorer.robustness(last) >= scorer.robustness(drawn)
    return torch.where(better[..., None, None], last, drawn)


@dataclass(frozen=True, slots=True)
class GuidanceSettings:
    """In the last `steps` denoising steps (-1: all of them) `iterations` of Adam at `rate` go down what soft
    robustness lacks of `threshold`; the change of a step is cut to `cap` either way, in units of what is
    drawn. The cap is its own: in the published code it is the noise's, and takes the sign away.
    """

    steps: int = 0
    iterations: int = 1
    rate: float = 0.05
    cap: float = 0.1
    threshold: float = 0.3


@dataclass(frozen=True, slots=True)
class PursuitSettings:
    """Guidance of what the denoising ended with and the choice picked: `iterations` of Adam at `rate`, as for
    guidance, with less `momentum`. Each change is tried at all `scales` of its length, and the most robust of
    these gone on from: roll-outs without a slope are cheap. Of all that was tried the most robust is kept.
    """

    iterations: int = 0
    rate: float = 0.1
    momentum: float = 0.7
    threshold: float = 0.05
    scales: tuple[float, ...] = (0.3, 1.0)

    def __post_init__(self) -> None:
        if self.iterations < 0 or not self.scales or min(self.rate, *self.scales) <= 0.0:
            raise InputError("a pursuit takes 0 iterations or more, and a rate and scales above 0")
        if not 0.0 <= self.momentum < 1.0:
            raise InputError(f"a pursuit's momentum lies within [0, 1), not at {self.momentum}")


def guided(scorer: Scorer, drawn: Tensor, settings: GuidanceSettings) -> Tensor:
    """`drawn` after one guided step: signed, and cut to the cap."""
    leaf = drawn.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=settings.rate)
    for _ in range(settings.iterations):
        leaf.grad = scorer.slope(leaf, settings.threshold)
        optimiser.step()
    change = (leaf.detach() - drawn).clamp(-settings.cap, settings.cap)
    return (drawn + change).clamp(-1.0, 1.0)


def pursued(
    scorer: Scorer, drawn: Tensor, looked: Looked, settings: PursuitSettings
) -> tuple[Tensor, Looked]:
    """`drawn` after a pursuit, nowhere less robust than before, and what it is and does."""
    leaf = drawn.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=settings.rate, betas=(settings.momentum, 0.999))
    kept, known = drawn, looked
    for _ in range(settings.iterations):
        before = leaf.detach().clone()
        leaf.grad = scorer.slope(before, settings.threshold)
        optimiser.step()
        with torch.no_grad():
            change = leaf - before
            tried = [(before + scale * change).clamp(-1.0, 1.0) for scale in settings.scales]
            # All at once: few samples cost as much as many.
            looks = scorer.look(torch.cat(tried, 2)).parts(drawn.shape[2])
            now, found = best(tried, looks)
            leaf.copy_(now)
            kept, known = best([kept, now], [known, found])
    return kept, known


def best(tried: Sequence[Tensor], looks: Sequence[Looked]) -> tuple[Tensor, Looked]:
    """Of each sample the most robust of what was tried for it, and what it is and does."""
    if len(tried) == 1:
        return tried[0], looks[0]
    index = torch.stack([one.robustness for one in looks]).argmax(0, keepdim=True)

    def at(fields: Sequence[Tensor]) -> Tensor:
        many = torch.stack(list(fields))
        place = index.reshape(*index.shape, *[1] * (many.ndim - index.ndim))
        return many.gather(0, place.expand(1, *many.shape[1:]))[0]

    states, offset, gap = (at(fields) for fields in list(zip(*looks, strict=True))[:3])
    terms = at([one.terms.movedim(0, -1) for one in looks]).movedim(-1, 0)
    return at(tried), Looked(states, offset, gap, terms)


__all__ = [
    "GuidanceSettings", "OptimiseSettings", "PursuitSettings", "Scorer", "best", "guided", "joined",
    "optimise", "pursued", "starts",
]  # fmt: skip
