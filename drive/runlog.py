"""The run log `*.drive.npz`: everything that metrics, viewer and converters read of one run.

A zip of plain arrays and one JSON header: no pickle, no absolute path (of one in the header only the
last part is written). Version 1; a reader refuses versions that it does not know. Fields that have a
default may be missing in a file; entries of the zip that a reader does not know are passed over.

map.* the road map (`RoadMap.to_arrays`), terrain.* the terrain, frame.* the frames of a pseudo-closed loop
(`drive.frames`), series.* the named series, header.npy the header as UTF-8 bytes, every other entry the
field of that name.

header["schema"]    "drive-run/1"
header["scenario"]  id, family, hash, dt, duration, origin, tags, provenance, expert_source, goal
header["planner"]   name, config, privileged
header["traffic"], ["seed"], ["visibility"], ["detection"], ["tracker"], ["vehicle"], ["versions"],
["plan_status"], ["plan_reason"], ["events"], ["failure"] (None or a failure class), ["scores"] (score name ->
metric values, once evaluated); ["mode"] of runs that are not in closed loop; of runs on terrain ["rover"] and
["disturbance"], and the series of `drive.sim.rover`
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError, RunLogError
from drive.files import parse_json, read_npz, write_npz
from drive.frames import Frames
from drive.roadmap.model import RoadMap
from drive.terrain import Terrain
from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_PATH = re.compile(r"(?<![\w./])(?:/|[A-Za-z]:\\)(?:[^\s/\\'\"]+[/\\])+[^\s/\\'\"]*")
SCHEMA = "drive-run/1"
SUFFIX = ".drive.npz"
MODES = ("closed", "pseudo", "open")
"""How plans are used: each until the next one, one a frame for four seconds, or not at all."""


@dataclass(frozen=True, eq=False)
class RunLog:
    """One closed-loop run. N samples, A agents (the ego is not among them), M planner calls.

    times (N,); ego (N, 7) float64 at the rear axle; ego_control (N - 1, 2) acceleration and steering
    rate commanded, of a rover the accelerations of wheels and turn; ego_yaw_acceleration (N,);
    agents (A, N, 5) box centres in TRACK_COLUMNS, agent_valid (A, N), agent_size (A, 3),
    agent_kind (A,), agent_controller (A,) of `drive.sim.Controller`; agent_ids;
    signals (S, N);
    plan_step (M,) sample at which the planner was called, plan_latency (M,) s, plan_start (M + 1,) and
    plan_times, plan_states (rows, 7): the trajectories in compressed rows;
    candidates: flat `cand_start (M + 1,)` over candidates, `cand_poses (C, P, 3)` float32,
    `cand_score (C,)`, `cand_probability (C,)` NaN where unknown, `cand_terms (C, S)` float32 the scores
    that header["cand_names"] names, NaN where a plan gave none, `cand_chosen (M,)` which of the call's
    candidates was taken (-1 none), `cand_shared (M,)` s that a call's candidates have in common (branches),
    `cand_dt` in the header; empty where none were kept;
    expert (N, 7) or empty; route_line (R, 2); logged_ego (N, 3) rear-axle poses of the log, NaN where
    it has none; series: named arrays (N,) or (M,); roadmap or terrain: the environment;
    agent_seen (A, N) whether the ego could see the agent then, False while it is absent; empty where
    that was not recorded;
    frames: the single plans of a pseudo-closed loop, None in other runs;
    heat: what planners drew on the ground, `heat_time (H,)` of the call, `heat_values (H, R, C)` from 0 to
    255 for 0 to `header["heat"]["high"]`, `heat_pose (H, 3)` of the raster's back right corner; cells of
    `header["heat"]["cell"]` m; empty where nothing was drawn.
    """

    header: dict[str, Any]
    times: Floats
    ego: Floats
    ego_control: Floats
    ego_yaw_acceleration: Floats
    agents: Floats
    agent_valid: NDArray[np.bool_]
    agent_size: Floats
    agent_kind: NDArray[np.uint8]
    agent_controller: NDArray[np.uint8]
    agent_ids: tuple[str, ...]
    signals: NDArray[np.uint8]
    plan_step: NDArray[np.int32]
    plan_latency: Floats
    plan_start: NDArray[np.int32]
    plan_times: Floats
    plan_states: NDArray[np.float32]
    expert: Floats
    route_line: Floats
    route_lanes: NDArray[np.int32]
    logged_ego: Floats
    roadmap: RoadMap | None
    cand_start: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1, dtype=np.int32))
    cand_poses: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 3), dtype=np.float32))
    cand_score: Floats = field(default_factory=lambda: np.zeros(0))
    cand_probability: Floats = field(default_factory=lambda: np.zeros(0))
    cand_shared: Floats = field(default_factory=lambda: np.zeros(0))
    cand_terms: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    cand_chosen: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, dtype=np.int32))
    series: Mapping[str, Floats] = field(default_factory=dict)
    terrain: Terrain | None = None
    agent_seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    heat_time: Floats = field(default_factory=lambda: np.zeros(0))
    heat_values: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.uint8))
    heat_pose: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    frames: Frames | None = None

    @property
    def dt(self) -> float:
        return float(self.header["scenario"]["dt"])

    @property
    def vehicle(self) -> VehicleParams:
        return VehicleParams(**self.header["vehicle"])

    @property
    def expert_source(self) -> str:
        return str(self.header["scenario"].get("expert_source") or "")

    @property
    def mode(self) -> str:
        """How the plans were used, of `MODES`."""
        return str(self.header.get("mode", "closed"))

    def plan_states_of(self, call: int) -> NDArray[np.float32]:
        """States `(T, 7)` of the plan made at planner call `call`."""
        return self.plan_states[self.plan_start[call] : self.plan_start[call + 1]]

    def __repr__(self) -> str:
        about = f"{self.header['planner']['name']} in {self.header['scenario']['id']}"
        return f"RunLog({about}, {len(self.times)} samples)"

    def _repr_html_(self) -> str:
        """The replay, where a notebook shows this run."""
        from drive.api import replay_frame

        return replay_frame(self)

    def with_header(self, **entries: Any) -> RunLog:
        """A copy whose header has some entries replaced."""
        return replace(self, header={**self.header, **entries})

    def with_series(self, **series: Floats) -> RunLog:
        """A copy with more named series."""
        return replace(self, series={**self.series, **series})

    def save(self, path: str | Path) -> Path:
        """Write the log; a kill or a full disk never leaves half a file under the final name.

        Raises RunLogError for what such a file cannot hold: objects, and in the header NaN or infinity.
        """
        target = Path(path)
        arrays = self._to_arrays()
        text = json.dumps(
            _plain({**self.header, "schema": SCHEMA}, "header"), sort_keys=True, allow_nan=False
        )
        arrays["header"] = np.frombuffer(text.encode(), dtype=np.uint8)
        return write_npz(target, arrays)

    def _to_arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        arrays["agent_ids"] = np.asarray(self.agent_ids or np.zeros(0), dtype=np.str_)
        arrays |= {f"series.{name}": np.asarray(values) for name, values in self.series.items()}
        for prefix, part in (("map", self.roadmap), ("terrain", self.terrain), ("frame", self.frames)):
            if part is not None:
                arrays |= {f"{prefix}.{name}": values for name, values in part.to_arrays().items()}
        for name, values in arrays.items():
            if values.dtype.hasobject:
                raise RunLogError(f"a run log holds plain arrays only, and '{name}' holds objects")
        return arrays

    @classmethod
    def load(cls, path: str | Path) -> RunLog:
        """Read a log; raises RunLogError naming the file and what is wrong with it."""
        source = Path(path)
        arrays = _read_arrays(source)
        try:
            header = parse_json(arrays.pop("header").tobytes().decode())
            schema = header.get("schema")
        except (KeyError, ValueError, AttributeError):
            raise RunLogError(f"{source.name} is no run log: it has no readable header") from None
        if schema != SCHEMA:
            raise RunLogError(f"{source.name} has version '{schema}', this toolkit reads '{SCHEMA}'")
        missing = [name for name in _ARRAYS if name not in arrays and name not in _OPTIONAL]
        if missing:
            raise RunLogError(f"{source.name} is no whole run log: it lacks {', '.join(missing)}")
        values: dict[str, Any] = {name: arrays[name] for name in _ARRAYS if name in arrays}
        values["agent_ids"] = tuple(str(v) for v in arrays["agent_ids"])
        try:
            if stored := _below(arrays, "map."):
                values["roadmap"] = RoadMap.from_arrays(stored)
            if stored := _below(arrays, "terrain."):
                values["terrain"] = Terrain.from_arrays(stored)
            if stored := _below(arrays, "frame."):
                values["frames"] = Frames.from_arrays(stored)
            run = cls(**{"roadmap": None, **values}, header=header, series=_below(arrays, "series."))
            run.check()
        except DriveError as error:
            raise RunLogError(f"{source.name} is no sound run log: {error}") from None
        except (ValueError, IndexError, TypeError, KeyError) as error:
            raise RunLogError(f"{source.name} is no sound run log ({error})") from None
        return run

    def check(self) -> None:
        """Raise RunLogError where arrays do not fit together; metrics and viewer rely on these shapes."""
        n, a, m = len(self.times), len(self.agents), len(self.plan_step)
        rows = len(self.plan_times)
        expected = {
            "ego": (n, 7),
            "agents": (a, n, 5),
            "agent_valid": (a, n),
            "agent_size": (a, 3),
            "agent_kind": (a,),
            "agent_controller": (a,),
            "plan_latency": (m,),
            "plan_start": (m + 1,),
            "plan_states": (rows, 7),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise RunLogError(f"its array '{name}' has the shape {found} instead of {shape}")
        if self.agent_seen.size and self.agent_seen.shape != (a, n):
            found = self.agent_seen.shape
            raise RunLogError(f"its array 'agent_seen' has the shape {found} instead of {(a, n)}")
        terms = (len(self.cand_poses), len(self.header.get("cand_names") or ()))
        if self.cand_terms.size and self.cand_terms.shape != terms:
            found = self.cand_terms.shape
            raise RunLogError(f"its array 'cand_terms' has the shape {found} instead of {terms}")
        if self.cand_chosen.size and self.cand_chosen.shape != (m,):
            found = self.cand_chosen.shape
            raise RunLogError(f"its array 'cand_chosen' has the shape {found} instead of {(m,)}")
        heats = len(self.heat_time)
        if self.heat_values.ndim != 3 or len(self.heat_values) != heats or self.heat_pose.shape != (heats, 3):
            found = f"{self.heat_values.shape}, {self.heat_pose.shape}"
            raise RunLogError(f"its heat has the shapes {found} instead of ({heats}, R, C), ({heats}, 3)")
        if self.signals.ndim != 2 or self.signals.shape[1] != n:
            raise RunLogError(f"its signals cover {self.signals.shape}, not (S, {n})")
        known = [int(kind) for kind in AgentKind]
        if not np.isin(self.agent_kind, known).all():
            raise RunLogError("its array 'agent_kind' holds kinds of road users that nobody knows")
        if len(self.agent_ids) != a or int(self.plan_start[-1]) != rows:
            raise RunLogError("its agent ids or plans do not fit its other arrays")


_PARTS = ("header", "roadmap", "terrain", "series", "frames")
_ARRAYS = tuple(f.name for f in fields(RunLog) if f.name not in _PARTS)
_OPTIONAL = tuple(
    f.name for f in fields(RunLog) if f.default is not MISSING or f.default_factory is not MISSING
)


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name[len(prefix) :]: values for name, values in arrays.items() if name.startswith(prefix)}


def _read_arrays(source: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a zip; RunLogError where it is none, is damaged, or would need a pickle."""
    try:
        return read_npz(source)
    except FileNotFoundError:
        raise RunLogError(f"{source}: no such file") from None
    except InputError as error:
        raise RunLogError(f"{source.name} is truncated or is no run log ({error})") from None


def _plain(value: Any, where: str) -> Any:
    """A header entry as JSON can hold it; RunLogError names an entry that it cannot."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RunLogError(f"a run log's {where} is {value}: write None for a number that does not exist")
        return value
    if isinstance(value, Path):
        return value.name
    if isinstance(value, str):
        return _without_folder(value)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist(), where)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value), where)
    if isinstance(value, Mapping):
        return {str(k): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise RunLogError(f"a run log's {where} is {type(value).__name__}, which JSON cannot hold")


def _without_folder(text: str) -> str:
    """The text with absolute paths cut to their last part: logs are sent to other people."""
    if " " not in text:
        for kind in (PurePosixPath, PureWindowsPath):
            path = kind(text)
            if path.is_absolute() and path.name:
                return path.name
    return _PATH.sub(lambda match: re.split(r"[/\\]", match.group(0).rstrip("/\\"))[-1], text)
