"""Recorded traffic on one clock, and the scenarios in which one of its vehicles is the ego.

Argoverse 2 and Waymo share this shape: a grid of tracks over time, a local map, no task of anybody's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.conventions import DT, MAX_DURATION, MIN_DISTANCE, SHORT, expert_states, implausible
from drive.datasets.matching import STRIDE, driven_lanes, lanes_under, make_route, start_lanes
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.geometry import box_corners
from drive.roadmap import DrivableArea
from drive.scenario import Expert, Goal, Provenance, Scenario, Tracks
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

REACH = 3
"""Samples before and after one whose positions give its velocity, where the source has none."""
SOON = 2.0
"""Seconds that a scenario begins later at most, for its ego to be on the map with all of its length."""
STANDS = 1.0
"""Metres within which all positions of somebody who only stands lie; boxes of parked cars jitter."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A stretch of recorded traffic, sampled every 0.1 s, in metres relative to `origin`.

    `planned` are the tracks that the source itself puts forward as egos, best first; `own` the track of the
    recording vehicle with its `vehicle`, if the source has one. `signals (S, T)` as in `Scenario`.
    """

    file: str
    scene: str
    format: str
    licence: str
    family: str
    tracks: Tracks
    roadmap: RoadMap
    origin: tuple[float, float]
    signals: NDArray[np.uint8]
    planned: tuple[str, ...]
    own: str = ""
    vehicle: VehicleParams | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ego_scenario(recording: Recording, track: str, name: str) -> Scenario:
    """The scenario `name` in which `track` is the ego and its own motion the expert's.

    The clock runs over the track's longest stretch without a gap, 20 s at most, and of that over the part
    whose lanes hang together: maps end where the recording car's sight does. Raises ScenarioError for an
    unknown track, one that is no motor vehicle, one without two samples in a row, or one that is on no lane.
    """
    row = _row(recording, track)
    who = f"{recording.file}: track '{track}'"
    kind = AgentKind(int(recording.tracks.kind[row]))
    if not kind.is_motor_vehicle:
        raise ScenarioError(f"{who} is a {kind.name.lower()}; only a motor vehicle can be the ego")
    first, last = longest_run(recording.tracks.valid[row])
    last = min(last, first + round(MAX_DURATION / DT))
    if last <= first:
        raise ScenarioError(f"{who} has no two valid samples in a row; choose another track")
    total = int(recording.tracks.valid[row].sum())
    poses = recording.tracks.states[row, first : last + 1, :3]
    begin, end, lanes = _on_lanes(recording.roadmap, poses)
    begin += _onto_ground(recording, row, poses[begin : end + 1])
    if end <= begin:
        raise ScenarioError(f"{who} never is on a lane; choose another track")
    first, last = first + begin, first + end
    tracks = _window(recording.tracks, first, last)
    ego = tracks.ids.index(track)
    vehicle = recording.vehicle if track == recording.own else None
    vehicle = vehicle or VehicleParams.from_box(*(float(v) for v in tracks.size[ego]))
    rear = tracks.rear_to_centre.copy()
    rear[ego] = vehicle.rear_axle_to_center
    tracks = replace(tracks, rear_to_centre=rear)
    states = expert_states(tracks.states[ego], vehicle)
    duration = DT * (last - first)
    short = ("short",) if duration < SHORT - 1e-9 else ()
    more = total - (last - first + 1)
    notes = (
        (f"{more} more samples of the ego lie beyond a gap, off the lanes, or after 20 s",) if more else ()
    )
    goal = Goal(position=tracks.states[ego, -1, :2].copy())
    return Scenario(
        id=name,
        dt=DT,
        duration=duration,
        environment=recording.roadmap,
        tracks=tracks,
        ego=ego,
        initial=states[0].copy(),
        vehicle=vehicle,
        route=make_route(recording.roadmap, states[0], lanes, goal),
        # Who or what drives a recording vehicle is not told.
        expert=Expert(states, "recorded" if track == recording.own else "human"),
        signals=recording.signals[:, first : last + 1],
        origin=recording.origin,
        family=recording.family,
        tags=(*recording.tags, *short),
        provenance=Provenance(
            recording.file, recording.format, recording.licence, notes=(*recording.notes, *notes)
        ),
    )


def _on_lanes(roadmap: RoadMap, poses: Floats) -> tuple[int, int, tuple[int, ...]]:
    """First and last sample of the part of a way `(T, 3)` with most samples on one sequence of lanes, and
    these lanes; (0, 0, ()) for a way on none."""
    picks = list(dict.fromkeys([*range(0, len(poses), STRIDE), len(poses) - 1]))
    under = {k: {lane for lane, _ in lanes_under(roadmap, poses[k, :2], float(poses[k, 2]))} for k in picks}
    on = [k for k in picks if under[k]]
    best: tuple[int, int, tuple[int, ...]] = (0, 0, ())
    most = 0
    for i, start in enumerate(on):
        if len(on) - i <= most:  # what is left cannot be more
            break
        lanes = driven_lanes(roadmap, poses[start:])
        good = [k for k in on[i:] if under[k] & set(lanes)]
        if len(good) > most:
            most, best = len(good), (start, good[-1], lanes)
    return best


def _onto_ground(recording: Recording, row: int, poses: Floats) -> int:
    """The first sample of a way `(T, 3)` at which the whole vehicle is on the map's ground, where that is
    soon; else 0: whoever drives half on the kerb does so."""
    soon = poses[: round(SOON / DT)]
    if not len(soon):
        return 0
    length, width = recording.tracks.size[row, :2]
    corners = box_corners(soon[:, :2], soon[:, 2], length, width)
    inside = DrivableArea.of(recording.roadmap).contains(corners).all(1)
    return int(np.argmax(inside))


def egos(recording: Recording, ego: str, count: int) -> list[str]:
    """Tracks to drive: for "planned" the first of `planned` that can be the ego, for "recorded" the `count`
    motor vehicles that drive farthest among those recorded for 3 s in a row. Raises ScenarioError for none.
    """
    tracks = recording.tracks
    if ego == "planned":
        fault = "it names no vehicle as ego"
        for track in recording.planned:
            try:
                ego_scenario(recording, track, recording.scene)
            except InputError as error:
                fault = str(error)
                continue
            return [track]
        raise ScenarioError(f"{recording.file}: no ego: {fault.removeprefix(f'{recording.file}: ')}")
    rows: list[tuple[float, str]] = []
    for row, track in enumerate(tracks.ids):
        if not AgentKind(int(tracks.kind[row])).is_motor_vehicle:
            continue
        first, last = longest_run(tracks.valid[row])
        run = tracks.states[row, first : last + 1]
        distance = float(np.hypot(*np.diff(run[:, :2], axis=0).T).sum())
        if (last - first) * DT < SHORT - 1e-9 or distance < MIN_DISTANCE or implausible(run, DT):
            continue
        if start_lanes(recording.roadmap, run[0, :2], float(run[0, 2])):
            rows.append((distance, track))
    rows.sort(key=lambda item: (-item[0], item[1]))
    if not rows:
        raise ScenarioError(f"{recording.file}: no recorded motor vehicle that moves on a lane for 3 s")
    return [track for _, track in rows[:count]]


def longest_run(valid: Bools) -> tuple[int, int]:
    """First and last sample of the longest stretch without a gap; the first such one. (0, -1) for none."""
    steps = np.flatnonzero(valid)
    if not len(steps):
        return 0, -1
    run = max(np.split(steps, np.flatnonzero(np.diff(steps) != 1) + 1), key=len)
    return int(run[0]), int(run[-1])


def velocities(positions: Floats, valid: Bools, dt: float = DT) -> Floats:
    """Velocities `(A, T, 2)` of positions `(A, T, 2)`, where `valid (A, T)`: the slope of the least-squares
    line through the valid samples at most `REACH` away. Zero for who has one sample, or only stands.
    """
    s0, s1, s2 = (np.zeros(valid.shape) for _ in range(3))
    p0, p1 = np.zeros(positions.shape), np.zeros(positions.shape)
    n = valid.shape[1]
    # Relative to its first sample no track loses digits.
    start = positions[np.arange(len(valid)), np.argmax(valid, axis=1)]
    local = np.where(valid[..., None], positions - start[:, None], 0.0)
    for k in range(-REACH, REACH + 1):
        to, of = slice(max(-k, 0), n - max(k, 0)), slice(max(k, 0), n - max(-k, 0))
        w = valid[:, of].astype(np.float64)
        s0[:, to] += w
        s1[:, to] += k * w
        s2[:, to] += k * k * w
        p0[:, to] += local[:, of]
        p1[:, to] += k * local[:, of]
    spread = s0 * s2 - s1 * s1
    slope = (s0[..., None] * p1 - s1[..., None] * p0) / np.where(spread > 0.0, spread, 1.0)[..., None]
    low = np.where(valid[..., None], local, np.inf).min(1)
    high = np.where(valid[..., None], local, -np.inf).max(1)
    moves = np.hypot(*(high - low).T) > STANDS
    return np.where((valid & (spread > 0.0) & moves[:, None])[..., None], slope / dt, 0.0)


def _row(recording: Recording, track: str) -> int:
    try:
        return recording.tracks.ids.index(track)
    except ValueError:
        raise ScenarioError(f"{recording.file}: there is no track '{track}' in '{recording.scene}'") from None


def _window(tracks: Tracks, first: int, last: int) -> Tracks:
    """The samples from `first` to `last` of everybody who appears then."""
    seen = np.flatnonzero(tracks.valid[:, first : last + 1].any(1))
    cut = tracks.select(seen)
    return replace(cut, states=cut.states[:, first : last + 1], valid=cut.valid[:, first : last + 1])


def check_scene(recording: Recording, scene: str) -> None:
    """Raise UnknownNameError where a reference names another scene than the one in the file."""
    if scene and scene != recording.scene:
        raise UnknownNameError(f"scenario of {recording.file}", scene, [recording.scene])
