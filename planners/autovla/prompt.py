"""Prompts and answers as token ids, and batches of them as arrays.

A prompt is a static part (the system's words), whose keys and values a planner keeps, and a part of its own:
three clips, the ego's state, the instruction. An answer thinks fast or slowly and ends in action tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.planners.autovla.rationale import FAST, SLOW
from drive.planners.autovla.tokenizer import END, START, VIDEO, VISION_END, VISION_START, Words
from drive.planners.autovla.vision_pack import MERGE, pack_clips, vision_tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

SYSTEM = "You drive a car by its cameras. Think, then give the motions of the next seconds."
SYSTEM_BLIND = "You drive a car by what is listed. Think, then give the motions of the next seconds."
VIEWS = {"front_left": "left", "front": "front", "front_right": "right", "front_far": "far", "back": "back"}
"""What the prompt calls each camera's clip."""
PAPER_CAMERAS = ("front_left", "front", "front_right")
THINK, CLOSE, FINISH = "<think>This is a", "</think><answer>The final output action is: ", "</answer>"
INTERVAL = 2.0
"""Positions between two pairs of frames: Qwen2.5-VL's 2 a second, and a second for two frames at 2 Hz."""
IGNORED = -100
HIDDEN = np.float32(-1e30)
"""Added to the attention to what is not to be seen: who is hidden from all (padding) still has a mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Phrases:
    """The fixed parts of prompts and answers, as ids."""

    words: Words
    static: tuple[int, ...]
    think: tuple[int, ...]
    fast: tuple[int, ...]
    slow: tuple[int, ...]
    close: tuple[int, ...]
    finish: tuple[int, ...]
    views: tuple[str, ...]

    @classmethod
    def of(cls, words: Words, cameras: Sequence[str] = PAPER_CAMERAS) -> Phrases:
        """Of prompts with clips of these cameras, of the text variant for none.

        Raises InputError for a tokenizer that cannot tell fast from slow by one token.
        """
        system = SYSTEM if cameras else SYSTEM_BLIND
        static, think, fast, slow, close, finish = (
            tuple(words.ids(text))
            for text in (
                f"{START}system\n{system}{END}\n{START}user\n", THINK, f" {FAST}", f" {SLOW}", CLOSE,
                f"{FINISH}{END}",
            )
        )  # fmt: skip
        views = tuple(VIEWS[name] for name in cameras)
        made = cls(words, static, think, fast, slow, close, finish, views)
        if made.fast[0] == made.slow[0] or made.finish[-1] != words.end:
            raise InputError("this tokenizer does not tell fast from slow thinking by its first token")
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One moment: ids of all of the prompt, of which the first `static` are the same for all; `patches` and
    `grid (C, 3)` of its clips, which are empty for the text variant."""

    ids: NDArray[np.int64]
    static: int
    patches: NDArray[np.float32]
    grid: NDArray[np.int64]


def make_prompt(phrases: Phrases, state: str, clips: NDArray[np.uint8] | None) -> Prompt:
    """The prompt of a state text and clips `(cameras, frames, height, width, 3)`."""
    words = phrases.words
    own: list[int] = []
    patches, grid = np.zeros((0, 1176), dtype=np.float32), np.zeros((0, 3), dtype=np.int64)
    if clips is not None:
        if len(clips) != len(phrases.views):
            raise InputError(f"a prompt has {len(phrases.views)} clips, not {len(clips)}")
        patches, grid = pack_clips(clips)
        count = vision_tokens((int(grid[0, 0]), int(grid[0, 1]), int(grid[0, 2])))
        own += words.ids("".join(f"{v}{VISION_START}{VIDEO * count}{VISION_END}" for v in phrases.views))
    own += words.ids(f"{state}{END}\n{START}assistant\n")
    return Prompt(np.array([*phrases.static, *own], dtype=np.int64), len(phrases.static), patches, grid)


def answer_ids(phrases: Phrases, actions: Sequence[int] | NDArray[Any], thought: str = "") -> list[int]:
    """The answer with these actions, slow where there is a `thought`."""
    words = phrases.words
    thinking = [*phrases.slow, *words.ids(f" {thought}")] if thought else list(phrases.fast)
    return [*phrases.think, *thinking, *phrases.close, *words.action_ids(actions), *phrases.finish]


def rope_positions(ids: NDArray[np.int64], video: int, grid: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions `(3, L)` in time, down and across of a sequence: those of Qwen2.5-VL, for clips at 2 Hz.

    Raises InputError where the clips' tokens are not those of the grids.
    """
    out = np.empty((3, len(ids)), dtype=np.int64)
    here, k, place = 0, 0, 0
    seen = ids == video
    edges = np.flatnonzero(np.diff(seen, prepend=False, append=False))
    for number, (begin, end) in enumerate(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)):
        if number >= len(grid):
            raise InputError("a prompt has tokens of more clips than it has clips")
        out[:, k:begin] = here + np.arange(begin - k)
        here += begin - k
        t, h, w = (int(v) for v in grid[number])
        h, w = h // MERGE, w // MERGE
        if end - begin != t * h * w:
            raise InputError(f"a clip of {t * h * w} tokens has {end - begin} of them in the prompt")
        at = np.stack(np.meshgrid(np.arange(t), np.arange(h), np.arange(w), indexing="ij")).reshape(3, -1)
        out[:, begin:end] = here + np.stack(((at[0] * INTERVAL).astype(np.int64), at[1], at[2]))
        here += max(h, w)
        k, place = end, number + 1
    if place != len(grid):
        raise InputError(f"a prompt of {len(grid)} clips has tokens of {place}")
    out[:, k:] = here + np.arange(len(ids) - k)
    return out


def batch_arrays(
    phrases: Phrases,
    prompts: Sequence[Prompt],
    answers: Sequence[Sequence[int]],
    weight: Sequence[float] | None = None,
    multiple: int = 1,
) -> dict[str, NDArray[Any]]:
    """Prompts with their answers, padded on the right to a length that is a `multiple`: `input_ids`,
    `attention`, `labels` (B, L), `positions` (3, B, L), `weight` (B,), `patches`, `grid`. Labels are
    those of the answers, without anything else."""
    words = phrases.words
    rows = [
        np.concatenate((p.ids, np.asarray(a, dtype=np.int64))) for p, a in zip(prompts, answers, strict=True)
    ]
    longest = -(-max(len(row) for row in rows) // multiple) * multiple
    shape = (len(rows), longest)
    ids = np.full(shape, words.pad, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    attention = np.zeros(shape, dtype=np.int64)
    positions = np.zeros((3, *shape), dtype=np.int64)
    for b, (row, p) in enumerate(zip(rows, prompts, strict=True)):
        ids[b, : len(row)], attention[b, : len(row)] = row, 1
        labels[b, len(p.ids) : len(row)] = row[len(p.ids) :]
        positions[:, b, : len(row)] = rope_positions(row, words.video, p.grid)
    return {
        "input_ids": ids,
        "attention": attention,
        "labels": labels,
        "positions": positions,
        "weight": np.asarray([1.0] * len(rows) if weight is None else weight, dtype=np.float32),
        "patches": np.concatenate([p.patches for p in prompts]),
        "grid": np.concatenate([p.grid for p in prompts]),
    }


def group_arrays(
    phrases: Phrases, prompts: Sequence[Prompt], groups: Sequence[Sequence[Sequence[int]]]
) -> dict[str, NDArray[Any]]:
    """As `batch_arrays` of each prompt with each answer of its group, but what is computed for a prompt is
    computed once: its answers follow it one after the other, each at the positions that it would have by
    itself, and none sees another. `attention (B, 1, L, L)` is what is added: 0, or `HIDDEN`.

    The first token of an answer comes after another's last one: it has to be one that is dictated.
    """
    words = phrases.words
    rows = [
        np.concatenate((p.ids, *(np.asarray(a, dtype=np.int64) for a in group)))
        for p, group in zip(prompts, groups, strict=True)
    ]
    shape = (len(rows), max(len(row) for row in rows))
    ids = np.full(shape, words.pad, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    positions = np.zeros((3, *shape), dtype=np.int64)
    part = np.full(shape, -1, dtype=np.int64)
    for b, (row, p, group) in enumerate(zip(rows, prompts, groups, strict=True)):
        begin = len(p.ids)
        ids[b, : len(row)], labels[b, begin : len(row)] = row, row[begin:]
        positions[:, b, :begin] = rope_positions(p.ids, words.video, p.grid)
        part[b, :begin] = 0
        after = positions[:, b, :begin].max() + 1
        for number, answer in enumerate(group):
            end = begin + len(answer)
            positions[:, b, begin:end] = after + np.arange(end - begin)
            part[b, begin:end] = number + 1
            begin = end
    seen = np.tri(shape[1], dtype=np.bool_) & (
        (part[:, None] == 0) | ((part[:, None] == part[:, :, None]) & (part[:, None] >= 0))
    )
    return {
        "input_ids": ids,
        "attention": np.where(seen, np.float32(0.0), HIDDEN)[:, None],
        "labels": labels,
        "positions": positions,
        "patches": np.concatenate([p.patches for p in prompts]),
        "grid": np.concatenate([p.grid for p in prompts]),
    }


__all__ = [
    "IGNORED", "PAPER_CAMERAS", "VIEWS", "Phrases", "Prompt", "answer_ids", "batch_arrays", "group_arrays",
    "make_prompt", "rope_positions",
]  # fmt: skip
