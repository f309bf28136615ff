"""The regression baseline: the expert's most likely trajectory, from one pass of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.nn.weights import Card, load_weights
from drive.planners.learned.decision import Decision, Memory
from drive.planners.learned.planner import LearnedPlanner, device_of, learned_spec
from drive.planners.learned.shipped import digest_of, find_weights
from drive.planners.regression.model import ARCHITECTURE, DT, Regression, RegressionSettings
from drive.registry import configure

if TYPE_CHECKING:
    from drive.nn.tokens import SceneBatch
    from drive.planner import Observation

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class RegressionConfig:
    """`weights` is a file, the name of shipped ones, or "" for the shipped ones; `device` "cpu", "cuda" or
    "auto"."""

    weights: str = ""
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class RegressionPolicy:
    """Drives what the network says."""

    network: Any

    def decide(
        self, batch: SceneBatch, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[Decision]:
        poses, speed = (found.cpu().numpy() for found in self.network(batch))
        return [Decision(p, DT, v) for p, v in zip(poses, speed, strict=True)]


def network_of(card: Card) -> Regression:
    """The network that a card describes."""
    return Regression(settings_of(card.config))


def settings_of(config: Mapping[str, Any]) -> RegressionSettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(RegressionSettings, config.get("model", {}))


class RegressionPlanner(LearnedPlanner):
    """Regression of the expert's next 4 s by imitation; what every other learned planner must beat."""

    config_type = RegressionConfig

    def __init__(self, config: RegressionConfig | None = None) -> None:
        c = config or RegressionConfig()
        paths = find_weights("regression", c.weights, WEIGHTS)[:1]
        device = device_of(c.device)
        network, card = load_weights(paths[0], network_of, {"architecture": ARCHITECTURE}, device)
        encoder = settings_of(card.config).encoder
        super().__init__(
            learned_spec("regression", encoder),
            RegressionPolicy(network),
            encoder,
            c,
            device,
            digest_of(paths),
        )
