"""GTRS learns in a toy world: scorer, generator, refinement and turned views, then a search against it."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import gtrs_toy as toy
import torch

from drive.errors import InputError, MissingWeightsError
from drive.nn.augment import rotate_poses
from drive.nn.encoders import EncoderSettings
from drive.nn.fit import FitSettings
from drive.nn.geometry import candidate_geometry
from drive.nn.recipe import TrainingRun
from drive.nn.vocabulary import Vocabulary
from drive.nn.weights import Card, save_weights
from drive.planner import PlanStatus
from drive.planners.gtrs import planner as planners
from drive.planners.gtrs.aug import AugSettings, draw_angles, shift_panorama
from drive.planners.gtrs.evaluate import auroc, brier, table
from drive.planners.gtrs.evaluate import main as evaluate
from drive.planners.gtrs.generator import GeneratorSettings
from drive.planners.gtrs.model import GTRSModel, ModelSettings
from drive.planners.gtrs.objective import LABEL_NAMES, Objective, ObjectiveSettings, turn_view
from drive.planners.gtrs.policy import DiffusionPolicy, GTRSPolicy, PolicySettings
from drive.planners.gtrs.profiles import PROFILES
from drive.planners.gtrs.refine import RefineSettings
from drive.planners.gtrs.scorer import ScorerSettings
from drive.planners.gtrs.search import SearchSettings, search
from drive.planners.gtrs.train import (
    DIFFUSION,
    IMITATION,
    RECIPE,
    TrainConfig,
    about,
    batches_of,
    find_range,
    learn,
)
from drive.planners.gtrs.verdict import chunks, moment, picks
from drive.planners.learned.decision import Memory
from drive.planners.learned.intervals import bootstrap
from drive.planners.learned.profiles import Profile, emphasised
from drive.sim.teacher import TEACHER_NAMES
from drive.trajectory import Trajectory

ENCODER = EncoderSettings(width=32, layers=1, heads=2, ffn=64, sizes=toy.SIZES)
MODEL = ModelSettings(
    ENCODER,
    ScorerSettings(heads=2, layers=1, ffn=64, hidden=64),
    RefineSettings(topk=8, layers=1),
    GeneratorSettings(heads=2, layers=1, ffn=64),
)
CONFIG = TrainConfig(
    fit=FitSettings(
        steps=110, lr=3e-3, warmup=10, ema=0.97, watch="watched", validate_every=55, checkpoint_minutes=9.0
    ),
    model=MODEL,
    batch=16,
    keep=48,
    held_out=200,
    profile="expected",
)


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return toy.toy_vocabulary()


@pytest.fixture(scope="module")
def trained(words: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> tuple[GTRSModel, object]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data, held = toy.ToySet.make(400, words, 1), toy.ToySet.make(150, words, 2)
    model = GTRSModel(CONFIG.model)
    find_range(model, data, 0)
    learn(model, data, held, words, CONFIG, tmp_path_factory.mktemp("fit"), progress=False)
    return model.eval(), held


def test_labels_are_the_teachers() -> None:
    assert LABEL_NAMES == TEACHER_NAMES


def test_scorer_beats_random_and_straight_picks(trained: tuple, words: Vocabulary) -> None:
    model, held = trained
    poses = torch.tensor(words.poses)
    found = picks(model, held, np.arange(150), poses, PROFILES["expected"])
    gain = found.picked - found.random
    rng = np.random.default_rng(0)
    means = [gain[rng.integers(0, 150, 150)].mean() for _ in range(1000)]
    assert np.quantile(means, 0.025) > 0.3
    assert found.picked.mean() > found.straight.mean() + 0.2
    assert found.oracle.mean() - found.picked.mean() < 0.2
    assert (found.picked <= found.oracle + 1e-6).all()


def test_unseen_vocabulary_is_judged_as_well(trained: tuple) -> None:
    model, _ = trained
    shares = []
    for seed in (0, 7):  # the one that was trained on, and another
        other = toy.toy_vocabulary(seed=seed)
        held = toy.ToySet.make(120, other, 5)
        found = picks(model, held, np.arange(120), torch.tensor(other.poses), PROFILES["expected"])
        shares.append(found.picked.mean() / found.oracle.mean())
    assert shares[1] > shares[0] - 0.1


def test_more_weight_on_progress_drives_farther(trained: tuple, words: Vocabulary) -> None:
    model, held = trained
    poses = torch.tensor(words.poses)
    rows = np.arange(150)

    def progress(profile: Profile) -> float:
        ends = []
        for batch in chunks(held, rows, "cpu"):
            view, candidates = moment(batch), poses[batch["label_rows"].long()]
            with torch.no_grad():
                index = model.judge(model(view), view, candidates, profile, 1).index
            ends.append(candidates[torch.arange(len(index)), index, -1, 0])
        return float(torch.cat(ends).mean())

    plain = PROFILES["expected"]
    assert progress(emphasised(plain, "ep=3")) > progress(plain)
    with pytest.raises(InputError, match="HEAD=FACTOR"):
        emphasised(plain, "speed=3")


def test_table_of_trained_weights(
    trained: tuple, words: Vocabulary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, held = trained
    held.arrays["scene_number"] = np.arange(150) // 3
    odds, truth = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
    assert auroc(odds, truth) == pytest.approx(3.5 / 4.0)  # of four pairs three are right and one is equal
    assert np.isnan(auroc(odds, np.ones(4, dtype=bool)))
    assert brier(odds, truth) == pytest.approx(((0.01 + 0.16 + 0.36 + 0.04) / 4.0, 0.25))
    same = bootstrap(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 1, 0, 1]))
    assert same == pytest.approx((0.5, 0.5, 0.5))  # scenes that do not differ leave nothing uncertain
    other = toy.toy_vocabulary(seed=7)
    unseen = toy.ToySet.make(60, other, 8)
    unseen.arrays["scene_number"] = np.arange(60)
    found = dict(table(model, held, words, PROFILES["expected"], 120, (unseen, other)))
    assert found["moments, scenes"].startswith("120, ")
    low = float(found["scorer - random"].split("[")[1].split(",")[0])
    assert low > 0.3
    for head in ("nc", "dac"):
        area, _, rest = found[f"{head}: AUROC, Brier (base rate)"].partition(", ")
        mine, base = (float(x.strip("()")) for x in rest.split(" "))
        assert float(area) >= 0.85
        assert mine < base
    assert "relative score, unseen vocabulary of 256" in found
    with pytest.raises(SystemExit):
        evaluate(["nowhere", str(tmp_path / "none.safetensors")])
    assert "none.safetensors" in capsys.readouterr().err


def test_search_against_the_scorer_is_told(trained: tuple, words: Vocabulary) -> None:
    model, held = trained
    batch = next(chunks(held, np.arange(12), "cpu"))
    view, candidates = moment(batch), torch.tensor(words.poses)[batch["label_rows"].long()]

    def teach(row: int, poses: np.ndarray) -> np.ndarray:
        return held.toys[row].teach(poses)[:, -1]

    for method, rounds in (("cem", 4), ("gradient", 3)):
        settings = SearchSettings(method=method, rounds=rounds, samples=48, elites=8)
        drop = search(model, view, candidates, teach, PROFILES["expected"], settings)
        again = search(model, view, candidates, teach, PROFILES["expected"], settings)
        assert np.array_equal(drop.found_true, again.found_true)
        assert drop.picked_true.shape == drop.found_true.shape == (12,)
        assert "true score from" in drop.report()
        assert drop.drop == pytest.approx((drop.picked_true - drop.found_true).mean())
    # What the report calls the pick's true score is the toy's own of the scorer's pick.
    with torch.no_grad():
        index = model.scorer.score(model(view), view.scene, candidates, PROFILES["expected"]).index
    own = [teach(r, candidates[r, index[r]][None].numpy())[0] for r in range(12)]
    assert drop.picked_true.tolist() == pytest.approx(own)


def test_batches_are_a_function_of_the_step(words: Vocabulary) -> None:
    data = toy.ToySet.make(40, words, 3)
    batches = batches_of(data, 16, 32, seed=1)
    one, again, other = batches(7), batches_of(data, 16, 32, seed=1)(7), batches(8)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["label_rows"], other["label_rows"])
    assert one["labels"].shape == (16, 32, 9)
    # An epoch meets each sample at most once; the labels stay with their rows.
    seen = np.concatenate([batches(step)["future"][:, -1, 0] for step in (0, 1)])
    assert len(np.unique(seen)) == 32
    row = int(np.flatnonzero((data.arrays["future"] == one["future"][0]).all((1, 2)))[0])
    place = int(np.flatnonzero(data.arrays["label_rows"][row] == one["label_rows"][0, 3])[0])
    assert np.array_equal(data.arrays["labels"][row, place], one["labels"][0, 3])


def test_turning_scene_and_candidates_changes_no_verdict(words: Vocabulary) -> None:
    data = toy.ToySet.make(6, words, 4)
    batch = next(chunks(data, np.arange(6), "cpu"))
    view, candidates = moment(batch), torch.tensor(words.poses)[batch["label_rows"].long()]
    angle = torch.linspace(-0.5, 0.5, 6)
    turned, moved = turn_view(view, angle), rotate_poses(candidates, -angle)
    # The best by the labels, turned back, is the plan that it was.
    best = batch["labels"][..., -1].argmax(1)
    each = torch.arange(6)
    back = rotate_poses(moved, angle)[each, best]
    torch.testing.assert_close(back, candidates[each, best], atol=1e-4, rtol=0.0)
    # What the scorer is told of the candidates' place in the scene is the same.
    before = candidate_geometry(view.scene, candidates)
    after = candidate_geometry(turned.scene, moved, heading=-angle)
    away = (after - before).abs()
    # Beyond the way's end two of its segments can be equally near: rounding may choose the other.
    assert (away > 1e-3).float().mean() < 1e-3
    assert away.mean() < 1e-4


def test_turned_views_soft_targets_and_refinement_learn(words: Vocabulary) -> None:
    data = toy.ToySet.make(32, words, 6)
    torch.manual_seed(0)
    student, teacher = GTRSModel(MODEL), GTRSModel(MODEL)
    settings = ObjectiveSettings(aug=AugSettings(views=2, soft=True, share=1.0))
    objective = Objective(settings, torch.tensor(words.poses), teacher.requires_grad_(False))
    draw = torch.Generator().manual_seed(0)
    batch = {n: torch.from_numpy(a) for n, a in batches_of(data, 16, 24, 0)(0).items()}
    loss, figures = objective(student, batch, draw)
    loss.backward()
    assert {"turned", "soft", "refine", "generator", "imi", "hc"} <= set(figures)
    grads = {name: p.grad for name, p in student.named_parameters()}
    assert all(g is not None and torch.isfinite(g).all() for g in grads.values())
    assert all(p.grad is None for p in teacher.parameters())
    student.eval()
    plain, parts = objective(student, batch, draw)
    assert "turned" not in parts
    assert plain < loss
    with pytest.raises(InputError, match="running mean"):
        Objective(settings, torch.tensor(words.poses))


def test_angles_and_panoramas() -> None:
    settings = AugSettings(views=1, angle=0.5, share=0.5)
    angles = draw_angles(2000, settings, torch.Generator().manual_seed(0))
    assert angles.abs().max() <= 0.5
    assert 0.4 < (angles != 0.0).float().mean() < 0.6
    # Four views of 3 columns over a full circle: a quarter turn to the left is one view farther right.
    views = torch.arange(12, dtype=torch.uint8).reshape(1, 4, 1, 3, 1).expand(1, 4, 2, 3, 3).contiguous()
    left = shift_panorama(views, torch.tensor([math.pi / 2]), 2 * math.pi)
    assert left[0, :, 0, :, 0].flatten().tolist() == [9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert torch.equal(shift_panorama(left, torch.tensor([-math.pi / 2]), 2 * math.pi), views)
    # Of less than a circle, what is not seen repeats the border.
    half = shift_panorama(views, torch.tensor([-math.pi / 4]), math.pi)
    assert half[0, :, 0, :, 0].flatten().tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11]


class Seen:
    """What a policy reads of an observation."""

    def __init__(self, speed: float, time: float = 0.0) -> None:
        self.ego = np.array([100.0, 50.0, 1.0, speed, 0.0, 0.0, 0.0])
        self.time = time


def driven(o: Seen, poses: np.ndarray) -> Trajectory:
    from drive.geometry import from_frame

    world = from_frame(np.concatenate((np.zeros((1, 3)), poses)), o.ego[:3])
    return Trajectory.from_poses(o.time + 0.1 * np.arange(len(world)), world)


def test_policy_keeps_its_plan_and_shows_every_verdict(trained: tuple, words: Vocabulary) -> None:
    model, held = trained
    batch = moment(next(chunks(held, np.arange(3), "cpu")))
    seen = [Seen(float(v)) for v in batch.ego[:, 0]]
    policy = GTRSPolicy(
        [model], words, PolicySettings(candidates=64, proposals=4, profile="expected", topk=6)
    )
    with torch.inference_mode():
        memories = [Memory(seed=k) for k in range(3)]
        first = policy.decide(batch, seen, memories)
        again = policy.decide(batch, seen, memories)
        for k in range(3):
            alone = moment(next(chunks(held, np.array([k]), "cpu")))
            one = policy.decide(alone, seen[k : k + 1], memories[k : k + 1])[0]
            np.testing.assert_allclose(one.poses, first[k].poses, atol=1e-3)
    for d, e in zip(first, again, strict=True):
        assert np.array_equal(d.poses, e.poses)
        assert d.poses.shape == (40, 3)
        assert d.candidates.states.shape == (6, 40, 3)
        assert {"nc", "dac", "ddc", "tlc", "ep", "ttc", "lk", "hc", "imi", "combined"} == set(
            d.candidates.scores
        )
        assert (np.diff(d.candidates.scores["combined"]) <= 1e-6).all()
        assert d.status in (PlanStatus.OK, PlanStatus.DEGRADED)
    # With a strong preference for what is being driven, that is what comes out, shifted in time.
    plan = toy.arcs(seen[0].ego[3], -0.5, 0.01)
    memories[0].trajectory, memories[0].time = driven(seen[0], plan), 0.0
    later = Seen(seen[0].ego[3] - 0.05, 0.1)
    later.ego[:3] = memories[0].trajectory.at(np.array([0.1]))[0, :3]
    steady = GTRSPolicy([model], words, PolicySettings(candidates=64, consistency=1e4, profile="expected"))
    alone = moment(next(chunks(held, np.array([0]), "cpu")))
    with torch.inference_mode():
        kept = steady.decide(alone, [later], memories[:1])[0]
    expected, _ = memories[0].ahead(later)
    np.testing.assert_allclose(kept.poses[:39, :2], expected[:39, :2], atol=1e-3)
    assert np.hypot(*(kept.poses[39] - kept.poses[38])[:2]) > 0.0


def test_policy_refuses_what_cannot_work(trained: tuple, words: Vocabulary) -> None:
    model, _ = trained
    with pytest.raises(InputError, match="needs candidates"):
        PolicySettings(candidates=0)
    short = Vocabulary(words.poses[:, :20])
    with pytest.raises(InputError, match="40 poses"):
        GTRSPolicy([model], short)
    taught = ModelSettings(ENCODER, ScorerSettings(heads=2, layers=1, ffn=64, teacher=()), proposes=False)
    with pytest.raises(InputError, match="have no head"):
        GTRSPolicy([GTRSModel(taught)], words)
    with pytest.raises(InputError, match="no generator"):
        DiffusionPolicy(GTRSModel(taught))


def saved(folder: Path, name: str, settings: ModelSettings, words: Vocabulary, **changes: object) -> Path:
    torch.manual_seed(0)
    config = about(CONFIG) | {"model": {}}
    config["model"] = asdict(settings)
    path = folder / f"{name}.safetensors"
    card = Card(name, planners.ARCHITECTURE, config=config, vocabulary=words.hash, **changes)
    save_weights(path, GTRSModel(settings), card)
    words.save(planners.vocabulary_path(path))
    return path


def test_planners_load_their_weights_or_say_why_not(tmp_path: Path, words: Vocabulary) -> None:
    path = saved(tmp_path, "gtrs", MODEL, words)
    planner = planners.GTRSPlanner(planners.GTRSConfig(str(path)))
    assert planner.policy.settings.profile == "expected"  # the card's
    assert planner.spec.name == "gtrs"
    pair = planners.GTRSPlanner(planners.GTRSConfig(f"{path},{path}"))
    assert len(pair.policy.models) == 2
    assert planners.DiffusionPlanner(planners.DiffusionConfig(str(path))).spec.name == "diffusion"
    assert (
        planners.ImitationPlanner(planners.ImitationConfig(str(path))).policy.profile == PROFILES["imitation"]
    )
    other = toy.toy_vocabulary(seed=9)
    other.save(planners.vocabulary_path(path))
    with pytest.raises(InputError, match="is not the vocabulary of"):
        planners.GTRSPlanner(planners.GTRSConfig(str(path)))
    swapped = planners.GTRSConfig(str(path), vocabulary=str(planners.vocabulary_path(path)))
    assert planners.GTRSPlanner(swapped).policy.vocabulary.hash == other.hash
    with pytest.raises(MissingWeightsError, match="diffusion"):
        planners.own_weights("diffusion", "")


def test_recipe_writes_weights_that_drive(words: Vocabulary, tmp_path: Path) -> None:
    data = toy.ToySet.make(32, words, 1)
    short = replace(
        CONFIG, fit=replace(CONFIG.fit, steps=4, validate_every=4, warmup=1), rounds=0, held_out=16
    )
    paths = []
    for name in ("once", "again"):
        run = TrainingRun(
            tmp_path / name, "gtrs", "cpu", 3, False, data, data, words, lambda *_: pytest.fail("no round")
        )
        paths.append(RECIPE.train(run, short))
    assert paths[0].read_bytes() == paths[1].read_bytes()  # one seed, one network
    planner = planners.GTRSPlanner(planners.GTRSConfig(str(paths[0])))
    assert planner.policy.vocabulary.hash == words.hash
    assert planner.policy.settings.profile == "expected"
    with pytest.raises(InputError, match="labelled for a vocabulary"):
        RECIPE.train(replace(run, vocabulary=None), short)


def test_recipes_have_both_presets_and_ask_for_what_they_need() -> None:
    for recipe in (RECIPE, IMITATION, DIFFUSION):
        assert {"cpu", "gpu"} <= set(recipe.presets)
        plan = recipe.data(recipe.presets["cpu"])
        assert plan.train.sensors == ("vector",)
        assert plan.vocabulary.size == recipe.presets["cpu"].vocabulary
        for preset in recipe.presets.values():
            asked = recipe.data(preset).vocabulary
            # 15 s, a moment a second and a twin beside it, four seconds known: at least 18 futures a scene.
            assert 18 * asked.data.scenes * len(asked.data.families) > 3 * asked.size
    assert IMITATION.presets["cpu"].model.scorer.names == ("imi",)
    assert not DIFFUSION.presets["cpu"].model.scores
    same = {
        (r.presets["cpu"].model.encoder, r.presets["cpu"].fit.steps) for r in (RECIPE, IMITATION, DIFFUSION)
    }
    assert len(same) == 1
