"""Whether the styles do what they are for: test of "safe" and "interactive" on bases of the other kind.

    python -m drive.sim.traffic.rift.proof --base base --scenes 27 --seeds 3 --out out/rift-proof

The head of a base is trained anew on relabelled examples, once to drive as if nobody else were there and once
timidly; "safe" is tuned on the one and "interactive" on the other, and all of them, and the shipped styles,
drive the same held-out scenes. Finished cells in `--out` are not redone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from drive.errors import DriveError
from drive.nn._torch import torch
from drive.progress import Listener, on_terminal
from drive.sim.traffic.rift.base import FAMILIES, TEST, TRAIN, TUNE, generated, opposed
from drive.sim.traffic.rift.evaluate import assert_disjoint, evaluate, join, people_of
from drive.sim.traffic.rift.measure import measure
from drive.sim.traffic.rift.policy import load_policy
from drive.sim.traffic.rift.pretrain import gather
from drive.sim.traffic.rift.style import STYLES, style_of
from drive.sim.traffic.rift.table import as_text
from drive.sim.traffic.rift.tune import TuneSettings, tune
from drive.sim.traffic.rift.worlds import Worlds, pools

OPPOSITES = (("aggressive", "safe", 1.0), ("cautious", "interactive", 0.0))
"""A base, the style that is to mend it, and the guard of the tuning: who mends a hurried base does it by
driving slowly, if let."""
PEOPLE = "recorded people"


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """`scenes` of each family, from the seed `first` on, are driven, `examples` of each relabelled, for
    `epochs`; `seeds` tunings."""

    scenes: int = 27
    first: int = TEST
    examples: int = 4
    epochs: int = 10
    seeds: int = 3
    tune: TuneSettings = field(
        default_factory=lambda: TuneSettings(
            rounds=12, refresh=4, scenes=2, parts=2, states=4096, epochs=3, lr=2e-3
        )
    )


def prove(
    base: str, folder: Path, how: ProofSettings, *, shipped: bool = True, opposites: bool = True,
    progress: Listener | None = None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Figures by row, and for tuned ones by seed ("aggressive base, safe, seed 0"): of the `shipped` styles,
    and of bases of the other kind (`opposites`).

    Raises InputError where a test scene or map is one of the tuning's.
    """
    told = progress or Listener()
    torch.manual_seed(0)
    net, _ = load_policy(base)
    train = list(generated(FAMILIES, TUNE, how.tune.scenes))
    held = list(generated(FAMILIES, how.first, how.scenes))
    assert_disjoint(train, held)
    test = pools(held)
    people = [people_of(w.fresh(), net) for w in test]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cells.json"
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def cell(key: str, make: Any) -> None:
        if key not in done:
            done[key] = evaluate(make(), test, people)
            file.write_text(json.dumps(done))
            told.note(f"{key}: crash {done[key]['crash_rate']:.3f}, RP {done[key]['rp']:.0f} m")

    if PEOPLE not in done:
        done[PEOPLE] = measure(join(people))
    cell("base", lambda: net)
    for style in STYLES if shipped else ():
        cell(style, lambda style=style: load_policy(style)[0])
    parts = [train[k :: how.tune.parts] for k in range(how.tune.parts)]
    made = [Worlds.of(part) for part in parts]
    examples: list[Any] = []
    for kind, style, guard in OPPOSITES if opposites else ():
        name = f"{kind} base"
        keys = [f"{name}, {style}, seed {seed}" for seed in range(how.seeds)]
        if all(key in done for key in (name, *keys)):
            continue
        examples = examples or gather(generated(FAMILIES, TRAIN, how.examples))
        other = opposed(net, kind, examples, how.epochs)
        cell(name, lambda other=other: other)
        for seed, key in enumerate(keys):
            cell(key, lambda other=other, style=style, seed=seed, kind=kind, guard=guard: tune(
                other, style_of(style), [w.fresh for w in made], replace(how.tune, guard=guard),
                folder / f"{kind}-{style}-{seed}", seed=seed, resume=True,
            ).net)  # fmt: skip
    return done


def bars(done: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By tuned row what is asked of it, as changes from its base: of the crash rate, RP and WD as shares, of
    ORR and UC in points."""
    out = {}
    for key, found in done.items():
        name, _, rest = key.partition(", ")
        if rest and name in done:
            b = done[name]
            out[key] = {
                "crashes": found["crash_rate"] / max(b["crash_rate"], 1e-9) - 1.0,
                "progress": found["rp"] / b["rp"] - 1.0,
                "orr": found["orr"] - b["orr"],
                "uc": found["uc"] - b["uc"],
                "wd": found["wd"] / b["wd"] - 1.0,
            }
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit status 1 with one line for what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drive.sim.traffic.rift.proof", description=__doc__)
    parser.add_argument("--base", default="base", help="shipped weights, or a file")
    parser.add_argument("--scenes", type=int, default=ProofSettings().scenes, help="of each family")
    parser.add_argument("--first", type=int, default=TEST, help="first seed of these scenes")
    parser.add_argument("--seeds", type=int, default=ProofSettings().seeds)
    parser.add_argument("--shipped", action="store_true", help="the shipped styles alone")
    parser.add_argument("--out", type=Path, default=Path("out/rift-proof"))
    given = parser.parse_args(arguments)
    try:
        with on_terminal() as listener:
            how = ProofSettings(scenes=given.scenes, first=given.first, seeds=given.seeds)
            done = prove(
                given.base, given.out, how, shipped=given.base == "base", opposites=not given.shipped,
                progress=listener,
            )  # fmt: skip
    except DriveError as error:
        print(f"error: {error}")
        return 1
    nothing = {"w1_speed": np.nan, "w1_headway": np.nan, "ego_hit": np.nan, "ego_blocked": np.nan}
    text = as_text({key: [{**nothing, **found}] for key, found in done.items()})
    lines = [
        text,
        "",
        "| | crashes | progress | ORR, points | UC, points | WD |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {key} | {b['crashes']:+.0%} | {b['progress']:+.0%} | {b['orr']:+.2f} | {b['uc']:+.2f} "
        f"| {b['wd']:+.0%} |"
        for key, b in bars(done).items()
    ]
    (given.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

__all__ = ["ProofSettings", "bars", "prove"]
