"""Red lights by rule: who may be held, and what candidates over the line cost."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from drive.nn.scene import EGO_COLUMNS, ROUTE_COLUMNS, SceneSizes, empty_scene, stack_scenes  # noqa: E402
from drive.nn.tokens import scene_tensors  # noqa: E402
from drive.planners.learned.lights import held_at_red, red_light_cost  # noqa: E402


def moment(speed: float, red: float) -> object:
    """An ego at a speed on a straight way, and how far its bumper is from a red line."""
    scene = empty_scene(SceneSizes())
    station = np.linspace(-10.0, 110.0, len(scene.route))
    scene.route[:, ROUTE_COLUMNS.index("station")] = station
    scene.route[:, 0], scene.route[:, 2] = station, 1.0
    scene.route_valid[:] = True
    for name, value in (("speed", speed), ("red_distance", red), ("length", 4.9), ("width", 2.0)):
        scene.ego[EGO_COLUMNS.index(name)] = value
    return scene_tensors(stack_scenes([scene]))


def straight(*metres: float) -> torch.Tensor:
    """Candidates straight ahead that end after so many metres."""
    poses = torch.zeros(1, len(metres), 40, 3)
    poses[0, :, :, 0] = torch.tensor(metres)[:, None] * torch.linspace(1.0 / 40.0, 1.0, 40)
    return poses


@pytest.mark.parametrize(
    ("speed", "red", "held"),
    [
        (0.0, 7.7, True),
        (10.0, 30.0, True),
        (10.0, 8.0, False),  # would take 6 m/s^2
        (0.0, -0.2, False),  # over it
        (8.0, 200.0, False),  # beyond what is driven within the time below
    ],
)
def test_who_is_held_can_stop_and_is_near(speed: float, red: float, held: bool) -> None:
    assert held_at_red(moment(speed, red), within=4.0).tolist() == [held]


def test_only_candidates_over_the_line_cost() -> None:
    cost = red_light_cost(moment(2.0, 8.0), straight(0.0, 7.0, 8.2, 9.0, 30.0), 20.0)
    assert cost.tolist() == [[0.0, 0.0, 0.0, -20.0, -20.0]]


@pytest.mark.parametrize(("speed", "red"), [(10.0, 8.0), (2.0, -0.2), (2.0, 200.0)])
def test_nothing_costs_where_nobody_is_held(speed: float, red: float) -> None:
    assert not red_light_cost(moment(speed, red), straight(0.0, 9.0, 30.0), 20.0).any()


def test_without_a_scene_in_vectors_nothing_is_known() -> None:
    assert not red_light_cost(None, straight(0.0, 30.0), 20.0).any()
