"""How near the swarm comes to the best of random scenes, against plain ones and a grid; see docs/field.md.

python -m drive.planners.field.convergence --scenes 200
"""

from __future__ import annotations

import argparse
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.field.config import FieldConfig
from drive.planners.field.kernels import layout as la
from drive.planners.field.problem import NO_PARTICLE, Memory, Problem, pace_of, search, settings
from drive.planners.field.seeds import seeds_of
from drive.vehicle import VehicleParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def random_scene(seed: int, config: FieldConfig | None = None) -> Problem:
    """Two lanes that bend, two to eight others on them at their own speeds, the ego in the right one."""
    c, rng = config or FieldConfig(), np.random.default_rng(seed)
    step, n = 0.5, 1200
    s = step * np.arange(n)
    kappa = rng.uniform(-1.0, 1.0) / rng.uniform(80.0, 600.0) * np.sin(s / rng.uniform(30.0, 120.0))
    heading = np.concatenate(([0.0], np.cumsum(0.5 * step * (kappa[1:] + kappa[:-1]))))
    x, y = (np.concatenate(([0.0], np.cumsum(step * f(heading[:-1])))) for f in (np.cos, np.sin))
    limit = rng.uniform(9.0, 20.0)
    road = np.zeros((n, la.ROAD))
    road[:, la.RX], road[:, la.RY] = x, y
    road[:, la.RCOS], road[:, la.RSIN] = np.cos(heading), np.sin(heading)
    road[:, la.KAPPA], road[:, la.DKAPPA] = kappa, np.gradient(kappa, step)
    road[:, la.WISH] = np.minimum(limit, np.sqrt(2.5 / np.maximum(np.abs(kappa), 1e-6)))
    road[:, la.LEFT] = road[:, la.EDGE_LEFT] = 1.75 + 3.5 * rng.integers(1, 3)
    road[:, la.RIGHT] = road[:, la.EDGE_RIGHT] = -1.75
    at = 60.0
    start = np.array([at, limit * rng.uniform(0.5, 1.0), 0.0, rng.uniform(-0.3, 0.3), 0.0, 0.0])
    count, k = int(rng.integers(2, 9)), np.arange(1, c.steps + 1)
    others, body = np.zeros((c.steps, count, la.OTHER)), np.zeros((count, la.BODY))
    for m in range(count):
        d = 3.5 * rng.integers(0, 2)
        ahead = rng.uniform(14.0, 70.0) * (1.0 if d == 0.0 else rng.choice((-0.6, 1.0)))
        v = limit * rng.uniform(0.2, 0.9)
        along = at + ahead + v * c.dt * k
        h, cx, cy = (np.interp(along, s, values) for values in (heading, x, y))
        others[:, m, la.OX], others[:, m, la.OY] = cx - d * np.sin(h), cy + d * np.cos(h)
        others[:, m, la.OCOS], others[:, m, la.OSIN] = np.cos(h), np.sin(h)
        others[:, m, la.OS], others[:, m, la.OD], others[:, m, la.OVS] = along, d, v
        body[m] = 2.3, 0.95, math.hypot(2.3, 0.95), 1.0, 0.4
    vehicle = VehicleParams()
    low = np.array([-0.6, 2.0, 0.0, 2.0, -0.6, 1.0])
    high = np.array([4.1, c.max_time, limit, c.max_time, 4.1, 4.0])
    setting = settings(c, vehicle, step)
    problem = Problem(
        start, road, others, body, np.zeros(0), pace_of(start, road, setting, c.steps), NO_PARTICLE, setting,
        low, high, np.zeros((0, la.PARTICLE)), c.stride,
    )  # fmt: skip
    return problem.with_(seeds=seeds_of(problem, (0.0, 3.5)))


def grid(problem: Problem, counts: tuple[int, int, int, int] = (15, 7, 21, 7)) -> float:
    """The least cost on a grid of d_T, T_lat, v_T, T_lon."""
    axes = [np.linspace(problem.low[i], problem.high[i], n) for i, n in enumerate(counts)]
    points = np.zeros((math.prod(counts), la.PARTICLE))
    points[:, :4] = np.array(list(itertools.product(*axes)))
    return float(problem.cost(points)[0].min())


def polished(problem: Problem, particle: Floats) -> float:
    """The cost after a local search (Nelder, Mead) from a particle: part of what is best known."""
    from scipy.optimize import minimize

    def value(p: Floats) -> float:
        full = np.zeros((1, la.PARTICLE))
        full[0, :4] = np.clip(p, problem.low[:4], problem.high[:4])
        return float(problem.cost(full)[0][0])

    return float(minimize(value, particle[:4], method="Nelder-Mead", options={"maxfev": 800}).fun)


def compare(
    seed: int, config: FieldConfig | None = None, fine: bool = True, with_grid: bool = True
) -> dict[str, float]:
    """Costs of one scene: the swarm without and with its second start, the plain swarm likewise and as one
    of twice the length, the grid, and the best that is known (`fine`: by a large swarm and local search)."""
    c = config or FieldConfig()
    problem = random_scene(seed, c)
    memory = Memory.of(c.particles)
    found = [search(problem, memory, c.generations, seed, cycle) for cycle in range(2)]
    plain = [search(problem, memory, c.generations, seed, cycle, improved=False) for cycle in range(2)]
    best = min(found, key=lambda f: f[1])
    out = {
        "swarm": best[1],
        "first": found[0][1],
        "plain": min(f[1] for f in plain),
        "plain_first": plain[0][1],
        "plain_long": search(problem, memory, 2 * c.generations + 1, seed, 2, improved=False)[1],
        "evaluations": float(sum(f[2] for f in found)),
    }
    if with_grid:
        out["grid"] = grid(problem)
    known = min(value for name, value in out.items() if name != "evaluations")
    if fine:
        big = Memory.of(100)
        long = search(problem, big, 100, seed, 100)
        known = min(known, long[1], *(polished(problem, f[0]) for f in (long, best)))
    return {**out, "best": known}


def share(costs: list[dict[str, float]], name: str, within: float = 0.01) -> float:
    """Share of scenes in which a search comes within 1 % of the best known."""
    return sum(c[name] <= c["best"] + within * abs(c["best"]) for c in costs) / len(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description="The swarm on random scenes.")
    parser.add_argument("--scenes", type=int, default=200)
    count = parser.parse_args().scenes
    costs = [compare(seed) for seed in range(count)]
    for name in ("first", "plain_first", "swarm", "plain", "plain_long", "grid"):
        worse = [100.0 * (c[name] / c["best"] - 1.0) for c in costs]
        middle, tail = np.median(worse), np.percentile(worse, 95)
        print(
            f"{name:11s} within 1 % of the best known: {100.0 * share(costs, name):5.1f} %; "
            f"median {middle:.2f} %, 95th percentile {tail:.1f} % above the best"
        )
    made = np.mean([c["evaluations"] for c in costs])
    print(f"evaluations of the swarm: {made:.0f}; of the grid: {15 * 7 * 21 * 7}")


if __name__ == "__main__":
    main()
