"""What a trained AutoVLA is on disk: weights and card, and beside them the tokenizer and the codebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.errors import InputError, UnknownNameError
from drive.files import write_whole
from drive.nn._torch import nn
from drive.nn.weights import Card, load_weights, read_card, save_weights
from drive.planners.autovla.codebook import Codebook
from drive.planners.autovla.decode import Grammar
from drive.planners.autovla.model import VLA, VLASettings, load_folder, tiny
from drive.planners.autovla.prompt import PAPER_CAMERAS, VIEWS, Phrases
from drive.planners.autovla.scene_words import PromptSettings
from drive.planners.autovla.tokenizer import Words, load_words, words_of_json
from drive.registry import configure

if TYPE_CHECKING:
    from collections.abc import Callable

ARCHITECTURE = "autovla-1"
TOKENIZER, CODEBOOK = ".tokenizer.json", ".codebook.npz"


@dataclass(frozen=True, slots=True)
class Setup:
    """What prompts and answers are, the same in training and when driving: `actions` of half a second,
    `thought` tokens at most, clips of the last `frames` pictures of `picture` (width, height) at 2 Hz from
    the `cameras`, of `VIEWS`, or `pictures` off for the text variant."""

    actions: int = 8
    thought: int = 96
    pictures: bool = True
    picture: tuple[int, int] = (84, 56)
    frames: int = 4
    cameras: tuple[str, ...] = (*PAPER_CAMERAS, "front_far")
    prompt: PromptSettings = field(default_factory=PromptSettings)

    def __post_init__(self) -> None:
        for name in ("picture", "cameras"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not 1 <= self.actions <= 20 or self.thought < 1 or not self.cameras:
            raise InputError("an answer has 1 to 20 actions and room for a thought, a prompt some camera")
        for name in self.cameras:
            if name not in VIEWS:
                raise UnknownNameError("camera", name, VIEWS)

    @property
    def shown(self) -> tuple[str, ...]:
        """The cameras whose clips the prompt shows."""
        return self.cameras if self.pictures else ()


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A network with all that it takes to ask it."""

    vla: VLA
    words: Words
    codebook: Codebook
    setup: Setup
    phrases: Phrases

    @property
    def grammar(self) -> Grammar:
        return Grammar(self.phrases, self.setup.actions, self.setup.thought)


def save_product(path: Path, product: Product, card: Card) -> Card:
    """Write weights, card, tokenizer and codebook beside each other."""
    write_whole(path.with_suffix(TOKENIZER), product.words.json())
    product.codebook.save(path.with_suffix(CODEBOOK))
    return save_weights(path, product.vla, card)


class ActionRows(nn.Module):
    """The embeddings of the action tokens alone."""

    def __init__(self, rows: Any) -> None:
        super().__init__()
        self.register_buffer("rows", rows)


def save_folder(path: Path, product: Product, card: Card) -> Card:
    """Write fine-tuned published weights, adapters merged, to the folder `weights` beside `path`, in the
    library's own format with their tokenizer; `path` itself and its card hold the actions' rows."""
    net, folder = product.vla.net, path.parent / "weights"
    net = net.merge_and_unload() if hasattr(net, "merge_and_unload") else net
    net.save_pretrained(str(folder))
    product.words.save(folder)
    product.codebook.save(path.with_suffix(CODEBOOK))
    rows = net.get_input_embeddings().weight[product.words.first_action :].detach().float()
    return save_weights(path, ActionRows(rows), card)


def load_product(path: Path, device: str = "cpu") -> tuple[Product, Card]:
    """What `save_product` wrote. Raises InputError with one line for what is missing or does not fit."""
    if read_card(path).config.get("model", {}).get("folder"):
        raise InputError(f"'{path}' holds the actions' rows alone: give the folder 'weights' beside it")
    codebook = Codebook.load(path.with_suffix(CODEBOOK))
    try:
        text = path.with_suffix(TOKENIZER).read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise InputError(f"'{path}' lacks its tokenizer '{path.with_suffix(TOKENIZER).name}'") from None
    words = words_of_json(text, len(codebook))
    made: Callable[[Card], Any] = lambda card: tiny(settings_of(card.config), words)  # noqa: E731
    expect = {"architecture": ARCHITECTURE, "vocabulary": codebook.hash}
    vla, card = load_weights(path, made, expect, device)
    setup = setup_of(card.config)
    return Product(vla, words, codebook, setup, Phrases.of(words, setup.shown)), card


def product_of_folder(folder: Path, codebook: Codebook, setup: Setup, device: str = "cpu") -> Product:
    """Weights in the library's own format, published or saved by it, with a codebook for their actions."""
    words = load_words(folder, len(codebook))
    vla = load_folder(folder, words).to(device).eval()
    return Product(vla, words, codebook, setup, Phrases.of(words, setup.shown))


def settings_of(config: Mapping[str, Any]) -> VLASettings:
    """The network's settings in a card's `config`, under "model"."""
    return configure(VLASettings, config.get("model", {}))


def setup_of(config: Mapping[str, Any]) -> Setup:
    """What prompts and answers are by a card's `config`, under "setup"."""
    return configure(Setup, config.get("setup", {}))


__all__ = [
    "ARCHITECTURE", "CODEBOOK", "TOKENIZER", "Product", "Setup", "load_product", "product_of_folder",
    "save_folder", "save_product", "settings_of", "setup_of",
]  # fmt: skip
