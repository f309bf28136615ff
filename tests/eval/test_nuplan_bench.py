"""`drive nuplan bench` without the devkit: its drives are ours, and what is made of them is what counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import drive
from drive.errors import InputError
from drive.eval.bench import nuplan
from drive.eval.bench.nuplan import NuplanOptions, official_scores, run_nuplan
from drive.runlog import RunLog

SCENES = ("gen/lane_follow_curved/1", "gen/stop_for_lead/3")


@dataclass
class Devkit:
    """Drives in our own loop, and writes a score as the devkit does; `fails` names a scene that it cannot."""

    fails: str = ""
    driven: int = 0

    def drive_once(self, scene: str, planner: Any, traffic: str, work: Path, keep_logs: bool) -> Any:
        assert not keep_logs
        self.driven += 1
        if scene == self.fails:
            return SimpleNamespace(made_of=None, failure="AssertionError: no lane", score=None)
        if scene == "gen/cut_in/1":
            raise ValueError("the map cannot be read")
        log = drive.run(planner, scene, traffic=traffic, scores=[]).with_header(nuplan={"plans_extended": 2})
        score = drive.api.evaluated(log, ["nuplan_cls"]).header["scores"]["nuplan_cls"]["score"]
        return SimpleNamespace(made_of=log, failure=None, score=score)


@pytest.fixture
def devkit(monkeypatch: pytest.MonkeyPatch) -> Devkit:
    made = Devkit()
    monkeypatch.setitem(sys.modules, "drive.eval.devkit.drives", made)
    monkeypatch.setattr("drive.sim.nuplan.run.quiet_devkit", lambda: None)
    monkeypatch.setattr(nuplan, "_check", lambda entries, made: None)
    return made


def test_drives_are_judged_kept_and_not_driven_again(devkit: Devkit, tmp_path: Path) -> None:
    options = NuplanOptions(("idm", "constant"), tmp_path / "out", SCENES)
    said: list[str] = []
    found = run_nuplan(options, said.append)
    assert found.data["traffic"] == "nuplan:log"
    assert found.planners == ("idm", "constant")
    assert devkit.driven == len(said) == 4
    own = official_scores(found)
    assert set(own) == {(scene, name) for scene in SCENES for name in ("idm", "constant")}
    assert all(theirs == ours for theirs, ours in own.values())
    assert own[SCENES[0], "idm"][0] > own[SCENES[1], "constant"][0]
    row = found.planner("idm")["scenarios"][0]
    assert RunLog.load(tmp_path / "out" / row["run"]).header["nuplan"]["plans_extended"] == 2
    # Nothing of the devkit's own stays, and what was stopped goes on with what is missing.
    assert not (tmp_path / "out" / "devkit").exists()
    (tmp_path / "out" / row["run"]).unlink()
    again = run_nuplan(NuplanOptions(options.planners, options.out, SCENES, resume=True), said.append)
    assert devkit.driven == 5
    assert again.planner("idm")["scores"] == found.planner("idm")["scores"]


def test_what_the_devkit_cannot_drive_is_dropped_for_all_and_said(devkit: Devkit, tmp_path: Path) -> None:
    devkit.fails = SCENES[1]
    scenes = (*SCENES, "gen/cut_in/1", "gen/no_such_family/1")
    said: list[str] = []
    with pytest.raises(InputError):
        run_nuplan(NuplanOptions(("idm",), tmp_path / "none", scenes))
    found = run_nuplan(NuplanOptions(("idm",), tmp_path / "out", scenes[:3]), said.append)
    rows = {row["id"]: row for row in found.planner("idm")["scenarios"]}
    assert rows[SCENES[0]]["failure"] is None
    assert rows[SCENES[1]]["reason"] == "the devkit's simulation failed: AssertionError: no lane"
    assert "the map cannot be read" in rows["gen/cut_in/1"]["reason"]
    assert [row["failure"] for row in rows.values()].count("simulator_error") == 2
    assert found.data["suite"]["valid"] == 1
    assert "simulator_error" in said[1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"traffic": "mobil"}, "log or idm"),
        ({"scenarios": ()}, "scenarios, or a suite"),
        ({"suite": "mini"}, "scenarios, or a suite"),
        ({"planners": ("idn",)}, "idn"),
    ],
)
def test_what_cannot_be_asked(devkit: Devkit, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    given = {"planners": ("idm",), "out": tmp_path / "out", "scenarios": SCENES, **wrong}
    with pytest.raises(InputError, match=said):
        run_nuplan(NuplanOptions(**given))
    assert not devkit.driven
