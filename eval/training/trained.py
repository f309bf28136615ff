"""What trained planners are worth in closed loop: every recipe and seed on one suite, paired by scene.

    for seed in 0 1; do for r in gtrs imitation diffusion regression hydra_next; do
        drive train $r --seed $seed --out out/trained/$r-$seed; done; done
    python -m drive.eval.training.trained out/trained --suite test

The folder holds `RECIPE-SEED/RECIPE.safetensors`; a recipe or seed that is not there is left out. Benchmarks
come to lie in its `bench/`, and those that are there are not driven again. `trajectory` is `hydra_next` with
its trajectory decoder alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from drive.errors import DriveError, InputError
from drive.eval.bench.harness import Options, run_bench
from drive.eval.bench.results import Results, compare

SCORE = "nuplan_cls"


class Variant(NamedTuple):
    """A planner with settings; `recipe` "" for one that is not trained."""

    recipe: str
    planner: str
    settings: Mapping[str, object] = {}


VARIANTS: Mapping[str, Variant] = {
    "pdm": Variant("", "pdm"),
    "idm": Variant("", "idm"),
    "gtrs": Variant("gtrs", "gtrs"),
    "imitation": Variant("imitation", "imitation"),
    "diffusion": Variant("diffusion", "diffusion"),
    "regression": Variant("regression", "regression"),
    "hydra_next": Variant("hydra_next", "hydra_next"),
    "trajectory": Variant("hydra_next", "hydra_next", {"branches": "trajectory,"}),
}
PAIRS = (
    ("gtrs", "regression"),
    ("gtrs", "imitation"),
    ("gtrs", "diffusion"),
    ("gtrs", "idm"),
    ("gtrs", "pdm"),
    ("hydra_next", "trajectory"),
    ("hydra_next", "regression"),
    ("hydra_next", "idm"),
    ("hydra_next", "pdm"),
)
COLUMNS = {
    "no_ego_at_fault_collisions": "no fault",
    "drivable_area_compliance": "on road",
    "ego_progress_along_expert_route": "progress",
    "time_to_collision_within_bound": "ttc",
    "ego_is_comfortable": "comfort",
}


class Found(NamedTuple):
    """A benchmark of one variant and, where it is trained, of one seed."""

    name: str
    seed: int | None
    results: Results

    @property
    def planner(self) -> str:
        return VARIANTS[self.name].planner


def label(name: str, seed: int | None) -> str:
    """The name of a benchmark's folder."""
    return name if seed is None else f"{name}-{seed}"


def weights_of(folder: Path, recipe: str, seed: int) -> Path:
    """Where the weights of a recipe and seed lie."""
    return folder / f"{recipe}-{seed}" / f"{recipe}.safetensors"


def drive_all(folder: Path, suite: str, seeds: Sequence[int], jobs: int | None = None) -> list[Found]:
    """Every variant's benchmark, driven where it is not there yet."""
    found = list(collected(folder, seeds))
    known = {(f.name, f.seed) for f in found}
    for name, variant in VARIANTS.items():
        for seed in seeds if variant.recipe else (None,):
            settings = dict(variant.settings)
            if seed is not None:
                weights = weights_of(folder, variant.recipe, seed)
                if not weights.is_file():
                    continue
                settings["weights"] = str(weights)
            if (name, seed) in known:
                continue
            out = folder / "bench" / label(name, seed)
            print(f"{label(name, seed)} ...", flush=True)
            options = Options(
                planners=[variant.planner], settings={variant.planner: settings}, suite=suite, out=out,
                jobs=jobs, resume=out.exists(), command=["python", "-m", "drive.eval.training.trained"],
            )  # fmt: skip
            found.append(Found(name, seed, run_bench(options)))
    return found


def collected(folder: Path, seeds: Sequence[int]) -> Iterator[Found]:
    """The benchmarks that are in a folder."""
    for name, variant in VARIANTS.items():
        for seed in seeds if variant.recipe else (None,):
            path = folder / "bench" / label(name, seed)
            if (path / "results.json").is_file():
                yield Found(name, seed, Results.load(path))


def scores_table(found: Sequence[Found]) -> list[str]:
    """Lines of a Markdown table: what each is worth."""
    head = ["planner", "seed", f"`{SCORE}` [95 %]", "scenes", "failed", "at fault", *COLUMNS.values()]
    out = [_row(head), _row(["---"] * len(head))]
    for f in found:
        entry = f.results.planner(f.planner)
        score = entry["scores"][SCORE]
        rows = [row for row in entry["scenarios"] if row["valid"]]
        failed = sum(n for key, n in entry["failures"].items() if key.startswith("planner"))
        means = []
        for column in COLUMNS:
            values = [row["metrics"][column] for row in rows if row["metrics"].get(column) is not None]
            means.append(f"{sum(values) / len(values):.2f}" if values else "-")
        figure = f"{score['mean']:.3f} [{score['ci95'][0]:.3f}, {score['ci95'][1]:.3f}]"
        seed = "" if f.seed is None else str(f.seed)
        fault = str(entry["at_fault_collisions"])
        out.append(_row([f"`{f.name}`", seed, figure, str(len(rows)), str(failed), fault, *means]))
    return out


def pairs_table(found: Sequence[Found]) -> list[str]:
    """Lines of a Markdown table: mean differences, scene by scene."""
    out = [_row(["difference", "seed", "mean [95 %]", "scenes"]), _row(["---"] * 4)]
    for first, second in PAIRS:
        for a in (f for f in found if f.name == first):
            for b in (f for f in found if f.name == second and f.seed in (a.seed, None)):
                d = compare((a.results, a.planner), (b.results, b.planner), SCORE)
                if d.mean is None or d.ci95 is None:
                    raise InputError(f"{label(first, a.seed)} and {label(second, b.seed)} share no scene")
                figure = f"{d.mean:+.3f} [{d.ci95[0]:+.3f}, {d.ci95[1]:+.3f}]"
                out.append(_row([f"`{first}` - `{second}`", str(a.seed), figure, str(d.n)]))
    return out


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: drive what is missing, and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.training.trained", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suite", default="test")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--jobs", type=int, default=None)
    given = parser.parse_args(arguments)
    try:
        seeds = [int(seed) for seed in given.seeds.split(",")]
        found = drive_all(given.folder, given.suite, seeds, given.jobs)
        lines = [*scores_table(found), "", *pairs_table(found)]
    except (DriveError, ValueError) as error:
        parser.exit(1, f"error: {error}\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
