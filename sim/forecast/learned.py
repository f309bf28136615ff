"""A forecaster that was trained on drives: `learned` in the registry."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.forecast import ConstantVelocity
from drive.geometry import wrap_angle
from drive.nn._torch import torch
from drive.nn.weights import Card, load_weights
from drive.planner import Forecasts
from drive.registry import configure
from drive.sim.forecast.movers import EVERY, KNOTS, frames, told
from drive.sim.forecast.net import ARCHITECTURE, Forecast, NetSettings
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planner import Observation

    Floats = NDArray[np.float64]

SHIPPED = Path(__file__).parent / "weights" / "forecaster.safetensors"


def settings_of(config: Mapping[str, Any]) -> NetSettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(NetSettings, config.get("model", {}))


@lru_cache(maxsize=4)
def load_network(path: Path) -> tuple[Any, Card]:
    """Network and card of weights."""

    def network(card: Card) -> Forecast:
        return Forecast(settings_of(card.config))

    model, card = load_weights(path, network, {"architecture": ARCHITECTURE})
    return model.eval().requires_grad_(False), card


class Learned:
    """Accelerations and turns as people's past and neighbours suggest them; a single mode.

    Beyond the last pose that was learnt, agents go on as they moved then. What is not seen now, and what
    cannot move, stays where it is.
    """

    def __init__(self, weights: str | Path = "") -> None:
        path = Path(weights) if weights else SHIPPED
        if not path.is_file():
            raise InputError(f"the forecaster has no weights '{path}': drive train forecaster makes them")
        self.network, self.card = load_network(path)

    @classmethod
    def variant(cls, weights: str) -> Learned:
        """The forecaster `learned`, or `learned:FILE.safetensors`."""
        return cls(weights)

    def forecast(self, observation: Observation, times: Floats) -> Forecasts:
        o = observation
        found = ConstantVelocity(0.0).forecast(o, times)
        found.mean[:, 0, :, :] = o.agents[:, None, :3]
        can = o.agent_valid & np.isfinite(o.agents).all(1) & (o.agent_kind != AgentKind.STATIC)
        rows = np.flatnonzero(can)
        if not len(rows):
            return found
        own, others, known = told(o, rows)
        with torch.no_grad():
            poses, log = self.network(
                torch.from_numpy(own).float(), torch.from_numpy(others).float(), torch.from_numpy(known)
            )
        place, spread = poses.double().numpy(), np.exp(log.double().numpy())
        whole = np.concatenate((np.zeros((len(rows), 1, 3)), place), 1)
        grid = np.linspace(0.0, KNOTS * EVERY, KNOTS + 1)
        at = found.times - o.time
        table = _between(whole, grid, at)
        deviation = _between(np.concatenate((np.zeros((len(rows), 1, 2)), spread), 1), grid, at)
        frame = frames(o.agents[rows])
        cosine, sine = np.cos(frame[:, 2])[:, None], np.sin(frame[:, 2])[:, None]
        mean = found.mean
        mean[rows, 0, :, 0] = frame[:, 0, None] + cosine * table[..., 0] - sine * table[..., 1]
        mean[rows, 0, :, 1] = frame[:, 1, None] + sine * table[..., 0] + cosine * table[..., 1]
        mean[rows, 0, :, 2] = wrap_angle(o.agents[rows, 2, None] + table[..., 2])
        course = frame[:, 2, None] + table[..., 2]
        axes = np.stack(
            (
                np.stack((np.cos(course), -np.sin(course)), -1),
                np.stack((np.sin(course), np.cos(course)), -1),
            ),
            -2,
        )
        grown = (axes * np.square(np.maximum(deviation, 0.0))[..., None, :]) @ np.swapaxes(axes, -1, -2)
        found.covariance[rows, 0] += grown
        return found


def _between(values: Floats, grid: Floats, at: Floats) -> Floats:
    """`values (N, K, C)` at `grid (K,)` as they are at the times `at (T,)`, linear in between and beyond."""
    after = np.clip(np.searchsorted(grid, at), 1, len(grid) - 1)
    share = ((at - grid[after - 1]) / (grid[after] - grid[after - 1]))[:, None]
    out: Floats = (1.0 - share) * values[:, after - 1] + share * values[:, after]
    return out


__all__ = ["SHIPPED", "Learned", "load_network", "settings_of"]
