"""The planner `stl_diffusion`: weights, what they were trained as, and the policy that drives them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError
from drive.nn.weights import Card, load_weights
from drive.planners.learned.planner import LearnedPlanner, device_of, learned_spec
from drive.planners.learned.shipped import digest_of, find_weights
from drive.planners.stl_diffusion.config import STLDiffusionConfig
from drive.planners.stl_diffusion.model import ARCHITECTURE, ModelSettings, PolicyNet
from drive.planners.stl_diffusion.policy import STLPolicy
from drive.registry import configure, load_forecaster

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "stl_diffusion"
WEIGHTS = Path(__file__).parent / "weights"


def settings_of(config: Mapping[str, Any]) -> ModelSettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(ModelSettings, config.get("model", {}))


def network_of(card: Card) -> PolicyNet:
    """The network that a card describes."""
    return PolicyNet(settings_of(card.config))


def load_policy(path: Path, device: str = "cpu") -> tuple[PolicyNet, Card]:
    """Network and card of weights."""
    return load_weights(path, network_of, {"architecture": ARCHITECTURE}, device)


class STLDiffusionPlanner(LearnedPlanner):
    """Diffusion over controls that obeys a formula with parameters: diverse, controllable, rule-abiding."""

    config_type = STLDiffusionConfig

    def __init__(self, config: STLDiffusionConfig | None = None) -> None:
        c = config or STLDiffusionConfig()
        paths = find_weights(NAME, c.weights, WEIGHTS)[:1]
        device = device_of(c.device)
        network, _ = load_policy(paths[0], device)
        steps = network.settings.diffusion.steps
        if max(c.rti_from + 1, c.sampling.count) > steps:
            raise InputError(f"these weights know {steps} denoising steps: rti_from and count lie below")
        policy = STLPolicy(network.eval(), c, load_forecaster(c.forecaster))
        encoder = network.settings.encoder
        super().__init__(learned_spec(NAME, encoder), policy, encoder, c, device, digest_of(paths), c.batch)


__all__ = ["STLDiffusionPlanner", "load_policy", "settings_of"]
