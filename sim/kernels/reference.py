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


def allowed_speed(line: Floats, row: int, step: float) -> float:
    """Speed that the limit and the bends from a row on allow: 2 m/s^2 across, shed with 1.5 m/s^2."""
    bend = 2.0 / np.maximum(np.abs(line[row:, 3]), 1e-4)
    return float(min(line[row, 4], np.sqrt(bend + 3.0 * step * np.arange(len(bend))).min()))


def yielding(world: World, w: int, agent: int, path: int, station: float) -> tuple[float, float]:
    """(gap, speed) of the road user to let go first, by the rule that `follow.gap_to_let_in` states."""
    m, g, p = world.motion, world.agents, world.paths
    line, step = path_of(world, path), float(p.step[path])
    merging = p.merging[p.start[path] : p.start[path + 1]]
    v, mine = float(m.speed[w, agent]), float(g.rear_to_center[w, agent])
    center, half = world.centers()[w], 0.5 * g.length[w, agent]
    best = (FREE, 0.0)
    if v < 0.5:
        return best
    for j in np.flatnonzero(world.present[w] & (m.speed[w] >= 0.5)):
        rel = center[j, :2] - center[agent, :2]
        h, hj = center[agent, 2], center[j, 2]
        forward = float(rel @ [np.cos(h), np.sin(h)])
        if j == agent or np.hypot(*rel) > 45.0 or forward < -20.0 or np.cos(hj - h) < 0.5:
            continue
        (s,), (d,), _ = project_to_polyline(center[j : j + 1, :2], line[:, :2])
        wide = 0.5 * (g.width[w, agent] + g.width[w, j]) + 0.15
        if abs(d) < wide:
            continue
        both = half + 0.5 * g.length[w, j] + 1.0
        committed = abs(rel @ [-np.sin(hj), np.cos(hj)]) < wide + 0.5
        t = np.array([3.0, 2.25, 1.5, 0.75])
        k = np.clip(((station + v * t) / step).astype(int), 0, len(line) - 1)
        here = line[k, :2] + mine * np.column_stack((np.cos(line[k, 2]), np.sin(line[k, 2])))
        other = np.zeros(4, dtype=bool)
        if m.path[w, j] >= 0:
            way = path_of(world, int(m.path[w, j]))
            q = np.clip(
                ((m.station[w, j] + m.speed[w, j] * t) / p.step[m.path[w, j]]).astype(int), 0, len(way) - 1
            )
            axle = np.column_stack((np.cos(way[q, 2]), np.sin(way[q, 2])))
            there = way[q, :2] + g.rear_to_center[w, j] * axle
            other = p.merging[p.start[m.path[w, j]] + q] == 1
        else:
            there = center[j, :2] + t[:, None] * center[j, 3:5]
        c, n = np.cos(line[k, 2]), np.sin(line[k, 2])
        dx, dy = (there - here).T
        along, across = dx * c + dy * n, dy * c - dx * n
        if abs(across[0]) > wide + 1.0:
            continue
        changing = merging[k] == 1
        closing, room = max(float(m.speed[w, j]) - v, 0.0), max(-forward - both + 1.0, 0.0)
        fast = closing**2 > 2.0 * 1.5 * room
        waits = np.where(
            changing & ~other,
            not committed and (forward > 0.5 - both or fast),
            np.where(other & ~changing, forward > 0.5 * both, forward > 0.0),
        )
        if ((np.abs(across) <= wide) & (along <= both + v) & waits).any():
            gap = max(float(s - 0.5 * g.length[w, j] - (station + mine + half)), 0.0)
            if gap < best[0]:
                best = (gap, float(m.speed[w, j]))
    return best


def giving_way(world: World, w: int, agent: int, path: int, station: float) -> float:
    """Distance to a give-way line at which an agent has to wait, by the rule of `giveway.give_way_gap`."""
    m, g, p = world.motion, world.agents, world.paths
    line, step = path_of(world, path), float(p.step[path])
    v = float(m.speed[w, agent])

    def next_line(way: int, front: float) -> float:
        """How far ahead of a front the next line of a path is."""
        size, at, begin = int(p.start[way + 1] - p.start[way]), float(p.step[way]), int(p.start[way])
        row = begin + min(int(max(front - 1.0, 0.0) / at), size - 1)
        return FREE if p.give_way[row] < 0 else (p.give_way[row] - begin) * at - front

    def arrival(distance: Any) -> Floats:
        top = max(v, 6.0)
        run = (top**2 - v**2) / 3.0
        soon = (np.sqrt(v**2 + 3.0 * np.clip(distance, 0.0, run)) - v) / 1.5
        return np.asarray(soon + np.maximum(distance - run, 0.0) / top)

    front = station + float(g.rear_to_center[w, agent]) + 0.5 * float(g.length[w, agent])
    gap = next_line(path, front)
    if gap > 30.0 or v * v > 8.0 * max(gap, 0.5):
        return FREE
    first = round((gap + front) / step)
    rows = np.arange(first, min(first + int(30.0 / step), len(line) - 1) + 1, 2)
    ahead = rows * step - front
    centre = world.centers()[w]
    for j in np.flatnonzero(world.present[w] & (m.path[w] >= 0)):
        if j == agent or np.hypot(*(centre[j, :2] - line[first, :2])) > 80.0:
            continue
        theirs, u = int(m.path[w, j]), max(float(m.speed[w, j]), 2.0)
        middle = float(m.station[w, j] + g.rear_to_center[w, j])
        if next_line(theirs, middle + 0.5 * float(g.length[w, j])) < 30.0:
            continue
        way = path_of(world, theirs)
        t = 0.25 * np.arange(25)
        q = ((middle + u * t) / float(p.step[theirs])).astype(int)
        t, q = t[q < len(way) - 1][:, None], q[q < len(way) - 1]
        apart = np.hypot(*np.moveaxis(way[q, None, :2] - line[rows, :2], -1, 0))
        met = apart <= 0.5 * (g.width[w, agent] + g.width[w, j]) + 0.15
        spell = 0.5 * g.length[w, j] / u + 1.0
        if (met & (t + spell > arrival(ahead)) & (t - spell < arrival(ahead + g.length[w, agent]))).any():
            return max(gap, 0.0)
    return FREE


def follower(world: World, w: int, agent: int, path: int, station: float) -> tuple[int, float, float]:
    """(agent or -1, gap, speed) of whoever would be behind on a path that the agent does not drive on."""
    g, center = world.agents, world.centers()[w]
    line = path_of(world, path)
    s, d, seg = project_to_polyline(center[:, :2], line[:, :2])
    mine = station + float(g.rear_to_center[w, agent])
    own = np.array([world.motion.x[w, agent], world.motion.y[w, agent]])
    ok = world.present[w] & (np.arange(len(s)) != agent) & (s <= mine)
    ok &= np.hypot(*(center[:, :2] - own).T) <= 100.0
    ok &= np.abs(d) <= 0.5 * (g.width[w, agent] + g.width[w]) + 0.15
    ok &= np.cos(center[:, 2] - line[seg, 2]) >= 0.0
    gap = np.where(ok, mine - 0.5 * g.length[w, agent] - (s + 0.5 * g.length[w]), FREE)
    best = int(np.argmin(gap))
    return (
        (best, float(gap[best]), float(world.motion.speed[w, best])) if gap[best] < FREE else (-1, FREE, 0.0)
    )


def drive(world: World, w: int, agent: int, path: int, station: float) -> float:
    """Acceleration of a driver on an unlit path that does not end beside another: IDM, bends, letting go."""
    line, row = path_of(world, path), world.agents.driver[w, agent].astype(float)
    step, v = float(world.paths.step[path]), float(world.motion.speed[w, agent])
    target = min(allowed_speed(line, min(int(station / step), len(line) - 1), step), row[0])
    _, gap, lead = leader(world, w, agent, path, station, 100.0)
    a = float(np.clip(idm(v, lead, gap, max(target, 0.1), *row[1:6]), -8.0, row[3]))
    room, ahead = yielding(world, w, agent, path, station) if world.anticipate else (FREE, 0.0)
    if room < FREE:
        held = float(np.clip(idm(v, ahead, room, max(target, 0.1), *row[1:6]), -8.0, row[3]))
        a = min(a, max(held, -2.5))
    return a


def mobil_gain(world: World, w: int, agent: int, side: NDArray[np.int32]) -> float:
    """MOBIL's advantage of a change to the path beside (Kesting et al. 2007), -inf where it is barred."""
    m, g, p = world.motion, world.agents, world.paths
    path = int(m.path[w, agent])
    row = p.start[path] + min(
        int(m.station[w, agent] / p.step[path]), int(p.start[path + 1] - p.start[path] - 1)
    )
    beside = int(side[row, 0])
    if beside < 0:
        return -np.inf
    here = [[float(m.x[w, agent]), float(m.y[w, agent])]]
    station = float(project_to_polyline(here, path_of(world, beside)[:, :2])[0][0])
    now = drive(world, w, agent, path, float(m.station[w, agent]))
    then = drive(world, w, agent, beside, station)
    behind, gap, v = follower(world, w, agent, beside, station)
    forced = 0.0
    if behind >= 0:
        row_behind = g.driver[w, behind].astype(float)
        target = max(row_behind[0], v, 0.1)
        forced = float(
            np.clip(idm(v, float(m.speed[w, agent]), gap, target, *row_behind[1:6]), -8.0, row_behind[3])
        )
        if gap < g.driver[w, agent, 1] or forced < -3.0:
            return -np.inf
    if then < -3.0:
        return -np.inf
    return then - now + float(g.driver[w, agent, 6]) * min(forced, 0.0)
