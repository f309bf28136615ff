"""Protobuf messages as numbered fields: there is no schema, and fields that nobody asks for cost nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.waymo.kernels.wire import (
    DELIMITED,
    FIRST,
    FIXED64,
    LAST,
    NUMBER,
    TYPE,
    VARINT,
    flatten,
    split,
    varints,
)
from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Longs = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message in `data`; `fields (N, 4)` are its fields' number, wire type, value or first and last byte.

    Of a field that may stand once the last one counts, as the format has it.
    """

    data: Bytes
    fields: Longs

    @classmethod
    def of(cls, data: Bytes, start: int = 0, end: int = -1) -> Message:
        """The message in `data[start:end]`; raises InputError where it is damaged."""
        end = len(data) if end < 0 else end
        count = int(split(data, start, end, np.zeros((0, 4), dtype=np.int64)))
        if count < 0:
            raise InputError("a message is damaged")
        fields = np.zeros((count, 4), dtype=np.int64)
        split(data, start, end, fields)
        return cls(data, fields)

    def _rows(self, number: int, *kinds: int) -> Longs:
        rows: Longs = self.fields[self.fields[:, NUMBER] == number]
        if not set(rows[:, TYPE].tolist()) <= set(kinds):
            raise InputError(f"field {number} of a message has another type than it should")
        return rows

    def number(self, number: int, default: int = 0) -> int:
        """A whole number or an enumeration's value."""
        rows = self._rows(number, VARINT)
        return int(rows[-1, FIRST]) if len(rows) else default

    def text(self, number: int) -> str:
        rows = self._rows(number, DELIMITED)
        if not len(rows):
            return ""
        return bytes(self.data[rows[-1, FIRST] : rows[-1, LAST]]).decode("utf-8", "replace")

    def has(self, number: int) -> bool:
        return bool((self.fields[:, NUMBER] == number).any())

    def spans(self, number: int) -> tuple[Longs, Longs]:
        """Where the messages of a repeated field begin and end."""
        rows = self._rows(number, DELIMITED)
        return rows[:, FIRST], rows[:, LAST]

    def messages(self, number: int) -> Iterator[Message]:
        starts, ends = self.spans(number)
        return (Message.of(self.data, int(a), int(b)) for a, b in zip(starts, ends, strict=True))

    def table(self, number: int, width: int) -> Floats:
        """Numbers `(M, width)` of a repeated field's small messages: column f is field f, 0 if missing."""
        return table_of(self.data, *self.spans(number), width)

    def numbers(self, number: int) -> tuple[int, ...]:
        """Whole numbers of a repeated field, packed or not."""
        out: list[int] = []
        for _, kind, first, last in self._rows(number, VARINT, DELIMITED).tolist():
            if kind == VARINT:
                out.append(first)
                continue
            values = np.zeros(last - first, dtype=np.int64)  # a varint has a byte or more
            count = int(varints(self.data, first, last, values))
            if count < 0:
                raise InputError(f"field {number} of a message is damaged")
            out += values[:count].tolist()
        return tuple(out)

    def doubles(self, number: int) -> Floats:
        """Numbers `(N,)` of a repeated field of doubles, packed or not."""
        rows = self._rows(number, FIXED64, DELIMITED)
        parts = [self.data[first:last] for _, _, first, last in rows.tolist()]
        if any(len(part) % 8 for part in parts):
            raise InputError(f"field {number} of a message is damaged")
        return np.concatenate([np.zeros(0, dtype=np.uint8), *parts]).view("<f8").astype(np.float64)


def table_of(data: Bytes, starts: Longs, ends: Longs, width: int) -> Floats:
    """Numbers `(M, width)` of messages that lie at `starts (M,)` to `ends (M,)`, column f the field f."""
    out = np.zeros((len(starts), width))
    word = np.zeros(8, dtype=np.uint8)
    bad = int(flatten(data, starts, ends, out, word, word.view("<f8"), word.view("<f4")))
    if bad >= 0:
        raise InputError(f"message {bad} of a list is damaged")
    return out
