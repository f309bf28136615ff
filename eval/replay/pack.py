"""Packs arrays into one small text for a page, and says how to read them again.

Numbers are rounded to a stated step and stored as differences (of the order that the caller picks,
along the last axis), folded to unsigned integers and written plane by plane, the low bytes first:
smooth motion then deflates to a few bits a value. `decode.js` is the inverse.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LIMIT = 2**62


class Packer:
    """Collects named arrays; `finish` gives what goes into the page."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._specs: dict[str, list[Any]] = {}

    def steps(self, name: str, values: ArrayLike, step: float, order: int = 2) -> None:
        """Finite numbers, rounded to multiples of `step`; errors are at most half a step."""
        whole = np.rint(np.asarray(values, dtype=np.float64) / step)
        d = np.clip(whole, -LIMIT, LIMIT).astype(np.int64)
        if d.shape and d.shape[-1]:
            for _ in range(order):
                d = np.diff(d, axis=-1, prepend=0)
        folded = ((d << 1) ^ (d >> 63)).astype(np.uint64)
        largest = int(folded.max()) if folded.size else 0
        width = next((w for w in (1, 2, 4) if largest < 1 << (8 * w)), 0)
        if not width:  # too wide for whole steps: keep what single precision can hold
            return self.floats(name, values)
        self._add(name, "i", d.shape, folded.astype(f"<u{width}"), width, step, order)

    def floats(self, name: str, values: ArrayLike) -> None:
        """Single precision; may hold what is not finite."""
        with np.errstate(over="ignore"):
            self._add(name, "f", np.shape(values), np.asarray(values, dtype="<f4"), 4)

    def bytes(self, name: str, values: ArrayLike) -> None:
        """Small codes 0..255."""
        self._add(name, "u", np.shape(values), np.asarray(values, dtype=np.uint8), 1)

    def _add(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        values: NDArray[Any],
        width: int,
        step: float = 1.0,
        order: int = 0,
    ) -> None:
        flat = np.ascontiguousarray(values).reshape(-1)
        planes = flat.view(np.uint8).reshape(-1, width).T.tobytes()
        self._specs[name] = [kind, list(shape), width, step, order, self._size]
        self._chunks.append(planes)
        self._size += len(planes)

    def finish(self, compress: bool = True) -> dict[str, Any]:
        """`encoding`, `blob` (base64) and `arrays`: name -> kind, shape, width, step, order, offset."""
        blob = b"".join(self._chunks)
        if compress:
            deflate = zlib.compressobj(6, zlib.DEFLATED, -15)  # 9 takes five times as long for 0.6 % less
            blob = deflate.compress(blob) + deflate.flush()
        return {
            "encoding": "deflate-raw" if compress else "raw",
            "blob": base64.b64encode(blob).decode("ascii"),
            "arrays": self._specs,
        }


def filled(values: ArrayLike, valid: ArrayLike) -> NDArray[np.float64]:
    """`values (..., T)` with gaps held at the last valid value (before the first: at the first), 0 if none.

    A held value costs nothing once differences are taken.
    """
    v, ok = np.broadcast_arrays(np.asarray(values, dtype=np.float64), np.asarray(valid, dtype=np.bool_))
    if v.shape[-1] == 0:
        return v.copy()
    ok = ok & np.isfinite(v)
    last = np.maximum.accumulate(np.where(ok, np.arange(v.shape[-1]), -1), axis=-1)
    source = np.where(last < 0, np.argmax(ok, axis=-1)[..., None], last)
    return np.where(ok.any(axis=-1)[..., None], np.take_along_axis(v, source, axis=-1), 0.0)
