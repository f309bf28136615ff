"""Elevation models as scenarios: GeoTIFF (needs the extra `raster`) and npz, as `file#START>GOAL`.

`moon.tif` puts start and goal on ground that a rover can cross, far apart; `moon.tif#20,30>90,60` names them
in metres from the model's lower left corner. An npz holds `height (rows, columns)` in m, row 0 in the south,
`resolution` in m a cell and, if it knows them, `gravity` in m/s^2 and `sun` (azimuth, elevation) in rad.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.terrain import Place, passable, to_scenario
from drive.errors import InputError, MissingExtraError, ScenarioError
from drive.files import read_npz
from drive.scenario import Provenance
from drive.sim.surface import cast_shadow
from drive.terrain import HIGHEST, Terrain
from drive.vehicle import RoverParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

BODIES = {"moon": 1.62, "mars": 3.71, "earth": 9.81}
"""Gravity in m/s^2 of what a file's own words name; the Moon's where they name none of these."""
DEFAULT_SUN = (0.6, 0.5)
HEAVIEST = 30.0
"""m/s^2; Jupiter has 25."""
LONGEST = 60.0
"""Metres between the start and the goal that are chosen, at most."""
MARGIN = 5.0
PLACES = 200
FORM = re.compile(r"(-?\d+\.?\d*),(-?\d+\.?\d*)>(-?\d+\.?\d*),(-?\d+\.?\d*)")


@dataclass(frozen=True, slots=True)
class Elevation:
    """`height (rows, columns)`, row 0 in the south, `resolution` in m; gravity in m/s^2, sun in rad."""

    height: Floats
    resolution: float
    gravity: float
    sun: tuple[float, float]


@dataclass(frozen=True, slots=True)
class DemSource:
    """The source "dem"."""

    name: str = "dem"

    def matches(self, ref: str) -> bool:
        """Whether a reference names a GeoTIFF, or an npz that holds heights."""
        path = Path(ref.partition("#")[0])
        if not path.is_file():
            return False
        return path.suffix.lower() in (".tif", ".tiff") or (path.suffix == ".npz" and _holds_heights(path))

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """The reference itself: a model stands for one drive. Recorded drives it has none."""
        if ego == "recorded":
            raise InputError(f"{Path(ref).name}: an elevation model holds no recorded drive")
        return [ref]

    def environment(self, ref: str) -> str:
        return "terrain"

    def load(self, ref: str) -> Scenario:
        """The scenario of a model; raises InputError or ScenarioError naming the file."""
        where, _, way = ref.partition("#")
        path = Path(where)
        elevation = read_elevation(path)
        sun = np.array([elevation.sun])
        shadow = cast_shadow(elevation.height, elevation.resolution, *elevation.sun)[None]
        terrain = Terrain(elevation.height, elevation.resolution, elevation.gravity, np.zeros(1), sun, shadow)
        rover = rover_for(elevation.gravity)
        start, goal = _named(path.name, terrain, way) if way else _chosen(path.name, terrain, rover)
        heading = float(np.arctan2(goal[1] - start[1], goal[0] - start[0]))
        duration = float(np.ceil(3.0 * np.hypot(goal[0] - start[0], goal[1] - start[1]) + 30.0))
        place = Place(
            terrain, (*start, heading), goal, rover, min(duration, 580.0), ("terrain", "elevation_model")
        )
        about = Provenance(source=path.name, format=path.suffix.lstrip(".").lower())
        name = path.name + (f"#{way}" if way else "")
        return to_scenario(name, "elevation_model", place, None, "", None, about)


def rover_for(gravity: float) -> RoverParams:
    """The default rover, with motors and supply for the gravity that it is to climb against.

    The default one is calibrated for the Moon; its climbing power is scaled with the weight.
    """
    r = RoverParams()
    heavier = gravity / 1.62
    if heavier <= 1.2:
        return r
    limit = r.power_limit * (0.7 + 0.3 * heavier)
    return RoverParams(power_limit=limit, generator_power=r.generator_power * heavier)


def read_elevation(path: Path) -> Elevation:
    """The heights of a GeoTIFF or npz; holes are filled from their neighbours. Raises InputError."""
    if path.suffix == ".npz":
        return _read_npz(path)
    try:
        import rasterio
    except ImportError:
        raise MissingExtraError("rasterio", "raster") from None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about models without a place on a body
            with rasterio.open(path) as file:
                band = file.read(1, masked=True).astype(np.float64)
                width, depth = abs(file.transform.a), abs(file.transform.e)
                north_up = file.transform.e < 0.0 or file.transform.is_identity
                crs = file.crs
                words = f"{path.name} {file.crs.to_wkt() if file.crs else ''}".lower()
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path.name}: cannot be read as GeoTIFF: {error}") from None
    height = np.asarray(band.filled(np.nan))
    resolution = 0.5 * (width + depth)
    if crs is not None and crs.is_geographic:
        raise InputError(f"{path.name}: its cells are degrees; warp it to metres (gdalwarp -t_srs) first")
    body = next((value for name, value in BODIES.items() if name in words), BODIES["moon"])
    return _checked(path.name, height[::-1] if north_up else height, resolution, body, DEFAULT_SUN)


def _read_npz(path: Path) -> Elevation:
    try:
        file = read_npz(path)
        height, resolution = np.asarray(file["height"], dtype=np.float64), float(file["resolution"])
        gravity = float(file["gravity"]) if "gravity" in file else BODIES["moon"]
        azimuth, elevation = file["sun"].reshape(-1).tolist() if "sun" in file else DEFAULT_SUN
        sun = (float(azimuth), float(elevation))
    except (OSError, ValueError, TypeError, KeyError, InputError) as error:
        raise InputError(f"{path.name}: no elevation model with height and resolution ({error})") from None
    return _checked(path.name, height, resolution, gravity, sun)


def _checked(
    name: str, height: Floats, resolution: float, gravity: float, sun: tuple[float, float]
) -> Elevation:
    from scipy.ndimage import distance_transform_edt

    if height.ndim != 2 or min(height.shape) < 8:
        raise InputError(f"{name}: an elevation model needs at least 8 x 8 cells, got {height.shape}")
    if not (0.0 < gravity <= HEAVIEST and abs(sun[0]) <= 2.0 * np.pi and abs(sun[1]) <= 0.5 * np.pi):
        said = f"gravity {gravity:g} m/s^2, sun {sun[0]:g}, {sun[1]:g} rad"
        raise InputError(f"{name}: no planet or moon has such a place: {said}")
    holes = ~(np.abs(height) <= HIGHEST)
    if holes.mean() > 0.5:
        raise InputError(f"{name}: more than half of its cells are empty")
    if holes.any():
        nearest: Any = distance_transform_edt(holes, return_distances=False, return_indices=True)
        height = height[tuple(nearest)]
    if not 1e-3 <= resolution < 20.0:
        raise InputError(f"{name}: cells of {resolution:g} m are no ground for a rover (0.001 to 20 m)")
    # A rover's world begins at 0; the model's own zero may be kilometres away.
    return Elevation(np.ascontiguousarray(height - height.min()), resolution, gravity, sun)


def _named(name: str, terrain: Terrain, way: str) -> tuple[tuple[float, float], tuple[float, float]]:
    match = FORM.fullmatch(way.replace(" ", ""))
    if match is None:
        raise InputError(f"{name}#{way}: name start and goal in metres, as {name}#20,30>90,60")
    x0, y0, x1, y1 = (float(v) for v in match.groups())
    width, depth = terrain.extent
    if not (0.0 <= x0 <= width and 0.0 <= y0 <= depth):
        raise InputError(f"{name}#{way}: the start lies outside of the model's {width:g} x {depth:g} m")
    return (x0, y0), (x1, y1)


def _chosen(
    name: str, terrain: Terrain, rover: RoverParams
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first of some places, drawn with a fixed seed, between which ground leads that is not too steep."""
    rng = np.random.Generator(np.random.PCG64(0))
    size = np.array(terrain.extent)
    margin = min(MARGIN, 0.15 * float(size.min()))
    reach = min(LONGEST, 0.7 * float(size.max()))
    for _ in range(PLACES):
        start = margin + rng.random(2) * (size - 2.0 * margin)
        angle = 2.0 * np.pi * rng.random()
        goal = start + reach * np.array([np.cos(angle), np.sin(angle)])
        if ((goal < margin) | (goal > size - margin)).any():
            continue
        begin, end = (tuple(float(v) for v in np.round(p, 2)) for p in (start, goal))
        if passable(terrain, rover, begin[:2], end[:2]):  # type: ignore[arg-type]
            return begin, end  # type: ignore[return-value]
    raise ScenarioError(f"{name}: no ground that a rover can cross leads over {reach:.0f} m of it")


def _holds_heights(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"height.npy", "resolution.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


SOURCE = DemSource()
