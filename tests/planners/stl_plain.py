"""The compiled loops of `stl_diffusion` without a compiler, as the tests compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from drive.nn.scene import EGO_COLUMNS
from drive.planners.stl_diffusion.bounds import NO_LIMIT
from drive.planners.stl_diffusion.choice import SECONDS, ChoiceSettings
from drive.planners.stl_diffusion.choice_kernel import (
    BEYOND,
    BRAKED,
    BRAKES,
    CALM,
    FIRM,
    HARD,
    MARGIN,
    REACTION,
    ROOMS,
    VERGE,
)  # fmt: skip
from drive.planners.stl_diffusion.kernel import measure
from drive.planners.stl_diffusion.motion import VEHICLE, MotionSettings
from drive.planners.stl_diffusion.onward import AHEAD, LAG, STRIDE, drawn_on
from drive.planners.stl_diffusion.scorer import Looked, Scorer
from drive.planners.stl_diffusion.signals import FARTHEST, NEAREST, Others, among
from drive.planners.stl_diffusion.template import BOUNDS, TERMS
from drive.planners.stl_diffusion.variants import PACES
from drive.planners.stl_diffusion.variants_kernel import GRID, RETURN, SIDEWAYS, SLOWING, YAWING

Tensor = torch.Tensor
_LIMIT, _NOW = EGO_COLUMNS.index("limit"), EGO_COLUMNS.index("acceleration")


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
    times = np.array(BRAKED)
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


def plain_utility(
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
    asked = (motion.centre + motion.half * drawn[..., 0]) / CALM
    first = (asked[..., :1] - ego[..., _NOW, None] / CALM).square() * 0.5
    rough = torch.cat((first, (asked[..., 1:] - asked[..., :-1]).square()), -1).mean(-1)
    jump = CALM * (asked[..., 0] - ego[..., _NOW] / CALM).abs() - FIRM
    hard = torch.maximum(CALM * asked.abs().amax(-1) - CALM, jump)
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


def plain_variants(
    motion: MotionSettings, states: Tensor, way: Any, caps: Tensor, asides: Tensor,
    paces: tuple[float, ...] = PACES,
) -> Tensor:  # fmt: skip
    """`variants` without a compiler."""
    b, m, drawn_paths, length = states.shape[:4]
    base = states.detach().double().cpu().numpy()
    begun = np.repeat(np.repeat(base[:, :, :1, :1], length, 3), asides.shape[2], 2)
    base = np.concatenate((base, begun), 2)
    count = base.shape[2]
    beside = np.zeros((b, m, count))
    beside[:, :, drawn_paths:] = asides.double().numpy()
    window = motion.every * motion.dt
    gone = np.zeros(base.shape[:4])
    gone[..., 1:] = np.cumsum(base[..., :-1, 3] * motion.dt, -1)
    gone[:, :, drawn_paths:] = 0.0  # the last ones have only begun
    pace = np.asarray(paces)
    cap = caps.detach().double().cpu().numpy()[:, :, None, None]
    speed = np.repeat(base[..., 0, 3, None], len(pace), -1)  # (B, M, K, P)
    horizon = motion.knots * window
    far = float((np.minimum(speed + horizon * max(pace.max(), 0.0), np.maximum(cap, speed)) * horizon).max())
    ends = base[..., -1, :].reshape(b * m, count, -1)
    onward, bends = drawn_on(ends, way, far, motion.curvature, beside.reshape(b * m, count))
    grid = np.arange(0.0, far + 2.0 * GRID, GRID)
    bent = np.empty((b, m, count, len(grid)))
    for row, lane in enumerate(np.ndindex(b, m)):
        for k in range(count):
            # A way beside the lane begins with a bend, the others as the wheels stand.
            first = 0 if beside[(*lane, k)] else 1
            onto = onward[first:] + (0.0 if first else 0.5 * (onward[1] - onward[0]))
            at = np.concatenate((gone[(*lane, k)], gone[(*lane, k, -1)] + onto))
            wheel = np.tan(base[(*lane, k)][:, 5]) / VEHICLE.wheelbase
            bent[(*lane, k)] = np.interp(grid, at, np.concatenate((wheel, bends[row, k, first:])))
    swift = fastest(bent, YAWING * motion.yaw_rate)
    place, drawn = np.zeros_like(speed), np.empty((*speed.shape, motion.knots, 2))
    # The wheels turn evenly from one knot to the next: what that misses of the path's heading is made good.
    course = np.zeros_like(bent)
    course[..., 1:] = np.cumsum(0.5 * GRID * (bent[..., 1:] + bent[..., :-1]), -1)
    held, missed = np.repeat(bent[..., :1], len(pace), -1), np.zeros_like(speed)
    for k in range(motion.knots):
        goal = np.maximum(speed + np.minimum(window * pace, np.maximum(cap - speed, -window * SLOWING)), 0.0)
        there = place + 0.5 * window * (speed + goal)
        limit = taken(swift, there)
        after = np.where(pace >= 0.0, np.minimum(goal, np.maximum(limit, speed - window * SLOWING)), goal)
        after = np.maximum(after, 0.0)
        way_on = 0.5 * window * (speed + after)
        before, place = place, place + way_on
        half = 0.5 * np.maximum(way_on, 2.0 * GRID)
        mean = (taken(course, place + half) - taken(course, place - half)) / (2.0 * half)
        turn = np.clip(mean + RETURN * missed / (2.0 * half), -motion.curvature, motion.curvature)
        missed = missed + taken(course, place) - taken(course, before) - 0.5 * way_on * (held + turn)
        held = turn
        # Who stands goes on braking: a speed of 0 is held so.
        asked = np.where((after <= 0.0) & (pace < 0.0), pace, (after - speed) / window)
        drawn[..., k, 0] = (asked - motion.centre) / motion.half
        drawn[..., k, 1] = turn * np.maximum(after, motion.slowest) / motion.yaw_rate
        speed = after
    found = torch.from_numpy(drawn.reshape(b, m, count * len(pace), motion.knots, 2))
    return found.to(states).clamp(-1.0, 1.0)


def taken(values: Any, places: Any) -> Any:
    """`values (..., G)` every GRID m as they are at `places (..., P)`, linear in between."""
    at = np.clip(places / GRID, 0.0, values.shape[-1] - 1.001)
    index = at.astype(np.int64)
    share = at - index
    low, high = (np.take_along_axis(values, index + k, -1) for k in (0, 1))
    return (1.0 - share) * low + share * high


def fastest(bent: Any, yaw_rate: float) -> Any:
    """How fast paths of curvatures `bent (..., G)` may be driven: with this yaw rate and SIDEWAYS at most,
    slowed down for by SLOWING."""
    bent = np.maximum(np.abs(bent), 1e-3)
    out = np.minimum(yaw_rate / bent, np.sqrt(SIDEWAYS / bent))
    for k in range(out.shape[-1] - 2, -1, -1):
        ahead = np.sqrt(np.square(out[..., k + 1]) + 2.0 * SLOWING * GRID)
        out[..., k] = np.minimum(out[..., k], ahead)
    return out


def plain_drawn_on(states: Any, way: Any, far: float, most: float, beside: Any) -> Any:
    """`drawn_on` without a compiler: all paths at once."""
    x, y, heading = (states[..., k].copy() for k in range(3))
    points = way.starts.detach().double().cpu().numpy()
    there: Any = np.asarray(way.missing.cpu().numpy() == 0.0)
    known = np.any(there, -1)[:, None]
    last = np.where(there, np.arange(there.shape[1]), 0).max(-1)[:, None]
    step = np.median(way.lengths.detach().cpu().numpy()[there]) if there.any() else 1.0
    index = np.round(np.clip(states[..., 3], *AHEAD) / step).astype(np.int64)
    row = np.arange(len(states))[:, None]
    onward = np.arange(0.0, max(far, 0.0) + 2.0 * STRIDE, STRIDE)
    # Wheels turn by and by: knots are half a second apart.
    share = np.minimum(STRIDE / np.maximum(LAG * states[..., 3], STRIDE), 1.0)
    held = np.tan(states[..., 5]) / VEHICLE.wheelbase
    out = np.zeros((*x.shape, len(onward)))
    for k in range(len(onward)):
        square = np.square(points[:, None] - np.stack((x, y), -1)[:, :, None]).sum(-1)
        near = np.where(there[:, None], square, np.inf).argmin(-1)
        number = np.minimum(near + index, last)
        along = way.directions.detach().double().cpu().numpy()[row, number]
        goal = points[row, number] + beside[..., None] * np.stack((-along[..., 1], along[..., 0]), -1)
        dx, dy = goal[..., 0] - x, goal[..., 1] - y
        aside = dy * np.cos(heading) - dx * np.sin(heading)
        bend = np.where(known, 2.0 * aside / np.maximum(dx * dx + dy * dy, 9.0), 0.0)
        held = held + share * (np.clip(bend, -most, most) - held)
        out[..., k] = bend = held
        middle = heading + 0.5 * STRIDE * bend
        x, y, heading = x + STRIDE * np.cos(middle), y + STRIDE * np.sin(middle), heading + STRIDE * bend
    return onward, out
