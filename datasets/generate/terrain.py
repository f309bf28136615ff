"""Terrain scenarios: hills, craters and rocks under a low sun, and a rover that has to get across.

Each is a pure function of its family, seed and `TERRAIN_VERSION`; heights are rounded to a tenth of a
millimetre, so that a last bit of somebody's processor does not change them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.generate.draws import Draws
from drive.errors import ScenarioError
from drive.scenario import Goal, Provenance, Route, Scenario, Tracks
from drive.sim.surface import cast_shadow
from drive.terrain import Terrain
from drive.vehicle import STATE_SIZE, RoverParams, VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TERRAIN_VERSION = "1"
"""Changes whenever a terrain scenario changes; it is part of their seeds."""
GRAVITY = 1.62
DT = 0.2
TRIES = 30
ROOM = 6.0
"""Metres between the terrain's edge and where the rover starts and ends."""
SLOPE_ROOM = 0.8
"""Share of the rover's steepest slope below which a way from start to goal must exist."""
REFERENCE_HILLS = ((12, 1, 1.3, 4.5), (24, 5, 1.6, 5), (33, 2, -1, 4), (18, -5, 1, 5))
"""x, y, height and deviation in m of the reference scene's hills, heights to be taken 1.16 times."""


@dataclass(frozen=True, slots=True)
class Place:
    """A terrain, where a rover starts and where it is to go."""

    terrain: Terrain
    start: tuple[float, float, float]
    goal: tuple[float, float]
    rover: RoverParams
    duration: float
    tags: tuple[str, ...]


def generate_terrain(name: str, family: str, seed: int, difficulty: float) -> Scenario:
    """The scenario of a terrain family; ScenarioError where no draw lets a rover through."""
    draw = {"lunar_hills": _hills, "lunar_shadow": _shadow, "lunar_reference": _reference}[family]
    for attempt in range(TRIES):
        key = f"{TERRAIN_VERSION}|{family}|{seed}|{attempt}".encode()
        number = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little")
        place = draw(Draws.of(number), difficulty, seed)
        if passable(place.terrain, place.rover, place.start[:2], place.goal):
            return to_scenario(name, family, place, seed, TERRAIN_VERSION, difficulty)
    raise ScenarioError(f"'{name}': none of {TRIES} draws lets the rover through")


def to_scenario(
    name: str, family: str, place: Place, seed: int | None, version: str, difficulty: float | None,
    provenance: Provenance | None = None,
) -> Scenario:  # fmt: skip
    """The scenario of a place: the rover alone, at rest, and its goal."""
    rover = place.rover
    samples = round(place.duration / DT) + 1
    x, y, heading = place.start
    initial = np.zeros(STATE_SIZE)
    initial[:3] = x, y, heading
    states, valid = np.zeros((1, samples, 5)), np.zeros((1, samples), dtype=np.bool_)
    states[0, 0, :3], valid[0, 0] = (x, y, heading), True
    size = np.array([[rover.length, rover.width, rover.height]])
    tracks = Tracks(states, valid, size, np.zeros(1, dtype=np.uint8), np.zeros(1), ("rover",))
    level = () if difficulty is None else _level(difficulty)
    return Scenario(
        id=name,
        dt=DT,
        duration=(samples - 1) * DT,
        environment=place.terrain,
        tracks=tracks,
        ego=0,
        initial=initial,
        vehicle=VehicleParams(
            rover.length, rover.width, rover.height, rover.wheelbase, 0.0, rover.max_acceleration,
            rover.max_acceleration, max_speed=rover.max_speed,
        ),
        route=Route(goal=Goal(position=np.array(place.goal))),
        expert=None,
        signals=np.zeros((0, samples), dtype=np.uint8),
        family=family,
        tags=(*place.tags, *level),
        provenance=provenance
        or Provenance(
            source="drive-toolkit generator", format="gen", licence="Apache-2.0", generator=version,
            seed=seed,
            notes=() if difficulty is None else (f"difficulty {difficulty:g}",),
        ),
        rover=rover,
    )  # fmt: skip


def fractal(draws: Draws, size: float, resolution: float, roughness: float, longest: float = 24.0) -> Floats:
    """Heights `(n, n)` of a square of `size` m: octaves of smooth noise, each half as long as the one before.

    The amplitude goes with the length to the power `roughness`; the mean slope of each octave is then
    about that of the others at 1. Scaled to a deviation of 1.
    """
    from scipy.ndimage import map_coordinates, spline_filter

    n = round(size / resolution) + 1
    at = resolution * np.arange(n)
    total = np.zeros((n, n))
    length = longest
    while length > 3.0 * resolution:
        cells = int(size / length) + 5
        knots = spline_filter(draws.uniform(-1.0, 1.0, (cells, cells)), order=3, mode="mirror")
        place = at / length + 1.0 + draws.uniform(0.0, 1.0)
        grid = np.meshgrid(place, place, indexing="ij")
        noise = map_coordinates(knots, grid, order=3, mode="mirror", prefilter=False)
        total += (length / longest) ** roughness * noise
        length *= 0.5
    return np.asarray(total / total.std())


def add_crater(height: Floats, resolution: float, x: float, y: float, radius: float, depth: float) -> None:
    """A simple bowl with a rim a fifth as high as the bowl is deep, fading outwards with the cube."""
    r = _distance(height, resolution, x, y) / radius
    rim = 0.2 * depth
    inside = rim + (depth + rim) * (r * r - 1.0)
    height += np.where(r < 1.0, inside, rim / np.maximum(r, 1.0) ** 3 * (r < 4.0))


def add_rock(height: Floats, resolution: float, x: float, y: float, radius: float, top: float) -> None:
    """A rounded rock that stands `top` m out of the ground."""
    r = _distance(height, resolution, x, y) / radius
    height += top * np.sqrt(np.maximum(1.0 - r * r, 0.0))


def passable(
    terrain: Terrain, rover: RoverParams, start: tuple[float, float], goal: tuple[float, float]
) -> bool:
    """Whether ground well below the steepest slope leads from start to goal, as the wheels feel it."""
    from scipy.ndimage import gaussian_filter, label

    sigma = rover.wheelbase / np.sqrt(12.0) / terrain.resolution
    gy, gx = np.gradient(gaussian_filter(terrain.height, sigma, mode="nearest"), terrain.resolution)
    parts, _ = label(np.hypot(gx, gy) < SLOPE_ROOM * np.tan(rover.max_slope))
    cells = [tuple(round(v / terrain.resolution) for v in place[::-1]) for place in (start, goal)]
    return bool(parts[cells[0]] > 0 and parts[cells[0]] == parts[cells[1]])


def _hills(draws: Draws, difficulty: float, seed: int, resolution: float = 0.2) -> Place:
    size = 56.0
    height = (0.8 + 0.6 * difficulty) * fractal(draws, size, resolution, 1.25)
    start, goal = _ends(draws, size)
    for _ in range(round(4 + 6 * difficulty)):
        radius = draws.uniform(1.0, 4.5)
        x, y = draws.uniform(0.0, size, 2)
        add_crater(height, resolution, x, y, radius, radius * draws.uniform(0.12, 0.22))
    for _ in range(round(15 + 45 * difficulty)):
        radius = draws.uniform(0.15, 0.6)
        x, y = draws.uniform(0.0, size, 2)
        if min(np.hypot(x - start[0], y - start[1]), np.hypot(x - goal[0], y - goal[1])) > 3.0:
            add_rock(height, resolution, x, y, radius, radius * draws.uniform(0.4, 0.9))
    height = np.round(height, 4)
    sun = np.array([[draws.uniform(-np.pi, np.pi), draws.uniform(0.2, 0.7)]])
    shadow = cast_shadow(height, resolution, *sun[0])[None]
    terrain = Terrain(height, resolution, GRAVITY, np.zeros(1), sun, shadow)
    return Place(terrain, start, goal, RoverParams(), 120.0, ("terrain", "craters", "rocks"))


def _shadow(draws: Draws, difficulty: float, seed: int, resolution: float = 0.25) -> Place:
    """Gentle ground, and a tall boulder whose shadow sweeps over the way while the rover is on it.

    The sun goes round some hundred times faster than on the Moon: a drive of minutes shall meet a shadow.
    """
    size = 56.0
    height = 0.25 * fractal(draws, size, resolution, 1.3)
    start, goal = _ends(draws, size)
    way = np.array(goal) - np.array(start[:2])
    along = way / np.hypot(*way)
    left = np.array([-along[1], along[0]]) * (1.0 if draws.uniform() < 0.5 else -1.0)
    rock = np.array(start[:2]) + draws.uniform(0.4, 0.6) * way + (7.0 + 2.0 * (1.0 - difficulty)) * left
    add_rock(
        height, resolution, float(rock[0]), float(rock[1]), draws.uniform(2.5, 3.5), 7.0 + 3.0 * difficulty
    )
    height = np.round(height, 4)
    # The sun stands behind the rock as seen from the way, and swings along the way from there.
    behind = np.arctan2(left[1], left[0])
    times = np.linspace(0.0, 120.0, 25)
    rate = draws.uniform(0.5, 0.8) * np.pi / 180.0 * (1.0 if draws.uniform() < 0.5 else -1.0)
    azimuth = behind + rate * (times - draws.uniform(30.0, 60.0))
    sun = np.stack((azimuth, np.full(len(times), draws.uniform(0.22, 0.32))), axis=1)
    shadow = np.stack([cast_shadow(height, resolution, *row) for row in sun])
    terrain = Terrain(height, resolution, GRAVITY, times, sun, shadow)
    rover = replace(
        RoverParams(), generator_power=70.0, battery_power_max=60.0, solar_power_max=300.0,
        battery_capacity=4.0e4, battery_start=2.0e4, battery_min=0.8e4,
    )  # fmt: skip
    return Place(terrain, start, goal, rover, 120.0, ("terrain", "moving_shadow"))


def _reference(draws: Draws, difficulty: float, seed: int) -> Place:
    """Four smooth hills between two points; seed 0 is the calibrated scene, others move the hills."""
    resolution, corner = 0.2, np.array([-10.0, -15.0])
    columns, rows = round(60.0 / resolution) + 1, round(36.0 / resolution) + 1
    x, y = np.meshgrid(corner[0] + resolution * np.arange(columns), corner[1] + resolution * np.arange(rows))
    height = np.zeros((rows, columns))
    for hx, hy, top, sigma in REFERENCE_HILLS:
        dx, dy = (0.0, 0.0) if seed == 0 else draws.uniform(-1.0, 1.0, 2)
        height += 1.16 * top * np.exp(-((x - hx - dx) ** 2 + (y - hy - dy) ** 2) / (2.0 * sigma * sigma))
    sun = np.array([[0.0, 0.5]])
    terrain = Terrain(
        np.round(height, 6), resolution, GRAVITY, np.zeros(1), sun, np.zeros(0, dtype=np.float32)
    )
    start, goal = -corner, np.array([40.0, 6.0]) - corner
    heading = float(np.arctan2(6.0, 40.0))
    rover = replace(RoverParams(), max_slope=np.radians(25.0))
    return Place(
        terrain, (float(start[0]), float(start[1]), heading), (float(goal[0]), float(goal[1])), rover, 100.0,
        ("terrain", "reference"),
    )  # fmt: skip


def _ends(draws: Draws, size: float) -> tuple[tuple[float, float, float], tuple[float, float]]:
    y0, y1 = draws.uniform(0.25 * size, 0.75 * size, 2)
    goal = (float(size - ROOM), float(np.round(y1, 3)))
    start = (ROOM, float(np.round(y0, 3)))
    heading = np.arctan2(goal[1] - start[1], goal[0] - start[0]) + draws.uniform(-0.5, 0.5)
    return (*start, float(np.round(heading, 4))), goal


def _distance(height: Floats, resolution: float, x: float, y: float) -> Floats:
    rows, columns = height.shape
    ys, xs = resolution * np.arange(rows)[:, None] - y, resolution * np.arange(columns)[None, :] - x
    return np.asarray(np.hypot(xs, ys))


def _level(difficulty: float) -> tuple[str, ...]:
    return ("easy" if difficulty < 1 / 3 else "medium" if difficulty < 2 / 3 else "hard",)
