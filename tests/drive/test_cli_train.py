"""`drive train` as a user meets it: from nothing to weights, stopped, gone on with, and every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drive import registry
from drive.cli import main

pytest.importorskip("torch")
from drive.eval.training import prepare

FILE = Path(__file__).with_name("train_recipe.py")
RECIPE = f"{FILE}:RECIPE"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One cache for all: the sets are collected once. The kernels stay in the user's, which is warm."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "cache_folder", lambda *parts: folder.joinpath(*parts))
        yield folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("out") / "whole"
    assert main.run(["train", RECIPE, "--out", str(folder), "--jobs", "1"]) == 0
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main.run(["train", *map(str, words)])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_from_nothing_to_weights(trained: Path, cache: Path, tmp_path: Path, capsys: Any) -> None:
    """The second time the sets are there; equal seeds give equal weights, others do not."""
    headers = sorted(cache.glob("training/*/*/header.json"))
    assert [path.parent.name for path in headers] == ["train", "validation"]
    written = [path.stat().st_mtime_ns for path in headers]
    weights = (trained / "one_second.safetensors").read_bytes()
    status, out, err = run(capsys, RECIPE, "--out", tmp_path / "again")
    assert status == 0
    assert (tmp_path / "again/one_second.safetensors").read_bytes() == weights
    assert [path.stat().st_mtime_ns for path in headers] == written
    lines = out.splitlines()
    assert lines[0].startswith("60 steps in ")
    assert "validation: loss" in lines[0]
    for line, name in zip(
        lines[1:4], ("one_second.safetensors", "one_second.json", "fit/log.csv"), strict=True
    ):
        assert line.endswith(str(tmp_path / "again" / name))
        assert Path(line.split()[1]).is_file()
    assert "drive bench --planner one_second --set one_second.weights=" in lines[4]
    assert "samples to train on" in err
    status, out, _ = run(capsys, RECIPE, "--out", tmp_path / "other", "--seed", 1, "--json")
    assert status == 0
    told = json.loads(out)
    assert (told["seed"], told["steps"], told["preset"]) == (1, 60, "cpu")
    assert Path(told["weights"]).read_bytes() != weights
    card = json.loads(Path(told["card"]).read_text())
    assert card["data"] == json.loads(headers[0].read_text())["hash"]
    assert card["licences"] == ["Apache-2.0"]


def test_stopped_and_gone_on_with(trained: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("STOP_AT", "30")
    status, _, err = run(capsys, RECIPE, "--out", out, "--set", "hidden=16")
    assert status == 143
    assert "stopped at step 31 of 60" in err
    assert err.splitlines()[-1] == f"go on with: drive train {RECIPE} --out {out} --resume"
    monkeypatch.delenv("STOP_AT")
    for words, told in (
        ([], "holds a training: go on with --resume, replace it with --force"),
        (["--resume", "--seed", 4], "was begun with seed 0, not 4"),
        (["--resume", "--set", "hidden=8"], "was begun with settings hidden=16, not hidden=8"),
        (["--resume", "--preset", "gpu"], "was begun with preset cpu, not gpu"),
        (["--resume", "--force"], "--resume and --force exclude each other"),
    ):
        status, _, err = run(capsys, RECIPE, "--out", out, *words)
        assert status == 1
        assert told in err
        assert err.count("\n") == 1
    status, _, err = run(capsys, RECIPE, "--out", out, "--resume")
    assert status == 0
    assert "goes on at step 31 of 60" in err
    weights = out / "one_second.safetensors"
    assert weights.read_bytes() == (trained / "one_second.safetensors").read_bytes()
    status, _, _ = run(capsys, RECIPE, "--out", out, "--force", "--set", "fit.steps=2")
    assert status == 0
    assert json.loads((out / "one_second.json").read_text())["steps"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "unknown recipe 'nothing'"),
        ([f"{FILE}:Config"], "is none: it lacks name, presets, data, train"),
        ([RECIPE, "--preset", "tpu"], "unknown preset of one_second 'tpu'; did you mean 'gpu'?"),
        ([RECIPE, "--set", "fit.lr=fast"], "FitSettings.lr must be a number, not 'fast'"),
        ([RECIPE, "--set", "fit.rate=1"], "unknown setting of FitSettings 'rate'"),
        ([RECIPE, "--set", "hidden"], "'hidden' is not a setting: write FIELD=VALUE"),
        ([RECIPE, "--set", "fit.steps=0"], "needs steps or minutes"),
        ([RECIPE, "--set", "data.families=nope"], "unknown scenario family 'nope'"),
        ([RECIPE, "--data", "nowhere"], "'{here}/nowhere' is not the data of a training: it lacks 'train'"),
        ([RECIPE, "--device", "tpu"], "device 'tpu' cannot be used here"),
        ([RECIPE, "--resume"], "--resume needs --out DIR"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [] if "--resume" in words else ["--out", "o"]
    status, out, err = run(capsys, *words, *more)
    assert status == 1
    assert out == ""
    assert err.count("\n") == 1
    assert told.format(here=tmp_path) in err
    assert not Path("o/run.json").exists()


def test_data_made_before(trained: Path, cache: Path, tmp_path: Path, capsys: Any) -> None:
    """`--data` of what `data --for` makes gives the same weights as what is made on the way."""
    place = tmp_path / "data"
    assert run(capsys, "data", "--for", RECIPE, "--out", place, "--jobs", 1)[0] == 0
    status, out, _ = run(capsys, RECIPE, "--data", place, "--out", tmp_path / "out", "--json")
    assert status == 0
    weights = Path(json.loads(out)["weights"])
    assert weights.read_bytes() == (trained / "one_second.safetensors").read_bytes()
    words = tmp_path / "words.npz"
    status, out, _ = run(capsys, "vocab", "--data", place / "train", "--size", 8, "--out", words, "--json")
    assert status == 0
    assert json.loads(out)["size"] == 8
    assert words.is_file()
    os.replace(place / "validation", place / "kept")
    (place / "validation").symlink_to(place / "train")
    status, _, err = run(capsys, RECIPE, "--data", place, "--out", tmp_path / "other")
    assert status == 1
    assert "the training and the validation set share gen/lane_follow_curved/" in err


def test_a_card_adds_up_what_was_fitted_in_turn(tmp_path: Path) -> None:
    from drive.nn.fit import Fitted
    from drive.nn.recipe import TrainingRun

    data: Any = SimpleNamespace(hash="ab", header={"licences": ["Apache-2.0", "BSD-3-Clause"]})
    run = TrainingRun(tmp_path, "r", "gpu", 4, True, data, data, None, lambda planner, number, scenes: data)
    fits = [Fitted(None, n, n, n, 0.5 * n, {"loss": 1.0 / n}, "steps", "eager", tmp_path) for n in (20, 10)]
    card = run.card("r-1", {"widths": (4, 8), "folder": tmp_path}, fits, figures=())
    assert (card.steps, card.seconds, card.training) == (30, 15.0, {"loss": 0.1})
    assert (card.recipe, card.preset, card.seed, card.data) == ("r", "gpu", 4, "ab")
    assert card.licences == ("Apache-2.0", "BSD-3-Clause")
    assert card.config == {"widths": [4, 8], "folder": tmp_path.as_posix()}
    assert run.card("r-1", {}, fits[0]).steps == 20


def test_without_the_extra_nothing_begins(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from drive.cli import main\n"
        f"sys.exit(main.run(['train', {RECIPE!r}, '--out', {str(tmp_path / 'o')!r}]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "pip install 'drive-toolkit[learn]'" in found.stderr
    assert not (tmp_path / "o").exists()


def test_help(capsys: Any) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(word in out for word in ("NAME", "data", "vocab", "drive list recipes"))
    status, out, _ = run(capsys, "gtrs", "--help")
    assert status == 0
    assert "--resume" in out


def test_every_recipe_is_sound() -> None:
    """What is registered has presets whose data can be planned, unless it makes its own, and a planner,
    traffic or forecaster that takes its weights, of its name where it names no other."""
    from drive.eval.training.prepare import plan_of

    for name in registry.names("drive.recipes"):
        recipe = registry.load("drive.recipes", name)
        assert recipe.name == name
        assert {"cpu", "gpu"} <= set(recipe.presets)
        for config in recipe.presets.values():
            wanted = recipe.data(config)
            assert wanted is None or plan_of(wanted).validation is not None
        takers = ("drive.planners", "drive.traffic", "drive.forecasters")
        assert any(getattr(recipe, "planner", name) in registry.names(group) for group in takers)
