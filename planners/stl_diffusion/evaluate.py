"""What trained policies are worth on held-out moments, open loop, as a table with bootstrap intervals.

    python -m drive.planners.stl_diffusion.evaluate DATA WEIGHTS [WEIGHTS ...]
        [--rows N] [--samples N] [--optimise STEPS] [--ctg]

DATA is a training set of held-out scenes (`drive train data`). Robustness is the hard one. Others are where
they are forecast to be, so that "touching" is what the forecast says; a moment is no drive. After Meng and
Fan 2024, section V, but for the area: cells of 0.5 m that samples which obey pass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drive.errors import DriveError, InputError
from drive.nn._torch import Tensor, torch
from drive.nn.store import TrainingSet
from drive.nn.tokens import SceneBatch, scene_batch
from drive.planners.learned.intervals import Interval, bootstrap
from drive.planners.stl_diffusion.calibrate import calibrate, likely
from drive.planners.stl_diffusion.model import PolicyNet
from drive.planners.stl_diffusion.motion import MotionSettings, judged
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
    draw,
    told_of,
)
from drive.planners.stl_diffusion.scorer import OptimiseSettings, Scorer, optimise, starts
from drive.planners.stl_diffusion.signals import signals_of
from drive.planners.stl_diffusion.template import MODES, Template

CELL, BINS = 0.5, 10
FIGURES = ("compliance", "success", "area", "entropy", "touching")
Floats = NDArray[np.float64]


class Row(NamedTuple):
    """One method's figures by moment `(B,)`, and what it took in all."""

    name: str
    figures: dict[str, Floats]
    gradients: int
    calls: int
    seconds: float


class Moments(NamedTuple):
    """Held-out moments with parameters, ready to be sampled for."""

    view: SceneBatch
    scorer: Scorer
    parameters: Tensor
    scenes: NDArray[Any]


def rows_of(data: Any, rows: int, seed: int = 0) -> NDArray[np.int64]:
    """Which `rows` moments of a set are drawn by chance; of fewer, fewer of the same."""
    return np.sort(np.random.default_rng((seed, 6)).permutation(len(data))[:rows])


def moments_of(
    data: Any, rows: int, motion: MotionSettings, seed: int = 0, some: slice = slice(None)
) -> Moments:
    """`rows` moments of a set, drawn by chance, or `some` of them; parameters as in training."""
    chosen = rows_of(data, rows, seed)[some]
    fields = data.take(chosen)
    view = scene_batch(fields)
    if view.scene is None:
        raise InputError("the set holds no scenes' arrays")
    future, valid = (torch.from_numpy(fields[name]) for name in ("future", "future_valid"))
    found = calibrate(view.scene, future, valid, motion)
    # Of each moment by itself, so that it has the same ones in whatever company.
    parameters = torch.cat(
        [
            likely(
                found._replace(own=found.own[k : k + 1], mode=found.mode[k : k + 1]),
                torch.Generator().manual_seed(seed + int(row)),
            )
            for k, row in enumerate(chosen)
        ]
    )
    scorer = Scorer.of(Template(motion.look_dt), motion, found.ground, MODES, parameters)
    return Moments(view, scorer, parameters, fields.get("scene_number", chosen))


@torch.no_grad()
def judge(scorer: Scorer, found: Drawn) -> dict[str, Floats]:
    """FIGURES of each moment `(B,)`: shares of samples and of modes, m^2, bits, a share of samples."""
    motion, known = scorer.motion, scorer.ground.known
    states = scorer.states(found.drawn)
    looked = judged(motion, states)
    obeys = (found.robustness > 0.0) & known[..., None]
    count = known.sum(1).clamp(min=1)
    samples = found.robustness.shape[2]
    signals = signals_of(scorer.ground, looked)
    touches = (signals["clearance"].amin(-1) < 0.0) & known[..., None]
    kept = obeys.numpy()
    places = looked[..., :2].numpy()
    area, entropy = np.zeros(len(kept)), np.zeros(len(kept))
    motions = looked[..., (6, 4)].numpy()  # yaw rate, acceleration
    span = ((-motion.yaw_rate, motion.yaw_rate), (-motion.braking, motion.acceleration))
    for row, mask in enumerate(kept):
        cells = np.floor(places[row][mask].reshape(-1, 2) / CELL).astype(np.int64)
        area[row] = CELL * CELL * len(np.unique(cells, axis=0))
        modes = [_entropy(motions[row, m][mask[m]], span) for m in range(len(mask)) if known[row, m]]
        entropy[row] = np.mean(modes) if modes else 0.0
    return {
        "compliance": (obeys.sum((1, 2)) / (samples * count)).double().numpy(),
        "success": (obeys.any(2).sum(1) / count).double().numpy(),
        "area": area,
        "entropy": entropy,
        "touching": (touches.sum((1, 2)) / (samples * count)).double().numpy(),
    }


def _entropy(motions: Floats, span: Sequence[tuple[float, float]]) -> float:
    """Bits of `motions (S, T, 2)`, histograms by time, summed over both columns; 0 without a sample."""
    if not len(motions):
        return 0.0
    total = 0.0
    for k, (low, high) in enumerate(span):
        bins = np.clip(((motions[..., k] - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
        share = (bins[..., None] == np.arange(BINS)).mean(0)  # (T, BINS)
        total += float(-(share * np.log2(np.where(share > 0.0, share, 1.0))).sum(-1).mean())
    return total


def methods(
    moments: Moments, models: dict[str, PolicyNet], samples: int, steps: int, ctg: bool, seed: int = 0
) -> Iterator[Row]:
    """The table's rows; equal noise for all that denoise."""
    scorer, shape = moments.scorer, (len(moments.scenes), len(MODES), samples)

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def timed(name: str, made: Any) -> Row:
        before, began = scorer.gradients, time.process_time()
        found = made()
        spent = time.process_time() - began
        return Row(name, judge(scorer, found), scorer.gradients - before, found.calls, spent)

    def plain(drawn: Tensor) -> Drawn:
        with torch.no_grad():
            return Drawn(drawn, scorer.look(drawn), 0, 0)

    first = starts((*shape, scorer.motion.knots, 2), 0.1, generator())
    yield timed("random starts", lambda: plain(first))
    if steps:
        budget = OptimiseSettings(steps=steps)
        yield timed(f"optimisation, {steps} steps", lambda: plain(optimise(scorer, first, budget)))
    for name, model in models.items():
        refines = model.settings.kind == "ddpm" and model.settings.refines
        kinds = {"": DECODED if model.settings.kind == "vae" else PLAIN}
        if model.settings.kind == "ddpm":
            kinds |= {" + choice": CHOICE}
            kinds |= (
                {" + refine": OURS, " + refine + guidance": GUIDED, " + refine + strong guidance": STRONG}
                if refines
                else {}
            )
            kinds |= {" guided at every step": CTG} if ctg else {}
        for kind, how in kinds.items():
            if how.count > model.settings.diffusion.steps:
                how = replace(how, count=0)
            yield timed(
                f"{name}{kind}",
                lambda model=model, how=how: draw(
                    model, told_of(model, moments.view, scorer, moments.parameters), scorer, samples, how,
                    generator(),
                ),
            )  # fmt: skip


def table(rows: Sequence[Row], scenes: NDArray[Any]) -> str:
    """The rows as Markdown, each figure with its interval over scenes."""
    lines = [
        f"| | {' | '.join(FIGURES)} | gradients | calls | CPU s |", "|---" * (len(FIGURES) + 4) + "|"
    ]  # fmt: skip
    for row in rows:
        cells = [_shown(bootstrap(row.figures[name], scenes)) for name in FIGURES]
        lines.append(
            f"| {row.name} | {' | '.join(cells)} | {row.gradients} | {row.calls} | {row.seconds:.2f} |"
        )
    return "\n".join(lines)


def _shown(i: Interval) -> str:
    return f"{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--optimise", type=int, default=0, help="steps of trajectory optimisation")
    parser.add_argument("--ctg", action="store_true", help="guidance at every step, which is slow")
    given = parser.parse_args(arguments)
    try:
        if min(given.rows, given.samples) < 1 or given.optimise < 0:
            raise InputError("--rows and --samples are 1 or more, --optimise 0 or more")
        models = {str(path.with_suffix("").name): load_policy(path)[0].eval() for path in given.weights}
        if len(models) < len(given.weights):
            models = {str(path.with_suffix("")): load_policy(path)[0].eval() for path in given.weights}
        motions = {model.settings.motion for model in models.values()}
        if len(motions) > 1:
            raise InputError("these weights draw different motions: evaluate them one by one")
        moments = moments_of(TrainingSet.open(given.data), given.rows, motions.pop())
        rows = list(methods(moments, models, given.samples, given.optimise, given.ctg))
    except DriveError as error:
        parser.exit(2, f"{error}\n")
    print(table(rows, moments.scenes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
