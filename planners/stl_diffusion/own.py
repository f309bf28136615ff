"""Whether calibrated formulas accept the drives that they are of, and none that is a little tighter.

    python -m drive.planners.stl_diffusion.own DATA

DATA is a training set. Moments count in which the expert drives through nobody as they are forecast to move.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drive.errors import DriveError, InputError
from drive.nn._torch import torch
from drive.nn.store import TrainingSet
from drive.nn.tokens import scene_batch
from drive.planners.stl_diffusion.calibrate import Margins, calibrate
from drive.planners.stl_diffusion.motion import MotionSettings
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, Template, named

CHUNK = 128


class Accepted(NamedTuple):
    """How many of a set's moments count; the share accepted by the calibrated clauses, and together with the
    clauses on the road's edge and red lines, which have no parameters; by parameter the share rejected when
    it is tightened past its margin, where it could be."""

    moments: int
    own: float
    whole: float
    tighter: dict[str, float]


@torch.no_grad()
def accepted(data: Any, motion: MotionSettings | None = None) -> Accepted:
    """See `Accepted`. Raises InputError for a set without a moment that counts."""
    motion, g = motion or MotionSettings(), Margins()
    template = Template(motion.look_dt)
    past = (
        g.speed + 0.05,
        -g.speed - 0.05,
        g.offset + 0.05,
        -g.offset - 0.05,
        g.clearance + 0.05,
        -g.heading - 0.01,
    )
    own, whole = [], []
    tighter: dict[str, list[Any]] = {name: [] for name in PARAMETERS}
    for begin in range(0, len(data), CHUNK):
        fields = data.take(np.arange(begin, min(begin + CHUNK, len(data))))
        view = scene_batch({name: value for name, value in fields.items() if name.startswith("scene.")})
        if view.scene is None:
            raise InputError("the set holds no scenes' arrays")
        future, valid = (torch.from_numpy(fields[name]) for name in ("future", "future_valid"))
        found = calibrate(view.scene, future, valid, motion)
        there = found.usable & found.foreseen
        row = torch.arange(len(there))

        def robust(parameters: Any, bounds: bool, found: Any = found, row: Any = row) -> Any:
            wide = named(parameters[:, None].expand(-1, len(MODES), -1))
            rho = template.robustness(found.signals, wide, MODES, bounds=bounds)
            return rho[row, found.mode, 0]

        own.append((robust(found.own, False) > 0.0)[there])
        whole.append((robust(found.own, True) > 0.0)[there])
        for k, name in enumerate(PARAMETERS):
            tight = found.own.clone()
            tight[:, k] += past[k]
            # Who is cut at a bound has no margin there.
            could = there
            if name == "vmin":
                could = there & (found.own[:, k] > g.slowest + 1e-4)
            elif name == "dsafe":
                could = there & (found.own[:, k] > 0.0) & (found.own[:, k] < 19.5)
            tighter[name].append((robust(tight, False) < 0.0)[could])
    count = sum(len(part) for part in own)
    if not count:
        raise InputError("the set has no moment whose expert drives as others are forecast to let it")
    shares = {name: float(torch.cat(parts).double().mean()) for name, parts in tighter.items()}
    kept, within = (float(torch.cat(parts).double().mean()) for parts in (own, whole))
    return Accepted(count, kept, within, shares)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    given = parser.parse_args(arguments)
    try:
        found = accepted(TrainingSet.open(given.data))
    except DriveError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{found.moments} moments: {found.own:.4f} accepted, with edge and red lines {found.whole:.4f}")
    print("tightened, rejected: " + ", ".join(f"{name} {share:.4f}" for name, share in found.tighter.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
