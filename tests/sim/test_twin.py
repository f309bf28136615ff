"""The torch twin of the control roll-out: equal to the Numba one, and its gradient right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drive.errors import InputError
from drive.sim import rollout
from drive.vehicle import VehicleParams

torch = pytest.importorskip("torch")
twin = pytest.importorskip("drive.sim.twin")

VEHICLE = VehicleParams()


def drives(count: int, steps: int, rate: float, dtype: Any, seed: int = 0) -> tuple[Any, Any]:
    """Starts `(count, 7)` and controls `(count, steps, 2)`; `rate` is how hard they steer, in rad/s."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-1.0, 1.0, (count, 7)) * (50.0, 50.0, 3.1, 5.0, 2.0, 0.3, 0.2)
    start[:, 3] += 8.0
    controls = rng.normal(0.0, (1.5, rate), (count, steps, 2))
    return start.astype(dtype), controls.astype(dtype)


@pytest.mark.parametrize(("rate", "dtype"), [(0.2, np.float32), (0.2, np.float64), (3.0, np.float64)])
def test_it_equals_the_kernel(rate: float, dtype: Any) -> None:
    start, controls = drives(64, 40, rate, dtype)
    expected = rollout(VEHICLE, start, controls=controls)
    got = twin.roll_controls(VEHICLE, torch.from_numpy(start), torch.from_numpy(controls)).numpy()
    assert got.dtype == dtype
    # Steering at the limit is what the second rate is about; headings next to pi may wrap either way.
    assert (np.abs(expected[..., 5]).max() == pytest.approx(VEHICLE.max_steering)) == (rate > 1.0)
    turn = (got[..., 2] - expected[..., 2] + np.pi) % (2.0 * np.pi) - np.pi
    scale = 1e-5 * np.maximum(np.abs(expected).max((0, 1)), 1.0)
    np.testing.assert_array_less(np.abs(turn), scale[2])
    difference = np.abs(got - expected)
    np.testing.assert_array_less(difference[..., [0, 1, 3, 4, 5, 6]].max((0, 1)), scale[[0, 1, 3, 4, 5, 6]])
    assert (np.abs(got[:, 1:, 2]) <= np.float32(np.pi)).all()


def test_a_circle_by_hand() -> None:
    """With a constant angle d the yaw rate is v tan(d) / l: a full turn of 100 steps ends where it began."""
    steps, speed = 100, 5.0
    angle = np.arctan(2.0 * np.pi / (0.1 * steps) * VEHICLE.wheelbase / speed)
    start = torch.tensor([0.0, 0.0, 0.0, speed, 0.0, angle, 0.0], dtype=torch.float64)
    states = twin.roll_controls(VEHICLE, start, torch.zeros(steps, 2, dtype=torch.float64))
    assert states.shape == (steps + 1, 7)
    np.testing.assert_allclose(states[-1, :3].numpy(), 0.0, atol=1e-9)
    assert states[:, 1].max().item() == pytest.approx(speed * 0.1 * steps / np.pi, rel=1e-3)


@pytest.mark.parametrize("rate", [0.2, 3.0])
def test_gradients_are_those_of_finite_differences(rate: float) -> None:
    start, controls = (torch.from_numpy(a).requires_grad_() for a in drives(3, 12, rate, np.float64))

    def rolled(a: Any, b: Any) -> Any:
        return twin.roll_controls(VEHICLE, a, b)

    assert torch.autograd.gradcheck(rolled, (start, controls))
    assert torch.autograd.gradgradcheck(rolled, (start, controls))


def test_what_is_clipped_has_no_gradient() -> None:
    start = torch.tensor([0.0, 0.0, 0.0, 5.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    controls = torch.tensor([[0.0, 4.0], [0.0, -0.5]], dtype=torch.float64, requires_grad=True)
    states = twin.roll_controls(VEHICLE, start, controls)
    assert states[1, 5].item() == VEHICLE.max_steering
    states[2, 5].backward()
    assert controls.grad.tolist() == [[0.0, 0.0], [0.0, pytest.approx(0.1)]]


def test_descent_finds_the_controls_to_a_goal() -> None:
    start = torch.tensor([0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0])
    controls = torch.zeros(30, 2, requires_grad=True)
    goal = torch.tensor([20.0, 3.0, 0.0, 5.0])
    optimiser = torch.optim.Adam([controls], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        miss = twin.roll_controls(VEHICLE, start, controls)[-1, :4] - goal
        (miss @ miss).backward()
        optimiser.step()
    # Judged by the simulator's own roll-out.
    end = rollout(VEHICLE, start.numpy(), controls=controls.detach().numpy()[None])[0, -1]
    np.testing.assert_allclose(end[:4], goal.numpy(), atol=0.1)


def test_bad_tensors_are_refused() -> None:
    start, controls = torch.zeros(2, 7), torch.zeros(2, 5, 2)
    with pytest.raises(InputError, match="got \\(7,\\) and"):
        twin.roll_controls(VEHICLE, start[0], controls)
    with pytest.raises(InputError, match="of one kind"):
        twin.roll_controls(VEHICLE, start.double(), controls)
    with pytest.raises(InputError, match="floating"):
        twin.roll_controls(VEHICLE, start.int(), controls)
    with pytest.raises(InputError, match="must be a torch tensor, got ndarray"):
        twin.roll_controls(VEHICLE, start.numpy(), controls)
    with pytest.raises(InputError, match="dt must be positive"):
        twin.roll_controls(VEHICLE, start, controls, dt=0.0)
