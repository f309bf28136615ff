"""Ways to spoil a file: bytes, numbers in a text, the parts of XML and JSON, the arrays of a zip.

Each takes the generator of random numbers and what is whole, and returns what is not.
"""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

MOST = 1 << 20
"""Bytes that a spoilt file may have; for what is larger readers have their limits."""
NUMBERS = (
    b"0", b"-1", b"1", b"nan", b"inf", b"-inf", b"NaN", b"Infinity", b"1e308", b"-1e308", b"1e-320", b"1e400",
    b"-0.0", b"0.5", b"1e9", b"2147483647", b"2147483648", b"-2147483649", b"4294967296",
    b"9223372036854775807", b"18446744073709551616", b"1" + b"0" * 400, b"1e", b"0x10", b"1_000",
    b"\xd9\xa3", b"", b" ", b"1,5",
    b"true", b"null",
)  # fmt: skip
_NUMBER = re.compile(rb"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_ATTRIBUTE = re.compile(rb'([\w:.-]+)="([^"]*)"')
_ELEMENT = re.compile(rb"<([\w:.-]+)(?:\s[^<>]*)?(?:/>|>(?:[^<]*</\1\s*>)?)")
_QUOTED = re.compile(rb'"(?:[^"\\\n]|\\.)*"')
_JSON = (
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e400",
    b'""',
    b'"x"',
    b"true",
    b"[[]]",
    b"NaN",
    b"[" * 2000,
    b'{"a":' * 2000,
)
_REALS = (0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, 1e9, 3.4e38, 65504.0)
_WHOLES = (
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32 - 1,
    2**53,
    2**63 - 1,
    -(2**63),
)

Spoiler = Callable[[random.Random, bytes], bytes]


def spoil(rng: random.Random, data: bytes, ways: Sequence[Spoiler], others: Sequence[bytes] = ()) -> bytes:
    """The data spoilt in one to four of the ways; seldom with a part of another file in it."""
    for _ in range(1 + min(int(rng.expovariate(1.0)), 3)):
        if others and rng.random() < 0.03:
            data = _splice(rng, data, rng.choice(others))
        else:
            data = rng.choice(ways)(rng, data)
    return data[:MOST] if len(data) > 2 * MOST else data


def flip(rng: random.Random, data: bytes) -> bytes:
    """One to eight bits are others."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8) if out else 0):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(rng: random.Random, data: bytes) -> bytes:
    """A number of one to eight bytes is an extreme one."""
    kind = rng.choice("bBhHiIqQfd")
    if kind in "fd":
        value: float = rng.choice(_REALS)
        part = struct.pack(f"<{kind}", value if kind == "d" else float(np.clip(value, -3.4e38, 3.4e38)))
    else:
        size = struct.calcsize(kind)
        order = rng.choice(("little", "big"))
        part = (rng.choice(_WHOLES) % (1 << (8 * size))).to_bytes(size, order)  # type: ignore[arg-type]
    at = rng.randrange(max(len(data) - len(part), 0) + 1)
    return data[:at] + part + data[at + len(part) :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data) + 1)]


def remove(rng: random.Random, data: bytes) -> bytes:
    """A part is missing."""
    begin, end = _slice(rng, data)
    return data[:begin] + data[end:]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A part is there several times."""
    begin, end = _slice(rng, data)
    return data[:begin] + data[begin:end] * rng.choice((2, 2, 3, 20)) + data[end:]


def insert(rng: random.Random, data: bytes) -> bytes:
    """Bytes of no meaning lie between."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randint(1, 16)) + data[at:]


def number(rng: random.Random, data: bytes) -> bytes:
    """A number of a text is an extreme one, or none."""
    return _replaced(rng, data, _NUMBER, lambda found: rng.choice(NUMBERS))


def attribute(rng: random.Random, data: bytes) -> bytes:
    """An attribute has another's value, another's name, none, or is missing."""
    found = list(_ATTRIBUTE.finditer(data))
    if not found:
        return flip(rng, data)
    one, other = rng.choice(found), rng.choice(found)
    new = rng.choice(
        (
            b'%s="%s"' % (one[1], other[2]),
            b'%s="%s"' % (other[1], one[2]),
            b'%s=""' % one[1],
            b'%s="%s"' % (one[1], rng.choice(NUMBERS)),
            b"",
        )
    )
    return data[: one.start()] + new + data[one.end() :]


def element(rng: random.Random, data: bytes) -> bytes:
    """An element is missing, there twice, in the place of another, or of another name."""
    found = list(_ELEMENT.finditer(data))
    if not found:
        return flip(rng, data)
    one, other = rng.choice(found), rng.choice(found)
    whole = _whole(data, one)
    new = rng.choice((b"", whole * 2, _whole(data, other), whole.replace(one[1], other[1]), whole * 30))
    return data[: one.start()] + new + data[one.start() + len(whole) :]


def word(rng: random.Random, data: bytes) -> bytes:
    """A quoted word is another one of the text, or empty."""
    found = [m[0] for m in _QUOTED.finditer(data)]
    return _replaced(rng, data, _QUOTED, lambda _: rng.choice((*found, b'""', b'"\xc3\xa4\xff"', b'"../x"')))


def json_value(rng: random.Random, data: bytes) -> bytes:
    """A number or a word of JSON is a value of another kind."""
    pattern = rng.choice((_NUMBER, _QUOTED))
    return _replaced(rng, data, pattern, lambda _: rng.choice(_JSON))


def line(rng: random.Random, data: bytes) -> bytes:
    """A line is missing, there twice, or elsewhere."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    one = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 2))):
        lines.insert(rng.randrange(len(lines) + 1), one)
    return b"".join(lines)


BYTES: tuple[Spoiler, ...] = (flip, overwrite, overwrite, cut, remove, repeat, insert)
TEXT: tuple[Spoiler, ...] = (flip, cut, remove, repeat, insert, number, number, number, line)
XML: tuple[Spoiler, ...] = (*TEXT, number, attribute, attribute, element, element, element)
JSON: tuple[Spoiler, ...] = (*TEXT, number, word, word, json_value, json_value, json_value)


def arrays(rng: random.Random, data: bytes) -> bytes:
    """A zip of arrays, of which one is missing, of another shape or kind, or holds extreme values.

    Written anew, so that the zip itself is sound and readers come to see what is in it.
    """
    inside = held(data)
    if not inside:
        return flip(rng, data)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(list(inside))
        how = rng.random()
        if how < 0.08:
            del inside[name]
            inside = inside or {"x": np.zeros(1)}
        elif how < 0.14:
            inside[name] = inside[rng.choice(list(inside))]
        else:
            inside[name] = array(rng, inside[name])
    return packed(inside)


def packed(held: dict[str, np.ndarray]) -> bytes:
    """A zip of arrays, not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, values in held.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, values, allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    return out.getvalue()


def array(rng: random.Random, values: np.ndarray) -> np.ndarray:
    """An array with extreme values, or of another shape or kind; bytes that are JSON are spoilt as such."""
    if values.dtype == np.uint8 and values.ndim == 1 and values[:1].tobytes() in (b"{", b"["):
        return np.frombuffer(spoil(rng, values.tobytes(), JSON), dtype=np.uint8)
    how = rng.random()
    if how < 0.6 and values.size and values.dtype.kind in "fiub":
        out = values.copy()
        flat = out.reshape(-1)
        for _ in range(rng.choice((1, 1, 1, 3, flat.size))):
            flat[rng.randrange(flat.size)] = _extreme(rng, out.dtype)
        return out
    if how < 0.7:
        return values[: rng.randrange(len(values) + 1)] if values.ndim else values.reshape(1)
    if how < 0.78:
        return np.concatenate((values, values[:1])) if values.ndim and len(values) else values[None]
    if how < 0.84:
        return values.reshape(rng.choice(((-1,), (1, *values.shape), (*values.shape, 1))))
    if how < 0.9:
        return np.zeros((0, *values.shape[1:]), dtype=values.dtype)
    if values.dtype.kind in "fiub":
        with np.errstate(all="ignore"):
            kind = rng.choice(
                ("<f2", "<f4", "<f8", "<i2", "<i8", "|b1", "|u1", "<c16", "<U3", "|S2", "<M8[s]")
            )
            try:
                return values.astype(kind)
            except (TypeError, ValueError, OverflowError):
                return values
    return np.full(values.shape, "\ufffd" * 5)


def held(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a zip; nothing of one that is not sound."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
            }
    except Exception:  # spoilt before
        return {}


def _extreme(rng: random.Random, dtype: np.dtype) -> object:
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(rng.choice(_REALS))
    if dtype.kind == "b":
        return rng.random() < 0.5
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return min(max(rng.choice(_WHOLES), low), high)


def _slice(rng: random.Random, data: bytes) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(begin + int(rng.expovariate(1 / 40.0)) + 1, len(data))


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = _slice(rng, other)
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[begin:end] + data[at:]


def _replaced(
    rng: random.Random, data: bytes, pattern: re.Pattern[bytes], new: Callable[[bytes], bytes]
) -> bytes:
    """One of the pattern's finds replaced: the first one after a random place, so that all have a chance."""
    at = rng.randrange(len(data) + 1)
    found = pattern.search(data, at) or pattern.search(data)
    if found is None:
        return flip(rng, data)
    return data[: found.start()] + new(found[0]) + data[found.end() :]


def _whole(data: bytes, found: re.Match[bytes]) -> bytes:
    """An element with what is in it, as far as its first end tag."""
    if found[0].endswith(b"/>") or found[0].endswith(b"</" + found[1] + b">"):
        return found[0]
    end = data.find(b"</" + found[1] + b">", found.end())
    return data[found.start() : end + len(found[1]) + 3] if end >= 0 else found[0]
