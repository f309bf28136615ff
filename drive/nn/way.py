"""Projection of points on the way, a polyline of some dozen points: exact, batched, differentiable."""

from __future__ import annotations

from typing import NamedTuple

from drive.nn._torch import Tensor, torch
from drive.nn.scene import ROUTE_COLUMNS

_FAR = 1e9  # m^2; farther than any point
_BLOCK = 65536  # pairs of points and segments
_SHORT = 1e-3  # m; a segment below this has no direction
_STEPS = (3.0, 3.0, 1.0)  # segments; how far a walk goes at most, step by step
_CARRIED = ("station", "cosine", "sine", "limit", "room_left", "room_right")


class Way(NamedTuple):
    """The segments of B ways, made once and asked often."""

    known: Tensor  # (B,) bool, whether there is any segment
    first: Tensor  # (B, 1) int64, the first segment there is
    last: Tensor
    starts: Tensor  # (B, S, 2)
    directions: Tensor  # (B, S, 2), zeros where there is no segment
    lengths: Tensor  # (B, S)
    missing: Tensor  # (B, S) m^2 to add where there is no segment
    table: Tensor  # (19, B, S): start, direction, length, bounds of the share, then values and their changes


class Foot(NamedTuple):
    """Where points project on the way, each (B, ...) like the points; zeros where no way is known.

    `station` in m, growing beyond the ends; `offset` in m, positive to the left; `cosine` and `sine` of the
    way's direction; the `limit` in m/s and the room to either side of the line in m.
    """

    station: Tensor
    offset: Tensor
    cosine: Tensor
    sine: Tensor
    limit: Tensor
    room_left: Tensor
    room_right: Tensor


def make_way(route: Tensor, valid: Tensor) -> Way:
    """The ways of `route (B, R, 9)` (ROUTE_COLUMNS) through its `valid (B, R)` points.

    A segment joins two neighbours that are both valid. Beyond the first and the last the line goes on.
    """
    route = route.masked_fill(~valid[..., None], 0.0)
    points = route[..., :2]
    change = points[:, 1:] - points[:, :-1]
    # A root's slope is not finite at 0.
    square = change.square().sum(-1)
    usable = valid[:, 1:] & valid[:, :-1] & (square > _SHORT * _SHORT)
    lengths = torch.where(usable, square, 1.0).sqrt()
    directions = torch.where(usable[..., None], change / lengths[..., None], 0.0)
    nth = usable.to(torch.int32).cumsum(-1)
    endless = torch.full_like(lengths, torch.inf)
    low = torch.where(usable & (nth == 1), -endless, 0.0)
    high = torch.where(usable & (nth == nth[:, -1:]), endless, 1.0)
    carried = torch.stack([route[..., ROUTE_COLUMNS.index(name)] for name in _CARRIED], -1)
    values = carried[:, :-1].masked_fill(~usable[..., None], 0.0)
    changes = (carried[:, 1:] - carried[:, :-1]).masked_fill(~usable[..., None], 0.0)
    starts = points[:, :-1]
    columns = (starts, directions, lengths[..., None], low[..., None], high[..., None], values, changes)
    table = torch.cat(columns, -1).permute(2, 0, 1).contiguous()
    missing = torch.where(usable, 0.0, torch.full_like(lengths, _FAR))
    first = usable.int().argmax(-1, keepdim=True)
    last = usable.shape[1] - 1 - usable.flip(-1).int().argmax(-1, keepdim=True)
    return Way(usable.any(-1), first, last, starts, directions, lengths, missing, table)


@torch.no_grad()
def nearest_segment(way: Way, x: Tensor, y: Tensor) -> Tensor:
    """The number of the segment nearest to each point (B, ...): (B, ...) int64."""
    shape, b = x.shape, x.shape[0]
    x, y = x.reshape(b, 1, -1).float(), y.reshape(b, 1, -1).float()
    starts, lengths = way.starts.float(), way.lengths[..., None].float()
    dx, dy = way.directions.float()[..., None].unbind(-2)
    begin = dx * starts[..., :1] + dy * starts[..., 1:]  # (B, S, 1)
    side = dx * starts[..., 1:] - dy * starts[..., :1]
    missing = way.missing[..., None].float()
    found = []
    # In blocks that fit the cache of a processor's core; other devices take all at once. No matrix product:
    # trainers let those be of half precision, which at 100 m knows metres only.
    size = max(_BLOCK // (b * dx.shape[1]), 1) if x.device.type == "cpu" else x.shape[-1]
    for px, py in zip(torch.split(x, size, -1), torch.split(y, size, -1), strict=True):
        along = (dx * px).addcmul_(dy, py).sub_(begin)  # (B, S, n)
        aside = (dx * py).addcmul_(dy, px, value=-1.0).sub_(side)
        excess = torch.minimum(along.clamp(min=0.0), lengths).sub_(along)
        square = (excess * excess).addcmul_(aside, aside).add_(missing)
        found.append(square.argmin(1))
    return torch.cat(found, -1).view(shape)


def foot(way: Way, x: Tensor, y: Tensor, segment: Tensor) -> Foot:
    """Project points (B, ...) on the segments (B, ...) of their ways that `nearest_segment` or `walk` found.

    In between two segments' ends the distance is that to the corner.
    """
    row = _gather(way.table, segment)
    ax, ay, dx, dy, length, low, high, *carried = row
    rx, ry = x - ax, y - ay
    raw = (dx * rx + dy * ry) / length
    share = torch.minimum(torch.maximum(raw, low), high)
    side = dx * ry - dy * rx
    beyond = (raw - share) * length
    # Off the segment's ends the distance to the corner; there alone the root has a slope to give.
    outside = beyond.detach().sign().square()
    corner = (side.square() + beyond.square() + (1.0 - outside)).sqrt()
    offset = torch.lerp(side, torch.copysign(corner, side.detach()), outside)
    size = len(_CARRIED)
    inner = share.clamp(0.0, 1.0)  # beyond the ends only the station goes on
    station = carried[0] + share * carried[size]
    cosine, sine, limit, left, right = (
        torch.addcmul(carried[k], inner, carried[size + k]) for k in range(1, size)
    )
    known = way.known.view(-1, *[1] * (x.ndim - 1))
    scale = torch.where(known, cosine.square() + sine.square(), 1.0).clamp(min=1e-12).rsqrt()
    return Foot(station, offset, torch.where(known, cosine * scale, 1.0), sine * scale, limit, left, right)


@torch.no_grad()
def walk(way: Way, x: Tensor, y: Tensor, segment: Tensor) -> Tensor:
    """The segments (B, ...) under points that lie a few metres from where `segment (B, ...)` was found.

    Segments are of about one length, so that where a point lies along one says how many to go; outside of a
    bend that is too many, and would be for ever but for the last step's being short.
    """
    last, first = (end.view(-1, *[1] * (x.ndim - 1)) for end in (way.last, way.first))
    for most in _STEPS:
        ax, ay, dx, dy, length = _gather(way.table[:5], segment)
        share = (dx * (x - ax) + dy * (y - ay)) / length
        segment = segment + share.floor().clamp_(-most, most).long()
        segment = torch.maximum(torch.minimum(segment, last), first)
    return segment


def _gather(table: Tensor, segment: Tensor) -> tuple[Tensor, ...]:
    """The columns of `table (C, B, S)` at `segment (B, ...)`, each of them (B, ...) in one piece."""
    columns, b, count = table.shape
    base = torch.arange(0, b * count, count, device=segment.device).view(-1, *[1] * (segment.ndim - 1))
    found = table.reshape(columns, -1).index_select(1, (segment + base).flatten())
    return found.view(columns, *segment.shape).unbind(0)


__all__ = ["Foot", "Way", "foot", "make_way", "nearest_segment", "walk"]
