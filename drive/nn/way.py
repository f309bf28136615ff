"""Projection of points on the way, a polyline of at most a few hundred points: exact, batched, differentiable."""

from __future__ import annotations

from typing import NamedTuple

from drive.nn._torch import Tensor, torch
from drive.nn.scene import ROUTE_COLUMNS

_FAR = 1e9  # m^2; farther than any point
_SHORT = 1e-3  # m; a segment below this has no direction
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
    table: Tensor  # (B, S, 21): start, direction, length, bounds of the share, then values and their changes


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
    carried = route[..., [ROUTE_COLUMNS.index(name) for name in _CARRIED]]
    values = carried[:, :-1].masked_fill(~usable[..., None], 0.0)
    changes = (carried[:, 1:] - carried[:, :-1]).masked_fill(~usable[..., None], 0.0)
    starts = points[:, :-1]
    table = torch.cat(
        (starts, directions, lengths[..., None], low[..., None], high[..., None], values, changes), -1
    )
    missing = torch.where(usable, 0.0, torch.full_like(lengths, _FAR))
    first = usable.int().argmax(-1, keepdim=True)
    last = usable.shape[1] - 1 - usable.flip(-1).int().argmax(-1, keepdim=True)
    return Way(usable.any(-1), first, last, starts, directions, lengths, missing, table)


@torch.no_grad()
def nearest_segment(way: Way, x: Tensor, y: Tensor) -> Tensor:
    """The number of the segment nearest to each point (B, N): (B, N) int64."""
    d = way.directions.float()
    starts = way.starts.float()
    points = torch.stack((x, y), 1).float()  # (B, 2, N)
    across = torch.stack((-d[..., 1], d[..., 0]), -1)
    along = torch.baddbmm(-(starts * d).sum(-1, keepdim=True), d, points)  # (B, S, N)
    square = torch.baddbmm(-(starts * across).sum(-1, keepdim=True), across, points)
    excess = along.clamp(max=0.0)
    excess = excess + (along - way.lengths[..., None].float()).clamp_(min=0.0)
    square = torch.addcmul(way.missing[..., None].float(), square, square).addcmul_(excess, excess)
    return smallest(square, 1)[0]


def smallest(values: Tensor, dim: int, count: int = 1) -> list[Tensor]:
    """The rows of the `count` smallest of `values` (float32, none negative) along `dim`, nearly.

    A reduction that also tells the place is ten times slower on CPUs than one that does not, so the place is
    written into the lowest bits: values that differ by less than a part in 2^(23 - bits) count as equal.
    """
    size = values.shape[dim]
    mask = (1 << max(size - 1, 1).bit_length()) - 1
    shape = [1] * values.ndim
    shape[dim] = size
    numbers = torch.arange(size, dtype=torch.int32, device=values.device).view(shape)
    packed = (values.view(torch.int32) & ~mask) | numbers
    found = []
    for k in range(count):
        least = packed.amin(dim, keepdim=True)
        found.append((least & mask).squeeze(dim).long())
        if k + 1 < count:
            packed = torch.where(packed == least, torch.iinfo(torch.int32).max & ~mask, packed)
    return found


def foot(way: Way, x: Tensor, y: Tensor, segment: Tensor | None = None, *, walk: int = 0) -> Foot:
    """Project points (B, ...) on their ways.

    `segment (B, ...)` (int64) saves the search; the answer then is the nearest point of that segment, after
    `walk` steps towards where the point lies. In between two segments' ends the distance is to the corner.
    """
    b, shape = x.shape[0], x.shape
    x, y = x.reshape(b, -1), y.reshape(b, -1)
    segment = nearest_segment(way, x, y) if segment is None else segment.reshape(b, -1)
    count = way.table.shape[1]
    rows = way.table.reshape(b * count, -1)
    base = torch.arange(b, device=x.device)[:, None] * count
    for _ in range(walk):
        with torch.no_grad():
            row = rows[:, :5].index_select(0, (segment + base).flatten()).view(*x.shape, -1)
            share = _share(row, x, y)
            # Segments are of about one length, so that the share says how many to go.
            step = torch.where(torch.isfinite(share), share, 0.0).floor().clamp(-3, 3).long()
            moved = torch.maximum(torch.minimum(segment + step, way.last), way.first)
            there = way.missing.gather(1, moved) == 0.0
            segment = torch.where(there, moved, segment)
    row = rows.index_select(0, (segment + base).flatten()).view(*x.shape, -1)
    raw = _share(row, x, y)
    share = torch.minimum(torch.maximum(raw, row[..., 5]), row[..., 6])
    side = row[..., 2] * (y - row[..., 1]) - row[..., 3] * (x - row[..., 0])
    beyond = (raw - share) * row[..., 4]
    outside = beyond != 0.0
    corner = torch.where(outside, side.square() + beyond.square(), 1.0).sqrt()
    offset = torch.where(outside, torch.where(side < 0.0, -corner, corner), side)
    size = len(_CARRIED)
    inner = share.clamp(0.0, 1.0)  # beyond the ends only the station goes on
    values = row[..., 7 : 7 + size] + inner[..., None] * row[..., 7 + size :]
    station = row[..., 7] + share * row[..., 7 + size]
    cosine, sine = values[..., 1], values[..., 2]
    norm = torch.where(way.known[:, None], cosine.square() + sine.square(), 1.0)
    scale = norm.clamp(min=1e-12).rsqrt()
    cosine = torch.where(way.known[:, None], cosine * scale, 1.0)
    fields = (station, offset, cosine, sine * scale, *values[..., 3:].unbind(-1))
    return Foot(*(value.view(shape) for value in fields))


def _share(row: Tensor, x: Tensor, y: Tensor) -> Tensor:
    along = row[..., 2] * (x - row[..., 0]) + row[..., 3] * (y - row[..., 1])
    return along / row[..., 4]


__all__ = ["Foot", "Way", "foot", "make_way", "nearest_segment", "smallest"]
