"""What broke a reader once, found by spoilt files: each is refused in one line now."""

from __future__ import annotations

import io
import json
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.errors import LONGEST, DriveError, InputError
from drive.eval.hardness.targets import targets

SEEDS = SimpleNamespace(**run_path(str(Path(__file__).with_name("seeds.py"))))
DEEP = "[" * 100_000
HUGE = "1" + "0" * 400
GROUND = {"height": np.zeros((16, 16)), "resolution": 1.0, "gravity": 1.62, "sun": np.array([0.6, 0.5])}
TRAINING = {
    "schema": "drive-training/1",
    "rows": 0,
    "fields": {},
    "hash": "",
    "teacher": {},
    "vocabulary": None,
}
ROW = {
    "id": "a", "hash": "b", "family": "f", "valid": True, "failure": None, "reason": None, "run": None,
    "seed": 0, "expert_source": "", "goal_reached": None, "metrics": {"x": 0.5},
    "latency_ms": {"p50": 1.0, "p95": 1.0}, "wall_s": 1.0, "cpu_s": 1.0,
}  # fmt: skip
HEAD = json.dumps({"schema": "drive-bench-runs/1", "config": {"seed": 0}})


def ground(**changes: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{**GROUND, **changes})  # type: ignore[arg-type]
    return buffer.getvalue()


def header(**changes: object) -> bytes:
    return json.dumps({**TRAINING, **changes}).encode()


def results(row: dict[str, object], **changes: object) -> bytes:
    planners = [{"name": "p", "scores": {}, "scenarios": [row]}]
    told = {"schema": "drive-bench/1", "suite": {"scenarios": 1}, "scores": {"x": "1"}, "planners": planners}
    return json.dumps({**told, **changes}).encode()


def without(row: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in row.items() if key != name}


def book(parameter: str) -> bytes:
    rule = f'formula = "always (speed < v)"\nparameters = {{v = {parameter}}}'
    return f'schema = "drive-rules/1"\n[rules.a]\n{rule}\n'.encode()


def opendrive(**changes: str) -> bytes:
    """A straight road; a change is of the first record's coefficient."""
    text = SEEDS.builders("openscenario_text").ROAD
    for name, value in changes.items():
        text = text.replace(f'{name}="0"', f'{name}="{value}"', 1)
    return text.encode()


RUN = '{"scenario": "a", "planner": "b", "run": null}'
CASES: list[tuple[str, str, bytes, str]] = [
    ("scenes:dem", "sun.npz", ground(sun=np.array([0.6])), "no elevation model"),
    ("scenes:dem", "sunless.npz", ground(sun=np.array([np.nan, 0.5])), "no planet or moon"),
    ("scenes:dem", "light.npz", ground(gravity=np.nan), "no planet or moon"),
    ("scenes:dem", "complex.npz", ground(height=np.zeros((16, 16), dtype=complex)), "complex128"),
    ("scenes:dem", "fine.npz", ground(resolution=1e-320), "0.001 to 20 m"),
    ("scenes:dem", "high.npz", ground(height=np.full((16, 16), 1e308)), "more than half"),
    ("scenes:opendrive", "wide.xodr", opendrive(b="1000"), "more than 1000 m aside"),
    ("scenes:opendrive", "bent.xodr", opendrive(d="3"), "more than 1000 m aside"),
    ("vocabulary", "deep.npz", b"", "nested too deeply"),
    ("training set", "header.json", header(rows=float("inf"), scenes=[]), "header"),
    ("training set", "header.json", header(scenes=[{"key": [["a"]]}]), "no text"),
    ("training set", "header.json", header(scenes=[{}]), "key"),
    ("training set", "header.json", DEEP.encode(), "nested too deeply"),
    ("training set", "header.json", header(schema="x" * 100_000), "has version 'xxx"),
    ("journal", "runs.jsonl", f'{HEAD}\n{{"scenario": "a", "planner": "b"}}\n{RUN}\n'.encode(), "in line 2"),
    ("journal", "runs.jsonl", f"{HEAD}\n{DEEP}\n{RUN}\n".encode(), "in line 2"),
    ("journal", "runs.jsonl", f"{HEAD[:-13]}7}}\n{RUN}\n".encode(), "in line 1"),
    ("results", "results.json", DEEP.encode(), "nested too deeply"),
    ("results", "results.json", results(without(ROW, "id")), "not whole"),
    ("results", "results.json", results({**ROW, "metrics": {"x": [1.0]}}), "not whole"),
    ("results", "results.json", results({**ROW, "metrics": {"x": float("nan")}}), "not whole"),
    ("results", "results.json", results(ROW, suite={}), "number of scenarios"),
    ("results", "results.json", results(ROW, planners={"p": 1}), "no list"),
    ("suite", "many.toml", b'families = ["cut_in"]\nseeds = "0:99999999"\n', "at most"),
    ("suite", "more.toml", f'families = ["cut_in"]\nseeds = "0:{HUGE}"\n'.encode(), "at most"),
    ("rule book", "book.toml", book(HUGE), "finite numbers"),
]


@pytest.mark.parametrize(
    ("target", "name", "data", "says"),
    CASES,
    ids=lambda value: None if isinstance(value, bytes) else str(value)[:30],
)
def test_what_broke_a_reader_is_refused_in_one_line(
    tmp_path: Path, target: str, name: str, data: bytes, says: str
) -> None:
    path = tmp_path / name
    if target == "vocabulary":
        np.savez(
            path, header=np.frombuffer(DEEP.encode(), dtype=np.uint8), steps=np.zeros((3, 2, 1), np.int16)
        )
    else:
        path.write_bytes(data)
    with pytest.raises(DriveError, match=says) as error:  # warnings are errors here anyway
        targets()[target].read(path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) <= LONGEST


def test_sound_files_are_still_read(tmp_path: Path) -> None:
    for target, name, data in (
        ("scenes:dem", "ground.npz", ground()),
        ("scenes:opendrive", "road.xodr", opendrive()),
        ("training set", "header.json", json.dumps({**TRAINING, "scenes": [{"key": ["a"]}]}).encode()),
        ("journal", "runs.jsonl", f'{HEAD}\n{{"scenario": "a", "planner": "b", "run": null}}\n'.encode()),
        ("results", "results.json", results(ROW)),
        ("suite", "suite.toml", b'families = ["cut_in"]\nseeds = "0:9"\n'),
        ("rule book", "book.toml", book("3.5")),
    ):
        (tmp_path / name).write_bytes(data)
        targets()[target].read(tmp_path / name)
        (tmp_path / name).unlink()


def test_an_error_s_message_is_one_line_and_not_endless() -> None:
    error = InputError("a file\nof two lines\r\nand " + "x" * 10_000 + " its end")
    assert str(error).startswith("a file of two lines and xxx")
    assert str(error).endswith("xxx its end")
    assert len(str(error)) <= LONGEST


def test_a_signal_s_link_below_zero_is_no_state() -> None:
    from drive.sim.sumo.signals import signals_of

    assert signals_of({"a": "G"}, [("a", -5), ("a", 0), ("a", 1)]).tolist() == [0, 1, 0]


def test_lanes_of_foreign_numbers(tmp_path: Path) -> None:
    SEEDS.argoverse(tmp_path)
    (path,) = tmp_path.glob("log_map_archive*.json")
    path.write_text(path.read_text().replace('"x": 3950.0', f'"x": {HUGE}', 1))
    (table,) = tmp_path.glob("*.parquet")
    with pytest.raises(InputError, match="no list of points"):
        targets()["argoverse2 map"].read(table)
