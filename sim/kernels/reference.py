"""Plain NumPy references of the step's parts, in float64, for tests and for reading.

They follow the same rules as the kernels by other means: exhaustive projection on a path instead of
a downhill search, vectors over agents instead of loops, the separating-axis test on corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import box_corners, boxes_overlap, project_to_polyline, wrap_angle
from drive.sim.kernels.layout import PRESENT, Controller

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.world import World

    Floats = NDArray[np.float64]

FREE = 1e6


def idm(
    speed: Any,
    lead_speed: Any,
    gap: Any,
    target: Any,
    min_gap: Any,
    headway: Any,
    accel: Any,
    decel: Any,
    power: Any,
) -> Floats:
    """IDM acceleration (Treiber et al. 2000, eq. 1 and 2), the gap clamped below at the minimum gap."""
    v, dv = np.asarray(speed, dtype=float), np.asarray(speed, dtype=float) - lead_speed
    wanted = min_gap + v * headway + v * dv / (2.0 * np.sqrt(np.multiply(accel, decel)))
    return np.asarray(accel * (1.0 - (v / target) ** power - (wanted / np.maximum(gap, min_gap)) ** 2))


def collisions(world: World, w: int) -> NDArray[np.bool_]:
    """Who overlaps anybody, `(A,)`."""
    c, there = world.centers()[w], world.present[w]
    g = world.agents
    corners = box_corners(c[:, :2], c[:, 2], g.length[w].astype(float), g.width[w].astype(float))
    hit = boxes_overlap(corners[:, None], corners[None]) & there[:, None] & there[None]
    np.fill_diagonal(hit, False)
    return np.asarray(hit.any(1))


def path_of(world: World, path: int) -> Floats:
    p = world.paths
    return p.points[p.start[path] : p.start[path + 1]].astype(np.float64)


def leader(
    world: World, w: int, agent: int, path: int, station: float, reach: float
) -> tuple[int, float, float]:
    """(agent or -1, gap, speed along the path) of whom an agent follows, by exhaustive projection."""
    m, g = world.motion, world.agents
    line = path_of(world, path)
    center = world.centers()[w]
    s, d, seg = project_to_polyline(center[:, :2], line[:, :2])
    heading = m.heading[w].astype(float)
    near = np.minimum(
        seg + (s - seg * float(world.paths.step[path]) > 0.5 * world.paths.step[path]), len(line) - 1
    )
    turn = wrap_angle(heading - line[near, 2])
    length, width, speed = (getattr(g, n)[w].astype(float) for n in ("length", "width", "rear_to_center"))
    speed = m.speed[w].astype(float)
    along = 0.5 * (length * np.abs(np.cos(turn)) + width * np.abs(np.sin(turn)))
    across = 0.5 * (length * np.abs(np.sin(turn)) + width * np.abs(np.cos(turn)))
    mine = station + float(g.rear_to_center[w, agent])
    front = mine + 0.5 * length[agent]
    half = 0.5 * width[agent] + 0.15
    rel = center[:, :2] - [m.x[w, agent], m.y[w, agent]]
    forward = rel @ [np.cos(heading[agent]), np.sin(heading[agent])]
    ok = world.present[w] & (np.arange(len(s)) != agent)
    ok &= (np.hypot(*rel.T) - 0.5 * length <= reach) & (forward >= -length[agent]) & (s > mine)
    inside = np.abs(d) < half + across
    if world.anticipate:
        later = d + speed * np.sin(turn)
        inside |= (np.abs(speed) > 0.5) & (np.abs(later) < half + across) & (s > front - 1.0)
    gap = np.where(ok & inside, s - along - front, FREE)
    best = int(np.argmin(gap))
    if gap[best] >= FREE:
        return -1, FREE, 0.0
    return best, float(gap[best]), float(speed[best] * np.cos(turn[best]))


def bicycle(
    state: Floats, acceleration: Floats, steering_rate: Floats, wheelbase: Floats, dt: float
) -> Floats:
    """States (A, 6) x, y, heading, speed, steering, yaw rate after an Euler step of the bicycle."""
    x, y, h, v, delta = state[:, :5].T
    new_delta = np.clip(delta + steering_rate * dt, -0.6, 0.6)
    new_v = v + acceleration * dt
    return np.column_stack(
        (
            x + v * np.cos(h) * dt,
            y + v * np.sin(h) * dt,
            wrap_angle(h + v * np.tan(delta) / wheelbase * dt),
            new_v,
            new_delta,
            new_v * np.tan(new_delta) / wheelbase,
        )
    )


def idm_step(world: World, w: int) -> Floats:
    """States `(A, 6)` after one step of a world whose agents are all under IDM on straight, unlit paths.

    Covers leader search, IDM, steering and bicycle; offsets and meant stops must be zero.
    """
    m, g, dt = world.motion, world.agents, world.dt
    count = world.num_agents
    accel, rate = np.zeros(count), np.zeros(count)
    for i in range(count):
        if g.controller[w, i] != Controller.IDM or m.presence[w, i] != PRESENT:
            continue
        path = int(m.path[w, i])
        line = path_of(world, path)
        _, d, k = project_to_polyline([[float(m.x[w, i]), float(m.y[w, i])]], line[:, :2])
        _, gap, lead_speed = leader(world, w, i, path, float(m.station[w, i]), 100.0)
        v, row = float(m.speed[w, i]), g.driver[w, i].astype(float)
        target = min(float(line[k[0], 4]), row[0])
        a = float(np.clip(idm(v, lead_speed, gap, target, *row[1:6]), -8.0, row[3]))
        accel[i] = max(a, -v / dt)
        reach = max(5.0, 0.9 * abs(v))
        error = float(wrap_angle(m.heading[w, i] - line[k[0], 2]))
        wanted = np.arctan(
            g.wheelbase[w, i] * (line[k[0], 3] - d[0] / reach**2 - 2.0 * np.sin(error) / reach)
        )
        rate[i] = np.clip((np.clip(wanted, -0.6, 0.6) - m.steering[w, i]) / dt, -0.8, 0.8)
    state = np.column_stack(
        [getattr(m, n)[w].astype(float) for n in ("x", "y", "heading", "speed", "steering")]
    )
    return bicycle(state, accel, rate, g.wheelbase[w].astype(float), dt)
