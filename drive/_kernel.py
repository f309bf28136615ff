"""Compiled loops of this room; those of the simulator have their own door, `sim/kernels/compile.py`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numba

from drive.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def kernels_at(name: str, *sources: Path, **settings: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles a function at its first call, without the GIL, and keeps the machine code.

    Numba's own cache looks only at the file of the outer function, so the folder is named by `name` and by
    the digest of all `sources`. Infinite numbers and NaN stay what they are. `settings` are Numba's own.
    """
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in sources:
        digest.update(path.read_bytes())

    def decorate(function: Callable[..., Any]) -> Any:
        config: Any = numba.config
        before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder("kernels", name, digest.hexdigest()))
        options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
        try:
            # No products contracted into sums: what is left over after whole vectors would round otherwise.
            return numba.njit(**options, fastmath={"nsz"}, **settings)(function)
        finally:
            config.CACHE_DIR = before

    return decorate
