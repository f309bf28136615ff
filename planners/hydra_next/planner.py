"""The planner `hydra_next`: weights, what they were trained as, and the policy that drives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn.weights import Card, load_weights
from drive.planners.hydra_next.config import HydraNextConfig
from drive.planners.hydra_next.decoder import ARCHITECTURE, HydraNext, ModelSettings
from drive.planners.hydra_next.policy import HydraNextPolicy
from drive.planners.learned.planner import LearnedPlanner, device_of, learned_spec
from drive.planners.learned.shipped import digest_of, find_weights
from drive.registry import configure

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = Path(__file__).parent / "weights"


def settings_of(config: Mapping[str, Any]) -> ModelSettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(ModelSettings, config.get("model", {}))


def network_of(card: Card) -> HydraNext:
    """The network that a card describes."""
    return HydraNext(settings_of(card.config))


class HydraNextPlanner(LearnedPlanner):
    """Scored vocabulary, control decoder and diffusion policy, fused into one control."""

    config_type = HydraNextConfig

    def __init__(self, config: HydraNextConfig | None = None) -> None:
        c = config or HydraNextConfig()
        paths = find_weights("hydra_next", c.weights, WEIGHTS)[:1]
        device = device_of(c.device)
        network, card = load_weights(paths[0], network_of, {"architecture": ARCHITECTURE}, device)
        policy = HydraNextPolicy.of(network, c)
        if policy.vocabulary.hash != card.vocabulary:
            raise InputError(f"the vocabulary in '{paths[0]}' is not the one that its card names")
        encoder = network.settings.encoder
        super().__init__(
            learned_spec("hydra_next", encoder), policy, encoder, c, device, digest_of(paths), c.batch
        )


__all__ = ["HydraNextPlanner", "network_of", "settings_of"]
