"""TFRecord files: records one after another, each with its length and masked CRC-32C checksums.

A record is a uint64 length, a uint32 checksum of these eight bytes, the data, and a uint32 checksum of the
data, little-endian; a checksum c is stored as rotate_right(c, 15) + 0xa282ead8 (TensorFlow's public
documentation, "TFRecord and tf.train.Example", section "TFRecords format details").
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.waymo.kernels.crc import TABLE, crc32c
from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD, CHECK = struct.Struct("<QI"), struct.Struct("<I")
MAX_RECORD = 1 << 30


def masked_crc(data: bytes) -> int:
    """The checksum of some bytes as TFRecord files store it."""
    crc = int(crc32c(np.frombuffer(data, dtype=np.uint8), TABLE))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def starts_as_record(path: Path) -> bool:
    """Whether a file begins with a record's length and its checksum."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD.size)
    except OSError:
        return False
    return len(head) == HEAD.size and masked_crc(head[:8]) == HEAD.unpack(head)[1]


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """(where it begins, data) of each record of a file, one at a time.

    Raises InputError naming the file and the record that is truncated, damaged, or larger than 1 GiB.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            at, number = 0, 0
            while at < size:
                data = _record(file.read(HEAD.size), file.read, size - at, f"{path.name}: record {number}")
                yield at, data
                at, number = at + HEAD.size + len(data) + CHECK.size, number + 1
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None


def read_record(path: Path, at: int) -> NDArray[np.uint8]:
    """The data of the record that begins at byte `at`; raises InputError as `read_records` does."""
    try:
        with path.open("rb") as file:
            file.seek(at)
            name = f"{path.name}: the record at byte {at}"
            return np.frombuffer(
                _record(file.read(HEAD.size), file.read, path.stat().st_size - at, name), dtype=np.uint8
            )
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None


def _record(head: bytes, read: Callable[[int], bytes], left: int, name: str) -> bytes:
    if len(head) < HEAD.size:
        raise InputError(f"{name} is truncated")
    length, check = HEAD.unpack(head)
    if masked_crc(head[:8]) != check:
        raise InputError(f"{name}: the checksum of its length is wrong: no TFRecord file, or damaged")
    if length > MAX_RECORD:
        raise InputError(f"{name} holds {length >> 20} MiB, more than is read")
    if length + HEAD.size + CHECK.size > left:
        raise InputError(f"{name} is truncated")
    data = read(length)
    tail = read(CHECK.size)
    if len(data) < length or len(tail) < CHECK.size:
        raise InputError(f"{name} is truncated")
    if masked_crc(data) != CHECK.unpack(tail)[0]:
        raise InputError(f"{name}: its checksum is wrong: the file is damaged")
    return data
