"""What candidates do in a scene, as numbers a scorer can read: the way, the room, the dynamics, the others.

Everything is differentiable in the candidates and finite, also where no way and no agent is known. Quantities
in a moving frame do not change when scene and candidates are turned or shifted together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, functional, torch
from drive.nn.boxes import box_gap
from drive.nn.scene import AGENT_COLUMNS, BODY_COLUMNS, EGO_COLUMNS
from drive.nn.way import Foot, foot, make_way, nearest_segment, smallest

if TYPE_CHECKING:
    from drive.nn.scene import SceneArrays

GEOMETRY_COLUMNS = (
    "way_known", "station", "offset", "heading",
    "room_front_left", "room_front_right", "room_rear_left", "room_rear_right",
    "speed", "acceleration", "lateral_acceleration", "yaw_rate", "jerk", "excess",
    "stop_past", "red_past",
    "clearance", "closing", "ahead", "aside", "clearance_second", "closing_second",
    "clearance_still", "closing_still",
)  # fmt: skip
"""Station in m from the ego's foot, offset in m to the left, heading on the way in rad; room in m from a corner
of the box to the nearer edge of the road, negative outside; m/s, m/s^2, rad/s, m/s^3; the speed over the limit
in m/s; how far the front bumper is past the next give-way line and the next held signal's, negative before, at
most 100 m either way; the gap to the nearest and the second nearest agent's box if all go on straight, at most
`CLEARANCE` m, how fast it closes in m/s, and the direction to the nearest; the gap to the nearest agent if all
stay where they are now."""
GEOMETRY_SCALES = (
    1.0, 40.0, 2.0, 0.3, 2.0, 2.0, 2.0, 2.0, 10.0, 3.0, 3.0, 0.3, 3.0, 5.0, 20.0, 20.0,
    5.0, 5.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0,
)  # fmt: skip
CLEARANCE = 40.0
_PAST = 100.0
_EGO = {name: k for k, name in enumerate(EGO_COLUMNS)}
_AGENT = {name: k for k, name in enumerate(AGENT_COLUMNS)}
_BODY = {name: k for k, name in enumerate(BODY_COLUMNS)}


class _Looked(NamedTuple):
    """Poses that are looked at, each (B, T', K), and how fast the ego is there."""

    x: Tensor
    y: Tensor
    cosine: Tensor
    sine: Tensor
    speed: Tensor
    acceleration: Tensor
    yaw_rate: Tensor
    jerk: Tensor


def candidate_geometry(
    scene: SceneArrays, candidates: Tensor, dt: float = 0.1, *, every: int = 5, heading: Tensor | float = 0.0
) -> Tensor:
    """Features (B, K, T', G) of `candidates (B, K, T, 3)` at every `every`-th pose, columns as named above.

    `scene` holds tensors with a leading axis B; the poses are those of the rear axle, the first one `dt` s
    after now. `heading`, a number or (B,), is the ego's heading now where the frame was turned away from it.
    Rates are differences over `every` poses that begin at the ego's present state. Others keep their velocity
    and heading. Raises InputError on shapes that do not fit.
    """
    if candidates.ndim != 4 or candidates.shape[-1] != 3 or candidates.shape[0] != scene.ego.shape[0]:
        raise InputError(
            f"candidates must be ({scene.ego.shape[0]}, K, T, 3) here, got {tuple(candidates.shape)}"
        )
    if not 1 <= every <= candidates.shape[2] or candidates.shape[2] < 3 or not dt > 0.0:
        raise InputError(
            f"candidates of {candidates.shape[2]} poses cannot be looked at every {every} poses of {dt} s"
        )
    now = torch.zeros_like(scene.ego[:, 0]) + heading  # (B,)
    looked = _look(scene.ego, candidates, now, dt, every)
    way = _on_way(scene, looked, now)
    others = _near_others(scene, looked, dt * every)
    lateral = looked.speed * looked.yaw_rate
    motion = (looked.speed, looked.acceleration, lateral, looked.yaw_rate, looked.jerk)
    columns = (*way[:8], *motion, *way[8:], *others)
    return torch.stack([column.transpose(1, 2) for column in columns], -1)


def scaled(features: Tensor) -> Tensor:
    """Features as networks like them: about one in size, at most 5."""
    scales = torch.tensor(GEOMETRY_SCALES, dtype=features.dtype, device=features.device)
    return (features / scales).clamp(-5.0, 5.0)


def _look(ego: Tensor, candidates: Tensor, now: Tensor, dt: float, every: int) -> _Looked:
    b, k, t, _ = candidates.shape
    start = torch.stack((torch.zeros_like(now), torch.zeros_like(now), now), -1)[:, None, None]
    poses = torch.cat((start.expand(b, k, 1, 3), candidates), 2).permute(3, 0, 2, 1)  # (3, B, T + 1, K)
    picked = slice(every, None, every)
    x, y, heading = (axis[:, picked].contiguous() for axis in poses)
    cosine, sine = torch.cos(heading), torch.sin(heading)
    # Speed by central differences; after the last pose, the last difference and how it grew.
    steps = (poses[:2, :, 1:] - poses[:2, :, :-1]) / dt  # (2, B, T, K): velocity in the middle of each step
    before = steps[:, :, every - 1 :: every]
    after = steps[:, :, every::every]
    if t % every == 0:
        span = min(every, t - 1)
        last = steps[:, :, -1] + (steps[:, :, -1] - steps[:, :, -1 - span]) / span
        after = torch.cat((after, last[:, :, None]), 2)
    velocity = 0.5 * (before + after)
    speed = velocity[0] * cosine + velocity[1] * sine
    window = dt * every
    present = ego[:, [_EGO["speed"]]]
    speeds = torch.cat((present[..., None].expand(b, 1, k), speed), 1)
    acceleration = (speeds[:, 1:] - speeds[:, :-1]) / window
    driven = ego[:, [_EGO["acceleration"]]]
    jerk = torch.cat((driven[..., None].expand(b, 1, k), acceleration), 1)
    headings = torch.cat((now[:, None, None].expand(b, 1, k), heading), 1)
    turn = headings[:, 1:] - headings[:, :-1]
    turn = turn - 2.0 * math.pi * torch.round(turn.detach() / (2.0 * math.pi))
    return _Looked(
        x, y, cosine, sine, speed, acceleration, turn / window, (jerk[:, 1:] - jerk[:, :-1]) / window
    )


def _on_way(scene: SceneArrays, looked: _Looked, now: Tensor) -> list[Tensor]:
    """`way_known` to `room_rear_right`, then `excess`, `stop_past`, `red_past`."""
    way = make_way(scene.route, scene.route_valid)
    b, t, k = looked.x.shape
    ego = scene.ego[:, :, None, None]
    rear_to_centre, half = ego[:, _EGO["rear_to_centre"]], ego[:, _EGO["length"]] / 2.0
    side = ego[:, _EGO["width"]] / 2.0
    segment = nearest_segment(way, looked.x.reshape(b, -1), looked.y.reshape(b, -1)).view(b, t, k)
    here = foot(way, looked.x, looked.y, segment)
    known = way.known[:, None, None].to(looked.x.dtype).expand(b, t, k)

    def corners(reach: Tensor) -> tuple[Foot, Tensor, Tensor]:
        end = foot(way, looked.x + reach * looked.cosine, looked.y + reach * looked.sine, segment, walk=2)
        # From the middle of a bumper its corners lie a metre aside, where the way has hardly bent.
        across = side * (end.cosine * looked.cosine + end.sine * looked.sine)
        rooms = [
            torch.minimum(end.room_left - lateral, end.room_right + lateral) * known
            for lateral in (end.offset + across, end.offset - across)
        ]
        return end, rooms[0], rooms[1]

    front, front_left, front_right = corners(rear_to_centre + half)
    _, rear_left, rear_right = corners(rear_to_centre - half)
    cosine = here.cosine * looked.cosine + here.sine * looked.sine
    sine = here.cosine * looked.sine - here.sine * looked.cosine
    turned = torch.where((cosine == 0.0) & (sine == 0.0), 1.0, cosine)
    bumper = (rear_to_centre + half)[..., 0]
    first = foot(way, bumper * torch.cos(now)[:, None], bumper * torch.sin(now)[:, None])
    driven = front.station - first.station[..., None]
    past = [
        (driven - ego[:, _EGO[name]]).clamp(-_PAST, _PAST) * known
        for name in ("stop_distance", "red_distance")
    ]
    heading = torch.atan2(sine, turned) * known
    return [
        known, here.station * known, here.offset * known, heading,
        front_left, front_right, rear_left, rear_right,
        (looked.speed - here.limit) * known, *past,
    ]  # fmt: skip


def _near_others(scene: SceneArrays, looked: _Looked, window: float) -> list[Tensor]:
    """`clearance` to `closing_still`."""
    present = scene.agents_valid[..., -1]
    count = present.shape[1]
    if present.device.type == "cpu" and not torch.compiler.is_compiling():
        # Rows behind the last agent cost as much as agents; elsewhere, asking would wait for the device.
        numbers = torch.arange(1, count + 1)
        count = int((present * numbers).max()) if present.numel() else 0
        present = present[:, :count]
    states = scene.agents[:, :count, -1].masked_fill(~present[..., None], 0.0)
    bodies = scene.bodies[:, :count].masked_fill(~present[..., None], 0.0)
    if count < 2:  # there is always a nearest and a second nearest row, be it empty
        states, bodies = (functional.pad(rows, (0, 0, 0, 2 - count)) for rows in (states, bodies))
        present = functional.pad(present, (0, 2 - count))
    b, t, k = looked.x.shape
    times = window * torch.arange(1, t + 1, dtype=states.dtype, device=states.device)
    still = states[:, None, :, :2].expand(b, t, -1, 2)
    moved = still + states[:, None, :, 4:6] * times[:, None, None]
    ego = scene.ego[:, :, None, None]
    reach = ego[:, _EGO["rear_to_centre"]]
    x, y = looked.x + reach * looked.cosine, looked.y + reach * looked.sine
    half = ego[:, _EGO["length"]] / 2.0, ego[:, _EGO["width"]] / 2.0
    picked = _nearest(looked, (x, y), half, (moved, still), states, bodies, present)
    everyone = torch.cat(
        (states[..., 2:], bodies[..., [_BODY["length"], _BODY["width"]]] / 2.0, present[..., None]), -1
    )
    everyone = everyone[:, None].expand(b, t, -1, -1)

    def gap(index: Tensor, centres: Tensor, moving: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = _rows(torch.cat((centres, everyone), -1), index)
        ax, ay, c, s, vx, vy, length, width, there = rows.unbind(-1)
        dx, dy = ax - x, ay - y
        u, v = looked.cosine, looked.sine
        found = box_gap(dx * u + dy * v, dy * u - dx * v, c * u + s * v, s * u - c * v, half, (length, width))
        along = looked.speed - (vx * u + vy * v if moving else 0.0)
        across = (vx * v - vy * u) if moving else torch.zeros_like(along)
        closing = found.ahead * along + found.aside * across
        distance = torch.where(there > 0.0, found.distance.clamp(max=CLEARANCE), CLEARANCE)
        return distance, closing * there, found.ahead * there, found.aside * there

    one, two, resting = gap(picked[0], moved, True), gap(picked[1], moved, True), gap(picked[2], still, False)
    swap = two[0] < one[0]
    first = [torch.where(swap, q, p) for p, q in zip(one, two, strict=True)]
    second = [torch.where(swap, p, q) for p, q in zip(one[:2], two[:2], strict=True)]
    return [*first, *second, *resting[:2]]


@torch.no_grad()
def _nearest(
    looked: _Looked,
    centre: tuple[Tensor, Tensor],
    half: tuple[Tensor, Tensor],
    places: tuple[Tensor, Tensor],
    states: Tensor,
    bodies: Tensor,
    present: Tensor,
) -> list[Tensor]:
    """Of agents that move: the nearest and the second; of those that stay: the nearest. Each (B, T', K).

    Ranked by the distance between the ego's box and the other's, boxed along the ego's axes: never too far,
    and too near by a share of the other's size at most.
    """
    x, y = (axis.float() for axis in centre)
    c, s = looked.cosine.float(), looked.sine.float()
    b, t, k = x.shape
    turn = torch.stack((c, s), 2).view(b * t, 2, k)
    other = states.float()[:, None].expand(b, t, -1, -1).reshape(b * t, -1, states.shape[-1])
    size = bodies.float()[:, None].expand(b, t, -1, -1).reshape(b * t, -1, bodies.shape[-1])
    length, width = size[..., [_BODY["length"]]] / 2.0, size[..., [_BODY["width"]]] / 2.0
    heading = other[..., [_AGENT["cosine"], _AGENT["sine"]]]
    across = torch.stack((-heading[..., 1], heading[..., 0]), -1)
    # |cos| and |sin| of the angle between the two, (B T', A, K).
    even, odd = torch.bmm(heading, turn).abs_(), torch.bmm(across, turn).abs_()
    own = [extent.float().expand(b, t, 1).reshape(b * t, 1, 1) for extent in half]
    long = torch.addcmul(own[0], even, length).addcmul_(odd, width)
    wide = torch.addcmul(own[1], odd, length).addcmul_(even, width)
    absent = torch.where(present, 0.0, 1e9)[:, None].expand(b, t, -1).reshape(b * t, -1, 1)
    # The others' centres in the ego's frame are linear in (cos, sin, own centre seen in that frame).
    frame_x = torch.stack((c, s, -(c * x + s * y)), 2).view(b * t, 3, k)
    frame_y = torch.stack((-s, c, s * x - c * y), 2).view(b * t, 3, k)
    found: list[Tensor] = []
    for place, count in zip(places, (2, 1), strict=True):
        point = place.float().reshape(b * t, -1, 2)
        point = torch.cat((point, torch.ones_like(point[..., :1])), -1)
        ahead = torch.bmm(point, frame_x).abs_().sub_(long)
        aside = torch.bmm(point, frame_y).abs_().sub_(wide)
        # Overlapping boxes are ranked by their depth, at most 32 m, so that nothing is below zero.
        rank = torch.maximum(ahead, aside).clamp_(-32.0, 0.0).add_(32.0 + absent)
        ahead, aside = ahead.clamp_(min=0.0), aside.clamp_(min=0.0)
        rank = rank.addcmul_(ahead, ahead).addcmul_(aside, aside)
        found += [index.view(b, t, k) for index in smallest(rank, 1, count)]
    return found


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows (B, T', K, C) of `table (B, T', A, C)` at `index (B, T', K)`."""
    b, t, a, c = table.shape
    base = torch.arange(b * t, device=index.device).view(b, t, 1) * a
    return table.reshape(b * t * a, c).index_select(0, (index + base).flatten()).view(*index.shape, c)


__all__ = ["CLEARANCE", "GEOMETRY_COLUMNS", "GEOMETRY_SCALES", "candidate_geometry", "scaled"]
