"""The ground under a rover: the spline through its heights, and the shadows that they throw."""

import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline

from drive.sim.surface import Surface, cast_shadow
from drive.terrain import Terrain


def terrain(height, resolution=0.5):
    return Terrain(height, resolution, 1.62, np.zeros(1), np.array([[0.0, 0.5]]), np.zeros(0))


def test_values_slopes_and_curvatures_are_those_of_another_spline_away_from_the_edge():
    rng = np.random.default_rng(0)
    height = rng.normal(0.0, 1.0, (40, 50))
    mine = Surface.through(height, 0.5)
    theirs = RectBivariateSpline(0.5 * np.arange(40), 0.5 * np.arange(50), height, kx=3, ky=3, s=0)
    # Their ends bend otherwise; eight cells inside it no longer matters to three digits.
    at = rng.uniform(6.0, (18.0, 13.0), (200, 2))
    found = mine.at(at)
    for column, (dx, dy) in enumerate(((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))):
        wanted = theirs.ev(at[:, 1], at[:, 0], dx=dy, dy=dx)
        assert found[:, column] == pytest.approx(wanted, abs=2e-3 * np.abs(wanted).max())


def test_it_goes_through_the_heights_and_is_held_beyond_the_edge():
    height = np.random.default_rng(1).normal(0.0, 1.0, (12, 9))
    s = Surface.through(height, 2.0)
    y, x = np.meshgrid(2.0 * np.arange(12), 2.0 * np.arange(9), indexing="ij")
    assert s.at(np.stack((x, y), -1))[:, 0] == pytest.approx(height.ravel(), abs=1e-9)
    outside = s.at([[-5.0, 4.0], [99.0, 4.0], [4.0, -5.0]])
    assert outside[:, 0] == pytest.approx([height[2, 0], height[2, 8], height[0, 2]], abs=1e-9)
    assert (outside[[0, 1], 1] == 0.0).all()
    assert outside[2, 2] == 0.0


def test_a_body_between_its_wheels_feels_the_mean_slope():
    # A wave as long as the wheelbase is hardly felt, one of ten wheelbases hardly weakened: the mean slope of
    # a sine over a chord is weakened by sin(u) / u with u half the chord's phase.
    x = 0.1 * np.arange(601)
    for wavelength, kept in ((1.2, 0.05), (3.0, 0.757), (12.0, 0.984)):
        height = np.tile(np.sin(2.0 * np.pi * x / wavelength), (40, 1))
        felt = Surface.under(terrain(height, 0.1), 1.2).at([[v, 2.0] for v in np.arange(20.0, 40.0, 0.01)])
        plain = Surface.under(terrain(height, 0.1)).at([[v, 2.0] for v in np.arange(20.0, 40.0, 0.01)])
        share = felt[:, 1].max() / plain[:, 1].max()
        assert share <= kept * 4.0 if wavelength == 1.2 else share == pytest.approx(kept, abs=0.03)


def test_a_wall_throws_its_shadow_away_from_the_sun_as_long_as_its_height_over_the_tangent():
    height = np.zeros((20, 100))
    height[:, 50] = 5.0
    # From the left (azimuth pi) at an elevation of atan(0.5): 10 m of shadow on the right.
    dark = cast_shadow(height, 0.5, np.pi, np.arctan(0.5))
    assert (dark[:, :51] == 0.0).all()
    lengths = dark[:, 51:].sum(axis=1) * 0.5
    assert lengths == pytest.approx(np.full(20, 10.0), abs=0.6)
    assert (cast_shadow(height, 0.5, 0.0, np.arctan(0.5))[:, 51:] == 0.0).all()
    assert (cast_shadow(height, 0.5, 0.0, -0.1) == 1.0).all()
    assert (cast_shadow(np.zeros((5, 5)), 0.5, 1.0, 0.01) == 0.0).all()
