"""A batch of controls straight from its bytes to the vehicles.

A Traffic Manager sends one batch a tick with the control of each of its cars: tens of thousands of small
objects a second, if they are made. What is read here is msgpack as CARLA's client writes it, `[0, number,
"apply_batch", [[waits], [[[2, [actor, [throttle, steer, brake, hand brake, reverse, manual, gear]]]], ...],
ticks]]`; whatever else comes is left to the way for all messages, which also says what is wrong with it.
"""

from __future__ import annotations

import numpy as np

from drive.sim.carla.kernels.base import kernel
from drive.sim.carla.kernels.layout import CONTROL_SIZE, ID, KIND, VEHICLE
from drive.sim.kernels.compile import routine, scalar

CONTROL = 2
"""The command's index on the wire."""
NAME = tuple(b"\xabapply_batch")
MOST = 1 << 12
"""Commands of a batch that is read here."""


@scalar
def whole(data, size, at):
    """A non-negative whole number and where it ends; (0, -1) for anything else."""
    if at >= size:
        return 0, -1
    head = data[at]
    if head < 0x80:
        return np.int64(head), at + 1
    more = 1 if head == 0xCC else 2 if head == 0xCD else 4 if head == 0xCE else 0
    if more == 0 or at + more >= size:
        return 0, -1
    value = np.int64(0)
    for k in range(more):
        value = value * 256 + np.int64(data[at + 1 + k])
    return value, at + 1 + more


@scalar
def length(data, size, at):
    """An array's length and where its items begin; (0, -1) for anything else."""
    if at >= size:
        return 0, -1
    head = data[at]
    if head >= 0x90 and head < 0xA0:
        return np.int64(head) - 0x90, at + 1
    if head == 0xDC and at + 2 < size:
        return np.int64(data[at + 1]) * 256 + np.int64(data[at + 2]), at + 3
    return 0, -1


@scalar
def real(data, at):
    """The number of four bytes that stands there."""
    high = (np.uint32(data[at]) << np.uint32(24)) | (np.uint32(data[at + 1]) << np.uint32(16))
    bits = high | (np.uint32(data[at + 2]) << np.uint32(8)) | np.uint32(data[at + 3])
    return np.uint32(bits).view(np.float32)


@scalar
def put_whole(out, at, value):
    """Write a whole number as msgpack has it; returns where it ends."""
    if value < 0x80:
        out[at] = value
        return at + 1
    size, head = (1, 0xCC) if value < 0x100 else (2, 0xCD) if value < 0x10000 else (4, 0xCE)
    out[at] = head
    for k in range(size):
        out[at + 1 + k] = (value >> (8 * (size - 1 - k))) & 0xFF
    return at + 1 + size


@scalar
def row_with(actor, flag, count):
    """The row of a vehicle's id, -1 where there is none; ids grow with the rows."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if flag[middle, ID] < actor:
            low = middle + 1
        else:
            high = middle
    if low < count and flag[low, ID] == actor and flag[low, KIND] == VEHICLE:
        return low
    return -1


@routine
def command(data, size, at, values, j):
    """One command into `values[j]`: the actor and where the command ends; (0, -1) for another one."""
    if at + 4 > size or data[at] != 0x91 or data[at + 1] != 0x92 or data[at + 2] != CONTROL:
        return 0, -1
    if data[at + 3] != 0x92:
        return 0, -1
    actor, at = whole(data, size, at + 4)
    if at < 0 or at + 20 > size or data[at] != 0x90 + CONTROL_SIZE:
        return 0, -1
    at += 1
    for k in range(3):
        if data[at] != 0xCA:
            return 0, -1
        values[j, k] = real(data, at + 1)
        if not np.isfinite(values[j, k]):
            return 0, -1
        at += 5
    for k in range(3, 6):
        if data[at] != 0xC2 and data[at] != 0xC3:
            return 0, -1
        values[j, k] = 1.0 if data[at] == 0xC3 else 0.0
        at += 1
    gear = data[at]
    if gear >= 0x80 and gear < 0xE0:
        return 0, -1
    values[j, 6] = float(gear) if gear < 0x80 else float(gear) - 256.0
    return actor, at + 1


@kernel
def read_controls(count, flag, control, low, high, rows, values, out, data, size):
    """Apply a batch of controls, the first `size` bytes of `data`, to all of its vehicles, or to none.

    Returns the length of the answer in `out`, 0 where the batch is left to others. Scratch: `rows (M,)` and
    `values (M, 7)`.
    """
    if size < 20 or data[0] != 0x94 or data[1] != 0:
        return 0
    number, at = whole(data, size, 2)
    if at < 0 or at + len(NAME) + 3 > size:
        return 0
    for k in range(len(NAME)):
        if data[at + k] != NAME[k]:
            return 0
    at += len(NAME)
    if data[at] != 0x93 or data[at + 1] != 0x91 or (data[at + 2] != 0xC2 and data[at + 2] != 0xC3):
        return 0
    many, at = length(data, size, at + 3)
    if at < 0 or many == 0 or many > len(rows):
        return 0
    out[0], out[1] = 0x94, 1
    end = put_whole(out, 2, number)
    out[end] = 0xC0
    if many < 16:
        out[end + 1] = 0x90 + many
        end += 2
    else:
        out[end + 1], out[end + 2], out[end + 3] = 0xDC, many >> 8, many & 0xFF
        end += 4
    for j in range(many):
        actor, at = command(data, size, at, values, j)
        if at < 0:
            return 0
        rows[j] = row_with(actor, flag, count)
        if rows[j] < 0:
            return 0
        out[end], out[end + 1], out[end + 2] = 0x91, 0x92, 1
        end = put_whole(out, end + 3, actor)
    # The last parameter asks for a tick, which is not done here; and nothing may follow.
    if at + 1 != size or data[at] != 0xC2:
        return 0
    for j in range(many):
        for k in range(CONTROL_SIZE):
            control[rows[j], k] = min(max(values[j, k], low[k]), high[k])
    return end
