"""At-fault collisions: types, fault, scores, energy."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.eval.metrics.nuplan.collisions import ContactKind, find_contacts, separation
from drive.eval.metrics.nuplan.ego import Ego
from drive.geometry import box_corners
from drive.vehicle import AgentKind

# The hand-made car is 4 m by 2 m; centred at the origin, its front edge is x = 2, its rear axle x = -1.


def contact(hand, agent, speed: float = 5.0, together: bool = True):
    """(kind, at fault, energy) of the contact of an ego at the origin with one road user."""
    run = hand.run(hand.states([[0.0, 0.0]], speed=speed), [agent])
    found = find_contacts(run, Ego.of(run), np.array([together]))
    if found.sample[0] < 0:
        return None
    return ContactKind(found.kind[0]), bool(found.at_fault[0]), float(found.energy[0])


def test_a_stopped_ego_is_never_at_fault(hand) -> None:
    wall = hand.agent((3.9, 0.0, 0.0))
    assert contact(hand, wall, speed=0.05)[:2] == (ContactKind.STOPPED_EGO, False)
    assert contact(hand, wall, speed=0.051)[:2] == (ContactKind.STOPPED_TRACK, True)
    assert contact(hand, wall, speed=-0.05)[:2] == (ContactKind.STOPPED_EGO, False)


def test_a_stopped_track_is_the_egos_fault_even_behind(hand) -> None:
    assert contact(hand, hand.agent((-3.9, 0.0, 0.0), (0.05, 0.0)))[:2] == (ContactKind.STOPPED_TRACK, True)
    assert contact(hand, hand.agent((-3.9, 0.0, 0.0), (0.051, 0.0)))[:2] == (ContactKind.REAR, False)
    assert contact(hand, hand.agent((-3.9, 0.0, 0.0), (0.0, 9.0)))[:2] == (ContactKind.REAR, False)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_behind_begins_at_150_degrees_from_the_rear_axle(hand, side: float) -> None:
    for degrees, kind in ((151.0, ContactKind.REAR), (149.0, ContactKind.LATERAL)):
        angle = np.radians(side * degrees)
        pose = (-1.0 + 3.0 * np.cos(angle), 3.0 * np.sin(angle), 0.0)
        assert contact(hand, hand.agent(pose, (5.0, 0.0)))[0] is kind


def test_the_front_edge_decides_between_front_and_lateral(hand) -> None:
    # 2 m long, beside the ego; its front end passes the ego's front edge x = 2 or not.
    beside = hand.agent((0.99, 1.9, 0.0), (5.0, 0.0), size=(2.0, 2.0))
    ahead = hand.agent((1.01, 1.9, 0.0), (5.0, 0.0), size=(2.0, 2.0))
    assert contact(hand, beside)[:2] == (ContactKind.LATERAL, False)
    assert contact(hand, beside, together=False)[:2] == (ContactKind.LATERAL, True)
    assert contact(hand, ahead)[:2] == (ContactKind.FRONT, True)


def test_boxes_that_touch_collide(hand) -> None:
    assert contact(hand, hand.agent((4.0 - 1e-9, 0.0, 0.0), (3.0, 0.0)))[0] is ContactKind.FRONT
    assert contact(hand, hand.agent((4.0 + 1e-6, 0.0, 0.0), (3.0, 0.0))) is None


@pytest.mark.parametrize(
    ("heading", "speed", "energy"),
    [(np.pi, 3.0, 4.0), (0.0, 3.0, 1.0), (np.pi / 2.0, 12.0, 6.5), (0.3, 0.0, 2.5)],
)
def test_energy_is_half_the_difference_of_velocities(
    hand, heading: float, speed: float, energy: float
) -> None:
    velocity = (speed * np.cos(heading), speed * np.sin(heading))
    assert contact(hand, hand.agent((2.5, 0.0, heading), velocity))[2] == pytest.approx(energy)


def score_of(hand, *agents, samples: int = 3, speed: float = 5.0):
    road = hand.road([(-20.0, 20.0)])
    return NUPLAN_CLS.evaluate(hand.run(hand.drive(0.0, speed, samples), agents, road)).metrics[
        "no_ego_at_fault_collisions"
    ]


def test_the_score_allows_one_object_and_nobody_else(hand) -> None:
    box = {"size": (1.0, 1.0)}
    cone = [hand.agent((2.2, y, 0.0), kind=AgentKind.STATIC, **box) for y in (-1.0, 1.0)]
    assert score_of(hand).score == 1.0
    assert score_of(hand, cone[0]).score == 0.5
    assert score_of(hand, *cone).score == 0.0
    for kind in AgentKind:
        expected = 0.5 if kind in (AgentKind.STATIC, AgentKind.UNKNOWN) else 0.0
        result = score_of(hand, hand.agent((2.2, 0.0, 0.0), kind=kind, **box))
        assert result.score == expected
        group = "VRUs" if kind.is_vulnerable else "vehicles" if kind.is_motor_vehicle else "objects"
        assert result.statistics[f"number_of_at_fault_collisions_with_{group}"] == 1
        assert result.statistics["number_of_all_at_fault_collisions"] == 1
        assert result.statistics[f"max_collision_energy_with_{group}"] == pytest.approx(2.5)


def test_a_static_object_stands_whatever_its_velocity_says(hand) -> None:
    behind = hand.agent((-3.0, 0.0, 0.0), (9.0, 0.0), kind=AgentKind.STATIC)
    assert score_of(hand, behind).score == 0.5


def test_only_the_first_contact_with_a_road_user_counts(hand) -> None:
    # The ego stands in the contact at first, then drives through: no fault of its own is left.
    ego = hand.drive(0.0, 5.0, 20)
    ego[:3, 3] = 0.0
    car = hand.agent((3.0, 0.0, 0.0), (1.0, 0.0))
    run = hand.run(ego, [car], hand.road([(-20.0, 20.0)]))
    result = NUPLAN_CLS.evaluate(run).metrics["no_ego_at_fault_collisions"]
    assert result.score == 1.0
    assert result.statistics["number_of_all_collisions"] == 1


def test_a_lateral_contact_between_two_lanes_is_the_egos_fault(hand) -> None:
    road = hand.road([(-6.0, 0.0), (0.0, 6.0)])
    for y, score in ((-1.5, 1.0), (-0.5, 0.0)):  # The car spans y - 1 to y + 1.
        side = hand.agent((0.0, y + 1.9, 0.0), (5.0, 0.0), size=(2.0, 2.0))
        run = hand.run(hand.drive(0.0, 5.0, 1, y=y), [side], road)
        assert NUPLAN_CLS.evaluate(run).metrics["no_ego_at_fault_collisions"].score == score


def test_an_agent_that_is_not_there_cannot_be_hit(hand) -> None:
    ghost = hand.agent((0.0, 0.0, 0.0), valid=[False, False, True])
    assert score_of(hand, ghost).series["at_fault_collisions"].tolist() == [0.0, 0.0, 1.0]


def test_separation_agrees_with_shapely() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    gap, angle = rng.uniform(-5, 5, (n, 2)), rng.uniform(-np.pi, np.pi, (2, n))
    half = rng.uniform(0.2, 2.5, (2, n, 2))
    boxes = [
        shapely.polygons(box_corners(at, angle[k], 2 * half[k, :, 0], 2 * half[k, :, 1]))
        for k, at in enumerate((np.zeros((n, 2)), gap))
    ]
    apart = separation(gap, angle[0], half[0], angle[1], half[1])
    np.testing.assert_array_equal(apart <= 0.0, shapely.intersects(*boxes))
    assert 0.2 < (apart <= 0.0).mean() < 0.8
