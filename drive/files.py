"""Files written whole or not at all, and zips of plain arrays that any program may hand us."""

from __future__ import annotations

import io
import json
import math
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 1 << 31
MAX_ENTRIES = 10_000
BROKEN_ARRAY = (
    *(OSError, EOFError, ValueError, TypeError),
    *(MemoryError, OverflowError, SyntaxError, tokenize.TokenError),
)
"""What NumPy raises for an array's file whose header is damaged: it reads it as Python would."""
KINDS = "biufUS"
"""Truth values, whole numbers, real numbers and texts: no complex numbers, dates or records."""


def file_stem(name: str) -> str:
    """A name as part of a file's name: what is no letter, digit or one of `_.@-` becomes `_`."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", name)


def parse_json(text: str | bytes) -> Any:
    """What JSON from an unknown hand holds. Raises ValueError for what is none, and for endless nesting."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_whole(path: Path, content: str | bytes, lasting: bool = False) -> Path:
    """Write a file so that a kill never leaves half of it under its name.

    `lasting` waits until it lies on the disk: what is replaced or deleted next is not needed any more, even
    if the machine itself stops.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def locked(file: IO[Any], wait: bool = False) -> bool:
    """Take an open file for this process until it is closed, however that ends: False where another one has
    it, unless one is to `wait` for that. Where the system has no such locks all are let in."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write a zip of arrays; equal arrays make equal bytes, and a kill never leaves half a file.

    Raises InputError for an array of objects, which only a pickle could hold.
    """
    for name, values in arrays.items():
        if values.dtype.hasobject:
            raise InputError(f"'{name}' holds objects, not plain numbers or text")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            for name, values in arrays.items():
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, np.asarray(values, order="C"), allow_pickle=False)
                # A fixed date and mode keep equal runs equal byte for byte.
                entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, 4)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_npz(path: Path, limit: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """All arrays of a zip, by name. Nothing is unpacked that would need more than `limit` bytes in all.

    Raises FileNotFoundError, and InputError with the reason for what is no zip of arrays, damaged, larger,
    of a shape that its bytes do not fill, or would need a pickle.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if len(entries) > MAX_ENTRIES or total > limit:
                raise InputError(f"{len(entries)} entries of {total >> 20} MiB are more than a file may hold")
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}
    except FileNotFoundError:
        raise
    except (
        *(*BROKEN_ARRAY, KeyError, NotImplementedError, RuntimeError),
        *(zipfile.BadZipFile, zlib.error, struct.error),
    ) as error:
        raise InputError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    # No more is unpacked than the entry declares, and that sum is bounded.
    data = io.BytesIO(archive.read(entry))
    version = np.lib.format.read_magic(data)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"'{entry.filename}' has the unknown array format {version[0]}.{version[1]}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(data)
    if dtype.hasobject:
        raise InputError(f"'{entry.filename}' needs a pickle, which is never read")
    if dtype.kind not in KINDS:
        raise InputError(f"'{entry.filename}' is of type {dtype}, which no file of ours holds")
    # Before anything of that shape is made.
    if math.prod(shape) * dtype.itemsize != entry.file_size - data.tell():
        raise InputError(f"'{entry.filename}' does not fill its shape {shape}")
    data.seek(0)
    values: NDArray[Any] = np.lib.format.read_array(data, allow_pickle=False)
    return values
