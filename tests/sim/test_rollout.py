"""Roll-outs of candidates against the published formulation in float64."""

from __future__ import annotations

import numpy as np
import pytest

from drive.geometry import wrap_angle
from drive.sim.candidates import Work, rollout
from drive.sim.kernels.reference_rollout import controls_reference, rollout_reference
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


def controls(count=40, steps=40, seed=2):
    rng = np.random.default_rng(seed)
    return np.stack((rng.uniform(-4, 3, (count, steps)), rng.uniform(-0.5, 0.5, (count, steps))), -1)


def poisoned(shape, dtype, samples=41):
    """An output and scratch buffers that show whatever is read or left unwritten."""
    work = Work.make(samples, dtype=dtype)
    for array in (work.speed, work.curvature):
        array.fill(np.nan)
    return {"out": np.full(shape, np.nan, dtype), "work": work}


def near_start(poses):
    """Poses and start moved to the start's position, in float32."""
    shift = np.zeros(poses.shape[-1])
    shift[:2] = START[:2]
    start = START.copy()
    start[:2] = 0.0
    return (poses - shift).astype(np.float32), start.astype(np.float32)


def assert_close(got, want, tolerance):
    """Relative to the size of each column over the batch; positions to the way driven."""
    gap = got - want
    gap[..., 2] = wrap_angle(gap[..., 2])
    scale = np.abs(want - want[:, :1] * [1, 1, 0, 0, 0, 0, 0]).max((0, 1))
    assert (np.abs(gap).max((0, 1)) <= tolerance * np.maximum(scale, 1.0)).all()


@pytest.mark.parametrize("compat", ["fixed", "reference"])
@pytest.mark.parametrize("seed", [1, 11])
def test_rollout_equals_reference(compat, seed):
    poses = candidates(seed=seed)
    want = rollout_reference(poses, START, VEHICLE, 0.1, compat)
    exact = rollout(VEHICLE, START, poses, compat=compat, **poisoned(want.shape, np.float64))
    assert_close(exact, want, 1e-11)
    shifted, start = near_start(poses)
    single = rollout(VEHICLE, start, shifted, compat=compat, **poisoned(want.shape, np.float32))
    assert_close(single + np.array([*START[:2], 0, 0, 0, 0, 0]), want, 1e-5)


@pytest.mark.parametrize("seed", [2, 12, 22])
def test_controls_equal_reference(seed):
    u = controls(seed=seed)
    start = START * [0, 0, 1, 1, 1, 1, 1]
    want = controls_reference(u, start, VEHICLE)
    out = np.full(want.shape, np.nan)
    assert rollout(VEHICLE, start, controls=u, out=out) is out
    assert_close(out, want, 1e-11)
    single = rollout(
        VEHICLE, start.astype(np.float32), controls=u.astype(np.float32),
        out=np.full(want.shape, np.nan, np.float32),
    )  # fmt: skip
    assert_close(single, want, 1e-5)


def test_controls_by_hand():
    # 10 m/s straight on, then 2 m/s^2 and 0.1 rad/s for a step each: the pose follows one step later.
    start = np.array([0.0, 0.0, 0.0, 10.0, 0.5, 0.0, 0.0])
    out = rollout(VEHICLE, start, controls=np.array([[[2.0, 0.1], [0.0, 0.0]]]))[0]
    yaw_rate = 10.2 * np.tan(0.01) / VEHICLE.wheelbase
    np.testing.assert_allclose(out[1], [1.0, 0.0, 0.0, 10.2, 2.0, 0.01, yaw_rate], rtol=1e-12)
    np.testing.assert_allclose(out[2], [2.02, 0.0, 0.1 * yaw_rate, 10.2, 0.0, 0.01, yaw_rate], rtol=1e-12)
    held = rollout(VEHICLE, start, controls=np.full((1, 30, 2), 1.0))[0]
    assert held[:, 5].max() == VEHICLE.max_steering


def test_start_per_candidate():
    poses = candidates(3)
    starts = np.stack((START, START + np.array([1.0, 0, 0, 1, 0, 0, 0]), START))
    out = rollout(VEHICLE, starts, poses)
    np.testing.assert_array_equal(out[:, 0], starts)
    assert not np.allclose(out[1, 1:], out[0, 1:])
    # The same with two scenes, to which the candidates point in any order.
    again = rollout(VEHICLE, starts[:2], poses, scene=np.array([0, 1, 0]))
    assert again.tobytes() == out.tobytes()
    for b in range(3):
        assert rollout(VEHICLE, starts[b], poses[b : b + 1]).tobytes() == out[b : b + 1].tobytes()


def test_standing_still_stays_finite_and_put():
    poses = np.tile([5.0, 5.0, 1.0], (2, 41, 1)).astype(np.float32)
    stand = np.array([5.0, 5.0, 1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    np.testing.assert_allclose(rollout(VEHICLE, stand, poses)[..., :3], poses, atol=1e-6)
    beside = np.array([5.0, 5.5, 1.0, 3.0, 0.0, 0.3, 0.0], np.float32)
    assert np.isfinite(rollout(VEHICLE, beside, poses)).all()


def test_a_mirrored_candidate_drives_the_mirrored_way_bit_for_bit():
    # On the x axis the mirror only flips signs, which rounding does not see.
    rng = np.random.default_rng(5)
    t = 0.1 * np.arange(41)
    h = np.cumsum(rng.normal(0, 0.02, (20, 41)), 1)
    v = rng.uniform(0, 12, (20, 1))
    poses = np.stack((v * t, np.cumsum(v * np.sin(h), 1) * 0.1, h), -1).astype(np.float32)
    start = np.array([0.0, 0.2, 0.05, 6.0, 0.3, 0.01, 0.02], np.float32)
    flip = np.array([1, -1, -1, 1, 1, -1, -1], np.float32)
    there = rollout(VEHICLE, start, poses)
    np.testing.assert_array_equal(rollout(VEHICLE, start * flip, poses * flip[:3]), there * flip)
    u = controls(20).astype(np.float32)
    there = rollout(VEHICLE, start, controls=u)
    back = rollout(VEHICLE, start * flip, controls=u * np.array([1, -1], np.float32))
    np.testing.assert_array_equal(back, there * flip)


def test_a_turned_and_moved_candidate_drives_the_moved_way():
    poses, turn = candidates(), 1.1
    frame = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

    def moved(states):
        out = states.copy()
        out[..., :2] = states[..., :2] @ frame + [40.0, -7.0]
        out[..., 2] = wrap_angle(states[..., 2] + turn)
        return out

    there = rollout(VEHICLE, START, poses)
    assert_close(rollout(VEHICLE, moved(START), moved(poses)), moved(there), 1e-9)
