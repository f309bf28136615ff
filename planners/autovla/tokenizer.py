"""Text as token ids: a byte-level BPE of our own, or Qwen's from a local folder; action tokens come last.

The chat is written by `chat` for both, for a tokenizer of our own has no template.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drive.errors import InputError

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE, VIDEO = (
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CONTROL = (
    PAD, START, END, "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", VISION_START, VISION_END, "<|vision_pad|>", IMAGE, VIDEO,
)  # fmt: skip
"""Qwen2.5's control tokens. None of them is ever sampled but `END`, where an answer ends."""


def action(number: int) -> str:
    """The text of an action token."""
    return f"<action_{number}>"


def chat(system: str, user: str) -> str:
    """The prompt up to where the assistant begins, as Qwen's template writes it."""
    return f"{START}system\n{system}{END}\n{START}user\n{user}{END}\n{START}assistant\n"


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A tokenizer with its action tokens: ids from `first_action` on, `actions` of them, the last ones.

    `control` are the ids that are never sampled, `end` the one that ends an answer, `pad` fills. `fresh` says
    that the actions were added just now: no network knows them yet.
    """

    tokenizer: Any
    first_action: int
    actions: int
    end: int
    pad: int
    video: int
    control: tuple[int, ...]
    fresh: bool = True

    def __len__(self) -> int:
        return self.first_action + self.actions

    def ids(self, text: str) -> list[int]:
        """Ids of a text; special tokens written in it are found, none are added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def text(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens and actions with their names."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def action_ids(self, actions: Iterable[int]) -> list[int]:
        """Ids of actions by their number."""
        return [self.first_action + int(a) for a in actions]

    def save(self, folder: str | Path) -> Path:
        """Write tokenizer.json and its configuration."""
        self.tokenizer.save_pretrained(str(folder))
        return Path(folder)

    def json(self) -> str:
        """All of it as the text of a tokenizer.json."""
        return str(self.tokenizer.backend_tokenizer.to_str())


def train_words(texts: Iterable[str], actions: int, size: int = 600) -> Words:
    """A byte-level BPE of about `size` tokens trained on texts, with Qwen's control tokens and then actions.

    Every byte can be told. Equal texts make an equal tokenizer.
    """
    tokenizers = _tokenizers()
    own = tokenizers.Tokenizer(tokenizers.models.BPE())
    own.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    own.train_from_iterator(texts, trainer)
    return with_actions(_wrapped(own), actions)


def words_of_json(text: str, actions: int) -> Words:
    """The tokenizer that `Words.json` wrote. Raises InputError where it is none."""
    try:
        json.loads(text)
        own = _tokenizers().Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(f"that is no tokenizer ({' '.join(str(error).split())[:80]})") from None
    return with_actions(_wrapped(own), actions)


def load_words(folder: str | Path, actions: int) -> Words:
    """The tokenizer of a local folder, Qwen's own or one that was saved, with action tokens at its end.

    Raises InputError where the folder holds none. Nothing is fetched.
    """
    place = Path(folder)
    if not (place / "tokenizer.json").is_file():
        raise InputError(f"'{place}' holds no tokenizer.json")
    transformers = quiet_transformers()
    try:
        found = transformers.AutoTokenizer.from_pretrained(str(place), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"'{place}' holds no sound tokenizer ({' '.join(str(error).split())[:120]})"
        ) from None
    return with_actions(found, actions)


def with_actions(tokenizer: Any, actions: int) -> Words:
    """Add what is missing of the action tokens. Raises InputError where they are not the last ones."""
    missing = [
        name for name in CONTROL if tokenizer.convert_tokens_to_ids(name) in (None, _unknown(tokenizer))
    ]
    if missing:
        raise InputError(f"the tokenizer lacks Qwen's token {missing[0]}")
    fresh = tokenizer.add_tokens([action(k) for k in range(actions)], special_tokens=False) > 0
    ids: Sequence[int] = tokenizer.convert_tokens_to_ids([action(k) for k in range(actions)])
    if list(ids) != list(range(len(tokenizer) - actions, len(tokenizer))):
        raise InputError(f"the action tokens are not the last {actions} of the tokenizer's {len(tokenizer)}")
    control = set(tokenizer.convert_tokens_to_ids(list(CONTROL))) | set(tokenizer.all_special_ids)
    one = tokenizer.convert_tokens_to_ids
    return Words(tokenizer, ids[0], actions, one(END), one(PAD), one(VIDEO), tuple(sorted(control)), fresh)


def _wrapped(own: Any) -> Any:
    made = quiet_transformers().PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token=END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    made.add_special_tokens({"additional_special_tokens": list(CONTROL)})
    return made


def _unknown(tokenizer: Any) -> Any:
    return tokenizer.unk_token_id


def _tokenizers() -> Any:
    # Its threads would wait for one another in a process that is forked.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from drive._imports import import_target

    return import_target("tokenizers", "the planner 'autovla'")


def quiet_transformers() -> Any:
    """The library, told to stay off the network."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from drive._imports import import_target

    return import_target("transformers", "the planner 'autovla'")


__all__ = [
    "CONTROL", "END", "PAD", "VIDEO", "VISION_END", "VISION_START", "Words", "action", "chat", "load_words",
    "quiet_transformers", "train_words", "with_actions", "words_of_json",
]  # fmt: skip
