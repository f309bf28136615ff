"""The gap between oriented boxes, signed and differentiable."""

from __future__ import annotations

from typing import NamedTuple

from drive.nn._torch import Tensor, torch

_TOUCH = 1e-10  # m^2; nearer than this is contact


class Gap(NamedTuple):
    """Distance between two boxes in m, negative where they overlap (by how much they must part along the best
    of their four axes), and the unit vector from the first to the second, in the first one's frame."""

    distance: Tensor
    ahead: Tensor
    aside: Tensor


def box_gap(
    x: Tensor,
    y: Tensor,
    cosine: Tensor,
    sine: Tensor,
    half: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
) -> Gap:
    """The gap from boxes of `half` length and width to `other` ones that lie at `x`, `y`, turned by an angle
    of that `cosine` and `sine`, in the first ones' frames; all (...) and broadcast.

    Overlap is found by separating axes (Ericson 2005, section 4.4). Apart, the distance is exact: one of the
    two nearest points is a corner, and it is the foremost one along an axis of the other box. (Between two
    corners the gap's direction lies in the normal cones of both; of two quarter planes that meet, one holds
    an edge of the other.)
    """
    length, width = half
    far, wide = other
    # An angle of 0 counts as a tiny positive one, in the other's frame as a negative one: otherwise parallel
    # boxes could name the wrong one of two equally foremost corners.
    sc, ss = _sign(cosine), _sign(sine)
    back_x, back_y = cosine * x + sine * y, cosine * y - sine * x  # towards the other, along its axes
    sx, sy, sbx, sby = _sign(x), _sign(y), _sign(back_x), _sign(back_y)
    cf, sf, cw, sw = cosine * far, sine * far, cosine * wide, sine * wide
    cl, sl, ch, sh = cosine * length, sine * length, cosine * width, sine * width
    # How near each box comes to the other's centre along an axis of the latter, with the corner that does.
    x_near, x_side = x - sx * (sc * cf + ss * sw), y + sx * (ss * cw - sc * sf)
    y_near, y_side = y - sy * (ss * sf + sc * cw), x + sy * (sc * sw - ss * cf)
    bx_near, bx_side = back_x - sbx * (sc * cl + ss * sh), back_y + sbx * (sc * sl - ss * ch)
    by_near, by_side = back_y - sby * (ss * sl + sc * ch), back_x + sby * (ss * cl - sc * sh)
    along = sx * x_near - length, sy * y_near - width
    back = sbx * bx_near - far, sby * by_near - wide
    one = _beyond(x_near, length), _beyond(x_side, width)
    two = _beyond(y_side, length), _beyond(y_near, width)
    three = _beyond(bx_near, far), _beyond(bx_side, wide)
    four = _beyond(by_side, far), _beyond(by_near, wide)
    vx, vy = one
    best = _squared(one)
    best, vx, vy = _nearer(best, vx, vy, two)
    for u, v in (three, four):
        best, vx, vy = _nearer(best, vx, vy, (cosine * u - sine * v, sine * u + cosine * v))
    depth, nx, ny = along[0], sx, torch.zeros_like(vx)
    for value, mx, my in (
        (along[1], torch.zeros_like(sy), sy),
        (back[0], sbx * cosine, sbx * sine),
        (back[1], -sby * sine, sby * cosine),
    ):
        more = _positive(value - depth)
        depth, nx, ny = torch.maximum(depth, value), torch.lerp(nx, mx, more), torch.lerp(ny, my, more)
    # Near contact the vector has no direction; the axis has, and there it is the same.
    apart = _positive(depth) * _positive(best - _TOUCH)
    distance = best.clamp(min=_TOUCH).sqrt()
    ahead, aside = torch.lerp(nx, vx / distance, apart), torch.lerp(ny, vy / distance, apart)
    return Gap(torch.lerp(depth, distance, apart), ahead, aside)


def _nearer(
    best: Tensor, vx: Tensor, vy: Tensor, vector: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    square = _squared(vector)
    less = _positive(best - square)
    return torch.minimum(best, square), torch.lerp(vx, vector[0], less), torch.lerp(vy, vector[1], less)


def _squared(vector: tuple[Tensor, Tensor]) -> Tensor:
    return torch.addcmul(vector[0] * vector[0], vector[1], vector[1])


def _beyond(values: Tensor, half: Tensor) -> Tensor:
    """How far values lie outside of -half ... half, with their sign."""
    return values - torch.minimum(torch.maximum(values, -half), half)


def _positive(values: Tensor) -> Tensor:
    """1 where values are above 0, else 0; choosing by this and `lerp` is much faster than by `where`."""
    return values.detach().sign().clamp(min=0.0)


def _sign(values: Tensor) -> Tensor:
    """1 or -1, never 0."""
    return torch.copysign(torch.ones((), dtype=values.dtype, device=values.device), values.detach())


__all__ = ["Gap", "box_gap"]
