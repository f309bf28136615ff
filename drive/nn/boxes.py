"""The gap between oriented boxes, signed and differentiable."""

from __future__ import annotations

from typing import NamedTuple

from drive.nn._torch import Tensor, torch


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
    """The gap from boxes of `half` length and width to `other` ones that lie at `x`, `y`, turned by an angle of
    that `cosine` and `sine`, in the first ones' frames; all (...) and broadcast.

    Exact: the nearest points of two apart rectangles include a corner of one of them. Corners are compared
    with the other rectangle; overlap is found by separating axes (Ericson 2005, section 4.4).
    """
    length, width = half
    far, wide = other
    x, y, cosine, sine, length, width, far, wide = torch.broadcast_tensors(
        x, y, cosine, sine, length, width, far, wide
    )
    back_x, back_y = cosine * x + sine * y, cosine * y - sine * x  # seen along the other's axes
    lateral = (cosine * far).abs(), (sine * far).abs(), (cosine * wide).abs(), (sine * wide).abs()
    own = (cosine * length).abs(), (sine * length).abs(), (cosine * width).abs(), (sine * width).abs()
    axes = torch.stack(
        (
            x.abs() - length - lateral[0] - lateral[3],
            y.abs() - width - lateral[1] - lateral[2],
            back_x.abs() - far - own[0] - own[3],
            back_y.abs() - wide - own[1] - own[2],
        ),
        -1,
    )
    depth, axis = axes.max(-1)
    # Corners of the other in the first's frame, then of the first in the other's: vectors from box to box.
    signs = torch.tensor(((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)), dtype=x.dtype, device=x.device)
    along, across = signs.unbind(-1)
    fx, fy = far[..., None] * along, wide[..., None] * across
    px = x[..., None] + cosine[..., None] * fx - sine[..., None] * fy
    py = y[..., None] + sine[..., None] * fx + cosine[..., None] * fy
    qx, qy = _beyond(px, length), _beyond(py, width)
    ex, ey = length[..., None] * along, width[..., None] * across
    rx = _beyond(cosine[..., None] * ex + sine[..., None] * ey - back_x[..., None], far)
    ry = _beyond(cosine[..., None] * ey - sine[..., None] * ex - back_y[..., None], wide)
    vx = torch.cat((qx, sine[..., None] * ry - cosine[..., None] * rx), -1)
    vy = torch.cat((qy, -sine[..., None] * rx - cosine[..., None] * ry), -1)
    square, nearest = (vx.square() + vy.square()).min(-1)
    apart = (depth > 0.0) & (square > 1e-12)
    distance = torch.where(apart, square, 1.0).sqrt()
    vx = vx.gather(-1, nearest[..., None]).squeeze(-1) / distance
    vy = vy.gather(-1, nearest[..., None]).squeeze(-1) / distance
    # The direction in which overlapping boxes part fastest.
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    turn_x, turn_y = _sign(back_x), _sign(back_y)
    normal_x = torch.stack((_sign(x), zero, turn_x * cosine, -turn_y * sine), -1)
    normal_y = torch.stack((zero, _sign(y) * one, turn_x * sine, turn_y * cosine), -1)
    ahead = torch.where(apart, vx, normal_x.gather(-1, axis[..., None]).squeeze(-1))
    aside = torch.where(apart, vy, normal_y.gather(-1, axis[..., None]).squeeze(-1))
    return Gap(torch.where(apart, distance, depth), ahead, aside)


def _beyond(values: Tensor, half: Tensor) -> Tensor:
    """How far values (..., 4) lie outside of -half ... half (...), with their sign."""
    bound = half[..., None]
    return values - torch.minimum(torch.maximum(values, -bound), bound)


def _sign(values: Tensor) -> Tensor:
    return torch.where(values < 0.0, -torch.ones_like(values), torch.ones_like(values))


__all__ = ["Gap", "box_gap"]
