"""The torch twin: equal to NumPy, and its slopes to differences."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from drive import stl
from drive.errors import InputError

torch = pytest.importorskip("torch", reason="the twin needs torch")
spec = importlib.util.spec_from_file_location("stl_brute", Path(__file__).with_name("brute.py"))
brute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(brute)

DT = 0.5
SEMANTICS = (stl.Hard(), *(stl.Soft(form, 9.0) for form in stl.FORMS))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("semantics", SEMANTICS, ids=["hard", *stl.FORMS])
def test_equals_numpy_on_random_formulas(semantics: stl.Hard | stl.Soft, masked: bool) -> None:
    rng = np.random.default_rng(31)
    for n in range(80):
        tree = brute.random_formula(rng, 3)
        signals = brute.random_signals(rng, 14, (5,))
        p = rng.normal(size=5)
        mask = rng.random((5, 14)) < 0.7 if masked else None
        options = {"end": stl.ENDS[n % 4], "strict": bool(n % 3 == 0), "semantics": semantics}
        expected = stl.compile(tree, DT, **options).trace(signals, {"p": p}, mask=mask)
        monitor = stl.compile(tree, DT, backend="torch", **options)
        tensors = {k: torch.tensor(v) for k, v in signals.items()}
        found = monitor.trace(tensors, {"p": torch.tensor(p)}, mask=mask).numpy()
        # Averages round what has no end to within a part in 1e8 of it.
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7, err_msg=str(tree))
        first = monitor.robustness(tensors, {"p": torch.tensor(p)}, mask=mask).numpy()
        np.testing.assert_allclose(
            first, stl.compile(tree, DT, **options)(signals, {"p": p}, mask=mask), rtol=1e-7, atol=1e-7
        )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("semantics", SEMANTICS, ids=["hard", *stl.FORMS])
@pytest.mark.parametrize(
    "text",
    [
        "G[0, 2] (x - p <= 1) and F[0.5, 3] G[0, 1] (y >= p)",
        "x + 1 >= p until[1, 3] y >= 0.2",
        "historically[0, 2] (x >= p) or once (abs(y) <= 1) since[0, 2] x <= 0",
    ],
)
def test_gradcheck(text: str, semantics: stl.Hard | stl.Soft, masked: bool) -> None:
    rng = np.random.default_rng(4)
    x, y = (torch.tensor(v, requires_grad=True) for v in rng.normal(size=(2, 2, 9)))
    p = torch.tensor(rng.normal(size=2), requires_grad=True)
    tau = torch.tensor([3.0, 8.0], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor(rng.random((2, 9)) < 0.8) if masked else None
    monitor = stl.compile(text, DT, semantics=semantics, backend="torch")
    soft = isinstance(semantics, stl.Soft)

    def whole(x, y, p, tau):
        made = monitor.trace({"x": x, "y": y}, {"p": p}, mask=mask, temperature=tau if soft else None)
        known = made if mask is None else made[mask]
        return torch.where(known.abs() < 100.0, known, torch.zeros_like(known))

    assert torch.autograd.gradcheck(whole, (x, y, p, tau), eps=1e-6, atol=1e-5)


def test_trajectories_with_thresholds_of_their_own() -> None:
    """What guidance asks: (B, T, channels), a limit a sample, slopes with respect to the trajectory."""
    trajectories = torch.zeros(3, 20, 2, dtype=torch.float64)
    trajectories[..., 1] = torch.linspace(5.0, 9.0, 20, dtype=torch.float64)
    trajectories.requires_grad_()
    signals = stl.columns(trajectories, ("x", "speed"))
    monitor = stl.compile("always (speed <= vmax)", DT, backend="torch")
    vmax = torch.tensor([6.0, 9.5, 12.0], dtype=torch.float64)
    found = monitor(signals, {"vmax": vmax})
    assert found.tolist() == pytest.approx([-3.0, 0.5, 3.0])
    torch.relu(-found).sum().backward()
    slope = trajectories.grad
    # Only the first breaks its limit, at the last step, and slowing down there mends it.
    assert slope[0, -1, 1] == 1.0
    assert slope.abs().sum() == 1.0


def test_masked_nan_has_no_slope() -> None:
    x = torch.tensor([1.0, float("nan"), 2.0], dtype=torch.float64, requires_grad=True)
    monitor = stl.compile("G 3 * x * x >= 1", DT, semantics=stl.Soft(temperature=5.0), backend="torch")
    monitor({"x": x}, mask=torch.tensor([True, False, True])).backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad[1] == 0.0


def test_temperature_is_data() -> None:
    x = torch.randn(4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    monitor = stl.compile("F[0, 5] x >= 0", DT, semantics=stl.Soft(), backend="torch")
    tau = torch.tensor([5.0, 20.0, 100.0, 1000.0], dtype=torch.float64)
    together = monitor({"x": x}, temperature=tau)
    for k in range(4):
        assert together[k] == monitor({"x": x[k]}, temperature=float(tau[k]))


def test_flag_as_parameter_and_float32() -> None:
    x = torch.randn(4, 30)
    monitor = stl.compile("stop implies F x <= 0", DT, backend="torch")
    found = monitor({"x": x}, {"stop": torch.tensor([1.0, 0.0, 1.0, 0.0])})
    assert found.dtype == torch.float32
    assert found[1] == found[3] == float("inf")
    assert found[0] == (-x[0]).max()


def test_refuses_what_is_no_tensor() -> None:
    with pytest.raises(InputError, match="no signal is a tensor"):
        stl.compile("x > 0", DT, backend="torch")({"x": np.zeros(3)})
