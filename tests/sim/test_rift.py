"""The traffic policy: lines, candidates, rewards, who is critical, and the closed loop."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.errors import InputError, UnknownNameError  # noqa: E402
from drive.eval.check.scenes import RADIUS, bend_scene, straight_map, straight_scene  # noqa: E402
from drive.nn.weights import Card, save_weights  # noqa: E402
from drive.planners.constant import Constant  # noqa: E402
from drive.registry import load  # noqa: E402
from drive.roadmap.drivable import DrivableArea  # noqa: E402
from drive.sim import simulate  # noqa: E402
from drive.sim.kernels.areas import join_areas  # noqa: E402
from drive.sim.kernels.layout import Controller  # noqa: E402
from drive.sim.traffic.model import load_traffic  # noqa: E402
from drive.sim.traffic.rift.critical import Critical  # noqa: E402
from drive.sim.traffic.rift.kernels import plans  # noqa: E402
from drive.sim.traffic.rift.kernels.base import HORIZON, LINES, MODES  # noqa: E402
from drive.sim.traffic.rift.lines import compile_lines  # noqa: E402
from drive.sim.traffic.rift.net import ARCHITECTURE, SIZES, RiftPolicy, offsets  # noqa: E402
from drive.sim.traffic.rift.policy import Driver  # noqa: E402
from drive.sim.traffic.rift.pretrain import moments_of  # noqa: E402
from drive.sim.traffic.rift.style import STYLES, Style  # noqa: E402
from drive.sim.traffic.rift.worlds import Worlds  # noqa: E402

ROAD = run_path(str(Path(__file__).with_name("rift_road.py")))
scene, fleet_of, fact, drawn = (ROAD[name] for name in ("scene", "fleet_of", "fact", "drawn"))
REAR = 1.461
OFFSETLESS = replace(STYLES["default"], offset=0.0, red=0.0, length=0.0, width=0.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that nobody has trained, as a file."""
    torch.manual_seed(3)
    net = RiftPolicy().eval()
    path = tmp_path_factory.mktemp("rift") / "raw.safetensors"
    save_weights(path, net, Card("rift", ARCHITECTURE, config={"model": asdict(net.settings)}))
    return path


def test_lines_and_what_is_told_of_them():
    s = scene([(60.0, 0.0, 8.0), (90.0, 0.0, 5.0), (30.0, 3.5, 12.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1, 3]))
    sight = fleet.look(crowd, lines.paths)
    assert sight.lines_valid.tolist() == [[True, True, False], [True, False, True]]
    assert fact(sight, 0, 0, "offset") == pytest.approx(0.0, abs=0.02)
    assert fact(sight, 0, 1, "offset") == pytest.approx(-3.5, abs=0.02)  # right of the line to its left
    half = 0.5 * s.tracks.size[:, 0]
    assert fact(sight, 0, 0, "gap") == pytest.approx(30.0 - half[1] - half[2], abs=0.05)
    assert fact(sight, 0, 0, "lead_speed") == pytest.approx(5.0, abs=0.01)
    assert fact(sight, 0, 1, "rear_gap") == pytest.approx(30.0 - half[1] - half[3], abs=0.05)
    assert fact(sight, 0, 0, "rear_speed") == pytest.approx(10.0, abs=0.01)  # the ego
    assert sight.others[0].tolist()[:4] == [2, 3, 0, -1] or sight.others[0].tolist()[:4] == [3, 2, 0, -1]
    assert fact(sight, 0, 0, "limit") == pytest.approx(15.0)


def test_the_map_s_edge_is_no_dead_end():
    """The road of 800 m goes on for who drives to its edge, and there he leaves it; nobody else does."""
    fleet, crowd, lines = fleet_of(scene([(780.0, 0.0, 9.0), (300.0, 4.0, 9.0)]), np.array([1, 2]))
    sight = fleet.look(crowd, lines.paths)
    assert fact(sight, 0, 0, "end") == 100.0
    assert lines.leaves[fleet.path].tolist() == pytest.approx([800.0, 800.0], abs=0.1)
    front = fleet.own[0, 2] + 0.5 * fleet.own[0, 0]
    for x, leaves in (
        (790.0, False),
        (800.0 - front - 0.1, False),
        (800.0 - front + 0.1, True),
        (801.0, True),
    ):
        fleet.states[0, 0] = x
        assert fleet.leaving(lines.paths, lines.leaves).tolist() == [leaves, False]


def test_who_drives_over_the_map_s_edge_is_gone_and_has_not_crashed():
    s = scene([(770.0, 0.0, 9.0), (300.0, 4.0, 9.0)])
    worlds = Worlds.of([s])

    def straight_on(fleet, crowd, paths, number):
        out = np.repeat(fleet.states[:, None], 6, 1)
        out[:, :, 0] += 0.9 * np.arange(6)
        return out

    worlds.run(straight_on, decisions=8)
    assert worlds.alive.tolist() == worlds.world.present[0, [1, 2]].tolist() == [False, True]
    assert not worlds.crashed.any()


def test_a_closed_signal_is_told():
    s = straight_scene(
        straight_map(stop_at=100.0), [(60.0, 0.0, 8.0)], signals=np.full((1, 151), 3, np.uint8)
    )
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    sight = fleet.look(crowd._replace(signals=np.array([[3]], np.uint8)), lines.paths)
    front = 60.0 + 0.5 * s.tracks.size[1, 0]
    assert fact(sight, 0, 0, "red") == pytest.approx(100.0 - front, abs=1.1)
    assert fact(fleet.look(crowd, lines.paths), 0, 0, "red") == 100.0


def test_candidates_begin_at_the_vehicle_and_end_on_their_lines():
    s = scene([(60.0, 0.4, 8.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    fleet.states[0, 2] = 0.05
    sight = fleet.look(crowd, lines.paths)
    d = drawn(fleet, sight, crowd, lines)
    poses = d.poses[0]
    np.testing.assert_allclose(poses[:, 0, :3], np.tile(fleet.states[0, :3], (18, 1)), atol=1e-5)
    np.testing.assert_allclose(poses[:MODES, -1, 1], 0.0, atol=0.25)
    np.testing.assert_allclose(d.along[0, :, -1, 2][: 2 * MODES], 32.0, rtol=1e-3)  # 4 s at 8 m/s
    # No jump: the second pose lies along the first one's heading.
    step = poses[: 2 * MODES, 1, :2] - poses[: 2 * MODES, 0, :2]
    np.testing.assert_allclose(np.arctan2(step[:, 1], step[:, 0]), 0.05, atol=0.02)
    # What belongs to no line stands.
    assert (poses[2 * MODES :, :, 3] == 0.0).all()


@pytest.mark.parametrize(("offset", "turn", "rate"), [(0.8, 0.0, 0.0), (-1.2, 0.3, -0.4), (0.0, -0.1, 0.5)])
def test_offsets_that_are_drawn_are_those_that_are_learnt(offset, turn, rate):
    fleet, crowd, lines = fleet_of(scene([(60.0, offset, 8.0)]), np.array([1]))
    fleet.states[0, 2], fleet.states[0, 6] = turn, rate
    d = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines)
    told = offsets(
        torch.from_numpy(d.along[0, :1, :, 2]), *(torch.tensor([v]) for v in (offset, turn, rate / 8.0, 40.0))
    )
    np.testing.assert_allclose(d.along[0, 0, :, 0], told[0].numpy(), atol=2e-3)


def test_who_plans_anew_goes_on_as_planned():
    fleet, crowd, lines = fleet_of(scene([(60.0, 0.9, 8.0)]), np.array([1]))
    first = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines).poses[0, 0]
    assert abs(first[-1, 1]) < 0.3
    for t in (5, 10, 15):
        fleet.states[0, :4] = first[t]
        fleet.states[0, 6] = (first[t + 1, 2] - first[t - 1, 2]) / 0.2
        later = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines).poses[0, 0]
        np.testing.assert_allclose(later[: 41 - t, :2], first[t:, :2], atol=0.02)


def test_vehicles_begin_in_the_bend_that_they_are_in():
    s = bend_scene()
    lines = compile_lines(s)
    rows = np.flatnonzero(lines.drivable)
    states = lines.begin(rows, np.full(len(rows), 2.7))
    moving = states[:, 3] > 1.0
    assert moving.any()
    np.testing.assert_allclose(states[moving, 6] / states[moving, 3], 1.0 / RADIUS, rtol=0.1)
    np.testing.assert_allclose(np.tan(states[moving, 5]) / 2.7, 1.0 / RADIUS, rtol=0.1)


def test_mirrored_roads_have_mirrored_candidates():
    s = scene([(60.0, 0.5, 8.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    one = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines)
    t = scene([(60.0, -0.5, 8.0)])
    other, crowd, lines = fleet_of(t, np.array([1]))
    two = drawn(other, other.look(crowd, lines.paths), crowd, lines)
    np.testing.assert_allclose(one.poses[0, :MODES, :, 1], -two.poses[0, :MODES, :, 1], atol=1e-4)


def test_the_tracker_drives_straight_and_never_backward():
    s = scene([(60.0, 0.0, 8.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    d = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines, -6.0)
    states = fleet.drive(d.poses[:, :1])[0, 0]
    assert np.abs(states[:, 1]).max() < 1e-3
    assert states[:, 3].min() >= 0.0
    assert np.diff(states[:, 0]).min() > -1e-2
    assert states[-1, 3] < 0.3


def judged(speed, style, other=None, accelerations=None):
    """The return of a candidate at a constant speed on a free road, or with somebody standing ahead."""
    cars = [(200.0, 0.0, speed)] + ([] if other is None else [(other, 0.0, 0.0)])
    s = scene(cars)
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    sight = fleet.look(crowd, lines.paths)
    d = drawn(fleet, sight, crowd, lines)
    states = np.zeros((1, LINES * MODES, HORIZON + 1, 7), dtype=np.float32)
    states[..., :3], states[..., 3] = d.poses[..., :3], d.poses[..., 3]
    if accelerations is not None:
        states[..., 4] = accelerations
    areas = join_areas([DrivableArea.of(s.roadmap)], [0])
    returns, outcome = np.zeros((1, 18), np.float32), np.zeros((1, 18, len(plans.OUTCOMES)), np.float32)
    cast = np.empty((SIZES.agents, HORIZON, 5), dtype=np.float32)
    plans.reward(
        fleet.world, fleet.own, sight.lines, sight.lines_valid, sight.others, crowd.states, crowd.body,
        states, d.along, areas, style.weights(), cast, returns, outcome,
    )  # fmt: skip
    return float(returns[0, 1]), outcome[0, 1]  # the first mode would brake


def test_returns_by_hand():
    # 0.125 for the heading, 0.8 for 8 m/s, -0.1 for moving; discounted over 40 steps, a sum of 27.716.
    weights = sum(0.98**j for j in range(40))
    assert (
        judged(8.0, OFFSETLESS)[0] == pytest.approx(0.825 * weights, abs=0.01) == pytest.approx(22.9, abs=0.1)
    )
    # Who stands gains the heading's share alone; who stands braking pays for it.
    assert judged(0.0, OFFSETLESS)[0] == pytest.approx(0.125 * weights, abs=0.01)
    assert judged(0.0, OFFSETLESS, accelerations=-0.1)[0] == pytest.approx(0.7, abs=0.02)
    # A collision in the last step: bumpers meet after 4.0 s, not after 3.9.
    s = scene([(200.0, 0.0, 8.0), (300.0, 0.0, 0.0)])
    length = float(s.tracks.size[1, 0])
    found, outcome = judged(8.0, OFFSETLESS, other=200.0 + length + 31.6)
    assert found == pytest.approx(0.825 * weights - 28.0 * 0.98**39, abs=0.05)
    assert found == pytest.approx(10.1, abs=0.1)
    assert outcome[0] == 1.0
    # In the style "safe" that is worse than to stop.
    safe = replace(STYLES["safe"], offset=0.0)
    assert judged(8.0, safe, other=200.0 + length + 31.6)[0] < judged(0.0, safe)[0]


def test_speeding_and_leaving_the_road_cost():
    fast, _ = judged(18.0, OFFSETLESS)
    legal, _ = judged(18.0, replace(OFFSETLESS, speeding=0.0))
    assert fast == pytest.approx(legal - 0.2 * (18.0 - 15.75) * sum(0.98**j for j in range(40)), abs=0.02)


def test_styles_are_checked():
    with pytest.raises(InputError, match="collision"):
        Style(collision=-1.0)
    with pytest.raises(InputError, match="discount"):
        Style(discount=0.0)
    assert len(STYLES["safe"].weights()) == len(plans.REWARDS)
    assert all(style.meaning for style in STYLES.values())


def test_padding_and_order_change_no_score():
    torch.manual_seed(0)
    net = RiftPolicy().eval()
    s = scene([(60.0, 0.0, 8.0), (30.0, 3.5, 12.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1, 2]))
    one = Driver(net).decide(fleet, crowd, lines.paths)
    alone = fleet.take(np.array([0]))
    two = Driver(net).decide(alone, crowd, lines.paths)
    np.testing.assert_allclose(one.logits[0], two.logits[0], atol=1e-5)
    assert (one.logits[0, 2 * MODES :] == -1e8).all()
    found = one.candidates(0)
    assert found.traj.shape == (LINES, MODES, HORIZON + 1, 6)
    assert found.logits.shape == (LINES, MODES)
    assert found.valid.tolist() == [True, True, False]


def test_many_at_once_are_proposed_for_as_each_alone():
    """Vehicles are grouped by what they have around them, and come back in their order."""
    from drive.sim.traffic.rift.policy import BATCH

    torch.manual_seed(1)
    net = RiftPolicy().eval()
    s = scene([(60.0, 0.0, 8.0), (30.0, 3.5, 12.0), (150.0, 3.5, 6.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1, 2, 3]))
    one = Driver(net).decide(fleet, crowd, lines.paths)
    rows = np.random.default_rng(0).integers(0, 3, 2 * BATCH + 17)
    many = Driver(net).decide(fleet.take(rows), crowd, lines.paths)
    np.testing.assert_allclose(many.logits, one.logits[rows], atol=1e-4)


def test_pace_is_speed_up_to_the_limit():
    weights = sum(0.98**j for j in range(40))
    pace = plans.OUTCOMES.index("pace")
    for speed, paid in ((2.0, 0.0), (12.0, 12.0), (25.0, 15.0)):
        assert judged(speed, OFFSETLESS)[1][pace] == pytest.approx(paid * weights, abs=0.1)
    # With no band the style's own weight pays the same; with the released one 25 m/s is worth nothing.
    limited = replace(OFFSETLESS, band=0.0, speeding=0.0)
    assert judged(12.0, limited)[0] == pytest.approx((0.125 + 1.2 - 0.1) * weights, abs=0.01)
    assert judged(25.0, limited)[0] == pytest.approx((0.125 + 1.5 - 0.1) * weights, abs=0.01)
    assert judged(25.0, replace(limited, band=20.0))[0] == pytest.approx(0.025 * weights, abs=0.01)


@pytest.mark.parametrize(
    ("x", "y", "speed", "wanted"),
    [
        (20.0 + REAR - 15.0, 0.0, 8.0, True),  # close behind: their ways meet at once
        (20.0 + REAR + 40.0, 0.0, 8.0, False),  # ahead by more than ways may differ
        (20.0 + REAR + 15.0, 0.0, 8.0, True),
        (20.0 + REAR + 90.0, 0.0, 8.0, False),  # too far
        (20.0 + REAR + 6.0, 0.0, 8.0, False),  # too near
        (20.0 + REAR + 15.0, 3.5, 8.0, False),  # beside: the ways run along each other
    ],
)
def test_who_is_critical(x, y, speed, wanted):
    s = scene([(x, y, speed)])
    if len(s.route.line) < 2:
        pytest.skip("the scene has no route")
    fleet, _, lines = fleet_of(s, np.array([1]))
    found = Critical.of(s, 1).choose(np.asarray(s.initial), fleet, lines.paths)
    assert found.tolist() == [wanted]


def test_at_most_so_many_are_critical_and_they_stay_so():
    s = scene([(20.0 + REAR + d, 0.0, 8.0) for d in (11.0, 16.0)])
    fleet, _, lines = fleet_of(s, np.array([1, 2]))
    critical = Critical.of(s, 2, most=1)
    ego = np.asarray(s.initial).copy()
    assert critical.choose(ego, fleet, lines.paths).tolist() == [True, False]
    ego[0] -= 40.0
    assert critical.choose(ego, fleet, lines.paths).tolist() == [True, False]
    ego[0] -= 60.0
    assert not critical.choose(ego, fleet, lines.paths)[0]


def test_people_s_examples_name_the_line_that_they_took():
    s = scene([(60.0, 0.0, 8.0), (30.0, 3.5, 12.0)])
    m = moments_of(s, shake=0.0)
    assert set(m.line.tolist()) == {0}
    np.testing.assert_allclose(m.offset[np.arange(len(m.line)), 0], 0.0, atol=0.05)
    speed = m.fleet.states[:, 3]
    np.testing.assert_allclose(m.metres[:, 0, -1], 4.0 * speed, rtol=1e-3)


def test_a_run_under_the_policy(weights):
    s = scene([(70.0, 0.0, 8.0), (30.0, 3.5, 12.0)])
    model = load_traffic(f"rift:{weights}")
    one = simulate(s, Constant(), traffic=model, stop=25)
    two = simulate(s, Constant(), traffic=model, stop=25)
    np.testing.assert_array_equal(one.agents, two.agents)
    assert one.header["traffic"] == "rift:raw"
    assert (one.agent_controller == Controller.TRAJECTORY).all()
    step = np.hypot(*np.diff(one.agents[:, :, :2], axis=1).T)
    assert np.isfinite(one.agents).all()
    assert step.max() < 2.5  # nobody leaps
    critical = simulate(s, Constant(), traffic="rift:safe:critical", stop=6)
    assert critical.header["failure"] is None


def test_names_of_the_traffic():
    assert load_traffic("rift:safe").name == "rift:safe"
    assert load_traffic("rift").name == "rift:default"
    assert load_traffic("rift:interactive:critical").director.only_critical
    with pytest.raises(UnknownNameError, match="interactive"):
        load_traffic("rift:interactiv")
    with pytest.raises(InputError, match="critical"):
        load_traffic("rift:safe:all")
    with pytest.raises(InputError, match="no variants"):
        load("drive.traffic", "idm:fast")


def test_worlds_are_driven_alike_alone_and_together():
    torch.manual_seed(0)
    net = RiftPolicy().eval()
    scenes = [scene([(70.0, 0.0, 8.0), (30.0, 3.5, 12.0)]), scene([(50.0, 0.0, 3.0)])]
    both, alone = Worlds.of(scenes), Worlds.of(scenes[1:])

    def drive(worlds):
        from drive.sim.traffic.rift.policy import drive_on

        driver = Driver(net)
        worlds.run(lambda f, c, p, n: drive_on(f, driver.decide(f, c, p)), decisions=4)
        return worlds

    fresh = both.fresh()
    drive(fresh)
    again = drive(both.fresh())
    np.testing.assert_array_equal(fresh.fleet.states, again.fleet.states)
    np.testing.assert_allclose(fresh.fleet.states[2:], drive(alone).fleet.states, atol=1e-4)
