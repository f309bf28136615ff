"""The closed-loop figures of policies on a pool of scenes, and of the recorded people in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.sim.traffic.rift.fleet import CANDIDATES, SAMPLES
from drive.sim.traffic.rift.measure import (
    Recorder,
    Series,
    by_world,
    distances,
    diversity,
    ego_figures,
    measure,
    wilson,
)
from drive.sim.traffic.rift.policy import Driver, drive_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.traffic.rift.worlds import Worlds


def assert_disjoint(train: Iterable[Scenario], test: Iterable[Scenario]) -> None:
    """Raise InputError where a scenario or a map of the one set is in the other."""
    a, b = list(train), list(test)
    for what, first, second in (
        ("scenario", {s.id for s in a}, {s.id for s in b}),
        ("map", {s.environment.content_hash for s in a}, {s.environment.content_hash for s in b}),
    ):
        if both := first & second:
            raise InputError(f"train and test share {len(both)} {what}s, among them {min(both)}")


def drive_worlds(net: Any, worlds: Worlds, rng: np.random.Generator | None = None) -> tuple[Recorder, Series]:
    """Drive worlds to their end by the network's most probable candidates, or by draws of `rng`."""
    recorder, driver = Recorder(), Driver(net)

    def choose(fleet: Any, crowd: Any, paths: Any, number: int) -> NDArray[np.float32]:
        decision = driver.decide(fleet, crowd, paths, rng)
        recorder.decided(decision)
        return drive_on(fleet, decision)

    worlds.run(choose, recorder.watch)
    return recorder, recorder.series(worlds)


def people_of(worlds: Worlds, net: Any) -> Series:
    """The recorded motion of the same vehicles, in the same arrays; `net` only looks at who is ahead."""
    recorder, driver, fleet = Recorder(), Driver(net), worlds.fleet
    logs = worlds.world.agents.log[fleet.world, fleet.row]  # (N, T, 6)
    there = worlds.world.agents.log_valid[fleet.world, fleet.row] > 0
    worlds.alive[:] = True

    def choose(f: Any, crowd: Any, paths: Any, number: int) -> NDArray[np.float32]:
        decision = driver.decide(f, crowd, paths)
        recorder.decided(decision)
        f.follow(decision.sight, np.zeros(len(f), dtype=np.int64))
        out = np.repeat(f.states[:, None], SAMPLES + 1, 1)
        for k in range(SAMPLES + 1):
            at = min(number * SAMPLES + k, logs.shape[1] - 1)
            before = max(at - 1, 0)
            out[:, k, :4] = logs[:, at, :4]
            rate = (logs[:, at, 2] - logs[:, before, 2] + np.pi) % (2.0 * np.pi) - np.pi
            out[:, k, 4] = (logs[:, at, 3] - logs[:, before, 3]) / 0.1
            out[:, k, 6] = rate / 0.1
        return out

    def watch(sample: int, w: Worlds) -> None:
        w.alive[:] = there[:, min(sample, there.shape[1] - 1)]
        recorder.watch(sample, w)

    worlds.run(choose, watch)
    series = recorder.series(worlds)
    return series._replace(crashed=np.zeros_like(series.crashed))


def evaluate(net: Any, pool: Sequence[Worlds], people: Sequence[Series] | None = None) -> dict[str, Any]:
    """All figures of a network on fresh copies of the pool's worlds; `people` are those of `people_of`."""
    found, egos, modes = [], [], []
    for worlds in pool:
        recorder, series = drive_worlds(net, worlds.fresh())
        found.append(series)
        egos.append(ego_figures(recorder))
        modes.append(diversity(recorder, CANDIDATES))
    joined = join(found)
    out: dict[str, Any] = measure(joined)
    out |= {"diversity": float(np.mean(modes))}
    out |= {name: float(np.mean([e[name] for e in egos])) for name in egos[0]}
    out["vehicles"], out["episodes"] = len(joined.world), int(joined.world.max()) + 1
    out["crash_ci95"] = wilson(int(joined.crashed.sum()), len(joined.crashed))
    for name, ends in by_world(joined).items():
        out[f"{name}_ci95"] = ends
    if people is not None:
        out |= distances(joined, join(people))
    return out


def join(parts: Sequence[Series]) -> Series:
    """Series of several pools as one; the shortest one's time holds."""
    if not parts:
        raise InputError("there is nothing to measure")
    long = min(len(p.speed) for p in parts)
    turns = min(len(p.limit) for p in parts)
    shift = np.cumsum([0] + [int(p.world.max()) + 1 for p in parts])
    timed = [np.concatenate([getattr(p, n)[:long] for p in parts], 1) for n in Series._fields[:5]]
    decided = [np.concatenate([getattr(p, n)[:turns] for p in parts], 1) for n in Series._fields[5:8]]
    world = np.concatenate([p.world + k for p, k in zip(parts, shift, strict=False)])
    values: Any = (*timed, *decided, world, np.concatenate([p.crashed for p in parts]))
    return Series(*values)


__all__ = ["assert_disjoint", "drive_worlds", "evaluate", "join", "people_of"]
