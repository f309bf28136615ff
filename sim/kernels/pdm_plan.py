"""Kernels that make PDM-Closed's proposals: pack the agents, find the leaders, unroll IDM.

Everything is relative to the ego's rear axle (translated, not rotated) in float32, except stations and
the paths, which stay float64. Source: tuplan_garage, proposal/pdm_generator.py, batch_idm_policy.py and
observation/pdm_object_manager.py. Leaders are found in the Frenet frame of the centreline: an agent is
in a path's corridor where its box, seen along the path's tangent, comes within half the ego's width of
it; the gap is measured along the path. On a straight road that is the released polygon test.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drive.sim.kernels.compile import kernel, scalar
from drive.sim.kernels.scalar import ZERO, F, boxes_apart
from drive.sim.kernels.score_area import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAR = F(1e6)
FREE = 1e9
"""Station of a leader that is not there."""


class Paths(NamedTuple):
    """What the kernels read of a `Way`; see there. `offsets (J,)` of the paths."""

    line: NDArray[np.float64]
    line_station: NDArray[np.float64]
    heading: NDArray[np.float64]
    lines: NDArray[np.float64]
    station: NDArray[np.float64]
    offsets: NDArray[np.float64]
    stops: NDArray[np.float64]


class Seen(NamedTuple):
    """Who may lead: `velocity (2, P)` of the agents, and what `corridors` finds of them; see there."""

    velocity: NDArray[np.float32]
    near: NDArray[np.float64]
    centre: NDArray[np.float64]
    members: NDArray[np.int32]
    held: NDArray[np.int32]


class Policy(NamedTuple):
    """IDM's constants; `front` is the distance from the rear axle to the bumper."""

    min_gap: float
    headway: float
    accel: float
    decel: float
    exponent: float
    dt: float
    front: float
    half_width: float
    leader_every: int
    leader_at_start: bool


@kernel
def locate(paths, x, y, low, high, begins):
    """Foot of a point on the centreline, (segment, offset), and its stations `begins (J,)` on the paths."""
    segment, _, offset = project(paths.line, paths.line_station, x, y, low, high)
    for j in range(begins.shape[0]):
        k, u, _ = project(paths.lines[j], paths.station[j], x, y, low, high)
        begins[j] = paths.station[j, k] + u * (paths.station[j, k + 1] - paths.station[j, k])
    return segment, offset


@kernel
def nearest_segments(line, station, points, nearest):
    """The segment of the polyline `line (P, 2)` nearest to each of `points (N, 2)`: `nearest (N,)`."""
    for i in range(points.shape[0]):
        nearest[i], _, _ = project(line, station, points[i, 0], points[i, 1], 0, line.shape[0] - 1)


@kernel
def observe(
    agents, size, group, valid, pose, box, reach, caps, dt, distance, track, extent, velocity, penalty, skip
):
    """Pack the agents near the ego and move them on at constant velocity; the number packed.

    `agents (A, 5)`, `size (A, 3)`, `group (A,)` 0 vehicle, 1 pedestrian, 2 bicycle, 3 static, `valid
    (A,)`; `pose (>= 3,)` of the rear axle; `box (4,)` of `ego_box`; of each group the `caps (4,)`
    nearest within `reach` m of the ego's centre are kept, in their order. `distance (A,)` is scratch.
    Results: `track (5, K, P)` every dt, `extent (3, P)`, `velocity (2, P)`, `penalty (P,)`, `skip (P,)`
    (1: its box meets the ego's now, or there is no agent in this place).
    """
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    ex, ey = pose[0] + box[2] * cos, pose[1] + box[2] * sin
    for a in range(agents.shape[0]):
        dx, dy = agents[a, 0] - ex, agents[a, 1] - ey
        gap = math.sqrt(dx * dx + dy * dy)
        distance[a] = gap if valid[a] and gap <= reach else -1.0
    for g in range(4):
        count = 0
        for a in range(agents.shape[0]):
            if group[a] == g and distance[a] >= 0.0:
                count += 1
        while count > caps[g]:
            worst, farthest = -1, -1.0
            for a in range(agents.shape[0]):
                if group[a] == g and distance[a] >= farthest and distance[a] >= 0.0:
                    worst, farthest = a, distance[a]
            distance[worst] = -1.0
            count -= 1
    samples, slots = track.shape[1], track.shape[2]
    used = 0
    fc, fs = F(cos), F(sin)
    for a in range(agents.shape[0]):
        if distance[a] < 0.0:
            continue
        moving = group[a] != 3
        vx = agents[a, 3] if moving else 0.0
        vy = agents[a, 4] if moving else 0.0
        x, y = agents[a, 0] - pose[0], agents[a, 1] - pose[1]
        hc, hs = F(math.cos(agents[a, 2])), F(math.sin(agents[a, 2]))
        hl, hw = F(0.5 * size[a, 0]), F(0.5 * size[a, 1])
        speed = F(math.sqrt(vx * vx + vy * vy))
        for k in range(samples):
            track[0, k, used] = x + vx * (k * dt)
            track[1, k, used] = y + vy * (k * dt)
            track[2, k, used] = hc
            track[3, k, used] = hs
            track[4, k, used] = speed
        extent[0, used], extent[1, used] = hl, hw
        extent[2, used] = math.sqrt(hl * hl + hw * hw)
        velocity[0, used], velocity[1, used] = vx, vy
        penalty[used] = 0.5 if group[a] == 3 else 0.0
        apart = boxes_apart(
            F(agents[a, 0] - ex), F(agents[a, 1] - ey), fc, fs, box[0], box[1], hc, hs, hl, hw
        )
        skip[used] = apart <= ZERO
        used += 1
    for j in range(used, slots):
        for k in range(samples):
            track[0, k, j], track[1, k, j] = FAR, FAR
            track[2, k, j], track[3, k, j], track[4, k, j] = F(1.0), ZERO, ZERO
        extent[0, j], extent[1, j], extent[2, j] = ZERO, ZERO, ZERO
        velocity[0, j], velocity[1, j], penalty[j] = ZERO, ZERO, ZERO
        skip[j] = 1
    return used


@scalar
def _foot_near(line, x, y, segment, low, high):
    """Foot on the polyline by walking from `segment` while the next segment is nearer."""
    best, fraction, offset = FREE, 0.0, 0.0
    at = segment
    step = 0
    i = segment
    while low <= i < high:
        sx, sy = line[i + 1, 0] - line[i, 0], line[i + 1, 1] - line[i, 1]
        rx, ry = x - line[i, 0], y - line[i, 1]
        along = (rx * sx + ry * sy) / (sx * sx + sy * sy)
        u = min(max(along, 0.0), 1.0)
        ox, oy = rx - u * sx, ry - u * sy
        gap = ox * ox + oy * oy
        if gap < best:
            best, at, fraction = gap, i, u
            offset = math.sqrt(gap) if sx * ry - sy * rx >= 0.0 else -math.sqrt(gap)
        elif step != 0:
            break
        if step == 0:
            if 0.0 <= along <= 1.0:
                break
            step = 1 if along > 1.0 else -1
        i += step
    return at, fraction, offset


@scalar
def _leave(centre, r, a):
    """Agent a stands in no corridor at refresh r."""
    for j in range(centre.shape[0]):
        centre[j, r, a] = -FREE


@kernel
def corridors(
    track, extent, skip, count, paths, shift, window, half_width, every, first, last, seen
):  # fmt: skip
    """Where the agents stand in the paths' corridors at the refreshes `first .. last`, `every` steps apart.

    Results in `seen` per path, refresh and agent, `(J, R, P)`: `centre` station of the foot of the box's
    centre (-FREE where the agent is not in the corridor), `near` station of the box's near end; `members
    (J, R, P)` begins with the `held (J, R)` agents that are in it, in their order.
    """
    near, centre, members, held = seen.near, seen.centre, seen.members, seen.held
    widest = 0.0
    for j in range(paths.offsets.shape[0]):
        widest = max(widest, abs(paths.offsets[j]))
    low, high = window[0], window[1]
    for a in range(count):
        if skip[a] != 0:
            for r in range(first, last + 1):
                _leave(centre, r, a)
            continue
        ca, sa = float(track[2, 0, a]), float(track[3, 0, a])
        hl, hw = float(extent[0, a]), float(extent[1, a])
        dx, dy = track[0, every, a] - track[0, 0, a], track[1, every, a] - track[1, 0, a]
        stride = math.sqrt(float(dx * dx + dy * dy))
        reach = widest + half_width + float(extent[2, a])
        hint, free_until = -1, first
        for r in range(first, last + 1):
            if r > first and stride == 0.0:
                for j in range(paths.offsets.shape[0]):
                    centre[j, r, a], near[j, r, a] = centre[j, r - 1, a], near[j, r - 1, a]
                continue
            if r < free_until:
                _leave(centre, r, a)
                continue
            x, y = track[0, r * every, a] + shift[0], track[1, r * every, a] + shift[1]
            if hint >= 0:
                segment, fraction, offset = _foot_near(paths.line, x, y, hint, low, high)
            else:
                segment, fraction, offset = project(paths.line, paths.line_station, x, y, low, high)
            hint = segment
            if abs(offset) > reach:
                # It cannot reach any corridor before it has covered the rest of the way.
                free_until = r + max(int((abs(offset) - reach) / max(stride, 1e-6)), 1)
                hint = -1
                _leave(centre, r, a)
                continue
            h = paths.heading[segment] + fraction * (paths.heading[segment + 1] - paths.heading[segment])
            c, s = math.cos(h), math.sin(h)
            cosine, sine = abs(ca * c + sa * s), abs(sa * c - ca * s)
            across, along = hl * sine + hw * cosine, hl * cosine + hw * sine
            for j in range(paths.offsets.shape[0]):
                if abs(offset - paths.offsets[j]) <= half_width + across:
                    begin = paths.station[j, segment]
                    at = begin + fraction * (paths.station[j, segment + 1] - begin)
                    centre[j, r, a] = at
                    near[j, r, a] = at - along
                else:
                    centre[j, r, a] = -FREE
    for j in range(paths.offsets.shape[0]):
        for r in range(first, last + 1):
            n = 0
            for a in range(count):
                if centre[j, r, a] > -FREE:
                    members[j, r, n] = a
                    n += 1
            held[j, r] = n


@scalar
def _pose_on(paths, j, s, hint):
    """Position and heading on path j at station s, searching on from vertex `hint`."""
    last = paths.station.shape[1] - 2
    k = hint
    while k < last and paths.station[j, k + 1] <= s:
        k += 1
    while k > 0 and paths.station[j, k] > s:
        k -= 1
    begin = paths.station[j, k]
    u = min(max((s - begin) / max(paths.station[j, k + 1] - begin, 1e-9), 0.0), 1.0)
    x = paths.lines[j, k, 0] + u * (paths.lines[j, k + 1, 0] - paths.lines[j, k, 0])
    y = paths.lines[j, k, 1] + u * (paths.lines[j, k + 1, 1] - paths.lines[j, k, 1])
    h = paths.heading[k] + u * (paths.heading[k + 1] - paths.heading[k])
    return x, y, h, k


@scalar
def _leader(j, s, heading, r, paths, red, policy, seen):
    """Station and speed of what is nearest ahead on path j: an agent, a red light or the path's end."""
    front = s + policy.front
    gap = paths.station[j, paths.station.shape[1] - 1] - front
    leader, speed = -1, 0.0
    for i in range(seen.held[j, r]):
        a = seen.members[j, r, i]
        if seen.centre[j, r, a] > s:
            between = max(seen.near[j, r, a] - front, 0.0)
            if between < gap:
                gap, leader = between, a
    for q in range(red.shape[0]):
        if red[q] != 0:
            between = max(paths.stops[j, q] - front, 0.0)
            if between < gap:
                gap, leader = between, -1
    if leader >= 0:
        speed = seen.velocity[0, leader] * math.cos(heading) + seen.velocity[1, leader] * math.sin(heading)
    return s + max(gap, 0.0), speed


@scalar
def _unroll(p, j, begin, end, target, paths, red, policy, seen, station, speed, lead):
    """IDM on path j from step `begin` to `end`; extends `station[p]`, `speed[p]`, keeps `lead[p]`."""
    s, v = station[p, begin], speed[p, begin]
    hint = 0
    root = 2.0 * math.sqrt(policy.accel * policy.decel)
    for t in range(begin + 1, end + 1):
        if t % policy.leader_every == 0 or (t == 1 and policy.leader_at_start):
            _, _, h, hint = _pose_on(paths, j, s, hint)
            r = t // policy.leader_every
            lead[p, 0], lead[p, 1] = _leader(j, s, h, r, paths, red, policy, seen)
        gap = max(lead[p, 0] - s, policy.min_gap)
        wanted = policy.min_gap + v * policy.headway + v * (v - lead[p, 1]) / root
        ratio = v / target
        if policy.exponent == 10.0:
            square = ratio * ratio
            ratio = square * square * square * square * square
        else:
            ratio = ratio**policy.exponent
        a = policy.accel * (1.0 - ratio - (wanted / gap) * (wanted / gap))
        a = min(max(a, -policy.decel), policy.accel)
        s = s + policy.dt * v
        # Explicit Euler would drive backwards from a stop.
        v = max(v + policy.dt * a, 0.0)
        station[p, t], speed[p, t] = s, v


@kernel
def propose(begins, target, paths, red, policy, seen, shift, station, speed, lead, poses):
    """Unroll all proposals over the samples of `poses (N, T, 3)`, path by path, target by target.

    `begins (J,)` the ego's stations on the paths; `target (I,)` speeds; `red (Q,)` which stop lines
    hold; `station`, `speed (N, H)` whose `speed[:, 0]` is set here from `speed[0, 0]`.
    """
    samples = poses.shape[1]
    targets = target.shape[0]
    now = speed[0, 0]
    for p in range(poses.shape[0]):
        j = p // targets
        station[p, 0], speed[p, 0] = begins[j], now
        lead[p, 0], lead[p, 1] = 0.0, 0.0
        _unroll(
            p, j, 0, samples - 1, target[p % targets], paths, red, policy, seen, station, speed, lead
        )  # fmt: skip
        hint = 0
        for t in range(samples):
            x, y, h, hint = _pose_on(paths, j, station[p, t], hint)
            poses[p, t, 0], poses[p, t, 1], poses[p, t, 2] = x - shift[0], y - shift[1], h


@kernel
def finish(p, begin, target, paths, red, policy, seen, station, speed, lead, states):
    """Unroll proposal p on from step `begin` to the end of `states (H, 7)` and fill those.

    Positions come out relative to the paths' origin. Acceleration and yaw rate are differences.
    """
    samples = states.shape[0]
    j = p // target.shape[0]
    _unroll(
        p, j, begin, samples - 1, target[p % target.shape[0]], paths, red, policy, seen, station, speed, lead
    )  # fmt: skip
    hint = 0
    for t in range(samples):
        states[t, 0], states[t, 1], states[t, 2], hint = _pose_on(paths, j, station[p, t], hint)
        states[t, 3] = speed[p, t]
        states[t, 5] = 0.0
    for t in range(samples):
        k = min(t, samples - 2)
        states[t, 4] = (speed[p, k + 1] - speed[p, k]) / policy.dt
        states[t, 6] = (states[k + 1, 2] - states[k, 2]) / policy.dt
    for t in range(samples):
        states[t, 2] = states[t, 2] - 2.0 * math.pi * math.ceil(states[t, 2] / (2.0 * math.pi) - 0.5)
