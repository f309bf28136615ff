"""The one door to torch: whoever lacks it is told in one line what brings it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from drive.errors import MissingExtraError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError:
    raise MissingExtraError("torch", "learn") from None


@lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: Any, dtype: Any) -> Tensor:
    """A few numbers as a tensor that nobody may change, made once: to make one there waits for the device."""
    # What is made in inference mode could not be used in training later.
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=torch.float64).to(device=device, dtype=dtype)


__all__ = ["Tensor", "constant", "functional", "nn", "torch"]
