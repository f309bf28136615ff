"""Named tensors in a safetensors file: written whole or not at all, read with care, never a pickle.

The format: 8 bytes with the header's length, a JSON header of names, kinds, shapes and places, then the bytes
(github.com/huggingface/safetensors, its README).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drive.errors import InputError, MissingExtraError
from drive.files import write_whole
from drive.nn._torch import torch

try:
    import safetensors.torch as safe
    from safetensors import SafetensorError
except ModuleNotFoundError as error:
    raise MissingExtraError("safetensors", "learn") from error

Tensor = Any
MAX_BYTES, MAX_HEADER = 1 << 31, 1 << 22


def write_tensors(path: Path, tensors: Mapping[str, Tensor], lasting: bool = False) -> str:
    """Write the tensors of any device; equal tensors make equal bytes. Returns the SHA-256 of the file."""
    # Clones, because two names may share one storage, which the format has no word for.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data = safe.save(plain)
    write_whole(path, data, lasting)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, limit: int = MAX_BYTES) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file, on the CPU, and the file's SHA-256; nothing larger than `limit` bytes is read.

    Raises InputError with one line for what is missing, larger, truncated, a pickle or another kind of file.
    """
    try:
        with open(path, "rb") as file:
            # As much as there is: memory for the limit itself is not set aside.
            data = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise InputError(f"'{path}' is larger than the {limit >> 20} MiB that are read of such a file")
    _check_head(path, data)
    try:
        return safe.load(data), hashlib.sha256(data).hexdigest()
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        why = " ".join(str(error).split())[:120]
        raise InputError(f"'{path}' is truncated, or no safetensors file: {why}") from None


def _check_head(path: Path, data: bytes) -> None:
    if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[1:2] in b"\x02\x03\x04\x05"):
        raise InputError(f"'{path}' is a pickle (as torch.save writes), which is never read")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or data[8:9] != b"{":
        raise InputError(f"'{path}' is no safetensors file")
    if length > MAX_HEADER:
        raise InputError(f"'{path}' is no safetensors file of ours: a header of {length} bytes")
    if length > len(data) - 8:
        raise InputError(f"'{path}' is truncated: it ends inside its header")


def finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first name whose tensor is not finite, if any."""
    for name, value in tensors.items():
        if value.dtype.is_floating_point and not bool(torch.isfinite(value).all()):
            return name
    return None


__all__ = ["MAX_BYTES", "MAX_HEADER", "finite", "read_tensors", "write_tensors"]
