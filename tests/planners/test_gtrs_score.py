"""GTRS: the weight profiles, the scorer's invariances, its losses, the refinement and ensembles."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from drive.errors import InputError, UnknownNameError
from drive.nn.encoders import EncoderSettings
from drive.nn.scene import SceneArrays, SceneSizes, is_mask, scene_shapes
from drive.nn.tokens import SceneBatch, scene_tensors
from drive.planners.gtrs.ensemble import average, ensemble
from drive.planners.gtrs.losses import (
    dropout_rows,
    imitation_target,
    scorer_loss,
    soften,
    soften_plan,
    targets,
)
from drive.planners.gtrs.model import GTRSModel, ModelSettings
from drive.planners.gtrs.profiles import PROFILES, TEACHER_HEADS
from drive.planners.gtrs.refine import RefineSettings
from drive.planners.gtrs.scorer import ScorerSettings
from drive.planners.learned.profiles import Profile, combine, find_profile

SIZES = SceneSizes(agents=4, lanes=5, edges=5, route=16)


def random_batch(count: int, seed: int = 0) -> SceneBatch:
    rng = np.random.default_rng(seed)
    arrays = [
        rng.random((count, *shape)) < 0.7 if is_mask(name) else rng.normal(size=(count, *shape)) * 3.0
        for name, shape in zip(SceneArrays._fields, scene_shapes(SIZES), strict=True)
    ]
    scene = scene_tensors(SceneArrays(*arrays))
    return SceneBatch(scene, None, None, scene.ego)


def random_candidates(batch: int, count: int, seed: int = 1) -> torch.Tensor:
    """Curved motions at several speeds, `(B, K, 40, 3)`."""
    g = torch.Generator().manual_seed(seed)
    speed = 12.0 * torch.rand(batch, count, 1, generator=g)
    curvature = 0.08 * (torch.rand(batch, count, 1, generator=g) - 0.5)
    s = speed * 0.1 * torch.arange(1, 41)
    heading = curvature * s
    return torch.stack((s * torch.sinc(heading / math.pi), s * heading / 2.0, heading), -1)


def small_model(seed: int = 0, **changes: object) -> GTRSModel:
    torch.manual_seed(seed)
    settings = ModelSettings(
        EncoderSettings(width=16, layers=1, heads=2, ffn=32, sizes=SIZES),
        ScorerSettings(heads=2, layers=2, ffn=32, **changes.pop("scorer", {})),
        proposes=False,
        **changes,
    )
    return GTRSModel(settings).eval()


# Logits 0 are probabilities of 1/2; ln 3 is 3/4; -ln 3 is 1/4.
THREE = math.log(3.0)
HALF = {name: torch.zeros(1, 2) for name in TEACHER_HEADS}
MIXED = HALF | {
    "imi": torch.tensor([[0.0, THREE]]),  # softmax 1/4, 3/4
    "ep": torch.tensor([[THREE, -THREE]]),
    "dac": torch.tensor([[0.0, THREE]]),
}
L2, L34, L14 = math.log(2.0), math.log(0.75), math.log(0.25)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # First candidate: imi 1/4, ep 3/4, the rest 1/2. Second: imi 3/4, ep 1/4, dac 3/4, the rest 1/2.
        (
            "dense",
            (
                0.03 * L14 - 1.3 * L2 + 6.0 * math.log(7 * 0.5 + 7 * 0.75 + 3 * 0.5),
                0.03 * L34 - 0.4 * L2 + 0.9 * L34 + 6.0 * math.log(7 * 0.5 + 7 * 0.25 + 3 * 0.5),
            ),
        ),
        (
            "dense_proposals",
            (
                0.01 * L14 - 1.6 * L2 + 3.0 * math.log(7.25),
                0.01 * L34 - 1.1 * L2 + 0.5 * L34 + 3.0 * math.log(4.75),
            ),
        ),
        (
            "aug",
            (
                0.02 * L14 - 1.4 * L2 + 6.0 * math.log(7.75),
                0.02 * L34 - 0.9 * L2 + 0.5 * L34 + 6.0 * math.log(5.25),
            ),
        ),
        ("aug_refine", (-1.4 * L2 + 6.0 * math.log(7.75), -0.9 * L2 + 0.5 * L34 + 6.0 * math.log(5.25))),
    ],
)
def test_published_profiles_by_hand(name: str, expected: tuple[float, float]) -> None:
    found = combine({k: v.double() for k, v in MIXED.items()}, find_profile(name, PROFILES))
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_profile_survives_hopeless_candidates_and_tells_a_missing_head() -> None:
    hopeless = {name: torch.full((1, 2), -200.0) for name in (*TEACHER_HEADS, "imi")}
    assert torch.isfinite(combine(hopeless, PROFILES["dense"])).all()
    with pytest.raises(UnknownNameError, match="ttc"):
        combine({"imi": torch.zeros(1, 2)}, Profile({"imi": 1.0}, 1.0, {"ttc": 1.0}))
    with pytest.raises(UnknownNameError, match="dense"):
        find_profile("denso", PROFILES)
    # Published doubling of the set lowers every imitation term by log 2.
    once = combine({"imi": torch.zeros(1, 4)}, PROFILES["imitation"])
    twice = combine({"imi": torch.zeros(1, 8)}, PROFILES["imitation"])
    assert (once[0, 0] - twice[0, 0]).item() == pytest.approx(L2, abs=1e-6)


@pytest.mark.parametrize("self_attention", [False, True])
def test_permutation_and_batch(self_attention: bool) -> None:
    model = small_model(scorer={"self_attention": self_attention})
    batch, poses = random_batch(3), random_candidates(3, 20)
    profile = PROFILES["dense"]
    order = torch.randperm(20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        tokens = model(batch)
        out = model.judge(tokens, batch, poses, profile)
        shuffled = model.judge(tokens, batch, poses[:, order], profile)
        alone = SceneBatch(type(batch.scene)(*(f[1:2] for f in batch.scene)), None, None, batch.ego[1:2])
        one = model.judge(model(alone), alone, poses[1:2], profile)
    for name, values in out.logits.items():
        torch.testing.assert_close(shuffled.logits[name], values[:, order], atol=1e-5, rtol=0.0)
        torch.testing.assert_close(one.logits[name], values[1:2], atol=1e-5, rtol=0.0)
    assert torch.equal(order[shuffled.index], out.index)
    assert one.index[0] == out.index[1]


def test_duplicates_change_nothing_without_self_attention() -> None:
    model = small_model()
    batch, poses = random_batch(4), random_candidates(4, 24)
    doubled = torch.cat((poses, poses[:, :12], poses[:, 5:6].expand(-1, 9, -1, -1)), 1)
    with torch.no_grad():
        tokens = model(batch)
        out = model.judge(tokens, batch, poses, PROFILES["dense"])
        more = model.judge(tokens, batch, doubled, PROFILES["dense"])
    picked = poses[torch.arange(4), out.index]
    assert torch.equal(doubled[torch.arange(4), more.index], picked)


def test_registered_vocabulary_is_no_part_of_the_weights() -> None:
    model = small_model()
    batch, poses = random_batch(2), random_candidates(1, 10)[0]
    before = set(model.state_dict())
    model.scorer.register("ten", poses)
    with torch.no_grad():
        tokens = model(batch)
        named = model.scorer.score(tokens, batch.scene, "ten", PROFILES["dense"], k=3)
        given = model.scorer.score(tokens, batch.scene, poses, PROFILES["dense"], k=3)
    assert torch.equal(named.topk, given.topk)
    assert named.topk.shape == (2, 3)
    assert set(model.state_dict()) == before
    with pytest.raises(UnknownNameError, match="ten"):
        model.scorer.score(tokens, batch.scene, "tem", PROFILES["dense"])
    with pytest.raises(InputError, match="candidates must be"):
        model.scorer.score(tokens, batch.scene, poses[:, :39], PROFILES["dense"])


def test_losses_by_hand() -> None:
    labels = torch.tensor([[[0.5, 1.0, 0.25], [1.0, 0.5, 0.5]]])  # nc, ddc, ep of two candidates
    found = targets(labels, ("nc", "ddc", "ep"))
    assert found["nc"].tolist() == [[0.0, 1.0]]
    assert found["ddc"].tolist() == [[1.0, 0.0]]
    assert found["ep"].tolist() == [[0.25, 0.5]]
    assert targets(labels, ("nc", "ddc", "ep"), three_to_two=False)["nc"].tolist() == [[0.5, 1.0]]
    # One candidate on the expert, one a metre aside at one of eight poses: exp(-1 / 0.5) to 1.
    expert = torch.zeros(1, 40, 3)
    candidates = torch.zeros(1, 2, 40, 3)
    candidates[0, 1, 4, 1] = 1.0
    candidates[0, 1, 5, 1] = 9.0  # not a pose that is looked at
    valid = torch.ones(1, 40, dtype=torch.bool)
    share = imitation_target(candidates, expert, valid)
    assert share[0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), math.exp(-2) / (1 + math.exp(-2))])
    valid[0, 4] = False
    assert imitation_target(candidates, expert, valid)[0].tolist() == pytest.approx([0.5, 0.5])
    # A heading of pi + 0.1 is 2 pi away from one of -pi + 0.1, which is no distance.
    turned = candidates.clone()
    turned[..., 2] = math.pi - 0.05
    away = imitation_target(turned, expert + torch.tensor([0.0, 0.0, -math.pi - 0.05]), valid)
    assert away[0].tolist() == pytest.approx([0.5, 0.5])


def test_loss_reduces_each_sample_and_masks_unknown_experts() -> None:
    logits = {"nc": torch.zeros(2, 3), "imi": torch.tensor([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])}
    target = {"nc": torch.ones(2, 3)}
    imitation = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    known = torch.tensor([True, False])
    total, parts = scorer_loss(logits, target, imitation, known)
    assert parts["nc"].item() == pytest.approx(math.log(2.0))
    assert parts["imi"].item() == pytest.approx(math.log(3.0))  # the second sample's 50 is not seen
    assert total.item() == pytest.approx(3.0 * math.log(2.0) + math.log(3.0))
    with pytest.raises(UnknownNameError, match="nc"):
        scorer_loss(logits, {"dac": target["nc"]}, imitation)


def test_soft_targets_stay_near() -> None:
    target = torch.tensor([0.0, 1.0, 0.5])
    soft = soften(target, torch.tensor([9.0, -9.0, 0.1]))
    assert soft.tolist() == pytest.approx([0.15, 0.85, torch.sigmoid(torch.tensor(0.1)).item()], abs=1e-6)
    plan = soften_plan(torch.zeros(1, 40, 3), torch.full((1, 40, 3), 5.0))
    assert plan.abs().max().item() == pytest.approx(1.0)


def test_dropout_is_one_draw_of_the_labelled() -> None:
    rng = np.random.default_rng(0)
    rows = dropout_rows(100, 50, rng)
    assert len(set(rows.tolist())) == 50
    assert not np.array_equal(rows, dropout_rows(100, 50, rng))
    assert dropout_rows(10, 50, rng).tolist() == list(range(10))


def test_refinement_never_leaves_the_top() -> None:
    model = small_model(refine=RefineSettings(topk=5, layers=2))
    # Heads that turn the coarse order round would, unbounded, pick a candidate from its end.
    with torch.no_grad():
        for mine, theirs in zip(
            model.refiner.heads.parameters(), model.scorer.heads.parameters(), strict=True
        ):
            mine.copy_(-theirs)
    batch, poses = random_batch(6), random_candidates(6, 30)
    coarse = small_model()
    coarse.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        out = model.judge(model(batch), batch, poses, PROFILES["aug"], 5, PROFILES["aug_refine"])
        before = coarse.judge(coarse(batch), batch, poses, PROFILES["aug"], 5)
        layers = model.refiner(torch.randn(6, 5, 16), model(batch))
    for row in range(6):
        assert set(out.topk[row].tolist()) == set(before.topk[row].tolist())
        assert out.index[row] in before.topk[row]
    assert (out.index != before.index).any()
    assert len(layers) == 2
    assert (torch.diff(out.refined_combined, dim=1) <= 0.0).all()
    torch.testing.assert_close(
        combine(out.refined, PROFILES["aug_refine"]), out.refined_combined, atol=1e-5, rtol=0.0
    )


def test_ensemble_is_the_mean_of_logs() -> None:
    a = {"nc": torch.tensor([[0.0, THREE]]), "imi": torch.tensor([[0.0, 0.0]])}
    b = {"nc": torch.tensor([[THREE, THREE]]), "imi": torch.tensor([[0.0, THREE]])}
    logs = average([a, b])
    assert logs["nc"][0].tolist() == pytest.approx([(math.log(0.5) + L34) / 2, L34])
    assert logs["imi"][0].tolist() == pytest.approx([(math.log(0.5) + L14) / 2, (math.log(0.5) + L34) / 2])
    profile = Profile({"nc": 1.0, "imi": 1.0})
    assert ensemble([a], profile).combined.tolist() == combine(a, profile).tolist()
    assert ensemble([a, b], profile).index.tolist() == [1]
    with pytest.raises(InputError, match="different candidates"):
        ensemble([a, {"nc": torch.zeros(1, 3)}], profile)
    with pytest.raises(InputError, match="no head in common"):
        ensemble([{"nc": torch.zeros(1, 3)}, {"dac": torch.zeros(1, 3)}], profile)


def test_settings_that_make_no_sense_are_told() -> None:
    with pytest.raises(UnknownNameError, match="dca"):
        ScorerSettings(teacher=("dca",))
    with pytest.raises(InputError, match="at least one head"):
        ScorerSettings(teacher=(), imitation=False)
    with pytest.raises(InputError, match="every"):
        ScorerSettings(every=7)
    with pytest.raises(InputError, match="neither"):
        ModelSettings(scores=False, proposes=False)
