"""Score rolled-out candidates: collisions with fault, drivable area, direction, progress, time to
collision, comfort.

Rules after nuPlan's closed-loop metrics as PDM-Closed and NAVSIM compute them on candidates. Sources:
tuplan_garage, scoring/pdm_scorer.py and pdm_scorer_utils.py; nuPlan devkit, observation/idm/utils.py.
Candidates are independent of each other; progress is normalised afterwards (`pdm_score`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, boxes_apart
from drive.sim.kernels.score_area import (
    INTERSECTION,
    ON_ROUTE,
    box_in_area,
    in_multiple_lanes,
    lane_with,
    project,
)
from drive.sim.kernels.score_comfort import candidate_comfort
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drive.vehicle import VehicleParams

NO_COLLISION, DRIVABLE, DIRECTION, PROGRESS, TTC, COMFORT, COLLISION_TIME, TTC_TIME = range(8)
SCORE_NAMES = (
    "no_at_fault_collision",
    "drivable_area",
    "driving_direction",
    "progress",
    "time_to_collision",
    "comfort",
    "collision_time",
    "ttc_time",
)
"""Columns of a score: five in [0, 1], the progress in m, two times in s that are infinite without a fault."""
SCORE_SIZE = len(SCORE_NAMES)
WORD = 32
"""Agents are padded to a multiple of this many."""
FAR = 1e6
TTC_STEPS, TTC_STRIDE = 4, 3
"""A candidate's box is projected to 0, 3, 6 and 9 steps ahead."""
FORECAST_EXTRA = TTC_STRIDE * (TTC_STEPS - 1)
STOPPED_SPEED, TTC_STOPPED_SPEED = F(0.05), F(0.005)
COS_AHEAD, COS_BEHIND = F(math.cos(math.pi / 6.0)), F(math.cos(5.0 * math.pi / 6.0))
DIRECTION_GOOD, DIRECTION_FAIR = F(2.0), F(6.0)
INFINITE = F(np.inf)


class Agents(NamedTuple):
    """Where the others are while candidates are scored; A is a multiple of `WORD`.

    `track (5, K, A)`: x, y, cosine and sine of the heading, speed of box centres at K >= T +
    FORECAST_EXTRA steps, absent ones at `FAR`; `extent (3, A)`: half length, half width, radius;
    `penalty (A,)`: the collision score of a contact at fault; `skip (A,)`: 1 for those to leave out.
    """

    track: NDArray[np.float32]
    extent: NDArray[np.float32]
    penalty: NDArray[np.float32]
    skip: NDArray[np.uint8]


class Rules(NamedTuple):
    """What differs between PDM-Closed and NAVSIM. Steps are samples of the candidates.

    `direction_window` steps over which the distance driven off the route is summed, 0 for each whole
    stretch; `ttc_last` the last step at which the time to collision is looked at; `allowed` the bits
    of lanes on which driving is in direction; `lateral` see `candidate_comfort`; `dt` in s.
    """

    direction_window: int = 0
    ttc_last: int = 40
    allowed: int = ON_ROUTE | INTERSECTION
    lateral: np.float32 = ZERO
    dt: np.float32 = F(0.1)


PDM_RULES = Rules()
NAVSIM_RULES = Rules(direction_window=10, ttc_last=31)


class Scratch(NamedTuple):
    """Buffers of one worker for candidates of T samples and W words of agents."""

    rows: NDArray[np.float32]
    places: NDArray[np.float32]
    off_road: NDArray[np.uint8]
    astray: NDArray[np.float32]
    ignored: NDArray[np.uint32]

    @classmethod
    def make(cls, samples: int, agents: int) -> Scratch:
        return cls(
            np.empty((4, samples), dtype=np.float32),
            np.empty((4, samples), dtype=np.float32),
            np.empty(samples, dtype=np.uint8),
            np.empty(samples, dtype=np.float32),
            np.empty((2, max(agents // WORD, 1)), dtype=np.uint32),
        )


def pack_agents(
    states: ArrayLike, valid: ArrayLike, size: ArrayLike, kind: ArrayLike, origin: ArrayLike = (0.0, 0.0)
) -> Agents:
    """Agents from tracks or forecasts: `states (A, K, 5)` in TRACK_COLUMNS, `valid (A, K)`, `size (A, 3)`.

    Static objects cost half a collision, all others a whole one. Positions become relative to `origin`.
    """
    s, v = np.asarray(states, dtype=np.float64), np.asarray(valid, dtype=np.bool_)
    count, samples = v.shape
    padded = max(-(-count // WORD) * WORD, WORD)
    track = np.zeros((5, samples, padded), dtype=np.float32)
    track[:2] = FAR
    track[2] = 1.0
    xy = np.where(v[..., None], s[..., :2] - np.asarray(origin), FAR)
    track[0, :, :count], track[1, :, :count] = xy[..., 0].T, xy[..., 1].T
    track[2, :, :count], track[3, :, :count] = np.cos(s[..., 2]).T, np.sin(s[..., 2]).T
    track[4, :, :count] = np.hypot(s[..., 3], s[..., 4]).T
    half = 0.5 * np.asarray(size, dtype=np.float64).reshape(-1, 3)[:, :2]
    extent = np.zeros((3, padded), dtype=np.float32)
    extent[0, :count], extent[1, :count] = half[:, 0], half[:, 1]
    extent[2, :count] = np.hypot(half[:, 0], half[:, 1])
    penalty = np.zeros(padded, dtype=np.float32)
    penalty[:count] = np.where(np.asarray(kind) == AgentKind.STATIC, 0.5, 0.0)
    return Agents(track, extent, penalty, np.zeros(padded, dtype=np.uint8))


def ego_box(vehicle: VehicleParams) -> NDArray[np.float32]:
    """`(4,)`: half length, half width, rear axle to centre, radius."""
    length, width = 0.5 * vehicle.length, 0.5 * vehicle.width
    return np.array([length, width, vehicle.rear_axle_to_center, math.hypot(length, width)], dtype=np.float32)


_POWERS = np.exp2(np.arange(16)).astype(np.float32)


@scalar
def near_word(track, extent, k, word, x, y, radius):
    """Bits of the 32 agents of a word whose circles meet a circle at (x, y) at step k.

    Sixteen powers of two add up exactly in float32, and such a sum, unlike shifted integers, is
    compiled to vector instructions; so are unsigned indices, which need no test for a negative one.
    """
    first, at = np.uintp(word) * np.uintp(WORD), np.uintp(k)
    low, high = ZERO, ZERO
    for i in range(16):
        bit = np.uintp(i)
        j = first + bit
        dx, dy = track[0, at, j] - x, track[1, at, j] - y
        reach = extent[2, j] + radius
        low += _POWERS[bit] if dx * dx + dy * dy <= reach * reach else ZERO
        j = j + np.uintp(16)
        dx, dy = track[0, at, j] - x, track[1, at, j] - y
        reach = extent[2, j] + radius
        high += _POWERS[bit] if dx * dx + dy * dy <= reach * reach else ZERO
    return np.uint32(np.uint32(low) | (np.uint32(high) << np.uint32(16)))


@scalar
def bearing_cosine(dx, dy, cos, sin):
    """Cosine of the angle between the heading and a direction; straight ahead where there is none."""
    length = math.sqrt(dx * dx + dy * dy)
    if length == ZERO:
        return ONE
    return (dx * cos + dy * sin) / length


@scalar
def score_places(states, b, ego, area, lanes, rules, places, off_road, astray, out):
    """Drivable area and driving direction of one candidate; marks the steps that are off the road.

    Also fills `places (4, T)`: cosine and sine of the heading and the box's centre.
    """
    samples = states.shape[1]
    drivable, hint = True, -1
    lx, ly = ZERO, ZERO
    worst, run = ZERO, ZERO
    for t in range(samples):
        heading = states[b, t, 2]
        cos, sin = math.cos(heading), math.sin(heading)
        x, y = states[b, t, 0] + ego[2] * cos, states[b, t, 1] + ego[2] * sin
        places[0, t], places[1, t], places[2, t], places[3, t] = cos, sin, x, y
        inside = box_in_area(x, y, cos, sin, ego[0], ego[1], area)
        off_road[t] = not inside
        drivable = drivable and inside
        hint = lane_with(x, y, lanes, rules.allowed, hint)
        driven = ZERO
        if hint < 0 and t > 0:
            driven = math.sqrt((x - lx) * (x - lx) + (y - ly) * (y - ly))
        astray[t] = driven
        lx, ly = x, y
        run = run + driven
        if rules.direction_window == 0:
            if hint >= 0:
                run = ZERO
        elif t >= rules.direction_window:
            run = run - astray[t - rules.direction_window]
        worst = max(worst, run)
    out[b, DRIVABLE] = ONE if drivable else ZERO
    out[b, DIRECTION] = ONE if worst < DIRECTION_GOOD else (HALF if worst < DIRECTION_FAIR else ZERO)


@scalar
def overlap(track, extent, k, j, x, y, cos, sin, half_length, half_width):
    """Whether a box meets agent j at step k."""
    dx, dy = track[0, k, j] - x, track[1, k, j] - y
    apart = boxes_apart(
        dx, dy, cos, sin, half_length, half_width, track[2, k, j], track[3, k, j], extent[0, j], extent[1, j]
    )
    return apart <= ZERO


@scalar
def score_collisions(states, b, ego, agents, lanes, rules, places, off_road, ignored, out):
    """Collisions at fault of one candidate, and the time of the first."""
    track, extent = agents.track, agents.extent
    score, when = ONE, INFINITE
    words = extent.shape[1] // WORD
    for t in range(states.shape[1]):
        speed = abs(states[b, t, 3])
        rx, ry = states[b, t, 0], states[b, t, 1]
        cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
        for word in range(words):
            bits = near_word(track, extent, t, word, x, y, ego[3]) & ~ignored[0, word]
            i = 0
            while bits != 0:
                if bits & 1:
                    j = word * WORD + i
                    if overlap(track, extent, t, j, x, y, cos, sin, ego[0], ego[1]):
                        fault = False
                        if speed > STOPPED_SPEED:
                            gx, gy = track[0, t, j] - rx, track[1, t, j] - ry
                            if track[4, t, j] <= STOPPED_SPEED:
                                fault = True
                            elif bearing_cosine(gx, gy, cos, sin) < COS_BEHIND:
                                fault = False
                            elif overlap(
                                track,
                                extent,
                                t,
                                j,
                                x + ego[0] * cos,
                                y + ego[0] * sin,
                                cos,
                                sin,
                                ZERO,
                                ego[1],
                            ):
                                fault = True
                            else:
                                fault = off_road[t] != 0 or in_multiple_lanes(
                                    x, y, cos, sin, ego[0], ego[1], lanes
                                )
                        if fault:
                            score = min(score, agents.penalty[j])
                            when = min(when, F(t) * rules.dt)
                        # Later contacts with the same agent change neither the score nor the first time.
                        ignored[0, word] = ignored[0, word] | (np.uint32(1) << np.uint32(i))
                bits = bits >> 1
                i += 1
        if score == ZERO:
            break
    out[b, NO_COLLISION] = score
    out[b, COLLISION_TIME] = when


@scalar
def score_ttc(states, b, ego, agents, lanes, rules, places, off_road, ignored, out):
    """Time to collision of one candidate: 0 at the first infraction, and its time."""
    track, extent = agents.track, agents.extent
    words = extent.shape[1] // WORD
    out[b, TTC] = ONE
    out[b, TTC_TIME] = INFINITE
    last = min(rules.ttc_last, states.shape[1] - 1)
    for t in range(last + 1):
        speed = abs(states[b, t, 3])
        if speed < TTC_STOPPED_SPEED:
            continue
        rx, ry = states[b, t, 0], states[b, t, 1]
        cos, sin, x, y = places[0, t], places[1, t], places[2, t], places[3, t]
        beside = -1
        for n in range(TTC_STEPS):
            k = t + n * TTC_STRIDE
            ahead = speed * rules.dt * F(n * TTC_STRIDE)
            px, py = x + ahead * cos, y + ahead * sin
            for word in range(words):
                bits = near_word(track, extent, k, word, px, py, ego[3]) & ~ignored[1, word]
                i = 0
                while bits != 0:
                    if bits & 1:
                        j = word * WORD + i
                        if overlap(track, extent, k, j, px, py, cos, sin, ego[0], ego[1]):
                            bearing = bearing_cosine(track[0, k, j] - rx, track[1, k, j] - ry, cos, sin)
                            hit = bearing > COS_AHEAD
                            if not hit and bearing >= COS_BEHIND:
                                if beside < 0:
                                    beside = 0
                                    if (
                                        off_road[t] != 0
                                        or lane_with(rx, ry, lanes, INTERSECTION, -1) >= 0
                                        or in_multiple_lanes(x, y, cos, sin, ego[0], ego[1], lanes)
                                    ):
                                        beside = 1
                                hit = beside == 1
                            if hit:
                                out[b, TTC] = ZERO
                                out[b, TTC_TIME] = F(t) * rules.dt
                                return
                            ignored[1, word] = ignored[1, word] | (np.uint32(1) << np.uint32(i))
                    bits = bits >> 1
                    i += 1


@scalar
def score_progress(places, b, line, station, shift, window, out):
    """Progress in m of the centre along a polyline between the first and the last step, never negative."""
    last = places.shape[1] - 1
    begin = line[0, 0] - line[0, 0]
    end = begin
    for part in range(2):
        t = 0 if part == 0 else last
        x, y = places[2, t] + shift[0], places[3, t] + shift[1]
        segment, fraction, _ = project(line, station, x, y, window[0], window[1])
        along = station[segment] + fraction * (station[segment + 1] - station[segment])
        if part == 0:
            begin = along
        else:
            end = along
    out[b, PROGRESS] = max(end - begin, begin - begin)


@kernel
def score(
    states, ego, agents, area, lanes, line, station, shift, window, filters, rules, scratch, comfort, out
):
    """Score `states (B, T, 7)` (float32, rear axle, near the origin).

    `ego (4,)` of `ego_box`; `agents` Agents; `area` Area and `lanes` LaneGrid for the states' frame;
    `line (P, 2)`, `station (P,)` of the centreline, whose frame is the states' frame moved by `shift
    (2,)`, searched between the vertices `window (2,)`; `filters` ComfortFilters; `rules` Rules;
    `scratch` Scratch. Results: `comfort (B, 6)` uint8 and `out (B, SCORE_SIZE)`.
    """
    words = agents.extent.shape[1] // WORD
    for b in range(states.shape[0]):
        for word in range(words):
            bits = np.uint32(0)
            for i in range(WORD):
                bits |= np.uint32(agents.skip[word * WORD + i] != 0) << np.uint32(i)
            scratch.ignored[0, word] = bits
            scratch.ignored[1, word] = bits
        places, off_road = scratch.places, scratch.off_road
        score_places(states, b, ego, area, lanes, rules, places, off_road, scratch.astray, out)
        score_collisions(states, b, ego, agents, lanes, rules, places, off_road, scratch.ignored, out)
        score_ttc(states, b, ego, agents, lanes, rules, places, off_road, scratch.ignored, out)
        score_progress(places, b, line, station, shift, window, out)
        good = candidate_comfort(states, b, rules.lateral, filters, scratch.rows, comfort)
        out[b, COMFORT] = ONE if good else ZERO


def pdm_score(
    out: NDArray[np.float32],
    threshold: float = 0.1,
    weights: tuple[float, float, float] = (5.0, 5.0, 2.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The PDM score `(B,)` in [0, 1] of the columns `out (B, SCORE_SIZE)`, and the normalised progress.

    NC * DAC * DDC * (5 EP + 5 TTC + 2 C) / 12; the progress, times the multipliers, is divided by the
    batch's best if that exceeds `threshold` metres, else it is 1 for all who break no rule.
    """
    o = out.astype(np.float64)
    product = o[:, NO_COLLISION] * o[:, DRIVABLE] * o[:, DIRECTION]
    raw = o[:, PROGRESS] * product
    best = raw.max()
    progress = raw / best if best > threshold else (product > 0.0).astype(np.float64)
    total = weights[0] * progress + weights[1] * o[:, TTC] + weights[2] * o[:, COMFORT]
    return product * total / sum(weights), progress
