"""Run logs: round trip, equal bytes, and everything that is not a sound run log."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from drive.errors import RunLogError
from drive.roadmap import LaneSpec, RoadMapBuilder
from drive.runlog import SCHEMA, RunLog
from drive.terrain import Terrain
from drive.vehicle import VehicleParams

N, A, M, ROWS = 6, 2, 3, 12


def road():
    at = np.linspace(0, 50, 6)
    builder = RoadMapBuilder()
    builder.add(LaneSpec("straße 1", np.stack((at, at * 0 + 2), -1), np.stack((at, at * 0 - 2), -1)))
    return builder.build()


def run(**changes):
    rng = np.random.default_rng(4)
    vehicle = {name: getattr(VehicleParams(), name) for name in VehicleParams.__dataclass_fields__}
    header = {
        "scenario": {"id": "gen/cut_in/17", "dt": 0.1, "duration": 0.5, "expert_source": "idm"},
        "planner": {"name": "pdm", "config": {"proposals": 15}},
        "vehicle": vehicle,
        "failure": None,
        "events": [],
    }
    values = {
        "header": header,
        "times": 0.1 * np.arange(N),
        "ego": rng.normal(size=(N, 7)),
        "ego_control": rng.normal(size=(N - 1, 2)),
        "ego_yaw_acceleration": np.zeros(N),
        "agents": rng.normal(size=(A, N, 5)),
        "agent_valid": np.ones((A, N), dtype=bool),
        "agent_size": np.ones((A, 3)),
        "agent_kind": np.zeros(A, dtype=np.uint8),
        "agent_controller": np.ones(A, dtype=np.uint8),
        "agent_ids": ("car 1", "fußgänger"),
        "signals": np.ones((1, N), dtype=np.uint8),
        "plan_step": np.array([0, 2, 4], dtype=np.int32),
        "plan_latency": np.full(M, 0.001),
        "plan_start": np.array([0, 4, 8, 12], dtype=np.int32),
        "plan_times": np.arange(ROWS, dtype=float),
        "plan_states": rng.normal(size=(ROWS, 7)),
        "expert": np.zeros((N, 7)),
        "route_line": np.array([[0.0, 0], [50, 0]]),
        "route_lanes": np.array([0], dtype=np.int32),
        "logged_ego": np.full((N, 3), np.nan),
        "roadmap": road(),
        "cand_start": np.array([0, 2, 2, 2], dtype=np.int32),
        "cand_poses": np.zeros((2, 5, 3), dtype=np.float32),
        "cand_score": np.array([0.1, 0.9]),
        "series": {"jerk": np.arange(N, dtype=float)},
        "agent_seen": np.arange(A * N).reshape(A, N) % 3 > 0,
    }
    return RunLog(**{**values, **changes})


def entry(name="header"):
    return f"{name}.npy"


def rewritten(path, drop=(), **replaced):
    """The same zip without some entries or with others in their place."""
    with zipfile.ZipFile(path) as old:
        kept = {n: old.read(n) for n in old.namelist() if n.removesuffix(".npy") not in drop}
    with zipfile.ZipFile(path, "w") as new:
        for n, data in kept.items():
            if n.removesuffix(".npy") in replaced:
                with new.open(n, "w") as file:
                    np.save(file, replaced[n.removesuffix(".npy")], allow_pickle=True)
            else:
                new.writestr(n, data)
    return path


def test_round_trip_holds_everything(tmp_path):
    first = run()
    again = RunLog.load(first.save(tmp_path / "deep" / "a.drive.npz"))
    for f in fields(RunLog):
        mine, theirs = getattr(first, f.name), getattr(again, f.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype, f.name
            assert np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f"), f.name
    assert again.header == {**first.header, "schema": SCHEMA}
    assert again.agent_ids == first.agent_ids
    assert again.roadmap.content_hash == first.roadmap.content_hash
    assert again.roadmap.lane_ids == ("straße 1",)
    assert again.series["jerk"].tolist() == list(range(N))
    assert (again.dt, again.vehicle, again.expert_source) == (0.1, VehicleParams(), "idm")
    assert np.array_equal(again.plan_states_of(1), first.plan_states[4:8])


def test_equal_runs_are_equal_byte_for_byte(tmp_path):
    a = run().save(tmp_path / "a.drive.npz").read_bytes()
    turned = dict(reversed(run().header.items()))
    b = run(header=turned).save(tmp_path / "sub" / "b.drive.npz").read_bytes()
    assert a == b
    assert RunLog.load(tmp_path / "a.drive.npz").save(tmp_path / "c.drive.npz").read_bytes() == a
    assert run().with_series(lead=np.zeros(N)).save(tmp_path / "d.drive.npz").read_bytes() != a


def test_runs_without_agents_plans_or_map_and_on_terrain(tmp_path):
    empty = run(
        agents=np.zeros((0, N, 5)),
        agent_valid=np.zeros((0, N), dtype=bool),
        agent_size=np.zeros((0, 3)),
        agent_kind=np.zeros(0, dtype=np.uint8),
        agent_controller=np.zeros(0, dtype=np.uint8),
        agent_ids=(),
        agent_seen=np.zeros((0, 0), dtype=bool),
        signals=np.zeros((0, N), dtype=np.uint8),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=np.zeros(0),
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=np.zeros(0),
        plan_states=np.zeros((0, 7)),
        expert=np.zeros((0, 7)),
        roadmap=None,
        series={},
        terrain=Terrain(np.ones((3, 4)), 0.5, 1.62, np.zeros(0), np.zeros((0, 2)), np.zeros(0)),
    )
    again = RunLog.load(empty.save(tmp_path / "e.drive.npz"))
    assert (again.agent_ids, again.roadmap, dict(again.series)) == ((), None, {})
    assert again.terrain.content_hash == empty.terrain.content_hash


def test_the_file_is_a_plain_zip_of_arrays_without_pickles(tmp_path):
    path = run().save(tmp_path / "a.drive.npz")
    with np.load(path, allow_pickle=False) as archive:
        names = set(archive.files)
        assert all(not archive[name].dtype.hasobject for name in names)
    assert {"header", "ego", "agent_ids", "map.points", "map.lane_ids", "series.jerk"} <= names


@dataclass(frozen=True)
class Config:
    weights: Path = Path("/home/someone/models/w.safetensors")
    branches: int = 5


def test_headers_take_numpy_and_dataclasses_and_drop_folders(tmp_path):
    header = {
        **run().header,
        "n": np.int64(3),
        "x": np.float32(0.5),
        "list": np.arange(3),
        "pair": (1, "a"),
        "planner": {"name": "cpto", "config": Config()},
        "file": "/data/nuplan/a.db",
        "windows": r"C:\Users\someone\b.xml",
        "ref": "gen/cut_in/17",
        "reason": "FileNotFoundError: no weights at '/home/someone/models/w.pt' (1.5 m/s, and/or 3/4)",
    }
    again = RunLog.load(run(header=header).save(tmp_path / "a.drive.npz"))
    h = again.header
    assert (h["n"], h["x"], h["list"], h["pair"]) == (3, 0.5, [0, 1, 2], [1, "a"])
    assert h["planner"]["config"] == {"weights": "w.safetensors", "branches": 5}
    assert (h["file"], h["windows"], h["ref"]) == ("a.db", "b.xml", "gen/cut_in/17")
    assert h["reason"] == "FileNotFoundError: no weights at 'w.pt' (1.5 m/s, and/or 3/4)"
    raw = (tmp_path / "a.drive.npz").read_bytes()
    assert str(tmp_path).encode() not in raw
    assert again.with_header(scores={"x": 1}).header["scores"] == {"x": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": {"b": [1.0, np.nan]}}, r"header.extra.a.b\[1\] is nan: write None"),
        (float("inf"), "header.extra is inf"),
        (np.float64("-inf"), "header.extra is -inf"),
        (np.array([1.0, np.nan]), r"header.extra\[1\] is nan"),
        ({"f": print}, "header.extra.f is builtin_function_or_method"),
        ({1, 2}, "header.extra is set"),
    ],
)
def test_headers_that_json_cannot_hold_are_refused_and_nothing_is_written(tmp_path, value, message):
    with pytest.raises(RunLogError, match=message):
        run().with_header(extra=value).save(tmp_path / "a.drive.npz")
    assert list(tmp_path.iterdir()) == []


def test_objects_in_arrays_are_refused_both_ways(tmp_path):
    with pytest.raises(RunLogError, match=r"'series\.bad' holds objects"):
        run().with_series(bad=np.array([{}, None])).save(tmp_path / "a.drive.npz")
    assert list(tmp_path.iterdir()) == []
    path = run().save(tmp_path / "a.drive.npz")
    rewritten(path, ego=np.array([print], dtype=object))
    with pytest.raises(RunLogError, match="truncated or is no run log"):
        RunLog.load(path)


def test_truncated_and_damaged_files_say_so(tmp_path):
    path = run().save(tmp_path / "a.drive.npz")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(RunLogError, match=r"a\.drive\.npz is truncated or is no run log"):
            RunLog.load(path)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(0, len(whole)))] ^= 0xFF
        path.write_bytes(damaged)
        try:
            again = RunLog.load(path)
        except RunLogError:
            refused += 1
        else:  # a flip in an unused field of the zip may pass, and then nothing is lost
            assert again.save(tmp_path / "again.drive.npz").read_bytes() == whole
    assert refused > 40


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01.", b"<xml/>"])
def test_other_files_are_no_run_logs(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(RunLogError, match=r"other\.npz is truncated or is no run log"):
        RunLog.load(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(RunLogError, match=r"gone\.drive\.npz: no such file"):
        RunLog.load(tmp_path / "gone.drive.npz")
    with pytest.raises(RunLogError, match="no run log"):
        RunLog.load(tmp_path)


def test_zips_that_hold_something_else(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(RunLogError, match="no readable header"):
        RunLog.load(path)
    for text in ("[1, 2]", "{not json", "\xff"):
        np.savez(path, header=np.frombuffer(text.encode("latin-1"), dtype=np.uint8))
        with pytest.raises(RunLogError, match="no readable header"):
            RunLog.load(path)


def test_other_versions_are_refused_by_name(tmp_path):
    path = run().save(tmp_path / "a.drive.npz")
    for schema in ("drive-run/2", None):
        header = json.dumps({**run().header, "schema": schema}).encode()
        rewritten(path, header=np.frombuffer(header, dtype=np.uint8))
        with pytest.raises(RunLogError, match=f"has version '{schema}', this toolkit reads 'drive-run/1'"):
            RunLog.load(path)


def test_missing_and_unfitting_arrays_are_named(tmp_path):
    path = run().save(tmp_path / "a.drive.npz")
    with pytest.raises(RunLogError, match="lacks ego, plan_times"):
        RunLog.load(rewritten(path, drop=("ego", "plan_times")))
    for name, value, message in (
        ("ego", np.zeros((N, 6)), r"'ego' has the shape \(6, 6\)"),
        ("agent_valid", np.ones((A, N - 1), dtype=bool), "agent_valid"),
        ("agent_seen", np.ones((A, N + 1), dtype=bool), r"'agent_seen' has the shape \(2, 7\)"),
        ("signals", np.zeros((1, 2), dtype=np.uint8), "signals cover"),
        ("plan_start", np.array([0, 4, 8, 99], dtype=np.int32), "do not fit"),
        ("map.successor_start", np.zeros(9, dtype=np.int32), "successor_start"),
        ("map.points", np.zeros((6, 2)) * np.nan, "not finite"),
    ):
        path = run().save(tmp_path / "b.drive.npz")
        with pytest.raises(RunLogError, match=message):
            RunLog.load(rewritten(path, **{name: value}))


def test_fields_with_a_default_may_be_missing_and_unknown_entries_are_passed_over(tmp_path):
    path = run().save(tmp_path / "a.drive.npz")
    gone = ("cand_start", "cand_poses", "cand_score", "agent_seen", "map.right_opposite", "series.jerk")
    rewritten(path, drop=gone)
    with zipfile.ZipFile(path, "a") as archive, archive.open("later.npy", "w") as file:
        np.save(file, np.zeros(2))
    again = RunLog.load(path)
    assert again.cand_start.tolist() == [0]
    assert again.agent_seen.shape == (0, 0)
    assert dict(again.series) == {}


def test_a_failed_save_keeps_the_file_that_was_there(tmp_path, monkeypatch):
    path = run().save(tmp_path / "a.drive.npz")
    before = path.read_bytes()

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        replace(run(), times=np.ones(N)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process outright")
def test_a_kill_before_the_rename_leaves_nothing_under_the_final_name(tmp_path):
    source = run().save(tmp_path / "source.drive.npz")
    script = f"""
        import os, signal
        from drive.runlog import RunLog
        log = RunLog.load({str(source)!r})
        os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)
        log.save({str(tmp_path / "killed.drive.npz")!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.drive.npz").exists()
    assert sorted(p.name for p in tmp_path.glob("*.npz")) == ["source.drive.npz"]
