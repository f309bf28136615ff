"""Vocabularies: what is near in speed, files, and what is no vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import InputError
from drive.nn.vocabulary import STEPS, Vocabulary, initial_speed


def motions(speeds, pace: float = 0.0) -> np.ndarray:
    t = 0.1 * np.arange(1, 41)
    x = np.asarray(speeds, dtype=np.float64)[:, None] * t + 0.5 * pace * t**2
    return np.stack((x, 0.0 * x, 0.0 * x), axis=-1)


def test_initial_speed_of_a_constant_acceleration_is_exact() -> None:
    assert initial_speed(motions([0.0, 5.0, 12.0], -1.5), 0.1) == pytest.approx([0.0, 5.0, 12.0], abs=1e-9)
    assert initial_speed(motions([-2.0]), 0.1) == pytest.approx([-2.0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40),
    st.floats(-5.0, 40.0),
    st.integers(1, 50),
)
def test_near_rows_are_those_a_sort_of_all_finds(speeds, speed, count) -> None:
    words = Vocabulary(motions(speeds))
    found = words.near(speed, count)
    by_gap = sorted(range(len(words)), key=lambda k: (abs(words.speed[k] - speed), k))[:count]
    gaps = np.sort(np.abs(words.speed[found] - speed))
    assert gaps == pytest.approx(np.sort(np.abs(words.speed[by_gap] - speed)))
    assert found.tolist() == sorted(set(found.tolist()))
    assert len(found) == min(count, len(words))
    assert np.array_equal(found, words.near(speed, count))


def test_a_file_gives_back_the_poses_and_the_hash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = np.cumsum(rng.normal(0.0, 0.4, (50, 40, 3)), axis=1) * (4.0, 1.0, 0.1)
    words = Vocabulary(poses, 0.1, {"seed": 3})
    assert np.abs(words.poses - poses).max() <= STEPS.max() / 2 + 1e-6
    again = Vocabulary.load(words.save(tmp_path / "words.npz"))
    assert np.array_equal(again.poses, words.poses)
    assert again.hash == words.hash
    assert again.provenance == {"seed": 3}
    # Made of its own poses it is the same one: nothing is lost a second time.
    assert Vocabulary(words.poses).hash == words.hash
    assert Vocabulary(words.poses, 0.2).hash != words.hash


def test_what_is_no_vocabulary_is_told_in_one_line(tmp_path: Path) -> None:
    far = motions([5.0])
    far[0, -1, 0] = 300.0
    odd = motions([5.0])
    odd[0, 3, 1] = np.nan
    for poses in (far, odd, np.zeros((0, 40, 3)), np.zeros((3, 40, 2))):
        with pytest.raises(InputError):
            Vocabulary(poses)
    path = Vocabulary(motions([5.0])).save(tmp_path / "words.npz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"words\.npz is no sound vocabulary"):
        Vocabulary.load(path)
    with pytest.raises(InputError, match="there is no vocabulary"):
        Vocabulary.load(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="one row or more"):
        Vocabulary(motions([5.0])).near(3.0, 0)
