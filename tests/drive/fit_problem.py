"""A small real problem for the training loop: where a car is after a second, learnt from the bicycle model.

Run as a script it trains, so that the tests can stop it: `fit_problem.py FOLDER [--resume]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drive.nn._torch import nn, torch
from drive.nn.fit import FitSettings, Fitted, fit, mean_loss, seed_all
from drive.sim.twin import roll_controls
from drive.vehicle import VehicleParams

SETTINGS = FitSettings(
    steps=200, lr=1e-2, warmup=20, ema=0.95, validate_every=50, log_every=10, checkpoint_every=7, seed=5
)


def car(generator: np.random.Generator, count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Speed, steering and constant controls, and the pose one second later."""
    speed = generator.uniform(2.0, 15.0, count)
    steering = generator.uniform(-0.2, 0.2, count)
    controls = np.stack([generator.uniform(-3.0, 3.0, count), generator.uniform(-0.2, 0.2, count)], -1)
    start = np.zeros((count, 7))
    start[:, 3], start[:, 5] = speed, steering
    states = roll_controls(
        VehicleParams(), torch.from_numpy(start), torch.from_numpy(controls[:, None].repeat(10, 1))
    )
    seen = np.column_stack([speed / 10.0, steering * 5.0, controls * (0.3, 5.0)])
    return {"seen": seen.astype(np.float32), "pose": states[:, -1, :3].float().numpy()}


def batches(step: int) -> Mapping[str, Any]:
    return car(np.random.default_rng([7, step]), 64)


def held_out(number: int) -> Mapping[str, Any]:
    return car(np.random.default_rng([8, number]), 256)


def network() -> nn.Module:
    """Dropout and batch normalisation, because they have randomness and buffers that must come back too."""
    return nn.Sequential(
        nn.Linear(4, 64), nn.BatchNorm1d(64), nn.GELU(), nn.Dropout(0.02), nn.Linear(64, 64), nn.GELU(),
        nn.Linear(64, 3),
    )  # fmt: skip


def loss(model: nn.Module, batch: Mapping[str, Any], generator: Any) -> tuple[Any, dict[str, Any]]:
    noise = 0.002 * torch.randn(batch["seen"].shape, generator=generator, device=batch["seen"].device)
    miss = model(batch["seen"] + noise) - batch["pose"]
    np.random.random()  # who draws from the shared generator is gone on with too
    return miss.square().mean(), {"metres": miss.detach()[:, :2].norm(dim=1).mean()}


def train(folder: Path, resume: bool = False, settings: FitSettings = SETTINGS, slow: float = 0.0) -> Fitted:
    seed_all(3)

    def slowly(step: int) -> Mapping[str, Any]:
        time.sleep(slow)
        return batches(step)

    return fit(
        network(), loss, slowly, settings, folder, validate=mean_loss(loss, held_out, 1), resume=resume,
        progress=slow > 0.0,
    )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), "--resume" in sys.argv, slow=0.004)
