"""Batches on their way to the device; for a GPU the next one is fetched while this one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from drive.nn._torch import torch

Tensor = Any
Batches = Callable[[int], Mapping[str, Any]]


class Feed:
    """`feed(step)` is the batch of that step on the device. `batches` must be a pure function of the step."""

    def __init__(self, batches: Batches, device: Any, last: int | None = None) -> None:
        self.batches, self.device, self.last = batches, device, last
        self.ahead = device.type == "cuda"
        self.pool = ThreadPoolExecutor(1, "drive-feed") if self.ahead else None
        self.coming: tuple[int, Future[dict[str, Tensor]]] | None = None

    def __call__(self, step: int) -> dict[str, Tensor]:
        if self.pool is None:
            return self._fetch(step)
        coming, self.coming = self.coming, None
        found = coming[1].result() if coming is not None and coming[0] == step else self._fetch(step)
        if self.last is None or step + 1 < self.last:
            self.coming = (step + 1, self.pool.submit(self._fetch, step + 1))
        return {name: value.to(self.device, non_blocking=True) for name, value in found.items()}

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, step: int) -> dict[str, Tensor]:
        found = {name: _tensor(value) for name, value in self.batches(step).items()}
        if self.ahead:  # from pinned memory the copy need not be waited for
            return {n: t.pin_memory() if t.device.type == "cpu" else t for n, t in found.items()}
        return found


def to_device(batch: Mapping[str, Any], device: Any) -> dict[str, Tensor]:
    """Arrays and tensors by name as tensors on the device."""
    return {name: _tensor(value).to(device) for name, value in batch.items()}


def _tensor(value: Any) -> Tensor:
    if isinstance(value, torch.Tensor):
        return value
    array = np.ascontiguousarray(value)
    # A tensor on memory that must not be written (a mapped file) would be undefined behaviour.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


__all__ = ["Batches", "Feed", "to_device"]
