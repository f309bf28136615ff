"""Which sample is driven: of those that obey one that gets far, calmly, in its lane, closing in on nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, torch
from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.bounds import NO_LIMIT
from drive.planners.stl_diffusion.kernel import measure
from drive.planners.stl_diffusion.signals import FARTHEST, NEAREST, Others, among
from drive.planners.stl_diffusion.template import BOUNDS, TERMS

if TYPE_CHECKING:
    from drive.planners.stl_diffusion.scorer import Looked, Scorer

_LIMIT, _NOW = EGO_COLUMNS.index("limit"), EGO_COLUMNS.index("acceleration")
SECONDS = 0.95
"""s; how far ahead nuPlan's time to collision looks."""
REACTION, BRAKES, HARD, MARGIN = 1.0, 4.0, 5.0, 0.5
"""s, m/s^2, m/s^2, m: when and how the ego brakes, how others do now, and what is to be left between them."""
BEYOND = 1.0
"""m; what is left to somebody ahead beyond that."""
ROOMS = (1.0, 2.0, 3.0, 4.0)
"""m; how much of this there is to be ahead of where a sample ends: to come around whoever stands there."""
VERGE = 0.4
"""m; what is to be left to the road's edge: nobody follows a path to the decimetre."""
_CALM, _FIRM = 3.0, 2.0
"""m/s^2; a change of acceleration from one knot to the next that counts 1; what is not harsh yet."""


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """What samples that obey are weighed by.

    `progress` counts what a sample drives, as a share of what the limit allows; `comfort` takes off the mean
    square of its changes of acceleration, `centre` its mean distance in m from the lane's centre, `stay` for
    another lane, `change` for another sample than the last plan's. `ahead` takes off where within a second of
    driving on straight it would touch somebody who does so too: the share of its states of which this is so.
    `stopping` takes off where it could not stop any more behind who brakes hard from now on, were it to
    brake after a second. `margin` takes off what robustness lacks of half a unit, `harsh` the square of what
    the greatest acceleration has above 3 m/s^2, or its first change above 2. `room` takes off what of 4 m
    straight ahead is not free where a sample ends, `verge` what of 0.4 m to the road's edge is not kept.
    """

    progress: float = 1.0
    comfort: float = 0.3
    centre: float = 0.1
    stay: float = 0.1
    change: float = 0.02
    ahead: float = 1.0
    stopping: float = 0.5
    margin: float = 0.2
    harsh: float = 0.15
    room: float = 1.0
    verge: float = 0.6

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(f"a choice's {name} is 0 or more, not {getattr(self, name)}")


def harm(scorer: Scorer, found: Looked) -> Tensor:
    """How bad it is that samples break the formula, `(B, M, N)`, 0 and more: contact the more the sooner and
    the faster, then the road's edge and red lights, and by far the least speed, place and heading."""
    motion = scorer.motion
    lacks = dict(zip(TERMS, (-found.terms).clamp(min=0.0), strict=True))
    touches = found.clearance < 0.0
    first = touches.int().argmax(-1, keepdim=True)
    speed = found.states[..., motion.look :: motion.look, 3].gather(-1, first)[..., 0]
    soon = 1.0 - first[..., 0] / touches.shape[-1]
    # Who stops and then drives on into somebody is worse than who stands.
    speed = speed + found.states[..., 1:, 3].mean(-1)
    contact = torch.where(touches.any(-1), 2.0 + 2.0 * soon + 0.1 * speed, 0.5 * lacks["safe"].clamp(max=2.0))
    hard = torch.stack([(lacks[name] > 0.0) * 0.5 + lacks[name].clamp(max=2.0) for name in BOUNDS]).sum(0)
    soft = torch.stack([lacks[name].clamp(max=5.0) for name in ("speed", "offset", "heading")]).sum(0)
    out: Tensor = contact + hard + 0.05 * soft
    return out


def closing(scorer: Scorer, states: Tensor, later: Others, seconds: float) -> Tensor:
    """The share of judged states `(B, M, N)` from which driving straight on for `seconds` meets somebody;
    `later` is where others are then."""
    motion = scorer.motion
    b, m, n = states.shape[:3]
    at = states[..., motion.look :: motion.look, :4].clone()
    way = BEYOND + seconds * at[..., 3]
    at[..., 0] += way * torch.cos(at[..., 2])
    at[..., 1] += way * torch.sin(at[..., 2])
    place = among(scorer.place, later)
    found = measure(place, at.flatten(0, 1).cpu().contiguous().numpy(), NEAREST, FARTHEST, False).signals[3]
    gap = torch.from_numpy(found).view(b, m, n, -1)
    return (gap < 0.0).float().mean(-1).to(states.device)


def narrow(scorer: Scorer, states: Tensor) -> Tensor:
    """The share of ROOMS that samples `(B, M, N)` have not got straight ahead of where they end."""
    b, m, n = states.shape[:3]
    at = states[..., -1:, :4].repeat(1, 1, 1, len(ROOMS), 1)
    way = torch.tensor(ROOMS).to(at)
    at[..., 0] += way * torch.cos(at[..., 2])
    at[..., 1] += way * torch.sin(at[..., 2])
    others = scorer.ground.others
    there = others._replace(places=others.places[:, :, -1:].repeat(1, 1, len(ROOMS), 1))
    place = among(scorer.place, there)
    found = measure(place, at.flatten(0, 1).cpu().contiguous().numpy(), NEAREST, FARTHEST, False).signals[3]
    gap = torch.from_numpy(found).view(b, m, n, -1)
    return (gap < 0.0).float().mean(-1).to(states.device)


def stopping(scorer: Scorer, states: Tensor, now: Others) -> Tensor:
    """Whether samples `(B, M, N)` come to touch somebody who brakes hard from `now` on: driven for a second,
    then braked along their own path."""
    motion = scorer.motion
    b, m, n = states.shape[:3]
    begin = min(round(REACTION / motion.dt), motion.steps)
    path = states.detach().double().cpu().numpy().reshape(b * m * n, -1, states.shape[-1])
    way = np.zeros(path.shape[:2])
    way[:, 1:] = np.cumsum(path[:, :-1, 3] * motion.dt, 1)
    times = REACTION + np.linspace(0.0, 4.0, 6)
    speed = path[:, begin, 3, None]
    until = np.minimum(times - REACTION, speed / BRAKES)
    goal = way[:, begin, None] + (speed - 0.5 * BRAKES * until) * until
    # Linear in between; a path that ends sooner goes no farther.
    after = np.clip((way[:, None] <= goal[:, :, None]).sum(-1), 1, way.shape[1] - 1)
    rows = np.arange(len(path))[:, None]
    low, high = way[rows, after - 1], way[rows, after]
    share = np.clip((goal - low) / np.maximum(high - low, 1e-9), 0.0, 1.0)[..., None]
    at = np.zeros((len(path), len(times), 4), np.float32)
    at[..., :3] = (1.0 - share) * path[rows, after - 1, :3] + share * path[rows, after, :3]
    moved = (now.places[:, :, 1, :2] - now.places[:, :, 0, :2]) / motion.look_dt
    pace = moved.norm(dim=-1, keepdim=True)
    after = torch.from_numpy(times).to(pace)
    stood = torch.minimum(after, pace / HARD)
    driven = (pace - 0.5 * HARD * stood) * stood / pace.clamp(min=1e-3)
    places = now.places[:, :, :1].repeat(1, 1, len(times), 1)
    places[..., :2] += driven[..., None] * moved[:, :, None] - motion.look_dt * moved[:, :, None]
    place = among(scorer.place, now._replace(places=places))
    found = measure(place, at.reshape(b * m, n, len(times), 4), NEAREST, FARTHEST, False).signals[3]
    return torch.from_numpy((found < MARGIN).any(-1)).view(b, m, n).to(states)


def utility(
    scorer: Scorer, found: Looked, drawn: Tensor, settings: ChoiceSettings, later: Others | None = None,
    held: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """What samples `drawn (B, M, N, knots, 2)` are worth, `(B, M, N)`: about 2 for those that obey, at most 0
    for others. `held (B,)` numbers the last plan's sample."""
    s, motion, rho = settings, scorer.motion, found.robustness
    ego = scorer.ground.ego[:, None, None]
    limit = ego[..., _LIMIT]
    limit = torch.where(limit > 0.5, limit, torch.full_like(limit, NO_LIMIT))
    driven = found.states[..., 1:, 3].mean(-1) / limit.clamp(min=3.0)
    asked = (motion.centre + motion.half * drawn[..., 0]) / _CALM
    first = (asked[..., :1] - ego[..., _NOW, None] / _CALM).square() * 0.5
    rough = torch.cat((first, (asked[..., 1:] - asked[..., :-1]).square()), -1).mean(-1)
    jump = _CALM * (asked[..., 0] - ego[..., _NOW] / _CALM).abs() - _FIRM
    hard = torch.maximum(_CALM * asked.abs().amax(-1) - _CALM, jump)
    good = 2.0 + s.progress * driven - s.comfort * rough - s.margin * (0.5 - rho.clamp(max=0.5))
    good = good - s.harsh * hard.clamp(min=0.0).square()
    if s.centre > 0.0:
        good = good - s.centre * found.offset.abs().mean(-1)
    if later is not None and s.ahead > 0.0:
        good = good - s.ahead * closing(scorer, found.states, later, SECONDS)
    if s.verge > 0.0:
        edge = found.terms[TERMS.index("edge")]
        good = good - s.verge * (VERGE - edge).clamp(min=0.0) / VERGE
    if s.room > 0.0:
        good = good - s.room * narrow(scorer, found.states)
    if s.stopping > 0.0:
        good = good - s.stopping * stopping(scorer, found.states, scorer.ground.others)
    if len(scorer.modes) > 1:
        keep = torch.tensor([mode != "keep" for mode in scorer.modes], dtype=rho.dtype, device=rho.device)
        good = good - s.stay * keep[:, None]
    if held is not None:
        flat = good.flatten(1)
        flat[torch.arange(len(flat)), held] += s.change
    out = torch.where(rho > 0.0, good, -harm(scorer, found) - 0.01)
    return out.masked_fill(~scorer.ground.known[..., None], -1e3)


__all__ = ["SECONDS", "ChoiceSettings", "closing", "utility"]
