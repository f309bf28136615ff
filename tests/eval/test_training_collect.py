"""Training sets collected on small drives: which scenes, what is in a sample, the same again, and resumed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from drive import registry
from drive.datasets.commonroad import SOURCE
from drive.datasets.source import load
from drive.errors import InputError, UnknownNameError
from drive.eval.bench.suites import load_suite, suite_names
from drive.eval.training import check_suites, collector, make_data
from drive.eval.training.collect import Collection, collect_scene, driven_moments, expert_poses
from drive.eval.training.oracle import moments_of, oracle
from drive.eval.training.perturb import displaced, fits, moved, seen_from
from drive.eval.training.scenes import VALIDATION, key_of, scenes_of, validation_of
from drive.geometry import to_frame
from drive.nn.store import DataRequest, TrainingSet, training_fields
from drive.nn.vocabulary import Vocabulary
from drive.planner import Plan, PlanStatus, Session
from drive.scenario import Task
from drive.sim.teacher import TEACHER_VERSION
from drive.vehicle import SPEED, VehicleParams

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "commonroad"
SMALL = DataRequest(families=("cut_in", "roundabout"), scenes=1, every=3.0, near=24, random=8, displaced=0.5)


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    """Straight on and round bends, at many speeds."""
    t = 0.1 * np.arange(1, 41)
    plans = []
    for speed in np.linspace(0.0, 30.0, 16):
        for pace in (-3.0, 0.0, 1.0):
            for bend in (0.0, 0.01, -0.02):
                s = np.maximum.accumulate(np.clip(speed * t + 0.5 * pace * t**2, 0.0, None))
                h = bend * s
                plans.append(np.stack((s * np.cos(h / 2), s * np.sin(h / 2), h), axis=1))
    return Vocabulary(np.stack(plans))


@pytest.fixture(scope="module")
def made(words, tmp_path_factory) -> TrainingSet:
    return make_data(SMALL, tmp_path_factory.mktemp("data") / "set", vocabulary=words)


def test_training_scenes_lie_apart_from_every_suite() -> None:
    keys = [scene.key for scene in scenes_of(DataRequest(scenes=3))[0]]
    assert len(keys) == len(set(keys)) == 48
    for name in suite_names():
        refs = load_suite(name).refs
        assert not {key_of(ref) for ref in refs} & set(keys)
        with pytest.raises(InputError, match="must not be tested on"):
            check_suites([key_of(refs[0])])
    with pytest.raises(InputError, match=r"suite 'val' share gen/cut_in/100"):
        scenes_of(DataRequest(families=("cut_in",), first_seed=100, scenes=1))
    with pytest.raises(UnknownNameError, match="cut_in"):
        scenes_of(DataRequest(families=("cut_inn",)))
    held_out = validation_of(DataRequest(scenes=500), 60)
    assert (held_out.first_seed, held_out.scenes) == (VALIDATION, 60)


def test_recorded_scenes_are_known_by_their_place() -> None:
    assert (
        key_of("a/b/USA_US101-3_1_T-1.xml") == key_of("USA_US101-26_4_T-1.xml#x@12") == ("place", "USA_US101")
    )
    assert key_of("DEU_A9-3_1_T-1.xml") != key_of("USA_Lanker-1_1_T-1.xml")
    assert key_of("gen/cut_in/7~0.3") == ("gen", "cut_in", "7")


def test_what_a_sample_holds(made, words) -> None:
    found = made.take(np.arange(len(made)))
    fields = training_fields(SMALL, len(words))
    assert {name: values.shape[1:] for name, values in found.items()} == {
        name: field.shape for name, field in fields.items()
    }
    assert all(np.isfinite(values).all() for values in found.values())
    labels = found["labels"].astype(np.float64)
    assert labels.min() >= 0.0
    assert labels.max() <= 1.0
    assert len(np.unique(labels[..., -1])) > 10
    # The score is what its parts make it, to the precision of two bytes.
    nc, dac, ddc, tlc, ep, ttc, lk, hc, score = np.moveaxis(labels, -1, 0)
    assert score == pytest.approx(nc * dac * ddc * tlc * (5 * ep + 5 * ttc + 2 * lk + 2 * hc) / 14, abs=2e-3)
    # The expert's future begins at the ego, at its speed.
    first = np.hypot(*found["future"][:, 0, :2].T)
    assert first == pytest.approx(0.1 * np.abs(found["start"][:, 3]), abs=0.1)
    assert not found["start"][:, :3].any()
    assert found["scene.ego"][:, 0] == pytest.approx(found["start"][:, 3], abs=1e-4)
    assert set(found["kind"]) == {0, 1}
    for rows, speed in zip(found["label_rows"], found["start"][:, 3], strict=True):
        assert np.isin(words.near(float(speed), 24), rows).all()
        assert len(set(rows.tolist())) == 32
    assert made.header["teacher"]["version"] == TEACHER_VERSION
    assert made.header["licences"] == ["Apache-2.0"]
    made.expect(vocabulary=words, teacher=TEACHER_VERSION, sizes=SMALL.sizes, sensors=("vector",))


def test_the_same_again_killed_or_in_two_processes(made, words, tmp_path) -> None:
    def kill(what: str, done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_data(SMALL, tmp_path / "killed", vocabulary=words, progress=kill)
    again = make_data(SMALL, tmp_path / "killed", vocabulary=words, resume=True)
    assert again.hash == made.hash
    assert len(make_data(SMALL, tmp_path / "killed", vocabulary=words, resume=True)) == len(made)
    with pytest.raises(InputError, match="another request"):
        make_data(replace(SMALL, seed=1), tmp_path / "killed", vocabulary=words, resume=True)
    assert make_data(SMALL, tmp_path / "two", vocabulary=words, jobs=2).hash == made.hash


def test_a_learner_is_labelled_on_its_own_states(words, tmp_path) -> None:
    collect = collector(replace(SMALL, families=("cut_in",), displaced=0.0), tmp_path, vocabulary=words)
    learner = registry.load_planner("idm")
    folder = collect(learner, 1)
    found = TrainingSet.open(folder)
    assert folder == tmp_path / "round-1"
    rows = found.take(np.arange(len(found)))
    assert set(rows["kind"]) == {1, 2}
    assert found.header["learner"] == "idm"
    assert found.header["scenes"][0]["key"] == ["gen", "cut_in", "1010000"]
    before = (folder / "header.json").stat().st_mtime_ns
    assert collect(learner, 1) == folder
    assert (folder / "header.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="from 1 on"):
        collect(learner, 0)


class Seldom:
    """A planner that is asked twice a second."""

    def __init__(self) -> None:
        self.inner = registry.load_planner("idm")
        self.spec = replace(self.inner.spec, rate=2.0)

    def start(self, task: Task) -> Session:
        return self.inner.start(task)


def test_who_is_asked_seldom_is_seen_as_often(words) -> None:
    request = replace(SMALL, displaced=0.0, twins=0.0, every=1.0)
    for seed in range(4):
        scenario = load(f"gen/cut_in/1000{seed}")
        steps = [
            [
                moment.observation.step
                for moment in driven_moments(
                    scenario, Collection(request, words), np.random.default_rng(seed), learner
                )[1]
            ]
            for learner in (registry.load_planner("idm"), Seldom())
        ]
        assert len(steps[0]) >= 10
        late = np.array(steps[1]) - np.array(steps[0])[: len(steps[1])]
        assert len(steps[0]) - len(steps[1]) <= 1  # the last may be due after what is known of the future
        assert ((late >= 0) & (late < 5)).all()


def test_perturbed_moments_are_displaced_and_nothing_else(words) -> None:
    scenario = load("gen/roundabout/10001")
    rng = np.random.default_rng(0)
    _, moments = driven_moments(scenario, Collection(replace(SMALL, displaced=0.0), words), rng)
    pairs = [(a, b) for a, b in pairwise(moments) if (a.kind, b.kind) == (0, 1)]
    assert pairs
    for there, beside in pairs:
        a, b = there.observation, beside.observation
        assert a.time == b.time
        gap = to_frame(b.ego[None, :3], a.ego[:3])[0]
        assert abs(gap[1]) <= 1.0
        assert abs(gap[0]) < 1e-9
        assert 0.0 < abs(gap[2]) <= 0.15
        assert abs(b.ego[SPEED] - a.ego[SPEED]) <= 4.0
        assert np.array_equal(a.agents, b.agents)
        # The past is where it was, seen from the ego.
        assert to_frame(b.ego_history[:-1, :3], b.ego[:3]) == pytest.approx(
            to_frame(a.ego_history[:-1, :3], a.ego[:3])
        )
        assert to_frame(beside.past[:, :3], b.ego[:3]) == pytest.approx(
            to_frame(there.past[:, :3], a.ego[:3])
        )
    state = moments[0].observation.ego
    assert np.array_equal(seen_from(moments[0].observation, state).ego, state)
    assert moved(state[None], state, state)[0] == pytest.approx(state)
    drawn = [displaced(state, SMALL, rng, scenario.vehicle)[SPEED] for _ in range(50)]
    assert min(drawn) >= 0.0


def test_a_driven_past_is_as_fast_as_the_ego(words) -> None:
    scenario = load("gen/stop_for_lead/10001")
    request = replace(SMALL, displaced=0.0, every=1.0, past="driven", speed=8.0)
    _, moments = driven_moments(scenario, Collection(request, words), np.random.default_rng(0))
    pairs = [(a, b) for a, b in pairwise(moments) if (a.kind, b.kind) == (0, 1)]
    slower = faster = 0
    for there, beside in pairs:
        a, b = there.observation, beside.observation
        past = b.ego_history
        # It moved as its speeds say, and these differ from the other's by as much as they do now.
        gone = np.hypot(*np.diff(past[:, :2], axis=0).T)
        known = a.ego_history[1:, :2] != a.ego_history[:-1, :2]  # before the start everything stands
        went = known.any(1)
        before = a.ego_history[:-1, SPEED] + b.ego[SPEED] - a.ego[SPEED]
        assert past[:-1, SPEED] == pytest.approx(np.maximum(before, 0.0))
        mean = 0.5 * (past[:-1, SPEED] + past[1:, SPEED])
        assert gone[went] == pytest.approx(0.1 * mean[went], abs=0.08)
        assert beside.past[-1, :4] == pytest.approx(past[-2, :4])
        assert np.array_equal(past[-1], b.ego)
        faster += bool(b.ego[SPEED] > a.ego[SPEED] + 2.0)
        slower += bool(b.ego[SPEED] < a.ego[SPEED] - 2.0)
    assert faster
    assert slower
    with pytest.raises(InputError, match="carried or driven"):
        replace(SMALL, past="dreamt")


def test_what_came_of_the_experts_plans_can_be_shown_instead() -> None:
    scenario = load("gen/stop_for_lead/10001")
    request = replace(SMALL, displaced=0.0, twins=0.0, shown="drive", sensors=())
    pupil, moments = driven_moments(scenario, Collection(request), np.random.default_rng(0))
    for moment in moments:
        k = moment.observation.step
        shown = pupil.lesson(moment)
        assert shown is not None
        ego = pupil.run.ego
        assert shown.future == pytest.approx(to_frame(ego[k + 1 : k + 41, :3], ego[k, :3]))
        assert shown.controls == pytest.approx(ego[k + 1 : k + 41][:, [4, 5]])
    with pytest.raises(InputError, match="plan or drive"):
        replace(SMALL, shown="both")


def test_nobody_is_put_off_the_road_or_into_others() -> None:
    scenario = load("gen/lane_follow_curved/10001")
    car, start = scenario.vehicle, scenario.initial[:7]
    nobody = np.zeros((1, 5))
    there, size = np.array([True]), np.array([[4.0, 2.0, 1.5]])
    assert fits(start, scenario.roadmap, car, nobody, ~there, size)
    other = np.array([[start[0], start[1], start[2], 0.0, 0.0]])
    assert not fits(start, scenario.roadmap, car, other, there, size)
    off = start.copy()
    off[:2] += 60.0 * np.array([-np.sin(start[2]), np.cos(start[2])])
    assert not fits(off, scenario.roadmap, car, nobody, ~there, size)


def test_an_expert_without_a_plan_is_taken_to_stop(words) -> None:
    scenario = load("gen/cut_in/10001")
    _, moments = driven_moments(scenario, Collection(SMALL, words), np.random.default_rng(0))
    o = moments[0].observation
    plan = Plan.from_poses(o, np.tile(o.ego[:3] - np.array([3.0, 0.0, 0.0]), (40, 1)))
    poses = expert_poses(replace(plan, status=PlanStatus.FALLBACK), o, VehicleParams())
    s = np.hypot(*(poses[:, :2] - o.ego[:2]).T)
    assert s[-1] == pytest.approx(
        min(o.ego[3] ** 2 / 8.0, 4.0 * o.ego[3] - 32.0 * (o.ego[3] > 16.0)), rel=0.05
    )
    assert (np.diff(s) >= -1e-9).all()
    assert expert_poses(plan, o, VehicleParams())[-1] == pytest.approx(plan.trajectory.states[-1, :3])


def test_the_experts_own_futures_are_a_good_vocabulary(made) -> None:
    held = replace(SMALL, first_seed=VALIDATION, displaced=0.0, twins=0.0)
    asked = moments_of(held, 6)
    futures = made.take(np.arange(len(made)), ["future"])["future"]
    found = oracle(asked, {"own": Vocabulary(futures)}, near=8)
    assert found["expert"]["all"].mean() > 0.5
    assert (found["own"]["near"] <= found["own"]["all"] + 1e-6).all()
    assert len(asked.family) == len(found["own"]["all"]) == 6


def test_scenes_that_cannot_be_used_are_told(words, tmp_path) -> None:
    whole = load("gen/lane_follow_curved/10000")
    short = replace(whole, duration=3.0, **_cut(whole, 31))
    files = tmp_path / "files"
    SOURCE.write([short], files)
    (files / "bad-1.xml").write_text('<?xml version="1.0"?><commonRoad benchmarkID="x" ')
    request = replace(SMALL, scenarios=(str(files),), families=("cut_in",))
    notes: list[str] = []
    found = make_data(request, tmp_path / "set", vocabulary=words, note=notes.append)
    assert "bad-1.xml" in notes[0]
    assert len(notes) > 1
    assert all("too short" in note for note in notes[1:])
    assert [len(found.header[name]) for name in ("scenes", "skipped")] == [1, len(notes) - 1]


def _cut(scenario, samples: int) -> dict[str, object]:
    """The arrays over time of a scenario, cut to its first samples."""
    tracks = replace(
        scenario.tracks, states=scenario.tracks.states[:, :samples], valid=scenario.tracks.valid[:, :samples]
    )
    expert = scenario.expert and replace(scenario.expert, states=scenario.expert.states[:samples])
    return {"tracks": tracks, "expert": expert, "signals": scenario.signals[:, :samples]}


@pytest.mark.skipif(not DATA.exists(), reason="the CommonRoad files are not in ../shared/data")
def test_a_recorded_scene_is_learnt_from_its_human(words) -> None:
    request = replace(SMALL, families=(), scenarios=(str(DATA / "recorded"),), every=1.0)
    scenes, _ = scenes_of(request)
    assert ("place", "USA_US101") in {scene.key for scene in scenes}
    for scene in scenes:
        scenario = load(scene.ref)
        if scenario.expert is None or scenario.expert.source != "human":
            continue
        entry, rows = collect_scene(scene, Collection(request, words))
        if rows is None:
            assert "too short" in entry["skipped"] or "step of" in entry["skipped"]
            continue
        human = scenario.expert.states
        for row in np.flatnonzero(rows["kind"] == 0):
            k = round(float(rows["time"][row]) / 0.1)
            recorded = to_frame(human[k + 1 : k + 41, :3], human[k, :3])
            assert rows["future"][row] == pytest.approx(recorded, abs=1e-3)
        assert entry["key"] == list(scene.key)
        break
    else:
        pytest.skip("no recorded scene is long enough")
