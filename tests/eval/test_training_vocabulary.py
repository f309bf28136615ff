"""How vocabularies are built: k-means and farthest points on made-up clusters, and the kinematic grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError, UnknownNameError
from drive.eval.training import make_vocabulary
from drive.eval.training.vocabulary import assign, build, farthest, features, kinematic_grid, seeds
from drive.nn.store import DataRequest, training_fields
from drive.nn.vocabulary import Vocabulary, initial_speed
from drive.nn.writer import Writer


def bunches(count: int, each: int, seed: int = 0) -> np.ndarray:
    """Futures in `count` tight bunches of `each`, at speeds 3 m/s apart."""
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(1, 41)
    speed = np.repeat(3.0 * np.arange(count), each)[:, None] + rng.normal(0.0, 0.02, (count * each, 1))
    x = speed * t
    return np.stack((x, 0.0 * x, 0.0 * x), axis=-1)[rng.permutation(count * each)]


@pytest.mark.parametrize("method", ["kmeans", "farthest"])
def test_every_bunch_gets_its_row(method: str) -> None:
    futures = bunches(8, 30)
    found = build(futures, 8, grid=0.0, method=method, seed=1)
    assert np.round(initial_speed(found, 0.1) / 3.0).tolist() == list(range(8))
    # Rows are futures of the data, not means of several.
    gaps = np.abs(found[:, None] - futures[None].astype(np.float32)).max((2, 3))
    assert (gaps.min(1) == 0.0).all()
    assert np.array_equal(found, build(futures, 8, grid=0.0, method=method, seed=1))


def test_assign_finds_the_nearest() -> None:
    rng = np.random.default_rng(0)
    points, means = (rng.normal(size=(n, 5)).astype(np.float32) for n in (300, 17))
    table = ((points[:, None].astype(np.float64) - means[None]) ** 2).sum(-1)
    nearest, gap = assign(points, means)
    assert nearest.tolist() == table.argmin(1).tolist()
    assert gap == pytest.approx(table.min(1), abs=1e-4)


def test_farthest_points_spread() -> None:
    points = np.array([[0.0], [0.1], [0.2], [5.0], [9.0]], dtype=np.float32)
    assert set(farthest(points, 3, np.zeros((1, 1), dtype=np.float32)).tolist()) == {2, 3, 4}


def test_too_few_different_futures_are_told() -> None:
    futures = np.repeat(bunches(2, 1), 10, axis=0)
    with pytest.raises(InputError, match="only 2 different futures"):
        seeds(features(futures), 5, np.random.default_rng(0))
    with pytest.raises(InputError, match="need as many futures"):
        build(futures, 100, grid=0.0)
    with pytest.raises(UnknownNameError):
        build(futures, 2, method="medoids")


def test_the_grid_brakes_coasts_and_hurries_at_any_speed() -> None:
    words = Vocabulary(kinematic_grid(2048))
    last = words.poses[:, -1, :2].astype(np.float64) - words.poses[:, -2, :2]
    for speed in (0.0, 3.0, 8.0, 13.0, 19.0, 28.0):
        near = words.near(speed, 128)
        assert np.abs(words.speed[near] - speed).max() < 4.0
        end = np.hypot(*last[near].T) / 0.1
        assert end.min() <= max(speed - 16.0, 0.0) + 0.5
        assert end.max() > speed + 2.0
        sideways = words.poses[near, -1, 1]
        assert sideways.min() < -0.2 or speed == 0.0
        assert sideways.max() > 0.2 or speed == 0.0
    # What it holds can be driven: bends within the wheels' reach, no step longer than the speed allows.
    turn = np.abs(np.diff(words.poses[..., 2], axis=1))
    step = np.hypot(*np.moveaxis(np.diff(words.poses[..., :2], axis=1), -1, 0))
    assert (turn <= 0.25 * step + 2e-3).all()
    assert step.max() <= 4.1
    with pytest.raises(InputError, match="kinematic grid has"):
        kinematic_grid(10**6)


def test_a_vocabulary_of_a_training_set_says_where_it_is_from(tmp_path: Path) -> None:
    request = DataRequest(families=("cut_in",), sensors=())
    fields = training_fields(request, None)
    about = {
        "request": {"families": ["cut_in"]}, "vocabulary": None, "teacher": {"version": "1"},
        "generator": "3",
    }  # fmt: skip
    futures = bunches(6, 5)
    rows = {n: np.zeros((len(futures), *f.shape), dtype=f.dtype) for n, f in fields.items()}
    rows |= {"future": futures, "future_valid": np.ones((len(futures), 40), bool)}
    writer = Writer(tmp_path / "set", fields, about)
    writer.add({"ref": "gen/cut_in/1", "key": ["gen", "cut_in", "1"], "licence": "Apache-2.0"}, rows)
    found = writer.finish()
    words = make_vocabulary(tmp_path / "words.npz", tmp_path / "set", size=8, grid=0.25)
    assert len(words) == 8
    again = Vocabulary.load(tmp_path / "words.npz")
    assert again.hash == words.hash
    assert again.provenance["data"] == found.hash
    assert again.provenance["licences"] == ["Apache-2.0"]
    assert again.provenance["futures"] == 30
