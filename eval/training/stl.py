"""What `stl_diffusion` and its baselines are worth in closed loop, paired by scene.

    python -m drive.eval.training.stl FOLDER [--suite test | --scenarios REF ...] [--traffic idm] [--seeds 0]
        [--variants idm,ours,ddpm,vae]

FOLDER holds trainings `NAME-SEED/stl_diffusion.safetensors` (`drive.planners.stl_diffusion.acceptance`); what
is not there is left out. Benchmarks come to lie in `bench/VARIANT-SEED-TRAFFIC`; those that are there are not
driven again, and those of more scenes in `bench/VARIANT-SEED-TRAFFIC-PART` count with them. The baselines are
weights of the same planner without its choice among iterates, RefineNet, guidance, variants and warm starts;
which of their samples is driven is chosen as in the planner.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from drive.errors import DriveError, InputError
from drive.eval.bench.harness import Options, run_bench
from drive.eval.bench.results import Results
from drive.eval.bench.statistics import Estimate, estimate, paired_difference
from drive.registry import parse_set

SCORE, NO_FAULT = "nuplan_cls", "no_ego_at_fault_collisions"
PLAIN = (
    "variants=0", "rti_steps=0", "sampling.candidates=1", "sampling.rolls=0", "sampling.guidance.steps=0",
)  # fmt: skip
"""Settings of a baseline."""


class Variant(NamedTuple):
    """Which planner, with the weights of which training, and its settings."""

    planner: str
    training: str
    settings: tuple[str, ...] = ()


VARIANTS: Mapping[str, Variant] = {
    "idm": Variant("idm", ""),
    "ours": Variant("stl_diffusion", "ours"),
    "ddpm": Variant("stl_diffusion", "ours", PLAIN),
    "vae": Variant("stl_diffusion", "vae", PLAIN),
    "mono": Variant("stl_diffusion", "mono", PLAIN),
    "traffic": Variant("stl_diffusion", "traffic", PLAIN),
    "rft": Variant("stl_diffusion", "rft"),
    "bare": Variant("stl_diffusion", "ours", ("variants=0",)),
    "anew": Variant("stl_diffusion", "ours", ("rti_steps=0",)),
    "full": Variant("stl_diffusion", "ours", ("rti_steps=0", "sampling.count=0")),
    "learned": Variant("stl_diffusion", "ours", ("forecaster=learned",)),
    "slow": Variant("stl_diffusion", "ours", ("vmax=6",)),
    "wide": Variant("stl_diffusion", "ours", ("dsafe=1.5",)),
}
"""`bare` has no variants of samples, `anew` no warm start, `full` denoises in all steps at every call,
`learned` are told others by the learned forecaster, `rft` is tuned by `stl_diffusion-rft`."""
COLUMNS = {
    NO_FAULT: "no fault",
    "drivable_area_compliance": "on road",
    "ego_progress_along_expert_route": "progress",
    "time_to_collision_within_bound": "ttc",
    "ego_is_comfortable": "comfort",
}
Rows = Mapping[str, Mapping[str, Any]]


def folders_of(folder: Path, name: str, seed: int, traffic: str) -> list[Path]:
    """The benchmarks of a variant that are there."""
    label = f"{name}-{seed}-{traffic}"
    found = [folder / "bench" / label, *sorted((folder / "bench").glob(f"{label}-*"))]
    return [path for path in found if (path / "results.json").is_file()]


def driven(folder: Path, name: str, seed: int, traffic: str) -> Rows:
    """The drives of a variant by scene, as `results.json` has them."""
    rows: dict[str, Mapping[str, Any]] = {}
    for path in folders_of(folder, name, seed, traffic):
        for row in Results.load(path).planner(VARIANTS[name].planner)["scenarios"]:
            rows[row["id"]] = row
    return rows


def drive(
    folder: Path, name: str, seed: int, traffic: str, suite: str, scenarios: Sequence[str], batch: int
) -> None:
    """Drive a variant through scenarios, or else a suite, unless it was, or its weights are missing."""
    variant, out = VARIANTS[name], folder / "bench" / f"{name}-{seed}-{traffic}"
    if folders_of(folder, name, seed, traffic):
        return
    settings = list(variant.settings)
    if variant.training:
        recipe = "stl_diffusion-rft" if variant.training == "rft" else "stl_diffusion"
        weights = folder / f"{variant.training}-{seed}" / f"{recipe}.safetensors"
        if not weights.is_file():
            return
        settings.append(f"weights={weights}")
    print(f"{name}-{seed}, {traffic} ...", flush=True)
    found = parse_set([f"{variant.planner}.{setting}" for setting in settings])
    run_bench(
        Options(
            planners=[variant.planner], settings=found, suite=None if scenarios else suite,
            scenarios=list(scenarios), traffic=traffic, out=out,
            jobs=1, batch=batch if variant.training else None, resume=out.exists(),
            command=["python", "-m", "drive.eval.training.stl"],
        )
    )  # fmt: skip


def table(found: Mapping[str, Rows]) -> list[str]:
    """Lines of a Markdown table: what each is worth, and how long a call takes."""
    head = ["", f"`{SCORE}` [95 %]", "scenes", "failed calls", "at fault", *COLUMNS.values(), "ms a call"]
    lines = [_line(head), _line(["---"] * len(head))]
    for label, rows in found.items():
        good = [row for row in rows.values() if row["valid"]]
        cells = [label, told(estimate([row["metrics"][SCORE] for row in good])), str(len(good))]
        cells.append(str(len(rows) - len(good)))
        cells.append(str(sum(row["metrics"][NO_FAULT] < 1.0 for row in good)))
        for column in COLUMNS:
            values = [row["metrics"][column] for row in good if row["metrics"].get(column) is not None]
            cells.append(f"{sum(values) / len(values):.2f}" if values else "-")
        late = sorted(row["latency_ms"]["p50"] for row in good)
        lines.append(_line([*cells, f"{late[len(late) // 2]:.1f}" if late else "-"]))
    return lines


def difference(first: Rows, second: Rows, column: str = SCORE) -> Estimate:
    """How much more the first has of a column, paired by scene."""
    values = (
        {
            (key, row["hash"]): float(row["metrics"][column])
            for key, row in rows.items()
            if row["valid"] and row["metrics"].get(column) is not None
        }
        for rows in (first, second)
    )
    return paired_difference(*values)


def told(found: Estimate) -> str:
    """A mean with its interval."""
    if found.mean is None or found.ci95 is None:
        return "-"
    return f"{found.mean:.3f} [{found.ci95[0]:.3f}, {found.ci95[1]:.3f}]"


def pairs(found: Mapping[str, Rows]) -> list[str]:
    """Lines of a Markdown table: of the first to all others, score and collisions at fault."""
    lines = [_line(["difference", f"`{SCORE}` [95 %]", "collisions at fault [95 %]", "scenes"])]
    lines.append(_line(["---"] * 4))
    (first, mine), *rest = found.items()
    for label, rows in rest:
        score, fault = difference(mine, rows), difference(mine, rows, NO_FAULT)
        less = Estimate(
            None if fault.mean is None else -fault.mean,
            None if fault.ci95 is None else (-fault.ci95[1], -fault.ci95[0]),
            fault.n,
        )
        lines.append(_line([f"{first} - {label}", told(score), told(less), str(score.n)]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: drive what is missing, and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.stl", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suite", default="test")
    parser.add_argument("--scenarios", action="append")
    parser.add_argument("--traffic", default="idm")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--variants", default="ours,idm,ddpm,vae")
    parser.add_argument("--batch", type=int, default=16)
    given = parser.parse_args(arguments)
    try:
        names = given.variants.split(",")
        unknown = sorted(set(names) - set(VARIANTS))
        if unknown:
            raise InputError(f"no variant is called {', '.join(unknown)}; known: {', '.join(VARIANTS)}")
        found: dict[str, Rows] = {}
        for name in names:
            for seed in [int(seed) for seed in given.seeds.split(",")] if VARIANTS[name].training else [0]:
                scenarios = given.scenarios or ()
                drive(given.folder, name, seed, given.traffic, given.suite, scenarios, given.batch)
                rows = driven(given.folder, name, seed, given.traffic)
                if rows:
                    found[f"{name} {seed}" if VARIANTS[name].training else name] = rows
        if not found:
            raise InputError(f"'{given.folder}' holds no trainings NAME-SEED/stl_diffusion.safetensors")
        print("\n".join([*table(found), "", *pairs(found)]))
    except (DriveError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
