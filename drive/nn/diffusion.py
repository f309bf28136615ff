"""Diffusion over small tensors: noise schedules, what a network predicts, and sampling.

Ho et al. 2020 (DDPM), Song et al. 2021 (DDIM), Nichol and Dhariwal 2021 (squared cosine), Salimans and Ho
2022 (velocity), Lin et al. 2024 (zero terminal signal). With `abar` the share of the signal's power that is
left: noisy = sqrt(abar) clean + sqrt(1 - abar) noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import Tensor, constant, torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCHEDULES = ("squared_cosine", "linear")
PREDICTIONS = ("epsilon", "v", "sample")


@dataclass(frozen=True, slots=True)
class DiffusionSettings:
    """A noise schedule of `steps` and what the network predicts of a noisy input.

    `prediction`: "epsilon" the noise, "sample" the clean input, "v" sqrt(abar) noise - sqrt(1 - abar) clean.
    `clip` bounds the clean input while sampling (0: no bound). `zero_terminal_snr` leaves no signal in the
    last step, as sampling presumes; noise alone says nothing there, so "epsilon" cannot be predicted.
    """

    steps: int = 100
    schedule: str = "squared_cosine"
    prediction: str = "epsilon"
    zero_terminal_snr: bool = False
    clip: float = 1.0
    first_beta: float = 1e-4  # linear schedule
    last_beta: float = 0.02

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise InputError(f"there is no noise schedule '{self.schedule}' (known: {', '.join(SCHEDULES)})")
        if self.prediction not in PREDICTIONS:
            raise InputError(f"networks predict one of {', '.join(PREDICTIONS)}, not '{self.prediction}'")
        if self.steps < 2:
            raise InputError(f"a diffusion needs at least 2 steps, got {self.steps}")
        if not 0.0 < self.first_beta <= self.last_beta < 1.0:
            raise InputError(f"betas must rise within (0, 1), got {self.first_beta} and {self.last_beta}")
        if self.zero_terminal_snr and self.prediction == "epsilon":
            raise InputError("with zero_terminal_snr the prediction must be 'v' or 'sample', not 'epsilon'")


@lru_cache(maxsize=64)
def alpha_bars(settings: DiffusionSettings) -> tuple[float, ...]:
    """The share of signal power left after each step, falling: `steps` numbers."""
    n = settings.steps
    if settings.schedule == "linear":
        width = settings.last_beta - settings.first_beta
        betas = [settings.first_beta + width * k / (n - 1) for k in range(n)]
    else:
        level = [math.cos((k / n + 0.008) / 1.008 * math.pi / 2.0) ** 2 for k in range(n + 1)]
        betas = [min(1.0 - b / a, 0.999) for a, b in pairwise(level)]
    bars, left = [], 1.0
    for beta in betas:
        left *= 1.0 - beta
        bars.append(left)
    if settings.zero_terminal_snr:  # Lin et al., algorithm 1: shift the last root to 0, keep the first
        roots = [math.sqrt(bar) for bar in bars]
        first, last = roots[0], roots[-1]
        bars = [((root - last) * (first / (first - last))) ** 2 for root in roots]
    return tuple(bars)


def add_noise(settings: DiffusionSettings, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """`clean (B, ...)` after `steps (B,)` (0 ... steps - 1) of noise, in one go."""
    signal, rest = _roots(settings, steps, clean)
    return signal * clean + rest * noise


def target(settings: DiffusionSettings, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """What the network should answer to `add_noise(clean, noise, steps)`."""
    if settings.prediction == "epsilon":
        return noise
    if settings.prediction == "sample":
        return clean
    signal, rest = _roots(settings, steps, clean)
    return signal * noise - rest * clean


def to_clean(settings: DiffusionSettings, output: Tensor, noisy: Tensor, steps: Tensor) -> Tensor:
    """The clean input that the network's `output` at `noisy` means."""
    signal, rest = _roots(settings, steps, noisy)
    return _clean_of(settings.prediction, output, noisy, signal, rest)


def to_noise(settings: DiffusionSettings, output: Tensor, noisy: Tensor, steps: Tensor) -> Tensor:
    """The noise that the network's `output` at `noisy` means."""
    signal, rest = _roots(settings, steps, noisy)
    if settings.prediction == "epsilon":
        return output
    if settings.prediction == "v":
        return signal * output + rest * noisy
    return (noisy - signal * output) / rest


def sample(
    settings: DiffusionSettings,
    model: Callable[[Tensor, Tensor], Tensor],
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    count: int = 0,
    eta: float = 0.0,
    start: Tensor | None = None,
    visited: Sequence[int] | None = None,
    mend: Callable[[int, Tensor], Tensor] | None = None,
    device: Any = "cpu",
) -> Tensor:
    """Draw from a trained `model(noisy (B, ...), steps (B,)) -> output`: a tensor of `shape`.

    `count` visited steps, evenly spaced and ending at the last (0: all of them); `eta` 0 is DDIM, 1 the
    ancestral DDPM (the posterior's variance), which for `count` = 0 is the published sampler. Noise comes
    from `generator` alone, drawn on its own device; `start` replaces the first draw. `visited` names the
    steps, falling, in place of `count`; a `start` is then as noisy as its first one says. `mend(k, clean)`
    may replace the clean input that the k-th visited step found, before the sampling goes on from it.
    Nothing waits for the device.
    """
    if not (0 <= count <= settings.steps and 0.0 <= eta <= 1.0):
        raise InputError(
            f"sampling takes 1 to {settings.steps} steps and eta within [0, 1], got {count}, {eta}"
        )
    shape = tuple(shape)
    if start is not None and start.shape != shape:
        raise InputError(f"the first draw must have the shape {shape}, got {tuple(start.shape)}")
    bars = alpha_bars(settings)
    if visited is None:
        visited = visited_steps(settings.steps, count or settings.steps)
    elif (
        not visited
        or any(not 0 <= k < settings.steps for k in visited)
        or list(visited) != sorted(set(visited), reverse=True)
    ):
        raise InputError(f"the steps to visit fall from {settings.steps - 1} at most to 0, got {visited}")
    noisy = _draw(shape, generator, device) if start is None else start.to(device)
    for k, step in enumerate(visited):
        bar = bars[step]
        before = bars[visited[k + 1]] if k + 1 < len(visited) else 1.0
        signal, rest = math.sqrt(bar), math.sqrt(1.0 - bar)
        output = model(noisy, torch.full((shape[0],), step, dtype=torch.long, device=noisy.device))
        clean = _clean_of(settings.prediction, output, noisy, signal, rest)
        if settings.clip > 0.0:
            clean = clean.clamp(-settings.clip, settings.clip)
        if mend is not None:
            clean = mend(k, clean)
        noisy, spread = towards(clean, noisy, bar, before, eta)
        if spread > 0.0:
            noisy = noisy + spread * _draw(shape, generator, device)
    return noisy


def towards(clean: Tensor, noisy: Tensor, bar: float, before: float, eta: float) -> tuple[Tensor, float]:
    """Mean and deviation of the step from `noisy`, whose share of signal is `bar`, to where it is `before`,
    if the clean input were `clean` (DDIM, equation 12; with `eta` 1 the posterior of DDPM)."""
    noise = (noisy - math.sqrt(bar) * clean) / math.sqrt(1.0 - bar)
    spread = eta * math.sqrt((1.0 - before) / (1.0 - bar) * (1.0 - bar / before))
    mean = math.sqrt(before) * clean + math.sqrt(max(1.0 - before - spread * spread, 0.0)) * noise
    return mean, spread


def visited_steps(steps: int, count: int) -> list[int]:
    """`count` of `steps` from the last downwards, evenly spaced (the "trailing" spacing of Lin et al.)."""
    return [round(steps - k * steps / count) - 1 for k in range(count)]


def _clean_of(prediction: str, output: Tensor, noisy: Tensor, signal: Any, rest: Any) -> Tensor:
    if prediction == "sample":
        return output
    found: Tensor = signal * noisy - rest * output if prediction == "v" else (noisy - rest * output) / signal
    return found


def _roots(settings: DiffusionSettings, steps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar) and sqrt(1 - abar) at `steps (B,)`, shaped to multiply `like (B, ...)`."""
    shape = (-1,) + (1,) * (like.ndim - 1)
    signal, rest = (constant(table, like.device, like.dtype) for table in _tables(settings))
    return signal[steps].view(shape), rest[steps].view(shape)


@lru_cache(maxsize=64)
def _tables(settings: DiffusionSettings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    bars = alpha_bars(settings)
    return tuple(math.sqrt(bar) for bar in bars), tuple(math.sqrt(1.0 - bar) for bar in bars)


def _draw(shape: Sequence[int], generator: torch.Generator, device: Any) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device).to(device)


__all__ = [
    "PREDICTIONS",
    "SCHEDULES",
    "DiffusionSettings",
    "add_noise",
    "alpha_bars",
    "sample",
    "target",
    "to_clean",
    "to_noise",
    "towards",
    "visited_steps",
]
