"""The baseline's network: an encoder, one query that looks at its tokens, controls that are rolled out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn._torch import functional, nn, torch
from drive.nn.blocks import Decoder, mlp
from drive.nn.encoders import EncoderSettings, make_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.nn._torch import Tensor
    from drive.nn.tokens import SceneBatch

ARCHITECTURE = "regression-1"
STEPS, DT = 40, 0.1
MAX_ACCELERATION, MAX_CURVATURE = 8.0, 0.25
_SCALE = (3.0, 0.05)
"""m/s^2 and 1/m that an output of 1 stands for."""


@dataclass(frozen=True, slots=True)
class RegressionSettings:
    """The network's size. `output` is "controls" (acceleration and curvature at `knots` times, rolled out) or
    "poses" (8 poses, 0.5 s apart, straight from the head)."""

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    decoder_layers: int = 1
    hidden: int = 256
    knots: int = 9
    output: str = "controls"

    def __post_init__(self) -> None:
        if self.output not in ("controls", "poses"):
            raise InputError(f"the regression's output is controls or poses, not '{self.output}'")
        if min(self.decoder_layers, self.hidden) < 1 or not 2 <= self.knots <= STEPS + 1:
            raise InputError("the regression's sizes must be positive, its knots 2 to 41")


class Regression(nn.Module):
    """forward(SceneBatch) -> Answer: poses `(B, 40, 3)` in the ego's frame and speeds `(B, 40)`."""

    def __init__(self, settings: RegressionSettings) -> None:
        super().__init__()
        s, e = settings, settings.encoder
        self.settings = settings
        self.encoder = make_encoder(e)
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, e.width))
        self.decoder = Decoder(e.width, e.heads, s.decoder_layers, e.ffn)
        count = 2 * s.knots if s.output == "controls" else 3 * 8
        self.head = mlp((2 * e.width, s.hidden, s.hidden, count))

    def forward(self, batch: SceneBatch) -> tuple[Tensor, Tensor]:
        seen = self.encoder(batch)
        query = self.query + seen.tokens[:, :1]
        found = self.decoder(query, seen.tokens, seen.valid)[:, 0]
        out = self.head(torch.cat((found, seen.ego), 1))
        if self.settings.output == "controls":
            acceleration, curvature = self._controls(out.unflatten(1, (2, self.settings.knots)))
            return roll_out(batch.ego[:, 0], acceleration, curvature)
        return _through_knots(out.unflatten(1, (8, 3)), batch.ego[:, 0])

    def _controls(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """Acceleration and curvature `(B, 40)` of outputs at the knots `(B, 2, N)`, linear in between."""
        scale = out.new_tensor(_SCALE)[:, None]
        at = functional.interpolate(out * scale, size=STEPS, mode="linear", align_corners=True)
        a = at[:, 0].clamp(-MAX_ACCELERATION, MAX_ACCELERATION)
        return a, at[:, 1].clamp(-MAX_CURVATURE, MAX_CURVATURE)


def roll_out(speed: Tensor, acceleration: Tensor, curvature: Tensor, dt: float = DT) -> tuple[Tensor, Tensor]:
    """Poses `(B, T, 3)` and speeds `(B, T)` after each of T steps from the origin at `speed (B,)`.

    The rear axle moves on arcs: of each step the mean speed, and the heading half way.
    """
    v = (speed[:, None] + dt * acceleration.cumsum(1)).clamp(min=0.0)
    before = torch.cat((speed[:, None].clamp(min=0.0), v[:, :-1]), 1)
    way = 0.5 * dt * (before + v)
    turn = curvature * way
    heading = turn.cumsum(1)
    half = heading - 0.5 * turn
    x, y = (way * half.cos()).cumsum(1), (way * half.sin()).cumsum(1)
    return torch.stack((x, y, heading), 2), v


def _through_knots(knots: Tensor, speed: Tensor) -> tuple[Tensor, Tensor]:
    """40 poses of 8: the head's are offsets, in tens of metres and in rad, from going on straight ahead."""
    times = 0.5 * torch.arange(1, 9, device=knots.device, dtype=knots.dtype)
    ahead = torch.stack(
        (speed[:, None] * times, torch.zeros_like(knots[..., 1]), torch.zeros_like(knots[..., 2])), 2
    )
    whole = torch.cat(
        (torch.zeros_like(knots[:, :1]), ahead + knots * knots.new_tensor((10.0, 10.0, 1.0))), 1
    )
    at = functional.interpolate(whole.transpose(1, 2), size=STEPS + 1, mode="linear", align_corners=True)
    poses = at.transpose(1, 2)
    steps = poses[:, 1:] - poses[:, :-1]
    v = (steps[..., :2] ** 2).sum(-1).clamp(min=1e-12).sqrt() / DT
    return poses[:, 1:], v


def imitation_loss(
    model: nn.Module, batch: Mapping[str, Any], generator: Any = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean distance from the expert's poses in m, and of its headings in rad, weighted as 1 to 2.

    Poses that the recording does not have (`future_valid`) do not count. Figures: `ade` and `fde` in m.
    """
    from drive.nn.tokens import scene_batch

    poses, _ = model(scene_batch(batch, batch["future"].device))
    valid = batch["future_valid"].to(poses.dtype)
    count = valid.sum().clamp(min=1.0)
    gap = poses[..., :2] - batch["future"][..., :2]
    distance = (gap.square().sum(-1) + 1e-4).sqrt()
    turn = poses[..., 2] - batch["future"][..., 2]
    turn = torch.atan2(turn.sin(), turn.cos()).abs()
    ade, heading = (distance * valid).sum() / count, (turn * valid).sum() / count
    last = valid[:, -1].sum().clamp(min=1.0)
    fde = (distance[:, -1] * valid[:, -1]).sum() / last
    return ade + 2.0 * heading, {"ade": ade.detach(), "fde": fde.detach(), "turn": heading.detach()}
