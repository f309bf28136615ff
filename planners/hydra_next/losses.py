"""What the three decoders learn from. Every loss is told for each sample, so that a mask takes samples out.

Sources: the Hydra-NeXt repository; focal loss of Lin et al. 2017, equation 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.errors import UnknownNameError
from drive.nn._torch import Tensor, functional, torch
from drive.planners.learned.profiles import IMITATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.planners.hydra_next.decoder import ControlLogits

TEMPERATURE = 0.5
"""m^2: how near a candidate must be to the expert to share the imitation target."""
WEIGHTS: Mapping[str, float] = {
    "imi": 1.0, "nc": 2.0, "lk": 1.0, "ep": 1.0, "dac": 2.0, "ddc": 1.0, "tlc": 1.0, "ttc": 1.0,
    "hc": 1.0,
    "brake": 5.0, "strength": 1.0, "throttle": 1.0, "steer": 1.0, "policy": 1.0,
}  # fmt: skip
"""Published for imi, nc (col), lk (dir), ep, brake, throttle, steer and policy; the others are ours."""
FOCAL_ALPHA, FOCAL_GAMMA = 0.728, 2.0


def imitation_target(candidates: Tensor, expert: Tensor, valid: Tensor) -> Tensor:
    """Softmax over K of minus the squared distances to the expert, `(B, K)`.

    Waypoints `candidates (B, K, M, >= 2)`, `expert (B, M, >= 2)`, `valid (B, M)` bool; positions alone count.
    """
    apart = (candidates[..., :2] - expert[:, None, :, :2]).square().sum(-1) * valid[:, None]
    return torch.softmax(-apart.sum(-1) / TEMPERATURE, dim=1)


def trajectory_losses(
    logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], imitation: Tensor, known: Tensor
) -> dict[str, Tensor]:
    """Cross-entropies `(B,)` by head; imitation is 0 where the expert is not `known (B,)`.

    `labels` by head `(B, K)` in [0, 1]; `imitation (B, K)` is `imitation_target`'s. Raises UnknownNameError
    for a head without labels.
    """
    out: dict[str, Tensor] = {}
    for name, values in logits.items():
        if name == IMITATION:
            out[name] = -(imitation * torch.log_softmax(values, dim=1)).sum(1) * known
        elif name not in labels:
            raise UnknownNameError("teacher's label", name, labels)
        else:
            target = labels[name]
            out[name] = functional.binary_cross_entropy_with_logits(values, target, reduction="none").mean(1)
    return out


def focal(logits: Tensor, target: Tensor, alpha: float = FOCAL_ALPHA, gamma: float = FOCAL_GAMMA) -> Tensor:
    """Sigmoid focal loss `(...)` of logits and targets 0 or 1 `(...)`; `alpha` weighs those of 1."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = torch.sigmoid(logits)
    missed = target * (1.0 - p) + (1.0 - target) * p
    weight = target * alpha + (1.0 - target) * (1.0 - alpha)
    return weight * missed**gamma * entropy


def control_losses(
    logits: ControlLogits, brakes: Tensor, bins: Mapping[str, Tensor], valid: Tensor
) -> dict[str, Tensor]:
    """Losses `(B,)` summed over the controls that are `valid (B, 4)`.

    `brakes (B, 4)` 0 or 1; `bins` "strength", "throttle", "steer": nearest classes `(B, 4)`. The strength
    counts where the expert brakes, the throttle where it does not.
    """

    def entropy(values: Tensor, classes: Tensor) -> Tensor:
        flat = functional.cross_entropy(values.flatten(0, 1), classes.flatten(), reduction="none")
        return flat.view_as(classes)

    v = valid.to(brakes.dtype)
    return {
        "brake": (focal(logits.brake, brakes) * v).sum(1),
        "strength": (entropy(logits.strength, bins["strength"]) * v * brakes).sum(1),
        "throttle": (entropy(logits.throttle, bins["throttle"]) * v * (1.0 - brakes)).sum(1),
        "steer": (entropy(logits.steer, bins["steer"]) * v).sum(1),
    }


def policy_loss(predicted: Tensor, noise: Tensor, valid: Tensor) -> Tensor:
    """Squared errors `(B,)` of the noise `(B, N, 20)`, summed over the steps that are `valid (B, 10)`, mean
    over the N draws."""
    error = (predicted - noise).square().view(*noise.shape[:2], -1, 2).sum(-1)
    found: Tensor = (error * valid[:, None]).sum(-1).mean(1)
    return found


__all__ = [
    "FOCAL_ALPHA",
    "FOCAL_GAMMA",
    "TEMPERATURE",
    "WEIGHTS",
    "control_losses",
    "focal",
    "imitation_target",
    "policy_loss",
    "trajectory_losses",
]
