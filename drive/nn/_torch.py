"""The one door to torch: whoever lacks it is told in one line what brings it."""

from __future__ import annotations

from drive.errors import MissingExtraError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError:
    raise MissingExtraError("torch", "learn") from None

__all__ = ["Tensor", "functional", "nn", "torch"]
