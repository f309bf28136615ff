"""How likely recorded people are under a policy's traffic, in the style of Waymo's Sim Agents challenge.

    python -m drive.sim.traffic.rift.likelihood --weights safe --weights base --scenes 2 --draws 16

The same scenes are driven many times, each decision drawn from the policy. What a recorded vehicle did is
looked up in the histogram of what the same one did in those drives, sample by sample; the geometric mean over
its time, the mean over vehicles, is the likelihood of a feature, from 0 to 1 (Montali et al., arXiv
2305.12032). Bins, bounds and weights are ours, the features those that traffic along lanes has, so that
figures are no challenge's.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drive.errors import DriveError, InputError
from drive.progress import on_terminal
from drive.sim.traffic.rift.base import FAMILIES, TEST, generated
from drive.sim.traffic.rift.evaluate import drive_worlds, people_of
from drive.sim.traffic.rift.measure import Series, contact_time, headway
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.worlds import pools

Floats = NDArray[np.float64]
SMOOTHING, RARELY = 0.1, 0.001
"""Added to each bin's count, and to both counts of what is or is not."""
TURNING = 1.0
"""m/s below which a yaw rate is not told."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A quantity `(T, N)` of a series, NaN where it is not told; `bins` from `low` to `high`, whose first and
    last one have all beyond as well; its `weight` in the whole."""

    of: Callable[[Series], Floats]
    low: float
    high: float
    bins: int
    weight: float


def _told(values: Floats, alive: NDArray[np.bool_]) -> Floats:
    return np.where(alive, values, np.nan)


def _yaw(s: Series) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(s.alive & (s.speed > TURNING), s.lateral / s.speed, np.nan)


FEATURES = {
    "speed": Feature(lambda s: _told(s.speed, s.alive), 0.0, 35.0, 14, 0.1),
    "acceleration": Feature(lambda s: _told(s.acceleration, s.alive), -8.0, 4.0, 12, 0.1),
    "yaw_rate": Feature(_yaw, -0.6, 0.6, 12, 0.1),
    "headway": Feature(headway, 0.0, 6.0, 12, 0.1),
    "time_to_collision": Feature(contact_time, 0.0, 10.0, 10, 0.1),
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to a vehicle `(N,)` or does not, and its `weight`."""

    of: Callable[[Series], NDArray[np.bool_]]
    weight: float


EVENTS = {
    "collision": Event(lambda s: s.crashed, 0.25),
    "off_road": Event(lambda s: np.asarray((s.off & s.alive).any(0)), 0.25),
}


def likelihood(drives: Sequence[Series], people: Series) -> dict[str, float]:
    """Likelihoods of the features and events, and their weighted mean `realism`, which leaves out what
    nobody shows. `drives` are of the same vehicles as `people`, in their order.

    Raises InputError for less than two drives or for other vehicles.
    """
    if len(drives) < 2:
        raise InputError("a likelihood needs two drives of the same scenes or more")
    if any(one.speed.shape[1] != people.speed.shape[1] for one in drives):
        raise InputError("the drives and the recorded people are not the same vehicles")
    out, weights = {}, {}
    for name, feature in FEATURES.items():
        seen = np.concatenate([feature.of(one) for one in drives], 0)
        out[name], weights[name] = _looked_up(seen, feature.of(people), feature), feature.weight
    for name, event in EVENTS.items():
        share = (sum(event.of(one).astype(float) for one in drives) + RARELY) / (len(drives) + 2.0 * RARELY)
        out[name] = float(np.where(event.of(people), share, 1.0 - share).mean())
        weights[name] = event.weight
    known = [name for name, value in out.items() if np.isfinite(value)]
    total = sum(weights[name] for name in known)
    out["realism"] = sum(weights[name] * out[name] for name in known) / total
    return out


def _looked_up(seen: Floats, people: Floats, feature: Feature) -> float:
    """The mean over vehicles of the geometric mean of their samples' probabilities, NaN without any."""
    edges = np.linspace(feature.low, feature.high, feature.bins + 1)
    count = people.shape[1]

    def binned(values: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, cars = np.nonzero(np.isfinite(values))
        found = np.clip(np.digitize(values[rows, cars], edges) - 1, 0, feature.bins - 1)
        return found, cars

    histogram = np.full((count, feature.bins), SMOOTHING)
    np.add.at(histogram, binned(seen)[::-1], 1.0)
    log = np.log(histogram / histogram.sum(1, keepdims=True))
    found, cars = binned(people)
    told = np.bincount(cars, minlength=count)
    sums = np.bincount(cars, log[cars, found], count)
    mine = told > 0
    return float(np.exp(sums[mine] / told[mine]).mean()) if mine.any() else float("nan")


def likelihoods(net: Any, scenes: int, draws: int, first: int = TEST, seed: int = 0) -> dict[str, float]:
    """`likelihood` of a network on `scenes` of each family from the seed `first` on, driven `draws` times:
    the mean over pools of scenes, by how many vehicles they have.

    Raises InputError for less than one scene or two draws.
    """
    if scenes < 1:
        raise InputError("a likelihood needs a scene of each family or more")
    found: dict[str, list[tuple[float, int]]] = {}
    for number, worlds in enumerate(pools(list(generated(FAMILIES, first, scenes)))):
        people = people_of(worlds.fresh(), net)
        drives = [
            drive_worlds(net, worlds.fresh(), np.random.default_rng((seed, number, k)))[1]
            for k in range(draws)
        ]
        for name, value in likelihood(drives, people).items():
            if np.isfinite(value):
                found.setdefault(name, []).append((value, people.speed.shape[1]))
    out = {}
    for name, parts in found.items():
        values, cars = zip(*parts, strict=True)
        out[name] = float(np.average(values, weights=cars))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 with one line for what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drive.sim.traffic.rift.likelihood", description=__doc__)
    parser.add_argument("--weights", action="append", help="a style, 'base' or a file; default base")
    parser.add_argument("--scenes", type=int, default=2, help="of each family")
    parser.add_argument("--draws", type=int, default=16, help="drives of each scene")
    parser.add_argument("--first", type=int, default=TEST, help="first seed of the scenes")
    given = parser.parse_args(arguments)
    rows: dict[str, dict[str, float]] = {}
    try:
        with on_terminal() as listener:
            for name in given.weights or ["base"]:
                rows[name] = likelihoods(load_policy(name)[0], given.scenes, given.draws, given.first)
                listener.note(f"{name}: realism {rows[name]['realism']:.3f}")
    except DriveError as error:
        print(f"error: {error}")
        return 1
    columns = [*FEATURES, *EVENTS, "realism"]
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row.get(c, float('nan')):.3f}" for c in columns) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

__all__ = ["EVENTS", "FEATURES", "Event", "Feature", "likelihood", "likelihoods", "main"]
