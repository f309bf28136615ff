"""Patience: who has stood for nothing for some time may go farther aside, and would rather move.

At a green light in a tight turn all samples may stand: those that move cut the corner by more than the bound
allows, and none is drawn that does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.geometry import to_frame
from drive.nn.scene import EGO_COLUMNS
from drive.vehicle import SPEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn._torch import Tensor
    from drive.planner import Observation

STANDS, MOVES = 0.3, 1.0
"""m/s up to which the ego stands, and m that a sample gets away to be one that moves."""
ASIDE = 1.0
"""m beside the ego's own width within which somebody ahead is in its way."""
DRIVES, MINDED = 1.0, 25.0
"""m/s, m: who drives so near ahead, to whatever side, may be waited for."""
_LINES = [EGO_COLUMNS.index(name) for name in ("stop_distance", "red_distance", "goal_distance")]
_BODY = [EGO_COLUMNS.index(name) for name in ("length", "width", "rear_to_centre")]


@dataclass(frozen=True, slots=True)
class PatienceSettings:
    """Who has stood `after` s (inf: for ever) with `room` m ahead free of others and of lines to wait
    at may go `wider` m farther to the right for `lasts` s, and samples that stand lose `worth` meanwhile."""

    after: float = 3.0
    room: float = 8.0
    wider: float = 1.0
    lasts: float = 6.0
    worth: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) >= 0.0 or (name != "after" and math.isinf(getattr(self, name))):
                raise InputError(f"stl_diffusion's patience.{name} is 0 or more, not {getattr(self, name)}")


class Stood(NamedTuple):
    """Since when the ego stands for nothing, and until when its bound is wide, s; nan and -inf: not."""

    since: float = math.nan
    until: float = -math.inf

    def wide(self, time: float) -> bool:
        """Whether the bound is wide at a time."""
        return time < self.until

    def next(self, s: PatienceSettings, o: Observation, ego: NDArray[np.float32]) -> Stood:
        """After an observation, of which `ego (14,)` are `EGO_COLUMNS`."""
        if not stands_for_nothing(s, o, ego):
            return Stood(math.nan, self.until)
        since = o.time if math.isnan(self.since) else self.since
        if o.time - since >= s.after and not self.wide(o.time):
            return Stood(since, o.time + s.lasts)
        return Stood(since, self.until)


def stands_for_nothing(s: PatienceSettings, o: Observation, ego: NDArray[np.float32]) -> bool:
    """Whether the ego stands with neither somebody nor a line within the room ahead, and nobody drives by."""
    if abs(float(o.ego[SPEED])) > STANDS or float(ego[_LINES].min()) < s.room:
        return False
    length, width, centre = (float(ego[k]) for k in _BODY)
    there = np.flatnonzero(o.agent_valid & np.isfinite(o.agents[:, :3]).all(1))
    poses, half = to_frame(o.agents[there, :3], o.ego[:3]), 0.5 * o.agent_size[there]
    c, n = np.abs(np.cos(poses[:, 2])), np.abs(np.sin(poses[:, 2]))
    gap = poses[:, 0] - half[:, 0] * c - half[:, 1] * n - (centre + 0.5 * length)
    aside = np.abs(poses[:, 1]) - half[:, 0] * n - half[:, 1] * c - 0.5 * width
    ahead = poses[:, 0] > 0.0
    drives = np.hypot(o.agents[there, 3], o.agents[there, 4]) > DRIVES
    near = np.hypot(poses[:, 0], poses[:, 1]) < MINDED
    return not bool((ahead & ((gap < s.room) & (aside < ASIDE) | drives & near)).any())


def standing(states: Tensor) -> Tensor:
    """Which of samples' states `(..., steps + 1, 7)` end where they begin."""
    ends: Tensor = states[..., -1, :2].norm(dim=-1) < MOVES
    return ends


__all__ = ["PatienceSettings", "Stood", "standing", "stands_for_nothing"]
