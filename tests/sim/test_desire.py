"""What recorded drivers want: slow ones stay slow, held-up ones do not, and who stops firmly does."""

from __future__ import annotations

import numpy as np
import pytest

from drive.sim.traffic.desire import desired_speeds, hardest_braking

DT = 0.1
LIMIT = np.full(2, 20.0)


def column(*cars: tuple[float, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses, speeds and boxes' centres of cars on the x axis, each a start and its speeds."""
    poses = np.zeros((len(cars), 151, 3))
    speed = np.stack([v for _, v in cars])
    for i, (start, v) in enumerate(cars):
        poses[i, :, 0] = start + np.concatenate(([0.0], np.cumsum(v[:-1] * DT)))
    return poses, speed, poses[..., :2]


def wishes(*cars: tuple[float, np.ndarray]) -> list[float]:
    poses, speed, centers = column(*cars)
    seen = np.ones(speed.shape, dtype=bool)
    look = np.ones(len(cars), dtype=bool)
    return desired_speeds(poses, speed, seen, centers, LIMIT[: len(cars)], look, DT).tolist()


def test_a_tractor_wants_to_be_slow_and_who_follows_it_does_not() -> None:
    steady = np.full(151, 8.0)
    assert wishes((60.0, steady), (40.0, steady)) == [8.0, np.inf]


def test_far_behind_another_one_it_is_the_drivers_own_wish() -> None:
    steady = np.full(151, 8.0)
    assert wishes((60.0, steady), (10.0, steady)) == [8.0, 8.0]


def test_who_drives_near_the_limit_or_still_accelerates_may_want_more() -> None:
    assert wishes((0.0, np.full(151, 18.0))) == [np.inf]
    assert wishes((0.0, 1.0 + 0.08 * np.arange(151))) == [np.inf]


def test_who_was_faster_before_wants_more_than_its_last_pace() -> None:
    assert wishes((0.0, np.concatenate((np.full(11, 16.0), np.full(140, 8.0))))) == [np.inf]


def test_a_tight_bend_explains_a_low_speed() -> None:
    turn = 0.25 * DT * np.arange(151)
    poses = np.zeros((1, 151, 3))
    poses[0, :, 2] = (turn + np.pi) % (2.0 * np.pi) - np.pi
    poses[0, :, 0], poses[0, :, 1] = 32.0 * np.sin(turn), 32.0 * (1.0 - np.cos(turn))
    speed = np.full((1, 151), 8.0)
    seen, look = np.ones((1, 151), dtype=bool), np.ones(1, dtype=bool)
    assert desired_speeds(poses, speed, seen, poses[..., :2], LIMIT[:1], look, DT)[0] == np.inf


@pytest.mark.parametrize(("rate", "expected"), [(3.0, 3.0), (9.0, 4.0)])
def test_the_hardest_braking_is_read_from_the_speeds(rate: float, expected: float) -> None:
    v = np.maximum(15.0 - rate * np.maximum(DT * np.arange(151) - 2.0, 0.0), 0.0)
    assert hardest_braking(v, np.ones(151, dtype=bool), DT) == pytest.approx(expected)
    assert hardest_braking(np.full(151, 7.0), np.ones(151, dtype=bool), DT) == 0.0
