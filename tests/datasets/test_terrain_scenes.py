"""Generated terrains and elevation models as scenarios."""

from pathlib import Path

import numpy as np
import pytest

from drive.datasets import source
from drive.datasets.dem import SOURCE as DEM
from drive.datasets.generate import FAMILIES, SOURCE, generate
from drive.datasets.generate.draws import Draws
from drive.datasets.generate.terrain import add_crater, add_rock, fractal, passable
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.sim.surface import cast_shadow
from drive.terrain import Terrain
from drive.vehicle import RoverParams

MODELS = Path(__file__).parents[2].parent / "shared/data/dem"


@pytest.fixture(scope="module")
def scenes():
    return {family: generate(family, 1) for family in ("lunar_hills", "lunar_shadow", "lunar_reference")}


def test_a_terrain_is_a_pure_function_of_its_id(scenes):
    for family, scene in scenes.items():
        assert scene.content_hash == generate(family, 1).content_hash
        assert scene.id == f"gen/{family}/1"
        assert scene.family == family
        assert "terrain" in scene.tags
        assert scene.provenance.format == "gen"
    hashes = {scene.content_hash for scene in scenes.values()} | {generate("lunar_hills", 2).content_hash}
    assert len(hashes) == 4
    hard, easy = generate("lunar_hills", 1, 1.0), generate("lunar_hills", 1, 0.0)
    assert "hard" in hard.tags
    assert hard.environment.height.std() > 1.3 * easy.environment.height.std()


def test_the_rover_starts_at_rest_and_can_get_to_its_goal(scenes):
    for scene in scenes.values():
        goal = scene.route.goal.position
        assert scene.initial[3] == 0.0
        assert scene.expert is None
        assert scene.tracks.num_agents == 1
        assert np.hypot(*(goal - scene.initial[:2])) > 35.0
        assert passable(scene.environment, scene.rover, tuple(scene.initial[:2]), tuple(goal))
        wide, deep = scene.environment.extent
        assert 0.0 < goal[0] < wide
        assert 0.0 < goal[1] < deep


def test_the_reference_hills_are_those_that_were_calibrated(scenes):
    reference = generate("lunar_reference", 0)
    heights = reference.environment.height_at(np.array([[22.0, 16.0], [43.0, 17.0]]))
    # The first hill is 1.3 * 1.16 m high at its own middle; the third, a hollow, -1.16 m; both in the feet of
    # the others, 4.4 and 5 m deviations away.
    own = np.array([1.3 * 1.16, -1.16])
    others = np.array([
        1.6 * 1.16 * np.exp(-(12.0**2 + 4.0**2) / 50.0) + 1.16 * np.exp(-(6.0**2 + 6.0**2) / 50.0)
        - 1.16 * np.exp(-(21.0**2 + 1.0) / 32.0),
        1.3 * 1.16 * np.exp(-(21.0**2 + 1.0) / 40.5) + 1.6 * 1.16 * np.exp(-(9.0**2 + 3.0**2) / 50.0)
        + 1.16 * np.exp(-(15.0**2 + 7.0**2) / 50.0),
    ])  # fmt: skip
    assert heights == pytest.approx(own + others, abs=1e-5)
    moved = scenes["lunar_reference"].environment
    assert 0.01 < np.abs(moved.height - reference.environment.height).max() < 1.5


def test_the_shadow_of_the_boulder_moves_over_the_way(scenes):
    scene = scenes["lunar_shadow"]
    terrain = scene.environment
    ends = np.stack((scene.initial[:2], scene.route.goal.position))
    way = ends[0] + np.linspace(0.0, 1.0, 200)[:, None] * (ends[1] - ends[0])
    light = np.stack([terrain.light_at(way, t) for t in terrain.sun_times])
    dark = light < 0.02
    assert dark.any(axis=1).sum() > 5
    middle = [np.flatnonzero(row).mean() for row in dark if row.any()]
    assert abs(middle[-1] - middle[0]) > 20  # of 200 places on the way
    again = cast_shadow(terrain.height, terrain.resolution, *terrain.sun[3])
    assert np.array_equal(terrain.shadow[3], again)


def test_octaves_craters_and_rocks_are_what_they_say():
    height = fractal(Draws.of(5), 40.0, 0.25, 1.2)
    assert height.std() == pytest.approx(1.0)
    # Most of it is in long waves: what is left after a mean over 6 m is small.
    from scipy.ndimage import uniform_filter

    assert (height - uniform_filter(height, 24)).std() < 0.5
    flat = np.zeros((81, 81))
    add_crater(flat, 0.25, 10.0, 10.0, 4.0, 1.0)
    assert flat[40, 40] == pytest.approx(-1.0)
    assert flat[40, 56] == pytest.approx(0.2)
    assert flat.max() == pytest.approx(0.2, abs=0.02)
    assert flat[40, 80] == pytest.approx(0.2 / 2.5**3)
    stone = np.zeros((41, 41))
    add_rock(stone, 0.1, 2.0, 2.0, 0.5, 0.3)
    assert stone[20, 20] == pytest.approx(0.3)
    assert stone[20, 26] == 0.0


def test_a_cliff_is_not_passable():
    height = np.zeros((60, 60))
    height[:, 30:] = 5.0
    terrain = Terrain(height, 0.5, 1.62, np.zeros(1), np.array([[0.0, 0.5]]), np.zeros(0))
    assert not passable(terrain, RoverParams(), (5.0, 15.0), (25.0, 15.0))
    assert passable(terrain, RoverParams(), (5.0, 5.0), (10.0, 25.0))


def test_families_of_terrain_are_named_and_stay_out_of_the_star():
    assert SOURCE.ids("gen/lunar_hills/0:2~0.5") == ["gen/lunar_hills/0~0.5", "gen/lunar_hills/1~0.5"]
    assert not [ref for ref in SOURCE.ids("gen/*/0:1") if "lunar" in ref]
    assert not [family for family in FAMILIES if "lunar" in family]
    with pytest.raises(UnknownNameError, match="lunar_hills"):
        SOURCE.ids("gen/lunar_hils/0")


def model(tmp_path, **changes):
    y, x = np.meshgrid(2.0 * np.arange(40), 2.0 * np.arange(50), indexing="ij")
    arrays = {"height": 1800.0 + 0.05 * x + np.sin(y / 10.0), "resolution": 2.0, **changes}
    path = tmp_path / "model.npz"
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_an_npz_is_a_scenario_with_a_way_of_its_own_or_a_named_one(tmp_path):
    path = model(tmp_path, gravity=3.71, sun=np.array([1.0, 0.4]))
    scene = source.load(str(path))
    assert scene.environment.extent == (98.0, 78.0)
    assert scene.environment.gravity == 3.71
    assert scene.environment.sun_at(0.0) == pytest.approx((1.0, 0.4))
    assert scene.environment.height.min() == 0.0
    corner, along = scene.environment.height_at([[0.0, 0.0], [10.0, 0.0]])
    assert along - corner == pytest.approx(0.5)
    assert np.hypot(*(scene.route.goal.position - scene.initial[:2])) == pytest.approx(60.0, abs=0.1)
    assert scene.provenance.source == "model.npz"
    named = source.load(f"{path}#10,20>60,40")
    assert named.initial[:2].tolist() == [10.0, 20.0]
    assert named.route.goal.position.tolist() == [60.0, 40.0]
    assert named.initial[2] == pytest.approx(np.arctan2(20.0, 50.0))
    assert source.expand([str(path)]) == [str(path)]
    # A goal beyond the edge is the planner's to refuse.
    assert source.load(f"{path}#10,20>-5,40").route.goal.position[0] == -5.0


@pytest.mark.parametrize(
    ("changes", "way", "words"),
    [
        ({"height": np.zeros((3, 3))}, "", "at least 8 x 8"),
        ({"height": np.full((20, 20), np.nan)}, "", "more than half"),
        ({"resolution": 50.0}, "", "0.001 to 20 m"),
        ({"resolution": "coarse"}, "", "no elevation model"),
        ({}, "#here", "name start and goal in metres"),
        ({}, "#500,20>60,40", "outside of the model"),
    ],
)
def test_elevation_models_that_cannot_be_used_are_told(tmp_path, changes, way, words):
    with pytest.raises(InputError, match=words):
        DEM.load(f"{model(tmp_path, **changes)}{way}")


def test_holes_are_filled_and_walls_are_no_ground(tmp_path):
    height = np.zeros((40, 50))
    height[10:14, 10:14] = np.nan
    assert np.isfinite(DEM.load(str(model(tmp_path, height=height))).environment.height).all()
    rng = np.random.default_rng(0)
    rough = rng.uniform(0.0, 40.0, (40, 50))
    with pytest.raises(ScenarioError, match="no ground that a rover can cross"):
        DEM.load(str(model(tmp_path, height=rough)))


def test_other_archives_are_left_to_others(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    assert not DEM.matches(str(tmp_path / "other.npz"))
    assert not DEM.matches(str(tmp_path / "missing.tif"))
    assert DEM.matches(str(model(tmp_path)))


def test_a_geotiff_has_its_first_row_in_the_north(tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="needs the extra raster")
    path = tmp_path / "mars.tif"
    height = np.tile(np.linspace(30.0, 20.0, 40)[:, None], (1, 60)).astype(np.float32)
    height[0, 0] = -9999.0
    about = {
        "driver": "GTiff", "width": 60, "height": 40, "count": 1, "dtype": "float32", "nodata": -9999.0,
        "transform": rasterio.Affine(2.0, 0.0, 500.0, 0.0, -2.0, 900.0), "crs": "EPSG:32633",
    }  # fmt: skip
    with rasterio.open(path, "w", **about) as file:
        file.write(height, 1)
    scene = DEM.load(str(path))
    assert scene.environment.extent == (118.0, 78.0)
    assert scene.environment.gravity == 3.71  # its name says Mars
    assert scene.environment.height[-1, 5] - scene.environment.height[0, 5] == pytest.approx(10.0)
    assert np.isfinite(scene.environment.height).all()


@pytest.mark.parametrize(
    ("name", "shape", "relief"),
    [("mars_gale_1m/missionDEM.tif", (337, 348), 34.8), ("gz_common/dem_moon.tif", (33, 33), 6.9)],
)
def test_recorded_models_have_the_relief_that_their_source_tells(name, shape, relief):
    pytest.importorskip("rasterio", reason="needs the extra raster")
    if not (MODELS / name).exists():
        pytest.skip("the elevation models are not in ../shared/data")
    scene = source.load(str(MODELS / name))
    assert scene.environment.height.shape == shape
    assert np.ptp(scene.environment.height) == pytest.approx(relief, abs=0.1)
