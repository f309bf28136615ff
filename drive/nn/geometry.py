"""What candidates do in a scene, as numbers a scorer can read: the way, the room, the dynamics, the others.

Everything is differentiable in the candidates and finite, also where no way and no agent is known. Quantities
in a moving frame do not change when scene and candidates are turned or shifted together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from drive.errors import InputError
from drive.nn._torch import Tensor, constant, functional, torch
from drive.nn.boxes import box_gap
from drive.nn.geometry_kernel import features
from drive.nn.scene import AGENT_COLUMNS, BODY_COLUMNS, EGO_COLUMNS, SceneArrays
from drive.nn.way import foot, make_way, nearest_segment, walk

GEOMETRY_COLUMNS = (
    "way_known", "station", "offset", "heading",
    "room_front_left", "room_front_right", "room_rear_left", "room_rear_right",
    "speed", "acceleration", "lateral_acceleration", "yaw_rate", "jerk", "excess",
    "stop_past", "red_past",
    "clearance", "closing", "ahead", "aside", "clearance_second", "closing_second",
    "clearance_still", "closing_still",
)  # fmt: skip
"""Station in m from the ego's foot, offset in m to the left, heading on the way in rad; room in m from a
corner of the box to the nearer edge of the road, negative outside; m/s, m/s^2, rad/s, m/s^3; the speed over
the limit in m/s; how far the front bumper is past the next give-way line and the next held signal's, negative
before, at most 100 m either way; the gap to the nearest and the second nearest agent's box if all go on
straight, at most `CLEARANCE` m, how fast it closes in m/s, and the direction to the nearest; the gap to the
nearest agent if all stay where they are now."""
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
    if _plain(*scene, candidates, now):
        arrays = SceneArrays(*(field.numpy() for field in scene))
        return torch.from_numpy(features(arrays, candidates.numpy(), now.numpy(), dt, every))
    looked = _look(scene.ego, candidates, now, dt, every)
    way = _on_way(scene, looked, now)
    others = _near_others(scene, looked, dt * every)
    lateral = looked.speed * looked.yaw_rate
    motion = (looked.speed, looked.acceleration, lateral, looked.yaw_rate, looked.jerk)
    columns = (*way[:8], *motion, *way[8:], *others)
    return torch.stack(columns, -1).transpose(1, 2).contiguous()


def _plain(*tensors: Tensor) -> bool:
    """Whether these are arrays of a processor's memory that nobody asks slopes of."""
    return not torch.compiler.is_compiling() and all(
        t.device.type == "cpu" and not t.requires_grad and t.dtype in (torch.float32, torch.bool)
        for t in tensors
    )


def scaled(values: Tensor) -> Tensor:
    """Features as networks like them: about one in size, at most 5."""
    return (values / constant(GEOMETRY_SCALES, values.device, values.dtype)).clamp(-5.0, 5.0)


def _look(ego: Tensor, candidates: Tensor, now: Tensor, dt: float, every: int) -> _Looked:
    b, k, t, _ = candidates.shape
    start = torch.stack((torch.zeros_like(now), torch.zeros_like(now), now), -1)[:, None, None]
    poses = torch.cat((start.expand(b, k, 1, 3), candidates), 2)  # (B, K, T + 1, 3)

    def at(picked: slice) -> Tensor:
        return poses[:, :, picked].permute(3, 0, 2, 1).contiguous()  # (3, B, T', K)

    x, y, heading = at(slice(every, None, every)).unbind(0)
    cosine, sine = torch.cos(heading), torch.sin(heading)
    # Speed by central differences; at the very last pose, that of the last step and how it grew.
    before, after = at(slice(every - 1, t, every)), at(slice(every + 1, None, every))
    inner = after.shape[2]
    velocity = (after[:2] - before[:2, :, :inner]) / (2.0 * dt)
    speed = velocity[0] * cosine[:, :inner] + velocity[1] * sine[:, :inner]
    if inner < x.shape[1]:
        span = min(every, t - 1)
        last, earlier = (_speed_between(at(slice(k - 1, k)), at(slice(k, k + 1)), dt) for k in (t, t - span))
        speed = torch.cat((speed, last + (last - earlier) / (2.0 * span)), 1)
    window = dt * every
    present, driven = ego[:, _EGO["speed"], None], ego[:, _EGO["acceleration"], None]
    speeds = torch.cat((present[..., None].expand(b, 1, k), speed), 1)
    acceleration = (speeds[:, 1:] - speeds[:, :-1]) / window
    jerk = torch.cat((driven[..., None].expand(b, 1, k), acceleration), 1)
    headings = torch.cat((now[:, None, None].expand(b, 1, k), heading), 1)
    turn = _turn(headings[:, :-1], headings[:, 1:])
    return _Looked(
        x, y, cosine, sine, speed, acceleration, turn / window, (jerk[:, 1:] - jerk[:, :-1]) / window
    )


def _speed_between(before: Tensor, after: Tensor, dt: float) -> Tensor:
    """The speed (...) between neighbouring poses (3, ...), along the heading half way."""
    change = after - before
    heading = before[2] + 0.5 * _turn(before[2], after[2])
    return (change[0] * torch.cos(heading) + change[1] * torch.sin(heading)) / dt


def _turn(before: Tensor, after: Tensor) -> Tensor:
    """The angle from one heading to the other, the short way round."""
    angle = after - before
    return angle - 2.0 * math.pi * torch.round(angle.detach() / (2.0 * math.pi))


def _on_way(scene: SceneArrays, looked: _Looked, now: Tensor) -> list[Tensor]:
    """`way_known` to `room_rear_right`, then `excess`, `stop_past`, `red_past`."""
    way = make_way(scene.route, scene.route_valid)
    known = way.known[:, None, None].to(looked.x.dtype).expand_as(looked.x)
    ego = scene.ego[:, :, None, None]
    rear_to_centre, half = ego[:, _EGO["rear_to_centre"]], ego[:, _EGO["length"]] / 2.0
    side = ego[:, _EGO["width"]] / 2.0
    # The rear axle, the middles of the bumpers, and the front bumper's as it is now: all in one go.
    ahead = torch.cat((rear_to_centre + half, rear_to_centre - half), 1)[:, :, None]  # (B, 2, 1, 1)
    x = looked.x[:, None] + ahead * looked.cosine[:, None]  # (B, 2, T', K)
    y = looked.y[:, None] + ahead * looked.sine[:, None]
    near = nearest_segment(way, looked.x, looked.y)
    segment = torch.cat((near[:, None], walk(way, x, y, near[:, None].expand_as(x))), 1)
    feet = foot(way, torch.cat((looked.x[:, None], x), 1), torch.cat((looked.y[:, None], y), 1), segment)
    cosines = feet.cosine * looked.cosine[:, None] + feet.sine * looked.sine[:, None]
    cosine = cosines[:, 0]
    sine = feet.cosine[:, 0] * looked.sine - feet.sine[:, 0] * looked.cosine
    # From the middle of a bumper its corners lie a metre aside, where the way has hardly bent.
    across = side[:, None] * cosines[:, 1:]
    left, right = feet.offset[:, 1:] + across, feet.offset[:, 1:] - across
    room_left, room_right = feet.room_left[:, 1:], feet.room_right[:, 1:]
    rooms_left = torch.minimum(room_left - left, room_right + left) * known[:, None]
    rooms_right = torch.minimum(room_left - right, room_right + right) * known[:, None]
    turned = torch.where((cosine == 0.0) & (sine == 0.0), 1.0, cosine)
    bumper = (rear_to_centre + half)[..., 0]
    px, py = bumper * torch.cos(now)[:, None], bumper * torch.sin(now)[:, None]
    first = foot(way, px, py, nearest_segment(way, px, py))
    driven = feet.station[:, 1] - first.station[..., None]
    past = [
        (driven - ego[:, _EGO[line]]).clamp(-_PAST, _PAST) * known
        for line in ("stop_distance", "red_distance")
    ]
    return [
        known, feet.station[:, 0] * known, feet.offset[:, 0] * known, torch.atan2(sine, turned) * known,
        rooms_left[:, 0], rooms_right[:, 0], rooms_left[:, 1], rooms_right[:, 1],
        (looked.speed - feet.limit[:, 0]) * known, *past,
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
    b, t = looked.x.shape[:2]
    times = window * torch.arange(1, t + 1, dtype=states.dtype, device=states.device)
    still = states[:, None, :, :2].expand(b, t, -1, 2)
    moved = still + states[:, None, :, 4:6] * times[:, None, None]
    ego = scene.ego[:, :, None, None]
    reach = ego[:, _EGO["rear_to_centre"]]
    x, y = looked.x + reach * looked.cosine, looked.y + reach * looked.sine
    half = ego[:, _EGO["length"]] / 2.0, ego[:, _EGO["width"]] / 2.0
    picked = _nearest(looked, (x, y), half, (moved, still), states, bodies, present)
    size = [bodies[..., _BODY[name], None] / 2.0 for name in ("length", "width")]
    driven, standing = states[..., 2:], states[..., 2:] * constant((1.0, 1.0, 0.0, 0.0), x.device, x.dtype)
    # (2, B, T', A, 9): all as they move, and all at rest where they are.
    table = torch.stack(
        [
            torch.cat(
                (place, torch.cat((state, *size, present[..., None]), -1)[:, None].expand(b, t, -1, -1)), -1
            )
            for place, state in ((moved, driven), (still, standing))
        ]
    )
    ax, ay, c, s, vx, vy, length, width, there = _rows(table, picked)  # each (2, 2, B, T', K)
    dx, dy, u, v = ax - x, ay - y, looked.cosine, looked.sine
    gap = box_gap(dx * u + dy * v, dy * u - dx * v, c * u + s * v, s * u - c * v, half, (length, width))
    closing = gap.ahead * (looked.speed - (vx * u + vy * v)) + gap.aside * (vx * v - vy * u)
    distance = torch.where(there > 0.0, gap.distance.clamp(max=CLEARANCE), CLEARANCE)
    columns = distance, closing * there, gap.ahead * there, gap.aside * there  # each (2, 2, B, T', K)
    nearest = [column[0, 0] for column in columns]
    second, still = ([column[at] for column in columns[:2]] for at in ((0, 1), (1, 0)))
    return [*nearest, *second, *still]


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
    """Which two agents are nearest if they move as `places[0]` says, and as `places[1]`: four (B, T', K)."""
    # All (B, T', A, K): what belongs to a pose is (B, T', 1, K), to an agent (B, 1 or T', A, 1).
    x, y, u, v = (axis[:, :, None] for axis in (*centre, looked.cosine, looked.sine))
    c, s = (states[:, None, :, _AGENT[name], None] for name in ("cosine", "sine"))
    length, width = (bodies[:, None, :, _BODY[name], None] / 2.0 for name in ("length", "width"))
    cosine, sine = c * u + s * v, s * u - c * v
    own = half[0][..., None], half[1][..., None]
    found: list[Tensor] = []
    for place in places:
        dx, dy = place[..., :1] - x, place[..., 1:] - y
        gap = box_gap(dx * u + dy * v, dy * u - dx * v, cosine, sine, own, (length, width)).distance
        gap = gap.masked_fill(~present[:, None, :, None], 1e9)
        first = gap.argmin(2, keepdim=True)
        second = gap.scatter_(2, first, torch.inf).argmin(2)
        found += [first.squeeze(2), second]
    return found


def _rows(table: Tensor, picked: list[Tensor]) -> tuple[Tensor, ...]:
    """The columns of `table (2, B, T', A, C)` at `picked` (B, T', K), two for each half: (2, 2, B, T', K)."""
    _, b, t, a, columns = table.shape
    base = torch.arange(2 * b * t, device=table.device).view(2, 1, b, t, 1) * a
    index = torch.stack(picked).view(2, 2, *picked[0].shape) + base
    rows = table.reshape(-1, columns).t().contiguous().index_select(1, index.flatten())
    return rows.view(columns, *index.shape).unbind(0)


__all__ = ["CLEARANCE", "GEOMETRY_COLUMNS", "GEOMETRY_SCALES", "candidate_geometry", "scaled"]
