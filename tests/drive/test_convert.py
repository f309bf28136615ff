"""`drive convert`, and what `drive inspect` shows of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drive.cli import main
from drive.datasets import source
from drive.datasets.native import load_scene
from drive.datasets.source import load
from drive.errors import InputError

Out = pytest.CaptureFixture[str]


def test_a_scene_becomes_a_file_that_is_the_scene(tmp_path: Path, capsys: Out) -> None:
    path = tmp_path / "a.scene.npz"
    assert main.run(["convert", "gen/cut_in/17", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert load_scene(path).content_hash == load("gen/cut_in/17").content_hash


def test_a_folder_takes_one_file_a_scene(tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "out"
    assert main.run(["convert", "gen/cut_in/1:3", "gen/slow_obstacles/4", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [f"gen_{name}.scene.npz" for name in ("cut_in_1", "cut_in_2", "slow_obstacles_4")]
    assert told == {"format": "native", "written": [str(out / name) for name in names], "skipped": []}
    assert sorted(p.name for p in out.iterdir()) == sorted(names)


def test_what_cannot_be_converted_is_named_and_the_rest_is_done(tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "out"
    assert main.run(["convert", "gen/lunar_hills/1", "gen/cut_in/1", str(out), "--to", "commonroad"]) == 1
    shown = capsys.readouterr()
    assert "left out: gen/lunar_hills/1: 'gen/lunar_hills/1': CommonRoad files hold roads" in shown.err
    assert "1 of what was to be converted could not be" in shown.err
    assert shown.out == f"{out / 'gen_cut_in_1.xml'}\n"


def test_two_scenes_of_one_id_do_not_overwrite_each_other(tmp_path: Path, capsys: Out) -> None:
    for name in ("a", "b"):
        assert main.run(["convert", "gen/cut_in/1", str(tmp_path / "in" / f"{name}.scene.npz")]) == 0
    assert main.run(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert "another scenario has its id, 'gen/cut_in/1'" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["gen/cut_in/1:3", "a.scene.npz"], "'a.scene.npz' is one file for 2 scenarios; name a folder"),
        (["gen/cut_in/1", "a.mp4"], "no format is written to a.mp4 (known endings: "),
        (["gen/cut_in/1", "a", "--to", "cinema"], "unknown format to write 'cinema'"),
        (["gen/cut_inn/1", "a"], "did you mean 'cut_in'"),
        (["nowhere.xml", "a"], "there is no scenario 'nowhere.xml'"),
        (["gen/lunar_hills/1", "a.xml"], "nothing was written: 'gen/lunar_hills/1': CommonRoad files hold"),
    ],
)
def test_slips_are_told_in_one_line(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, arguments: list[str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["convert", *arguments]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("drive: error: ")
    assert fault in last
    assert not list(tmp_path.iterdir())


class Together:
    """A writer whose scenarios share files, as those of a database do."""

    name, written = "together", ".pb"

    def matches(self, ref: str) -> bool:
        return False

    def write(self, scenarios, out: Path) -> list[Path]:
        if any(scenario.id.startswith("gen/lunar") for scenario in scenarios):
            raise InputError("no moons")
        out.write_text(" ".join(scenario.id for scenario in scenarios))
        return [out]


def test_a_writer_that_does_not_say_otherwise_gets_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = source.sources()
    monkeypatch.setattr(source, "_installed", lambda: ((*known, Together()), ()))
    out = tmp_path / "a.pb"
    # It says that its files end in .pb, and one file may hold several.
    assert main.run(["convert", "gen/cut_in/1:3", str(out)]) == 0
    assert out.read_text() == "gen/cut_in/1 gen/cut_in/2"


def test_inspect_draws_a_page_of_what_was_written(tmp_path: Path, capsys: Out) -> None:
    folder = tmp_path / "scenes"
    assert main.run(["convert", "gen/cut_in/1", "gen/lunar_hills/1", str(folder)]) == 0
    (folder / "bad.scene.npz").write_bytes(b"PK<script>")
    page = tmp_path / "page.html"
    capsys.readouterr()
    assert main.run(["inspect", str(folder), "--html", str(page), "--json"]) == 0
    shown = capsys.readouterr()
    entries = json.loads(shown.out)
    assert [entry["what"] for entry in entries] == ["scenario", "scenario", "skipped file"]
    assert entries[0]["lane_kinds"] == {"lane": entries[0]["lanes"]}
    text = page.read_text()
    assert text.count("data:image/svg+xml;base64,") == 1
    assert "Not drawn" in text  # the moon has no roads
    assert "bad.scene.npz" in text
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text


def test_inspect_needs_a_pages_name(tmp_path: Path, capsys: Out) -> None:
    assert main.run(["inspect", "gen/cut_in/1", "--html", str(tmp_path / "a.png")]) == 1
    assert "a page's name ends in .html" in capsys.readouterr().err
