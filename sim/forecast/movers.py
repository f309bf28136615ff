"""What a learned forecaster is told of each agent, and what became of it: arrays of one moment.

Everything is seen from the agent itself: its box's centre, x along its course (its heading, where it hardly
moves). No map is told: forecasters know none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import to_frame, wrap_angle
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

MOVERS, NEIGHBOURS = 16, 8
"""How many agents of a moment are learnt from, the nearest to the ego; how many others each of them knows."""
LAGS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
"""s; when an agent's own past is looked at."""
KNOTS, EVERY = 8, 0.5
"""Poses of the future, and s between them."""
REACH = 60.0
"""m; who is farther away is nobody's neighbour."""
SLOW = 0.5
"""m/s; below it the course is the heading."""
KINDS = len(AgentKind)
OWN = 5 + KINDS + 6 * len(LAGS)
"""Numbers of an agent: speed along and across, length, width, deviation of its place as measured; its kind;
at each lag place, change of heading, velocity, and whether it was seen."""
OTHER = 9
"""Numbers of a neighbour: place, cosine and sine of its heading, relative velocity, length, width, whether it
is the ego."""
_BODY = VehicleParams()


def frames(states: Floats) -> Floats:
    """The poses `(A, 3)` from which agents with `states (A, 5)` look: centre and course."""
    moves = np.hypot(states[:, 3], states[:, 4]) > SLOW
    course = np.where(moves, np.arctan2(states[:, 4], states[:, 3]), states[:, 2])
    return np.column_stack((states[:, :2], course))


def told(observation: Observation, rows: NDArray[np.intp]) -> tuple[Floats, Floats, Bools]:
    """What is known of the agents `rows (N,)` that are seen now: `own (N, OWN)`, `others (N, NEIGHBOURS,
    OTHER)` and which of these there are, `(N, NEIGHBOURS)`, nearest first. The ego is among the others."""
    o = observation
    now = o.agents[rows]
    frame = frames(now)
    own = np.zeros((len(rows), OWN))
    cosine, sine = np.cos(frame[:, 2]), np.sin(frame[:, 2])
    own[:, 0], own[:, 1] = _turned(now[:, 3], now[:, 4], cosine, sine)
    own[:, 2:4] = o.agent_size[rows, :2]
    own[:, 4] = np.sqrt(np.maximum(o.covariance[rows, 0, 0] + o.covariance[rows, 1, 1], 0.0))
    own[np.arange(len(rows)), 5 + np.minimum(o.agent_kind[rows], KINDS - 1)] = 1.0
    dt = o.time / o.step if o.step > 0 and o.time > 0.0 else 0.1
    count = o.agent_history.shape[1]
    for k, lag in enumerate(LAGS):
        back = count - 1 - round(lag / dt)
        if back < 0:
            continue
        past, seen = o.agent_history[rows, back], o.agent_history_valid[rows, back]
        place = past[:, :2] - now[:, :2]
        found = (
            *_turned(place[:, 0], place[:, 1], cosine, sine),
            wrap_angle(past[:, 2] - now[:, 2]),
            *_turned(past[:, 3], past[:, 4], cosine, sine),
            np.ones(len(rows)),
        )
        begin = 5 + KINDS + 6 * k
        own[:, begin : begin + 6] = np.where(seen[:, None], np.column_stack(found), 0.0)
    return own, *_others(o, rows, frame)


def _others(o: Observation, rows: NDArray[np.intp], frame: Floats) -> tuple[Floats, Bools]:
    there = np.flatnonzero(o.agent_valid & np.isfinite(o.agents).all(1))
    heading, speed = float(o.ego[2]), float(o.ego[3])
    way = np.array((np.cos(heading), np.sin(heading)))
    centre = o.ego[:2] + _BODY.rear_axle_to_center * way
    states = np.concatenate((o.agents[there], [[*centre, heading, *(speed * way)]]))
    sizes = np.concatenate((o.agent_size[there, :2], [[_BODY.length, _BODY.width]]))
    gap = np.hypot(states[:, 0] - frame[:, :1], states[:, 1] - frame[:, 1:2])
    gap[np.append(there, -1)[None] == rows[:, None]] = np.inf  # nobody is their own neighbour
    order = np.argsort(gap, 1, kind="stable")[:, :NEIGHBOURS]
    count = order.shape[1]
    known = np.zeros((len(rows), NEIGHBOURS), dtype=np.bool_)
    known[:, :count] = np.take_along_axis(gap, order, 1) < REACH
    near, sized = states[order], sizes[order]
    cosine, sine = np.cos(frame[:, 2])[:, None], np.sin(frame[:, 2])[:, None]
    turned = near[..., 2] - frame[:, None, 2]
    moved = near[..., 3:5] - o.agents[rows, None, 3:5]
    others = np.zeros((len(rows), NEIGHBOURS, OTHER))
    others[:, :count, 0], others[:, :count, 1] = _turned(
        near[..., 0] - frame[:, None, 0], near[..., 1] - frame[:, None, 1], cosine, sine
    )
    others[:, :count, 2], others[:, :count, 3] = np.cos(turned), np.sin(turned)
    others[:, :count, 4], others[:, :count, 5] = _turned(moved[..., 0], moved[..., 1], cosine, sine)
    others[:, :count, 6:8] = sized
    others[:, :count, 8] = order == len(there)
    return np.where(known[..., None], others, 0.0), known


def followed(observation: Observation) -> NDArray[np.intp]:
    """The rows of agents that are learnt from: the MOVERS nearest that are seen and can move."""
    o = observation
    can = o.agent_valid & np.isfinite(o.agents).all(1) & (o.agent_kind != AgentKind.STATIC)
    there = np.flatnonzero(can)
    gap = np.hypot(*(o.agents[there, :2] - o.ego[:2]).T)
    return there[np.argsort(gap, kind="stable")[:MOVERS]]


def met(
    observation: Observation, rows: NDArray[np.intp], run: RunLog
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Those of the agents `rows` that are found in a run at their places, and the run's rows of them."""
    o = observation
    there = run.agents[:, o.step, :2]
    if not len(rows) or not len(there):
        return rows[:0], rows[:0]
    gap = np.hypot(o.agents[rows, :1] - there[:, 0], o.agents[rows, 1:2] - there[:, 1])
    gap = np.where(run.agent_valid[None, :, o.step], gap, np.inf)
    which = gap.argmin(1)
    found = gap[np.arange(len(rows)), which] < 1e-6
    return rows[found], which[found]


def sensed(observation: Observation, run: RunLog) -> dict[str, NDArray[Any]]:
    """The fields "movers.*" of a moment of a run: what is told of agents, and where they came to be.

    Agents are found in the run by their places, which an exact sensor tells; others are left out.
    """
    o = observation
    rows, which = met(o, followed(o), run)
    own, others, known = told(o, rows)
    out: dict[str, Any] = {name: np.zeros(shape, dtype=kind) for name, (shape, kind) in SHAPES.items()}
    count, frame = len(rows), frames(o.agents[rows])
    out["own"][:count], out["others"][:count], out["known"][:count] = own, others, known
    at = o.step + np.rint((np.arange(KNOTS) + 1) * EVERY / run.dt).astype(np.int64)
    at = at[at < len(run.times)]
    for slot, row in enumerate(which):
        states = run.agents[row, at]
        out["future"][slot, : len(at), :2] = to_frame(states[:, :3], frame[slot])[:, :2]
        out["future"][slot, : len(at), 2] = wrap_angle(states[:, 2] - o.agents[rows[slot], 2])
        out["future_known"][slot, : len(at)] = run.agent_valid[row, at]
    return {f"movers.{name}": values for name, values in out.items()}


SHAPES: Mapping[str, tuple[tuple[int, ...], type]] = {
    "own": ((MOVERS, OWN), np.float32),
    "others": ((MOVERS, NEIGHBOURS, OTHER), np.float32),
    "known": ((MOVERS, NEIGHBOURS), np.bool_),
    "future": ((MOVERS, KNOTS, 3), np.float32),
    "future_known": ((MOVERS, KNOTS), np.bool_),
}
"""Shape and type of each field; the future is place in the agent's frame and change of heading."""


def _turned(x: Floats, y: Floats, cosine: Floats, sine: Floats) -> tuple[Floats, Floats]:
    """Vectors as seen from a frame that is turned."""
    return cosine * x + sine * y, cosine * y - sine * x


__all__ = [
    "EVERY", "KNOTS", "LAGS", "MOVERS", "NEIGHBOURS", "OTHER", "OWN", "SHAPES", "followed", "frames", "met",
    "sensed", "told",
]  # fmt: skip
