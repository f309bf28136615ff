"""The compiled loops of `stl_diffusion` against the same in torch, and what is chosen by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import stl_toy as toy
import torch
from stl_plain import plain_drawn_on, plain_utility, plain_variants

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.nn.scene import EGO_COLUMNS, SceneArrays, stack_scenes
from drive.nn.tokens import scene_tensors
from drive.planners.stl_diffusion.bounds import bounds_of, ordered
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.choice import SECONDS, WEIGHTS, ChoiceSettings, utility
from drive.planners.stl_diffusion.model import ModelSettings, PolicyNet
from drive.planners.stl_diffusion.motion import VEHICLE, judged, roll
from drive.planners.stl_diffusion.onward import drawn_on
from drive.planners.stl_diffusion.rolling import followed, rolled
from drive.planners.stl_diffusion.scorer import Scorer
from drive.planners.stl_diffusion.signals import (
    SIGNALS,
    make_ground,
    measured,
    moved_on,
    oncoming,
    signals_of,
)
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, TERMS, Template
from drive.planners.stl_diffusion.train import take_encoder
from drive.planners.stl_diffusion.variants import PACES, variants
from drive.sim.forecast.flow import along_lanes
from drive.sim.trackers import make_tracker
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind

MOTION, steady = toy.MOTION, toy.steady


def bent_road(turn: float, **more: Any) -> SceneArrays:
    """The toy road, bent: each metre of its way turns by `turn` rad. The others stay."""
    scene = toy.road(8.0, ((14.0, 1.0, 3.0), (30.0, -3.0, 9.0), (-9.0, 3.5, 8.0)), **more)
    station = scene.route[:, 8].astype(np.float64)
    angle = turn * np.maximum(station, 0.0)
    step = np.diff(station, prepend=station[0])
    scene.route[:, 0] = station[0] + np.cumsum(step * np.cos(angle))
    scene.route[:, 1] += np.cumsum(step * np.sin(angle))
    scene.route[:, 2], scene.route[:, 3] = np.cos(angle), np.sin(angle)
    scene.route[:, 6] -= 0.02 * np.abs(station)  # the road gets narrower on the left
    return scene


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    roads = [bent_road(0.02), bent_road(-0.03, offset=0.4, red=18.0), toy.road(5.0), toy.road(9.0, sides=())]
    return toy.scorer_of(toy.scene_of(*roads), vmax=9.0)


def drawn_for(scorer: Scorer, number: int = 12) -> torch.Tensor:
    shape = (len(scorer.ground.ego), len(MODES), number, MOTION.knots, 2)
    return 2.0 * torch.rand(shape, generator=torch.Generator().manual_seed(4)) - 1.0


def test_compiled_signals_and_slopes_are_those_of_torch(scorer: Scorer) -> None:
    states = judged(MOTION, roll(MOTION, scorer.ground.ego, drawn_for(scorer))).contiguous()
    one, two = states.clone().requires_grad_(), states.clone().requires_grad_()
    compiled, plain = signals_of(scorer.ground, one), measured(scorer.ground, two)
    assert (plain["clearance"] < 0.0).any()  # also in contact
    for name in SIGNALS:
        assert torch.allclose(compiled[name], plain[name], atol=1e-4), name
        weight = torch.randn(states.shape[:-1], generator=torch.Generator().manual_seed(1))
        slopes = [
            torch.autograd.grad((found[name] * weight).sum(), (leaf,), retain_graph=True)[0]
            for found, leaf in ((compiled, one), (plain, two))
        ]
        gap = (slopes[0] - slopes[1]).abs().amax(-1)
        # Gaps have kinks, at which either side's slope is one.
        assert (gap < 0.02 * (1.0 + slopes[1].abs().amax(-1))).float().mean() > 0.97, name
        assert slopes[1].abs().max() > 0.0, name


def test_compiled_roll_outs_and_clauses_are_those_of_torch(scorer: Scorer) -> None:
    drawn = drawn_for(scorer)
    ego = scorer.ground.ego.clone()
    ego[0, EGO_COLUMNS.index("steering")] = 0.3
    states = roll(MOTION, ego, drawn)
    found = rolled(MOTION, ego.numpy(), drawn.flatten(1, 2).numpy())
    assert np.allclose(found.reshape(states.shape), states.numpy(), atol=2e-3)
    looked = scorer.look(drawn)
    states = scorer.states(drawn)
    terms = scorer.template.terms(
        measured(scorer.ground, judged(MOTION, states)), scorer.parameters, scorer.modes
    )
    for row, name in enumerate(TERMS):
        assert torch.allclose(looked.terms[row], terms[name], atol=1e-3), name
    assert torch.equal(looked.robustness, scorer.robustness(drawn))
    with torch.enable_grad():
        leaf = drawn.requires_grad_()
        slow = scorer.robustness(leaf)
    assert slow.requires_grad
    assert torch.allclose(slow, looked.robustness, atol=1e-3)


def test_plans_are_followed_as_the_tracker_does() -> None:
    # Straight on, step by step, with the simulator's own tracker and the response of drive and brake.
    drawn = torch.stack([steady(a) for a in (-6.0, -2.0, 1.0)])[None]
    ego = toy.scene_of(toy.road(8.0)).ego
    states = roll(MOTION, ego, drawn)
    found = followed(MOTION, states.numpy(), 1.0)[0]
    overrun = []
    for plan, mine in zip(states[0].double().numpy(), found, strict=True):
        trajectory = Trajectory.from_poses(0.1 * np.arange(len(plan)), plan[:, :3], plan[:, 3])
        state = plan[0].copy()
        for k in range(1, len(plan)):
            asked, _ = make_tracker("lqr", 0.1).track(trajectory, 0.1 * (k - 1), state, VEHICLE)
            state[4] += 0.1 / 0.3 * (asked - state[4])
            state[0] += 0.1 * state[3]
            state[3] = max(state[3] + 0.1 * state[4], 0.0)
            assert mine[k, 0] == pytest.approx(state[0], abs=0.2)
            assert mine[k, 3] == pytest.approx(state[3], abs=0.25)
        overrun.append(state[0] - plan[-1, 0])
    assert overrun[0] > 2.0  # of a stop in 5.3 m
    # 6.3 m to somebody who stands: enough for the stop as it is drawn.
    scorer = toy.scorer_of(toy.scene_of(toy.road(8.0, ((12.3, 0.0, 0.0),), sides=())), ("keep",))
    stop = drawn[:, None, :1]
    assert scorer.look(stop).robustness > 0.0 > replace(scorer, lag=1.0).look(stop).robustness
    # Along a bend the path is kept, as long as there is one.
    bent = roll(MOTION, ego, torch.stack((steady(0.0, 0.2), steady(-1.0, 0.2)))[None])
    driven = followed(MOTION, bent.numpy(), 1.0)
    gap = np.linalg.norm(driven[0, 1, :, None, :2] - bent[0, 1, None, :, :2].numpy(), axis=-1).min(1)
    assert gap[:-1].max() < 0.4
    assert driven[0, 0, -1, 2] == pytest.approx(bent[0, 0, -1, 2].item(), abs=0.05)


def costs(scorer: Scorer, drawn: torch.Tensor, name: str, later: Any = None) -> torch.Tensor:
    """What one of the choice's weights takes off samples, a unit of it."""
    looked, none = scorer.look(drawn), ChoiceSettings(**dict.fromkeys(WEIGHTS, 0.0))
    values = [utility(scorer, looked, drawn, s, later) for s in (none, replace(none, **{name: 1.0}))]
    return values[0] - values[1]


def test_who_closes_in_is_not_chosen() -> None:
    # 10 m/s towards somebody at 5 m/s, 35 m ahead: on at this speed it obeys for 4 s, and is then near.
    scene = scene_tensors(stack_scenes([toy.road(10.0, ((35.0, 0.0, 5.0),), sides=())]))
    times = look_times(MOTION, scene.ego)
    ground = make_ground(scene, ("keep",), moved_on(scene, times))
    row = torch.tensor([-0.3, 14.0, -1.0, 1.0, 0.3, 0.15]).expand(1, 1, -1)
    scorer = Scorer.of(Template(MOTION.look_dt), MOTION, ground, ("keep",), row)
    drawn = torch.stack([steady(a) for a in (0.9, 0.5, -1.0, 3.0)])[None, None]
    looked, later = scorer.look(drawn), moved_on(scene, times + SECONDS)
    assert (looked.robustness[0, 0, :3] > 0.0).all()
    assert looked.robustness[0, 0, 3] < 0.0
    share = costs(scorer, drawn, "ahead", later)[0, 0]
    assert share[0] > share[1] >= share[2] == 0.0
    heedless = utility(scorer, looked, drawn, ChoiceSettings(ahead=0.0, room=0.0), later)[0, 0]
    assert heedless.argmax() == 0
    mindful = utility(scorer, looked, drawn, ChoiceSettings(ahead=9.0, room=0.0), later)[0, 0]
    assert mindful.argmax() != 0
    assert mindful[3] <= 0.0 < mindful[:3].min()
    held = utility(scorer, looked, drawn, ChoiceSettings(change=9.0), later, torch.tensor([2]))[0, 0]
    assert held.argmax() == 2
    with pytest.raises(InputError, match="comfort"):
        ChoiceSettings(comfort=-1.0)


def test_samples_are_worth_what_they_are_without_a_compiler() -> None:
    roads = (
        toy.road(8.0, ((20.0, 0.0, 6.0), (16.0, 3.5, 8.0))),
        toy.road(9.0, ((22.0, 0.2, 8.0),), offset=0.4),
        bent_road(0.01),
        toy.road(8.0, ((31.5, 0.0, 0.0),), sides=()),
    )
    scorer = toy.scorer_of(toy.scene_of(*roads), vmax=12.0, dmin=-5.0, dmax=5.0)
    calm = torch.lerp(drawn_for(scorer, 24), steady(-1.0), 0.9)
    drawn = torch.cat((drawn_for(scorer, 8), calm), 2)
    looked, others = scorer.look(drawn), scorer.ground.others
    assert 0.2 < (looked.robustness > 0.0).float().mean() < 0.8
    later = others._replace(places=others.places + torch.tensor([3.0, 0.2, 0.0, 0.0]))
    held = looked.robustness.flatten(1).argmax(1)
    settings = [ChoiceSettings(), ChoiceSettings(**dict.fromkeys(WEIGHTS, 0.0))]
    names = (*WEIGHTS, "stay")
    settings += [replace(settings[1], **{name: 1.0}) for name in names]
    worth = []
    for one in settings:
        given = (scorer, looked, drawn, one, later, held)
        worth.append(utility(*given))
        assert torch.allclose(worth[-1], plain_utility(*given), atol=1e-5), one
    assert (worth[0].diff(dim=0) != 0.0).any()
    changed = {name: (some - worth[1]).abs().max() for name, some in zip(names, worth[2:], strict=True)}
    assert min(changed.values()) > 0.01, changed  # each weight says something here
    blind = (scorer, looked, drawn, settings[0])
    assert torch.allclose(utility(*blind), plain_utility(*blind), atol=1e-5)


def test_paths_at_other_speeds_are_those_without_a_compiler(scorer: Scorer) -> None:
    states = scorer.states(torch.lerp(drawn_for(scorer, 6), steady(-0.5), 0.5))
    assert (states[..., 3] == 0.0).any()
    for cap in (2.0, 9.0):
        caps = torch.full(states.shape[:2], cap)
        for aside in ((0.0,), (0.0, 1.75), (-1.0, 0.0, 1.5)):
            given = (MOTION, states, scorer.ground.way, caps, torch.tensor(aside).expand(*caps.shape, -1))
            found, expected = variants(*given), plain_variants(*given)
            assert torch.allclose(found, expected, atol=1e-6)
            assert found.shape[2] == (6 + len(aside)) * len(PACES)


def test_a_path_can_be_driven_at_other_speeds(scorer: Scorer) -> None:
    drawn = torch.stack([steady(0.0), steady(-1.0)]).clone()
    drawn[0, :, 1] = 0.2
    states = roll(MOTION, scorer.ground.ego[:1], drawn[None, None])
    cap = torch.full((1, 1), 9.0)
    scene = scene_tensors(stack_scenes([toy.road(8.0)]))
    way = make_ground(scene, ("keep",), moved_on(scene, look_times(MOTION, scene.ego))).way
    more = variants(MOTION, states, way, cap, torch.zeros(1, 1, 1))
    found = roll(MOTION, scorer.ground.ego[:1], more)[0, 0]
    assert len(found) == 3 * len(PACES)
    assert found[..., 3].max() < 9.1
    assert found[PACES.index(-6.0), 20:, 3].max() == 0.0  # from 8 m/s in 1.4 s
    # Where it stands after a brake of 1.5 m/s^2 for 4 s lies on the path that was drawn, 20 m along.
    slow = found[PACES.index(-1.5)]
    assert slow[-1, 3].item() == pytest.approx(2.0, abs=0.1)
    near = (states[0, 0, 0, :, :2] - slow[-1, :2]).norm(dim=-1).min()
    assert near < 0.8
    assert slow[-1, 1] > 1.0
    # The second path, a brake, ends after 24 m; faster ones go on along the lane, as the third does at once.
    for row, begin in ((len(PACES) + PACES.index(0.8), 0), (2 * len(PACES) + PACES.index(0.8), 0)):
        assert found[row, -1, 0] > 32.0
        assert found[row, begin:, 1].abs().max() < 0.3


def test_paths_lead_back_to_the_lane_and_bends_are_driven_slowly() -> None:
    aside, bent = toy.road(8.0, offset=1.0), bent_road(0.05)
    for scene, far, slow in ((aside, 30.0, 7.9), (bent, 20.0, 0.0)):
        one = scene_tensors(stack_scenes([scene]))
        ground = make_ground(one, ("keep",), moved_on(one, look_times(MOTION, one.ego)))
        states = roll(MOTION, one.ego, steady(-6.0)[None, None, None])
        more = variants(MOTION, states, ground.way, torch.full((1, 1), 12.0), torch.zeros(1, 1, 1))
        more = more[:, :, len(PACES) :]
        found = judged(MOTION, roll(MOTION, one.ego, more))
        row = PACES.index(0.8)
        offset = signals_of(ground, found)["offset"][0, 0, row].abs()
        assert offset.amin() < 0.5
        assert offset.amax() <= 1.3
        assert found[0, 0, row, -1, :2].norm() > far
        assert found[0, 0, row, 5:, 3].min() > slow
    # A bend of 20 m is driven at 2.5 m/s^2, which is 7.1 m/s.
    assert found[0, 0, row, -1, 3] < 7.3


@pytest.mark.parametrize("speed", [0.0, 8.0])
def test_a_way_beside_the_middle_leads_around(speed: float) -> None:
    one = scene_tensors(stack_scenes([toy.road(speed)]))
    ground = make_ground(one, ("keep",), moved_on(one, look_times(MOTION, one.ego)))
    states = roll(MOTION, one.ego, steady(0.0)[None, None, None])
    asides = torch.tensor([[[1.5, -1.5]]])
    more = variants(MOTION, states, ground.way, torch.full((1, 1), 12.0), asides)[:, :, len(PACES) :]
    found = roll(MOTION, one.ego, more)[0, 0]
    for path, side in enumerate((1.0, -1.0)):
        driven = found[path * len(PACES) + PACES.index(1.6)]
        gone, aside = driven[:, 0], side * driven[:, 1]
        assert 1.0 < aside.max() < 1.6
        assert aside[gone > 10.0 + speed].min() > 0.7
        assert driven[:, 2].abs().max() < 0.55  # what the formula's clause on headings allows


def test_a_lane_that_leads_the_other_way_is_seen_on_the_left_alone() -> None:
    scenes = []
    for aside, cosine, where in (
        (3.5, -1.0, 10.0),
        (3.5, 1.0, 10.0),
        (-3.5, -1.0, 10.0),
        (7.0, -1.0, 10.0),
        (3.5, -1.0, 80.0),
    ):
        scene = toy.road(8.0, sides=())
        scene.lanes[-1, :, :4] = (where, aside, cosine, 0.0)
        scene.lanes_valid[-1] = True
        scenes.append(scene)
    assert oncoming(scene_tensors(stack_scenes(scenes))).tolist() == [True, False, False, False, False]


def test_others_follow_their_lanes_in_compiled_code_as_in_plain() -> None:
    rng = np.random.default_rng(0)
    turn = np.linspace(0.0, 1.2, 60)
    lane = np.column_stack((50.0 * np.sin(turn), 50.0 * (1.0 - np.cos(turn)), np.cos(turn), np.sin(turn)))
    back = lane * (1, 1, -1, -1) + (0, 3.5, 0, 0)
    lanes = np.concatenate((lane, back))
    times = np.arange(1, 25) * 0.2
    count = 12
    now = np.column_stack(
        (
            rng.uniform(-2, 30, count),
            rng.uniform(-3, 8, count),
            rng.uniform(-3, 3, count),
            rng.uniform(0, 12, count),
        )
    )
    now[0], now[1] = (0.0, 0.3, 0.0, 8.0), (20.0, 20.0, 0.0, 8.0)
    go = now[:, None, 3:] * times[:, None]
    poses = np.concatenate(
        (
            now[:, None, :2] + go * np.stack((np.cos(now[:, 2]), np.sin(now[:, 2])), -1)[:, None],
            np.broadcast_to(now[:, None, 2:3], (count, len(times), 1)),
        ),
        -1,
    )
    kinds = np.zeros(count, dtype=np.uint8)
    kinds[3] = AgentKind.PEDESTRIAN
    found = along_lanes(poses, now, kinds, lanes, times)
    assert np.allclose(found, plain_flow(poses, now, kinds, lanes, times), atol=1e-9)
    # 38 m along a bend of 50 m to the left, not straight on; nobody else's lane is near the second.
    assert np.hypot(found[0, -1, 0], found[0, -1, 1] - 50.0) == pytest.approx(50.0, abs=0.6)
    assert found[0, -1, 2] == pytest.approx(38.4 / 50.0, abs=0.1)
    assert np.array_equal(found[1], poses[1])
    assert np.array_equal(found[3], poses[3])


def plain_flow(poses: Any, now: Any, kinds: Any, lanes: Any, times: Any) -> Any:
    """`along_lanes` without a compiler: each agent by itself."""
    out = poses.copy()
    course = np.arctan2(lanes[:, 3], lanes[:, 2])
    for a in range(len(now)):
        (x, y, heading, speed), before = now[a], 0.0
        if speed <= 1.0 or kinds[a] == AgentKind.PEDESTRIAN:
            continue
        last, off = now[a, :2], None
        for k, after in enumerate(times):
            gap = np.array((x, y)) - lanes[:, :2]
            ahead = np.abs((gap * lanes[:, 2:]).sum(1))
            aside = np.abs(gap[:, 1] * lanes[:, 2] - gap[:, 0] * lanes[:, 3])
            turned = np.abs(wrap_angle(course - heading))
            near = np.flatnonzero((ahead < 6.0) & (aside < 2.0) & (turned < 0.7))
            if not len(near):
                break
            best = near[(ahead + 2.0 * aside + 6.0 * turned)[near].argmin()]
            off = wrap_angle(heading - course[best]) if off is None else off
            off *= np.exp((before - after) / 2.0)
            heading = course[best] + off
            step = np.hypot(*(poses[a, k, :2] - last))
            x, y = x + step * np.cos(heading), y + step * np.sin(heading)
            out[a, k], last, before = (x, y, heading), poses[a, k, :2], after
    return out


def test_who_ends_near_somebody_has_no_room() -> None:
    # 30 m to the centre of somebody who stands: 24 m between the bumpers. From 10 m/s at -2.5 m/s^2: 20.5 m.
    scene = scene_tensors(stack_scenes([toy.road(10.0, ((30.0, 0.0, 0.0),), sides=())]))
    ground = make_ground(scene, ("keep",), moved_on(scene, look_times(MOTION, scene.ego)))
    row = torch.tensor([-0.3, 14.0, -1.0, 1.0, 0.3, 0.15]).expand(1, 1, -1)
    scorer = Scorer.of(Template(MOTION.look_dt), MOTION, ground, ("keep",), row)
    drawn = torch.stack([steady(a) for a in (-2.5, -4.0)])[None, None]
    assert costs(scorer, drawn, "room")[0, 0].tolist() == [0.25, 0.0]  # 3.5 m are left, of 4 asked for
    with pytest.raises(InputError, match="room"):
        ChoiceSettings(room=-1.0)


def test_who_cannot_stop_in_time_is_told() -> None:
    # 12 m/s behind somebody as fast: 8 m between the bumpers are too few, should it brake hard.
    for gap, far in ((14.0, 0.0), (40.0, 1.0)):
        scene = scene_tensors(stack_scenes([toy.road(12.0, ((gap, 0.0, 12.0),), sides=())]))
        times = look_times(MOTION, scene.ego)
        ground = make_ground(scene, ("keep",), moved_on(scene, times))
        row = torch.tensor([-0.3, 14.0, -1.0, 1.0, 0.3, 0.15]).expand(1, 1, -1)
        scorer = Scorer.of(Template(MOTION.look_dt), MOTION, ground, ("keep",), row)
        found = costs(scorer, torch.stack((steady(0.0), steady(-6.0)))[None, None], "stopping")[0, 0]
        assert found.tolist() == [1.0 - far, 0.0]
    # Among those that break the formula, who hits later and slower is less bad.
    scene = scene_tensors(stack_scenes([toy.road(12.0, ((20.0, 0.0, 0.0),), sides=())]))
    ground = make_ground(scene, ("keep",), moved_on(scene, times))
    scorer = Scorer.of(Template(MOTION.look_dt), MOTION, ground, ("keep",), row)
    drawn = torch.stack([steady(a) for a in (1.0, -2.0, -3.5)])[None, None]
    worth = utility(scorer, scorer.look(drawn), drawn, ChoiceSettings())[0, 0]
    assert worth[0] < worth[1] < worth[2] < 0.0


def test_ordered_bounds_are_met_by_and_by(scorer: Scorer) -> None:
    ego = scorer.ground.ego
    wanted = ordered(ego, torch.Generator().manual_seed(0))
    named = {name: wanted[..., k] for k, name in enumerate(PARAMETERS)}
    assert (named["vmin"] < named["vmax"]).all()
    assert (named["dmin"] < 0.0).all()
    assert (named["dmax"] > 0.0).all()
    slow = wanted.clone()
    slow[..., 1] = 2.0
    eased = torch.tensor([True, True, False, False])
    times = look_times(MOTION, ego)
    vmax = bounds_of(scorer.ground, slow, eased, times)["vmax"][:, 0, 0]
    assert torch.allclose(vmax[2:], torch.tensor(2.0))
    # From 8 m/s down by 1.5 m/s^2.
    assert vmax[0, 0].item() == pytest.approx(8.0 - 1.5 * 0.2, abs=1e-3)
    assert vmax[0, -1].item() == pytest.approx(2.0, abs=1e-3)


def test_paths_are_drawn_on_as_without_a_compiler() -> None:
    rng = np.random.default_rng(4)
    speeds = (3.0, 8.0, 14.0)
    scene = scene_tensors(
        stack_scenes([toy.road(v, offset=o) for v, o in zip(speeds, (0.4, -0.9, 0.0), strict=True)])
    )
    ground = make_ground(scene, MODES, moved_on(scene, torch.zeros(1), 1))
    states = rng.normal(0.0, 1.0, (3 * len(MODES), 5, 7)) * (9.0, 1.5, 0.3, 4.0, 1.0, 0.1, 0.1)
    states[..., 3] = np.abs(states[..., 3])
    aside = np.linspace(-2.0, 2.0, states[..., 0].size).reshape(states.shape[:2])
    for most in (0.2, 0.02):
        found, expected = (f(states, ground.way, 31.0, most, aside) for f in (drawn_on, plain_drawn_on))
        assert np.array_equal(found[0], expected[0])
        assert np.allclose(found[1], expected[1], atol=1e-9)
        assert np.abs(found[1]).max() > 0.01


def test_the_encoder_of_another_planner_is_taken_as_it_is() -> None:
    model = PolicyNet(ModelSettings())
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    take_encoder(model, "gtrs")
    assert not any(p.requires_grad for p in model.encoder.parameters())
    assert any(not torch.equal(before[n], v) for n, v in model.encoder.state_dict().items())
    assert all(p.requires_grad for p in model.denoiser.parameters())
    small = PolicyNet(ModelSettings(encoder=type(ModelSettings().encoder)(width=32)))
    with pytest.raises(InputError, match="is not one of"):
        take_encoder(small, "gtrs")
