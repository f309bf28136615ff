"""Action tokens: what K-disks cover, chains that do not drift, and files that say where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError
from drive.planners.autovla.codebook import (
    Codebook,
    CodebookSettings,
    compose,
    corners,
    feasible,
    make_codebook,
    poses_of_corners,
    segments_of,
)


def drives(count: int, seed: int) -> Any:
    """Poses `(count, 40, 3)` every 0.1 s of cars whose speed and bend wander."""
    rng = np.random.default_rng(seed)
    speed = rng.uniform(0.0, 12.0, (count, 1)) + np.cumsum(rng.normal(0.0, 0.1, (count, 40)), 1)
    speed = np.maximum(speed, 0.0)
    bend = rng.uniform(-0.05, 0.05, (count, 1)) + np.cumsum(rng.normal(0.0, 0.002, (count, 40)), 1)
    heading = np.cumsum(0.1 * speed * bend, 1)
    x = np.cumsum(0.1 * speed * np.cos(heading), 1)
    y = np.cumsum(0.1 * speed * np.sin(heading), 1)
    return np.stack((x, y, heading), -1)


@pytest.fixture(scope="module")
def book() -> Codebook:
    found = drives(4000, 0)
    segments = segments_of(found, np.ones(found.shape[:2], dtype=bool), 5)
    return make_codebook(segments, CodebookSettings(tolerance=0.08), {"data": "drawn"})


def test_disks_cover_what_they_are_made_of_and_keep_apart(book: Codebook) -> None:
    assert book.provenance["covered"] >= 0.995
    assert book.provenance["method"] == "K-disk"
    boxes = corners(book.motions, book.length, book.width)
    apart = np.hypot(*np.moveaxis(boxes[:, None] - boxes[None], -1, 0)).mean(-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= 0.5 * 0.08 - 1e-12
    assert not book.motions[0].any()
    assert book.decode(np.zeros(8, dtype=int)).tolist() == [[0.0, 0.0, 0.0]] * 8


def test_chained_tokens_do_not_drift_and_independent_ones_do(book: Codebook) -> None:
    poses = drives(200, 1)[:, 4::5]

    def errors(tokens: Any) -> Any:
        return np.hypot(*np.moveaxis((book.decode(tokens) - poses)[..., :2], -1, 0))

    chained, free = errors(book.encode(poses)), errors(book.encode(poses, forced=False))
    assert chained.mean() <= 0.06
    assert np.quantile(chained, 0.99) <= 0.25
    time = np.arange(8)
    assert abs(np.polyfit(time, chained.mean(0), 1)[0]) < 0.005
    assert np.polyfit(time, free.mean(0), 1)[0] > 0.015


def test_rigid_chains_are_corner_chains(book: Codebook) -> None:
    tokens = np.random.default_rng(0).integers(0, len(book), (16, 8))
    found = book.decode(tokens)
    for row, told in zip(tokens, found, strict=True):
        here = np.zeros(3)
        for token, pose in zip(row, told, strict=True):
            c, s = np.cos(here[2]), np.sin(here[2])
            own = corners(book.motions[token], book.length, book.width)
            box = here[:2] + own @ np.array([[c, s], [-s, c]])
            here = poses_of_corners(box)
            assert np.abs(here - pose).max() < 1e-9
    assert np.abs(book.decode(tokens[3:4])[0] - found[3]).max() == 0.0


def test_headings_stay_within_a_turn() -> None:
    turned = compose(np.array([0.0, 0.0, 3.0]), np.array([1.0, 0.0, 0.5]))
    assert turned[2] == pytest.approx(3.5 - 2.0 * np.pi)
    circle = Codebook(np.array([[0.0, 0.0, 0.0], [2.0, 0.3, 0.6]])).decode(np.ones(20, dtype=int))
    assert np.abs(circle[:, 2]).max() <= np.pi


def test_what_no_car_does_is_left_out() -> None:
    odd = np.array([[5.0, 0.0, 0.0], [5.0, 0.0, 0.7], [0.5, 0.0, 0.5], [-2.0, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    assert feasible(odd, CodebookSettings()).tolist() == [True, False, False, False, False]
    with pytest.raises(InputError, match="no segment is feasible"):
        make_codebook(odd[1:], CodebookSettings(), {})


def test_files_keep_motions_and_provenance(book: Codebook, tmp_path: Path) -> None:
    again = Codebook.load(book.save(tmp_path / "a.npz"))
    assert again.hash == book.hash
    assert again.provenance == book.provenance
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    for name in ("b.npz", "c.npz"):
        with pytest.raises(InputError, match=name):
            Codebook.load(tmp_path / name)
    with pytest.raises(InputError, match="between 0 and"):
        book.decode(np.array([len(book)]))
    with pytest.raises(InputError, match="finite"):
        book.encode(np.full((1, 8, 3), np.nan))
