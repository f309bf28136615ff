"""Vocabularies: k-means of an expert's futures, farthest-point sampling of them, and a kinematic grid.

k-means after Lloyd with the seeding of Arthur and Vassilvitskii 2007 ("k-means++").
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.nn.store import TrainingSet
from drive.nn.vocabulary import Vocabulary, initial_speed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

METHODS = ("kmeans", "farthest")
WEIGHTS = (1.0, 2.5, 5.0, 2.0)
"""Of x, y, the heading and the initial speed: a metre beside the way is worse than one along it, and a
candidate that does not begin at the ego's speed is of no use."""
DT = 0.1
EVERY = 5
_BLOCK = 4096


def make_vocabulary(
    out: str | Path,
    data: str | Path,
    *,
    size: int = 8192,
    grid: float = 0.25,
    method: str = "kmeans",
    seed: int = 0,
    iterations: int = 20,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Vocabulary:
    """Make a vocabulary of `size` rows out of the futures of the training set `data`, and write it.

    `grid` is the share of rows of the kinematic grid, which no data give; `method` of METHODS makes the
    rest. Raises InputError for a set with fewer futures than rows.
    """
    found = TrainingSet.open(data)
    rows = np.flatnonzero(np.asarray(found.arrays["future_valid"]).all(1))
    futures = np.asarray(found.arrays["future"][rows], dtype=np.float64)
    made = build(futures, size, grid=grid, method=method, seed=seed, iterations=iterations, progress=progress)
    about = {
        "method": method, "size": size, "grid": grid, "seed": seed, "iterations": iterations,
        "weights": list(WEIGHTS), "dt": DT, "horizon": DT * made.shape[1],
        "frame": "ego: rear axle, x forward, y left", "futures": len(rows), "data": found.hash,
        "generator": found.header["generator"], "families": found.header["request"]["families"],
        "licences": found.header["licences"],
    }  # fmt: skip
    vocabulary = Vocabulary(made, DT, about)
    vocabulary.save(out)
    return vocabulary


def build(
    futures: Floats,
    size: int,
    *,
    grid: float = 0.25,
    method: str = "kmeans",
    seed: int = 0,
    iterations: int = 20,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> NDArray[np.float32]:
    """The poses `(size, T, 3)` of a vocabulary for futures `(N, T, 3)`; see `make_vocabulary`."""
    if method not in METHODS:
        raise UnknownNameError("vocabulary method", method, METHODS)
    if not 0.0 <= grid <= 1.0:
        raise InputError(f"the grid's share lies between 0 and 1, not at {grid}")
    rng = np.random.default_rng(seed)
    regular = kinematic_grid(round(grid * size), futures.shape[1])
    wanted = size - len(regular)
    if wanted > len(futures):
        raise InputError(f"{wanted} rows need as many futures or more, and there are {len(futures)}")
    parts = [regular] if len(regular) else []
    if wanted:
        points = features(futures)
        if method == "farthest":
            parts.append(futures[farthest(points, wanted, features(regular) if len(regular) else None)])
        else:
            parts.append(_centres(futures, points, wanted, rng, iterations, progress))
    made = np.concatenate(parts)
    order = np.lexsort((made[:, -1, 1], made[:, -1, 0], np.round(initial_speed(made, DT), 1)))
    return np.ascontiguousarray(made[order], dtype=np.float32)


def features(poses: Floats) -> NDArray[np.float32]:
    """What distances between trajectories are taken of, `(N, F)`: weighted poses every half second, and the
    initial speed."""
    x, y, turn, speed = WEIGHTS
    some = poses[:, EVERY - 1 :: EVERY] * (x, y, turn)
    count = some.shape[1]
    first = speed * initial_speed(poses, DT)[:, None]
    return np.concatenate((some.reshape(len(poses), -1) / np.sqrt(count), first), axis=1).astype(np.float32)


def _centres(
    futures: Floats,
    points: NDArray[np.float32],
    count: int,
    rng: np.random.Generator,
    iterations: int,
    progress: Callable[[str, int, int], None],
) -> Floats:
    """Of each cluster the future that lies nearest to its mean: a mean of motions need not be one."""
    means = points[seeds(points, count, rng)].copy()
    for k in range(iterations):
        progress("k-means", k, iterations)
        nearest, _ = assign(points, means)
        total = np.zeros_like(means, dtype=np.float64)
        np.add.at(total, nearest, points)
        members = np.bincount(nearest, minlength=count)
        moved = np.where(members[:, None] > 0, total / np.maximum(members, 1)[:, None], means)
        still = np.allclose(moved, means, atol=1e-4)
        means = moved.astype(np.float32)
        if still:
            break
    nearest, gap = assign(points, means)
    order = np.lexsort((np.arange(len(points)), gap, nearest))
    first = np.unique(nearest[order], return_index=True)[1]
    chosen = order[first]
    if len(chosen) < count:
        # A mean that nobody is nearest to gives its place to the future that is worst served.
        rest = np.setdiff1d(np.argsort(-gap, kind="stable"), chosen, assume_unique=True)
        worst = rest[np.argsort(-gap[rest], kind="stable")][: count - len(chosen)]
        chosen = np.concatenate((chosen, worst))
    progress("k-means", iterations, iterations)
    return np.asarray(futures[chosen])


def seeds(points: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows to begin with: each next one drawn in proportion to its squared distance from those before."""
    chosen = np.empty(count, dtype=np.intp)
    chosen[0] = rng.integers(len(points))
    square = (points.astype(np.float64) ** 2).sum(1)
    nearest = np.full(len(points), np.inf)
    for k in range(1, count):
        last = chosen[k - 1]
        gap = square - 2.0 * (points @ points[last]) + square[last]
        np.minimum(nearest, np.maximum(gap, 0.0), out=nearest)
        nearest[last] = 0.0
        total = np.cumsum(nearest)
        if total[-1] <= 0.0:
            raise InputError(f"the data hold only {k} different futures, not {count}")
        chosen[k] = np.searchsorted(total, rng.random() * total[-1], side="right")
    return chosen


def assign(points: NDArray[np.float32], means: NDArray[np.float32]) -> tuple[NDArray[np.intp], Floats]:
    """The nearest mean of each point `(N,)`, and the squared distance."""
    own = (means.astype(np.float64) ** 2).sum(1).astype(np.float32)
    nearest = np.empty(len(points), dtype=np.intp)
    gap = np.empty(len(points))
    for low in range(0, len(points), _BLOCK):
        block = points[low : low + _BLOCK]
        table = own - 2.0 * (block @ means.T)
        nearest[low : low + _BLOCK] = k = table.argmin(1)
        gap[low : low + _BLOCK] = np.take_along_axis(table, k[:, None], 1)[:, 0] + (block**2).sum(1)
    return nearest, np.maximum(gap, 0.0)


def farthest(
    points: NDArray[np.float32], count: int, given: NDArray[np.float32] | None = None
) -> NDArray[np.intp]:
    """Rows of which each next one lies farthest from all before it, and from those `given`."""
    chosen = np.empty(count, dtype=np.intp)
    if given is None:
        nearest = ((points - points.mean(0)) ** 2).sum(1).astype(np.float64)
        nearest = nearest.max() - nearest  # the first one is the most usual
    else:
        nearest = assign(points, given)[1]
    for k in range(count):
        chosen[k] = best = int(nearest.argmax())
        gap = ((points - points[best]) ** 2).sum(1)
        nearest = gap.astype(np.float64) if k == 0 and given is None else np.minimum(nearest, gap)
    return chosen


SPEEDS = np.concatenate((np.arange(0.0, 16.0, 0.5), np.arange(16.0, 40.1, 1.0)))
PACES = (-4.0, 0.0, -7.0, 1.5, -2.0, 0.7, -1.0, 2.2)
"""Accelerations in m/s^2, the most needed ones first; who stands stays."""
SIDEWAYS = (0.0, 1.0, 2.5, 0.4, 4.0)
"""Lateral accelerations in m/s^2 of bends, to either side."""
SHIFTS = (0.4, 1.0, 3.5)
"""Metres beside the present line at the end, to either side."""
MAX_CURVATURE = 0.18
MAX_SPEED = 40.0


def kinematic_grid(count: int, steps: int = 40) -> Floats:
    """The first `count` trajectories `(count, steps, 3)` of a grid of speeds, paces, bends and shifts.

    Speeds change fastest, then accelerations, then what is done sideways: the more rows, the finer.
    """
    made: list[Floats] = []
    ways: list[tuple[str, float]] = [("bend", 0.0)]
    for bend, shift in zip((*SIDEWAYS[1:],), (*SHIFTS, None), strict=True):
        ways += [("bend", bend), ("bend", -bend)]
        if shift is not None:
            ways += [("shift", shift), ("shift", -shift)]
    # Early rows are the most needed pairs of a pace and a way.
    pairs = sorted(
        ((pace, way) for pace in range(len(PACES)) for way in range(len(ways))),
        key=lambda p: (p[0] + p[1], p[0]),
    )
    for pace, way in pairs:
        for speed in SPEEDS:
            if len(made) == count:
                return np.stack(made) if made else np.zeros((0, steps, 3))
            made.append(_motion(float(speed), PACES[pace], *ways[way], steps))
    raise InputError(f"the kinematic grid has {len(made)} trajectories, not {count}")


def _motion(speed: float, pace: float, how: str, size: float, steps: int) -> Floats:
    fine = 10
    dt = DT / fine
    t = dt * np.arange(steps * fine + 1)
    v = np.clip(speed + pace * t, 0.0, MAX_SPEED)
    s = np.concatenate(([0.0], np.cumsum(0.5 * (v[1:] + v[:-1]) * dt)))
    if how == "bend":
        # Entered and left within a second, as wheels turn.
        curvature = np.sign(size) * min(abs(size) / max(speed, 1.0) ** 2, MAX_CURVATURE)
        heading = np.concatenate(([0.0], np.cumsum(np.diff(s) * curvature * np.minimum(t[1:], 1.0))))
    else:
        length = max(s[-1], 1e-6)
        u = s / length
        # A fifth-degree shift along the way driven, no steeper than a car can.
        most = min(abs(size), 0.25 * length, MAX_CURVATURE / 5.8 * length**2)
        slope = most * np.sign(size) / length
        heading = np.arctan(slope * 30.0 * u**2 * (1.0 - u) ** 2)
    middle = 0.5 * (heading[1:] + heading[:-1])
    x = np.concatenate(([0.0], np.cumsum(np.diff(s) * np.cos(middle))))
    y = np.concatenate(([0.0], np.cumsum(np.diff(s) * np.sin(middle))))
    return np.stack((x, y, heading), axis=1)[fine::fine]


def summary(vocabulary: Vocabulary) -> dict[str, Any]:
    """Figures of a vocabulary for people: rows, horizon, the range of speeds."""
    return {
        "rows": len(vocabulary), "horizon": vocabulary.horizon, "hash": vocabulary.hash,
        "slowest": float(vocabulary.speed.min()), "fastest": float(vocabulary.speed.max()),
    }  # fmt: skip
