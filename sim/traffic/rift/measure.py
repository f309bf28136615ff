"""What traffic is like: collisions, progress, comfort, and how far it is from people and from the limit.

Definitions after RIFT's released metric script; what differs is said where it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.sim.traffic.rift.fleet import SAMPLES
from drive.sim.traffic.rift.kernels import plans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.traffic.rift.policy import Decision
    from drive.sim.traffic.rift.worlds import Worlds

    Floats = NDArray[np.float64]

COMFORT = (-4.05, 2.40, 4.89, 8.37)
"""Least and greatest acceleration, lateral acceleration and jerk of comfort (nuPlan's)."""
DRAWN = 3000
BLOCKED = 5.0
"""s of standing of the ego after which it counts as blocked."""


class Series(NamedTuple):
    """Vehicles over time, T samples each 0.1 s by N: `speed`, `acceleration`, `lateral` in m/s^2, `off` the
    road and `alive`, `(T, N)`; at decisions (D, N) the `limit`, the `gap` ahead in m and the `closing` speed,
    NaN where nobody is ahead; `world (N,)`, `crashed (N,)`."""

    speed: Floats
    acceleration: Floats
    lateral: Floats
    off: NDArray[np.bool_]
    alive: NDArray[np.bool_]
    limit: Floats
    gap: Floats
    closing: Floats
    world: NDArray[np.int32]
    crashed: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class Recorder:
    """Writes `Series` while worlds are driven: `watch` goes to `Worlds.run`, each decision to `decided`."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    decisions: list[tuple[Any, ...]] = field(default_factory=list)
    modes: list[Any] = field(default_factory=list)
    ego: list[tuple[Any, ...]] = field(default_factory=list)

    def watch(self, sample: int, worlds: Worlds) -> None:
        f, m = worlds.fleet, worlds.world.motion
        off = np.zeros(len(f), dtype=np.uint8)
        plans.outside(f.world, f.own, f.states, worlds.areas, off)
        s = f.states
        self.rows.append((s[:, 3].copy(), s[:, 4].copy(), s[:, 3] * s[:, 6], off > 0, worlds.alive.copy()))
        rows = np.array([one.ego for one in worlds.scenarios])
        every = np.arange(len(rows))
        self.ego.append((m.speed[every, rows].copy(), m.collided[every, rows] > 0))

    def decided(self, decision: Decision) -> None:
        facts = decision.sight.lines[:, 0, -16:].astype(np.float64)
        lead = facts[:, 7] > 0.5
        gap = np.where(lead, facts[:, 5], np.nan)
        closing = np.where(lead, facts[:, 13] - facts[:, 6], np.nan)
        self.decisions.append((facts[:, 11], gap, closing))
        self.modes.append(decision.choice)

    def series(self, worlds: Worlds) -> Series:
        """What was recorded."""
        if not self.rows or not self.decisions:
            raise InputError("nothing was recorded: the worlds have not been driven")
        speed, acceleration, lateral, off, alive = (np.stack(a) for a in zip(*self.rows, strict=True))
        limit, gap, closing = (np.stack(a) for a in zip(*self.decisions, strict=True))
        return Series(
            speed, acceleration, lateral, off, alive, limit, gap, closing, worlds.fleet.world, worlds.crashed
        )


def measure(s: Series, seed: int = 0) -> dict[str, float]:
    """CPK (collisions a km), RP (m a vehicle), ORR and UC (% of time off the road, outside of comfort), SW
    (Shapiro-Wilk of speed and acceleration, of 3000 draws) and WD (Gaussian distance of speeds from limits in
    m/s); the share of vehicles that crash. A crash ends a vehicle's time.

    RP is metres a vehicle and episode. Raises InputError where nobody drives.
    """
    alive = s.alive
    if not alive.any():
        raise InputError("nobody drives in what was recorded")
    metres = 0.1 * np.where(alive[1:], s.speed[1:], 0.0).sum(0)
    jerk = np.diff(s.acceleration, axis=0) / 0.1
    low, high, side, hasty = COMFORT
    there = alive[1:]
    harsh = (
        (s.acceleration[1:] <= low) | (s.acceleration[1:] >= high) | (np.abs(s.lateral[1:]) >= side)
        | (np.abs(jerk) >= hasty)
    )  # fmt: skip
    at = np.minimum(np.arange(len(s.speed)) // SAMPLES, len(s.limit) - 1)
    limits, speeds = s.limit[at][alive], s.speed[alive]
    return {
        "cpk": float(s.crashed.sum() / max(metres.sum() / 1000.0, 1e-9)),
        "crash_rate": float(s.crashed.mean()),
        "rp": float(metres.mean()),
        "orr": float(100.0 * s.off[alive].mean()),
        "uc": float(100.0 * harsh[there].mean()),
        "sw_speed": shapiro(speeds, seed),
        "sw_acceleration": shapiro(s.acceleration[alive], seed),
        "wd": gaussian_distance(speeds, limits),
        "speed": float(speeds.mean()),
        "headway": float(np.nanmedian(headway(s))) if np.isfinite(headway(s)).any() else float("nan"),
    }


def headway(s: Series) -> Floats:
    """s to who is ahead, of who drives faster than 1 m/s."""
    speed = s.speed[: len(s.gap) * SAMPLES : SAMPLES][: len(s.gap)]
    alive = s.alive[: len(s.gap) * SAMPLES : SAMPLES][: len(s.gap)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(alive & (speed > 1.0) & (s.gap < 90.0), s.gap / speed, np.nan)


def contact_time(s: Series) -> Floats:
    """s until who is ahead would be reached, of those that close in; at most 20."""
    alive = s.alive[: len(s.gap) * SAMPLES : SAMPLES][: len(s.gap)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(alive & (s.closing > 0.5), np.minimum(s.gap / s.closing, 20.0), np.nan)


def distances(s: Series, people: Series) -> dict[str, float]:
    """Wasserstein-1 distances of speed, acceleration, headway and time to collision from those of people,
    each divided by the people's standard deviation."""
    from scipy.stats import wasserstein_distance

    out = {}
    for name, mine, theirs in (
        ("speed", s.speed[s.alive], people.speed[people.alive]),
        ("acceleration", s.acceleration[s.alive], people.acceleration[people.alive]),
        ("headway", headway(s), headway(people)),
        ("ttc", contact_time(s), contact_time(people)),
    ):
        a, b = mine[np.isfinite(mine)], theirs[np.isfinite(theirs)]
        known = len(a) > 1 and len(b) > 1
        scale = max(float(np.std(b)), 1e-6) if known else 1.0
        out[f"w1_{name}"] = float(wasserstein_distance(a, b)) / scale if known else float("nan")
    return out


def gaussian_distance(values: Floats, target: Floats) -> float:
    """sqrt((mu - mu')^2 + (sigma - sigma')^2): the 2-Wasserstein distance of two normal distributions."""
    return float(np.hypot(np.mean(values) - np.mean(target), np.std(values) - np.std(target)))


def shapiro(values: Floats, seed: int = 0) -> float:
    """Shapiro and Wilk's W of `DRAWN` values redrawn from a histogram of 100 bins; NaN for equal values."""
    from scipy.stats import shapiro as test

    values = values[np.isfinite(values)]
    if len(values) < 3 or np.ptp(values) <= 1e-9:
        return float("nan")
    rng = np.random.default_rng(seed)
    counts, edges = np.histogram(values, bins=100)
    chosen = rng.choice(100, DRAWN, p=counts / counts.sum())
    drawn = rng.uniform(edges[chosen], edges[chosen + 1])
    return float(test(drawn).statistic)


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share."""
    if total < 1:
        return 0.0, 1.0
    p = hits / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * float(np.sqrt(p * (1 - p) / total + z * z / (4 * total * total)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def by_world(s: Series, seed: int = 0, draws: int = 1000) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of CPK and RP, whole worlds redrawn."""
    count = int(s.world.max()) + 1
    metres = 0.1 * np.where(s.alive[1:], s.speed[1:], 0.0).sum(0)
    crashes, far, cars = (
        np.bincount(s.world, w, count) for w in (s.crashed.astype(float), metres, np.ones(len(metres)))
    )
    rows = np.random.default_rng(seed).integers(0, count, (draws, count))
    cpk = crashes[rows].sum(1) / np.maximum(far[rows].sum(1) / 1000.0, 1e-9)
    rp = far[rows].sum(1) / np.maximum(cars[rows].sum(1), 1.0)
    return {
        name: (float(np.percentile(v, 2.5)), float(np.percentile(v, 97.5)))
        for name, v in (("cpk", cpk), ("rp", rp))
    }


def ego_figures(r: Recorder) -> dict[str, float]:
    """Of the egos, which IDM drives: metres, share that is hit, share that is blocked for `BLOCKED` s."""
    speed, hit = (np.stack(a) for a in zip(*r.ego, strict=True))
    standing, longest = np.zeros(speed.shape[1]), np.zeros(speed.shape[1])
    for row in speed:
        standing = np.where(row < 0.3, standing + 0.1, 0.0)
        longest = np.maximum(longest, standing)
    return {
        "ego_metres": float(0.1 * speed[1:].sum(0).mean()),
        "ego_hit": float(hit.any(0).mean()),
        "ego_blocked": float((longest >= BLOCKED).mean()),
    }


def diversity(r: Recorder, candidates: int) -> float:
    """Entropy in nats of how often which mode was chosen."""
    counts = np.bincount(np.concatenate(r.modes), minlength=candidates).astype(float)
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


__all__ = [
    "Recorder", "Series", "by_world", "contact_time", "distances", "diversity", "ego_figures",
    "gaussian_distance", "headway", "measure", "shapiro", "wilson",
]  # fmt: skip
