"""Argoverse 2 sensor logs: the recording car's poses, the tracked boxes around it, and the map.

Format: Wilson et al., "Argoverse 2", 2021, section 3.1, and the public devkit's schema: boxes are centred at
`t` in the frame of the car (rear axle, x forward) at their timestamp; the poses are denser than the boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.argoverse2.motion import LICENCE, TEST_CAR, map_beside
from drive.datasets.argoverse2.roadmap import read_map
from drive.datasets.argoverse2.tables import FLOAT, INT, TEXT, read_table
from drive.datasets.conventions import DT, origin_near
from drive.datasets.recording import Recording, velocities
from drive.errors import InputError
from drive.geometry import unwrap_angle, wrap_angle
from drive.scenario import tracks_from_rows
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

POSES = "city_SE3_egovehicle.feather"
OWN = "EGO_VEHICLE"
QUATERNION, XYZ = ("qw", "qx", "qy", "qz"), ("tx_m", "ty_m", "tz_m")
POSE = dict.fromkeys((*QUATERNION, *XYZ), FLOAT)
POSE_COLUMNS = {"timestamp_ns": INT, **POSE}
BOX_COLUMNS = {
    **{"timestamp_ns": INT, "track_uuid": TEXT, "category": TEXT},
    **dict.fromkeys(("length_m", "width_m", "height_m"), FLOAT),
    **POSE,
}
MAX_GAP = 0.25
"""Seconds between two samples across which a position is still interpolated."""
MAX_STEPS = 10_000
MAX_CELLS = 20_000_000
KINDS = {
    **dict.fromkeys(("REGULAR_VEHICLE",), AgentKind.VEHICLE),
    **dict.fromkeys(
        ("LARGE_VEHICLE", "BOX_TRUCK", "TRUCK", "TRUCK_CAB", "VEHICULAR_TRAILER", "RAILED_VEHICLE"),
        AgentKind.TRUCK,
    ),
    **dict.fromkeys(("BUS", "SCHOOL_BUS", "ARTICULATED_BUS"), AgentKind.BUS),
    **dict.fromkeys(("MOTORCYCLE", "MOTORCYCLIST"), AgentKind.MOTORCYCLE),
    **dict.fromkeys(("BICYCLE", "BICYCLIST", "WHEELED_DEVICE", "WHEELED_RIDER"), AgentKind.BICYCLE),
    **dict.fromkeys(("PEDESTRIAN", "OFFICIAL_SIGNALER", "STROLLER", "WHEELCHAIR"), AgentKind.PEDESTRIAN),
    **dict.fromkeys(
        ("BOLLARD", "CONSTRUCTION_CONE", "CONSTRUCTION_BARREL", "SIGN", "STOP_SIGN"), AgentKind.STATIC
    ),
    **dict.fromkeys(
        ("MOBILE_PEDESTRIAN_CROSSING_SIGN", "TRAFFIC_LIGHT_TRAILER", "MESSAGE_BOARD_TRAILER"),
        AgentKind.STATIC,
    ),
    **dict.fromkeys(("DOG", "ANIMAL"), AgentKind.UNKNOWN),
}


@dataclass(frozen=True, eq=False)
class Poses:
    """The car's poses in the city: `times (N,)` in s, increasing, unit quaternions `(N, 4)` with w first, and
    positions of its rear axle `(N, 3)`."""

    times: Floats
    q: Floats
    xyz: Floats

    def at(self, times: Floats) -> tuple[Floats, Floats, Bools]:
        """Quaternions `(M, 4)` and positions `(M, 3)` at `times (M,)`, and where they are known."""
        low, weight, known = between(self.times, times)
        high = np.minimum(low + 1, len(self.times) - 1)
        # Poses come every few milliseconds: the mean of two neighbours is a rotation but for its length.
        sign = np.sign(np.sum(self.q[low] * self.q[high], axis=-1))
        q = (1.0 - weight)[:, None] * self.q[low] + (weight * sign)[:, None] * self.q[high]
        return q / np.linalg.norm(q, axis=-1, keepdims=True), mix(self.xyz, low, weight), known


def read_log(folder: Path) -> Recording:
    """Read the boxes, poses and map of a log's folder, brought to a clock of 0.1 s.

    The recording car is the planned ego. Velocities are slopes of positions, as the log has none. Raises
    InputError naming the file for what is missing or damaged, boxes without a size, and a track with two
    boxes at one time.
    """
    boxes = read_table(boxes_of(folder), BOX_COLUMNS)
    if not (folder / POSES).is_file():
        raise InputError(f"{folder.name}: the log lacks {POSES}")
    data = read_table(folder / POSES, POSE_COLUMNS)
    # Nanoseconds since 1970 do not fit a float: subtract first.
    zero = int(boxes["timestamp_ns"].min())
    order = np.argsort(data["timestamp_ns"], kind="stable")
    poses = Poses(
        ((data["timestamp_ns"] - zero) / 1e9)[order], _unit(POSES, data)[order], _vectors(data, XYZ)[order]
    )
    last = float(boxes["timestamp_ns"].max() - zero) / 1e9
    count = int(np.floor(last / DT + 0.01)) + 1
    if not 2 <= count <= MAX_STEPS:
        raise InputError(f"{folder.name}: boxes over {last:g} s make no clock of {DT:g} s")
    clock = np.asarray(DT * np.arange(count), dtype=np.float64)
    origin = origin_near(float(poses.xyz[0, 0]), float(poses.xyz[0, 1]))
    rows, notes = _others(boxes_of(folder).name, boxes, zero, poses, clock, origin)
    q, xyz, known = poses.at(clock)
    if known.sum() < 2:
        raise InputError(f"{folder.name}: {POSES} has no poses at the times of the boxes")
    own = np.zeros((count, 5))
    own[:, :2], own[:, 2] = xyz[:, :2] - origin, _heading(q)
    own[:, :2] = rear_to_center(own, TEST_CAR.rear_axle_to_center)
    car = (TEST_CAR.length, TEST_CAR.width, TEST_CAR.height)
    tracks = tracks_from_rows([(OWN, AgentKind.VEHICLE, car, own, known), *rows])
    states = tracks.states.copy()
    states[..., 3:] = velocities(states[..., :2], tracks.valid)
    roadmap, said = read_map(map_beside(folder / "map", folder.name), origin)
    return Recording(
        file=folder.name,
        scene=folder.name,
        format="Argoverse 2 sensor log",
        licence=LICENCE,
        family="argoverse2/sensor",
        tracks=replace(tracks, states=states),
        roadmap=roadmap,
        origin=origin,
        signals=np.zeros((0, count), dtype=np.uint8),
        planned=(OWN,),
        own=OWN,
        vehicle=TEST_CAR,
        notes=("velocities are slopes of positions: the log has none", *said, *notes),
    )


def boxes_of(folder: Path) -> Path:
    """The table of boxes in a log's folder; logs of the test split have none."""
    found = sorted(folder.glob("annotations*.feather"))
    if not found:
        raise InputError(f"{folder.name}: the log has no annotations.feather (the test split has no boxes)")
    return found[0]


def between(times: Floats, at: Floats) -> tuple[NDArray[np.intp], Floats, Bools]:
    """For each time of `at (M,)` the row of the sample before it, the weight of the one after it, and whether
    it lies between samples less than `MAX_GAP` apart, or half a sample from an end."""
    if len(times) == 1:
        return np.zeros(len(at), dtype=np.intp), np.zeros(len(at)), np.abs(at - times[0]) <= 0.5 * DT
    low = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    step = times[low + 1] - times[low]
    weight = np.clip((at - times[low]) / np.where(step > 0.0, step, 1.0), 0.0, 1.0)
    inside = (at >= times[0] - 0.5 * DT) & (at <= times[-1] + 0.5 * DT)
    nearest = np.minimum(np.abs(at - times[low]), np.abs(at - times[low + 1]))
    return low, weight, inside & ((step <= MAX_GAP) | (nearest <= 0.1 * DT))


def mix(values: Floats, low: NDArray[np.intp], weight: Floats) -> Floats:
    """Values at the places that `between` gives, linear between the samples."""
    high = np.minimum(low + 1, len(values) - 1)
    w = weight.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1.0 - w) * values[low] + w * values[high])


def _vectors(data: dict[str, NDArray[Any]], names: tuple[str, ...]) -> Floats:
    return np.stack([data[name] for name in names], axis=-1)


def _unit(name: str, data: dict[str, NDArray[Any]]) -> Floats:
    q = _vectors(data, QUATERNION)
    norm = np.linalg.norm(q, axis=-1)
    off = np.abs(norm - 1.0)
    if off.max() > 0.01:
        raise InputError(f"{name}: row {int(np.argmax(off))}: the rotation is no unit quaternion")
    return np.asarray(q / norm[:, None])


def _turn(q: Floats, v: Floats) -> Floats:
    """Vectors `(N, 3)` turned by quaternions `(N, 4)`."""
    w, u = q[:, :1], q[:, 1:]
    t = 2.0 * np.cross(u, v)
    return np.asarray(v + w * t + np.cross(u, t))


def _ahead(q: Floats) -> Floats:
    return _turn(q, np.broadcast_to([1.0, 0.0, 0.0], (len(q), 3)))


def _heading(q: Floats) -> Floats:
    ahead = _ahead(q)
    return np.asarray(np.arctan2(ahead[:, 1], ahead[:, 0]))


def _others(
    name: str,
    boxes: dict[str, NDArray[Any]],
    zero: int,
    poses: Poses,
    clock: Floats,
    origin: tuple[float, float],
) -> tuple[list[tuple[str, AgentKind, tuple[float, float, float], Floats, Bools]], list[str]]:
    """Rows of everybody but the car, as `tracks_from_rows` takes them, still without velocities, and notes.

    Boxes are turned from the car's frame at their time into the city's, and then brought to the clock.
    """
    size = _vectors(boxes, ("length_m", "width_m", "height_m"))
    if (size <= 0.0).any():
        raise InputError(f"{name}: row {int(np.argmax((size <= 0.0).any(1)))}: a box without a size")
    times = (boxes["timestamp_ns"] - zero) / 1e9
    q, xyz, known = poses.at(times)
    centre = (xyz + _turn(q, _vectors(boxes, XYZ)))[:, :2] - origin
    ahead = _turn(q, _ahead(_unit(name, boxes)))
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    ids, first, track = np.unique(boxes["track_uuid"], return_index=True, return_inverse=True)
    if len(ids) * len(clock) > MAX_CELLS:
        raise InputError(f"{name}: {len(ids)} tracks over {len(clock)} steps are more than can be held")
    order = np.lexsort((times, track))
    out = []
    unknown: set[str] = set()
    for i, mine in enumerate(np.split(order, np.searchsorted(track[order], np.arange(1, len(ids))))):
        word = str(boxes["category"][first[i]])
        mine = mine[known[mine]]
        if word == OWN or not len(mine):  # some copies of the logs annotate the car itself
            continue
        if (np.diff(times[mine]) <= 0.0).any():
            raise InputError(f"{name}: track '{ids[i]}' has two boxes at one time")
        low, weight, valid = between(times[mine], clock)
        if not valid.any():
            continue
        states = np.zeros((len(clock), 5))
        states[:, :2] = mix(centre[mine], low, weight)
        states[:, 2] = wrap_angle(mix(unwrap_angle(heading[mine]), low, weight))
        if word not in KINDS:
            unknown.add(word)
        length, width, height = (float(v) for v in np.median(size[mine], axis=0))
        out.append((str(ids[i]), KINDS.get(word, AgentKind.UNKNOWN), (length, width, height), states, valid))
    lost = int((~known).sum())
    notes = [f"{lost} boxes at times without a pose of the car"] if lost else []
    return out, notes + [f"road users of the unknown category '{word}'" for word in sorted(unknown)]
