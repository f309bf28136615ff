"""Drives of the devkit in few bytes, so that the tests can judge them without it.

Columns of float64 become whole numbers of a stated step and their second differences in time, which are small
for whatever moves smoothly; an LZMA-compressed zip of plain arrays holds them (`numpy.load` reads it). Road
users whom the ego could never meet within the metrics' horizon are left out.
"""

from __future__ import annotations

import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import RunLogError
from drive.geometry import arc_length, polyline_curvature, polyline_heading
from drive.roadmap.model import RoadMap
from drive.runlog import RunLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EGO_STEP, AGENT_STEP, MAP_STEP = 1e-9, 1e-5, 1e-5
HORIZON = 4.0
"""s, a little more than the metrics project."""
SLACK = 10.0
_DERIVED = ("heading", "station", "curvature")
_LINES = ("points", "left", "right", "area_points")


def pack(values: NDArray[Any], step: float) -> NDArray[Any]:
    """Second differences along the first axis of `values / step`, rounded."""
    whole = np.round(np.asarray(values, dtype=np.float64) / step).astype(np.int64)
    for _ in range(2):
        whole = np.diff(whole, axis=0, prepend=np.zeros((1, *whole.shape[1:]), dtype=np.int64))
    return _small(whole)


def unpack(stored: NDArray[Any], step: float) -> Floats:
    """Inverse of `pack`, to half a step."""
    whole = stored.astype(np.int64)
    for _ in range(2):
        whole = np.cumsum(whole, axis=0)
    return np.asarray(whole * step, dtype=np.float64)


def _small(whole: NDArray[np.int64]) -> NDArray[Any]:
    top = int(np.abs(whole).max()) if whole.size else 0
    return whole.astype(np.int32) if top < 2**31 else whole


def relevant(run: RunLog) -> NDArray[np.bool_]:
    """Which agents `(A,)` the ego could meet within `HORIZON` at any sample."""
    speed = np.hypot(run.agents[..., 3], run.agents[..., 4])
    gap = np.hypot(run.agents[..., 0] - run.ego[:, 0], run.agents[..., 1] - run.ego[:, 1])
    size = 0.5 * np.hypot(run.agent_size[:, 0], run.agent_size[:, 1])[:, None]
    reach = SLACK + size + HORIZON * (speed + np.abs(run.ego[:, 3]))
    return np.asarray((run.agent_valid & (gap < reach)).any(1))


def _map_arrays(roadmap: RoadMap) -> dict[str, NDArray[Any]]:
    arrays = {k: v for k, v in roadmap.to_arrays().items() if k not in _DERIVED}
    return {k: pack(v, MAP_STEP) if k in _LINES else v for k, v in arrays.items()}


def _map_of(stored: Mapping[str, NDArray[Any]]) -> RoadMap:
    arrays = {k: unpack(v, MAP_STEP) if k in _LINES else v for k, v in stored.items()}
    starts, points = arrays["lane_start"], arrays["points"]
    lanes = [points[a:b] for a, b in pairwise(starts.tolist())]
    for name, of in zip(_DERIVED, (polyline_heading, arc_length, polyline_curvature), strict=True):
        arrays[name] = np.concatenate([of(line) for line in lanes])
    return RoadMap.from_arrays(arrays)


def save(path: Path, drives: Sequence[tuple[dict[str, Any], RunLog]]) -> None:
    """Write drives, each with what is known of it; equal maps are written once."""
    arrays: dict[str, NDArray[Any]] = {}
    index: list[dict[str, Any]] = []
    maps: dict[str, int] = {}
    for k, (about, run) in enumerate(drives):
        assert run.roadmap is not None
        key = run.roadmap.content_hash
        if key not in maps:
            maps[key] = len(maps)
            arrays |= {f"map{maps[key]}.{n}": v for n, v in _map_arrays(run.roadmap).items()}
        keep = relevant(run)
        agents = np.moveaxis(run.agents[keep], 1, 0)
        lateral = run.series.get("ego_lateral_acceleration", np.zeros(len(run.times)))
        arrays |= {
            f"{k}.ego": pack(np.column_stack((run.ego, run.ego_yaw_acceleration, lateral)), EGO_STEP),
            f"{k}.expert": pack(run.expert[:, :3], EGO_STEP),
            f"{k}.agents": pack(agents, AGENT_STEP),
            f"{k}.valid": np.packbits(run.agent_valid[keep], axis=1),
            f"{k}.size": run.agent_size[keep],
            f"{k}.kind": run.agent_kind[keep],
            f"{k}.lanes": run.route_lanes.astype(np.int16),
        }
        header = {name: run.header[name] for name in ("vehicle", "planner", "traffic")}
        index.append({**about, "map": maps[key], "dt": run.dt, "samples": len(run.times), "header": header})
    arrays["index"] = np.frombuffer(json.dumps(index, allow_nan=False).encode(), dtype=np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            # Columns one after the other compress better than rows.
            np.lib.format.write_array(buffer, np.asfortranarray(values), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_LZMA
            )


def load(path: Path) -> list[tuple[dict[str, Any], RunLog]]:
    """The drives of a file that `save` wrote. Raises RunLogError naming the file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = dict(data)
        index = json.loads(arrays["index"].tobytes().decode())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunLogError(f"{path.name} is no store of the devkit's drives ({error})") from None
    maps: dict[int, RoadMap] = {}
    out = []
    for k, about in enumerate(index):
        which = about["map"]
        if which not in maps:
            prefix = f"map{which}."
            maps[which] = _map_of({n[len(prefix) :]: v for n, v in arrays.items() if n.startswith(prefix)})
        out.append(
            (
                about,
                _run(
                    about,
                    {n.partition(".")[2]: v for n, v in arrays.items() if n.startswith(f"{k}.")},
                    maps[which],
                ),
            )
        )
    return out


def _run(about: Mapping[str, Any], stored: Mapping[str, NDArray[Any]], roadmap: RoadMap) -> RunLog:
    n = int(about["samples"])
    ego = unpack(stored["ego"], EGO_STEP)
    agents = np.ascontiguousarray(np.moveaxis(unpack(stored["agents"], AGENT_STEP), 0, 1))
    a = len(agents)
    valid = np.unpackbits(stored["valid"], axis=1, count=n).astype(np.bool_)
    expert = np.zeros((len(stored["expert"]), 7))
    expert[:, :3] = unpack(stored["expert"], EGO_STEP)
    none = np.zeros(0)
    return RunLog(
        header={
            **about["header"],
            "scenario": {
                "id": about["scene"],
                "origin": [0.0, 0.0],
                "family": "",
                "hash": "",
                "dt": about["dt"],
                "expert_source": "human",
            },
            "failure": None,
            "events": [],
        },
        times=about["dt"] * np.arange(n),
        ego=np.ascontiguousarray(ego[:, :7]),
        ego_control=np.zeros((n - 1, 2)),
        ego_yaw_acceleration=ego[:, 7],
        agents=agents,
        agent_valid=valid,
        agent_size=stored["size"],
        agent_kind=stored["kind"],
        agent_controller=np.zeros(a, dtype=np.uint8),
        agent_ids=tuple(str(k) for k in range(a)),
        signals=np.zeros((0, n), dtype=np.uint8),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=none,
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=none,
        plan_states=np.zeros((0, 7), dtype=np.float32),
        expert=expert,
        route_line=np.zeros((0, 2)),
        route_lanes=stored["lanes"].astype(np.int32),
        logged_ego=expert[:n, :3],
        roadmap=roadmap,
        series={"ego_lateral_acceleration": ego[:, 8]} if ego[:, 8].any() else {},
    )
