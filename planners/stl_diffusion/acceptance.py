"""What trainings of `stl_diffusion` and of its baselines are worth open loop, seeds together, and the bars.

    python -m drive.planners.stl_diffusion.acceptance FOLDER DATA [--seeds 0,1,2] [--rows N] [--dear N]
        [--samples N] [--json FILE]

FOLDER holds `NAME-SEED/stl_diffusion.safetensors` for the names of TRAININGS; what is not there is left out.
DATA is a training set of held-out scenes. Figures are means over moments and seeds, intervals are of whole
scenes drawn again, all methods on the same moments; the dear methods see the first N of them. What was drawn
once is kept in `FOLDER/evaluated`. The bars are those of Meng and Fan's story at this size.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drive.errors import DriveError, InputError
from drive.nn._torch import torch
from drive.nn.store import TrainingSet
from drive.planners.learned.intervals import Interval, bootstrap
from drive.planners.stl_diffusion.controls import CONTROLS, controlled
from drive.planners.stl_diffusion.evaluate import FIGURES, Moments, judge, moments_of, rows_of
from drive.planners.stl_diffusion.model import PolicyNet
from drive.planners.stl_diffusion.motion import MotionSettings
from drive.planners.stl_diffusion.planner import load_policy
from drive.planners.stl_diffusion.sampling import (
    CHOICE,
    CTG,
    DECODED,
    GUIDED,
    OURS,
    PLAIN,
    STRONG,
    Drawn,
    SampleSettings,
    draw,
    told_of,
)
from drive.planners.stl_diffusion.scorer import OptimiseSettings, optimise, starts
from drive.planners.stl_diffusion.template import MODES

Floats = NDArray[np.float64]
TRAININGS = {
    "ours": "",
    "vae": "model.kind=vae",
    "mono": "objective.shows=expert refine.steps=0",
    "vaemono": "model.kind=vae objective.shows=expert",
    "traffic": "model.kind=vae objective.hinge=1 objective.overlap=1",
}
"""What the trainings are called, and the settings that make them."""
STEPS = 150
CHUNK = 50


class Method(NamedTuple):
    """A row of the table: of which training, how it draws, and whether few moments must do."""

    title: str
    training: str
    how: SampleSettings | None = None
    dear: bool = False


METHODS = {
    "random": Method("random starts", ""),
    "optimise": Method(f"trajectory optimisation, {STEPS} steps", "", None, True),
    "vaemono": Method("VAE, no augmentation", "vaemono", DECODED),
    "vae": Method("VAE", "vae", DECODED),
    "traffic": Method("VAE like TrafficSim", "traffic", DECODED),
    "mono": Method("DDPM, no augmentation", "mono", PLAIN),
    "ddpm": Method("DDPM", "ours", PLAIN),
    "choice": Method("+ choice among the last iterates", "ours", CHOICE),
    "refine": Method("+ RefineNet", "ours", OURS),
    "light": Method("+ light guidance", "ours", GUIDED),
    "strong": Method("+ strong guidance", "ours", STRONG, True),
    "ctg": Method("DDPM guided at every step (CTG-like, signed)", "ours", CTG, True),
}


class Kept(NamedTuple):
    """What one method with one training drew: figures by moment `(N,)`, the moments, their scenes."""

    rows: NDArray[np.int64]
    scenes: NDArray[Any]
    figures: dict[str, Floats]
    cost: tuple[float, float, float]  # gradients, calls, CPU seconds in all


def drawn_by(key: str, model: PolicyNet | None, moments: Moments, samples: int, seed: int) -> Drawn:
    """Samples of a method for moments; equal noise for all that denoise."""
    scorer, generator = moments.scorer, torch.Generator().manual_seed(seed)
    if model is None:
        shape = (len(moments.scenes), len(MODES), samples, scorer.motion.knots, 2)
        found = starts(shape, 0.1, generator)
        if key == "optimise":
            found = optimise(scorer, found, OptimiseSettings(steps=STEPS))
        with torch.no_grad():
            return Drawn(found, scorer.look(found), STEPS if key == "optimise" else 0, 0)
    how = METHODS[key].how or PLAIN
    if how.count > model.settings.diffusion.steps:
        how = replace(how, count=0)
    return draw(
        model, told_of(model, moments.view, scorer, moments.parameters), scorer, samples, how, generator
    )


def evaluated(
    folder: Path, data: Any, key: str, seed: int, rows: int, samples: int, motion: MotionSettings
) -> Kept | None:
    """A method's figures with one training, drawn where they are not kept yet; None where it is not there."""
    method = METHODS[key]
    path = folder / "evaluated" / f"{key}-{seed}-{rows}x{samples}.npz"
    if not path.is_file():
        model = None
        if method.training:
            weights = folder / f"{method.training}-{seed}" / "stl_diffusion.safetensors"
            if not weights.is_file():
                return None
            model = load_policy(weights)[0].eval()
        kept = _measured(data, rows, motion, lambda moments: drawn_by(key, model, moments, samples, seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npz")
        np.savez(partial, rows=kept.rows, scenes=kept.scenes, cost=np.array(kept.cost), **kept.figures)  # type: ignore[arg-type]
        partial.replace(path)
    with np.load(path) as file:
        figures = {name: file[name] for name in FIGURES}
        cost = tuple(float(value) for value in file["cost"])
        return Kept(file["rows"], file["scenes"], figures, (cost[0], cost[1], cost[2]))


def _measured(data: Any, rows: int, motion: MotionSettings, make: Callable[[Moments], Drawn]) -> Kept:
    chosen = rows_of(data, rows)
    found: list[dict[str, Floats]] = []
    scenes, cost = [], np.zeros(3)
    for begin in range(0, len(chosen), CHUNK):
        moments = moments_of(data, rows, motion, some=slice(begin, begin + CHUNK))
        began = time.process_time()
        drawn = make(moments)
        spent = time.process_time() - began
        found.append(judge(moments.scorer, drawn))
        scenes.append(moments.scenes)
        cost = np.array((drawn.gradients, drawn.calls, cost[2] + spent))
    figures = {name: np.concatenate([part[name] for part in found]) for name in FIGURES}
    return Kept(chosen, np.concatenate(scenes), figures, (cost[0], cost[1], cost[2]))


class Pooled(NamedTuple):
    """A method over seeds: figures by moment, averaged; and the mean of each figure by seed."""

    rows: NDArray[np.int64]
    scenes: NDArray[Any]
    figures: dict[str, Floats]
    by_seed: dict[str, list[float]]
    cost: tuple[float, float, float]


def pooled(found: Sequence[Kept]) -> Pooled:
    """Seeds together; they saw the same moments."""
    first = found[0]
    figures = {name: np.mean([f.figures[name] for f in found], 0) for name in FIGURES}
    by_seed = {name: [float(f.figures[name].mean()) for f in found] for name in FIGURES}
    cost = np.mean([f.cost for f in found], 0)
    return Pooled(first.rows, first.scenes, figures, by_seed, (cost[0], cost[1], cost[2]))


def more(a: Pooled, b: Pooled, figure: str) -> Interval:
    """How much more of a figure `a` has than `b` on the moments that both saw, 95 % over scenes."""
    at, of = _common(a, b)
    return bootstrap(a.figures[figure][at] - b.figures[figure][of], a.scenes[at])


def ratio(a: Pooled, b: Pooled, figure: str, draws: int = 2000) -> Interval:
    """How many times as much, by means; whole scenes drawn again."""
    at, of = _common(a, b)
    _, scene = np.unique(a.scenes[at], return_inverse=True)
    up, down = (np.bincount(scene, values) for values in (a.figures[figure][at], b.figures[figure][of]))
    picked = np.random.default_rng(0).integers(0, len(up), (draws, len(up)))
    many = up[picked].sum(1) / np.maximum(down[picked].sum(1), 1e-9)
    low, high = np.quantile(many, (0.025, 0.975))
    return Interval(float(up.sum() / max(float(down.sum()), 1e-9)), float(low), float(high))


def _common(a: Pooled, b: Pooled) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _, at, of = np.intersect1d(a.rows, b.rows, return_indices=True)
    return at, of


class Bar(NamedTuple):
    """A figure that was asked for: what of, what it is, and the least it is to be."""

    what: str
    found: Interval
    least: float

    @property
    def holds(self) -> bool:
        return self.found.mean >= self.least


def bars(found: dict[str, Pooled]) -> list[Bar]:
    """What is asked of the methods that were evaluated."""
    out = []
    for a, b, figure, least in (
        ("refine", "ddpm", "compliance", 0.15), ("refine", "vae", "compliance", 0.08),
        ("strong", "ctg", "compliance", 0.1), ("light", "ctg", "compliance", 0.1),
        ("refine", "ddpm", "entropy", 0.0), ("ddpm", "mono", "entropy", 0.0),
        ("vae", "vaemono", "entropy", 0.0),
        ("choice", "ddpm", "compliance", -0.02), ("refine", "choice", "compliance", -0.02),
        ("light", "refine", "compliance", -0.02), ("strong", "light", "compliance", -0.02),
    ):  # fmt: skip
        if a in found and b in found:
            out.append(Bar(f"{figure}, {_name(a)} - {_name(b)}", more(found[a], found[b], figure), least))
    for a, b, least in (
        ("refine", "ddpm", 1.3), ("refine", "vaemono", 2.0), ("ddpm", "mono", 1.5), ("vae", "vaemono", 1.5),
    ):  # fmt: skip
        if a in found and b in found:
            out.append(Bar(f"area, {_name(a)} / {_name(b)}", ratio(found[a], found[b], "area"), least))
    for a, b, least in (("ctg", "light", 17.0), ("ctg", "strong", 9.0)):
        if a in found and b in found:
            count = found[a].cost[0] / max(found[b].cost[0], 1.0)
            out.append(Bar(f"gradients, {_name(a)} / {_name(b)}", Interval(count, count, count), least))
            each = [found[k].cost[2] / len(found[k].rows) for k in (a, b)]
            spent = each[0] / max(each[1], 1e-9)
            out.append(Bar(f"CPU seconds, {_name(a)} / {_name(b)}", Interval(spent, spent, spent), 0.0))
    return out


def _name(key: str) -> str:
    return key if key in ("vaemono", "mono") else METHODS[key].title.removeprefix("+ ").split(" (")[0]


def table(found: dict[str, Pooled], seeds: Iterable[int]) -> list[str]:
    """Lines of Markdown: every figure with its interval over scenes, compliance by seed, what it took."""
    head = ["", *FIGURES, f"compliance by seed ({', '.join(map(str, seeds))})", "moments", "gradients"]
    head += ["calls", "CPU ms a moment"]
    lines = [_line(head), _line(["---"] * len(head))]
    for key, row in found.items():
        cells = [METHODS[key].title]
        for name in FIGURES:
            i = bootstrap(row.figures[name], row.scenes)
            digits = 1 if name == "area" else 3
            cells.append(f"{i.mean:.{digits}f} [{i.low:.{digits}f}, {i.high:.{digits}f}]")
        cells.append(", ".join(f"{value:.3f}" for value in row.by_seed["compliance"]))
        gradients, calls, seconds = row.cost
        cells += [
            str(len(row.rows)),
            f"{gradients:.0f}",
            f"{calls:.0f}",
            f"{1e3 * seconds / len(row.rows):.1f}",
        ]
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def collect(
    folder: Path, data: Any, seeds: Sequence[int], rows: int, dear: int, samples: int
) -> dict[str, Pooled]:
    """All methods whose trainings are there."""
    out = {}
    motion = MotionSettings()
    for key, method in METHODS.items():
        mine = seeds if method.training else seeds[:1]
        kept = [evaluated(folder, data, key, s, dear if method.dear else rows, samples, motion) for s in mine]
        there = [one for one in kept if one is not None]
        if there:
            out[key] = pooled(there)
    if not out:
        raise InputError(f"'{folder}' holds no trainings NAME-SEED/stl_diffusion.safetensors")
    return out


def obeyed(folder: Path, data: Any, seeds: Sequence[int], rows: int, samples: int) -> list[tuple[str, str]]:
    """What changed parameters do, seeds together: CONTROLS and their figures."""
    found = []
    for seed in seeds:
        weights = folder / f"ours-{seed}" / "stl_diffusion.safetensors"
        if weights.is_file():
            model = load_policy(weights)[0].eval()
            moments = moments_of(data, rows, model.settings.motion)
            found.append((controlled(model, moments, samples, GUIDED, seed), moments.scenes))
    out = []
    for name, about in CONTROLS.items() if found else ():
        values = np.concatenate([values[name] for values, _ in found])
        groups = np.concatenate([scenes for _, scenes in found])
        there = np.isfinite(values)
        i = bootstrap(values[there], groups[there])
        out.append((about, f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]"))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--dear", type=int, default=100)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--json", type=Path, help="where the bars go too")
    given = parser.parse_args(arguments)
    try:
        if min(given.rows, given.dear, given.samples) < 1:
            raise InputError("--rows, --dear and --samples are 1 or more")
        seeds = [int(seed) for seed in given.seeds.split(",")]
        data = TrainingSet.open(given.data)
        found = collect(given.folder, data, seeds, given.rows, given.dear, given.samples)
        asked = bars(found)
        lines = [
            *table(found, seeds),
            "",
            _line(["asked", "found [95 %]", "at least", ""]),
            _line(["---"] * 4),
        ]
        for bar in asked:
            cells = [bar.what, f"{bar.found.mean:.3f} [{bar.found.low:.3f}, {bar.found.high:.3f}]"]
            lines.append(_line([*cells, f"{bar.least:g}", "holds" if bar.holds else "**missed**"]))
        lines += ["", _line(["changed", "found [95 %]"]), _line(["---"] * 2)]
        lines += [_line(row) for row in obeyed(given.folder, data, seeds, given.dear, given.samples)]
        if given.json:
            plain = [
                {"what": b.what, "found": list(b.found), "least": b.least, "holds": b.holds} for b in asked
            ]
            given.json.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    except (DriveError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
