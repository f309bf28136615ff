"""The formula's parameters as the expert's own drive shows them, and likely ones for what it did not do.

The margins are those of Meng and Fan's code; the windows are those of a training set, 4 s each. Others move
as they are forecast to, here as when driving: the set does not know their future, and nobody is to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from drive.nn._torch import Tensor, torch
from drive.planners.stl_diffusion.motion import MotionSettings, judged, states_of
from drive.planners.stl_diffusion.signals import Ground, make_ground, moved_on, signals_of
from drive.planners.stl_diffusion.template import MODES, REACH, book

if TYPE_CHECKING:
    from drive.nn.scene import SceneArrays


@dataclass(frozen=True, slots=True)
class Margins:
    """What is allowed beyond the expert's own extremes: m/s, m, m, and 1 - cos of an angle. `outlier` m away
    from every lane nothing is learnt of a moment."""

    speed: float = 1.0
    offset: float = 0.3
    clearance: float = 0.1
    heading: float = 0.1
    slowest: float = -0.3
    outlier: float = 4.0


class Calibrated(NamedTuple):
    """What B moments are learnt with."""

    mode: Tensor  # (B,) which of MODES the expert drove, by the lane that it ends in
    known: Tensor  # (B, 3) whether there is a lane for it
    own: Tensor  # (B, 6) the parameters of what the expert did
    usable: Tensor  # (B,) whether the expert's future is known and is near a lane
    foreseen: Tensor  # (B,) whether the expert drives through nobody as they are forecast to move
    ground: Ground
    signals: dict[str, Tensor]  # of the expert in all three modes, (B, 3, 1, T)


def look_times(motion: MotionSettings, like: Tensor) -> Tensor:
    """The judged times `(T,)` in s from now."""
    count = motion.steps // motion.look
    return motion.look_dt * torch.arange(1, count + 1, dtype=like.dtype, device=like.device)


def calibrate(
    scene: SceneArrays, future: Tensor, valid: Tensor, motion: MotionSettings, margins: Margins | None = None
) -> Calibrated:
    """The expert's parameters from its `future (B, steps, 3)`, known where `valid (B, steps)`."""
    g = margins or Margins()
    future = future[:, : motion.steps].nan_to_num()
    ground = make_ground(scene, MODES, moved_on(scene, look_times(motion, future)))
    states = judged(motion, states_of(motion, future))[:, None, None].expand(-1, len(MODES), -1, -1, -1)
    signals = signals_of(ground, states)
    away = signals["offset"][:, :, 0, -1].abs().masked_fill(~ground.known, torch.inf)
    mode = away.argmin(1)
    usable = valid[:, : motion.steps].all(1) & (away.amin(1) < g.outlier)
    mine = {name: value[torch.arange(len(mode)), mode, 0] for name, value in signals.items()}
    # Who changes lanes is in the new one only later on.
    count = mine["speed"].shape[-1]
    late = round(_reach() / motion.look_dt)
    step = torch.arange(count, device=mode.device)
    counted = (step >= min(late, count - 1)) | (mode == 0)[:, None]
    low = mine["offset"].masked_fill(~counted, torch.inf).amin(1) - g.offset
    high = mine["offset"].masked_fill(~counted, -torch.inf).amax(1) + g.offset
    turn = mine["heading_error"].masked_fill(~counted, 0.0).amax(1) + g.heading
    own = torch.stack(
        (
            (mine["speed"].amin(1) - g.speed).clamp(min=g.slowest),
            mine["speed"].amax(1) + g.speed,
            low,
            high,
            (mine["clearance"].amin(1) - g.clearance).clamp(min=0.0),
            turn,
        ),
        -1,
    )
    foreseen = mine["clearance"].amin(1) >= 0.0
    return Calibrated(mode, ground.known, own, usable, foreseen, ground, signals)


def likely(found: Calibrated, generator: torch.Generator, margins: Margins | None = None) -> Tensor:
    """Parameters `(B, 3, 6)`: the expert's for what it did, drawn ones for the other modes.

    Where the published code takes one bound twice, dmax' is drawn from dmax on.
    """
    g = margins or Margins()
    count = len(found.own)

    def draw(low: float, high: float) -> Tensor:
        drawn = torch.rand((count, 3), generator=generator).to(found.own)
        return low + (high - low) * drawn

    vmin, vmax, dmin, dmax, dsafe, thmax = (found.own[:, None, k] for k in range(6))
    keep = torch.tensor([mode == "keep" for mode in MODES], device=found.own.device)
    lowest, highest = draw(-2.5, -0.5), draw(0.5, 2.5)
    # The expert's bounds are of another lane unless it kept to its own.
    kept = keep & (found.mode == 0)[:, None]
    other = torch.stack(
        (
            (vmin - draw(1.3, 3.0)).clamp(min=g.slowest),
            vmax + draw(1.3, 3.0),
            torch.where(kept, dmin - draw(0.0, 2.5), lowest),
            torch.where(kept, dmax + draw(0.0, 2.5), highest),
            (dsafe - draw(0.0, 1.5)).clamp(min=0.0),
            thmax + draw(0.0, 0.3),
        ),
        -1,
    )
    did = torch.arange(3, device=found.mode.device) == found.mode[:, None]
    return torch.where(did[..., None], found.own[:, None], other)


def _reach() -> float:
    return book().rule("offset_reached").parameters[REACH]


__all__ = ["Calibrated", "Margins", "calibrate", "likely", "look_times"]
