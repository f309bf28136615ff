"""The moment on the road as the swarm's problem: table, others, where the plan begins, what is aimed at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.field.kernels import layout as la
from drive.planners.field.kernels.pack import come_near, pack_bodies, pack_others
from drive.sim.kernels import line as columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.road.guide import RoadScene
    from drive.planners.road.others import Others
    from drive.sim.road.frame import RoadFrame
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

TAIL_SHARE = 0.9
PASSING_GAP, PARKED_REACH = 0.3, 80.0
NEAR_ASIDE, NEAR_BEHIND, NEAR_TIME, NEAR_AHEAD = 4.5, 25.0, 6.0, 30.0
"""m beside the offsets in reach, m behind and s and m ahead of the ego, within which others count."""


def road_table(frame: RoadFrame) -> Floats:
    """The frame's rows in the swarm's columns `(P, ROAD)`; AIM is 0."""
    rows = frame.rows
    out = np.zeros((len(rows), la.ROAD))
    out[:, la.RX], out[:, la.RY] = rows[:, columns.X], rows[:, columns.Y]
    out[:, la.RCOS], out[:, la.RSIN] = np.cos(rows[:, columns.HEADING]), np.sin(rows[:, columns.HEADING])
    out[:, la.KAPPA], out[:, la.DKAPPA] = rows[:, columns.CURVATURE], rows[:, columns.DCURVATURE]
    out[:, la.WISH] = rows[:, columns.LIMIT]
    out[:, la.LEFT] = rows[:, columns.LEFT]
    out[:, la.RIGHT] = -rows[:, columns.RIGHT]
    out[:, la.EDGE_LEFT], out[:, la.EDGE_RIGHT] = rows[:, columns.EDGE_LEFT], -rows[:, columns.EDGE_RIGHT]
    return out


def start_of(ego: Floats, state: Floats, frame: RoadFrame, vehicle: VehicleParams) -> Floats:
    """The start `(6,)` of a rear-axle state `(7,)` with the Frenet `state (6,)`; slopes are over the way."""
    s, d = float(state[0]), float(state[3])
    at = min(max(s / frame.step, 0.0), len(frame.rows) - 1.001)
    k, part = int(at), at - int(at)
    row = (1.0 - part) * frame.rows[k] + part * frame.rows[k + 1]
    kappa, dkappa = float(row[columns.CURVATURE]), float(row[columns.DCURVATURE])
    angle = math.remainder(float(ego[2]) - float(row[columns.HEADING]), 2.0 * math.pi)
    q = max(1.0 - kappa * d, 0.2)
    d1 = q * math.tan(min(max(angle, -1.0), 1.0))
    h = math.hypot(q, d1)
    bend = dkappa * d + kappa * d1
    turn = math.tan(float(ego[5])) / vehicle.wheelbase
    # The inverse of `kernels.curves.in_plane`; the wheels tell the curvature at any speed.
    d2 = ((turn * h - kappa) * h * h - bend * d1) / q
    v = max(float(ego[3]), 0.0)
    a = float(ego[4]) if v > 0.3 else max(float(ego[4]), 0.0)
    return np.array([s, v / h, a / h, d, d1, min(max(d2, -0.2), 0.2)])


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """The others that count: `now (M, OTHER)`, `others (K, M, OTHER)` at dt, 2 dt .., `body (M, BODY)`,
    `row (M,)` their rows in what the forecaster told."""

    now: Floats
    others: Floats
    body: Floats
    row: NDArray[np.intp]


def crowd_of(
    scene: RoadScene, road: Floats, vehicle: VehicleParams, dt: float, every: int, most: int
) -> Crowd:
    """The nearest `most` others, without those who follow the ego in its own lane.

    The scene has a forecast each `every` dt, the crowd each dt.
    """
    o, frame, start = scene.others, scene.frame, scene.state
    chosen = _who(o, float(start[0]), float(start[3]), vehicle, most)
    packed = np.zeros((every * (len(o.times) - 1) + 1, len(chosen), la.OTHER))
    body = np.empty((len(chosen), la.BODY))
    if len(chosen):
        pack_others(
            chosen, o.poses, o.frenet, float(frame.origin[0]), float(frame.origin[1]), dt, every, road,
            frame.step, float(start[0]), packed,
        )  # fmt: skip
        pack_bodies(chosen, o.size, o.kind, o.existence, body)
    return Crowd(packed[0], packed[1:], body, chosen)


def within_reach(crowd: Crowd, start: Floats, low: float, high: float, top: float) -> tuple[Floats, Floats]:
    """`others` and `body` of those who may come near an ego between two offsets, at most `top` m/s fast.

    The rest can neither be met nor, but for a thousandth, be felt in the field.
    """
    farthest = max(float(start[1]), top) * NEAR_TIME + NEAR_AHEAD
    near = np.empty(len(crowd.body), dtype=np.bool_)
    come_near(
        crowd.others, float(start[0]), low - NEAR_ASIDE, high + NEAR_ASIDE, -NEAR_BEHIND, farthest, near
    )
    if near.all():
        return crowd.others, crowd.body
    return np.ascontiguousarray(crowd.others[:, near]), crowd.body[near]


def parked_ahead(scene: RoadScene, crowd: Crowd, aim: float, half: float) -> list[int]:
    """The crowd's rows that are parked in the way of an ego of that half width, the nearest first."""
    if not scene.others.parked.any():
        return []
    ahead = crowd.now[:, la.OS] - scene.state[0]
    aside = np.abs(crowd.now[:, la.OD] - aim) < crowd.body[:, la.HALF_WIDTH] + half + PASSING_GAP
    found = np.flatnonzero(scene.others.parked[crowd.row] & aside & (ahead > -5.0) & (ahead < PARKED_REACH))
    return [int(m) for m in found[np.argsort(ahead[found], kind="stable")]]


def _who(o: Others, s: float, d: float, vehicle: VehicleParams, most: int) -> NDArray[np.intp]:
    if not len(o):
        return np.zeros(0, dtype=np.intp)
    ds, dd = o.frenet[:, 0, 0] - s, o.frenet[:, 0, 1] - d
    behind = ds + o.extent[:, 0, 0] < vehicle.rear_axle_to_center - 0.5 * vehicle.length * TAIL_SHARE
    follows = behind & (np.abs(dd) < 0.5 * vehicle.width + o.extent[:, 0, 1])
    reach = np.abs(o.frenet[:, :, 1]).min(axis=1) - o.extent[:, 0, 1]
    near = np.flatnonzero(~follows & (reach < 12.0) & (ds > -60.0))
    order = np.argsort(np.hypot(ds[near], dd[near]), kind="stable")
    return near[order[:most]]
