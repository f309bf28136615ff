"""From a training set's rows to what the three decoders learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import add_noise, target
from drive.nn.tokens import scene_batch
from drive.planners.hydra_next.decoder import CONTROL_ROWS, EVERY, SIGNAL_SIZE, SIGNAL_STEPS
from drive.planners.hydra_next.kinematics import BRAKE, STEER, THROTTLE
from drive.planners.hydra_next.losses import (
    WEIGHTS,
    control_losses,
    imitation_target,
    policy_loss,
    trajectory_losses,
)
from drive.planners.hydra_next.signals import expert_pedals, nearest_bin
from drive.planners.learned.profiles import CLOSED_LOOP, Profile, combine
from drive.sim.teacher import TEACHER_NAMES
from drive.vehicle import ACCELERATION, SPEED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planners.hydra_next.decoder import ModelSettings

INPUTS = ("scene.", "raster", "images")


def targets_of(
    fields: Mapping[str, NDArray[Any]],
    vocabulary: NDArray[np.float32],
    settings: ModelSettings,
    keep: int,
    near: int,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """What `HydraLoss` reads, of the B rows of a training set's `fields`.

    Of the labelled candidates `keep` stay: the `near` that are nearest to the expert, and random others.
    """
    reach = settings.poses * EVERY
    seen = slice(EVERY - 1, reach, EVERY)
    out = {name: fields[name] for name in fields if name.startswith(INPUTS)}
    expert = np.asarray(fields["future"][:, seen, :2], dtype=np.float32)
    valid = np.asarray(fields["future_valid"], dtype=np.bool_)
    rows = np.asarray(fields["label_rows"])
    waypoints = vocabulary[:, seen, :2]
    apart = np.square(waypoints[rows] - expert[:, None]).sum(-1)
    apart = (apart * valid[:, None, seen]).sum(-1)
    # The nearest come first; the others follow in an order of chance.
    order = rng.random(apart.shape) + 1.0
    first = np.argpartition(apart, min(near, apart.shape[1] - 1), axis=1)[:, :near]
    np.put_along_axis(order, first, 0.0, axis=1)
    kept = np.argsort(order, axis=1, kind="stable")[:, :keep]
    out["candidates"] = vocabulary[np.take_along_axis(rows, kept, axis=1), :reach]
    columns = [TEACHER_NAMES.index(name) for name in settings.teacher]
    labels = np.asarray(fields["labels"], dtype=np.float32)[..., columns]
    labels = np.clip(np.take_along_axis(labels, kept[..., None], axis=1), 0.0, 1.0)
    for k, name in enumerate(settings.teacher):
        if name in ("nc", "ddc"):  # half marks are none
            labels[..., k] = labels[..., k] > 0.75
    out["labels"] = labels
    out["expert"], out["expert_valid"] = expert, valid[:, seen]
    start = fields["start"]
    pedals = expert_pedals(fields["controls"], start[:, SPEED], start[:, ACCELERATION], settings.pedals)
    out |= _control_targets(pedals[:, CONTROL_ROWS], settings)
    out["control_valid"] = valid[:, CONTROL_ROWS]
    signal = settings.coding.encode(pedals[:, :SIGNAL_STEPS])
    out["signal"] = signal.reshape(len(signal), SIGNAL_SIZE)
    out["signal_valid"] = valid[:, :SIGNAL_STEPS]
    return out


def _control_targets(pedals: NDArray[np.float64], settings: ModelSettings) -> dict[str, NDArray[Any]]:
    bins = settings.bins
    return {
        "brakes": (pedals[..., BRAKE] > 0.0).astype(np.float32),
        "strength": nearest_bin(pedals[..., BRAKE], bins.brake),
        "throttle": nearest_bin(pedals[..., THROTTLE], bins.throttle),
        "steer": nearest_bin(pedals[..., STEER], bins.steer),
    }


class HydraLoss:
    """The whole loss of a batch of `targets_of`; `draws` of noise are denoised for each sample. Which of the
    candidates are the best, for the advice, is told by `profile`."""

    def __init__(
        self,
        weights: Mapping[str, float] = WEIGHTS,
        draws: int = 8,
        profile: Profile = CLOSED_LOOP,
    ) -> None:
        self.weights, self.draws, self.profile = dict(weights), draws, profile

    def __call__(
        self, model: Any, batch: Mapping[str, Any], generator: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        s: ModelSettings = model.settings
        moments = scene_batch(batch)
        tokens = model(moments)
        verdicts = model.trajectory(tokens, moments.scene, batch["candidates"])
        parts = trajectory_losses(
            verdicts.logits,
            {name: batch["labels"][..., k] for k, name in enumerate(s.teacher)},
            imitation_target(
                batch["candidates"][:, :, EVERY - 1 :: EVERY], batch["expert"], batch["expert_valid"]
            ),
            batch["expert_valid"].any(1).float(),
        )
        total = combine(verdicts.logits, self.profile)
        seen = model.advised(tokens, verdicts, total, batch["candidates"])
        classes = {name: batch[name] for name in ("strength", "throttle", "steer")}
        logits = model.control(seen)
        parts |= control_losses(logits, batch["brakes"], classes, batch["control_valid"])
        clean = batch["signal"][:, None].expand(-1, self.draws, -1)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        steps = torch.randint(s.diffusion.steps, clean.shape[:1], generator=generator, device=clean.device)
        noisy = add_noise(s.diffusion, clean, noise, steps)
        predicted = model.policy(noisy, steps, model.policy.remember(seen))
        wanted = target(s.diffusion, clean, noise, steps)
        parts["policy"] = policy_loss(predicted, wanted, batch["signal_valid"].float())
        means = {name: each.float().mean() for name, each in parts.items()}
        loss = sum(
            (self.weights[name] * mean for name, mean in means.items()), start=torch.zeros(()).to(clean)
        )
        return loss, {name: mean.detach() for name, mean in means.items()}


__all__ = ["HydraLoss", "targets_of"]
