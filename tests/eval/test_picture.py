"""Still pictures of scenes: where things are drawn, and what is text stays text."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from drive._imports import import_target
from drive.cli.main import run
from drive.datasets.source import load
from drive.errors import InputError
from drive.eval.picture import EGO, LIGHTS, scene_picture
from drive.scenario import SignalState

SVG = "{http://www.w3.org/2000/svg}"
straight = import_target(f"{Path(__file__).with_name('bench_scenes.py')}:straight", "the tests")
CITY = Path(__file__).parents[2].parent / "shared/data/commonroad/recorded"


def paths(svg: str, colour: str, solid: bool) -> list[np.ndarray]:
    """Outlines that are filled with a colour, in pixels."""
    opacity = "1" if solid else "0.16"
    found = [p for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("fill") == colour]
    shapes = [p.get("d", "") for p in found if p.get("fill-opacity") == opacity]
    return [np.array(re.findall(r"-?[\d.]+", d), dtype=float).reshape(-1, 2) for d in shapes]


def test_boxes_are_drawn_where_they_are() -> None:
    # The ego drives 9.6 m along x, its box is 5.176 m by 2.297 m. 22 m around its way are less than the
    # 90 m that a picture shows at least: from 40.2 m behind to 49.8 m ahead, 13.33 pixels a metre.
    svg = scene_picture(straight("tiny/a", speed=8.0, gap=30.0), at=0.0)
    [ego] = paths(svg, EGO, solid=True)
    np.testing.assert_allclose(ego.min(0), [501.5, 278.0], atol=0.15)
    np.testing.assert_allclose(ego.max(0), [570.5, 308.6], atol=0.15)
    # The lead stands 30 m ahead of the rear axle, which is 1.461 m behind the box's centre.
    leads = [p for p in paths(svg, "#3c8fc9", solid=True) if len(p) == 4]
    assert len(leads) == 1
    np.testing.assert_allclose(leads[0].mean(0), [(40.2 + 30.0 - 1.461) * 1200 / 90, 293.3], atol=0.2)


def test_the_picture_turns_with_the_way_and_shows_the_lights() -> None:
    scenario = load("gen/signalised_intersection/1")
    svg = scene_picture(scenario, at=6.0)
    [ego], faint = paths(svg, EGO, solid=True), paths(svg, EGO, solid=False)
    assert len(faint) >= 2
    assert min(p[:, 0].min() for p in faint) < ego[:, 0].min() < max(p[:, 0].max() for p in faint)
    shown = {SignalState(int(s)) for s in scenario.signals[:, 60]}
    strokes = {p.get("stroke") for p in ET.fromstring(svg).iter(f"{SVG}path")}
    assert shown & {SignalState.RED}
    assert {LIGHTS[s] for s in shown if s in LIGHTS} & strokes
    assert len(svg.encode()) < 200_000


def test_names_that_hold_markup_stay_text() -> None:
    svg = scene_picture(straight("<script>alert(1)</script>&"))
    assert "<script" not in svg
    texts = [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}text")]
    assert any("<script>alert(1)</script>&" in t for t in texts)


def test_a_recorded_city_is_drawn() -> None:
    files = sorted(CITY.rglob("*.xml")) if CITY.is_dir() else []
    if not files:
        pytest.skip("needs ../shared/data/commonroad")
    root = ET.fromstring(scene_picture(load(str(files[0]))))
    assert len(list(root.iter(f"{SVG}path"))) > 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gen/cut_in", "-o", "x.svg"), "stands for 10 scenarios"),
        (("gen/cut_in/1", "-o", "x.png"), "ends in .svg"),
        (("gen/cut_in/1", "-o", "x.svg", "--at", "15.5"), "no part of it"),
        (("gen/cut_in/1", "--at", "3"), "give it a name by -o x.svg"),
        (("some.drive.npz", "-o", "x.svg"), "is a run log: drive replay shows it"),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drive", "inspect", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.returncode == 1
    assert words in told.stderr
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "x.svg"
    picture.write_text("old")

    def full(part: Path, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drive.files.os.replace", full)
    assert run(["inspect", "gen/cut_in/1", "-o", str(picture)]) == 1
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]
    assert picture.read_text() == "old"


def test_a_moment_outside_the_scenario_is_refused() -> None:
    with pytest.raises(InputError, match="no part of it"):
        scene_picture(straight("tiny/b"), at=-1.0)
