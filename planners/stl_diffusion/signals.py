"""What formulas read of roll-outs: speed, place and heading in a lane, clearance, the road's edge, red lines.

All in SI units and the ego's frame, differentiable in the states, for B moments, M modes, N samples each and
T states. The lane of `keep` is the way; those of `left` and `right` lie beside it in the same direction, and
are put together of the pieces of lanes in sight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from drive.nn._torch import Tensor, functional, torch
from drive.nn.boxes import box_gap
from drive.nn.scene import (
    AGENT_COLUMNS,
    BODY_COLUMNS,
    EGO_COLUMNS,
    FAR,
    LANE_COLUMNS,
    ROUTE_COLUMNS,
    SceneArrays,
)
from drive.nn.way import Way, foot, make_way, nearest_segment
from drive.planners.stl_diffusion.kernel import Place, measure, pull

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNALS = ("speed", "offset", "heading_error", "clearance", "edge", "line")
NEAREST, FARTHEST = -5.0, 20.0
"""m; clearance and the way to a line are cut to this, and are the latter where there is none."""
BESIDE = (2.0, 5.5)
"""m between the centres of two neighbouring lanes."""
SIGHT, ENOUGH = 20.0, 0.8
"""A neighbour counts as a lane where it is known for this share of the next metres."""
POINTS = 8
NEXT = (5.0, 40.0, 5.5)
"""m behind, ahead and to the left of the ego: where a lane that leads the other way is next to it."""
_EGO = {name: k for k, name in enumerate(EGO_COLUMNS)}
_ROUTE = {name: k for k, name in enumerate(ROUTE_COLUMNS)}


class Others(NamedTuple):
    """Where A others are expected at T times."""

    places: Tensor  # (B, A, T, 4) x, y, cosine, sine of box centres
    half: Tensor  # (B, A, 2) half lengths and widths
    valid: Tensor  # (B, A)


class Ground(NamedTuple):
    """What the samples of B moments in M modes are measured by."""

    way: Way  # of B * M lanes
    known: Tensor  # (B, M) whether there is such a lane
    points: Tensor  # (B, M, POINTS, 2) of it, from beside the ego on
    ego: Tensor  # (B, 14)
    others: Others


def moved_on(scene: SceneArrays, times: Tensor, most: int = 12) -> Others:
    """The `most` nearest agents, each with the velocity and heading it has now, at `times (T,)` from now."""
    agents, bodies = scene.agents[:, :most, -1], scene.bodies[:, :most]
    valid = scene.agents_valid[:, :most, -1]
    agents = agents.masked_fill(~valid[..., None], 0.0)
    x, y, cosine, sine, vx, vy = (agents[..., k, None] for k in range(len(AGENT_COLUMNS)))
    places = torch.stack(
        (x + vx * times, y + vy * times, cosine.expand(*x.shape[:-1], len(times)), sine + 0.0 * times), -1
    )
    size = [bodies[..., BODY_COLUMNS.index(name)] for name in ("length", "width")]
    half = 0.5 * torch.stack(size, -1).masked_fill(~valid[..., None], 0.0)
    return Others(places, half, valid)


def oncoming(scene: SceneArrays) -> Tensor:
    """Whether a lane next to the ego on its left, or soon there, leads the other way `(B,)`."""
    x, y, cosine = (scene.lanes[..., LANE_COLUMNS.index(name)] for name in ("x", "y", "cosine"))
    near = (x > -NEXT[0]) & (x < NEXT[1]) & (y > 0.0) & (y < NEXT[2])
    found: Tensor = (near & (cosine < -0.5) & scene.lanes_valid[..., None]).flatten(1).any(1)
    return found


def beside(scene: SceneArrays, side: float) -> tuple[Tensor, Tensor]:
    """The way moved to the lane on one `side` (1 left, -1 right): route `(B, R, 9)` and its mask `(B, R)`.

    At each point of the way the nearest piece of a lane is taken that crosses its normal forwards.
    """
    route, valid = scene.route.masked_fill(~scene.route_valid[..., None], 0.0), scene.route_valid
    x, y, cosine, sine = (route[..., k, None] for k in range(4))
    lanes = scene.lanes.masked_fill(~scene.lanes_valid[..., None, None], 0.0)
    begin, end = lanes[:, :, :-1, :2].flatten(1, 2), lanes[:, :, 1:, :2].flatten(1, 2)
    there = scene.lanes_valid[..., None].expand(*lanes.shape[:2], lanes.shape[2] - 1).flatten(1)

    def seen(points: Tensor) -> tuple[Tensor, Tensor]:
        dx, dy = points[:, None, :, 0] - x, points[:, None, :, 1] - y
        return cosine * dx + sine * dy, cosine * dy - sine * dx

    (s0, d0), (s1, d1) = seen(begin), seen(end)
    crosses = (s0 <= 0.0) & (s1 > 0.0) & there[:, None]
    across = side * (d0 - (d1 - d0) * s0 / torch.where(crosses, s1 - s0, 1.0))
    good = crosses & (across > BESIDE[0]) & (across < BESIDE[1])
    away = across.masked_fill(~good, torch.inf).amin(-1)  # (B, R)
    found = torch.isfinite(away) & valid
    station = route[..., _ROUTE["station"]]
    near = valid & (station >= 0.0) & (station <= SIGHT)
    share = (found & near).sum(-1) / near.sum(-1).clamp(min=1)
    known = (share >= ENOUGH) & near.any(-1)
    # Where nothing was found the neighbour is as far as at the nearest point where it was.
    number = torch.arange(route.shape[1], device=route.device)
    gap = (number[:, None] - number).abs().float() + torch.where(found, 0.0, torch.inf)[:, None]
    shift = side * away.masked_fill(~found, 0.0).gather(1, gap.argmin(-1))
    line = torch.stack((x[..., 0] - shift * sine[..., 0], y[..., 0] + shift * cosine[..., 0]), -1)
    out = route.clone()
    out[..., :2] = line
    out[..., _ROUTE["room_left"]] = route[..., _ROUTE["room_left"]] - shift
    out[..., _ROUTE["room_right"]] = route[..., _ROUTE["room_right"]] + shift
    return out, valid & known[:, None]


def make_ground(scene: SceneArrays, modes: Sequence[str], others: Others) -> Ground:
    """What samples are measured by; tensors of B moments."""
    lines, masks = [], []
    for mode in modes:
        route, valid = (
            (scene.route, scene.route_valid)
            if mode == "keep"
            else beside(scene, 1.0 if mode == "left" else -1.0)
        )
        lines.append(route)
        masks.append(valid)
    route, valid = torch.stack(lines, 1), torch.stack(masks, 1)  # (B, M, R, ...)
    way = make_way(route.flatten(0, 1), valid.flatten(0, 1))
    known = way.known.view(valid.shape[:2])
    station = scene.route[..., _ROUTE["station"]].masked_fill(~scene.route_valid, torch.inf)
    first = station.abs().argmin(-1)
    step = max(route.shape[2] // 2 // POINTS, 1)
    at = (first[:, None] + step * torch.arange(POINTS, device=first.device)).clamp(max=route.shape[2] - 1)
    at = at[:, None, :, None].expand(-1, route.shape[1], -1, 2)
    points = route[..., :2].gather(2, at) * known[..., None, None]
    return Ground(way, known, points, scene.ego, others)


def signals_of(ground: Ground, states: Tensor) -> dict[str, Tensor]:
    """SIGNALS `(B, M, N, T)` of `states (B, M, N, T, 7)`, at the times of the others' places.

    speed m/s; offset m of the rear axle to the left of the lane; heading_error 1 - cos; clearance m between
    boxes; edge m from the vehicle's side to the nearer edge of the road, at the rear axle and the front
    bumper; line m from the front bumper to the line of a red light. In float32 on a processor compiled.
    """
    if states.device.type == "cpu" and states.dtype == torch.float32:
        return _compiled(ground, states)
    return measured(ground, states)


def measured(ground: Ground, states: Tensor) -> dict[str, Tensor]:
    """`signals_of` in torch alone."""
    b, m, n, t, _ = states.shape
    x, y, heading, speed = states[..., :4].unbind(-1)
    flat = (b * m, n, t)
    px, py = x.reshape(flat), y.reshape(flat)
    feet = foot(ground.way, px, py, nearest_segment(ground.way, px.detach(), py.detach()))
    cosine, sine = torch.cos(heading), torch.sin(heading)
    error = 1.0 - (feet.cosine.view(x.shape) * cosine + feet.sine.view(x.shape) * sine)
    offset = feet.offset.view(x.shape)
    body = ground.ego[:, :, None, None, None]
    bumper = body[:, _EGO["rear_to_centre"]] + 0.5 * body[:, _EGO["length"]]
    fx, fy = (x + bumper * cosine).reshape(flat), (y + bumper * sine).reshape(flat)
    front = foot(ground.way, fx, fy, nearest_segment(ground.way, fx.detach(), fy.detach()))
    rooms = [torch.minimum(at.room_left - at.offset, at.room_right + at.offset) for at in (feet, front)]
    room = torch.minimum(*rooms).view(x.shape) - 0.5 * body[:, _EGO["width"]]
    origin = torch.zeros(b * m, 1, dtype=x.dtype, device=x.device)
    begin = foot(ground.way, origin, origin, nearest_segment(ground.way, origin, origin)).station
    driven = feet.station.view(x.shape) - begin.view(b, m, 1, 1)
    red = body[:, _EGO["red_distance"]]
    held = (red >= 0.0) & (red < FAR)
    line = torch.where(held, red - driven, FARTHEST).clamp(NEAREST, FARTHEST)
    return {
        "speed": speed,
        "offset": offset,
        "heading_error": error,
        "clearance": clearance(ground, x, y, cosine, sine),
        "edge": room,
        "line": line,
    }


class _Measure(torch.autograd.Function):
    """The compiled signals with their slopes."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, place: Place) -> Tensor:
        found = measure(place, states.numpy(), NEAREST, FARTHEST, ctx.needs_input_grad[0])
        ctx.found = found
        return torch.from_numpy(found.signals)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        back = torch.from_numpy(pull(ctx.found, given.contiguous().numpy()))
        return functional.pad(back, (0, 3)), None


def _compiled(ground: Ground, states: Tensor) -> dict[str, Tensor]:
    b, m, n, t, _ = states.shape
    flat = states.reshape(b * m, n, t, -1).contiguous()
    found: Tensor = _Measure.apply(flat, place_of(ground))  # type: ignore[no-untyped-call]
    return dict(zip(SIGNALS, found.view(len(SIGNALS), b, m, n, t).unbind(0), strict=True))


def place_of(ground: Ground) -> Place:
    """The ground as the compiled loop takes it."""
    ego, others, way = ground.ego, ground.others, ground.way
    red = ego[:, _EGO["red_distance"]]
    held = torch.where((red >= 0.0) & (red < FAR), red, torch.nan)
    body = torch.stack(
        (0.5 * ego[:, _EGO["length"]], 0.5 * ego[:, _EGO["width"]], ego[:, _EGO["rear_to_centre"]], held), -1
    )
    floats = (way.table.transpose(0, 1), way.missing, body)
    table, missing, about = (_array(one) for one in floats)
    boxes = (_array(one) for one in (others.places, others.half, others.valid))
    return Place(table, missing, _array(way.known), about, *boxes)


def among(place: Place, others: Others) -> Place:
    """The same ground with other boxes on it."""
    places, half, valid = (_array(one) for one in (others.places, others.half, others.valid))
    return place._replace(places=places, half=half, valid=valid)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy()


def clearance(ground: Ground, x: Tensor, y: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """The gap in m `(B, M, N, T)` to the nearest other box, exact and signed (`drive.nn.boxes`).

    After the first contact it stays as it was then. Otherwise who drives into somebody would do best to
    drive out at the other end, and faster: so the slopes say.
    """
    others, ego = ground.others, ground.ego
    if others.valid.shape[1] == 0:
        return torch.full_like(x, FARTHEST)
    b, m, n, t = x.shape
    reach = ego[:, _EGO["rear_to_centre"]].view(b, 1, 1)
    own = (0.5 * ego[:, _EGO["length"]].view(b, 1, 1), 0.5 * ego[:, _EGO["width"]].view(b, 1, 1))
    u, v = cosine.reshape(b, m * n, t), sine.reshape(b, m * n, t)
    cx, cy = x.reshape(u.shape) + reach * u, y.reshape(u.shape) + reach * v
    with torch.no_grad():  # who is nearest
        ax, ay, c, s = (others.places[:, None, ..., k] for k in range(4))  # (B, 1, A, T)
        dx, dy, wu, wv = ax - cx[:, :, None], ay - cy[:, :, None], u[:, :, None], v[:, :, None]
        size = others.half[:, None, :, :1], others.half[:, None, :, 1:]
        gap = _gap(dx, dy, (wu, wv), (c, s), (own[0][..., None], own[1][..., None]), size)
        nearest = gap.masked_fill(~others.valid[:, None, :, None], torch.inf).argmin(2)  # (B, MN, T)
    table = torch.cat((others.places, others.half[:, :, None].expand(-1, -1, t, -1)), -1)
    table = table.transpose(1, 2)  # (B, T, A, 6)
    at = nearest.transpose(1, 2)[..., None].expand(-1, -1, -1, 6)
    row = table.gather(2, at).transpose(1, 2)  # (B, MN, T, 6)
    ax, ay, c, s, length, width = row.unbind(-1)
    found = _gap(ax - cx, ay - cy, (u, v), (c, s), own, (length, width))
    touches = found < 0.0
    first = touches.int().argmax(-1, keepdim=True)
    after = touches.cumsum(-1) - touches.int() > 0
    found = torch.where(after, found.gather(-1, first), found)
    there = others.valid.any(1)[:, None, None]
    return torch.where(there, found, FARTHEST).clamp(NEAREST, FARTHEST).view(b, m, n, t)


def _gap(
    dx: Tensor,
    dy: Tensor,
    heading: tuple[Tensor, Tensor],
    turned: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
) -> Tensor:
    (u, v), (c, s) = heading, turned
    return box_gap(dx * u + dy * v, dy * u - dx * v, c * u + s * v, s * u - c * v, own, other).distance


__all__ = [
    "POINTS",
    "SIGNALS",
    "Ground",
    "Others",
    "among",
    "beside",
    "clearance",
    "make_ground",
    "measured",
    "moved_on",
    "place_of",
    "signals_of",
]
