"""The filter of Savitzky and Golay, held against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter

from drive.savgol import savgol, savgol_matrix

DT = 0.1


@pytest.mark.parametrize("window", [3, 4, 5, 8, 9, 15])
@pytest.mark.parametrize(("order", "deriv"), [(0, 0), (2, 0), (2, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("samples", [15, 16, 41, 151])
def test_savgol_equals_scipy(window: int, order: int, deriv: int, samples: int) -> None:
    if order >= window:
        pytest.skip("SciPy refuses an order that the window cannot hold")
    y = np.random.default_rng(window * samples).normal(size=samples)
    theirs = savgol_filter(y, window, order, deriv=deriv, delta=DT)
    for ours in (savgol(y, window, order, deriv, DT), savgol_matrix(samples, window, order, deriv, DT) @ y):
        np.testing.assert_allclose(ours, theirs, atol=1e-9 / DT**deriv)


@pytest.mark.parametrize("samples", range(1, 16))
def test_short_series_do_not_crash(samples: int) -> None:
    line = 3.0 + 2.0 * DT * np.arange(samples)
    np.testing.assert_allclose(savgol(line, 15, 2), line, atol=1e-9)
    np.testing.assert_allclose(savgol(line, 15, 2, 1, DT), 2.0 if samples > 1 else 0.0, atol=1e-9)


def test_inner_outputs_of_an_even_window_lie_half_a_sample_late() -> None:
    ramp = np.arange(30.0)
    out = savgol(ramp, 8, 2)
    np.testing.assert_allclose(out[4:-4], ramp[4:-4] + 0.5, atol=1e-9)
    np.testing.assert_allclose(out[:4], ramp[:4], atol=1e-9)
    np.testing.assert_allclose(out[-4:], ramp[-4:], atol=1e-9)
