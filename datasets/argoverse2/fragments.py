"""Joins the pieces of one road user's track: the motion forecasting tables often give it several ids in turn.

Left apart, a car ahead vanishes and another one appears in its place, and where the first one is driven by a
traffic model they come to stand in each other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import wrap_angle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Tracks

    Floats = NDArray[np.float64]

MAX_GAP = 5
"""Samples from the last one of a piece to the first one of the next, at most."""
MAX_OVERLAP = 5
NEAR = 1.0
"""Metres between the pieces where they meet, the way at constant velocity between them taken off."""
MAX_TURN = np.pi / 6.0


def join_fragments(tracks: Tracks, dt: float) -> tuple[Tracks, list[tuple[str, str]]]:
    """The tracks with pieces joined, and the pairs (piece that is gone, the piece before it).

    Two pieces of one kind are joined where the second begins within 0.5 s of the first one's end, at the
    place and with the heading that it has or would have come to; a second that could go on from several is
    the nearest one's. Samples missing between them are filled in linearly. Both last longer than one sample.
    """
    seen = tracks.valid.any(1)
    first = np.argmax(tracks.valid, axis=1)
    last = tracks.num_steps - 1 - np.argmax(tracks.valid[:, ::-1], axis=1)
    long = seen & (last > first)
    options: list[tuple[float, int, int]] = []
    for a in np.flatnonzero(long & (last < tracks.num_steps - 1)).tolist():
        gap = first - last[a]
        fits = long & (gap >= -MAX_OVERLAP) & (gap <= MAX_GAP) & (last > last[a]) & (first > first[a])
        for b in np.flatnonzero(fits & (tracks.kind == tracks.kind[a])).tolist():
            off = _off(tracks, a, b, int(first[b]), int(last[a]), dt)
            if off is not None:
                options.append((off, a, b))
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for _, a, b in sorted(options):
        if a not in after and b not in before:
            after[a], before[b] = b, a
    states, valid = tracks.states.copy(), tracks.valid.copy()
    joined: list[tuple[str, str]] = []
    for head in sorted(set(after) - set(before)):
        piece = head
        while piece in after:
            follower = after[piece]
            joined.append((tracks.ids[follower], tracks.ids[piece]))
            _append(states, valid, head, follower)
            piece = follower
    kept = np.asarray([i not in before for i in range(tracks.num_agents)])
    whole = replace(tracks, states=states, valid=valid)
    return whole.select(np.flatnonzero(kept)), joined


def _off(tracks: Tracks, a: int, b: int, begin: int, end: int, dt: float) -> float | None:
    """Metres between two pieces where they meet, None where they cannot be one road user."""
    k = min(begin, end)
    if not tracks.valid[a, k]:
        return None
    one, two = tracks.states[a, k], tracks.states[b, begin]
    away = max(begin - end, 0) * dt
    off = float(np.hypot(*(one[:2] + away * one[3:] - two[:2])))
    turned = abs(float(wrap_angle(one[2] - two[2])))
    return off if off < NEAR and turned < MAX_TURN else None


def _append(states: Floats, valid: NDArray[np.bool_], head: int, follower: int) -> None:
    """Copy a piece's samples into the row of the piece before it, and fill what lies between."""
    end = int(np.flatnonzero(valid[head])[-1])
    steps = np.flatnonzero(valid[follower])
    steps = steps[steps > end]
    begin = int(steps[0])
    states[head, steps] = states[follower, steps]
    valid[head, steps] = True
    for k in range(end + 1, begin):
        w = (k - end) / (begin - end)
        turn = float(wrap_angle(states[head, begin, 2] - states[head, end, 2]))
        states[head, k] = (1.0 - w) * states[head, end] + w * states[head, begin]
        states[head, k, 2] = wrap_angle(states[head, end, 2] + w * turn)
        valid[head, k] = True
