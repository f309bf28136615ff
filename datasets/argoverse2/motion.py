"""Argoverse 2 motion forecasting: one Parquet table a scenario, a row per track and time step at 10 Hz.

Format: Wilson et al., "Argoverse 2: Next Generation Datasets for Self-Driving Perception and Forecasting",
NeurIPS Datasets 2021, section 3.2, and the public devkit's schema.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drive.datasets.argoverse2.fragments import join_fragments
from drive.datasets.argoverse2.roadmap import read_map
from drive.datasets.argoverse2.tables import FLOAT, INT, TEXT, read_table
from drive.datasets.conventions import DT, origin_near
from drive.datasets.recording import Recording
from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.scenario import Tracks, tracks_from_rows
from drive.vehicle import AgentKind, VehicleParams, rear_to_center

LICENCE = "CC BY-NC-SA 4.0 (Argoverse 2, non-commercial)"
COLUMNS = {
    **dict.fromkeys(("track_id", "object_type", "scenario_id", "focal_track_id", "city"), TEXT),
    **dict.fromkeys(("timestep", "num_timestamps"), INT),
    **dict.fromkeys(("position_x", "position_y", "heading", "velocity_x", "velocity_y"), FLOAT),
}
AV = "AV"
"""The id of the recording vehicle's track."""
MAX_STEPS = 10_000
MAX_CELLS = 20_000_000
MAX_SPEED = 100.0
# The tables have no sizes. These are typical of what the sensor logs' boxes measure, in m.
KINDS = {
    "vehicle": (AgentKind.VEHICLE, (4.5, 1.9, 1.6)),
    "bus": (AgentKind.BUS, (11.5, 2.9, 3.0)),
    "motorcyclist": (AgentKind.MOTORCYCLE, (2.0, 0.8, 1.6)),
    "cyclist": (AgentKind.BICYCLE, (1.8, 0.7, 1.7)),
    "pedestrian": (AgentKind.PEDESTRIAN, (0.7, 0.7, 1.8)),
    "riderless_bicycle": (AgentKind.STATIC, (1.6, 0.6, 1.2)),
    "static": (AgentKind.STATIC, (0.5, 0.5, 1.0)),
    "background": (AgentKind.STATIC, (0.5, 0.5, 1.0)),
    "construction": (AgentKind.STATIC, (0.4, 0.4, 0.9)),
    "unknown": (AgentKind.UNKNOWN, (1.0, 1.0, 1.5)),
}
TEST_CAR = VehicleParams(
    length=4.877, width=2.0, height=1.473, wheelbase=2.85, rear_axle_to_center=1.366, max_steering=0.6
)
"""The recording car, a Ford Fusion: its box as the sensor logs annotate it, and its wheelbase. The rear axle
is taken 0.28 of the length behind the centre."""


def read_motion(path: Path) -> Recording:
    """Read a scenario table and the map beside it.

    The focal track is planned as the ego, and the recording car where the focal one cannot be. The car's
    positions are taken as its rear axle's, as its poses in the sensor logs are; everybody else's are centres.
    Raises InputError naming the file for what `read_table` refuses, for several scenarios in one table, two
    rows of a track at one step, steps outside of the clock, and a map that is missing or bad.
    """
    data = read_table(path, COLUMNS)
    single = {}
    for name in ("scenario_id", "focal_track_id", "city", "num_timestamps"):
        found = np.unique(data[name])
        if len(found) != 1:
            raise InputError(f"{path.name}: '{name}' has {len(found)} values in one table, not one")
        single[name] = found[0]
    scene, focal, steps = str(single["scenario_id"]), str(single["focal_track_id"]), data["timestep"]
    count = int(single["num_timestamps"])
    if not (2 <= count <= MAX_STEPS and steps.min() >= 0 and steps.max() < count):
        raise InputError(f"{path.name}: time steps {steps.min()} to {steps.max()} of {count} make no clock")
    start = data["track_id"] == focal
    at = int(np.argmax(start))  # the first row where there is no focal track
    origin = origin_near(float(data["position_x"][at]), float(data["position_y"][at]))
    pieces, notes = _tracks(path.name, data, count, origin)
    tracks, joined = join_fragments(pieces, DT)
    if joined:
        pairs = ", ".join(f"{gone} to {kept}" for gone, kept in joined)
        notes.append(f"{len(joined)} tracks that go on where another ends are joined to it: {pairs}")
    roadmap, said = read_map(map_beside(path.parent, scene), origin)
    return Recording(
        file=path.name,
        scene=scene,
        format="Argoverse 2 motion forecasting",
        licence=LICENCE,
        family="argoverse2/motion",
        tracks=tracks,
        roadmap=roadmap,
        origin=origin,
        signals=np.zeros((0, count), dtype=np.uint8),
        planned=tuple(dict.fromkeys((focal, AV))),
        own=AV,
        vehicle=TEST_CAR,
        tags=(str(single["city"]),),
        notes=("sizes of road users are typical ones: the table has none", *said, *notes),
    )


def map_beside(folder: Path, log: str) -> Path:
    """The vector map in a folder: the one of that name, or the only one. Raises InputError for none."""
    found = sorted(folder.glob("log_map_archive_*.json"))
    named = [path for path in found if path.name.startswith(f"log_map_archive_{log}")]
    if len(named) == 1:
        return named[0]
    if len(found) != 1:
        raise InputError(
            f"{log}: {len(found)} maps beside it in '{folder.name}'; put log_map_archive_{log}.json there"
        )
    return found[0]


def _tracks(
    name: str, data: dict[str, np.ndarray], count: int, origin: tuple[float, float]
) -> tuple[Tracks, list[str]]:
    ids, first, track = np.unique(data["track_id"], return_index=True, return_inverse=True)
    cell = track * count + data["timestep"]
    if len(np.unique(cell)) != len(cell):
        raise InputError(f"{name}: a track has two rows at one time step")
    if len(ids) * count > MAX_CELLS:
        raise InputError(f"{name}: {len(ids)} tracks over {count} steps are more than can be held")
    fast = np.hypot(data["velocity_x"], data["velocity_y"]) > MAX_SPEED
    if fast.any():
        raise InputError(f"{name}: row {int(np.argmax(fast))}: a road user faster than {MAX_SPEED:g} m/s")
    states, valid = np.zeros((len(ids), count, 5)), np.zeros((len(ids), count), dtype=np.bool_)
    heading = wrap_angle(data["heading"])
    xy = np.stack((data["position_x"], data["position_y"]), axis=-1) - origin
    rows = np.column_stack((xy, heading, data["velocity_x"], data["velocity_y"]))
    own = data["track_id"] == AV
    rows[own, :2] = rear_to_center(rows[own], TEST_CAR.rear_axle_to_center)
    states[track, data["timestep"]] = rows
    valid[track, data["timestep"]] = True
    unknown: set[str] = set()
    out = []
    for i, ident in enumerate(ids):
        word = str(data["object_type"][first[i]])
        if word not in KINDS:
            unknown.add(word)
        kind, size = KINDS.get(word, KINDS["unknown"])
        if ident == AV:
            size = (TEST_CAR.length, TEST_CAR.width, TEST_CAR.height)
        out.append((str(ident), kind, size, states[i], valid[i]))
    notes = [f"road users of the unknown type '{word}'" for word in sorted(unknown)]
    return tracks_from_rows(out), notes
