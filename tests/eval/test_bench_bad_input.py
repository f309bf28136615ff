"""Bad input at the command line: one line that says what is wrong, an exit status, and nothing lost."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.cli import main

TEXT = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "datasets" / "commonroad_text.py")))
document, problem, car, lanelet = TEXT.document, TEXT.problem, TEXT.car, TEXT.lanelet
ROAD = lanelet("1", 0, 400, 0, 3.5)
PLANNERS = Path(__file__).with_name("bench_scenes.py")
BAD_PLANNERS = {
    "imports.py": "import surely_no_such_module",
    "syntax.py": "def plan(:",
    "divides.py": "x = 1 / 0",
    "empty.py": "",
    "number.py": "P = 5",
    "needs.py": "class P:\n    def __init__(self, config): pass",
}


def states(start: int, stop: int, x: float, speed: float) -> list[tuple[float, ...]]:
    return [(k, x + 0.1 * speed * (k - start), 1.75, 0.0, speed) for k in range(start, stop)]


LAUGHS = "".join(f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(9))
FILES = {
    "good.xml": document(ROAD + problem(end=12) + car("20", states(0, 12, 60.0, 5.0))),
    "collision.xml": document(ROAD + problem(y=1.75, end=12) + car("20", states(0, 12, 6.0, 0.0))),
    "late.xml": document(ROAD + problem(end=12) + car("20", states(6, 12, 60.0, 5.0))),
    "alone.xml": document(ROAD + problem(end=12)),
    "fast.xml": document(ROAD + problem(speed=60.0, end=12)),
    "standing.xml": document(ROAD + problem(speed=0.0, end=12)),
    "ten_metres.xml": document(lanelet("1", 0, 10, 0, 3.5) + problem(end=12)),
    "no_width.xml": document(lanelet("1", 0, 400, 1.75, 1.75) + problem(y=1.75, end=12)),
    "malformed.xml": document(ROAD + "<lanelet>"),
    "truncated.xml": document(ROAD + problem())[:-300],
    "laughs.xml": '<?xml version="1.0"?>\n'
    f'<!DOCTYPE l [<!ENTITY a "lol">{LAUGHS}]>\n<commonRoad>&j;</commonRoad>',
    "reversed.xml": document(lanelet("7", 0, 100, 3, 0) + problem()),
    "no_map.xml": document(problem()),
    "off_road.xml": document(ROAD + problem(y=60.0, end=12)),
}
DRIVEN = ("good", "collision", "late", "alone", "fast", "standing", "ten_metres", "no_width")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of good, odd and bad files, and another one of bad planners."""
    for name, text in FILES.items():
        TEXT.write(tmp_path, text, name)
    for name, text in BAD_PLANNERS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "half.drive.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "other.drive.npz", a=np.zeros(3))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit status and what a command says on the standard error; no warning may pass."""
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status = main.run([str(a) for a in arguments])
    return status, capsys.readouterr().err


BENCH = ("bench", "--scenarios", "gen/cut_in/0", "--out", "OUT/new")
REFUSED = [
    ((*BENCH, "--planner", "pmd"), "did you mean 'pdm'"),
    ((*BENCH, "--planner", "idm", "--traffic", "imd"), "did you mean 'idm'"),
    ((*BENCH, "--planner", "idm", "--score", "nuplan"), "did you mean 'nuplan_"),
    ((*BENCH, "--planner", "idm", "--jobs", "0"), "--jobs must be at least 1"),
    ((*BENCH, "--planner", "idm", "--set", "idm.headwy=1"), "did you mean 'headway'"),
    ((*BENCH, "--planner", "idm", "--set", "idm.headway=soon"), "must be a number, not 'soon'"),
    ((*BENCH, "--planner", "idm", "--set", "idm.headway=nan"), "must be a number, not 'nan'"),
    ((*BENCH, "--planner", "idm", "--set", "idm.horizon=-1"), "horizon must be positive"),
    ((*BENCH, "--planner", "idm", "--set", "headway=1"), "PLANNER.SETTING=VALUE"),
    ((*BENCH, "--planner", "idm", "--watchdog", "0"), "must be positive"),
    ((*BENCH, "--planner", "idm", "--visibility", "none"), "give line_of_sight, line_of_sight:METRES or all"),
    (("run", "gen/cut_in/0", "--planner", "idm", "--visibility", "all:9"), "give line_of_sight"),
    ((*BENCH, "--planner", "idm", "--filter", "familly == 'x'"), "did you mean 'family'"),
    ((*BENCH, "--planner", "OUT/imports.py:P"), "needs the module 'surely_no_such_module'"),
    ((*BENCH, "--planner", "OUT/syntax.py:P"), "SyntaxError"),
    ((*BENCH, "--planner", "OUT/divides.py:P"), "ZeroDivisionError"),
    ((*BENCH, "--planner", "OUT/empty.py:P"), "has no 'P'"),
    ((*BENCH, "--planner", "OUT/number.py:P"), "is not a planner"),
    ((*BENCH, "--planner", "OUT/needs.py:P"), "config_type"),
    ((*BENCH, "--planner", "OUT/missing.py:P"), "there is no file"),
    (("bench", "--suite", "minni", "--planner", "idm"), "did you mean 'mini'"),
    (("bench", "--suite", "mini", "--scenarios", "gen/cut_in/0"), "not both"),
    (("bench", "--scenarios", "gen/cut_ni/0", "--planner", "idm"), "did you mean 'cut_in'"),
    (("bench", "--scenarios", "gen/cut_in/one", "--planner", "idm"), "gen/FAMILY/SEED"),
    (("bench", "--scenarios", "OUT/missing.xml", "--planner", "idm"), "no such file"),
    (("bench", "--scenarios", "OUT/nothing", "--planner", "idm"), "holds no scenario"),
    (("bench", "--scenarios", "OUT/no_map.xml", "--planner", "idm"), "the map is empty"),
    (("bench", "--scenarios", "gen/cut_in/0", "--planner", "idm", "--out", "OUT/good.xml"), "another --out"),
    (("run", "OUT/malformed.xml", "--planner", "idm"), "mismatched tag"),
    (("run", "OUT/truncated.xml", "--planner", "idm"), "not well-formed XML"),
    (("run", "OUT/laughs.xml", "--planner", "idm"), "entity declaration is refused"),
    (("run", "OUT/reversed.xml", "--planner", "idm"), "reversed bounds"),
    (("run", "OUT/off_road.xml", "--planner", "idm"), "off every lane"),
    (("run", "OUT/good.xml#77", "--planner", "idm"), "'77'"),
    (("run", "gen/cut_in/0:3", "--planner", "idm"), "stands for 3 scenarios"),
    (("inspect", "OUT/laughs.xml"), "entity declaration is refused"),
    (("inspect", "OUT/missing.xml"), "no such file"),
    (("inspect", "OUT/half.drive.npz"), "is no run log"),
    (("inspect", "OUT/other.drive.npz"), "is no run log"),
    (("replay", "OUT/half.drive.npz"), "is no run log"),
    (("replay", "OUT/nothing"), "holds no run log"),
    (("replay", "OUT/missing"), "no such file or folder"),
    (("replay", "OUT/half.drive.npz", "-o", "x.png"), ".html"),
    (("compare", "OUT/nothing"), "holds no results.json"),
    (("compare", "OUT/missing", "OUT/nothing"), "holds no results.json"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_bad_input_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, error = told(capsys, *(a.replace("OUT", str(folder)) for a in arguments))
    assert status in (1, 2)
    assert says in error
    assert error.startswith("drive: error: ")
    assert error.count("\n") == 1
    assert not (folder / "new").exists()


def test_a_folder_of_good_and_bad_files_loses_only_the_bad_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "nothing" / "bench"
    names = ("keep", "not_finite", "wrong_shape", "none")
    planners = [part for name in names for part in ("--planner", f"{PLANNERS}:{name}")]
    status, notes = told(
        capsys, "bench", "--scenarios", folder, *planners, "--planner", "pdm", "--out", out, "--jobs", 1
    )  # fmt: skip
    assert status == 1
    assert "failed in every scenario: not_finite, wrong_shape, none (" in notes
    for name in FILES:
        assert (name.removesuffix(".xml") in DRIVEN) != (f"{name}: " in notes and "skipped" in notes)
    data = json.loads((out / "results.json").read_text())
    assert data["dropped"] == []
    found = {p["name"]: p for p in data["planners"]}
    ids = [f"{name}.xml#9" for name in sorted(DRIVEN)]
    for name, result in found.items():
        assert sorted(row["id"] for row in result["scenarios"]) == ids
        failed = sum(row["failure"] == "planner_error" for row in result["scenarios"])
        assert failed == result["failures"]["planner_error"] == (0 if name in ("keep", "pdm") else len(ids))
        assert result["scores"]["nuplan_cls"]["n"] == len(ids)
    values = {row["id"]: row["metrics"]["nuplan_cls"] for row in found["keep"]["scenarios"]}
    # Who begins in a collision, leaves the road or has a road without width has no score there.
    assert values["collision.xml#9"] == values["ten_metres.xml#9"] == values["no_width.xml#9"] == 0.0
    assert values["alone.xml#9"] > 0.9


def test_one_planner_that_never_answers_is_a_counted_failure_of_a_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "nothing" / "bench"
    status, notes = told(
        capsys, "bench", "--scenarios", folder / "good.xml", "--planner", f"{PLANNERS}:sleeps",
        "--planner", f"{PLANNERS}:keep", "--watchdog", 1, "--out", out, "--jobs", 1,
    )  # fmt: skip
    assert status == 1
    assert "planner_timeout" in notes
    assert notes.endswith("drive: error: failed in every scenario: sleeps ('drive check PLANNER' says why)\n")
    found = {p["name"]: p for p in json.loads((out / "results.json").read_text())["planners"]}
    assert found["sleeps"]["failures"]["planner_timeout"] == 1
    assert found["keep"]["scores"]["nuplan_cls"]["mean"] > 0.9


def test_a_benchmark_of_which_nothing_was_scored_is_no_success(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = folder / "broken.py"
    broken.write_text(
        "class Broken:\n    name, version = 'broken', '1'\n\n"
        "    def evaluate(self, run):\n        raise OSError\n\n"
        "    def explain(self):\n        return {}\n"
    )
    out = folder / "nothing" / "bench"
    status, notes = told(
        capsys, "bench", "--scenarios", folder / "good.xml", "--planner", f"{PLANNERS}:keep",
        "--score", f"{broken}:Broken", "--out", out, "--jobs", 1,
    )  # fmt: skip
    assert status == 1
    assert "no scenario could be scored (simulator_error)" in notes
    assert (out / "results.json").exists()


def test_a_run_that_fails_is_written_and_ends_with_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "nothing"
    status, error = told(
        capsys, "run", folder / "good.xml", "--planner", f"{PLANNERS}:raises", "--out", out
    )  # fmt: skip
    assert status == 1
    assert error == "drive: error: planner_error: ZeroDivisionError: in step 5\n"
    assert len(list(out.glob("*.drive.npz"))) == len(list(out.glob("*.html"))) == 1
