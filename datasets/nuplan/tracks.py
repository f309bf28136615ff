"""Tracks of the ego and of everything around it, from a log's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.nuplan.rows import DT, SHORTEST, Rows
from drive.datasets.nuplan.schema import CATEGORIES
from drive.geometry import unwrap_angle, wrap_angle
from drive.scenario import Tracks
from drive.vehicle import STATE_SIZE, AgentKind, VehicleParams, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

FARTHEST_STILL = 5.0
"""Metres that a vehicle must drive to be worth being the ego."""


def ego_states(poses: Floats, origin: tuple[float, float], vehicle: VehicleParams) -> Floats:
    """Rear-axle states `(N, 7)` of the ego's poses: x, y, quaternion w x y z, vx, vy, ax, ay, yaw rate.

    Steering follows from the curvature by the kinematic single-track model; where the file has no yaw rate,
    the heading's differences stand in.
    """
    qw, qx, qy, qz = poses[:, 2:6].T
    out = np.zeros((len(poses), STATE_SIZE))
    out[:, :2] = poses[:, :2] - origin
    out[:, 2] = np.arctan2(2.0 * (qw * qz + qx * qy), 1.0 - 2.0 * (qy**2 + qz**2))
    out[:, 3], out[:, 4] = poses[:, 6], poses[:, 8]
    turning = np.gradient(unwrap_angle(out[:, 2]), DT)
    out[:, 6] = np.where(np.isfinite(poses[:, 10]), poses[:, 10], turning)
    rolling = np.abs(out[:, 3]) > 0.5
    curvature = np.divide(out[:, 6], out[:, 3], out=np.zeros(len(out)), where=rolling)
    out[:, 5] = np.clip(np.arctan(vehicle.wheelbase * curvature), -vehicle.max_steering, vehicle.max_steering)
    return out


def tracks_of(rows: Rows, states: Floats, origin: tuple[float, float], vehicle: VehicleParams) -> Tracks:
    """Tracks of the ego and of everything boxed, in the order of their tokens."""
    told, count, many = rows.exported, len(states), len(rows.boxes.tracks)
    boxes = rows.boxes.values.copy()
    good = np.isfinite(boxes[:, [0, 1, 2, 5, 6, 7]]).all(1) & (boxes[:, 5:8] > 0.0).all(1)
    if not good.all():
        rows.notes.append(f"{int((~good).sum())} boxes with values that are not finite or sizes not positive")
    boxes[:, 3:5] = np.nan_to_num(boxes[:, 3:5], nan=0.0, posinf=0.0, neginf=0.0)
    boxes, owner, at = boxes[good], rows.boxes.track[good], rows.boxes.frame[good]
    kinds, rears, ids, places = [], [], [], []
    odd: set[str] = set()
    number = np.bincount(owner, minlength=many)
    total = np.stack([np.bincount(owner, boxes[:, k], minlength=many) for k in (5, 6, 7)], axis=-1)
    size = total / np.maximum(number, 1)[:, None]
    for k, token in enumerate(rows.boxes.tracks):
        word, about = rows.categories.get(token, ("", {}))
        if word not in CATEGORIES:
            odd.add(word or "none")
        kind = CATEGORIES.get(word, AgentKind.UNKNOWN)
        kind = AgentKind(about["kind"]) if about.get("kind") in list(AgentKind) else kind
        rear = about.get("rear", 0.28 * size[k, 0] if kind.is_motor_vehicle else 0.0)
        kinds.append(int(kind))
        rears.append(float(rear) if isinstance(rear, int | float) and np.isfinite(rear) else 0.0)
        ids.append(str(about.get("id", token.hex() if isinstance(token, bytes) else token)))
        places.append(about.get("row", k) if isinstance(about.get("row", k), int) else k)
    if odd:
        rows.notes.append(f"categories unknown to this reader: {', '.join(sorted(odd))}")
    out = np.zeros((many, count, 5))
    valid = np.zeros((many, count), dtype=np.bool_)
    out[owner, at] = boxes[:, :5]
    valid[owner, at] = True
    out[valid, :2] -= origin
    out[valid, 2] = wrap_angle(out[valid, 2])
    own = np.zeros((1, count, 5))
    own[0, :, :2] = rear_to_center(states, vehicle.rear_axle_to_center)
    own[0, :, 2] = states[:, 2]
    # The centre lies ahead of the axle, so that it moves sideways where the ego turns.
    aside = rows.poses[:, 7] + vehicle.rear_axle_to_center * states[:, 6]
    cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
    own[0, :, 3] = states[:, 3] * cos - aside * sin
    own[0, :, 4] = states[:, 3] * sin + aside * cos
    # The ego comes first, or where it stood among the tracks that we wrote.
    place = np.asarray([told.ego_row if told.known else -1, *places])
    seen = np.concatenate(([True], number > 0.0))
    order = np.argsort(place, kind="stable")
    order = order[seen[order]]
    mine = np.array([[vehicle.length, vehicle.width, vehicle.height]])
    names = [told.ego_id if told.known else "ego", *ids]
    kind0 = told.ego_kind if told.known else int(AgentKind.VEHICLE)
    return Tracks(
        np.concatenate((own, out))[order],
        np.concatenate((np.ones((1, count), dtype=np.bool_), valid))[order],
        np.concatenate((mine, size))[order],
        np.asarray([kind0, *kinds], dtype=np.uint8)[order],
        np.asarray([vehicle.rear_axle_to_center, *rears])[order],
        tuple(names[k] for k in order.tolist()),
    )


def recordable(rows: Rows, count: int) -> list[str]:
    """Ids of the `count` motor vehicles that drive farthest of those seen for 3 s on end."""
    vehicle = rows.exported.vehicle or VehicleParams()
    tracks = tracks_of(rows, ego_states(rows.poses, (0.0, 0.0), vehicle), (0.0, 0.0), vehicle)
    far: list[tuple[float, str]] = []
    for k, name in enumerate(tracks.ids):
        first, last = whole_run(tracks.valid[k])
        if not AgentKind(int(tracks.kind[k])).is_motor_vehicle or (last - first) * DT < SHORTEST - 1e-6:
            continue
        way = float(np.hypot(*np.diff(tracks.states[k, first : last + 1, :2], axis=0).T).sum())
        if way >= FARTHEST_STILL:
            far.append((-way, name))
    return [name for _, name in sorted(far) if name != _own_name(rows)][:count]


def _own_name(rows: Rows) -> str:
    return rows.exported.ego_id if rows.exported.known else "ego"


def whole_run(valid: Bools) -> tuple[int, int]:
    """First and last sample of the longest stretch without a gap."""
    seen = np.flatnonzero(valid)
    if not len(seen):
        return 0, 0
    run = max(np.split(seen, np.flatnonzero(np.diff(seen) != 1) + 1), key=len)
    return int(run[0]), int(run[-1])
