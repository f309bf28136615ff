"""The generator (GTRS 3.2): trajectories drawn by diffusion, each denoised as one token that asks the scene.

The published one predicts the noise and takes 100 DDPM steps (`diffusion.prediction=epsilon`,
`sample_steps=0`, `eta=1`). Here it predicts the clean signal by default, for a small denoiser of one token
behind layer norms learns the noise's size badly, in a few DDIM steps: the same first noise gives the same
trajectory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import Tensor, constant, nn, torch
from drive.nn.blocks import Decoder, mlp, sinusoidal
from drive.nn.diffusion import DiffusionSettings, add_noise, sample, target, visited_steps
from drive.planners.gtrs.actions import CHANNELS, Actions

if TYPE_CHECKING:
    from drive.nn.tokens import SceneTokens


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """The denoiser's shape, the noise schedule, how many steps are taken to sample (0: all), with how much
    fresh noise (`eta`: 0 DDIM, 1 DDPM), and how many noisy copies of a sample are learnt from at once."""

    width: int = 64
    heads: int = 4
    layers: int = 3
    ffn: int = 256
    horizon: int = 40
    every: int = 5
    draws: int = 8
    sample_steps: int = 5
    eta: float = 0.0
    diffusion: DiffusionSettings = field(
        default_factory=lambda: DiffusionSettings(prediction="sample", zero_terminal_snr=True)
    )

    def __post_init__(self) -> None:
        if self.draws < 1 or not 0 <= self.sample_steps <= self.diffusion.steps:
            raise InputError(
                f"a generator learns from 1 draw or more and samples in at most {self.diffusion.steps} steps"
            )


class Generator(nn.Module):
    """Scene tokens and noise in, trajectories `(B, N, T, 3)` out."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.actions = Actions(s.horizon, s.every)
        self.size = self.actions.count * CHANNELS
        self.embed = nn.Linear(self.size, s.width)
        self.time = mlp((s.width, s.width, s.width))
        self.decoder = Decoder(s.width, s.heads, s.layers, s.ffn)
        self.out = nn.Linear(s.width, self.size)

    def forward(self, tokens: SceneTokens, noisy: Tensor, steps: Tensor) -> Tensor:
        """The prediction for `noisy (B, N, 32)` at `steps (B,)`; the N of a scene do not see each other."""
        return self.answer(self.memory(tokens), noisy, self.told(steps))

    def told(self, steps: Tensor) -> Tensor:
        """What the queries are told of `steps (B,)`, `(B, d)`."""
        out: Tensor = self.time(sinusoidal(steps.to(self.out.weight.dtype), self.settings.width))
        return out

    def memory(self, tokens: SceneTokens) -> list[Any]:
        """What the denoiser attends to, once for all steps: the scene, and the ego's state as a token."""
        scene = torch.cat((tokens.tokens, tokens.ego[:, None]), 1)
        valid = torch.cat((tokens.valid, torch.ones_like(tokens.valid[:, :1])), 1)
        return self.decoder.remember(scene, valid)

    def answer(self, memory: list[Any], noisy: Tensor, told: Tensor) -> Tensor:
        """As `forward`. The step is `told (B, d)` to the query: the memory then serves every step."""
        queries = self.embed(noisy) + told[:, None]
        out: Tensor = self.out(self.decoder.norm(self.decoder.attend(queries, memory)[-1]))
        return out

    def loss(self, tokens: SceneTokens, expert: Tensor, known: Tensor, generator: Any) -> Tensor:
        """Mean squared error of the prediction, a number; `expert (B, T, 3)`, `known (B,)` bool.

        Noise is drawn on the device of `generator`.
        """
        s = self.settings
        clean = self.actions.encode(expert.nan_to_num())[:, None].expand(-1, s.draws, -1)
        device = generator.device
        noise = torch.randn(clean.shape, generator=generator, device=device).to(clean.device)
        steps = torch.randint(s.diffusion.steps, (len(clean),), generator=generator, device=device)
        steps = steps.to(clean.device)
        answer = self(tokens, add_noise(s.diffusion, clean, noise, steps), steps)
        each: Tensor = (answer - target(s.diffusion, clean, noise, steps)).square().mean((1, 2))
        mean: Tensor = (each * known).sum() / known.sum().clamp(min=1)
        return mean

    def propose(self, tokens: SceneTokens, speed: Tensor, start: Tensor, generator: Any = None) -> Tensor:
        """Trajectories `(B, N, T, 3)` from the first noise `start (B, N, 32)`; `speed (B,)` is the ego's.

        `generator` is needed where fresh noise is added (`eta` > 0).
        """
        s = self.settings
        memory = self.memory(tokens)
        visited = visited_steps(s.diffusion.steps, s.sample_steps or s.diffusion.steps)
        steps = constant(tuple(map(float, visited)), start.device, torch.float32)
        told = iter(torch.split(self.told(steps), 1))
        signal = sample(
            s.diffusion,
            lambda noisy, _: self.answer(memory, noisy, next(told)),
            start.shape,
            generator if generator is not None else torch.Generator(),
            count=s.sample_steps,
            eta=s.eta,
            start=start,
            device=start.device,
        )
        return self.actions.decode(signal, speed[:, None])


__all__ = ["Generator", "GeneratorSettings"]
