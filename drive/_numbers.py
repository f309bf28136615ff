"""What is asked of numbers that other people hand us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def is_finite(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "fiub" and bool(np.isfinite(values).all())
