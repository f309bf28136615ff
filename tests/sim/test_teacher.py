"""The teacher's labels against values worked out by hand on a straight road, in any frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drive.errors import InputError, UnknownNameError
from drive.geometry import rotate, wrap_angle
from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.scenario import SignalState
from drive.sim.teacher import TEACHER_NAMES, Course, Others, Teacher, TeacherSettings
from drive.vehicle import AgentKind, VehicleParams

CAR = VehicleParams(length=4.0, width=2.0, wheelbase=2.5, rear_axle_to_center=1.0)
NC, DAC, DDC, TLC, EP, TTC, LK, HC, SCORE = range(9)
K = 50


def road(angle: float = 0.0, shift=(0.0, 0.0)):
    """A lane to x = 40, a connector with a light to x = 60, a lane behind it; all 8 m wide, turned."""
    builder = RoadMapBuilder()
    for name, low, high, kind, after in (
        ("in", -50.0, 40.0, LaneKind.LANE, ("over",)),
        ("over", 40.0, 60.0, LaneKind.CONNECTOR, ("out",)),
        ("out", 60.0, 300.0, LaneKind.LANE, ()),
    ):
        x = np.linspace(low, high, 12)
        left, right = (rotate(np.stack((x, np.full(12, y)), 1), angle) + shift for y in (4.0, -4.0))
        light = kind is LaneKind.CONNECTOR
        builder.add(
            LaneSpec(
                name, left, right, kind=kind, intersection=light, signal="light" if light else None,
                successors=after,
            )
        )  # fmt: skip
    return builder.build()


def lesson(
    speed=10.0,
    y=0.0,
    agents=(),
    red=(),
    settings=None,
    limit=20.0,
    angle=0.0,
    shift=(0.0, 0.0),
    past=(),
    x=0.0,
):
    """A moment on that road: rows of `agents` are (x, y, vx, kind), they go on at constant speed."""
    rows, kinds = np.zeros((len(agents), K, 5)), []
    for row, (ax, ay, vx, kind) in zip(rows, agents, strict=True):
        row[:, 0], row[:, 1], row[:, 3] = ax + vx * 0.1 * np.arange(K), ay, vx
        kinds.append(kind)
    rows[..., :2], rows[..., 3:] = rotate(rows[..., :2], angle) + shift, rotate(rows[..., 3:], angle)
    rows[..., 2] = angle
    size = np.tile([4.0, 2.0, 1.5], (len(agents), 1))
    others = Others(rows, np.ones((len(agents), K), bool), size, np.array(kinds, dtype=np.uint8))
    signals = np.full((1, K), SignalState.GREEN, dtype=np.uint8)
    signals[0, list(red)] = SignalState.RED
    station = np.arange(-50.0, 301.0)
    line = rotate(np.stack((station, 0.0 * station), 1), angle) + shift
    start = np.array([*(rotate(np.array([x, y]), angle) + shift), angle, speed, 0.0, 0.0, 0.0])
    teacher = Teacher(road(angle, shift), CAR, settings)
    return teacher.lesson(start, Course(line, np.full(len(line), limit), (0, 1, 2)), others, signals, past)


def straight(speed: float, pace: float = 0.0) -> np.ndarray:
    t = 0.1 * np.arange(1, 41)
    stop = np.inf if pace >= 0.0 else speed / -pace
    t = np.minimum(t, stop)
    x = speed * t + 0.5 * pace * t**2
    return np.stack((x, 0.0 * x, 0.0 * x), axis=1)


def labels(one, *plans, reference=None):
    expert = one.rollout((straight(10.0) if reference is None else reference)[None])[0]
    return one.label(np.stack(plans), expert).values


def test_a_free_road_driven_as_the_expert_does_is_perfect() -> None:
    assert labels(lesson(), straight(10.0))[0].tolist() == [1.0] * 9


def test_progress_is_the_share_of_the_experts_metres() -> None:
    # The expert drives 40 m; half the metres are half the progress, and more are not more than all.
    slow, fast = straight(10.0, -2.5), straight(10.0, 2.0)
    found = labels(lesson(), slow, fast)
    # The tracker takes a moment to brake, and begins with a jerk.
    assert found[0, EP] == pytest.approx(0.5, abs=0.05)
    assert found[0, HC] == 0.0
    assert found[1, EP] == 1.0
    assert found[0, SCORE] == pytest.approx((5.0 * found[0, EP] + 5.0 + 2.0) / 14.0, abs=1e-6)
    # An expert that stays within 5 m asks nobody to go.
    parked = lesson(speed=0.0)
    assert labels(parked, straight(0.0), reference=straight(0.0))[0, EP] == 1.0


def test_progress_modes() -> None:
    batch = lesson(settings=TeacherSettings(progress="batch"))
    found = batch.label(np.stack((straight(10.0), straight(10.0, -2.5))))
    assert found.values[:, EP] == pytest.approx([1.0, found.metres[1] / found.metres[0]])
    with pytest.raises(InputError, match="needs a reference"):
        lesson().label(straight(10.0)[None])
    with pytest.raises(UnknownNameError):
        TeacherSettings(progress="gen_gt")


def test_metres_above_the_limit_are_taken_off() -> None:
    # 40 m at 10 m/s where 8 are allowed: 8 m too many, twice.
    for cost, metres in ((0.0, 40.0), (1.0, 32.0), (2.0, 24.0)):
        one = lesson(limit=8.0, settings=TeacherSettings(speeding=cost))
        expert = one.rollout(straight(10.0)[None])[0]
        assert one.label(straight(10.0)[None], expert).metres[0] == pytest.approx(metres, abs=0.3)


@pytest.mark.parametrize(
    ("kind", "nc"), [(AgentKind.STATIC, 0.5), (AgentKind.VEHICLE, 0.0), (AgentKind.PEDESTRIAN, 0.0)]
)
def test_driving_into_what_stands(kind, nc) -> None:
    one = lesson(agents=[(30.0, 0.0, 0.0, kind)])
    into, stops = labels(one, straight(10.0), straight(10.0, -2.5))
    assert into[NC] == nc
    assert into[TTC] == 0.0
    assert stops[NC] == 1.0
    # Who breaks the rule wholly scores nothing, and its progress does not count.
    assert (into[SCORE] == 0.0) == (nc == 0.0)


def test_red_light() -> None:
    through, stops = straight(10.0), straight(10.0, -2.0)  # 25 m: the bumper stays before the junction
    always = range(K)
    assert labels(lesson(red=always), through, stops)[:, TLC].tolist() == [0.0, 1.0]
    assert labels(lesson(), through, stops)[:, TLC].tolist() == [1.0, 1.0]
    # The bumper passes x = 40 after 3.7 s: red before that only is no matter.
    assert labels(lesson(red=range(30)), through)[0, TLC] == 1.0
    # It turns red behind the ego, which is in the junction already.
    for rule, expected in (("enter", 1.0), ("touch", 0.0)):
        one = lesson(red=range(10, K), x=38.0, settings=TeacherSettings(lights=rule))
        assert labels(one, through)[0, TLC] == expected


def test_lane_keeping_and_the_edge_of_the_road() -> None:
    assert labels(lesson(y=0.4), straight(10.0))[0, LK] == 1.0
    assert labels(lesson(y=0.6), straight(10.0))[0, LK] == 0.0
    side = straight(10.0)
    side[:, 1] = np.clip(0.2 * np.arange(40), 0.0, 5.0)
    side[:, 2] = np.where(side[:, 1] < 5.0, 0.197, 0.0)
    assert labels(lesson(), side)[0, DAC] == 0.0


def test_comfort_looks_back() -> None:
    # Hard braking just before is felt now: alone, the same motion is comfortable.
    past = np.zeros((15, 7))
    past[:, 0], past[:, 3] = np.linspace(-20.0, -1.4, 15), 14.0
    calm = labels(lesson(past=past), straight(10.0))[0, HC]
    past[:, 4] = -8.0
    assert (calm, labels(lesson(past=past), straight(10.0))[0, HC]) == (1.0, 0.0)


def test_labels_do_not_depend_on_the_frame_nor_on_the_other_candidates() -> None:
    t = 0.1 * np.arange(1, 41)
    plans = []
    for pace in (-3.0, 0.0, 2.0):
        for bend in (0.0, 0.01, -0.03):
            s = np.maximum.accumulate(10.0 * t + 0.5 * pace * t**2)
            h = bend * s
            plans.append(np.stack((s * np.sinc(h / np.pi / 2) * np.cos(h / 2), s * np.sin(h / 2), h), 1))
    many = [(30.0, 3.4, 5.0, AgentKind.VEHICLE), (24.0, 0.0, 6.0, AgentKind.VEHICLE)]
    one, calm = lesson(agents=many, red=range(36, K)), straight(10.0, -1.0)
    here = labels(one, *plans, reference=calm)
    # All rules tell some of these candidates apart.
    assert all(len(np.unique(here[:, k])) > 1 for k in (NC, DAC, DDC, TLC, EP, TTC, LK, HC))
    turned = lesson(agents=many, red=range(36, K), angle=float(wrap_angle(2.5)), shift=(3e4, -2e4))
    assert labels(turned, *plans, reference=calm) == pytest.approx(here, abs=2e-3)
    for k in (0, 5):
        assert np.array_equal(labels(one, plans[k], reference=calm)[0], here[k])
    assert here.shape == (9, len(TEACHER_NAMES))


def test_a_future_that_is_not_known_is_refused() -> None:
    one = lesson(agents=[(30.0, 0.0, 0.0, AgentKind.VEHICLE)])
    teacher, short = one.teacher, np.zeros((1, 45, 5))
    others = Others(short, np.ones((1, 45), bool), np.ones((1, 3)), np.zeros(1, np.uint8))
    course = Course(np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 20.0), (0,))
    signals = np.zeros((1, 45), np.uint8)
    with pytest.raises(InputError, match="needs 50 samples of the others, got 45"):
        teacher.lesson(one.start, course, others, signals)
    with pytest.raises(InputError, match="finite state"):
        teacher.lesson(np.full(7, np.nan), course, others, signals)
    with pytest.raises(InputError, match=r"candidates must be \(K, 40, 3\)"):
        one.rollout(np.zeros((2, 30, 3)))
    assert replace(TeacherSettings(), speeding=0.0).speeding == 0.0
    with pytest.raises(InputError, match="speeding"):
        TeacherSettings(speeding=-1.0)
