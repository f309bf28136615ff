"""Whether samples obey changed parameters: the greatest speed halved, more room asked for, another lane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.nn._torch import Tensor, torch
from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.bounds import NO_LIMIT, relaxed
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.motion import judged
from drive.planners.stl_diffusion.sampling import draw, told_of
from drive.planners.stl_diffusion.signals import signals_of
from drive.planners.stl_diffusion.template import MODES, PARAMETERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planners.stl_diffusion.evaluate import Moments
    from drive.planners.stl_diffusion.model import PolicyNet
    from drive.planners.stl_diffusion.sampling import SampleSettings
    from drive.planners.stl_diffusion.scorer import Scorer

    Floats = NDArray[np.float64]

CONTROLS = {
    "peak": "`vmax` halved: share of samples that obey the rest and stay below it",
    "faster": "`vmax` halved: m/s that who obeys drives less, on average",
    "room": "`dsafe` from 0.1 to 1.5 m: metres that who obeys keeps more to the nearest",
    "side": "`mode` left or right: share of who obeys that ends on that side of the lane it was in",
}
_SPEED, _LIMIT = EGO_COLUMNS.index("speed"), EGO_COLUMNS.index("limit")
NEAR = 15.0
"""m; who has nobody nearer than this cannot keep more room."""


def orders(ego: Tensor, **changed: float) -> Tensor:
    """Parameters `(B, 3, 6)` as somebody orders them; half of `vmax` is above the speed now."""
    limit = torch.where(ego[:, _LIMIT] > 0.5, ego[:, _LIMIT], NO_LIMIT)
    vmax = torch.maximum(limit, 2.0 * (ego[:, _SPEED] + 0.5)) * changed.get("vmax", 1.0)
    given = {"vmin": -0.3, "dmin": -1.3, "dmax": 1.3, "dsafe": 0.1, "thmax": 0.15} | changed
    columns = [vmax if name == "vmax" else torch.full_like(vmax, given[name]) for name in PARAMETERS]
    return torch.stack(columns, -1)[:, None].expand(-1, len(MODES), -1)


@torch.no_grad()
def controlled(
    model: PolicyNet, moments: Moments, samples: int, how: SampleSettings, seed: int
) -> dict[str, Floats]:
    """CONTROLS of each moment `(B,)`; NaN where there is nothing to compare."""
    base = moments.scorer
    times, ego = look_times(base.motion, base.ground.ego), base.ground.ego
    known = base.ground.known[..., None]

    def drawn(**changed: float) -> tuple[dict[str, Tensor], Tensor, Scorer, Tensor]:
        asked = orders(ego, **changed)
        scorer = replace(base, parameters=relaxed(base.ground, asked, times), gradients=0)
        told = told_of(model, moments.view, scorer, asked)
        found = draw(model, told, scorer, samples, how, torch.Generator().manual_seed(seed))
        states = judged(base.motion, scorer.states(found.drawn))
        return signals_of(base.ground, states), (found.robustness > 0.0) & known, scorer, states

    plain, obeys, _, states = drawn()
    slow, slower, scorer, _ = drawn(vmax=0.5)
    wide, wider, _, _ = drawn(dsafe=1.5)
    half = orders(ego, vmax=0.5)[:, :, 1][..., None]
    terms = {"peak": slow["speed"].amax(-1) <= half + 1e-4}
    # All samples that keep the other clauses, whatever their speed.
    rest = _but_speed(scorer, slow) & known
    out = {"peak": _mean(terms["peak"].double(), rest)}
    out["faster"] = _mean(plain["speed"].mean(-1), obeys) - _mean(slow["speed"].mean(-1), slower)
    gaps = [signals["clearance"].amin(-1) for signals in (wide, plain)]
    near = (gaps[1].masked_fill(~known, NEAR).flatten(1).amin(1) < NEAR).numpy()
    out["room"] = np.where(near, _mean(gaps[0], wider) - _mean(gaps[1], obeys), np.nan)
    # The offset from the lane of `keep`, whatever lane was asked for.
    offsets = []
    for row, sign in ((1, 1.0), (2, -1.0)):
        moved = states[:, row : row + 1].expand(-1, len(MODES), -1, -1, -1)
        side = sign * signals_of(base.ground, moved)["offset"][:, 0, :, -1] > 0.5
        offsets.append((side.double(), obeys[:, row]))
    both = torch.stack([side for side, _ in offsets], 1), torch.stack([mask for _, mask in offsets], 1)
    out["side"] = _mean(*both)
    return out


def _but_speed(scorer: Scorer, signals: dict[str, Tensor]) -> Tensor:
    """Who keeps all clauses but that of speed."""
    terms = scorer.template.terms(signals, scorer.parameters, scorer.modes)
    return torch.stack([value for name, value in terms.items() if name != "speed"]).amin(0) > 0.0


def _mean(values: Tensor, mask: Tensor) -> Floats:
    """The mean of `values (B, M, N)` where `mask`, by moment; NaN where there are none."""
    weight = mask.double().flatten(1)
    count = weight.sum(1)
    found = (values.double().flatten(1) * weight).sum(1) / count.clamp(min=1.0)
    return torch.where(count > 0.0, found, torch.nan).numpy()


__all__ = ["CONTROLS", "controlled", "orders"]
