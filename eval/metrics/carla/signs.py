"""Red lights and stop signs that the ego ran.

Source: scenario_runner `RunningRedLightTest`, `RunningStopTest` (leaderboard-2.0). CARLA has a light's
and a sign's trigger volume; here a light's stop line is the map's, and a stop sign is an area of kind STOP
whose id contains "stop_sign". A stop line without a light asks to give way, which CARLA does not check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.carla import constants as c
from drive.eval.metrics.carla.course import ticks
from drive.geometry import points_in_polygon, unwrap_angle
from drive.roadmap.model import AreaKind
from drive.scenario import SignalState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.eval.metrics.carla.contacts import Event
    from drive.eval.metrics.nuplan.ego import Ego
    from drive.roadmap.model import RoadMap
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

STOP_SIGN = "stop_sign"


def stop_line(roadmap: RoadMap, lane: int) -> tuple[Floats, float, float]:
    """Middle `(2,)`, heading and half width of a lane's stop line; before the lane's start on its tangent."""
    rows = roadmap.rows(lane)
    s, at = roadmap.station[rows], float(roadmap.stop_station[lane])
    k = int(np.clip(np.searchsorted(s, at), 0, len(s) - 1))
    inside = float(np.clip(at, s[0], s[-1]))
    middle = np.array([np.interp(inside, s, roadmap.points[rows][:, i]) for i in range(2)])
    heading = float(roadmap.heading[rows][k])
    middle = middle + (at - inside) * np.array([np.cos(heading), np.sin(heading)])
    width = float(np.hypot(*(roadmap.left[rows][k] - roadmap.right[rows][k])))
    return middle, heading, 0.5 * width


def red_lights(run: RunLog, ego: Ego, driven: Sequence[tuple[int, ...]]) -> list[Event]:
    """Red lights that were run: the tail crosses the stop line while the light is red.

    The tail is the piece from 0.8 of the half length to 1 m beyond the box, so that who stands on the line
    has not run it. `driven` are the lanes of each sample; a light counts for who drives its lane then
    or later, or has it on the given route; one light never twice in a row.
    """
    roadmap = run.roadmap
    if roadmap is None or run.signals.size == 0:
        return []
    lit = np.flatnonzero((roadmap.signal >= 0) & np.isfinite(roadmap.stop_station))
    fine, sample = ticks(run.times)
    heading_at = np.interp(fine, run.times, unwrap_angle(ego.heading))
    center = np.stack([np.interp(fine, run.times, ego.center[:, i]) for i in range(2)], axis=1)
    along = np.stack((np.cos(heading_at), np.sin(heading_at)), axis=1)
    near = center - c.TAIL_NEAR * 0.5 * ego.length * along
    far = center - (0.5 * ego.length + c.TAIL_BEYOND) * along
    last_seen: dict[int, int] = {}
    for n, lanes in enumerate(driven):
        last_seen.update(dict.fromkeys(lanes, n))
    routed = set(run.route_lanes.tolist())
    found: dict[tuple[int, int], None] = {}
    for lane in lit.tolist():
        middle, heading, half = stop_line(roadmap, lane)
        unit = np.array([np.cos(heading), np.sin(heading)])
        a, b = near - middle, far - middle
        before, beyond = b @ unit, a @ unit
        share = np.divide(-before, beyond - before, out=np.zeros(len(a)), where=beyond != before)
        crossing = b + share[:, None] * (a - b)
        across = np.abs(crossing[:, 1] * unit[0] - crossing[:, 0] * unit[1])
        # The lane that the tail comes from is this one: half its width, where the line itself is longer.
        side = np.abs(b[:, 1] * unit[0] - b[:, 0] * unit[1])
        red = run.signals[roadmap.signal[lane], sample] == SignalState.RED
        hits = red & (before <= 0.0) & (beyond >= 0.0) & (across <= 2.0 * c.LINE_SHARE * half)
        hits &= (side <= half) & (along @ unit > 0.0)
        for n in np.unique(sample[hits]).tolist():
            if last_seen.get(lane, -1) >= n or (lane in routed and lane not in last_seen):
                found[n, int(roadmap.signal[lane])] = None
    events: list[Event] = []
    last = -1
    for n, light in sorted(found):
        if light != last:
            events.append((n, "red_light"))
        last = light
    return events


def stop_signs(run: RunLog, ego: Ego) -> list[Event]:
    """Stop signs that were run: never below 0.1 m/s while the sign's area lay under the ego or up to 4 m
    ahead. The event is that of leaving the area; the same sign counts once in a row."""
    left = [
        (end, area)
        for area, start, end in stop_zones(run, ego)
        if not (ego.speed[start:end] < c.STOPPED_SPEED).any()
    ]
    events: list[Event] = []
    last = -1
    for n, area in sorted(left):
        if area != last:
            events.append((n, "stop_infraction"))
        last = area
    return events


def stop_zones(run: RunLog, ego: Ego) -> list[tuple[int, int, int]]:
    """When a stop sign's area lay under the ego or up to 4 m ahead and was left again: area, first sample,
    and the first one after."""
    roadmap = run.roadmap
    if roadmap is None or not roadmap.area_ids:
        return []
    along = np.stack((np.cos(ego.heading), np.sin(ego.heading)), axis=1)
    reach = np.arange(0.0, c.STOP_REACH + 1e-9, c.STOP_STEP)
    points = ego.center[:, None, :] + reach[None, :, None] * along[:, None, :]
    found: list[tuple[int, int, int]] = []
    for area in range(len(roadmap.areas)):
        sign = STOP_SIGN in roadmap.area_ids[area].lower()
        if roadmap.areas.kind[area] != AreaKind.STOP or not sign:
            continue
        inside = points_in_polygon(points.reshape(-1, 2), roadmap.areas[area]).reshape(len(ego), -1).any(1)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], inside)).astype(np.int8)))
        pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=False)
        found += [(area, start, end) for start, end in pairs]
    return found
