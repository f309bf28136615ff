"""Roll-outs of candidates against the published formulation in float64."""

from __future__ import annotations

import numpy as np
import pytest

from drive.errors import InputError
from drive.geometry import wrap_angle
from drive.sim.kernels.reference_rollout import rollout_reference
from drive.sim.kernels.rollout import rollout_candidates
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()
START = np.array([300.2, -80.3, 2.45, 7.0, 0.5, 0.02, 0.1])


def candidates(count=40, samples=41, seed=1):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(samples)
    v = np.clip(rng.uniform(0, 15, (count, 1)) + rng.uniform(-4, 1.5, (count, 1)) * t, 0, None)
    k = rng.uniform(-0.05, 0.05, (count, 1)) * np.sin(t * rng.uniform(0.5, 2, (count, 1)))
    h = 2.5 + np.cumsum(v * k, 1) * 0.1
    x, y = 300.0 + np.cumsum(v * np.cos(h), 1) * 0.1, -80.0 + np.cumsum(v * np.sin(h), 1) * 0.1
    return np.stack((x, y, wrap_angle(h)), -1)


@pytest.mark.parametrize("compat", ["fixed", "reference"])
def test_rollout_equals_reference(compat):
    poses = candidates()
    want = rollout_reference(poses, START, VEHICLE, 0.1, compat)
    exact = rollout_candidates(poses, START, VEHICLE, 0.1, compat, np.float64)
    single = rollout_candidates(poses, START, VEHICLE, 0.1, compat)
    for got, tolerance in ((exact, 1e-11), (single, 1e-5)):
        gap = got - want
        gap[..., 2] = wrap_angle(gap[..., 2])
        # Relative to the size of each column over the batch; positions to the way driven.
        scale = np.abs(want - [*START[:2], 0, 0, 0, 0, 0]).max((0, 1))
        assert (np.abs(gap).max((0, 1)) <= tolerance * np.maximum(scale, 1.0)).all()


def test_one_candidate_alone_equals_the_batch_bit_for_bit():
    poses = candidates(9)
    whole = rollout_candidates(poses, START, VEHICLE)
    for b in range(9):
        assert rollout_candidates(poses[b : b + 1], START, VEHICLE).tobytes() == whole[b : b + 1].tobytes()


def test_start_per_candidate():
    poses = candidates(3)
    starts = np.stack((START, START + np.array([1.0, 0, 0, 1, 0, 0, 0]), START))
    out = rollout_candidates(poses, starts, VEHICLE)
    np.testing.assert_allclose(out[:, 0], starts, rtol=1e-6, atol=1e-5)
    assert not np.allclose(out[1, 1:], out[0, 1:])


def test_standing_still_stays_finite_and_put():
    poses = np.tile([5.0, 5.0, 1.0], (2, 41, 1))
    out = rollout_candidates(poses, [5.0, 5.0, 1.0, 0.0, 0.0, 0.0, 0.0], VEHICLE)
    np.testing.assert_allclose(out[..., :3], poses, atol=1e-6)
    assert np.isfinite(rollout_candidates(poses, [5.0, 5.5, 1.0, 3.0, 0.0, 0.3, 0.0], VEHICLE)).all()


def test_nan_is_not_hidden():
    poses = candidates(2)
    poses[1, 5, 0] = np.nan
    out = rollout_candidates(poses, START, VEHICLE)
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[1]).any()


def test_bad_shapes_are_refused():
    with pytest.raises(InputError, match="candidates"):
        rollout_candidates(np.zeros((2, 2, 3)), START, VEHICLE)
    with pytest.raises(InputError, match="start"):
        rollout_candidates(np.zeros((2, 5, 3)), np.zeros((3, 7)), VEHICLE)
