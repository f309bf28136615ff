"""The toolkit's own scenario file `*.scene.npz`: one scenario, whole, whatever it was read from.

A zip of plain arrays (numpy's .npy) and one JSON header; no pickle. Version 1; a reader refuses versions that
it does not know, passes over entries that it does not know, and refuses a file whose hash does not fit.

header          UTF-8 bytes of JSON: schema "drive-scene/1", id, family, tags, dt, duration, ego (row of the
                tracks), origin, vehicle, rover (or null), track_ids, commands, expert_source (or null),
                environment "road" or "terrain", provenance
hash            ASCII bytes of the BLAKE2b digest (16 bytes, hex) of all other entries, as
                `drive.roadmap.hash_arrays` makes it
map.*           the arrays of `RoadMap.to_arrays`, or terrain.* those of `Terrain.to_arrays`
track_states (A, T, 5), track_valid (A, T), track_size (A, 3), track_kind (A,), track_rear (A,)
initial (7,), signals (S, T), expert (T, 7) if there is one
route_lanes, route_groups, route_line (N, 2), goal_lanes, goal_position (2,) and goal_polygon (N, 2) if there
are such, goal_bounds (3, 2): low and high of heading, speed and time, NaN where none is asked for
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.recording import Recording, ego_scenario, egos
from drive.datasets.source import paths_of, split_ref
from drive.errors import DriveError, InputError, ScenarioError
from drive.files import read_npz, write_npz
from drive.roadmap import RoadMap, hash_arrays
from drive.scenario import Expert, Goal, Provenance, Route, Scenario, Tracks
from drive.terrain import Terrain
from drive.vehicle import RoverParams, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SCHEMA = "drive-scene/1"
SUFFIX = ".scene.npz"
MAX_BYTES = 1 << 30
MAX_STEPS = 100_000
_TRACKS = {
    **{"states": "track_states", "valid": "track_valid", "size": "track_size"},
    **{"kind": "track_kind", "rear_to_centre": "track_rear"},
}
_BOUNDS = ("heading", "speed", "time")


def _recorded(scenario: Scenario) -> Scenario:
    """The scenario without what its traffic needs to be live."""
    if not scenario.live:
        return scenario
    note = f"only the recording of its live traffic ({', '.join(scenario.live)})"
    about = replace(scenario.provenance, notes=(*scenario.provenance.notes, note))
    return scenario.with_(live={}, provenance=about)


def save_scene(scenario: Scenario, path: str | Path) -> Path:
    """Write a scenario; reading the file gives it back bit for bit. Raises InputError for another ending.

    Live traffic (`Scenario.live`) does not go along, its recording does, and the provenance says so.
    """
    target = Path(path)
    if not target.name.endswith(SUFFIX):
        raise InputError(f"{target.name}: a scenario file's name ends in {SUFFIX}")
    s, goal = _recorded(scenario), scenario.route.goal
    arrays: dict[str, NDArray[Any]] = {
        stored: np.asarray(getattr(s.tracks, field)) for field, stored in _TRACKS.items()
    }
    prefix = "map" if isinstance(s.environment, RoadMap) else "terrain"
    arrays |= {f"{prefix}.{name}": values for name, values in s.environment.to_arrays().items()}
    bounds = [getattr(goal, name) or (np.nan, np.nan) for name in _BOUNDS]
    arrays |= {
        "initial": s.initial,
        "signals": s.signals,
        "route_lanes": np.asarray(s.route.lanes, dtype=np.int64),
        "route_groups": np.asarray(s.route.groups, dtype=np.int64),
        "route_line": s.route.line,
        "goal_lanes": np.asarray(goal.lanes, dtype=np.int64),
        "goal_bounds": np.asarray(bounds, dtype=np.float64),
    }
    optional = {"goal_position": goal.position, "goal_polygon": goal.polygon}
    optional["expert"] = None if s.expert is None else s.expert.states
    arrays |= {name: values for name, values in optional.items() if values is not None}
    header = {
        "schema": SCHEMA,
        "id": s.id,
        "family": s.family,
        "tags": list(s.tags),
        "dt": float(s.dt),
        "duration": float(s.duration),
        "ego": int(s.ego),
        "origin": [float(v) for v in s.origin],
        "vehicle": asdict(s.vehicle),
        "rover": None if s.rover is None else asdict(s.rover),
        "track_ids": list(s.tracks.ids),
        "commands": [[float(station), word] for station, word in s.route.commands],
        "expert_source": None if s.expert is None else s.expert.source,
        "environment": "road" if prefix == "map" else "terrain",
        "provenance": asdict(s.provenance),
    }
    arrays["header"] = _bytes(json.dumps(header, sort_keys=True, allow_nan=False))
    arrays["hash"] = _bytes(hash_arrays(arrays))
    return write_npz(target, arrays)


def load_scene(path: str | Path) -> Scenario:
    """Read a scenario. Raises InputError or one of its kinds, naming the file and what is wrong with it."""
    source = Path(path)
    arrays = _arrays(source)
    header = _header(source.name, arrays)
    try:
        scenario = _scenario(header, arrays)
    except DriveError as error:
        raise ScenarioError(f"{source.name} holds no sound scenario: {error}") from None
    except KeyError as error:
        raise ScenarioError(f"{source.name} is no whole scenario file: it lacks {error}") from None
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ScenarioError(f"{source.name} holds no sound scenario ({error})") from None
    return scenario


def _arrays(source: Path) -> dict[str, NDArray[Any]]:
    try:
        return read_npz(source, MAX_BYTES)
    except FileNotFoundError:
        raise InputError(f"{source}: no such file") from None
    except InputError as error:
        raise InputError(f"{source.name} is truncated or is no scenario file ({error})") from None


def _header(name: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The header of a file whose version is known and whose hash fits."""
    try:
        header: Any = json.loads(arrays["header"].tobytes())
        schema = header.get("schema")
        digest = arrays.pop("hash").tobytes().decode("ascii")
    except (KeyError, ValueError, AttributeError, RecursionError):
        raise InputError(f"{name} is no scenario file: it has no readable header and hash") from None
    if schema != SCHEMA:
        raise InputError(f"{name} has version '{schema}', this toolkit reads '{SCHEMA}'")
    if hash_arrays(arrays) != digest:
        raise InputError(f"{name} does not fit its own hash: it is damaged; write it again with save_scene")
    return dict(header)


def _scenario(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Scenario:
    prefix = "map." if header["environment"] == "road" else "terrain."
    stored = {name[len(prefix) :]: values for name, values in arrays.items() if name.startswith(prefix)}
    environment = RoadMap.from_arrays(stored) if prefix == "map." else Terrain.from_arrays(stored)
    if not 0.0 <= float(header["duration"]) <= MAX_STEPS * float(header["dt"]):
        raise ScenarioError(f"it lasts {header['duration']} s in steps of {header['dt']} s")
    ids = tuple(str(v) for v in header["track_ids"])
    tracks = Tracks(**{field: arrays[stored] for field, stored in _TRACKS.items()}, ids=ids)
    bounds = arrays["goal_bounds"].reshape(3, 2).tolist()
    spans = [None if np.isnan(pair).any() else (pair[0], pair[1]) for pair in bounds]
    goal = Goal(
        arrays.get("goal_position"),
        arrays.get("goal_polygon"),
        tuple(int(v) for v in arrays["goal_lanes"]),
        *spans,
    )
    route = Route(
        tuple(int(v) for v in arrays["route_lanes"]),
        tuple(int(v) for v in arrays["route_groups"]),
        arrays["route_line"],
        goal,
        tuple((float(station), str(word)) for station, word in header["commands"]),
    )
    said = dict(header["provenance"])
    x, y = header["origin"]
    return Scenario(
        id=str(header["id"]),
        dt=float(header["dt"]),
        duration=float(header["duration"]),
        environment=environment,
        tracks=tracks,
        ego=int(header["ego"]),
        initial=arrays["initial"],
        vehicle=VehicleParams(**header["vehicle"]),
        route=route,
        expert=None if "expert" not in arrays else Expert(arrays["expert"], str(header["expert_source"])),
        signals=arrays["signals"],
        origin=(float(x), float(y)),
        family=str(header["family"]),
        tags=tuple(str(tag) for tag in header["tags"]),
        provenance=Provenance(**{**said, "notes": tuple(said["notes"])}),
        rover=None if header["rover"] is None else RoverParams(**header["rover"]),
    )


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class NativeSource:
    """The source "native": `x.scene.npz`, or `x.scene.npz#@track` with another of its tracks as the ego."""

    name: str = "native"
    egos: int = 3
    written: str = SUFFIX
    separate: bool = True

    def matches(self, ref: str) -> bool:
        path = Path(split_ref(ref)[0])
        return path.name.endswith(SUFFIX) and path.is_file()

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """The reference itself; for "recorded" one for each of the `egos` vehicles that drive farthest."""
        if "#" in ref:
            return [ref]
        if ego == "planned":
            self.environment(ref)  # a damaged file is told here
            return [ref]
        recording = _recording(load_scene(ref))
        return [f"{ref}#@{track}" for track in egos(recording, ego, self.egos)]

    def environment(self, ref: str) -> str:
        path = Path(split_ref(ref)[0])
        return str(_header(path.name, _arrays(path)).get("environment"))

    def load(self, ref: str) -> Scenario:
        """Load one scenario; raises InputError or one of its kinds, naming the file."""
        where, scene, track = split_ref(ref)
        scenario = load_scene(where)
        if scene:
            raise InputError(f"{Path(where).name} holds one scenario; leave '#{scene}' out")
        return ego_scenario(_recording(scenario), track, f"{scenario.id}@{track}") if track else scenario

    def write(self, scenarios: Sequence[Scenario], out: Path) -> list[Path]:
        """One file a scenario in the folder `out`; one scenario also under the name `out` itself."""
        return [save_scene(scenario, path) for scenario, path in paths_of(scenarios, out, SUFFIX)]


def _recording(scenario: Scenario) -> Recording:
    said = scenario.provenance
    return Recording(
        file=said.source or scenario.id,
        scene=scenario.id,
        format=said.format,
        licence=said.licence,
        family=scenario.family,
        tracks=scenario.tracks,
        roadmap=scenario.roadmap,
        origin=scenario.origin,
        signals=scenario.signals,
        planned=(),
        tags=scenario.tags,
        notes=said.notes,
    )


SOURCE = NativeSource()
