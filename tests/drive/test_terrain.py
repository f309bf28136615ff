"""Height fields: interpolation, edges, round trip, refusals."""

import numpy as np
import pytest

from drive.errors import MapError
from drive.terrain import Terrain


def terrain(**changes):
    y, x = np.meshgrid(np.arange(4.0), np.arange(6.0), indexing="ij")
    fields = {
        "height": 2.0 * x * 0.5 + 3.0 * y * 0.5,  # slopes 2 along x and 3 along y on a grid of 0.5 m
        "resolution": 0.5,
        "gravity": 1.62,
        "sun_times": np.array([0.0, 3600.0]),
        "sun": np.array([[0.1, 0.2], [0.3, 0.1]]),
        "shadow": np.zeros((2, 4, 6)),
    }
    return Terrain(**{**fields, **changes})


def test_bilinear_heights_are_exact_on_a_plane_with_rows_along_y():
    t = terrain()
    points = np.random.default_rng(0).uniform((0, 0), t.extent, (50, 2))
    assert t.extent == (2.5, 1.5)
    assert t.height_at(points) == pytest.approx(points @ [2.0, 3.0])
    assert t.height_at(points.reshape(5, 10, 2)).shape == (5, 10)


def test_heights_are_held_beyond_the_edge_and_mixed_within_a_cell():
    t = terrain()
    assert t.height_at([-9.0, -9.0]) == 0.0
    assert t.height_at([99.0, 0.0]) == pytest.approx(5.0)
    assert t.height_at([99.0, 99.0]) == pytest.approx(9.5)
    saddle = terrain(height=np.array([[0.0, 1.0], [1.0, 0.0]]), resolution=1.0, shadow=np.zeros(0))
    assert saddle.height_at([[0.5, 0.5], [0.25, 0.5], [1.0, 1.0]]) == pytest.approx([0.5, 0.5, 0.0])


def test_flat_arrays_hold_all_of_a_terrain_and_the_hash_sees_all_of_it():
    t = terrain()
    again = Terrain.from_arrays(t.to_arrays())
    assert again.content_hash == t.content_hash == terrain().content_hash
    others = [
        terrain(gravity=9.81),
        terrain(resolution=0.6),
        terrain(height=t.height + 1e-9),
        terrain(sun=t.sun + 0.1),
        terrain(sun_times=t.sun_times + 1),
        terrain(shadow=np.ones((2, 4, 6))),
    ]
    assert len({t.content_hash, *(o.content_hash for o in others)}) == 7
    with pytest.raises(MapError, match="lacks the array 'sun'"):
        Terrain.from_arrays({k: v for k, v in t.to_arrays().items() if k != "sun"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": np.zeros(5)}, "at least 2 x 2"),
        ({"height": np.zeros((1, 5))}, "at least 2 x 2"),
        ({"height": np.full((4, 6), np.nan)}, "heights must be finite"),
        ({"resolution": 0.0}, "must be positive"),
        ({"gravity": np.nan}, "must be positive"),
        ({"sun": np.zeros((3, 2))}, "sun needs times"),
        ({"sun_times": np.array([1.0, 1.0])}, "increase"),
        ({"sun": np.full((2, 2), np.nan)}, "sun must be finite"),
        ({"shadow": np.zeros((2, 4, 5))}, "shadow covers"),
    ],
)
def test_impossible_terrains_are_refused(change, message):
    with pytest.raises(MapError, match=message):
        terrain(**change)
