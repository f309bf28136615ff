"""The bounds that a driver is told: how a broken one is met again, and likely ones to learn with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.nn._torch import Tensor, torch
from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.signals import signals_of
from drive.planners.stl_diffusion.template import MODES, PARAMETERS

if TYPE_CHECKING:
    from drive.planners.stl_diffusion.signals import Ground

RAMPS = {"speed": 1.5, "offset": 0.7, "heading": 0.05, "clearance": 0.5}
"""m/s^2, m/s, 1/s, m/s: how fast a bound that is broken now has to be met again. Without this a broken bound
says the same of every sample."""
NO_LIMIT = 15.0
"""m/s; where the way tells no limit."""
_EGO = {name: k for k, name in enumerate(EGO_COLUMNS)}


def relaxed(ground: Ground, wanted: Tensor, times: Tensor) -> dict[str, Tensor]:
    """The parameters `(B, M, 6)` as traces `(B, M, 1, T)`: what is broken now has to be met by and by."""
    b, m = wanted.shape[:2]
    now = torch.zeros(b, m, 1, 1, 7, dtype=wanted.dtype, device=wanted.device)
    now[..., 3] = ground.ego[:, _EGO["speed"]].view(b, 1, 1, 1)
    first = ground.others._replace(places=ground.others.places[:, :, :1])
    signals = signals_of(ground._replace(others=first), now)
    speed, offset, turned, gap = (
        signals[name][..., :1] for name in ("speed", "offset", "heading_error", "clearance")
    )
    by = {name: value[..., None, None] for name, value in zip(PARAMETERS, wanted.unbind(-1), strict=True)}
    fast, across, turn, near = (RAMPS[name] * times for name in ("speed", "offset", "heading", "clearance"))
    return {
        "vmin": torch.minimum(by["vmin"], speed + fast),
        "vmax": torch.maximum(by["vmax"], speed - fast),
        "dmin": torch.minimum(by["dmin"], offset + across),
        "dmax": torch.maximum(by["dmax"], offset - across),
        "dsafe": torch.minimum(by["dsafe"], gap.clamp(min=0.0) + near),
        "thmax": torch.maximum(by["thmax"], turned - turn),
    }


def ordered(ego: Tensor, generator: torch.Generator) -> Tensor:
    """Bounds `(B, 3, 6)` as somebody would order them, whatever the vehicle does now: a speed up to the limit
    or somewhat above, mostly no least one, a metre to either side, room to others, a heading."""

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((len(ego), len(MODES)), generator=generator).to(ego)

    limit = ego[:, _EGO["limit"], None]
    limit = torch.where(limit > 0.5, limit, torch.full_like(limit, NO_LIMIT))
    vmax = limit * torch.where(draw(0.0, 1.0) < 0.5, draw(0.3, 1.0), draw(0.9, 1.1))
    vmin = torch.where(draw(0.0, 1.0) < 0.8, -0.3, vmax * draw(0.0, 0.6))
    return torch.stack((vmin, vmax, -draw(0.5, 1.6), draw(0.5, 1.6), draw(0.0, 1.5), draw(0.08, 0.3)), -1)


def bounds_of(ground: Ground, parameters: Tensor, eased: Tensor, times: Tensor) -> dict[str, Tensor]:
    """Parameters `(B, M, 6)` as traces `(B, M, 1, T)`: relaxed ones for moments that are `eased (B,)`."""
    slack = relaxed(ground, parameters, times)
    firm = dict(zip(PARAMETERS, parameters[..., None, None].unbind(2), strict=True))
    mine = eased.view(-1, 1, 1, 1)
    return {name: torch.where(mine, slack[name], firm[name]) for name in PARAMETERS}


__all__ = ["NO_LIMIT", "RAMPS", "bounds_of", "ordered", "relaxed"]
