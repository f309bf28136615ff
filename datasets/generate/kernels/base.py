"""What the drivers' kernels share: how they are compiled, the columns of their tables, car following.

Only operations that IEEE 754 rounds exactly (+ - * / sqrt) and no fast mathematics: the same numbers
give the same drive on every machine.

Models: IDM (Treiber, Hennecke, Helbing 2000) with the constant-acceleration heuristic (Kesting, Treiber,
Helbing 2010, eqs. 4-6; its tanh replaced by x / (1 + |x|)).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba.core import config

from drive.sim.kernels.compile import cache_folder, source_digest

if TYPE_CHECKING:
    from collections.abc import Callable

# Columns of the drivers' parameters.
(
    FACTOR, HEADWAY, ACCEL, BRAKE, GAP, LATERAL, DELAY, JERK, POLITE, COOPERATE, CHANGE_TIME, CRITICAL,
    LENGTH, WIDTH, REAR, MOBIL, NUM_PARAMS,
) = range(17)  # fmt: skip
VEHICLE, WALKER, PARKED, HIDDEN = 0, 1, 2, 3
# Columns of a task, a speed order, a gate, a conflict zone and a stretch that is driven slowly.
T_LANE, T_BIAS, T_FROM, T_BY, T_LENGTH, T_TIME, T_BEHIND, T_GAP, NUM_TASK = range(9)
O_BEGIN, O_END, O_SPEED, O_BRAKE, NUM_ORDER = range(5)
G_FRAME, G_STATION, G_SIGNAL, G_ZONE0, G_ZONE1, G_OCCUPIED, NUM_GATE = range(7)
Z_FRAME, Z_IN, Z_OUT, Z_CLEAR, NUM_ZONE = range(5)
S_BEGIN, S_END, S_SPEED, NUM_SLOW = range(4)
MAX_MOVES = 6
COOLNESS = 0.95
SIDE = 0.2
FAR = 1e9


def exact(function: Callable[..., Any]) -> Any:
    """Compile without fast mathematics; the machine code's folder is named by the sources of this folder."""
    return _compiled(function)


def part(function: Callable[..., Any]) -> Any:
    """As `exact`, but put in place of its calls: those in a loop would pass arrays by value each time."""
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    folder = cache_folder() / f"generate-{source_digest(Path(__file__).parent)}"
    folder.mkdir(parents=True, exist_ok=True)
    settings: Any = config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        settings.CACHE_DIR = before


@part
def step5(u):  # type: ignore[no-untyped-def]
    if u <= 0.0:
        return 0.0
    if u >= 1.0:
        return 1.0
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


@part
def lookup(table, start, n, x):  # type: ignore[no-untyped-def]
    """Linear interpolation of `table[start:start + n]` at grid position x, held constant beyond its ends."""
    if x <= 0.0:
        return table[start]
    if x >= n - 1:
        return table[start + n - 1]
    k = int(x)
    return table[start + k] + (x - k) * (table[start + k + 1] - table[start + k])


@part
def follow(v, v_lead, a_lead, gap, p):  # type: ignore[no-untyped-def]
    """IDM's interaction term and the acceleration of the constant-acceleration heuristic."""
    g = max(gap, 0.2)
    desired = p[GAP] + max(0.0, v * p[HEADWAY] + v * (v - v_lead) / (2.0 * np.sqrt(p[ACCEL] * p[BRAKE])))
    ratio = desired / g
    a_l = min(a_lead, p[ACCEL])
    if v_lead > 0.1 and v_lead * (v - v_lead) <= -2.0 * g * a_l:
        cah = v * v * a_l / (v_lead * v_lead - 2.0 * g * a_l)
    else:
        closing = max(v - v_lead, 0.0)
        cah = a_l - closing * closing / (2.0 * g)
    return p[ACCEL] * ratio * ratio, cah


@part
def car_following(v, v0, v_lead, a_lead, gap, p):  # type: ignore[no-untyped-def]
    """Acceleration behind a leader (a very large gap: none), IDM with the heuristic's coolness."""
    x = v / max(v0, 0.1)
    free = p[ACCEL] * (1.0 - x * x * x * x)
    if free < -p[BRAKE]:
        free = -p[BRAKE]
    if gap > 0.5 * FAR:
        return free
    interaction, cah = follow(v, v_lead, a_lead, gap, p)
    idm = free - interaction
    if idm >= cah:
        return idm
    z = (idm - cah) / p[BRAKE]
    return (1.0 - COOLNESS) * idm + COOLNESS * (cah + p[BRAKE] * z / (1.0 - z))


@part
def target_offset(k, s, lanes, bias, lane_start, lane_offset, step, n):  # type: ignore[no-untyped-def]
    return lookup(lane_offset, lane_start[lanes[k]], n, s / step) + bias[k]


@part
def offset_at(s, moves, begin, length, lanes, bias, lane_start, lane_offset, step, n):  # type: ignore[no-untyped-def]
    """Lateral offset at station s: the first lane's, and a quintic step for each move since."""
    d = target_offset(0, s, lanes, bias, lane_start, lane_offset, step, n)
    before = d
    for k in range(moves):
        after = target_offset(k + 1, s, lanes, bias, lane_start, lane_offset, step, n)
        d += step5((s - begin[k]) / length[k]) * (after - before)
        before = after
    return d


@exact
def speed_caps(curvature, start, n, step, lateral, brake, accel, slows, count, out):  # type: ignore[no-untyped-def]
    """Largest speed (m/s) at each sample of a lane that keeps its bends comfortable.

    Reached by gentle braking, and left by as gentle an acceleration. The first `count` rows of `slows`
    are stretches that the driver takes slowly of its own accord.
    """
    for k in range(n):
        out[k] = np.sqrt(lateral / max(abs(curvature[start + k]), 1e-5))
    for m in range(count):
        first, last = int(slows[m, S_BEGIN] / step), int(slows[m, S_END] / step) + 1
        for k in range(max(first, 0), min(last + 1, n)):
            out[k] = min(out[k], slows[m, S_SPEED])
    for k in range(n - 2, -1, -1):
        out[k] = min(out[k], np.sqrt(out[k + 1] * out[k + 1] + 2.0 * brake * step))
    for k in range(1, n):
        out[k] = min(out[k], np.sqrt(out[k - 1] * out[k - 1] + 2.0 * accel * step))
