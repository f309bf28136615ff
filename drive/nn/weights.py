"""Weights of a network: a safetensors file and, beside it, a card that says what they are.

The card is JSON under the weights' own name. It holds the SHA-256 of the weights, so that one cannot stand
beside the other's file unnoticed. Nothing here reads or writes a pickle. Only saving and loading need torch.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drive.errors import InputError, UnknownNameError
from drive.files import write_whole

SCHEMA = "drive-weights/1"
SHIPPED_BYTES = 10_000_000
"""Larger weights are not shipped within the package."""
MAX_CARD = 1 << 20
Module = Any


@dataclass(frozen=True, slots=True)
class Card:
    """What weights are, how they were made, and how well they do.

    `architecture` is the recipe's word for the network, with a number that changes when old weights no
    longer fit (`gtrs-1`); `config` has all its settings, plain values only. `vocabulary` and `data` are the
    hashes of the vocabulary (empty where none is used) and of the training set; `licences` those of the
    set's scenes; `training` the figures of the validation; each of `figures` is what they do in closed
    loop, with at least the names `suite` and `command`. `sha256` is that of the weights, filled in when
    they are saved.
    """

    recipe: str
    architecture: str
    preset: str = ""
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: str = ""
    data: str = ""
    licences: tuple[str, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    device: str = ""
    training: Mapping[str, float] = field(default_factory=dict)
    figures: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    sha256: str = ""

    def __post_init__(self) -> None:
        for entry in self.figures:
            if not {"suite", "command"} <= set(entry):
                raise InputError(f"figures of a card need 'suite' and 'command', got {sorted(entry)}")

    def text(self) -> str:
        """The card as JSON. Raises InputError for values that JSON has no word for."""
        try:
            values = {"schema": SCHEMA, **dataclasses.asdict(self)}
            return json.dumps(values, indent=1, sort_keys=True, allow_nan=False, default=_plain) + "\n"
        except (TypeError, ValueError) as error:
            raise InputError(f"a card holds plain, finite values: {error}") from None


def card_path(path: Path) -> Path:
    """Where the card of the weights `path` lies."""
    return path.with_suffix(".json")


def read_card(path: Path) -> Card:
    """The card beside the weights `path`; whether it is theirs is told by `load_weights`.

    Raises InputError with one line for a card that is missing, not JSON, of another version or incomplete.
    """
    place = card_path(path)
    try:
        with open(place, "rb") as file:
            data = file.read(MAX_CARD + 1)
    except FileNotFoundError:
        raise InputError(
            f"'{path}' has no card: there is no '{place.name}' beside it"
            if path.exists()
            else f"there are no weights '{path}'"
        ) from None
    except OSError as error:
        raise InputError(f"'{place}' cannot be read: {error.strerror}") from error
    if len(data) > MAX_CARD:
        raise InputError(f"'{place}' is too large for a card: more than {MAX_CARD >> 10} KiB")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{place}' is not JSON: {' '.join(str(error).split())[:100]}") from None
    if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
        raise InputError(f"'{place}' is no card of weights ({SCHEMA})")
    return _checked(values, place)


def write_card(path: Path, card: Card) -> Path:
    """Write the card of the weights `path`, for instance with more figures."""
    return write_whole(card_path(path), card.text())


def save_weights(path: str | Path, model: Module, card: Card) -> Card:
    """Write the parameters and buffers of `model`, and the card beside them with their hash filled in.

    Equal weights make equal bytes. Raises InputError for weights that are not finite.
    """
    from drive.nn.tensors import finite, write_tensors

    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"weights are saved as NAME.safetensors, not '{path.name}'")
    state = model.state_dict()
    if (broken := finite(state)) is not None:
        raise InputError(f"the weights are not finite ({broken}): they are not saved as '{path}'")
    counted = sum(p.numel() for p in model.parameters())
    card.text()  # what is wrong with the card is told before anything is written
    card = dataclasses.replace(card, parameters=counted, sha256=write_tensors(path, state))
    write_card(path, card)
    return card


def load_weights(
    path: str | Path,
    model: Module | Callable[[Card], Module],
    expect: Mapping[str, object] | None = None,
    device: Any = "cpu",
) -> tuple[Module, Card]:
    """The network with the weights of a file, on `device` and in evaluation mode, and their card.

    `model` is the network, or what builds it from the card. `expect` says what fields of the card must be,
    as `{"architecture": "gtrs-1", "vocabulary": vocabulary.hash}`.

    Raises InputError with one line for a file that is missing, truncated, foreign or not its card's, and for
    another architecture or vocabulary than expected; MissingExtraError without torch.
    """
    from drive.nn._torch import nn
    from drive.nn.tensors import read_tensors

    path = Path(path)
    card = read_card(path)
    tensors, sha256 = read_tensors(path)
    if sha256 != card.sha256:
        raise InputError(f"'{path}' is not what its card '{card_path(path).name}' speaks of: another SHA-256")
    _expect(path, card, expect or {})
    network = model if isinstance(model, nn.Module) else model(card)
    _fit(path, card, network, tensors)
    network.load_state_dict(tensors)
    return network.to(device).eval(), card


def shipping_note(path: Path) -> str | None:
    """Why these weights are too large to be shipped, or None."""
    size = path.stat().st_size
    if size <= SHIPPED_BYTES:
        return None
    return f"{path} has {size / 1e6:.1f} MB: too large to be shipped ({SHIPPED_BYTES / 1e6:.0f} MB at most)"


def _plain(value: object) -> object:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a NumPy number
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def _checked(values: dict[str, Any], place: Path) -> Card:
    """A card of what JSON held, each value of the kind that it must have."""
    of_json: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "tuple": list, "Mapping": dict}
    kinds = {item.name: of_json[str(item.type).partition("[")[0]] for item in dataclasses.fields(Card)}
    missing = [name for name in ("recipe", "architecture", "sha256") if not values.get(name)]
    if missing:
        raise InputError(f"'{place}' is incomplete: it lacks {', '.join(missing)}")
    known: dict[str, Any] = {}
    for name, value in values.items():
        if name not in kinds:
            continue  # a later release may say more
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise InputError(f"'{place}': '{name}' is a {type(value).__name__}, which no card has there")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"'{place}': '{name}' is not finite")
        known[name] = tuple(value) if isinstance(value, list) else value
    inner = {"licences": str, "figures": dict}
    for name, wanted in inner.items():
        if not all(isinstance(value, wanted) for value in known.get(name, ())):
            raise InputError(f"'{place}': '{name}' does not hold what a card has there")
    return Card(**known)


def _expect(path: Path, card: Card, expect: Mapping[str, object]) -> None:
    names = [item.name for item in dataclasses.fields(Card)]
    for name, wanted in expect.items():
        if name not in names:
            raise UnknownNameError("field of a card", name, names)
        held = getattr(card, name)
        if held != wanted:
            what = {"vocabulary": "made for the vocabulary", "data": "trained on the data"}.get(
                name, f"of the {name}"
            )
            raise InputError(f"'{path}' holds weights {what} {_short(held)}, not {_short(wanted)}")


def _short(value: object) -> str:
    text = str(value) or "none"
    return f"'{text if len(text) <= 40 else text[:16] + '…'}'"


def _fit(path: Path, card: Card, network: Module, tensors: Mapping[str, Any]) -> None:
    """Raise InputError where the names or shapes are not those of the network."""
    own = network.state_dict()
    lacking = [name for name in own if name not in tensors]
    strange = [name for name in tensors if name not in own]
    other = [
        name
        for name, value in own.items()
        if name in tensors
        and (
            tensors[name].shape != value.shape
            or tensors[name].dtype.is_floating_point != value.dtype.is_floating_point
        )
    ]
    said = [
        f"{len(names)} {what} ({names[0]})"
        for what, names in (
            ("tensors missing", lacking),
            ("unknown", strange),
            ("of another shape", other),
        )
        if names
    ]
    if said:
        raise InputError(
            f"'{path}' (architecture '{card.architecture}' of '{card.recipe}') does not fit "
            f"{type(network).__name__}: {', '.join(said)}"
        )


__all__ = [
    "SCHEMA",
    "SHIPPED_BYTES",
    "Card",
    "card_path",
    "load_weights",
    "read_card",
    "save_weights",
    "shipping_note",
    "write_card",
]
