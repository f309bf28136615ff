"""The table of all objectives on one frozen cache, in the form of RIFT's table.

    python -m drive.sim.traffic.rift.table --style safe --out out/rift-table

The base policy drives a pool of scenes once and its candidates' worth is stored; every objective learns from
those same states, and then drives the held-out scenes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from drive.errors import DriveError
from drive.progress import Listener, on_terminal
from drive.sim.traffic.rift.base import FAMILIES, TEST, TUNE, generated
from drive.sim.traffic.rift.cache import collect
from drive.sim.traffic.rift.evaluate import assert_disjoint, evaluate, people_of
from drive.sim.traffic.rift.objectives import ROWS
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.style import style_of
from drive.sim.traffic.rift.tune import TuneSettings, tune
from drive.sim.traffic.rift.worlds import Worlds

COLUMNS = (
    ("cpk", "CPK", "{:.2f}"), ("crash_rate", "crash", "{:.3f}"), ("rp", "RP m", "{:.0f}"),
    ("orr", "ORR %", "{:.2f}"), ("uc", "UC %", "{:.1f}"), ("sw_speed", "SW v", "{:.2f}"),
    ("wd", "WD v", "{:.2f}"), ("sw_acceleration", "SW a", "{:.2f}"), ("w1_speed", "W1 v", "{:.2f}"),
    ("w1_headway", "W1 headway", "{:.2f}"), ("ego_hit", "ego hit", "{:.3f}"),
    ("ego_blocked", "ego blocked", "{:.3f}"),
)  # fmt: skip


def compare(
    base: str, style: str, folder: Path, how: TuneSettings, *, kinds: Sequence[str] = tuple(ROWS),
    seeds: Iterable[int] = (0,), families: Sequence[str] = FAMILIES, test_scenes: int = 2,
    progress: Listener | None = None,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Figures by objective, one entry a seed; "pre-trained" first. Finished cells in `folder` are not redone.

    Raises InputError where a test scene or map is one of the tuning's.
    """
    told = progress or Listener()
    net, _ = load_policy(base)
    train = list(generated(families, TUNE, how.scenes))
    held = list(generated(families, TEST, test_scenes))
    assert_disjoint(train, held)
    worlds, test = Worlds.of(train), [Worlds.of(held)]
    people = [people_of(w.fresh(), net) for w in test]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cells.json"
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    out: dict[str, list[dict[str, Any]]] = {}

    def cell(title: str, seed: int, make: Any) -> None:
        key = f"{title}|{seed}"
        if key not in done:
            done[key] = evaluate(make(), test, people)
            file.write_text(json.dumps(done))
            told.note(f"{title}, seed {seed}: CPK {done[key]['cpk']:.2f}, RP {done[key]['rp']:.0f} m")
        out.setdefault(title, []).append(done[key])

    cell("pre-trained", 0, lambda: net)
    for seed in seeds:
        cache, _ = collect(
            net, worlds.fresh(), style_of(style), np.random.default_rng((seed, 1, 0)), how.states
        )
        for kind in kinds:
            cell(ROWS[kind].title, seed, lambda kind=kind, cache=cache, seed=seed: tune(
                net, style_of(style), [], replace(how, objective=kind), folder / f"{kind}-{seed}", seed=seed,
                resume=True, caches=[cache],
            ).net)  # fmt: skip
    return out


def as_text(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The table as Markdown: means over the seeds, CPK with its deviation where there are several."""
    lines = [
        "| | " + " | ".join(title for _, title, _ in COLUMNS) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for name, found in rows.items():
        cells = []
        for key, _, form in COLUMNS:
            values = [float(one[key]) for one in found]
            text = form.format(float(np.mean(values)))
            cells.append(text + (f" ± {np.std(values):.2f}" if key == "cpk" and len(values) > 1 else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 with one line for what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drive.sim.traffic.rift.table", description=__doc__)
    parser.add_argument("--base", default="base", help="weights that are tuned: shipped ones, or a file")
    parser.add_argument("--style", default="safe")
    parser.add_argument("--seeds", type=int, default=3, help="how many tunings an objective")
    parser.add_argument("--scenes", type=int, default=2, help="scenes of each family, to tune and to test")
    parser.add_argument("--rounds", type=int, default=TuneSettings().rounds)
    parser.add_argument("--objective", action="append", help=f"one of {', '.join(ROWS)}; default all")
    parser.add_argument("--out", type=Path, default=Path("out/rift-table"))
    given = parser.parse_args(arguments)
    try:
        how = TuneSettings(rounds=given.rounds, scenes=given.scenes)
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

__all__ = ["COLUMNS", "as_text", "compare", "main"]
