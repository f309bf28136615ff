"""The network of the learned forecaster, and its loss.

A perceptron says from an agent's past and its neighbours how it will accelerate and turn, and how unsure that
is; places follow by driving so (a kinematic head, as Tumu et al. 2024 and others have it), so that nobody
slides sideways or jumps. One mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, nn, torch
from drive.nn.blocks import mlp
from drive.sim.forecast.movers import EVERY, KNOTS, OTHER, OWN

ARCHITECTURE = "forecaster-1"
FINE = 5
"""Steps of the roll-out between two knots."""
BRAKING, ACCELERATION, TURNING = 8.0, 4.0, 0.8
"""m/s^2, m/s^2, rad/s that can be said at most."""
STANDING = 0.2
"""The weight of who hardly moves and will not: most of them are parked."""


@dataclass(frozen=True, slots=True)
class NetSettings:
    """`hidden` numbers in each of two layers; `others` of each neighbour."""

    hidden: int = 128
    others: int = 32

    def __post_init__(self) -> None:
        if min(self.hidden, self.others) < 1:
            raise InputError("the forecaster's sizes must be 1 or more")


class Forecast(nn.Module):
    """See `forward`."""

    shift_own: Tensor
    scale_own: Tensor

    def __init__(self, settings: NetSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.register_buffer("shift_own", torch.zeros(OWN))
        self.register_buffer("scale_own", torch.ones(OWN))
        self.near = mlp((OTHER, s.others, s.others))
        self.body = mlp((OWN + s.others, s.hidden, s.hidden, 4 * KNOTS))
        last: Any = self.body[-1]
        nn.init.zeros_(last.weight)  # who knows nothing says that everybody goes on as they do
        nn.init.zeros_(last.bias)

    def forward(self, own: Tensor, others: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Poses `(N, KNOTS, 3)` in the agents' frames, place and change of heading, and the logarithms
        `(N, KNOTS, 2)` of the deviation along and across, of `own (N, OWN)`, `others (N, K, OTHER)`, `known
        (N, K)`."""
        scale = others.new_tensor((20.0, 20.0, 1.0, 1.0, 5.0, 5.0, 5.0, 2.0, 1.0))
        near = torch.relu(self.near(others / scale)).masked_fill(~known[..., None], 0.0).amax(-2)
        out = self.body(torch.cat(((own - self.shift_own) / self.scale_own, near), -1))
        out = out.unflatten(-1, (KNOTS, 4))
        gain = torch.where(out[..., 0] > 0.0, ACCELERATION, BRAKING) * torch.tanh(0.5 * out[..., 0])
        return driven(own[:, :2], gain, TURNING * torch.tanh(out[..., 1])), out[..., 2:].clamp(-4.0, 3.0)


def driven(velocity: Tensor, gain: Tensor, turn: Tensor) -> Tensor:
    """Poses `(N, KNOTS, 3)` of who moves with `velocity (N, 2)`, accelerates by `gain (N, KNOTS)` m/s^2 and
    turns by `turn (N, KNOTS)` rad/s from then to then; nobody reverses by braking, who stands does not turn.
    """
    dt = EVERY / FINE
    speed = velocity.square().sum(-1).clamp(min=1e-12).sqrt()
    course = torch.atan2(velocity[:, 1], velocity[:, 0])
    free = speed[:, None] + dt * gain.repeat_interleave(FINE, -1).cumsum(-1)
    # Who cannot go below 0 is pushed back by the least value so far.
    after = free - free.cummin(-1).values.clamp(max=0.0)
    before = torch.cat((speed[:, None], after[:, :-1]), -1)
    middle = 0.5 * (before + after)
    turned = dt * turn.repeat_interleave(FINE, -1) * (middle / (middle + 0.5))
    total = turned.cumsum(-1)
    way = course[:, None] + total - 0.5 * turned
    x, y = ((dt * middle * f(way)).cumsum(-1) for f in (torch.cos, torch.sin))
    return torch.stack((x, y, total), -1)[:, FINE - 1 :: FINE]


def forecast_loss(
    model: Any, batch: Mapping[str, Tensor], generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean distance from where agents came to be, of their headings, and how likely the miss was under
    the deviation that was said; figures of those that move."""
    there = batch["movers.future_known"].any(-1)
    own, others, known, future, valid = (
        batch[f"movers.{name}"][there] for name in ("own", "others", "known", "future", "future_known")
    )
    poses, log = model(own, others, known)
    miss = future[..., :2] - poses[..., :2]
    gap = (miss.square().sum(-1) + 1e-6).sqrt()
    angle = future[..., 2] - poses[..., 2]
    goes = moving(own, future, valid)
    weight = torch.where(goes, 1.0, STANDING)[:, None] * valid
    total = weight.sum().clamp(min=1.0)
    cosine, sine = torch.cos(poses[..., 2]).detach(), torch.sin(poses[..., 2]).detach()
    plain = miss.detach()
    seen = torch.stack(
        (cosine * plain[..., 0] + sine * plain[..., 1], cosine * plain[..., 1] - sine * plain[..., 0]), -1
    )
    unlikely = (0.5 * (seen / log.exp()).square() + log).sum(-1)
    loss = (weight * (gap + (1.0 - torch.cos(angle)) + 0.1 * unlikely)).sum() / total
    some = (goes[:, None] & valid).to(gap.dtype)
    last = some[:, -1]
    with torch.no_grad():
        figures = {
            "ade": (gap * some).sum() / some.sum().clamp(min=1.0),
            "fde": (gap[:, -1] * last).sum() / last.sum().clamp(min=1.0),
            "unlikely": (unlikely * some).sum() / some.sum().clamp(min=1.0),
        }
    return loss, figures


def moving(own: Tensor, future: Tensor, valid: Tensor) -> Tensor:
    """Who moves now or will have moved by a metre, `(N,)`."""
    away = (functional.relu(future[..., :2].square().sum(-1) - 1.0) * valid).sum(-1)
    return (own[:, 0] > 0.5) | (away > 0.0)


__all__ = ["ARCHITECTURE", "Forecast", "NetSettings", "driven", "forecast_loss", "moving"]
