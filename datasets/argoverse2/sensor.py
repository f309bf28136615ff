"""Argoverse 2 sensor logs: the recording car's poses, the tracked boxes around it, and the map.

Format: Wilson et al., "Argoverse 2", 2021, section 3.1, and the public devkit's schema: boxes are centred at
`t` in the frame of the car (rear axle, x forward) at their timestamp; the poses are denser than the boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.argoverse2.motion import LICENCE, TEST_CAR, map_beside
from drive.datasets.argoverse2.roadmap import read_map
from drive.datasets.argoverse2.tables import FLOAT, INT, TEXT, read_table
from drive.datasets.commonroad.scenario import DT, origin_near
from drive.datasets.recording import Recording, velocities
from drive.errors import InputError
from drive.geometry import unwrap_angle, wrap_angle
from drive.scenario import Tracks, tracks_from_rows
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

POSES = "city_SE3_egovehicle.feather"
OWN = "EGO_VEHICLE"
POSE = dict.fromkeys(("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"), FLOAT)
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
        ("BOLLARD", "CONSTRUCTION_CONE", "CONSTRUCTION_BARREL", "SIGN", "STOP_SIGN")
        + ("MOBILE_PEDESTRIAN_CROSSING_SIGN", "TRAFFIC_LIGHT_TRAILER", "MESSAGE_BOARD_TRAILER"),
        AgentKind.STATIC,
    ),
    **dict.fromkeys(("DOG", "ANIMAL"), AgentKind.UNKNOWN),
}


def read_log(folder: Path) -> Recording:
    """Read the boxes, poses and map of a log's folder, brought to a clock of 0.1 s.

    The recording car is the planned ego. Velocities are slopes of positions, as the log has none. Raises
    InputError naming the file for what is missing or damaged, boxes without a size, and times out of order.
    """
    boxes = read_table(boxes_of(folder), BOX_COLUMNS)
    poses = read_table(_there(folder / POSES), POSE_COLUMNS)
    poses = {key: values[np.argsort(poses["timestamp_ns"], kind="stable")] for key, values in poses.items()}
    stamps = np.unique(boxes["timestamp_ns"])
    # Nanoseconds since 1970 do not fit a float: subtract first.
    zero = int(stamps[0])
    pose_times = (poses["timestamp_ns"] - zero) / 1e9
    last = float(stamps[-1] - zero) / 1e9
    count = int(np.floor(last / DT + 0.01)) + 1
    if not 2 <= count <= MAX_STEPS:
        raise InputError(f"{folder.name}: boxes over {last:g} s make no clock of {DT:g} s")
    clock = DT * np.arange(count)
    car = _unit(POSES, poses)
    origin = origin_near(float(poses["tx_m"][0]), float(poses["ty_m"][0]))
    own, own_valid = _own(car, poses, pose_times, clock, origin)
    if own_valid.sum() < 2:
        raise InputError(f"{POSES}: no poses of the car at the times of the boxes in '{folder.name}'")
    tracks, notes = _tracks(folder.name, boxes, zero, (pose_times, car, poses), clock, origin, own, own_valid)
    roadmap, said = read_map(map_beside(folder / "map", folder.name), origin)
    return Recording(
        file=folder.name,
        scene=folder.name,
        format="Argoverse 2 sensor log",
        licence=LICENCE,
        family="argoverse2/sensor",
        tracks=tracks,
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


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path.parent.name}: the log lacks {path.name}")
    return path


def _unit(name: str, data: dict[str, NDArray[Any]]) -> Floats:
    """Unit quaternions `(N, 4)`, w first, next ones of them on the same side."""
    q = np.stack([data[key] for key in ("qw", "qx", "qy", "qz")], axis=-1)
    norm = np.linalg.norm(q, axis=-1)
    if not (np.abs(norm - 1.0) < 0.01).all():
        raise InputError(f"{name}: row {int(np.argmax(np.abs(norm - 1.0)))}: no unit quaternion")
    return np.asarray(q / norm[:, None])


def _turn(q: Floats, v: Floats) -> Floats:
    """Vectors `(N, 3)` turned by quaternions `(N, 4)`."""
    w, u = q[:, :1], q[:, 1:]
    t = 2.0 * np.cross(u, v)
    return np.asarray(v + w * t + np.cross(u, t))


def _heading(q: Floats) -> Floats:
    ahead = _turn(q, np.broadcast_to([1.0, 0.0, 0.0], (len(q), 3)))
    return np.arctan2(ahead[:, 1], ahead[:, 0])


def _between(times: Floats, at: Floats) -> tuple[NDArray[np.intp], Floats, Bools]:
    """Row before each time, the weight of the row after it, and whether both are near enough."""
    if len(times) == 1:
        return np.zeros(len(at), dtype=np.intp), np.zeros(len(at)), np.abs(at - times[0]) <= 0.5 * DT
    low = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    step = times[low + 1] - times[low]
    weight = (at - times[low]) / np.where(step > 0.0, step, 1.0)
    # A track's ends hold for half a sample more: the clocks of lidar and of the scenario differ by little.
    slack = np.minimum(0.5 * DT / np.where(step > 0.0, step, 1.0), 0.5)
    inside = (weight >= -slack) & (weight <= 1.0 + slack)
    near = (step <= MAX_GAP) | (np.abs(weight) < 0.02) | (np.abs(weight - 1.0) < 0.02)
    return low, np.clip(weight, 0.0, 1.0), inside & near


def _mix(values: Floats, low: NDArray[np.intp], weight: Floats) -> Floats:
    w = weight.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1.0 - w) * values[low] + w * values[low + 1 if len(values) > 1 else low])


def _own(
    car: Floats,
    poses: dict[str, NDArray[Any]],
    times: Floats,
    clock: Floats,
    origin: tuple[float, float],
) -> tuple[Floats, Bools]:
    """Centre poses `(T, 3)` of the recording car on the clock, and where they are known."""
    low, weight, valid = _between(times, clock)
    place = np.stack((poses["tx_m"], poses["ty_m"]), axis=-1) - origin
    pose = np.column_stack((_mix(place, low, weight), _mix(unwrap_angle(_heading(car)), low, weight)))
    pose[:, :2] = rear_to_center(pose, TEST_CAR.rear_axle_to_center)
    return pose, valid


def _tracks(
    name: str,
    boxes: dict[str, NDArray[Any]],
    zero: int,
    reference: tuple[Floats, Floats, dict[str, NDArray[Any]]],
    clock: Floats,
    origin: tuple[float, float],
    own: Floats,
    own_valid: Bools,
) -> tuple[Tracks, list[str]]:
    """The car's track and everybody else's, boxes turned from the car's frame into the city's."""
    pose_times, car, poses = reference
    times = (boxes["timestamp_ns"] - zero) / 1e9
    low, weight, known = _between(pose_times, times)
    place = np.stack([poses[key] for key in ("tx_m", "ty_m", "tz_m")], axis=-1)
    # Poses come every few milliseconds: the mean of two neighbours is a rotation but for its length.
    sign = np.sign(np.sum(car[low] * car[low + 1 if len(car) > 1 else low], axis=-1, keepdims=True))
    near = (1.0 - weight[:, None]) * car[low] + weight[:, None] * sign * car[low + 1 if len(car) > 1 else low]
    near /= np.linalg.norm(near, axis=-1, keepdims=True)
    offset = np.stack([boxes[key] for key in ("tx_m", "ty_m", "tz_m")], axis=-1)
    centre = _mix(place, low, weight) + _turn(near, offset)
    ahead = _turn(_unit(name, boxes), np.broadcast_to([1.0, 0.0, 0.0], (len(times), 3)))
    ahead = _turn(near, ahead)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    size = np.stack([boxes[key] for key in ("length_m", "width_m", "height_m")], axis=-1)
    if not (size > 0.0).all():
        raise InputError(f"{name}: row {int(np.argmin((size > 0.0).all(1)))}: a box without a size")

    ids, first, track = np.unique(boxes["track_uuid"], return_index=True, return_inverse=True)
    if len(ids) * len(clock) > MAX_CELLS:
        raise InputError(f"{name}: {len(ids)} tracks over {len(clock)} steps are more than can be held")
    states = np.zeros((len(ids) + 1, len(clock), 5))
    valid = np.zeros((len(ids) + 1, len(clock)), dtype=np.bool_)
    states[0, :, :3], valid[0] = own, own_valid
    out: list[tuple[str, AgentKind, tuple[float, float, float]]] = [
        (OWN, AgentKind.VEHICLE, (TEST_CAR.length, TEST_CAR.width, TEST_CAR.height))
    ]
    order = np.lexsort((times, track))
    rows_of = np.split(order, np.searchsorted(track[order], np.arange(1, len(ids))))
    unknown: set[str] = set()
    lost, kept = int((~known).sum()), [0]
    for i, rows in enumerate(rows_of):
        word = str(boxes["category"][first[i]])
        rows = rows[known[rows]]
        if word == OWN or not len(rows):
            continue
        if (np.diff(times[rows]) <= 0.0).any():
            raise InputError(f"{name}: track '{ids[i]}' has two boxes at one time")
        at, w, there = _between(times[rows], clock)
        states[i + 1, :, :2] = _mix(centre[rows, :2] - origin, at, w)
        states[i + 1, :, 2] = _mix(unwrap_angle(heading[rows]), at, w)
        valid[i + 1] = there
        if there.any():
            kept.append(i + 1)
            if word not in KINDS:
                unknown.add(word)
            box = np.median(size[rows], axis=0)
            kind = KINDS.get(word, AgentKind.UNKNOWN)
            out.append((str(ids[i]), kind, (float(box[0]), float(box[1]), float(box[2]))))
    states, valid = states[kept], valid[kept]
    states[..., 2] = wrap_angle(states[..., 2])
    states[..., 3:] = velocities(states[..., :2], valid)
    notes = [f"{lost} boxes at times without a pose of the car"] if lost else []
    notes += [f"road users of the unknown category '{word}'" for word in sorted(unknown)]
    rows = [(*who, states[i], valid[i]) for i, who in enumerate(out)]
    return tracks_from_rows(rows), notes
