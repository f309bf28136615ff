"""The formula of `stl_diffusion`: what it reads of a roll-out, how it is calibrated, and its slopes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import stl_toy as toy
import torch
from stl_toy import MOTION, scorer_of
from stl_toy import scene_of as tensors

from drive.errors import InputError
from drive.forecast import ConstantVelocity, Forecaster, Steady, expected
from drive.nn.scene import SceneArrays, stack_scenes
from drive.nn.tokens import scene_tensors
from drive.planner import Forecasts
from drive.planners.stl_diffusion.calibrate import calibrate, likely, look_times
from drive.planners.stl_diffusion.motion import fitted, judged, roll, shifted, states_of
from drive.planners.stl_diffusion.policy import others_of
from drive.planners.stl_diffusion.scorer import (
    GuidanceSettings,
    OptimiseSettings,
    PursuitSettings,
    guided,
    optimise,
    pursued,
    starts,
)
from drive.planners.stl_diffusion.signals import make_ground, moved_on, signals_of
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, Template, book, named
from drive.registry import load
from drive.vehicle import AgentKind


def steady(acceleration: float = 0.0, yaw_rate: float = 0.0) -> torch.Tensor:
    """One sample of constant controls, `(1, 1, 1, knots, 2)`."""
    return toy.steady(acceleration, yaw_rate).expand(1, 1, 1, -1, -1)


def test_signals_are_the_distances_of_the_scene() -> None:
    # 4.6 m boxes, 30 m from rear axle to the other's centre: 30 - 1.4 - 4.6 = 24 m between bumpers now.
    scene = tensors(toy.road(10.0, ((30.0, 0.0, 4.0),), offset=0.5, red=25.0))
    ground = make_ground(scene, MODES, moved_on(scene, look_times(MOTION, scene.ego)))
    assert ground.known.all()
    states = roll(MOTION, scene.ego, steady().expand(1, 3, 1, -1, -1))
    found = signals_of(ground, judged(MOTION, states))
    times = 0.2 * torch.arange(1, 21)
    assert torch.allclose(found["speed"], torch.tensor(10.0))
    for row, place in enumerate((0.5, 0.5 - 3.5, 0.5 + 3.5)):
        assert torch.allclose(found["offset"][0, row, 0], torch.tensor(place), atol=1e-4)
    # Half a lane to the road's edge on either side of three lanes.
    assert torch.allclose(found["edge"], torch.tensor(1.5 * 3.5 - 0.5 - 0.95), atol=1e-4)
    gap = (24.0 - 6.0 * times).clamp(max=20.0)
    assert torch.allclose(found["clearance"][0, 0, 0, :20][gap > 0.0], gap[gap > 0.0], atol=1e-3)
    assert (found["clearance"][0, 0, 0][gap < 0.0] < 0.0).all()
    assert torch.allclose(found["line"][0, 0, 0], (25.0 - 10.0 * times).clamp(-5.0, 20.0), atol=1e-3)
    assert found["heading_error"].abs().max() < 1e-6
    alone = tensors(toy.road(10.0, sides=(1,)))
    assert make_ground(alone, MODES, moved_on(alone, times)).known.tolist() == [[True, True, False]]


def test_the_roll_out_never_reverses_and_fits_what_it_rolled() -> None:
    ego = torch.from_numpy(toy.road(6.0).ego)[None]
    stop = roll(MOTION, ego, steady(-4.0))[0, 0, 0]
    assert stop[..., 3].min() == 0.0
    assert stop[15:, 3].max() == 0.0  # after 1.5 s
    assert stop[-1, 0].item() == pytest.approx(
        6.0**2 / 8.0 + 0.5 * 6.0 * 0.1, abs=0.1
    )  # Euler drives 0.3 m more
    bend = roll(MOTION, ego, steady(0.0, 0.3))[0, 0, 0]
    assert bend[-1, 2].item() == pytest.approx(0.3 * 4.0 - 0.3 * 0.25, abs=0.05)  # the wheels take 0.5 s
    generator = torch.Generator().manual_seed(0)
    drawn = starts((4, MOTION.knots, 2), 0.3, generator) * 0.5
    poses = roll(MOTION, ego.expand(4, -1), drawn)[:, 1:, :3]
    again = fitted(MOTION, ego.expand(4, -1), poses, torch.ones(4, 40, dtype=torch.bool))
    gap = roll(MOTION, ego.expand(4, -1), again)[:, 1:, :2] - poses[..., :2]
    assert gap.norm(dim=-1).max() < 0.5
    assert torch.allclose(judged(MOTION, states_of(MOTION, poses))[..., :3], poses[:, 1::2])


def test_what_was_drawn_goes_on_in_time() -> None:
    ramp = torch.linspace(-0.7, 0.7, MOTION.knots)[:, None].expand(-1, 2)
    assert torch.allclose(shifted(MOTION, ramp, 0.5)[:-1], ramp[1:], atol=1e-6)
    assert torch.allclose(shifted(MOTION, ramp, 0.1)[0], ramp[0] + 0.2 * (ramp[1] - ramp[0]), atol=1e-6)
    assert torch.equal(shifted(MOTION, ramp, 99.0), ramp[-1:].expand(MOTION.knots, -1))


def test_the_calibrated_formula_accepts_its_own_drive_and_no_tighter_one() -> None:
    data = toy.ToySet.make(64, 1)
    batch = {name: torch.from_numpy(values) for name, values in data.arrays.items()}
    scene = scene_tensors(SceneArrays(*(batch[f"scene.{name}"] for name in SceneArrays._fields)))
    found = calibrate(scene, batch["future"], batch["future_valid"], MOTION)
    template, row = Template(MOTION.look_dt), torch.arange(64)
    parameters = likely(found, torch.Generator().manual_seed(0))

    def accepted(changed: torch.Tensor) -> torch.Tensor:
        rho = template.robustness(found.signals, named(changed), MODES, bounds=False)
        return rho[row, found.mode, 0] >= 0.0

    good = found.usable & found.foreseen
    assert good.float().mean() > 0.8
    assert accepted(parameters)[good].float().mean() >= 0.99
    # Past its margin each bound rejects: 1 m/s, 0.3 m, and 0.1 m.
    for name, by in dict(vmin=1.3, vmax=-1.3, dmin=0.4, dmax=-0.4, dsafe=0.2).items():
        tighter = parameters.clone()
        column = PARAMETERS.index(name)
        tighter[..., column] += by
        bound = good.clone()
        if name == "dsafe":  # who is far from all has no bound, and one at 0 had been raised to it
            bound &= parameters[row, found.mode, column] > 0.0
        if name == "vmin":
            bound &= parameters[row, found.mode, column] > -0.3
        assert bound.sum() > 10
        assert not accepted(tighter)[bound].any(), name
    # One that heads 0.6 rad off its lane: 1 - cos is 0.1747.
    way = 0.15 * np.arange(1, 41)
    aslant = np.column_stack((way * np.cos(0.6), way * np.sin(0.6), 0.6 + 0 * way)).astype(np.float32)
    lone = tensors(toy.road(1.5, sides=()))
    turned = calibrate(lone, torch.from_numpy(aslant)[None], torch.ones(1, 40).bool(), MOTION)
    assert turned.own[0, 5].item() == pytest.approx(0.1 + 1.0 - np.cos(0.6), abs=1e-3)
    for bound_at, holds in ((turned.own[0, 5], True), (turned.own[0, 5] - 0.11, False)):
        row_of = turned.own[:, None].repeat(1, 3, 1)
        row_of[..., 5] = bound_at
        rho = template.robustness(turned.signals, named(row_of), MODES, bounds=False)
        assert bool(rho[0, 0, 0] >= 0.0) is holds


def test_a_mode_that_was_not_driven_gets_wider_bounds_of_its_own() -> None:
    scene = tensors(toy.road(8.0))
    found = calibrate(scene, torch.from_numpy(toy.straight(8.0))[None], torch.ones(1, 40).bool(), MOTION)
    parameters = likely(found, torch.Generator().manual_seed(3))[0]
    assert torch.allclose(parameters[0], torch.tensor([7.0, 9.0, -0.3, 0.3, 19.9, 0.1]), atol=1e-3)
    other = {name: parameters[1:, k] for k, name in enumerate(PARAMETERS)}
    assert (other["vmin"] <= 7.0 - 1.3).all()
    assert (other["vmax"] >= 9.0 + 1.3).all()
    assert (other["dmin"] <= -0.5).all()
    assert (other["dmax"] >= 0.5).all()
    outlier = scene_tensors(stack_scenes([toy.road(8.0, sides=(), offset=5.0)]))
    far = calibrate(outlier, torch.from_numpy(toy.straight(8.0))[None], torch.ones(1, 40).bool(), MOTION)
    assert not far.usable.any()


def test_slopes_of_robustness_are_those_of_its_values() -> None:
    scene = SceneArrays(*(f.double() if f.is_floating_point() else f for f in tensors(
        toy.road(9.0, ((20.0, 0.3, 3.0),), offset=0.2)
    )))  # fmt: skip
    scorer = scorer_of(scene, ("keep", "left"), temperature=5.0)
    scorer.parameters = {name: value.double() for name, value in scorer.parameters.items()}
    drawn = 0.4 * starts((1, 2, 2, MOTION.knots, 2), 0.3, torch.Generator().manual_seed(1)).double()
    leaf = drawn.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: scorer.robustness(x, soft=True), (leaf,), atol=1e-5)


def test_soft_robustness_becomes_the_hard_one() -> None:
    scene = tensors(toy.road(9.0, ((20.0, 0.3, 3.0),)))
    drawn = 0.4 * starts((1, 3, 16, MOTION.knots, 2), 0.3, torch.Generator().manual_seed(2))
    gaps = []
    for temperature in (5.0, 50.0, 500.0, 5000.0):
        scorer = scorer_of(scene, temperature=temperature)
        gaps.append(float((scorer.robustness(drawn, soft=True) - scorer.robustness(drawn)).abs().max()))
    assert gaps == sorted(gaps, reverse=True)
    # 20 steps of 2 bounds under 6 clauses: log(20) and log(7) at most, each by the temperature.
    assert gaps[-1] < (np.log(20) + np.log(8)) / 5000.0 + 1e-3


def test_a_guided_step_brakes_and_its_size_alone_does_not() -> None:
    # 9 m/s towards somebody who stands 25 m ahead.
    scorer = scorer_of(tensors(toy.road(9.0, ((25.0, 0.0, 0.0),))), ("keep",))
    before = steady(0.0)
    settings = GuidanceSettings(steps=1, iterations=1, rate=0.05, cap=0.1)
    after = guided(scorer, before, settings)
    change = (after - before)[..., 0]
    assert scorer.gradients == 1
    assert change.mean() < -0.01
    assert change.abs().max() <= 0.1 + 1e-6
    assert scorer.robustness(after) > scorer.robustness(before)
    # As published: the change without its sign.
    wrong = (before + (after - before).abs()).clamp(-1.0, 1.0)
    assert (wrong - before)[..., 0].mean() > 0.01
    assert scorer.robustness(wrong) < scorer.robustness(before)
    assert (guided(scorer, before, GuidanceSettings(rate=1.0, cap=0.02)) - before).abs().max() <= 0.02 + 1e-6


def test_a_pursuit_never_loses_and_finds_more_than_guidance_with_as_many_slopes() -> None:
    scorer = scorer_of(tensors(toy.road(9.0, ((24.0, 0.0, 0.0), (-12.0, 3.5, 8.0)))))
    first = starts((1, 3, 24, MOTION.knots, 2), 0.2, torch.Generator().manual_seed(1))
    looked = scorer.look(first)
    found, after = pursued(scorer, first, looked, PursuitSettings(10, rate=0.1, scales=(0.3, 1.0)))
    assert scorer.gradients == 10
    assert (after.robustness >= looked.robustness).all()
    assert torch.allclose(scorer.look(found).robustness, after.robustness)
    assert found.abs().max() <= 1.0
    same = looked.robustness > 0.05  # who obeys by more than the threshold has no slope
    assert same.any()
    assert torch.equal(found[same], first[same])
    plain = guided(scorer, first, GuidanceSettings(1, iterations=10, rate=0.1, cap=1.0, threshold=0.05))
    shares = [(rho > 0.0).float().mean() for rho in (looked.robustness, scorer.robustness(plain))]
    assert shares[0] < shares[1] < (after.robustness > 0.0).float().mean()
    for bad in ({"iterations": -1}, {"rate": 0.0}, {"scales": ()}, {"momentum": 1.0}, {"scales": (1.0, 0.0)}):
        with pytest.raises(InputError, match="pursuit"):
            PursuitSettings(**bad)  # type: ignore[arg-type]


def test_optimised_samples_obey_in_every_mode() -> None:
    scorer = scorer_of(tensors(toy.road(8.0, ((40.0, 0.0, 6.0), (-15.0, 3.5, 8.0)))))
    first = starts((1, 3, 8, MOTION.knots, 2), 0.1, torch.Generator().manual_seed(0))
    found = optimise(scorer, first, OptimiseSettings(steps=60))
    assert scorer.gradients == 60
    before, after = (scorer.robustness(one) > 0.0 for one in (first, found))
    assert after.float().mean() > before.float().mean() + 0.3
    assert after.any(-1).all()
    assert found.abs().max() <= 1.0
    ends = scorer.states(found)[0, :, :, -1, 1]
    assert ends[1][after[0, 1]].min() > 2.0
    assert ends[2][after[0, 2]].max() < -2.0


def test_clauses_can_be_read_one_by_one() -> None:
    scorer = scorer_of(tensors(toy.road(9.0, red=10.0)), ("keep",), vmax=8.0)
    terms = {name: float(value) for name, value in scorer.terms(steady()).items()}
    assert terms["speed"] == pytest.approx(-1.0, abs=1e-4)
    assert terms["line"] == pytest.approx(-5.0, abs=1e-4)
    assert terms["safe"] == pytest.approx(20.0 - 0.3, abs=1e-4)
    assert terms["offset"] == pytest.approx(1.0, abs=1e-4)
    assert float(scorer.robustness(steady())) == min(terms.values())
    assert float(scorer.robustness(steady(), bounds=False)) == pytest.approx(-1.0, abs=1e-4)
    assert all(rule.sentence for rule in book().rules)


def test_constant_velocity_knows_no_more_than_now(observed: Any) -> None:
    forecaster = load("drive.forecasters", "constant_velocity")()
    assert isinstance(forecaster, Forecaster)
    o = observed(0.0, 0.0, 8.0, ((20.0, 3.5, 0.0, 4.0),), time=3.0)
    found = forecaster.forecast(o, o.time + np.array([0.0, 1.0, 2.0]))
    assert found.mean.shape == (1, 1, 3, 3)
    assert np.allclose(found.mean[0, 0], [(20.0, 3.5, 0.0), (24.0, 3.5, 0.0), (28.0, 3.5, 0.0)])
    assert np.allclose(found.covariance[0, 0, 2], np.eye(2))  # 0.5 m a second
    assert found.probability.tolist() == [[1.0]]
    between = expected(found, o.time + np.array([0.5, 9.0]))
    assert np.allclose(between[0, :, 0], (22.0, 28.0))
    two = Forecasts(found.times, np.concatenate((found.mean, 0 * found.mean), 1), np.zeros((1, 2, 3, 2, 2)),
                    np.array([[0.2, 0.8]]))  # fmt: skip
    assert not expected(two, found.times).any()
    with pytest.raises(InputError, match="none before the observation"):
        forecaster.forecast(o, np.array([o.time - 1.0]))
    with pytest.raises(InputError, match="spread"):
        ConstantVelocity(spread=-1.0)


def test_who_walks_is_taken_to_be_larger(observed: Any) -> None:
    o = observed(0.0, 0.0, 8.0, ((20.0, 3.5, 0.0, 0.0), (12.0, -4.0, 1.57, 1.0)))
    o = replace(o, agent_kind=np.array([AgentKind.VEHICLE, AgentKind.PEDESTRIAN], dtype=np.uint8))
    times = torch.tensor([0.2, 0.4])
    plain, kept = (others_of([o], ConstantVelocity(), [times], 4, (), w)[0] for w in (0.0, 0.6))
    assert torch.equal(plain.places, kept.places)
    # The nearest comes first.
    assert torch.allclose((kept.half - plain.half)[0], torch.tensor([[0.6, 0.6], [0.0, 0.0]]))


def test_who_brakes_is_expected_to_stand_and_who_turns_to_turn(observed: Any) -> None:
    o = observed(
        0.0, 0.0, 8.0, ((20.0, 0.0, 0.0, 4.0), (0.0, 30.0, 0.0, 5.0), (9.0, 9.0, 1.0, 2.0)), time=3.0
    )
    past = np.repeat(o.agent_history, 6, 1)
    past[0, :, 3] = 4.0 + 2.0 * 0.1 * np.arange(5, -1, -1)  # lost 2 m/s^2
    past[1, :, 2] = 0.2 * 0.1 * np.arange(-5, 1)  # turned left at 0.2 rad/s
    o = replace(o, agent_history=past, agent_history_valid=np.ones((3, 6), dtype=bool))
    found = load("drive.forecasters", "steady")().forecast(o, o.time + np.array([0.0, 1.0, 4.0]))
    # 4 m/s at 2 m/s^2: 3 m after a second, 4 m when it stands.
    assert np.allclose(found.mean[0, 0, :, 0], (20.0, 23.0, 24.0), atol=0.02)
    # The turn fades: in the end 0.2 rad/s for 1.5 s, less what is left.
    assert found.mean[1, 0, 2, 2] == pytest.approx(0.3 * (1.0 - np.exp(-4.0 / 1.5)), abs=0.01)
    assert found.mean[1, 0, 2, 1] > 33.0
    straight = ConstantVelocity().forecast(o, found.times)
    assert np.array_equal(found.mean[2], straight.mean[2])
    assert np.array_equal(found.covariance, straight.covariance)
    unknown = replace(o, agent_history_valid=np.zeros((3, 6), dtype=bool))
    assert np.array_equal(
        load("drive.forecasters", "steady")().forecast(unknown, found.times).mean, straight.mean
    )
    with pytest.raises(InputError, match="window"):
        Steady(window=0.0)
