"""The moment in the road's frame, and the hypotheses about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.cpto.kernels.view import turn_to_road

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.cpto.config import CPTOConfig
    from drive.planners.road.guide import RoadScene
    from drive.sim.road.frame import RoadFrame
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]
    Bytes = NDArray[np.uint8]

SURE, DENIED = 0.95, 0.05
"""Existence above which somebody is taken for granted, and below which for absent."""
LIKELY = 0.3
PHANTOM_PROBABILITY, BRAKE_PROBABILITY = 0.1, 0.05
BEHIND, AHEAD, ASIDE = 50.0, 130.0, 14.0
"""m from the ego along the way, and beside it, at which nobody is looked at."""
LEAST_DRIFT, DRIFTS = 0.15, 4.0
"""m/s towards the line at which somebody is taken to come in, and s for which that goes on."""
ROOM_TO_TURN = 5.0
"""m kept more behind who is to be passed."""
IGNORED, COUNTED = 0, 1
PHANTOMS = ("phantoms",)
"""The key of the configuration in which phantoms are there."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Everybody who may be there, phantoms last: `pose (A, 4, K)` on the road (kernels/propose.py), `poses
    (A, K, 3)` in the world, `half (A, 3)`, `used (A,)`, `existence (A,)`, `id (A,)` (phantoms
    negative), `row (R,)` the rows of the scene's others that they are, phantoms excepted."""

    pose: Floats
    poses: Floats
    half: Floats
    used: Bytes
    existence: Floats
    id: NDArray[np.int64]
    row: NDArray[np.intp]
    phantoms: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Configuration:
    """One hypothesis: who is there (`used (A,)`), how probable, and a key that lasts over the calls."""

    key: tuple[object, ...]
    probability: float
    used: Bytes
    brakes: bool = False


def look_around(scene: RoadScene, vehicle: VehicleParams) -> View:
    """The others on the road's frame, but for those who are far from the way."""
    others, frame, state = scene.others, scene.frame, scene.state
    ahead = others.frenet[..., 0] - state[0]
    near = (ahead.max(1) > -BEHIND) & (ahead.min(1) < AHEAD) & (np.abs(others.frenet[..., 1]).min(1) < ASIDE)
    rows = np.flatnonzero(near)
    poses, extent = others.poses[rows], others.extent[rows]
    pose = np.empty((len(rows), 4, poses.shape[1]))
    turn_to_road(frame.rows, frame.step, poses, others.frenet[rows], pose)
    _cut_in(pose, poses, others.speeds[rows, 0], others.times)
    half = np.column_stack((0.5 * others.size[rows], np.zeros(len(rows))))
    # Who is behind in the own lane keeps its distance itself.
    behind = pose[:, 0, 0] + extent[:, 0, 0] < state[0] + vehicle.rear_axle_to_center
    beside = np.abs(pose[:, 1, 0] - state[3]) < extent[:, 0, 1] + 0.5 * vehicle.width + 0.2
    used = np.where(behind & beside, IGNORED, COUNTED).astype(np.uint8)
    return View(pose, poses, half, used, others.existence[rows], others.id[rows], rows)


def with_phantoms(view: View, frame: RoadFrame, poses: Floats, half: Floats) -> View:
    """A view and phantoms `poses (F, K, 3)`, `half (F, 2)` behind it."""
    count, steps = poses.shape[:2]
    frenet = np.stack([frame.locate(p, float(frame.nearest(*p[0, :2].tolist()))) for p in poses])
    pose = np.empty((count, 4, steps))
    turn_to_road(frame.rows, frame.step, np.ascontiguousarray(poses), frenet, pose)
    return View(
        np.concatenate((view.pose, pose)),
        np.concatenate((view.poses, poses)),
        np.concatenate((view.half, np.column_stack((half, np.zeros(count))))),
        np.concatenate((view.used, np.full(count, COUNTED, dtype=np.uint8))),
        np.concatenate((view.existence, np.zeros(count))),
        np.concatenate((view.id, -1 - np.arange(count))),
        view.row,
        count,
    )


def _cut_in(pose: Floats, poses: Floats, speed: Floats, times: Floats) -> None:
    """Who drives along the road and drifts towards the line is taken to go on until it is there."""
    if not len(pose):
        return
    dt = times[1] - times[0]
    offset = pose[:, 1, 0]
    drift = (pose[:, 1, 1] - offset) / dt
    comes = (drift * np.sign(offset) < -np.maximum(LEAST_DRIFT, 0.05 * speed)) & (pose[:, 2, 0] > 0.8)
    for i in np.flatnonzero(comes & (speed > 0.5) & (np.abs(offset) > 0.3)).tolist():
        reached = offset[i] + drift[i] * np.minimum(times, DRIFTS)
        there = np.minimum(np.abs(reached), np.abs(pose[i, 1])) * np.sign(offset[i])
        there = np.where(reached * offset[i] > 0.0, there, 0.0)
        shift = there - pose[i, 1]
        road = poses[i, :, 2] - np.arctan2(pose[i, 3], pose[i, 2])
        poses[i, :, 0] -= shift * np.sin(road)
        poses[i, :, 1] += shift * np.cos(road)
        pose[i, 1] = there


def hypotheses(view: View, conflict: Floats, config: CPTOConfig) -> list[Configuration]:
    """The configurations that branches are made for, what is taken for likely first.

    Who is doubtful is present in the first; then groups of the doubtful, in the order of their conflicts
    `conflict (A,)` (how near the drives come to them), are absent one at a time; then phantoms are there;
    the last one brakes.
    """
    real = len(view.id) - view.phantoms
    likely = view.used * (view.existence >= (LIKELY if config.branches > 1 else 0.5))
    likely[real:] = IGNORED
    if config.branches == 1:
        return [Configuration(("likely",), 1.0, likely.astype(np.uint8), config.always_brake)]
    found = []
    doubtful = np.flatnonzero(
        (view.existence[:real] < SURE) & (view.existence[:real] > DENIED) & (view.used[:real] > 0)
    )
    room = config.branches - 2 - (view.phantoms > 0)
    groups = []
    if len(doubtful) and room > 0:
        doubtful = doubtful[np.argsort(conflict[doubtful], kind="stable")]
        groups = np.array_split(doubtful, min(room, len(doubtful)))
    rest = 1.0 - BRAKE_PROBABILITY
    if view.phantoms:
        rest -= PHANTOM_PROBABILITY
    for group in groups:
        used = likely.copy()
        present = bool((likely[group] > 0).any())
        used[group] = IGNORED if present else view.used[group]
        p = float(view.existence[group].mean())
        p = (1.0 - p) if present else p
        key = ("flip", *sorted(view.id[group].tolist()))
        found.append(Configuration(key, rest * p / len(groups), used.astype(np.uint8)))
    if view.phantoms:
        used = likely.copy()
        used[real:] = COUNTED
        found.append(Configuration(PHANTOMS, PHANTOM_PROBABILITY, used.astype(np.uint8)))
    found.append(Configuration(("brake",), BRAKE_PROBABILITY, likely.astype(np.uint8), True))
    first = 1.0 - sum(c.probability for c in found)
    return [Configuration(("likely",), first, likely.astype(np.uint8), config.always_brake), *found]
