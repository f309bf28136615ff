"""A record of Waymo Open Motion as a `Recording`: tracks, signals, map.

The numbers of the fields are those of the public `scenario.proto` and `map.proto` of the Waymo Open Dataset
(Ettinger et al., "Large Scale Interactive Motion Forecasting for Autonomous Driving", ICCV 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.conventions import DT, origin_near
from drive.datasets.recording import Recording
from drive.datasets.waymo.features import Features, read_features
from drive.datasets.waymo.roadmap import build_roadmap
from drive.datasets.waymo.wire import Message, table_of
from drive.errors import DriveError, InputError
from drive.geometry import wrap_angle
from drive.scenario import SignalState, Tracks, tracks_from_rows
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LICENCE = "Waymo Dataset License Agreement for Non-Commercial Use"
# Scenario
TIMES, TRACKS, SCENARIO_ID, OWN_TRACK, SIGNALS, TO_PREDICT = 1, 2, 5, 6, 7, 11
# Track, and the columns of a state
TRACK_ID, TRACK_KIND, TRACK_STATES = 1, 2, 3
X, Y, LENGTH, WIDTH, HEIGHT, HEADING, VX, VY, VALID = 2, 3, 5, 6, 7, 8, 9, 10, 11
# DynamicMapState and TrafficSignalLaneState
LANE_STATES, SIGNAL_LANE, SIGNAL_STATE, STOP_POINT = 1, 1, 2, 3
KINDS = {1: AgentKind.VEHICLE, 2: AgentKind.PEDESTRIAN, 3: AgentKind.BICYCLE}
STATES = {
    **dict.fromkeys((1, 4), SignalState.RED),  # arrow and round
    **dict.fromkeys((2, 5), SignalState.YELLOW),
    **dict.fromkeys((3, 6), SignalState.GREEN),
}
"""Flashing signals (7, 8) do not say who may go: unknown, as a signal that is not seen."""
MAX_STEPS = 10_000
MAX_TRACKS = 20_000
MAX_VALUE = 1e8


def read_scene(data: NDArray[np.uint8], file: str) -> Recording:
    """Read one record's scenario. Raises InputError naming the file and what is wrong or missing."""
    try:
        message = Message.of(data)
        scene = message.text(SCENARIO_ID)
        if not message.has(TRACKS) or not message.has(TIMES):
            raise InputError(
                "the record holds no motion scenario (of the two forms of the data set, Scenario is read, "
                "not tf.Example)"
            )
        count = _clock(message.doubles(TIMES))
        tracks, own, to_predict, origin = _tracks(message, count)
        signals, stops = _signals(message, count)
        features = read_features(message)
        roadmap, notes = build_roadmap(features, origin, {lane: stops[lane] for lane in signals})
    except DriveError as error:
        raise type(error)(f"{file}: {error}") from None
    shown = np.zeros((len(roadmap.signal_ids), count), dtype=np.uint8)
    for row, name in enumerate(roadmap.signal_ids):
        shown[row] = signals[int(name)]
    return Recording(
        file=file,
        scene=scene,
        format="Waymo Open Motion",
        licence=LICENCE,
        family="waymo/motion",
        tracks=tracks,
        roadmap=roadmap,
        origin=origin,
        signals=shown,
        planned=tuple(dict.fromkeys((own, *to_predict))),
        own=own,
        notes=(*_said(features), *notes),
    )


def scene_id(data: NDArray[np.uint8]) -> str:
    """The id of a record's scenario."""
    return Message.of(data).text(SCENARIO_ID)


def _said(features: Features) -> tuple[str, ...]:
    notes = [
        "drivable ground is approximated: within 4 m of a lane's middle, up to road edges, and driveways",
        "lane widths are those between road lines, neighbours and edges, and 3.5 m where none is known",
    ]
    notes += [f"{n} {name} are left out" for name, n in features.left_out.items() if n]
    return tuple(notes)


def _clock(times: Floats) -> int:
    """The number of samples of a clock of 10 Hz, whose jitter is left aside."""
    if not 2 <= len(times) <= MAX_STEPS:
        raise InputError(f"the scenario has {len(times)} time steps")
    steps = np.diff(times)
    if not (np.abs(steps - DT) < 0.5 * DT).all():
        worst = float(steps[np.argmax(np.abs(steps - DT))])
        raise InputError(f"the scenario's time steps are not {DT:g} s apart (one is {worst:g} s)")
    return len(times)


def _tracks(message: Message, count: int) -> tuple[Tracks, str, tuple[str, ...], tuple[float, float]]:
    """Tracks, the id of the recording car's, those of the tracks to predict, and the origin near the car."""
    spans = message.spans(TRACKS)
    if len(spans[0]) > MAX_TRACKS:
        raise InputError(f"the scenario has {len(spans[0])} tracks")
    messages = list(message.messages(TRACKS))
    own = message.number(OWN_TRACK, -1)
    if not 0 <= own < len(messages):
        raise InputError(f"the recording car's track ({own}) is none of the {len(messages)} tracks")
    states = np.stack([_states(track, count) for track in messages])
    valid = states[..., VALID] != 0.0
    ids = [str(track.number(TRACK_ID)) for track in messages]
    if len(set(ids)) != len(ids):
        raise InputError("two tracks have the same id")
    columns = states[..., [X, Y, HEADING, VX, VY, LENGTH, WIDTH, HEIGHT]]
    bad = ~(np.abs(columns[valid]) < MAX_VALUE).all(-1)
    if bad.any():
        agent, step = np.argwhere(valid)[int(np.argmax(bad))]
        raise InputError(f"track {ids[agent]}, step {step}: a valid state holds a value that is not finite")
    if not valid[own].any():
        raise InputError(f"the recording car's track '{ids[own]}' has no valid state")
    first = states[own, int(np.argmax(valid[own]))]
    origin = origin_near(float(first[X]), float(first[Y]))
    rows = []
    for i, track in enumerate(messages):
        if not valid[i].any():
            continue
        box = np.median(states[i, valid[i]][:, [LENGTH, WIDTH, HEIGHT]], axis=0)
        if not (box > 0.0).all():
            raise InputError(f"track '{ids[i]}' has no size")
        pose = np.zeros((count, 5))
        pose[:, :2] = states[i][:, [X, Y]] - origin
        pose[:, 2] = wrap_angle(states[i][:, HEADING])
        pose[:, 3:] = states[i][:, [VX, VY]]
        kind = KINDS.get(track.number(TRACK_KIND), AgentKind.UNKNOWN)
        rows.append((ids[i], kind, (float(box[0]), float(box[1]), float(box[2])), pose, valid[i]))
    asked = [int(v) for v in message.table(TO_PREDICT, 2)[:, 1]]
    return tracks_from_rows(rows), ids[own], tuple(ids[i] for i in asked if 0 <= i < len(ids)), origin


def _states(track: Message, count: int) -> Floats:
    starts, ends = track.spans(TRACK_STATES)
    if len(starts) != count:
        name = track.number(TRACK_ID)
        raise InputError(f"track '{name}' has {len(starts)} states for {count} time steps")
    return table_of(track.data, starts, ends, VALID + 1)


def _signals(message: Message, count: int) -> tuple[dict[int, NDArray[np.uint8]], dict[int, Floats]]:
    """By lane: states over time, and the last stop point that was told, NaN for none."""
    states: dict[int, NDArray[np.uint8]] = {}
    stops: dict[int, Floats] = {}
    starts, _ = message.spans(SIGNALS)
    if len(starts) not in (0, count):
        raise InputError(f"the scenario has signals at {len(starts)} of {count} time steps")
    for step, moment in enumerate(message.messages(SIGNALS)):
        for signal in moment.messages(LANE_STATES):
            lane = signal.number(SIGNAL_LANE, -1)
            row = states.setdefault(lane, np.zeros(count, dtype=np.uint8))
            row[step] = STATES.get(signal.number(SIGNAL_STATE), SignalState.UNKNOWN)
            point = signal.table(STOP_POINT, 4)
            stops.setdefault(lane, np.full(2, np.nan))
            if len(point) and np.isfinite(point[-1, 1:3]).all():
                stops[lane] = point[-1, 1:3]
    return states, stops
