"""The reflex: what presses, how a plan is slowed, what is kept beside the weights, and its training."""

from __future__ import annotations

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
from drive.eval.training import collector, make_data
from drive.nn.fit import FitSettings
from drive.nn.recipe import TrainingRun
from drive.nn.store import DataRequest, JoinedSet, TrainingSet
from drive.nn.weights import Card, card_path, read_card
from drive.planner import PlanStatus
from drive.planners.autovla.config import ReflexConfig
from drive.planners.autovla.decode import sample
from drive.planners.autovla.planner import AutoVLAConfig, AutoVLAPlanner
from drive.planners.autovla.product import ARCHITECTURE, save_product
from drive.planners.autovla.reflex import (
    Reflex,
    ReflexSettings,
    load_reflex,
    pressure,
    pressure_of,
    prompt_states,
    reflex_file,
    save_reflex,
    slowed,
)
from drive.planners.autovla.reflex_train import RECIPE, figures_of, reflex_loss
from drive.sim import simulate


@pytest.mark.parametrize(
    ("speed", "other", "wanted"),
    # By hand: 2 m, 0.7 s, and v (v - w) / (2 sqrt(1.5 * 3)).
    [(0.0, 0.0, 2.0), (10.0, 10.0, 9.0), (10.0, 0.0, 32.57), (20.0, 10.0, 63.14), (10.0, 20.0, 2.0)],
)
def test_at_the_wanted_gap_one_neither_speeds_up_nor_brakes(
    speed: float, other: float, wanted: float
) -> None:
    assert pressure(speed, other, wanted) == pytest.approx(0.5, abs=1e-3)
    assert pressure(speed, other, 0.5 * wanted) == pytest.approx(0.8, abs=1e-3)
    assert pressure(speed, other, 10.0 * wanted) < 0.01
    assert pressure(speed, other, -1.0) > 0.9


def test_who_is_on_the_way_presses_and_who_is_beside_it_does_not() -> None:
    # 8 m/s, somebody of 4.5 m at 30 m; 3.8 m of the ego are ahead of its axle.
    alone = pressure_of(toy.scene([(30.0, 0.0, 0.0, 2.0)]))
    assert alone == pytest.approx(pressure(8.0, 2.0, 30.0 - 2.25 - 3.8))
    assert 0.3 < alone < 0.5 < pressure_of(toy.scene([(20.0, 0.0, 0.0, 2.0)]))
    assert pressure_of(toy.scene()) == 0.0
    for beside in ((30.0, 3.5, 0.0, 2.0), (-12.0, 0.0, 0.0, 9.0), (60.0, 0.0, 0.0, 0.0)):
        assert pressure_of(toy.scene([beside])) == 0.0
        assert pressure_of(toy.scene([beside, (30.0, 0.0, 0.0, 2.0)])) == alone
    # Who comes towards the ego presses more, and on a bend the way is not straight ahead.
    assert pressure_of(toy.scene([(30.0, 0.0, np.pi, 2.0)])) > alone
    assert pressure_of(toy.scene([(30.0, 0.0, 0.0, 2.0)], bend=0.03)) == 0.0


def test_a_slowed_plan_keeps_to_its_path_and_comes_less_far() -> None:
    t = 0.5 * np.arange(1, 9)
    angle = 0.1 * t
    poses = np.column_stack((60.0 * np.sin(angle), 60.0 * (1.0 - np.cos(angle)), angle))
    speed = 6.0
    way = 60.0 * angle
    for felt, most in ((0.0, 1.5), (0.5, 0.0), (0.7, -2.0), (0.99, -6.0)):
        found = slowed(poses, 0.5, speed, felt)
        until = t if most >= 0.0 else np.minimum(t, speed / -most)
        reach = np.minimum(way, speed * until + 0.5 * most * until**2)
        along = 60.0 * np.arctan2(found[:, 0], 60.0 - found[:, 1])
        assert np.allclose(along, reach, atol=0.05)
        assert np.allclose(found[:, 2], along / 60.0, atol=2e-3)
        assert np.abs(np.hypot(found[:, 0], found[:, 1] - 60.0) - 60.0).max() < 0.05
    assert np.array_equal(slowed(poses, 0.5, speed, 1.5)[-1], slowed(poses, 0.5, speed, 1.0)[-1])
    standing = np.zeros((8, 3))
    assert np.array_equal(slowed(standing, 0.5, 0.0, 0.9), standing)
    assert np.abs(slowed(poses, 0.5, 0.0, 0.9)).max() == 0.0


def test_the_state_that_is_read_is_the_same_in_training_and_when_driving() -> None:
    vla, grammar, prompts = toy.network(), toy.grammar(), toy.prompts(3)
    trained = prompt_states(vla, grammar.phrases, prompts)
    for mode in ("fast", "slow"):
        for asked in (prompts, prompts[1:2]):
            answers = sample(vla, grammar, asked, mode=mode, count=2, temperature=1.0,
                             generator=torch.Generator().manual_seed(0))  # fmt: skip
            first = 0 if len(asked) > 1 else 1
            for k, group in enumerate(answers):
                for one in group:
                    assert one.state is not None
                    assert np.allclose(one.state, trained[first + k], atol=1e-5)
    assert np.abs(trained[0] - trained[1]).max() > 0.01


def numb(bias: float) -> Reflex:
    """A reflex that always says the same."""
    torch.manual_seed(0)
    made = Reflex(ReflexSettings(toy.SMALL.text.hidden, 8)).eval()
    with torch.no_grad():
        made.head[-1].weight.zero_()
        made.head[-1].bias.fill_(bias)
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path, product = tmp_path / "a.safetensors", toy.product(longest=4)
    config = {"model": asdict(toy.SMALL), "setup": asdict(product.setup)}
    card = Card("autovla-sft", ARCHITECTURE, config=config, vocabulary=product.codebook.hash)
    save_product(path, product, card)
    return path


def test_who_feels_pressure_is_slowed_and_says_so(weights: Path) -> None:
    scenario = load_scenario("gen/cut_in/9001")

    def driven(**settings: Any) -> Any:
        planner = AutoVLAPlanner(AutoVLAConfig(str(weights), thinking="fast", **settings))
        return planner, simulate(scenario, planner, traffic="log", stop=20)

    without, free = driven()
    assert without.reflex is None
    assert "plan.pressure" not in free.series
    save_reflex(weights, numb(0.2), Card("autovla-reflex", ""))
    calm, same = driven()
    assert np.array_equal(same.ego, free.ego)
    assert same.header["plan_reason"] == free.header["plan_reason"]
    assert np.allclose(same.series["plan.pressure"], 0.2)
    save_reflex(weights, numb(0.8), Card("autovla-reflex", ""))
    pressed, slower = driven()
    assert slower.header["plan_status"] == ["ok"] * len(slower.plan_step)
    assert all("slowed for who is ahead (0.80)" in said for said in slower.header["plan_reason"])
    # 1.5 (1 - 4) = -4.5 m/s^2 for 2 s.
    assert slower.ego[-1, 3] < slower.ego[0, 3] - 5.0
    assert len({without.digest, calm.digest, pressed.digest}) == 3
    off, as_before = driven(reflex=False)
    assert off.digest == without.digest
    assert np.array_equal(as_before.ego, free.ego)


def test_a_reflex_of_other_weights_is_refused(weights: Path) -> None:
    assert load_reflex(weights) is None
    save_reflex(weights, numb(0.3), Card("autovla-reflex", ""))
    kept = load_reflex(weights)
    assert kept is not None
    assert kept.felt(np.zeros(toy.SMALL.text.hidden, dtype=np.float32), 5.0) == pytest.approx(0.3)
    card = read_card(weights)
    save_product(weights, toy.product(seed=1, longest=4), replace(card, sha256=""))
    with pytest.raises(InputError, match="other weights"):
        AutoVLAPlanner(AutoVLAConfig(str(weights)))
    AutoVLAPlanner(AutoVLAConfig(str(weights), reflex=False))
    path = reflex_file(weights)
    own = card_path(path).read_text(encoding="utf-8")
    for broken in (own.replace('"width": 8', '"width": 0'), own.replace('"width": 8', '"width": "x"')):
        card_path(path).write_text(broken, encoding="utf-8")
        with pytest.raises(InputError):
            load_reflex(weights)


def test_figures_of_alarms() -> None:
    told, true = np.array([0.9, 0.6, 0.1, 0.7, 0.2]), np.array([0.8, 0.1, 0.9, 0.6, 0.0])
    found = figures_of(told, true)
    assert (found["right"], found["found"], found["false"]) == pytest.approx((2 / 3, 2 / 3, 0.5))
    assert found["error"] == pytest.approx(np.mean([0.01, 0.25, 0.64, 0.01, 0.04]))


def test_who_is_cautious_would_rather_brake_in_vain() -> None:
    batch = {
        "states": torch.zeros(4, toy.SMALL.text.hidden), "speed": torch.zeros(4),
        "pressure": torch.tensor([0.0, 0.0, 0.0, 1.0]),
    }  # fmt: skip

    def least(caution: float) -> float:
        loss, said = reflex_loss(caution), np.linspace(0.0, 1.0, 101)
        return float(said[np.argmin([float(loss(numb(float(b)), batch, None)[0].detach()) for b in said])])

    # The expectile of one in four: t (1 - x) = 3 (1 - t) x.
    for caution in (0.5, 0.85):
        assert least(caution) == pytest.approx(caution / (caution + 3.0 * (1.0 - caution)), abs=0.01)
    assert float(reflex_loss(0.5)(numb(0.25), batch, None)[1]["error"]) == pytest.approx(0.1875)
    with pytest.raises(InputError, match="caution"):
        ReflexConfig(caution=1.0)


def test_from_weights_to_a_reflex_beside_them(weights: Path, tmp_path: Path) -> None:
    config = ReflexConfig(
        start=str(weights), fit=FitSettings(steps=4, warmup=1, validate_every=2),
        batch=8, width=8, own_scenes=1,
        data=DataRequest(families=("cut_in",), scenes=1, every=2.0, twins=1.0, displaced=0.0),
    )  # fmt: skip
    asked = RECIPE.data(config)
    assert asked.train.picture == (56, 28)
    train = make_data(asked.train, tmp_path / "train")
    held = make_data(replace(asked.train, first_seed=9000), tmp_path / "held")

    def collect(planner: Any, number: int, scenes: Any = None, request: Any = None) -> TrainingSet:
        assert planner.reflex is None
        return TrainingSet.open(collector(request, tmp_path / "own", scenes=scenes)(planner, number))

    run = TrainingRun(tmp_path / "run", "autovla-reflex", "cpu", 0, True, train, held, None, collect)
    path = RECIPE.train(run, config)
    before = reflex_file(path).read_bytes()
    card = read_card(reflex_file(path))
    assert card.config["reads"] == read_card(path).sha256 == read_card(weights).sha256
    assert {"loss", "error", "right", "found", "false"} <= set(card.training)
    # Its own drive is learnt from as well, every half second of it.
    own = TrainingSet.open(tmp_path / "own" / "round-1")
    assert card.data == JoinedSet([train, own]).hash
    assert set(np.round(np.diff(np.unique(own.take(range(len(own)), ["time"])["time"])), 3)) == {0.5}
    assert reflex_file(RECIPE.train(run, config)).read_bytes() == before
    planner = AutoVLAPlanner(AutoVLAConfig(str(path), thinking="fast"))
    assert planner.reflex is not None
    scenario = load_scenario("gen/cut_in/9001")
    log = simulate(scenario, planner, stop=5)
    assert set(log.header["plan_status"]) == {PlanStatus.OK.value}
    assert np.isfinite(log.series["plan.pressure"]).all()
    with pytest.raises(InputError, match="start"):
        RECIPE.train(run, ReflexConfig())
