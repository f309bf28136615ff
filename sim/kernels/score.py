"""Score rolled-out candidates: collisions with fault, drivable area, direction, progress, time to
collision, comfort.

Rules after nuPlan's closed-loop metrics as PDM-Closed and NAVSIM compute them on candidates. Sources:
tuplan_garage, scoring/pdm_scorer.py and pdm_scorer_utils.py; nuPlan devkit, observation/idm/utils.py.
Candidates are independent of each other; progress is normalised afterwards (`pdm_score`). The public
face, which checks its input, is `drive.sim.candidates`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import HALF, ONE, ZERO, F, sin_cos
from drive.sim.kernels.score_area import INTERSECTION, ON_ROUTE, box_in_area, lane_with, project
from drive.sim.kernels.score_comfort import candidate_comfort
from drive.sim.kernels.score_contacts import WORD, collisions, mark_near, time_to_collision
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
TERMS = {"area": 1, "collision": 2, "progress": 4, "time_to_collision": 8, "comfort": 16}
"""Bits of the terms that can be asked for; "area" stands for the drivable area and the direction."""
ALL_TERMS = sum(TERMS.values())
_AREA, _COLLISION, _PROGRESS, _TTC, _COMFORT = TERMS.values()
FAR = 1e6
DIRECTION_GOOD, DIRECTION_FAIR = F(2.0), F(6.0)
NAN = F(np.nan)


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
NAVSIM_RULES = Rules(direction_window=11, ttc_last=31)
"""Of version 2. The trailing second of the released scorer holds eleven movements."""
NAVSIM_V1_RULES = Rules(direction_window=11, ttc_last=40, allowed=ON_ROUTE)


class Scratch(NamedTuple):
    """Buffers of one worker for candidates of T samples and W words of agents."""

    rows: NDArray[np.float32]
    places: NDArray[np.float32]
    astray: NDArray[np.float32]
    near: NDArray[np.uint32]
    ignored: NDArray[np.uint32]

    @classmethod
    def make(cls, samples: int, agents: int) -> Scratch:
        words = max(-(-agents // WORD), 1)
        return cls(
            np.empty((4, samples), dtype=np.float32),
            np.empty((4, samples), dtype=np.float32),
            np.empty(samples, dtype=np.float32),
            np.empty((words, samples), dtype=np.uint32),
            np.empty(words, dtype=np.uint32),
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


@scalar
def fill_places(states, b, ego, places):
    """Fill `places (4, T)`: cosine and sine of the heading, and the box's centre."""
    for t in range(places.shape[1]):
        k = np.uintp(t)
        sin, cos = sin_cos(states[b, k, 2])
        places[0, k], places[1, k] = cos, sin
        places[2, k], places[3, k] = states[b, k, 0] + ego[2] * cos, states[b, k, 1] + ego[2] * sin


@scalar
def on_road(ego, area, places):
    """1 where all corners stay in the drivable area at all steps, else 0."""
    for t in range(places.shape[1]):
        if not box_in_area(places[2, t], places[3, t], places[0, t], places[1, t], ego[0], ego[1], area):
            return ZERO
    return ONE


@scalar
def direction(lanes, rules, places, astray):
    """1, 0.5 or 0 by the distance that the centre drives off the route's lanes."""
    hint = -1
    lx, ly = ZERO, ZERO
    worst, run = ZERO, ZERO
    for t in range(places.shape[1]):
        x, y = places[2, t], places[3, t]
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
    return ONE if worst < DIRECTION_GOOD else (HALF if worst < DIRECTION_FAIR else ZERO)


@scalar
def station_of(x, y, line, station, shift, window):
    """Station of the foot of a point on the centreline."""
    segment, fraction, _ = project(line, station, x + shift[0], y + shift[1], window[0], window[1])
    return station[segment] + fraction * (station[segment + 1] - station[segment])


@scalar
def leave_out(skip, ignored):
    """Set the bits of the agents to leave out."""
    for word in range(ignored.shape[0]):
        bits = np.uint32(0)
        for i in range(WORD):
            bits |= np.uint32(skip[word * WORD + i] != 0) << np.uint32(i)
        ignored[word] = bits


@scalar
def score_motion(
    states, b, ego, agents, area, lanes, filters, rules, terms, rows, places, astray, near, ignored,
    comfort, out,
):  # fmt: skip
    """Score one candidate as `score` does, but for its progress."""
    for c in range(out.shape[1]):
        out[b, c] = NAN
    fill_places(states, b, ego, places)
    if terms & _AREA:
        out[b, DRIVABLE] = on_road(ego, area, places)
        out[b, DIRECTION] = direction(lanes, rules, places, astray)
    if terms & (_COLLISION | _TTC):
        mark_near(states, b, ego, agents, rules, terms & _TTC, places, near)
    if terms & _COLLISION:
        leave_out(agents.skip, ignored)
        out[b, NO_COLLISION], out[b, COLLISION_TIME] = collisions(
            states, b, ego, agents, area, lanes, rules, places, near, ignored
        )
    if terms & _TTC:
        leave_out(agents.skip, ignored)
        out[b, TTC], out[b, TTC_TIME] = time_to_collision(
            states, b, ego, agents, area, lanes, rules, places, near, ignored
        )
    if terms & _COMFORT:
        good = candidate_comfort(states, b, rules.lateral, filters, rows, comfort)
        out[b, COMFORT] = ONE if good else ZERO
    else:
        for c in range(comfort.shape[1]):
            comfort[b, c] = 0


@scalar
def progress(begin, places, line, station, shift, window):
    """Metres along the centreline from the station `begin` to the last box centre, 0 if backwards."""
    last = places.shape[1] - 1
    end = station_of(places[2, last], places[3, last], line, station, shift, window)
    return max(end - begin, begin - begin)


@kernel
def score(
    states,
    which,
    ego,
    agents,
    area,
    lanes,
    line,
    station,
    shift,
    window,
    filters,
    rules,
    terms,
    scratch,
    comfort,
    out,
):
    """Score the candidates `which (n,)` of `states (B, T, 7)` (float32, rear axle, near the origin).

    `ego (4,)` of `ego_box`; `agents` Agents; `area` Area and `lanes` LaneGrid for the states' frame;
    `line (P, 2)`, `station (P,)` of the centreline, whose frame is the states' frame moved by `shift
    (2,)`, searched between the vertices `window (2,)`; `filters` ComfortFilters; `rules` Rules; `terms`
    the bits of TERMS that are wanted, columns of others become NaN; `scratch` Scratch. Results:
    `comfort (B, 6)` uint8 and `out (B, SCORE_SIZE)`.
    """
    places = scratch.places
    words = agents.extent.shape[1] // WORD
    near, ignored = scratch.near[:words], scratch.ignored[:words]
    begin_x, begin_y = NAN, NAN
    begin = line[0, 0] - line[0, 0]
    for i in range(which.shape[0]):
        b = which[i]
        score_motion(
            states, b, ego, agents, area, lanes, filters, rules, terms, scratch.rows, places,
            scratch.astray, near, ignored, comfort, out,
        )  # fmt: skip
        if terms & _PROGRESS:
            if places[2, 0] != begin_x or places[3, 0] != begin_y:
                # Candidates of one scene mostly begin at one place.
                begin_x, begin_y = places[2, 0], places[3, 0]
                begin = station_of(begin_x, begin_y, line, station, shift, window)
            out[b, PROGRESS] = progress(begin, places, line, station, shift, window)


def pdm_score(
    out: NDArray[np.float32],
    threshold: float = 0.1,
    weights: tuple[float, float, float] = (5.0, 5.0, 2.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The PDM score `(..., B)` in [0, 1] of columns `(..., B, SCORE_SIZE)`, and the normalised progress.

    NC * DAC * DDC * (5 EP + 5 TTC + 2 C) / 12; the progress, times the multipliers, is divided by the
    best of the B of a scene if that exceeds `threshold` metres, else it is 1 for all who break no rule.
    """
    shape = out.shape[:-1]
    flat = np.ascontiguousarray(out, dtype=np.float32).reshape(-1, *out.shape[-2:])
    total, progress = np.empty(flat.shape[:2]), np.empty(flat.shape[:2])
    _pdm_score(flat, threshold, *weights, total, progress)
    return total.reshape(shape), progress.reshape(shape)


@kernel
def _pdm_score(values, threshold, for_progress, for_ttc, for_comfort, total, progress):
    for s in range(values.shape[0]):
        best = 0.0
        for b in range(values.shape[1]):
            kept = float(values[s, b, NO_COLLISION]) * values[s, b, DRIVABLE] * values[s, b, DIRECTION]
            total[s, b] = kept
            progress[s, b] = kept * values[s, b, PROGRESS]
            best = max(best, progress[s, b])
        for b in range(values.shape[1]):
            kept = total[s, b]
            if best > threshold:
                progress[s, b] = progress[s, b] / best
            else:
                progress[s, b] = 1.0 if kept > 0.0 else 0.0
            rest = for_ttc * values[s, b, TTC] + for_comfort * values[s, b, COMFORT]
            total[s, b] = (
                kept * (for_progress * progress[s, b] + rest) / (for_progress + for_ttc + for_comfort)
            )
