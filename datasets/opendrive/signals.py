"""Fixed-time programmes for the signals of a network, which files do not give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.signals import Programme
from drive.scenario import SignalState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.opendrive.roadmap import BuiltMap

GREEN, YELLOW, ALL_RED = 10.0, 3.0, 2.0
"""Seconds, those of CARLA's traffic lights."""


def signal_states(
    built: BuiltMap, signal_ids: Sequence[str], times: NDArray[np.float64], shift: float = 0.0
) -> NDArray[np.uint8]:
    """States `(S, T)` of signals at `times (T,)` in s; UNKNOWN for one without phases.

    The phases of a junction are green one after another, 10 s each, then 3 s yellow and 2 s all red. The
    first one's green begins at the time `shift`; a signal alone at its place takes turns with nobody.
    """
    row_of = {name: row for row, name in enumerate(signal_ids)}
    out = np.full((len(signal_ids), len(times)), SignalState.UNKNOWN, dtype=np.uint8)
    for phases in built.phases:
        names = [str(k) for k in range(max(len(phases), 2))]
        programme = Programme(tuple((name, GREEN) for name in names), YELLOW, ALL_RED, shift)
        for name, signals in zip(names, phases, strict=False):
            for signal in signals:
                if signal in row_of:
                    out[row_of[signal]] = programme.states(name, times)
    return out
