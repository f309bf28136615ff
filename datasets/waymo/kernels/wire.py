"""Protobuf's wire format (public documentation, "Encoding"): tags, varints, fixed and delimited values.

Every read is checked against the end of its message: records may be damaged or hostile.
"""

from __future__ import annotations

import numpy as np

from drive.datasets.waymo.kernels.compile import kernel
from drive.sim.kernels.compile import scalar

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
NUMBER, TYPE, FIRST, LAST = range(4)
"""Columns of a field: its number, wire type, and its value (varints) or where its bytes begin and end."""


@scalar
def read_varint(data, at, end):
    """The varint at `at` as a signed number, and where it ends; -1 instead where it does not end in time."""
    value, shift = np.uint64(0), 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= np.uint64(byte & 127) << np.uint64(min(shift, 63))
        if byte < 128:
            return np.int64(value), at
        shift += 7
    return np.int64(0), -1


@scalar
def read_field(data, at, end):
    """(number, type, first, last, where the next field begins) of the field at `at`; -1 if it is damaged."""
    tag, at = read_varint(data, at, end)
    number, kind = tag >> 3, tag & 7
    if at < 0 or number < 1:
        return number, kind, np.int64(0), np.int64(0), -1
    if kind == VARINT:
        value, at = read_varint(data, at, end)
        return number, kind, value, np.int64(0), at
    size = np.int64(8) if kind == FIXED64 else np.int64(4)
    if kind == DELIMITED:
        size, at = read_varint(data, at, end)
        if at < 0:
            return number, kind, np.int64(0), np.int64(0), -1
    elif kind not in (FIXED64, FIXED32):
        return number, kind, np.int64(0), np.int64(0), -1
    if size < 0 or size > end - at:
        return number, kind, np.int64(0), np.int64(0), -1
    return number, kind, np.int64(at), at + size, at + size


@kernel
def split(data, start, end, out):
    """The fields of the message `data[start:end]` into the rows of `out (N, 4)`, as far as it reaches.

    Returns how many fields there are, or -1 where the message is damaged.
    """
    at, count = start, 0
    while at < end:
        number, kind, first, last, at = read_field(data, at, end)
        if at < 0:
            return -1
        if count < len(out):
            out[count, NUMBER], out[count, TYPE] = number, kind
            out[count, FIRST], out[count, LAST] = first, last
        count += 1
    return count


@kernel
def flatten(data, starts, ends, out, word, as_double, as_float):
    """Numbers of many small messages: field f of message m into `out[m, f]`, others are passed over.

    `word (8,)` are bytes that `as_double (1,)` and `as_float (2,)` view. Returns the first damaged message,
    or -1.
    """
    for m in range(len(starts)):
        at = starts[m]
        while at < ends[m]:
            number, kind, first, last, at = read_field(data, at, ends[m])
            if at < 0:
                return m
            if number >= out.shape[1]:
                continue
            if kind == VARINT:
                out[m, number] = first
            elif kind in (FIXED64, FIXED32):
                for k in range(last - first):
                    word[k] = data[first + k]
                out[m, number] = as_double[0] if kind == FIXED64 else as_float[0]
    return -1


@kernel
def varints(data, start, end, out):
    """The packed varints of `data[start:end]` into `out`, as far as it reaches; their count, or -1."""
    at, count = start, 0
    while at < end:
        value, at = read_varint(data, at, end)
        if at < 0:
            return -1
        if count < len(out):
            out[count] = value
        count += 1
    return count
