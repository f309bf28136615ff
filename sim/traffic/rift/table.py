"""The table of all objectives on one frozen cache, in the form of RIFT's table.

    python -m drive.sim.traffic.rift.table --base aggressive --style safe --scenes 27 --out out/rift-table

The base policy drives a pool of scenes once and its candidates' worth is stored; every objective learns from
those same states, and then drives held-out scenes. The seeds share these out, so that a row is of all of
them; the base drives each share too. `--base` is a name of shipped weights or a file, or "aggressive" or
"cautious": the shipped base with its head trained on relabelled examples. Finished cells in `--out` are not
redone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError
from drive.nn._torch import torch
from drive.progress import Listener, on_terminal
from drive.sim.traffic.rift.base import FAMILIES, TEST, TRAIN, TUNE, generated, opposed
from drive.sim.traffic.rift.cache import Cache, collect
from drive.sim.traffic.rift.evaluate import assert_disjoint, evaluate, people_of
from drive.sim.traffic.rift.measure import wilson
from drive.sim.traffic.rift.objectives import ROWS
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.pretrain import BASES, gather
from drive.sim.traffic.rift.style import style_of
from drive.sim.traffic.rift.tune import TuneSettings, tune
from drive.sim.traffic.rift.worlds import Worlds, pools

if TYPE_CHECKING:
    from drive.sim.traffic.rift.net import RiftPolicy

BEFORE = "pre-trained"
HELD = 4
"""Pools of test scenes whose states measure the return of what is chosen."""
COLUMNS = (
    ("return", "return", "{:.2f}"), ("cpk", "CPK", "{:.2f}"), ("crash_rate", "crash", "{:.3f}"),
    ("rp", "RP m", "{:.0f}"), ("orr", "ORR %", "{:.2f}"), ("uc", "UC %", "{:.1f}"),
    ("sw_speed", "SW v", "{:.2f}"), ("wd", "WD v", "{:.2f}"), ("sw_acceleration", "SW a", "{:.2f}"),
    ("w1_speed", "W1 v", "{:.2f}"), ("w1_headway", "W1 headway", "{:.2f}"), ("ego_hit", "ego hit", "{:.3f}"),
    ("ego_blocked", "ego blocked", "{:.3f}"),
)  # fmt: skip


def base_of(name: str, examples: int = 4) -> RiftPolicy:
    """Shipped weights, a file's, or those of a base of another kind, made of `examples` scenes a family."""
    if name in BASES[1:]:
        return opposed(load_policy("base")[0], name, gather(generated(FAMILIES, TRAIN, examples)))
    return load_policy(name)[0]


def return_of(net: RiftPolicy, cache: Cache) -> float:
    """Mean return of the candidates that a network prefers in the states of a cache."""
    with torch.inference_mode():
        logits = net.score(torch.from_numpy(cache.features)).masked_fill(~torch.from_numpy(cache.valid), -1e8)
        best = logits.argmax(-1).numpy()
    return float(cache.returns[np.arange(len(best)), best].mean())


def compare(
    base: str, style: str, folder: Path, how: TuneSettings, *, kinds: Sequence[str] = tuple(ROWS),
    seeds: Iterable[int] = (0,), families: Sequence[str] = FAMILIES, test_scenes: int = 2,
    progress: Listener | None = None,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Figures by objective, one entry a seed; "pre-trained" first. Finished cells in `folder` are not redone.

    Seed k of n drives the held-out scenes k, k + n, ... of each family, `test_scenes` in all.
    `return` is that of the preferred candidates in held-out states, `seconds` a tuning's. Raises InputError
    where a test scene or map is one of the tuning's.
    """
    told = progress or Listener()
    torch.manual_seed(0)
    net, wanted = base_of(base), style_of(style)
    train = list(generated(families, TUNE, how.scenes))
    held = list(generated(families, TEST, test_scenes))
    assert_disjoint(train, held)
    worlds, test, seeds = Worlds.of(train), pools(held, len(families)), list(seeds)
    if len(test) < len(seeds):
        raise InputError(f"{len(seeds)} seeds want as many held-out scenes of each family, not {len(test)}")
    people = [people_of(w.fresh(), net) for w in test]
    some = test[:HELD]
    rng = np.random.default_rng(7)
    seen = [collect(net, w.fresh(), wanted, rng, how.states // len(some))[0] for w in some]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cells.json"
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    out: dict[str, list[dict[str, Any]]] = {}

    def cell(title: str, seed: int, make: Any) -> None:
        key = f"{title}|{seed}"
        if key not in done:
            began = time.monotonic()
            made = make()
            seconds = time.monotonic() - began
            mine = slice(seeds.index(seed), None, len(seeds))
            found = evaluate(made, test[mine], people[mine])
            found["return"] = float(np.mean([return_of(made, cache) for cache in seen]))
            done[key] = found | {"seconds": round(seconds, 1)}
            file.write_text(json.dumps(done))
            told.note(
                f"{title}, seed {seed}: crash rate {found['crash_rate']:.3f}, CPK {found['cpk']:.2f}, "
                f"RP {found['rp']:.0f} m, return {found['return']:.2f}, {seconds:.0f} s"
            )
        out.setdefault(title, []).append(done[key])

    for seed in seeds:
        cell(BEFORE, seed, lambda: net)
    for seed in seeds:
        if all(f"{ROWS[kind].title}|{seed}" in done for kind in kinds):
            cache = None
        else:
            cache, _ = collect(net, worlds.fresh(), wanted, np.random.default_rng((seed, 1, 0)), how.states)
        for kind in kinds:
            cell(ROWS[kind].title, seed, lambda kind=kind, cache=cache, seed=seed: tune(
                net, wanted, [], replace(how, objective=kind), folder / f"{kind}-{seed}", seed=seed,
                resume=True, caches=[cache],
            ).net)  # fmt: skip
    return out


def as_text(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The table as Markdown: over all seeds' episodes, with Wilson's interval of the crash rate and the
    deviation of CPK where there are several; columns that no row has are left out."""
    columns = [c for c in COLUMNS if any(c[0] in one for found in rows.values() for one in found)]
    lines = [
        "| | " + " | ".join(title for _, title, _ in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, found in rows.items():
        cells = []
        cars = np.array([one.get("vehicles", 1) for one in found], dtype=float)
        for key, _, form in columns:
            values = np.array([float(one[key]) for one in found])
            text = form.format(float(values @ cars / cars.sum()))
            if key == "cpk" and len(values) > 1:
                text += f" ± {values.std():.2f}"
            if key == "crash_rate" and cars.sum() > len(found):
                low, high = wilson(round(float(values @ cars)), round(float(cars.sum())))
                text += f" [{low:.3f}, {high:.3f}]"
            cells.append(text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 with one line for what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drive.sim.traffic.rift.table", description=__doc__)
    parser.add_argument("--base", default="base", help="what is tuned: weights, 'aggressive' or 'cautious'")
    parser.add_argument("--style", default="safe")
    parser.add_argument("--seeds", type=int, default=3, help="how many tunings an objective")
    parser.add_argument(
        "--scenes", type=int, default=3, help="held-out scenes of each family, shared by the seeds"
    )
    parser.add_argument("--tune-scenes", type=int, default=2, help="scenes of each family to tune on")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--objective", action="append", help=f"one of {', '.join(ROWS)}; default all")
    parser.add_argument("--out", type=Path, default=Path("out/rift-table"))
    given = parser.parse_args(arguments)
    try:
        how = TuneSettings(rounds=given.rounds, scenes=given.tune_scenes, states=4096)
        with on_terminal() as listener:
            rows = compare(
                given.base, given.style, given.out, how, kinds=given.objective or tuple(ROWS),
                seeds=range(given.seeds), test_scenes=given.scenes, progress=listener,
            )  # fmt: skip
    except DriveError as error:
        print(f"error: {error}")
        return 1
    text = as_text(rows)
    (given.out / "table.md").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

__all__ = ["BEFORE", "COLUMNS", "as_text", "base_of", "compare", "main", "return_of"]
