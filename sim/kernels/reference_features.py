"""Plain NumPy references of the features and of the series, in float64, one agent at a time, for tests.

They go other ways than the kernels: sorting instead of a network, exhaustive projection on the path, the
map's polygon instead of its grid, boxes moved in small steps instead of spans on axes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import box_corners, boxes_overlap, project_to_polyline, to_frame, wrap_angle
from drive.sim.kernels.features import NEIGHBOURS, REACH, SLICES
from drive.sim.kernels.series import HORIZON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap.drivable import DrivableArea
    from drive.sim.kernels.features import RoadTable
    from drive.sim.world import World

    Floats = NDArray[np.float64]


def pose_of(world: World, w: int, agent: int) -> Floats:
    m = world.motion
    return np.array([m.x[w, agent], m.y[w, agent], m.heading[w, agent]], dtype=np.float64)


def neighbours(world: World, w: int, agent: int) -> Floats:
    """The nearest others `(16, 7)` in NEIGHBOUR_COLUMNS."""
    pose = pose_of(world, w, agent)
    centers, g = world.centers()[w], world.agents
    gap = np.hypot(*(centers[:, :2] - pose[:2]).T)
    gap[~world.present[w]] = np.inf
    gap[agent] = np.inf
    out = np.zeros((NEIGHBOURS, 7))
    order = [j for j in np.argsort(gap, kind="stable")[:NEIGHBOURS] if gap[j] <= REACH]
    for row, j in zip(out, order, strict=False):
        x, y, h = to_frame(centers[j, :3], pose)
        row[:] = (x, y, np.cos(h), np.sin(h), world.motion.speed[w, j], g.length[w, j], g.width[w, j])
    return out


def route(world: World, area: DrivableArea, w: int, agent: int) -> Floats:
    """What the kernel tells of the route `(8,)`; the rooms to the nearest 0.05 m."""
    m, g, p = world.motion, world.agents, world.paths
    pose = pose_of(world, w, agent)
    k = int(m.path[w, agent])
    points = p.points[p.start[k] : p.start[k + 1]].astype(np.float64)
    step = float(p.step[k])
    s, d, segment = (float(v[0]) for v in project_to_polyline(pose[None, :2], points[:, :2]))
    heading = np.interp(s, step * np.arange(len(points)), np.unwrap(points[:, 2]))
    turn = float(wrap_angle(pose[2] - heading))
    front = s + g.rear_to_center[w, agent] + 0.5 * g.length[w, agent]
    gaps = [float(REACH)]
    signals = g.signals[w, :, min(int(m.sample[w]), g.signals.shape[2] - 1)]
    lines = np.flatnonzero(p.stop[p.start[k] : p.start[k + 1]] >= 0)
    held = [row * step - front for row in lines if signals[p.stop[p.start[k] + row]] >= 2]
    gaps += [gap for gap in held if gap > -1.0]
    foot = pose[:2] - d * np.array([-np.sin(heading), np.cos(heading)])
    rooms = []
    for sign in (1.0, -1.0):
        at = np.arange(0.0, 15.0, 0.05)[:, None]
        inside = area.contains(foot + sign * at * np.array([-np.sin(heading), np.cos(heading)]))
        rooms.append(0.05 * (int(np.argmin(inside)) if not inside.all() else len(at)) - sign * d)
    remaining = min((len(points) - 1) * step - s, float(REACH))
    return np.array([d, np.cos(turn), np.sin(turn), points[int(segment), 4], remaining, *rooms, min(gaps)])


def own_points(world: World, table: RoadTable, w: int, agent: int) -> Floats:
    """Up to 16 samples `(N, 4)` of the own path in POINT_COLUMNS, from the slice where the agent is."""
    m, p = world.motion, world.paths
    pose, k = pose_of(world, w, agent), int(m.path[w, agent])
    points = p.points[p.start[k] : p.start[k + 1]].astype(np.float64)
    s, _, _ = project_to_polyline(pose[None, :2], points[:, :2])
    stride = int(table.stride)
    first = int(max(s[0], 0.0) / float(p.step[k])) // stride * stride
    rows = points[first : first + SLICES * stride : stride // 2, :3]
    at = to_frame(rows, pose)
    return np.column_stack((at[:, :2], np.cos(at[:, 2]), np.sin(at[:, 2])))


def time_to_collision(world: World, w: int, agent: int, step: float = 0.01) -> float:
    """The first time at which the boxes of an agent and of one ahead overlap, all going straight on."""
    c, there, g = world.centers()[w], world.present[w], world.agents
    times = np.arange(0.0, float(HORIZON), step)
    ahead = to_frame(c[:, :3], c[agent, :3])[:, 0] > 0.0
    best = float(HORIZON)
    for j in np.flatnonzero(there & ahead):
        if j == agent:
            continue
        boxes: list[Any] = []
        for i in (agent, j):
            at = c[i, :2] + times[:, None] * c[i, 3:5]
            boxes.append(
                box_corners(at, np.full(len(times), c[i, 2]), float(g.length[w, i]), float(g.width[w, i]))
            )
        hit = boxes_overlap(*boxes)
        if hit.any():
            best = min(best, float(times[np.argmax(hit)]))
    return best


def off_road(world: World, area: DrivableArea, w: int, agent: int) -> bool:
    """Whether a corner of the agent's box lies outside the map's drivable polygon."""
    c, g = world.centers()[w, agent], world.agents
    corners = box_corners(c[:2], c[2], float(g.length[w, agent]), float(g.width[w, agent]))
    return not bool(area.contains(corners).all())
