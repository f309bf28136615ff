"""What the traffic policy foresees of its candidates, and how hard it brakes for it."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.sim.traffic.rift.kernels.base import FEARS, KNOTS, LINES, MODES, PROBES  # noqa: E402
from drive.sim.traffic.rift.net import RiftPolicy  # noqa: E402
from drive.sim.traffic.rift.policy import Driver  # noqa: E402

ROAD = run_path(str(Path(__file__).with_name("rift_road.py")))
scene, fleet_of, fact, drawn = (ROAD[name] for name in ("scene", "fleet_of", "fact", "drawn"))


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


def test_who_stands_does_not_fear_who_passes_closely():
    """Oncoming at 22 m/s with 0.45 m between: enough at rest and 12 m/s, too little at 22."""
    for speed, met in ((0.0, False), (12.0, False), (22.0, True)):
        s = scene([(60.0, 0.0, speed), (100.0, 2.4, 0.0)])
        fleet, crowd, lines = fleet_of(s, np.array([1]))
        comes = crowd.states[:, 0, 2]
        comes[:, 1] = 0.45 + 0.5 * s.tracks.size[1:3, 1].sum()
        comes[:, 2], comes[:, 4], comes[:, 5] = -1.0, 22.0, -22.0
        found = drawn(fleet, fleet.look(crowd, lines.paths), crowd, lines)
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
    # Into the one in front at the speed that they differ by; who brakes is struck more than it strikes.
    assert fears(drives, "impact")[1] == pytest.approx(4.7 - 0.9, abs=0.01)
    assert fears(brakes, "impact")[0] == pytest.approx(4.7 - 1.5 * 2.5, abs=0.01)


def test_who_cannot_avoid_a_contact_brakes():
    torch.manual_seed(5)
    net = RiftPolicy().eval()
    s = scene([(60.0, 0.0, 15.0), (69.0, 0.0, 0.0)])
    fleet, crowd, lines = fleet_of(s, np.array([1]))
    decision = Driver(net).decide(fleet, crowd, lines.paths)
    own = decision.drawn.probes[0, :MODES]
    assert (own[:, 0] < 0.5).all()  # whatever it does on its own line
    assert decision.logits[0, :MODES].argmax() == own[:, 2].argmin()  # the slowest end
