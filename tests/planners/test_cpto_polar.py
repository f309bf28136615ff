"""The consensus planner's polar step and barrier, against the trigonometric formulas and by properties."""

import numpy as np
import pytest

from drive.planners.cpto.kernels.polar import project

STEPS = 50


def ellipse(a, b, angle=0.0, steps=STEPS):
    c, s = np.cos(angle) * np.ones(steps), np.sin(angle) * np.ones(steps)
    return np.stack((c / a, s / a, -s / b, c / b))


def step(dx, dy, shape, gamma, square=False, over_time=True, side=1.0, before=None):
    d = np.ones(len(dx)) if before is None else before.copy()
    away, aim = np.empty((2, 2, len(dx)))
    project(dx, dy, shape, gamma, square, over_time, side, 10.0, d, np.zeros(len(dx)), away, aim)
    return away, d


def trigonometric(dx, dy, a, b, least):
    """alpha = atan2(a dy, b dx); d by least squares, then cut: the released code's step, for an ellipse."""
    alpha = np.arctan2(a * dy, b * dx)
    c, s = np.cos(alpha), np.sin(alpha)
    d = (a * dx * c + b * dy * s) / (a**2 * c**2 + b**2 * s**2)
    d = np.maximum(d, least)
    return np.stack((a * d * c, b * d * s)), d


def test_the_polar_step_is_a_radial_scaling():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 8.0, 500), rng.uniform(0.5, 8.0, 500)
    dx, dy = rng.normal(0.0, 6.0, (2, 500))
    zero = np.zeros(500)
    shape = np.stack((1.0 / a, zero, zero, 1.0 / b))
    wanted, distance = trigonometric(dx, dy, a, b, 1.0)
    # With gamma 1 the barrier is the plain constraint d >= 1.
    found, d = step(dx, dy, shape, np.ones(500))
    assert np.abs(found - wanted).max() < 1e-12
    assert np.abs(d - distance).max() < 1e-12


@pytest.mark.parametrize("square", [False, True])
def test_the_step_keeps_the_direction_and_reaches_the_shape(square):
    rng = np.random.default_rng(1)
    dx, dy = rng.normal(0.0, 3.0, (2, STEPS))
    found, d = step(dx, dy, ellipse(5.0, 2.0, 0.4), np.ones(STEPS), square)
    assert np.abs(found[0] * dy - found[1] * dx).max() < 1e-9
    assert (found[0] * dx + found[1] * dy >= 0.0).all()
    assert d.min() >= 1.0 - 1e-12
    _, again = step(*found, ellipse(5.0, 2.0, 0.4), np.ones(STEPS), square)
    np.testing.assert_allclose(again, d, atol=1e-12)


def test_the_rounded_box_lies_between_the_ellipse_and_the_box():
    angle = np.linspace(0.0, 2.0 * np.pi, STEPS)
    ray = np.stack((1e-3 * np.cos(angle), 1e-3 * np.sin(angle)))
    ellipse_edge, _ = step(*ray, ellipse(5.0, 2.0), np.ones(STEPS))
    box_edge, _ = step(*ray, ellipse(5.0, 2.0), np.ones(STEPS), square=True)
    size = np.hypot(*box_edge)
    assert (size >= np.hypot(*ellipse_edge) - 1e-9).all()
    assert (np.abs(box_edge[0]) <= 5.0 + 1e-9).all()
    assert (np.abs(box_edge[1]) <= 2.0 + 1e-9).all()


@pytest.mark.parametrize("gamma", [0.1, 0.3, 1.0])
def test_the_barrier_holds_at_every_sample(gamma):
    along = np.linspace(-30.0, 30.0, STEPS)
    found, d = step(along, 0.5 * np.ones(STEPS), ellipse(5.0, 2.0), np.full(STEPS, gamma))
    h = np.hypot(found[0] / 5.0, found[1] / 2.0) - 1.0
    np.testing.assert_allclose(h, d - 1.0, atol=1e-9)
    assert (h[1:] - (1.0 - gamma) * h[:-1] >= -1e-9).all()
    assert h.min() >= -1e-12


def test_a_stricter_barrier_keeps_farther_away():
    along = np.linspace(-30.0, 30.0, STEPS)
    closest = [
        step(along, 0.5 * np.ones(STEPS), ellipse(5.0, 2.0), np.full(STEPS, g))[1].min()
        for g in (1.0, 0.3, 0.1)
    ]
    assert closest[0] < closest[1] < closest[2]


def test_the_barrier_over_iterates_looks_at_the_same_sample_of_the_one_before():
    far, near = np.full(STEPS, 15.0), np.full(STEPS, 4.0)
    zero = np.zeros(STEPS)
    _, before = step(far, zero, ellipse(5.0, 2.0), np.ones(STEPS), over_time=False)
    _, d = step(near, zero, ellipse(5.0, 2.0), np.full(STEPS, 0.25), over_time=False, before=before)
    np.testing.assert_allclose(before, 3.0)
    np.testing.assert_allclose(d, 1.0 + 0.75 * 2.0)


def test_at_the_middle_the_side_gives_the_direction():
    zero = np.zeros(STEPS)
    for side in (1.0, -1.0):
        found, _ = step(zero, zero, ellipse(5.0, 2.0), np.ones(STEPS), side=side)
        np.testing.assert_allclose(found[0], 0.0)
        np.testing.assert_allclose(found[1], 2.0 * side)
