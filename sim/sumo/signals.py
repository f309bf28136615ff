"""What SUMO's signals show, in our states."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.scenario import SignalState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LETTERS = {
    "G": SignalState.GREEN,
    "g": SignalState.GREEN,
    "y": SignalState.YELLOW,
    "Y": SignalState.YELLOW,
    "r": SignalState.RED,
    "R": SignalState.RED,
    "u": SignalState.RED,  # red and yellow: it announces green, and must not be passed
}
"""Other letters are off ("o", "O") or an arrow that may be passed after a stop ("s"): no state of ours."""


def split_signal(name: str) -> tuple[str, int]:
    """Program and link of a signal's id in the map, `PROGRAM:LINK`."""
    program, _, link = name.rpartition(":")
    return program, int(link)


def signals_of(letters: Mapping[str, str], links: Sequence[tuple[str, int]]) -> NDArray[np.uint8]:
    """States `(S,)` of links from what their programs show, a letter a link."""
    shown = ((letters.get(program, ""), k) for program, k in links)
    return np.array(
        [
            LETTERS.get(text[k], SignalState.UNKNOWN) if 0 <= k < len(text) else SignalState.UNKNOWN
            for text, k in shown
        ],
        dtype=np.uint8,
    )
