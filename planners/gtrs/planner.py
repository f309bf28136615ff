"""The planner `gtrs`, and its baselines: a scorer that had no teacher, a generator that has no scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive.errors import InputError, MissingWeightsError
from drive.nn.vocabulary import Vocabulary
from drive.nn.weights import Card, load_weights
from drive.planners.gtrs.model import GTRSModel, ModelSettings
from drive.planners.gtrs.policy import DiffusionPolicy, GTRSPolicy, PolicySettings
from drive.planners.learned.planner import LearnedPlanner, device_of, learned_spec
from drive.planners.learned.shipped import SUFFIX, digest_of, find_weights
from drive.registry import configure

ARCHITECTURE = "gtrs-1"
WEIGHTS = Path(__file__).parent / "weights"
VOCABULARY = ".vocabulary.npz"
"""What the vocabulary beside weights is called, in place of their suffix."""


@dataclass(frozen=True, slots=True)
class GTRSConfig:
    """`weights` are a file, several with commas between them (an ensemble), the name of shipped ones, or ""
    for the shipped ones. `vocabulary` is a file of another vocabulary than the one beside the weights.

    A call judges the `candidates` rows of the vocabulary that are nearest in speed, `proposals` of the
    generator where the weights have one, and with `keep_plan` the plan being driven. `profile` weighs the
    heads, "" as the weights' card says; `emphasis` multiplies some weights, as "ep=3,nc=0.5". `consistency`
    takes so much off the score for each metre from the plan being driven. `refine` has the best ones judged
    again, where the weights can. `red_lights` takes so much off a candidate's score that drives over the line
    of a signal that is red, where the ego can stop; 0 leaves it to the head for lights alone.
    `topk` candidates are shown. `device` "cpu", "cuda" or "auto"; `batch` is how many scenarios `drive bench`
    asks about at once where nobody says otherwise.
    """

    weights: str = ""
    vocabulary: str = ""
    candidates: int = 1024
    proposals: int = 0
    keep_plan: bool = True
    consistency: float = 0.0
    profile: str = ""
    emphasis: str = ""
    refine: bool = True
    red_lights: float = 20.0
    topk: int = 16
    device: str = "cpu"
    batch: int = 1


@dataclass(frozen=True, slots=True)
class ImitationConfig:
    """As `GTRSConfig`, of a scorer that learnt from the expert alone."""

    weights: str = ""
    vocabulary: str = ""
    candidates: int = 1024
    keep_plan: bool = True
    consistency: float = 0.0
    topk: int = 16
    device: str = "cpu"
    batch: int = 1


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """`proposals` are drawn, the first is driven, the others are shown; the rest as in `GTRSConfig`."""

    weights: str = ""
    proposals: int = 8
    device: str = "cpu"
    batch: int = 1


def settings_of(config: Mapping[str, Any]) -> ModelSettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(ModelSettings, config.get("model", {}))


def network_of(card: Card) -> GTRSModel:
    """The network that a card describes."""
    return GTRSModel(settings_of(card.config))


def vocabulary_path(weights: Path) -> Path:
    """Where the vocabulary of some weights lies."""
    return weights.with_name(weights.name.removesuffix(SUFFIX) + VOCABULARY)


def load_all(paths: tuple[Path, ...], device: str) -> tuple[list[GTRSModel], list[Card]]:
    """Networks and cards of several weights. Raises InputError where their encoders see different things."""
    found = [load_weights(path, network_of, {"architecture": ARCHITECTURE}, device) for path in paths]
    models, cards = [model for model, _ in found], [card for _, card in found]
    kinds = {(m.settings.encoder.kind, m.settings.encoder.sizes) for m in models}
    if len(kinds) > 1:
        raise InputError("the members of the ensemble see different things: their encoders' kind or sizes")
    return models, cards


def load_vocabulary(given: str, weights: Path, card: Card) -> Vocabulary:
    """The vocabulary given, or the one beside the weights, which must be theirs.

    A scorer judges coordinates, so that any vocabulary can be swapped in; only not unawares.
    """
    if given:
        return Vocabulary.load(given)
    path = vocabulary_path(weights)
    found = Vocabulary.load(path)
    if found.hash != card.vocabulary:
        raise InputError(
            f"'{path}' is not the vocabulary of '{weights.name}': it is {found.hash[:12]}, the card says "
            f"{card.vocabulary[:12] or 'none'}; name another one with vocabulary=FILE"
        )
    return found


def own_weights(name: str, given: str) -> tuple[Path, ...]:
    """Weights of one of this folder's planners: of several kinds shipped, only those of its own name."""
    if not given.strip() and not (WEIGHTS / f"{name}{SUFFIX}").is_file():
        raise MissingWeightsError(name)
    return find_weights(name, given or name, WEIGHTS)


class GTRSPlanner(LearnedPlanner):
    """Scores a dense vocabulary, proposals and the present plan by what a rule-based teacher would say."""

    config_type = GTRSConfig

    def __init__(self, config: GTRSConfig | None = None) -> None:
        c = config or GTRSConfig()
        paths, device = own_weights("gtrs", c.weights), device_of(c.device)
        models, cards = load_all(paths, device)
        vocabulary = load_vocabulary(c.vocabulary, paths[0], cards[0])
        proposals = c.proposals if models[0].generator is not None else 0
        settings = PolicySettings(
            c.candidates, proposals, c.keep_plan, c.consistency, c.profile or _profile(cards[0]),
            c.emphasis, c.refine, c.topk, c.red_lights,
        )  # fmt: skip
        policy = GTRSPolicy(models, vocabulary, settings, device)
        encoder = models[0].settings.encoder
        super().__init__(learned_spec("gtrs", encoder), policy, encoder, c, device, digest_of(paths), c.batch)


class ImitationPlanner(LearnedPlanner):
    """The same scorer, trained without a teacher: the candidate that the expert is likeliest to drive."""

    config_type = ImitationConfig

    def __init__(self, config: ImitationConfig | None = None) -> None:
        c = config or ImitationConfig()
        paths, device = own_weights("imitation", c.weights), device_of(c.device)
        models, cards = load_all(paths, device)
        vocabulary = load_vocabulary(c.vocabulary, paths[0], cards[0])
        settings = PolicySettings(
            c.candidates, keep_plan=c.keep_plan, consistency=c.consistency, profile="imitation", topk=c.topk
        )
        policy = GTRSPolicy(models, vocabulary, settings, device)
        encoder = models[0].settings.encoder
        super().__init__(
            learned_spec("imitation", encoder), policy, encoder, c, device, digest_of(paths), c.batch
        )


class DiffusionPlanner(LearnedPlanner):
    """The generator alone: one of its trajectories, taken by chance."""

    config_type = DiffusionConfig

    def __init__(self, config: DiffusionConfig | None = None) -> None:
        c = config or DiffusionConfig()
        paths, device = own_weights("diffusion", c.weights)[:1], device_of(c.device)
        models, _ = load_all(paths, device)
        policy = DiffusionPolicy(models[0], c.proposals, device)
        encoder = models[0].settings.encoder
        super().__init__(
            learned_spec("diffusion", encoder), policy, encoder, c, device, digest_of(paths), c.batch
        )


def _profile(card: Card) -> str:
    return str(card.config.get("profile") or "closed_loop")


__all__ = [
    "ARCHITECTURE",
    "DiffusionConfig",
    "DiffusionPlanner",
    "GTRSConfig",
    "GTRSPlanner",
    "ImitationConfig",
    "ImitationPlanner",
    "load_all",
    "load_vocabulary",
    "settings_of",
    "vocabulary_path",
]
