"""Answers sampled under their grammar, and answers read back from ids.

An answer is `<think>This is a`, then one token that says fast or slow, for slow ones free text, and then the
wanted number of action tokens. What the grammar dictates is not sampled: it costs no pass of its own, and
has the probability 1. Control tokens are never sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError
from drive.nn._torch import Tensor, torch
from drive.planners.autovla.prompt import rope_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.autovla.model import VLA
    from drive.planners.autovla.prompt import Phrases, Prompt

FORCED, MODE, FREE, ACTION = range(4)
"""What a token of an answer is: dictated, the choice of the mode, a thought's, an action's."""
MODES = ("auto", "fast", "slow")


class InvalidAnswer(DriveError):  # noqa: N818 - what it is, as PlanError says what went wrong
    """An answer that is none: it cannot be driven, and is never taken for standing still."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A sound answer: its actions, whether it was thought over, the thought, and each token's kind."""

    actions: tuple[int, ...]
    slow: bool
    thought: str
    kinds: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """What answers look like: `count` actions, and at most `longest` tokens of a thought."""

    phrases: Phrases
    count: int
    longest: int = 96

    def parse(self, ids: Sequence[int]) -> Answer:
        """The answer in ids, which end with the end token. Raises InvalidAnswer that says what is wrong."""
        p, words = self.phrases, self.phrases.words
        own = [int(i) for i in ids]
        kinds = [FORCED] * len(own)
        at = len(p.think)
        if tuple(own[:at]) != p.think or len(own) <= at:
            raise InvalidAnswer("the answer does not begin with a thought")
        slow = own[at] == p.slow[0]
        opening = p.slow if slow else p.fast
        if tuple(own[at : at + len(opening)]) != opening:
            raise InvalidAnswer("the answer is neither fast nor slow")
        kinds[at] = MODE
        at += len(opening)
        begin = at
        if slow:
            try:
                at = own.index(p.close[0], at)
            except ValueError:
                raise InvalidAnswer("the thought has no end") from None
            kinds[begin : at + 1] = [FREE] * (at + 1 - begin)
        if tuple(own[at : at + len(p.close)]) != p.close:
            raise InvalidAnswer("no actions follow the thought")
        thought = own[begin:at]
        if any(i in words.control or i >= words.first_action for i in thought):
            raise InvalidAnswer("the thought holds a token that is no text")
        at += len(p.close)
        actions = own[at : at + self.count]
        if len(actions) < self.count or not all(words.first_action <= i < len(words) for i in actions):
            found = sum(words.first_action <= i < len(words) for i in actions)
            raise InvalidAnswer(f"the answer has {found} actions, not {self.count}")
        kinds[at : at + self.count] = [ACTION] * self.count
        at += self.count
        if tuple(own[at:]) != p.finish:
            raise InvalidAnswer("the answer does not end after its actions")
        numbers = tuple(i - words.first_action for i in actions)
        return Answer(numbers, slow, words.text(thought).strip(), tuple(kinds))

    def masks(self, vocabulary: int) -> Tensor:
        """What may be sampled `(4, V)`, by kind; nothing needs to be where a token is dictated."""
        p, words = self.phrases, self.phrases.words
        out = torch.zeros((4, vocabulary), dtype=torch.bool)
        out[MODE, [p.fast[0], p.slow[0]]] = True
        out[FREE, : words.first_action] = True
        out[FREE, list(words.control)] = False
        out[ACTION, words.first_action : len(words)] = True
        return out


@dataclass(slots=True, eq=False)
class Sampled:
    """An answer as it was sampled: `ids`, `kinds`, log-probabilities, whether the thought was too long, and
    the hidden `state (D,)` at the prompt's end."""

    ids: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    logp: list[float] = field(default_factory=list)
    overlong: bool = False
    done: bool = False
    state: NDArray[np.float32] | None = None
    _thought: int = 0
    _actions: int = 0
    _next: int = MODE

    def dictate(self, tokens: Sequence[int]) -> list[int]:
        self.ids += tokens
        self.kinds += [FORCED] * len(tokens)
        self.logp += [0.0] * len(tokens)
        return list(tokens)

    def take(self, token: int, logp: float, grammar: Grammar) -> list[int]:
        """Go on with a sampled token; the ids that the network must see next."""
        p = grammar.phrases
        self.ids.append(token)
        self.kinds.append(self._next)
        self.logp.append(logp)
        if self._next == MODE:
            slow = token == p.slow[0]
            self._next = FREE if slow else ACTION
            return [token, *self.dictate(p.slow[1:] if slow else (*p.fast[1:], *p.close))]
        if self._next == FREE:
            if token == p.close[0]:
                self._next = ACTION
                return [token, *self.dictate(p.close[1:])]
            self._thought += 1
            if self._thought >= grammar.longest:
                self.overlong = self.done = True
            return [token]
        self._actions += 1
        if self._actions >= grammar.count:
            self.done = True
            self.dictate(p.finish)
        return [token]


@dataclass(frozen=True, slots=True, eq=False)
class Static:
    """Keys and values of the prompts' static part, by layer, computed once."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    length: int

    def cache(self, count: int) -> Any:
        """A cache of the static part for `count` prompts."""
        from drive.planners.autovla.tokenizer import quiet_transformers

        made = quiet_transformers().DynamicCache()
        for number, (keys, values) in enumerate(self.layers):
            made.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), number)
        return made


def static_part(vla: VLA, phrases: Phrases) -> Static:
    """The static part's keys and values under the network's present weights."""
    from drive.planners.autovla.tokenizer import quiet_transformers

    cache = quiet_transformers().DynamicCache()
    device = next(vla.parameters()).device
    ids = torch.tensor([phrases.static], device=device)
    positions = torch.arange(len(phrases.static), device=device).expand(3, 1, -1)
    with torch.no_grad():
        vla.hidden(ids, torch.ones_like(ids), positions, cache=cache)
    layers = tuple((layer.keys, layer.values) for layer in cache.layers)
    return Static(layers, len(phrases.static))


def sample(
    vla: VLA,
    grammar: Grammar,
    prompts: Sequence[Prompt],
    *,
    count: int = 1,
    temperature: float = 0.0,
    mode: str = "auto",
    generator: Any = None,
    static: Static | None = None,
) -> list[list[Sampled]]:
    """`count` answers to each prompt: the likeliest token each time at the temperature 0, else drawn.

    Log-probabilities are those of the distributions that are drawn from: after the masks, at that
    temperature (at 0, those at 1). `mode` forces fast or slow thinking. `static` saves computing the prompts'
    common part.
    """
    if mode not in MODES:
        raise InputError(f"thinking is one of {', '.join(MODES)}, not '{mode}'")
    if not prompts or count < 1 or temperature < 0.0:
        raise InputError("sampling wants prompts, a count of 1 or more and a temperature of 0 or more")
    with torch.no_grad():
        return _sample(vla, grammar, prompts, count, temperature, mode, generator, static)


def _sample(
    vla: VLA, grammar: Grammar, prompts: Sequence[Prompt], count: int, temperature: float, mode: str,
    generator: Any, static: Static | None,
) -> list[list[Sampled]]:  # fmt: skip
    p, words = grammar.phrases, grammar.phrases.words
    device = next(vla.parameters()).device
    static = static or static_part(vla, p)
    masks = grammar.masks(len(words)).to(device)
    if mode != "auto":
        masks[MODE] = False
        masks[MODE, p.fast[0] if mode == "fast" else p.slow[0]] = True
    rows = [Sampled() for _ in prompts]
    fed, at = [], []
    for prompt, row in zip(prompts, rows, strict=True):
        whole = np.concatenate((prompt.ids, np.array(row.dictate(p.think), dtype=np.int64)))
        place = rope_positions(whole, words.video, prompt.grid)
        fed.append(whole[static.length :].tolist())
        at.append(place[:, static.length :])
    next_at = [int(place.max()) + 1 for place in at]
    patches = torch.from_numpy(np.concatenate([q.patches for q in prompts])).to(device)
    grid = torch.from_numpy(np.concatenate([q.grid for q in prompts])).to(device)
    cache = static.cache(len(prompts))
    attention = torch.ones((len(prompts), static.length), dtype=torch.long, device=device)
    hidden, attention = _pass(vla, fed, at, attention, cache, words.pad, device, patches, grid)
    last = vla.logits(hidden[:, -1])
    for row, state in zip(rows, hidden[:, -1 - len(p.think)].float().cpu().numpy(), strict=True):
        row.state = state
    if count > 1:
        cache.batch_repeat_interleave(count)
        attention, last = (x.repeat_interleave(count, 0) for x in (attention, last))
        next_at = [n for n in next_at for _ in range(count)]
        rows = [
            Sampled(list(row.ids), list(row.kinds), list(row.logp), state=row.state)
            for row in rows
            for _ in range(count)
        ]
    while True:
        kinds = torch.tensor([row._next for row in rows], device=device)
        logits = last.masked_fill(~masks[kinds], -torch.inf)
        logp = torch.log_softmax(logits / temperature if temperature > 0.0 else logits, -1)
        if temperature > 0.0:
            chosen = torch.multinomial(logp.exp(), 1, generator=generator)[:, 0]
        else:
            chosen = logp.argmax(-1)
        told = logp.gather(1, chosen[:, None])[:, 0].tolist()
        fed, at = [], []
        for b, (row, token, value) in enumerate(zip(rows, chosen.tolist(), told, strict=True)):
            more = [] if row.done else row.take(int(token), float(value), grammar)
            fed.append(more)
            at.append(np.tile(next_at[b] + np.arange(len(more)), (3, 1)))
            next_at[b] += len(more)
        if all(row.done for row in rows):
            break
        hidden, attention = _pass(vla, fed, at, attention, cache, words.pad, device)
        last = vla.logits(hidden[:, -1])
    return [rows[k : k + count] for k in range(0, len(rows), count)]


def _pass(
    vla: VLA, fed: Sequence[Sequence[int]], at: Sequence[Any], attention: Tensor, cache: Any, pad: int,
    device: Any, patches: Tensor | None = None, grid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Hidden states of each row's own tokens, which are padded on their left, and the attention with them."""
    longest = max(max(len(row) for row in fed), 1)
    ids = np.full((len(fed), longest), pad, dtype=np.int64)
    there = np.zeros((len(fed), longest), dtype=np.int64)
    positions = np.zeros((3, len(fed), longest), dtype=np.int64)
    for b, (row, place) in enumerate(zip(fed, at, strict=True)):
        if len(row):
            ids[b, -len(row) :], there[b, -len(row) :] = row, 1
            positions[:, b, -len(row) :] = place
    attention = torch.cat((attention, torch.from_numpy(there).to(device)), dim=1)
    hidden = vla.hidden(
        torch.from_numpy(ids).to(device),
        attention,
        torch.from_numpy(positions).to(device),
        patches,
        grid,
        cache,
    )
    return hidden, attention


def answer_logp(
    logits: Tensor, ids: Tensor, kinds: Tensor, masks: Tensor, temperature: float = 1.0
) -> Tensor:
    """Log-probabilities `(N,)` of an answer's tokens as they were sampled: `logits (N, V)`, `ids`, `kinds`
    `(N,)`; 0 where a token was dictated."""
    free = kinds != FORCED
    allowed = masks[kinds]
    allowed = allowed | ~free[:, None]
    logp = torch.log_softmax(logits.masked_fill(~allowed, -torch.inf) / temperature, -1)
    return torch.where(free, logp.gather(1, ids[:, None])[:, 0], torch.zeros_like(logp[:, 0]))


__all__ = [
    "ACTION", "FORCED", "FREE", "MODE", "MODES", "Answer", "Grammar", "InvalidAnswer", "Sampled", "Static",
    "answer_logp", "sample", "static_part",
]  # fmt: skip
