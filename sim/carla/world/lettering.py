"""Capital letters of five by seven dots, enough to write into a picture what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows from the top, five bits each, the left dot the highest.
_DOTS = {
    "A": (14, 17, 17, 31, 17, 17, 17), "C": (14, 17, 16, 16, 16, 17, 14), "D": (30, 17, 17, 17, 17, 17, 30),
    "E": (31, 16, 16, 30, 16, 16, 31), "H": (17, 17, 17, 31, 17, 17, 17), "I": (14, 4, 4, 4, 4, 4, 14),
    "K": (17, 18, 20, 24, 20, 18, 17), "L": (16, 16, 16, 16, 16, 16, 31), "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "R": (30, 17, 17, 30, 20, 18, 17), "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4), "V": (17, 17, 17, 17, 17, 10, 4), "Y": (17, 17, 10, 4, 4, 4, 4),
    "-": (0, 0, 0, 14, 0, 0, 0), " ": (0, 0, 0, 0, 0, 0, 0),
}  # fmt: skip


def letters(text: str) -> NDArray[np.uint8]:
    """Dots `(7, 6 N)`, 1 where there is ink."""
    out = np.zeros((7, 6 * len(text)), dtype=np.uint8)
    for k, letter in enumerate(text):
        for row, bits in enumerate(_DOTS.get(letter, _DOTS[" "])):
            for column in range(5):
                out[row, 6 * k + column] = bits >> (4 - column) & 1
    return out
