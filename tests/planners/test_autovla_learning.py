"""Learning from rewards, whole trainings from scenes to a planner, and the planner's contract."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import autovla_toy as toy
import torch

from drive import load_scenario
from drive.errors import InputError
from drive.eval.training import make_data
from drive.eval.training.rewards import judged_moments
from drive.nn.fit import FitSettings
from drive.nn.recipe import TrainingRun
from drive.nn.store import DataRequest
from drive.nn.weights import Card, read_card
from drive.planner import PlanStatus
from drive.planners.autovla.codebook import CodebookSettings
from drive.planners.autovla.config import RFTConfig, TrainConfig
from drive.planners.autovla.decode import MODE, Answer, Sampled, sample
from drive.planners.autovla.grpo import GRPOSettings, advantages, grpo_loss
from drive.planners.autovla.planner import AutoVLAConfig, AutoVLAPlanner
from drive.planners.autovla.product import ARCHITECTURE, load_product, save_product
from drive.planners.autovla.prompt import answer_ids
from drive.planners.autovla.reward import Judged, RewardSettings, length_penalty, rewards_of
from drive.planners.autovla.rft import RECIPE as RFT
from drive.planners.autovla.rft import rival_of
from drive.planners.autovla.seen import SeenSettings
from drive.planners.autovla.train import RECIPE as SFT
from drive.planners.autovla.train import data_of
from drive.planners.learned.scores import pdms
from drive.scenario import Task
from drive.sim import simulate


@pytest.mark.parametrize("modes", ["policy", "each"])
def test_advantages_sum_to_nothing_and_equals_teach_nothing(modes: str) -> None:
    rewards = torch.tensor([[0.1, 0.9, 0.4, 0.0], [0.5, 0.5, 0.5, 0.5]])
    said, thought = advantages(rewards, modes)
    assert torch.allclose(said.sum(1), torch.zeros(2), atol=1e-6)
    assert torch.allclose(thought.sum(1), torch.zeros(2), atol=1e-6)
    assert not said[1].any()
    assert not thought[1].any()
    if modes == "each":  # the first half thought fast, and did better by 0.3
        assert (thought[0, :2] > 0.0).all()
        assert torch.allclose(thought[0, 0], -thought[0, 2])
        assert torch.allclose(said[0, :2].sum(), torch.tensor(0.0), atol=1e-6)


@pytest.mark.parametrize("modes", ["policy", "each"])
def test_what_is_worse_than_its_group_may_weigh_less(modes: str) -> None:
    rewards = torch.tensor([[0.1, 0.9, 0.4, 0.0]])
    said, thought = advantages(rewards, modes)
    less, kept = advantages(rewards, modes, 0.25)
    better = said > 0.0
    assert torch.equal(less[better], said[better])
    assert torch.allclose(less[~better], 0.25 * said[~better])
    assert torch.equal(kept, thought)  # how it was thought is chosen as ever


def test_equal_rewards_move_nothing_and_the_reference_is_no_distance_away() -> None:
    net, grammar, asked = toy.network(), toy.grammar(), toy.prompts(2)
    reference = copy.deepcopy(net)

    def judge(row: int, group: Any) -> Judged:
        same, sound = np.full(len(group), 0.5), np.ones(len(group), dtype=bool)
        return Judged(same, same, sound, ~sound)

    for modes in ("policy", "each"):
        loss = grpo_loss(
            grammar, reference, lambda rows: [asked[k] for k in rows], judge, GRPOSettings(4, modes=modes)
        )
        value, figures = loss(net, {"which": torch.tensor([0, 1])}, torch.Generator().manual_seed(0))
        net.zero_grad()
        value.backward()
        assert max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None) < 1e-6
        assert float(figures["kl"]) == pytest.approx(0.0, abs=1e-9)
        assert float(figures["flat_groups"]) == 1.0
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    _, figures = loss(net, {"which": torch.tensor([0, 1])}, torch.Generator().manual_seed(0))
    assert float(figures["kl"]) > 0.0


def test_what_pays_is_said_more_often() -> None:
    net, grammar, asked = toy.network(), toy.grammar(), toy.prompts(1)
    first = grammar.phrases.words.first_action
    paid = first + 3

    def share() -> float:
        drawn = sample(
            net,
            grammar,
            asked,
            count=64,
            temperature=1.0,
            mode="fast",
            generator=torch.Generator().manual_seed(5),
        )
        return float(np.mean([sum(i == paid for i in one.ids) / 8.0 for one in drawn[0]]))

    def judge(row: int, group: Any) -> Judged:
        good = np.array([sum(i == paid for i in one.ids) / 8.0 for one in group])
        sound = np.ones(len(group), dtype=bool)
        return Judged(good, good, sound, ~sound)

    before = share()
    loss = grpo_loss(
        grammar, copy.deepcopy(net), lambda rows: asked, judge, GRPOSettings(8, kl=0.0, modes="each")
    )
    how, generator = torch.optim.AdamW(net.parameters(), 3e-3), torch.Generator().manual_seed(0)
    for _ in range(30):
        value, _ = loss(net, {"which": torch.tensor([0])}, generator)
        how.zero_grad()
        value.backward()
        how.step()
    assert 0.0 < before < 0.3
    assert share() >= 3.0 * before


def test_long_thoughts_cost_and_fast_answers_do_not() -> None:
    settings = RewardSettings(penalty=0.3)
    costs = [length_penalty(Answer((0,), True, "x" * n, ()), settings) for n in (10, 200, 400, 900)]
    assert costs == sorted(costs)
    assert costs[2] == pytest.approx(0.15)
    assert length_penalty(Answer((0,), False, "", ()), settings) == 0.0
    # NAVSIM's weights by hand: all well but half of the progress gives (5 + 2.5 + 2) / 12.
    assert pdms(np.array([1, 1, 0, 0, 0.5, 1, 0, 1, 0])) == pytest.approx(9.5 / 12)
    assert pdms(np.array([0, 1, 1, 1, 1, 1, 1, 1, 1])) == 0.0


REQUEST = DataRequest(families=("cut_in",), scenes=1, every=2.0, twins=0.0, displaced=0.0)
SETUP = toy.product().setup


@pytest.fixture(scope="module")
def moments() -> Any:
    return judged_moments(data_of(REQUEST, SETUP), 6)


def test_rewards_are_the_teachers_and_malformed_answers_get_nothing(moments: Any) -> None:
    product = toy.product()
    p = product.phrases
    speed = float(moments.take([0], ["start"])["start"][0, 3])
    fastest = int(np.abs(product.codebook.motions[::4, 0] - 0.5 * speed).argmin()) * 4
    answers = [[fastest] * 8, [0] * 8, [4 * 9] * 8]
    given = [Sampled(answer_ids(p, a)) for a in answers] + [Sampled(answer_ids(p, [0] * 7))]
    settings = RewardSettings(penalty=0.0)
    judged = rewards_of(given, 0, moments, product.grammar, product.codebook, settings)
    reward = judged.reward
    assert judged.sound.tolist() == [True, True, True, False]
    assert reward[3] == 0.0
    assert np.array_equal(reward, judged.score)
    # Who collides at fault is worth nothing by PDMS, and a malformed answer collides with nobody.
    assert not judged.score[judged.hit].any()
    assert not judged.hit[3]
    assert len(set(reward[:3].tolist())) > 1
    assert ((reward >= 0.0) & (reward <= 1.0)).all()
    with pytest.raises(InputError, match="8 actions"):
        rewards_of(given, 0, moments, replace(product.grammar, count=5), product.codebook, settings)


def run_of(folder: Path, train: Any, validation: Any, name: str) -> TrainingRun:
    def none(*args: Any) -> Any:
        raise AssertionError("no rounds here")

    return TrainingRun(
        folder, name, "cpu", 0, True, train, validation, None, none,
        moments=lambda request, count: judged_moments(request, count),
    )  # fmt: skip


def test_from_scenes_to_a_planner_that_drives(tmp_path: Path, moments: Any) -> None:
    small = TrainConfig(
        fit=FitSettings(steps=3, warmup=1, validate_every=3, log_every=1),
        model=toy.SMALL,
        seen=SeenSettings(steps=2, batch=4, width=16),
        setup=SETUP,
        codebook=CodebookSettings(tolerance=0.3),
        batch=4,
        held_out=4,
        answered=2,
        least=0.1,
        text_tokens=320,
    )
    request = data_of(REQUEST, SETUP)
    train = make_data(request, tmp_path / "train")
    assert train.take([0], ["images"])["images"].shape == (1, 3, 2, 28, 56, 3)
    held = make_data(replace(request, first_seed=9000), tmp_path / "held")
    path = SFT.train(run_of(tmp_path / "sft", train, held, "autovla-sft"), small)
    card = read_card(path)
    assert card.config["rationales"].startswith("synthetic")
    assert card.training["valid"] >= 0.0
    # Learning from its own answers, from there on; and again, which changes nothing.
    config = RFTConfig(
        start=str(path), rival=str(path), fit=FitSettings(steps=1, warmup=1, ema=0.0, validate_every=1),
        grpo=GRPOSettings(2, modes="each"), data=REQUEST, batch=1, moments=2, held_out=1, tested=2,
    )  # fmt: skip
    tuned = RFT.train(run_of(tmp_path / "rft", train, held, "autovla-rft"), config)
    bytes_before = tuned.read_bytes()
    after = read_card(tuned).config
    assert after["start"] == card.sha256
    told = dict(line.split(": ", 1) for line in after["tested"])
    # The rival is what it began as: the two comparisons are one.
    assert told["rival"] == told["start"]
    assert told["learnt - rival"] == told["learnt - start"]
    assert {"learnt", "learnt, told to be fast"} <= set(told)
    assert (
        RFT.train(run_of(tmp_path / "rft", train, held, "autovla-rft"), config).read_bytes() == bytes_before
    )
    # And it drives.
    planner = AutoVLAPlanner(AutoVLAConfig(str(tuned), thinking="fast"))
    log = simulate(load_scenario("gen/cut_in/9001"), planner, traffic="log", stop=15)
    assert log.header["failure"] is None
    assert log.header["plan_status"] == ["ok"] * len(log.plan_step)
    assert np.diff(log.plan_step).tolist() == [5] * (len(log.plan_step) - 1)
    assert {"plan.slow", "plan.action_0"} <= set(log.series)
    assert log.header["plan_reason"][0].startswith("fast: [")
    # Weights that are asked in another way are refused before anything is learnt.
    product, own = load_product(path)
    other = replace(product, setup=replace(SETUP, thought=SETUP.thought + 1))
    elsewhere = tmp_path / "other.safetensors"
    save_product(elsewhere, other, replace(own, config={**own.config, "setup": asdict(other.setup)}))
    with pytest.raises(InputError, match="no rival"):
        rival_of(product, elsewhere, "cpu")
    with pytest.raises(InputError, match="start"):
        RFT.train(run_of(tmp_path / "x", train, held, "autovla-rft"), RFTConfig())


@pytest.fixture
def planner(tmp_path: Path) -> AutoVLAPlanner:
    product = toy.product(longest=4)
    config = {"model": {"text": vars_of(toy.SMALL.text), "vision": vars_of(toy.SMALL.vision)}}
    config["setup"] = {"actions": 8, "thought": 4, "picture": [56, 28], "frames": 2}
    card = Card("autovla-sft", ARCHITECTURE, config=config, vocabulary=product.codebook.hash)
    save_product(tmp_path / "a.safetensors", product, card)
    return AutoVLAPlanner(AutoVLAConfig(str(tmp_path / "a.safetensors")))


def vars_of(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__slots__}


def test_what_cannot_be_driven_is_told_and_never_a_silent_stop(
    planner: AutoVLAPlanner, observed: Any
) -> None:
    scenario = load_scenario("gen/cut_in/9001")
    session = planner.start(Task.of(scenario, 0))
    x, y, heading, speed = scenario.initial[:4]
    clips = {name: np.zeros((2, 28, 56, 3), dtype=np.uint8) for name in planner.product.setup.cameras}

    def seen(time: float) -> Any:
        return replace(observed(x, y, speed, heading=heading, time=time), images=clips)

    good = Sampled(answer_ids(planner.product.phrases, [4] * 8))
    good.kinds, good.logp = list(planner.grammar.parse(good.ids).kinds), [0.0] * len(good.ids)
    plan = session.told(seen(0.0), good)
    assert plan.status is PlanStatus.OK
    assert np.isfinite(plan.trajectory.states).all()
    assert plan.trajectory.duration == pytest.approx(4.0)
    broken = session.told(seen(0.5), Sampled(good.ids[:-8]))
    assert broken.status is PlanStatus.INVALID
    assert "not 8" in broken.reason
    assert broken.trajectory.times[0] == pytest.approx(0.5)
    kept = broken.trajectory.at(np.array([3.0]))[0, :2]
    assert np.allclose(kept, plan.trajectory.at(np.array([3.0]))[0, :2], atol=1e-6)
    late = session.told(seen(3.5), Sampled(good.ids[:-8]))
    assert late.status is PlanStatus.INVALID
    assert late.trajectory.states[-1, 3] == pytest.approx(0.0, abs=1e-6)
    blind = session.plan(replace(seen(4.0), images={}))
    assert blind.status is PlanStatus.FALLBACK
    assert "no picture" in blind.reason
    odd = seen(4.5)
    odd.ego[:] = np.nan
    assert session.prompt(odd) == "no road in sight"


def test_batches_of_sessions_are_planned_alike(planner: AutoVLAPlanner, observed: Any) -> None:
    scenario = load_scenario("gen/cut_in/9001")
    x, y, heading, _ = scenario.initial[:4]
    rng = np.random.default_rng(0)
    seen = []
    for speed in (2.0, 12.5, 7.0):
        clips = {
            name: rng.integers(0, 256, (2, 28, 56, 3), dtype=np.uint8)
            for name in planner.product.setup.cameras
        }
        seen.append(replace(observed(x, y, speed, heading=heading), images=clips))
    planner.config = replace(planner.config, thinking="fast")
    task = Task.of(scenario, 0)
    together = planner.plan_batch([planner.start(task) for _ in seen], seen)
    for o, plan in zip(seen, together, strict=True):
        alone = planner.start(task).plan(o)
        assert alone.reason == plan.reason
        assert np.allclose(alone.trajectory.states, plan.trajectory.states)


def test_settings_that_make_no_sense_are_told() -> None:
    for wrong, match in (
        ({"rate": 3.0}, "rate"),
        ({"rate": 0.7}, "rate"),
        ({"thinking": "deep"}, "thinking"),
    ):
        with pytest.raises(InputError, match=match):
            AutoVLAConfig(**wrong)  # type: ignore[arg-type]
    for wrong in (
        {"group": 1},
        {"modes": "both"},
        {"group": 3, "modes": "each"},
        {"temperature": 0.0},
        {"worse": 1.5},
    ):
        with pytest.raises(InputError):
            GRPOSettings(**wrong)  # type: ignore[arg-type]
    assert MODE == 1
