"""The traffic policy: lines, candidates, rewards, who is critical, and the closed loop."""

from __future__ import annotations

from dataclasses import asdict, replace
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
from drive.sim.traffic.rift.fleet import Crowd, Fleet, bodies_of, crowd_states  # noqa: E402
from drive.sim.traffic.rift.kernels import plans  # noqa: E402
from drive.sim.traffic.rift.kernels.base import FACTS, FEARS, HORIZON, KNOTS, LINES, MODES, PROBES  # noqa: E402
from drive.sim.traffic.rift.lines import compile_lines  # noqa: E402
from drive.sim.traffic.rift.net import ARCHITECTURE, SIZES, RiftPolicy, offsets  # noqa: E402
from drive.sim.traffic.rift.policy import Driver  # noqa: E402
from drive.sim.traffic.rift.pretrain import moments_of  # noqa: E402
from drive.sim.traffic.rift.style import STYLES, Style  # noqa: E402
from drive.sim.traffic.rift.worlds import Worlds  # noqa: E402

REAR = 1.461
OFFSETLESS = replace(STYLES["default"], offset=0.0, red=0.0, length=0.0, width=0.0)


def scene(cars, **more):
    """A straight road of two lanes, lane a about y = 0 and b to its left; the ego at x = 20."""
    return straight_scene(straight_map(**more), cars)


def fleet_of(scenario, rows, t=0):
    """Those rows at a sample, and everybody around."""
    lines, tracks = compile_lines(scenario), scenario.tracks
    states = np.zeros((len(rows), 7), dtype=np.float32)
    states[:, :3], states[:, 3] = lines.poses[rows, t], lines.speed[rows, t]
    own = np.stack(
        (tracks.size[rows, 0], tracks.size[rows, 1], tracks.rear_to_centre[rows], 0.6 * tracks.size[rows, 0]),
        1,
    )
    fleet = Fleet.of(np.zeros(len(rows)), rows, lines.path[rows, t], states, own)
    crowd = Crowd(
        np.stack([crowd_states(tracks.states[:, t], tracks.valid[:, t])[None]] * SIZES.history),
        bodies_of(tracks.size, tracks.kind)[None],
        np.zeros((1, 1), dtype=np.uint8),
    )
    return fleet, crowd, lines


def fact(sight, n, line, name):
    return float(sight.lines[n, line, FACTS.index(name) - len(FACTS)])


def drawn(fleet, sight, crowd, lines, acceleration=0.0):
    count = LINES * MODES
    a = np.full((len(fleet), count, KNOTS), acceleration, dtype=np.float32)
    return fleet.draw(sight, a, np.full((len(fleet), count), 40.0, dtype=np.float32), crowd, lines.paths)


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


def test_who_is_ahead_is_met_though_it_turns_at_the_moment():
    """At 12 m/s behind somebody at 4 m/s whose heading has just turned by 0.15 rad: on its yaw rate alone it
    would curl off the road within a second and a half."""
    s = scene([(60.0, 0.0, 12.0), (84.0, 0.0, 4.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    ahead, before = crowd.states[0, 0, 2], crowd.states[1, 0, 2]
    ahead[2:4] = np.cos(0.15), np.sin(0.15)
    before[2:4] = 1.0, 0.0
    sight = fleet.look(crowd, lines.paths)
    gap = fact(sight, 0, 0, "gap")
    contact = drawn(fleet, sight, crowd, lines).probes[0, 1, 0]
    # Closing in at 8 m/s (at 4 cos 0.15 m/s it drives along the line), looked at each half second.
    assert contact * 4.0 == pytest.approx(0.5 * np.floor(gap / (12.0 - 4.0 * np.cos(0.15)) / 0.5), abs=0.01)


def hardened(speed, ahead, lead, before=None):
    """The first mode's acceleration of a vehicle at 60 m behind one at `ahead` m, and its contact; the leader
    drove at `before` half a second ago."""
    s = scene([(60.0, 0.0, speed), (ahead, 0.0, lead)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    if before is not None:
        row = 2
        crowd.states[1, 0, row, 4:6] = before
    sight = fleet.look(crowd, lines.paths)
    d = drawn(fleet, sight, crowd, lines)
    v = d.poses[0, :, :, 3]
    return float(v[0, 5] - v[0, 0]) / 0.5, d.probes[0, :, 0], fact(sight, 0, 0, "gap"), v


def test_the_first_mode_brakes_as_hard_as_who_is_ahead_demands():
    # From 15 to 5 m/s while 10 m/s of closing eat the gap but for 2 m.
    a, contact, gap, v = hardened(15.0, 82.0, 5.0)
    assert a == pytest.approx(-(10.0**2) / 2.0 / (gap - 2.0), abs=0.01)
    assert contact[0] == 1.0
    assert contact[1] < 1.0
    assert v[1:MODES, -1] == pytest.approx(15.0)  # the other modes are as proposed
    # A leader that has fallen from 12 to 10 m/s in half a second stops after 12.5 m.
    a, contact, gap, _ = hardened(10.0, 76.0, 10.0, before=12.0)
    assert a == pytest.approx(-(10.0**2) / 2.0 / (gap + 10.0**2 / 8.0 - 2.0), abs=0.01)
    assert contact[0] == 1.0
    assert contact[1] < 1.0  # foreseen at constant speed nobody would touch it
    assert hardened(10.0, 76.0, 10.0)[1][: 2 * MODES].min() == 1.0
    # No harder than cars can, and not at all behind who drives away.
    assert hardened(20.0, 70.0, 0.0)[0] == pytest.approx(-8.0, abs=0.01)
    assert hardened(8.0, 80.0, 12.0)[0] == 0.0


def test_who_changes_lanes_brakes_for_the_one_before_it_still():
    """On the lane to the left is nobody, on the own one somebody at 5 m/s: both lines' first modes brake."""
    s = scene([(60.0, 0.0, 15.0), (82.0, 0.0, 5.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    for offset in (0.0, 2.5):  # and once it is on the other's middle, it brakes no more for that one
        fleet.states[:, 1] = offset
        sight = fleet.look(crowd, lines.paths)
        v = drawn(fleet, sight, crowd, lines).poses[0, :, :, 3]
        braking = (v[:, 5] - v[:, 0]) / 0.5
        assert braking[MODES] == pytest.approx(braking[0] if offset == 0.0 else 0.0, abs=0.01)
        assert braking[1] == braking[MODES + 1] == pytest.approx(0.0, abs=0.01)


def test_who_follows_is_no_reason_not_to_brake():
    """Somebody at 15 m/s 3 m behind on the lane keeps its distance; one on the lane beside is foreseen."""
    for y, near in ((0.0, False), (3.5, True)):
        s = scene([(60.0, 0.0, 8.0), (52.0, y, 15.0)])
        fleet, crowd, lines = fleet_of(s, np.array([1]))
        sight = fleet.look(crowd, lines.paths)
        contact, clearance = drawn(fleet, sight, crowd, lines, -4.0).probes[0, 1, :2]
        assert contact == 1.0
        assert (clearance < 1.0) == near


def fears(found, name):
    """Seconds until the first vehicle's candidates meet the others, or who is ahead, or m/s of the impact."""
    return found.probes[0, :, FEARS.index(name) - len(FEARS)] * (15.0 if name == "impact" else 4.0)


def test_others_who_brake_brake_on():
    """A change to the left behind somebody at 4 m/s on the own lane, 13 m on: met only if that one stops."""
    s = scene([(60.0, 0.0, 8.0), (78.0, 0.0, 4.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    change = slice(MODES + 1, 2 * MODES)  # but for the first mode, which brakes for that one
    for before, met in ((4.0, False), (5.5, True)):
        crowd.states[1, 0, 2, 4:6] = before
        sight = fleet.look(crowd, lines.paths)
        assert fact(sight, 0, 1, "lead") == 0.0  # nobody is ahead on the lane that it changes to
        a = np.full((1, LINES * MODES, KNOTS), -1.0, dtype=np.float32)
        found = fleet.draw(sight, a, np.full((1, LINES * MODES), 80.0, dtype=np.float32), crowd, lines.paths)
        assert (fears(found, "others")[change] < 4.0).all() == met
        assert (fears(found, "lead")[change] == 4.0).all()


def test_who_is_passed_quickly_is_passed_with_room():
    """Somebody stands 0.28 m beside the way, which is enough at walking pace and not at 12 m/s."""
    for speed, met in ((1.5, False), (12.0, True)):
        s = scene([(60.0, 0.0, speed), (66.0, 2.08, 0.0)])
        width = s.tracks.size[1:3, 1]
        fleet, crowd, lines = fleet_of(s, np.array([1]))
        crowd.states[:, 0, 2, 1] = 0.28 + 0.5 * width.sum()
        sight = fleet.look(crowd, lines.paths)
        assert fact(sight, 0, 0, "lead") == 0.0  # beside the line, not on it
        found = drawn(fleet, sight, crowd, lines)
        assert (fears(found, "others")[0] < 4.0) == met


def test_who_fears_to_be_struck_does_not_drive_into_the_car_in_front():
    """As where a ring is entered behind one who creeps and before one who comes round: struck from the side
    after 1.5 s who stops, or 2 s who goes on, who then meets the one in front as well."""
    net = RiftPolicy().eval()
    probes = torch.zeros(1, 2, len(PROBES) + len(FEARS))
    for candidate, (others, lead, end) in enumerate(((1.5, 4.0, 0.0), (2.0, 2.0, 4.5))):
        probes[0, candidate, PROBES.index("final_speed")] = end / 15.0
        probes[0, candidate, len(PROBES) :] = torch.tensor((others / 4.0, lead / 4.0, 4.0 / 15.0))
    with torch.inference_mode():
        nothing = probes.clone()
        nothing[..., len(PROBES) :] = torch.tensor((1.0, 1.0, 0.0))
        queries = torch.zeros(1, 2, 64)
        shrinks = net.score(net.features(queries, nothing)) - net.score(net.features(queries, probes))
    stops, goes = shrinks[0].tolist()
    assert goes > stops + 2.0
    # Foreseen apart: a car from the side that strikes whoever brakes, another in front that creeps.
    s = scene([(60.0, 0.0, 4.7), (70.4, 0.0, 0.9), (63.0, 8.4, 4.2)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    comes = crowd.states[:, 0, 3]
    comes[:, 2], comes[:, 3], comes[:, 5], comes[:, 6] = 0.0, -1.0, 0.0, -4.2
    brakes = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines, -2.5)
    drives = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines)
    assert fears(brakes, "others")[0] == pytest.approx(1.0)
    assert fears(brakes, "lead")[1] == 4.0
    assert fears(drives, "lead")[1] == pytest.approx(1.0)
    # Into the one in front at the speed that they differ by; braking, after 1.5 s, square to who comes.
    assert fears(drives, "impact")[1] == pytest.approx(4.7 - 0.9, abs=0.01)
    assert fears(brakes, "impact")[0] == pytest.approx(np.hypot(4.7 - 1.5 * 2.5, 4.2), abs=0.01)


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


def test_who_cannot_avoid_a_contact_brakes():
    torch.manual_seed(5)
    net = RiftPolicy().eval()
    s = scene([(60.0, 0.0, 15.0), (69.0, 0.0, 0.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    decision = Driver(net).decide(fleet, crowd, lines.paths)
    own = decision.drawn.probes[0, :MODES]
    assert (own[:, 0] < 0.5).all()  # whatever it does on its own line
    assert decision.logits[0, :MODES].argmax() == own[:, 2].argmin()  # the slowest end


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
