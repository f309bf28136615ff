"""The networks: one encoder, what is known of a moment and a mode, a denoiser or a decoder, and RefineNet.

As in Meng and Fan 2024 all but the encoder are perceptrons. The baselines are the same network with another
head (`kind` "vae") or other data: theirs are in-house as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from drive.errors import InputError
from drive.nn._torch import Tensor, constant, nn, torch
from drive.nn.blocks import Decoder, mlp, sinusoidal
from drive.nn.diffusion import DiffusionSettings
from drive.nn.encoders import EncoderSettings, make_encoder
from drive.nn.tokens import SceneTokens
from drive.planners.stl_diffusion.motion import MotionSettings
from drive.planners.stl_diffusion.signals import POINTS
from drive.planners.stl_diffusion.template import MODES, PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drive.nn.tokens import SceneBatch

ARCHITECTURE = "stl_diffusion-1"
KINDS = ("ddpm", "vae")
_SCALE = (10.0, 10.0, 2.0, 2.0, 2.0, 0.2)
_TIME = 32


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`kind` of KINDS. `residual` adds the noisy input to the denoiser's output, as published. RefineNet
    looks at `shard` samples at once; whether weights have a trained one says `refines`. `latent` is the
    VAE's.
    """

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    diffusion: DiffusionSettings = field(
        default_factory=lambda: DiffusionSettings(prediction="v", zero_terminal_snr=True)
    )
    kind: str = "ddpm"
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    residual: bool = False
    shard: int = 16
    latent: int = 16
    refines: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"the policy's kind is of {', '.join(KINDS)}, not '{self.kind}'")
        if min(self.hidden, self.layers, self.heads, self.shard, self.latent) < 1:
            raise InputError("the policy's sizes must be 1 or more")


class Refine(nn.Module):
    """RefineNet: corrects the samples that break the formula, knowing the others of their shard."""

    def __init__(self, context: int, size: int, hidden: int, shard: int) -> None:
        super().__init__()
        self.shard = shard
        self.merge = mlp((size, 32, 32, size))
        self.correct = mlp((context + len(PARAMETERS) + size, hidden, hidden, size))

    def forward(self, context: Tensor, parameters: Tensor, drawn: Tensor, robustness: Tensor) -> Tensor:
        """`drawn (B, M, N, knots, 2)` anew; rows of `robustness (B, M, N)` of 0 and more stay as they are.

        What is changed stays within -1 and 1.
        """
        flat = drawn.flatten(3)
        merged = self.merge(flat)
        fused = torch.cat(
            [part.amax(2, keepdim=True).expand_as(part) for part in torch.split(merged, self.shard, 2)], 2
        )
        told = torch.cat((context, scaled(parameters)), -1)[:, :, None].expand(*flat.shape[:3], -1)
        out = torch.tanh(self.correct(torch.cat((told, flat + fused), -1)))
        room = torch.where(out >= 0.0, 1.0 - flat, 1.0 + flat)
        wrong = (robustness < 0.0)[..., None]
        return torch.where(wrong, flat + out * room, flat).view_as(drawn)


class PolicyNet(nn.Module):
    """The policy's networks; see `sampling.draw` for what becomes of them."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = s = settings
        e = s.encoder
        self.encoder = make_encoder(e)
        self.mode = nn.Parameter(0.02 * torch.randn(len(MODES), e.width))
        self.about = mlp((len(PARAMETERS) + 2 * POINTS + 1, e.width, e.width))
        self.decoder = Decoder(e.width, s.heads, 1, e.ffn)
        context, size = 2 * e.width, s.motion.size
        inner = (s.hidden,) * s.layers
        if s.kind == "ddpm":
            self.denoiser = mlp((context + len(PARAMETERS) + size + _TIME, *inner, size))
        else:
            self.posterior = mlp((context + len(PARAMETERS) + size, s.hidden, 2 * s.latent))
            self.likelihood = mlp((context + len(PARAMETERS) + s.latent, *inner, size))
        self.refine = Refine(context, size, s.hidden, s.shard)

    def context(
        self,
        batch: SceneBatch | SceneTokens,
        points: Tensor,
        known: Tensor,
        parameters: Tensor,
        modes: Sequence[str],
    ) -> Tensor:
        """What is known of B moments in M modes `(B, M, C)`; `points (B, M, POINTS, 2)` of their lanes.
        Tokens in place of a batch are those of the encoder."""
        seen = batch if isinstance(batch, SceneTokens) else self.encoder(batch)
        rows = [MODES.index(mode) for mode in modes]
        told = torch.cat((scaled(parameters), points.flatten(2) / 20.0, known[..., None].float()), -1)
        queries = self.mode[rows] + self.about(told)
        found = self.decoder(queries, seen.tokens, seen.valid)
        return torch.cat((found, seen.ego[:, None].expand_as(found)), -1)

    def denoise(self, context: Tensor, parameters: Tensor, noisy: Tensor, steps: Tensor) -> Tensor:
        """The prediction for `noisy (B, M, N, size)` at `steps`, `(B,)` or `(B, M, N)`."""
        steps = steps.view(*steps.shape, *[1] * (3 - steps.ndim)).expand(noisy.shape[:3])
        time = sinusoidal(steps.to(noisy.dtype), _TIME)
        told = torch.cat((context, scaled(parameters)), -1)[:, :, None].expand(*noisy.shape[:3], -1)
        out: Tensor = self.denoiser(torch.cat((told, noisy, time), -1))
        return out + noisy if self.settings.residual else out

    def encode(self, context: Tensor, parameters: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the deviation of the latents `(B, M, N, latent)` of `clean (..., size)`."""
        told = torch.cat((context, scaled(parameters)), -1)[:, :, None].expand(*clean.shape[:3], -1)
        mean, log = self.posterior(torch.cat((told, clean), -1)).chunk(2, -1)
        return mean, log.clamp(-6.0, 2.0)

    def decode(self, context: Tensor, parameters: Tensor, latent: Tensor) -> Tensor:
        """What latents `(B, M, N, latent)` mean: `(B, M, N, size)` within -1 and 1."""
        told = torch.cat((context, scaled(parameters)), -1)[:, :, None].expand(*latent.shape[:3], -1)
        return torch.tanh(self.likelihood(torch.cat((told, latent), -1)))


def scaled(parameters: Tensor) -> Tensor:
    """Parameters `(..., 6)` as networks like them."""
    return (parameters / constant(_SCALE, parameters.device, parameters.dtype)).clamp(-5.0, 5.0)


__all__ = ["ARCHITECTURE", "KINDS", "ModelSettings", "PolicyNet", "Refine"]
