"""Spoilt files: how the fuzzing counts, and a bounded part of it for every reader."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from drive.errors import DriveError, InputError
from drive.eval.hardness import spoil
from drive.eval.hardness.fuzz import fuzz, spoilt
from drive.eval.hardness.seeds import MAKERS, make_seeds
from drive.eval.hardness.targets import Place, Seed, Target, seeds_in, targets

HERE = Path(__file__).parent
SLOW = {"scenes:commonroad", "scenes:dem", "scenes:native", "scenes:nuplan", "run log", "journal", "results"}
QUICK = sorted(set().union(*MAKERS.values()) - SLOW)
WAYS = list(dict.fromkeys((*spoil.BYTES, *spoil.XML, *spoil.JSON, spoil.arrays)))
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="readers are tried in a forked process")


def broken(path: Path) -> object:
    """A reader that does with each first byte what no reader should."""
    first = path.read_bytes()[:1]
    if first == b"a":
        return "read"
    if first == b"b":
        raise InputError("no")
    if first == b"c":
        raise KeyError("x")
    if first == b"d":
        warnings.warn("odd", RuntimeWarning, stacklevel=1)
    if first == b"e":
        until = time.process_time() + 60.0
        while time.process_time() < until:
            pass
    if first == b"f":
        raise MemoryError
    if first == b"g":
        os.kill(os.getpid(), signal.SIGKILL)
    if first == b"h":
        raise InputError("")
    return None


def letters(rng: random.Random, data: bytes, others: object) -> bytes:
    return bytes([rng.choice(b"abcdfgh")])


def test_each_end_is_counted_and_each_finding_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target("broken", broken, letters)
    seeds = [Seed("seed", b"a")]
    tally = fuzz(target, seeds, 60, keep=tmp_path)
    drawn = b"".join(spoilt(target, seeds, 0, number)[1] for number in range(60)).decode()
    assert tally.inputs == 60
    assert tally.ends["read"] == drawn.count("a") > 0
    assert tally.ends["refused"] == drawn.count("b") > 0
    assert tally.ends["fault"] == drawn.count("c") + drawn.count("d") + drawn.count("h")
    assert tally.ends["memory"] == drawn.count("f") > 0
    assert tally.ends["crash"] == drawn.count("g") > 0
    assert tally.bad == 60 - drawn.count("a") - drawn.count("b")
    assert {path.read_bytes() for path in tmp_path.glob("*.bin")} == {b"c", b"d", b"f", b"g", b"h"}
    assert "KeyError" in "".join(path.read_text() for path in tmp_path.glob("*.txt"))


def test_a_reader_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drive.eval.hardness.fuzz.LIMIT_S", 0.2)
    tally = fuzz(Target("slow", broken, lambda rng, data, others: b"e"), [Seed("seed", b"a")], 2)
    assert (tally.ends["hang"], tally.inputs) == (2, 2)


def test_a_seed_that_is_not_read_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = [Seed("bad", b"b"), Seed("good", b"a")]
    assert fuzz(Target("some", broken, lambda rng, data, others: data), seeds, 3).ends["read"] == 3
    assert "does not take 'bad' as it is: InputError: no" in capsys.readouterr().out
    with pytest.raises(DriveError, match="takes none of the seeds"):
        fuzz(Target("none", broken, letters), seeds[:1], 3)


def test_what_lay_beside_a_seed_lies_beside_its_place(tmp_path: Path) -> None:
    home = tmp_path / "data" / "inner"
    home.mkdir(parents=True)
    (home / "scene.xml").write_text("whole")
    (home / "map.xml").write_text("map")
    (tmp_path / "data" / "up.txt").write_text("up")
    place = Seed.of(home / "scene.xml").place(tmp_path / "work")
    assert isinstance(place, Place)
    place.write(b"spoilt")
    assert (place.ref.parent / "map.xml").read_text() == "map"
    assert (place.ref.parent / "../up.txt").read_text() == "up"
    assert (home / "scene.xml").read_text() == "whole"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_ways_of_spoiling_take_any_bytes(way: spoil.Spoiler) -> None:
    rng = random.Random(0)
    for data in (
        b"",
        b"\0",
        b"1",
        b"<a b='1'/>",
        b'<a b="1"><c d="2">3</c></a>',
        b'{"a": [1, "b"]}',
        bytes(range(256)),
    ):
        for _ in range(20):
            assert isinstance(way(rng, data), bytes)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seed]]:
    folder = tmp_path_factory.mktemp("seeds")
    notes: list[str] = []
    written = SimpleNamespace(**run_path(str(HERE / "seeds.py"))).write_seeds(folder / "foreign")
    found = make_seeds(folder / "own", notes.append)
    for name, more in seeds_in([written]).items():
        found.setdefault(name, []).extend(more)
    assert notes == []
    return found


@pytest.mark.parametrize("name", QUICK)
def test_a_few_spoilt_files(name: str, tmp_path: Path) -> None:
    found = make_seeds(tmp_path, pytest.skip, [name])
    tally = fuzz(targets()[name], found[name], 150, seed=3)
    assert tally.bad == 0, [
        (finding.number, finding.where, finding.text) for finding in tally.findings.values()
    ]
    assert tally.ends["read"] > 0
    assert tally.ends["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(targets()))
def test_more_spoilt_files(name: str, seeds: dict[str, list[Seed]]) -> None:
    tally = fuzz(targets()[name], seeds[name], 150, seed=4)
    assert tally.bad == 0, [
        (finding.number, finding.where, finding.text) for finding in tally.findings.values()
    ]
