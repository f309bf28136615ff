"""More to imitate than the expert showed: trajectory optimisation in all modes, stored beside a training set.

A folder of plain arrays as training sets are (`drive.nn.store`), read through memory maps, one row a moment;
a run that was killed goes on after its last whole chunk, to the same bytes.

row                        which row of the training set
known, mode, usable        see `calibrate.Calibrated`
parameters (3, 6)          by mode
eased                      whether the parameters are ordered ones, whose broken bounds are met by and by
drawn (3, n, knots, 2)     what trajectory optimisation found; robustness (3, n) of it, hard
expert (knots, 2)          what the expert's future is, drawn; expert_robustness of it in its own mode
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.store import HEADER, JOURNAL, Field, TrainingSet
from drive.nn.tokens import scene_batch
from drive.nn.writer import Writer, plain
from drive.planners.stl_diffusion.bounds import bounds_of, ordered
from drive.planners.stl_diffusion.calibrate import Margins, calibrate, likely, look_times
from drive.planners.stl_diffusion.motion import MotionSettings, fitted
from drive.planners.stl_diffusion.scorer import OptimiseSettings, Scorer, optimise, starts
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, Template, book
from drive.progress import Listener

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import Data


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """Of `rows` moments of a set, drawn by chance, `samples` are optimised in each mode, `chunk` moments at
    once. A share `ordered` of them has parameters as somebody would order them, the others those of what the
    expert did (`calibrate.likely`)."""

    rows: int = 1500
    samples: int = 8
    chunk: int = 64
    ordered: float = 0.5
    optimise: OptimiseSettings = field(default_factory=lambda: OptimiseSettings(steps=60))
    margins: Margins = field(default_factory=Margins)

    def __post_init__(self) -> None:
        if min(self.rows, self.samples, self.chunk) < 1 or self.optimise.steps < 0:
            raise InputError("an augmentation's rows, samples and chunk are 1 or more, its steps 0 or more")


def augmented(
    data: Data,
    folder: str | Path,
    settings: AugmentSettings,
    motion: MotionSettings,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: Listener | None = None,
) -> TrainingSet:
    """The augmentation of a set in `folder`; one that is there is opened, one that was begun is gone on with.

    Raises InputError where the folder holds that of another set or of other settings.
    """
    told = progress or Listener()
    place = Path(folder)
    about = {
        "of": data.hash, "settings": asdict(settings), "motion": asdict(motion), "seed": seed,
        "rules": [str(rule.formula) for rule in book().rules], "teacher": None, "vocabulary": None,
    }  # fmt: skip
    if (place / HEADER).exists():
        found = TrainingSet.open(place)
        if any(found.header.get(name) != value for name, value in plain(about).items()):
            raise InputError(f"'{place}' holds another augmentation: remove it, or give another folder")
        return found
    n, knots = settings.samples, motion.knots
    shapes: dict[str, Field] = {
        "row": Field("<i4", ()), "time": Field("<f4", ()), "known": Field("|b1", (3,)),
        "usable": Field("|b1", ()), "mode": Field("<i4", ()),
        "parameters": Field("<f4", (3, len(PARAMETERS))), "drawn": Field("<f4", (3, n, knots, 2)),
        "robustness": Field("<f4", (3, n)), "eased": Field("|b1", ()), "expert": Field("<f4", (knots, 2)),
        "expert_robustness": Field("<f4", ()),
    }  # fmt: skip
    chosen = np.sort(np.random.default_rng((seed, 4)).permutation(len(data))[: settings.rows])
    writer = Writer(place, shapes, about, resume=(place / JOURNAL).exists())
    try:
        for begin in range(0, len(chosen), settings.chunk):
            rows, name = chosen[begin : begin + settings.chunk], f"rows {begin}"
            if name not in writer.done:
                arrays = _chunk(data, rows, settings, motion, (seed, begin), device)
                about_chunk = {"ref": name, "key": [name], "licence": ", ".join(data.header["licences"])}
                writer.add(about_chunk, arrays)
            told.progress("augmenting", min(begin + settings.chunk, len(chosen)), len(chosen))
        return writer.finish()
    finally:
        writer.close()


def _chunk(
    data: Data,
    rows: NDArray[np.int64],
    settings: AugmentSettings,
    motion: MotionSettings,
    seed: tuple[int, int],
    device: str,
) -> dict[str, NDArray[Any]]:
    fields = data.take(rows)
    scene = scene_batch(fields, device).scene
    if scene is None:
        raise InputError("an augmentation needs the arrays of scenes: the set has none")
    generator = torch.Generator().manual_seed(int(np.random.default_rng((*seed, 5)).integers(2**31)))
    future = torch.from_numpy(fields["future"]).to(device)[:, : motion.steps].nan_to_num()
    valid = torch.from_numpy(fields["future_valid"]).to(device)[:, : motion.steps]
    found = calibrate(scene, future, valid, motion, settings.margins)
    parameters = likely(found, generator, settings.margins)
    eased = torch.rand(len(rows), generator=generator).to(device) < settings.ordered
    parameters = torch.where(eased[:, None, None], ordered(scene.ego, generator), parameters)
    bounds = bounds_of(found.ground, parameters, eased, look_times(motion, parameters))
    scorer = Scorer(Template(motion.look_dt), motion, found.ground, MODES, bounds)
    shape = (len(rows), len(MODES), settings.samples, motion.knots, 2)
    how = settings.optimise
    first = starts(shape, how.spread, generator, how.steady).to(device)
    drawn = optimise(scorer, first, how)
    expert = fitted(motion, scene.ego, future, valid)
    with torch.no_grad():
        robustness = scorer.robustness(drawn)
        many = expert[:, None, None].expand(-1, len(MODES), 1, -1, -1)
        own = scorer.robustness(many)[torch.arange(len(rows)), found.mode.cpu(), 0]
    arrays = {
        "known": found.known, "usable": found.usable, "mode": found.mode, "parameters": parameters,
        "drawn": drawn, "eased": eased, "robustness": robustness, "expert": expert, "expert_robustness": own,
    }  # fmt: skip
    return {name: value.cpu().numpy() for name, value in arrays.items()} | {
        "row": rows, "time": fields.get("time", np.zeros(len(rows)))
    }  # fmt: skip


__all__ = ["AugmentSettings", "augmented"]
