"""Training sets on disk: whole after a kill, refused where they do not fit, joined, and apart from others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.nn.scene import SceneSizes
from drive.nn.store import (
    DataRequest,
    Field,
    JoinedSet,
    TrainingSet,
    check_disjoint,
    scene_key,
    training_fields,
)
from drive.nn.writer import Writer

REQUEST = DataRequest(families=("cut_in",), sensors=())
ABOUT = {
    "request": {"sensors": [], "sizes": {}},
    "vocabulary": {"hash": "abcd" * 8},
    "teacher": {"version": "1"},
}
FIELDS = training_fields(REQUEST, None)


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: np.asarray(rng.integers(0, 2, (count, *f.shape)), dtype=f.dtype) for n, f in FIELDS.items()}


def scene(seed: int) -> dict[str, object]:
    return {"ref": f"gen/cut_in/{seed}", "key": ["gen", "cut_in", str(seed)], "licence": "Apache-2.0"}


def make(folder: Path, seeds=(1, 2, 3), about=ABOUT) -> TrainingSet:
    writer = Writer(folder, FIELDS, about)
    for seed in seeds:
        writer.add(scene(seed), rows(seed + 1, seed))
    return writer.finish()


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = make(tmp_path / "set")
    assert len(found) == 9
    assert set(found.fields) == set(FIELDS)
    taken = found.take([4, 0, 8])
    whole = {n: np.concatenate([rows(s + 1, s)[n] for s in (1, 2, 3)]) for n in FIELDS}
    for name, values in taken.items():
        assert np.array_equal(values, whole[name][[4, 0, 8]])
        assert values.dtype == FIELDS[name].dtype
    assert found.header["licences"] == ["Apache-2.0"]
    # Any reader of arrays can read them.
    assert np.array_equal(np.load(tmp_path / "set" / "future.npy"), whole["future"])


@pytest.mark.parametrize("cut", ["between", "within rows", "within a line"])
def test_a_killed_collection_goes_on_to_the_same_bytes(tmp_path: Path, cut: str) -> None:
    undisturbed = make(tmp_path / "one")
    folder = tmp_path / "other"
    writer = Writer(folder, FIELDS, ABOUT)
    writer.add(scene(1), rows(2, 1))
    writer.close()
    if cut == "within rows":
        with (folder / "future.npy").open("ab") as file:
            file.write(b"\x01" * 333)
    if cut == "within a line":
        with (folder / "journal.jsonl").open("a") as file:
            file.write('{"ref": "gen/cut_')
    again = Writer(folder, FIELDS, ABOUT, resume=True)
    assert again.done == {"gen/cut_in/1"}
    assert again.rows == 2
    for seed in (2, 3):
        again.add(scene(seed), rows(seed + 1, seed))
    found = again.finish()
    assert found.hash == undisturbed.hash
    for name in FIELDS:
        assert (folder / f"{name}.npy").read_bytes() == (tmp_path / "one" / f"{name}.npy").read_bytes()


def test_two_do_not_write_one_set(tmp_path: Path) -> None:
    undisturbed = make(tmp_path / "one")
    folder = tmp_path / "other"
    first = Writer(folder, FIELDS, ABOUT)
    first.add(scene(1), rows(2, 1))
    with pytest.raises(InputError, match="another process writes"):
        Writer(folder, FIELDS, ABOUT, resume=True)
    for seed in (2, 3):
        first.add(scene(seed), rows(seed + 1, seed))
    assert first.finish().hash == undisturbed.hash


def test_a_set_killed_before_its_first_line_is_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "journal.jsonl").touch()
    writer = Writer(folder, FIELDS, ABOUT, resume=True)
    for seed in (1, 2, 3):
        writer.add(scene(seed), rows(seed + 1, seed))
    assert writer.finish().hash == make(tmp_path / "one").hash


def test_skipped_scenes_are_told_and_give_no_rows(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "set", FIELDS, ABOUT)
    writer.add({"ref": "bad.xml", "skipped": "it is no scenario"}, None)
    writer.add(scene(5), rows(3, 5))
    found = writer.finish()
    assert len(found) == 3
    assert [s["ref"] for s in found.header["skipped"]] == ["bad.xml"]
    empty = Writer(tmp_path / "none", FIELDS, ABOUT)
    empty.add({"ref": "bad.xml", "skipped": "it is no scenario"}, None)
    with pytest.raises(InputError, match=r"no scene gave a sample.*it is no scenario"):
        empty.finish()


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    writer = Writer(folder, FIELDS, ABOUT)
    writer.add(scene(1), rows(2, 1))
    writer.close()
    with pytest.raises(InputError, match="not finished"):
        TrainingSet.open(folder)
    with pytest.raises(InputError, match="--resume"):
        Writer(folder, FIELDS, ABOUT)
    with pytest.raises(InputError, match="another request"):
        Writer(folder, FIELDS, {**ABOUT, "generator": "9"}, resume=True)
    (folder / "future.npy").write_bytes(b"short")
    with pytest.raises(InputError, match="shorter than its journal"):
        Writer(folder, FIELDS, ABOUT, resume=True)
    make(tmp_path / "whole")
    with pytest.raises(InputError, match="holds a finished"):
        Writer(tmp_path / "whole", FIELDS, ABOUT, resume=True)
    with pytest.raises(InputError, match="there is no training set"):
        TrainingSet.open(tmp_path / "absent")
    array = tmp_path / "whole" / "start.npy"
    array.write_bytes(array.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated"):
        TrainingSet.open(tmp_path / "whole")
    header = tmp_path / "whole" / "header.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "schema": "drive-training/9"}))
    with pytest.raises(InputError, match="version 'drive-training/9'"):
        TrainingSet.open(tmp_path / "whole")
    header.write_text("[1")
    with pytest.raises(InputError, match="no readable header"):
        TrainingSet.open(tmp_path / "whole")


def test_what_a_trainer_expects(tmp_path: Path) -> None:
    found = make(tmp_path / "set")
    assert found.expect(vocabulary="abcd" * 8, teacher="1") is found
    for wanted, told in (
        ({"vocabulary": "ffff" * 8}, "labels for the vocabulary abcdabcdabcd"),
        ({"teacher": "2"}, "teacher 1, not 2"),
        ({"sizes": SceneSizes()}, "other sizes"),
        ({"sensors": ("raster",)}, "without the sensor 'raster'"),
    ):
        with pytest.raises(InputError, match=told):
            found.expect(**wanted)


def test_joined_sets_are_their_concatenation(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", (1, 2)), make(tmp_path / "two", (7,))
    both = JoinedSet([one, other])
    assert len(both) == len(one) + len(other)
    at = [0, 12, 3, 5, 4, 11, 4]
    taken = both.take(at)
    for name in both.fields:
        whole = np.concatenate((one.take(np.arange(5))[name], other.take(np.arange(8))[name]))
        assert np.array_equal(taken[name], whole[at])
    third = make(tmp_path / "three", (9,), {**ABOUT, "vocabulary": {"hash": "0"}})
    with pytest.raises(InputError, match="two vocabularies"):
        JoinedSet([one, third])
    with pytest.raises(InputError, match="rows lie between"):
        both.take([13])


def test_sets_that_share_a_scene_or_a_place_are_refused(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", (1, 2)), make(tmp_path / "two", (2, 3))
    with pytest.raises(InputError, match="share gen/cut_in/2"):
        check_disjoint(one, other)
    check_disjoint(one, frozenset({scene_key("cut_in", 3, ""), scene_key("", None, "USA_US101")}))
    with pytest.raises(InputError, match="place/USA_US101"):
        check_disjoint(frozenset({("place", "USA_US101")}), frozenset({scene_key("", None, "USA_US101")}))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "set", FIELDS, ABOUT)
    writer._files["future"].close()
    writer._files["future"] = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with pytest.raises(InputError, match="cannot be written: No space left"):
        writer.add(scene(1), rows(2, 1))


def test_a_request_says_how_much_is_labelled() -> None:
    assert REQUEST.labelled(8192) == 576
    assert REQUEST.labelled(100) == 100
    assert DataRequest(near=0).labelled(8192) == 8192
    named = training_fields(DataRequest(), 8192, {"raster": Field("|u1", (8, 128, 128))})
    assert named["labels"].shape == (576, 9)
    assert named["scene.ego"].shape == (14,)
    assert named["scene.lanes_valid"].dtype == "|b1"
    assert named["raster"].bytes == 8 * 128 * 128
    for wrong in ({"twins": 1.5}, {"sensors": ("sonar",)}, {"every": 0.0}, {"scenes": -1}):
        with pytest.raises(InputError):
            DataRequest(**wrong)
