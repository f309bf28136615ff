"""Our own scenario files: bit for bit what was saved, and nothing that was tampered with."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import drive
from drive.datasets.native import SCHEMA, SOURCE, load_scene, save_scene
from drive.datasets.source import expand_all, load
from drive.errors import InputError, ScenarioError
from drive.files import read_npz, write_npz
from drive.roadmap import RoadMap, hash_arrays
from drive.scenario import Expert, Goal, Provenance, Route, Scenario
from drive.vehicle import VehicleParams

SCENES = ("gen/signalised_intersection/3", "gen/occluded_pedestrian/1", "gen/lunar_hills/2")


@pytest.fixture(scope="module")
def scene() -> Scenario:
    return load("gen/cut_in/17")


def same(a: Scenario, b: Scenario) -> None:
    """Every field, not only what the content hash covers."""
    assert a.content_hash == b.content_hash
    for name in ("id", "dt", "duration", "ego", "vehicle", "rover", "origin", "family", "tags", "provenance"):
        assert getattr(a, name) == getattr(b, name), name
    assert a.tracks.ids == b.tracks.ids
    assert (a.expert is None) == (b.expert is None)
    if a.expert is not None:
        assert a.expert.source == b.expert.source
        np.testing.assert_array_equal(a.expert.states, b.expert.states)
    mine, theirs = a.environment.to_arrays(), b.environment.to_arrays()
    assert {k: (v.dtype, v.shape) for k, v in mine.items()} == {
        k: (v.dtype, v.shape) for k, v in theirs.items()
    }


@pytest.mark.parametrize("ref", SCENES)
def test_any_scenario_comes_back_bit_for_bit(tmp_path: Path, ref: str) -> None:
    scenario = load(ref)
    path = save_scene(scenario, tmp_path / "a.scene.npz")
    assert SOURCE.matches(str(path))
    same(scenario, load(str(path)))
    again = save_scene(load_scene(path), tmp_path / "b.scene.npz")
    assert again.read_bytes() == path.read_bytes()


def test_goals_commands_and_odd_values_come_back(tmp_path: Path, scene: Scenario) -> None:
    goal = Goal(np.array([1.0, 2.0]), np.eye(3)[:, :2], (0, 1), (-0.1, 0.2), None, (1.0, np.inf))
    route = Route(scene.route.lanes, (), scene.route.line, goal, ((3.5, "left"),))
    odd = scene.with_(
        id="ä/b c",
        route=route,
        expert=None,
        vehicle=VehicleParams(length=0.1 + 0.2),
        origin=(1e6 / 3, -0.0),
        tags=(),
        provenance=Provenance("ü", seed=3, notes=("a", "b")),
    )
    back = load_scene(save_scene(odd, tmp_path / "a.scene.npz"))
    same(odd, back)
    assert back.route.goal.heading == (-0.1, 0.2)
    assert back.route.goal.speed is None
    assert back.route.goal.time == (1.0, np.inf)
    assert back.route.goal.lanes == (0, 1)
    assert back.route.commands == ((3.5, "left"),)
    np.testing.assert_array_equal(back.route.goal.polygon, np.eye(3)[:, :2])


def test_a_stand_in_expert_is_kept(tmp_path: Path, scene: Scenario) -> None:
    driven = scene.with_(expert=Expert(np.ones((scene.num_steps + 1, 7)), "idm"))
    same(driven, load_scene(save_scene(driven, tmp_path / "a.scene.npz")))


def test_a_scene_made_by_hand_drives(tmp_path: Path, scene: Scenario) -> None:
    path = save_scene(scene, tmp_path / "a.scene.npz")
    runs = [drive.run("idm", ref) for ref in (str(path), "gen/cut_in/17")]
    # The same name, the same seed, the same scene: the same drive.
    np.testing.assert_array_equal(runs[0].ego, runs[1].ego)


def test_another_track_can_be_the_ego(tmp_path: Path, scene: Scenario) -> None:
    path = str(save_scene(scene, tmp_path / "a.scene.npz"))
    refs = SOURCE.ids(path, "recorded")
    assert refs
    other = load(refs[0])
    assert other.tracks.ids[other.ego] == refs[0].rpartition("@")[2] != scene.tracks.ids[scene.ego]
    assert other.expert is not None
    with pytest.raises(InputError, match="holds one scenario"):
        load(f"{path}#17")


def rewritten(path: Path, **changes: object) -> Path:
    """The file with some entries replaced, or dropped for None, and its hash made to fit."""
    arrays = read_npz(path)
    arrays.pop("hash")
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del arrays[name]
        elif name == "header":
            header = json.loads(arrays["header"].tobytes())
            header.update(value)
            arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        else:
            arrays[name] = np.asarray(value)
    arrays["hash"] = np.frombuffer(hash_arrays(arrays).encode(), dtype=np.uint8)
    return write_npz(path, arrays)


def one_nan(shape: tuple[int, ...]) -> np.ndarray:
    values = np.zeros(shape)
    values.reshape(-1)[0] = np.nan
    return values


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"header": {"schema": "drive-scene/9"}}, f"version 'drive-scene/9', this toolkit reads '{SCHEMA}'"),
        ({"header": {"dt": 0.0}}, "holds no sound scenario"),
        ({"header": {"duration": 1e12}}, "holds no sound scenario: it lasts"),
        ({"header": {"ego": 99}}, "no track is the ego"),
        ({"header": {"vehicle": {"length": -1.0}}}, "vehicle length must be positive"),
        ({"header": {"vehicle": {"wings": 2}}}, "holds no sound scenario"),
        ({"header": {"track_ids": ["a"]}}, "disagree about their shapes"),
        ({"header": {"commands": 3}}, "holds no sound scenario"),
        ({"initial": one_nan((7,))}, "initial state must be"),
        ({"track_valid": None}, "it lacks 'track_valid'"),
        ({"map__points": None}, "lacks the array 'points'"),
        ({"map__successor": [10_000]}, "successor"),
        ({"route_lanes": [10_000]}, "names a lane that the map does not have"),
        ({"route_line": one_nan((4, 2))}, "finite points"),
        ({"track_size": np.zeros((1, 3))}, "disagree about their shapes"),
        ({"signals": np.full((1, 3), 9, dtype=np.uint8)}, "signals cover"),
        ({"goal_bounds": [1.0, 2.0]}, "holds no sound scenario"),
        ({"goal_lanes": ["a"]}, "holds no sound scenario"),
    ],
)
def test_files_that_cannot_be_are_refused(
    tmp_path: Path, scene: Scenario, changes: dict[str, object], fault: str
) -> None:
    path = rewritten(save_scene(scene, tmp_path / "bad.scene.npz"), **changes)
    with pytest.raises(InputError, match=fault) as told:
        load_scene(path)
    assert str(told.value).startswith("bad.scene.npz ")
    assert "\n" not in str(told.value)


def test_a_nan_in_a_valid_track_is_refused(tmp_path: Path, scene: Scenario) -> None:
    states = scene.tracks.states.copy()
    states[1, int(np.argmax(scene.tracks.valid[1])), 0] = np.nan
    path = rewritten(save_scene(scene, tmp_path / "a.scene.npz"), track_states=states)
    with pytest.raises(ScenarioError, match="not finite while it is marked valid"):
        load_scene(path)


def test_a_changed_byte_is_noticed(tmp_path: Path, scene: Scenario) -> None:
    path = save_scene(scene, tmp_path / "a.scene.npz")
    arrays = read_npz(path)
    arrays["initial"] = arrays["initial"] + 1e-9
    write_npz(path, arrays)
    with pytest.raises(InputError, match="does not fit its own hash"):
        load_scene(path)


def test_entries_of_later_versions_are_passed_over(tmp_path: Path, scene: Scenario) -> None:
    path = rewritten(save_scene(scene, tmp_path / "a.scene.npz"), more=[1, 2], header={"mood": "fine"})
    same(scene, load_scene(path))


def test_truncated_and_foreign_files_are_told_in_a_folder(tmp_path: Path, scene: Scenario) -> None:
    good = save_scene(scene, tmp_path / "a.scene.npz")
    cut = save_scene(replace(scene, id="b"), tmp_path / "b.scene.npz")
    cut.write_bytes(cut.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"b\.scene\.npz is truncated"):
        load_scene(cut)
    with pytest.raises(InputError, match="no such file"):
        load_scene(tmp_path / "c.scene.npz")
    found = expand_all([str(tmp_path)])
    assert found.refs == (str(good),)
    assert [file for file, _ in found.skipped] == [str(cut)]


def test_names_end_as_they_should(tmp_path: Path, scene: Scenario) -> None:
    with pytest.raises(InputError, match=r"ends in \.scene\.npz"):
        save_scene(scene, tmp_path / "a.npz")
    assert isinstance(scene.environment, RoadMap)
    assert SOURCE.environment(str(save_scene(scene, tmp_path / "a.scene.npz"))) == "road"


def test_the_scene_of_the_documentation_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    code = text[text.index("    import numpy as np") : text.index("`drive run blocked.scene.npz")]
    monkeypatch.chdir(tmp_path)
    exec(compile(textwrap.dedent(code), "formats.md", "exec"), {})
    log = drive.run("pdm", tmp_path / "blocked.scene.npz")
    assert log.header["failure"] is None
    metrics = log.header["scores"]["nuplan_cls"]["metrics"]
    assert metrics["collisions"] == 0.0
    assert metrics["drivable_area_compliance"] == 1.0
    assert 70.0 < log.ego[-1, 0] < 90.0  # behind the parked car
    assert log.ego[-1, 3] < 1.0
