"""Where the ego has to halt: red and yellow lights, give-way lines, ways that cross, the end of the road."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.planners.road.kernels.gaps import first_conflict
from drive.scenario import SignalState
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.planners.road.others import Others
    from drive.sim.road.frame import RoadFrame
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]

LINE_GAP = 1.0
"""m kept before a line."""
CROSSING_GAP = 2.0
"""m kept before the way of somebody who crosses."""
YELLOW_BRAKING = 3.0
"""m/s^2: who can stop at yellow with less does."""
HARDEST = 4.5
"""m/s^2 that a halt may ask for; who is too near for that drives on, and avoids who is there."""
LINE_REACH = 40.0
BEYOND = 30.0
"""m beyond a give-way line on which ways may meet."""
CROSSING_REACH = 60.0
HEADROOM, HOLDING = 1.0, 0.5
"""s between passing a place and another's passing it; and so much more for who halts already."""
CROSSES = 0.8
"""Cosine between two headings below which ways cross rather than run along."""
SAME_WAY = 0.8


PERSON, TRAFFIC, GIVE_WAY = "person crossing", "crossing traffic", "give-way line"
WAITING = (PERSON, TRAFFIC, GIVE_WAY)
"""Reasons to halt that somebody else gives."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The ego's rear axle must not pass the `station`, m on the frame; infinite where nothing holds it.

    `reason` is for people; `entry` the station of what holds it: the line, or the box of who crosses.
    """

    station: float = math.inf
    entry: float = math.inf
    reason: str = ""


def find_hold(
    frame: RoadFrame,
    state: Floats,
    others: Others,
    observation: Observation,
    vehicle: VehicleParams,
    holding: bool = False,
) -> Hold:
    """The nearest place where the ego, at a Frenet `state (6,)`, has to halt; `holding` if it did before."""
    ahead = vehicle.rear_axle_to_center + 0.5 * vehicle.length
    front, speed = float(state[0]) + ahead, max(float(state[1]), 0.0)
    found: list[tuple[float, float, str]] = []
    for line, signal in zip(frame.stops.tolist(), frame.signals.tolist(), strict=True):
        gap = line - front
        if gap < -1.0 or signal >= len(observation.signals):
            continue
        shown = observation.signals[signal]
        soft = speed * speed <= 2.0 * YELLOW_BRAKING * max(gap, 0.0)
        if shown == SignalState.RED or (shown == SignalState.YELLOW and soft):
            found.append((line - LINE_GAP, line, "red light" if shown == SignalState.RED else "yellow light"))
    headroom = HEADROOM + HOLDING * holding
    for line in frame.give_way.tolist():
        if -0.5 <= line - front <= LINE_REACH and speed * speed <= 2.0 * HARDEST * max(line - front, 0.5):
            # Who is ahead on the same way is followed, not waited for.
            leads = _leads(frame, others, front)
            who, _ = _conflict(
                frame,
                front,
                speed,
                vehicle,
                (line, line + BEYOND),
                headroom,
                2.0,
                others.yields | leads,
                others,
            )
            if who >= 0:
                found.append((line - LINE_GAP, line, GIVE_WAY))
    who, entry = _conflict(
        frame,
        front,
        speed,
        vehicle,
        (front, front + CROSSING_REACH),
        headroom,
        CROSSES,
        others.yields,
        others,
    )
    if who >= 0:
        person = others.kind[who] == AgentKind.PEDESTRIAN
        gap = entry - CROSSING_GAP - front
        if gap > -1.0 and speed * speed <= 2.0 * HARDEST * max(gap, 0.5):
            found.append((entry - CROSSING_GAP, entry, PERSON if person else TRAFFIC))
    if frame.ends:
        found.append((frame.length - LINE_GAP, frame.length, "end of the road"))
    if not found:
        return Hold()
    station, entry, reason = min(found)
    return Hold(max(station - ahead, 0.0), entry, reason)


def _leads(frame: RoadFrame, others: Others, front: float) -> NDArray[np.bool_]:
    """Who is on the ego's way now, ahead and along it."""
    if not len(others):
        return np.zeros(0, dtype=np.bool_)
    s, d = others.frenet[:, 0, 0], others.frenet[:, 0, 1]
    heading = np.interp(s, frame.stations, frame.rows[:, 2])
    along = np.cos(others.poses[:, 0, 2] - heading) > SAME_WAY
    return np.asarray((s > front - 2.0) & (np.abs(d) < 1.75) & along)


def _conflict(
    frame: RoadFrame,
    front: float,
    speed: float,
    vehicle: VehicleParams,
    between: tuple[float, float],
    headroom: float,
    most_cosine: float,
    skip: NDArray[np.bool_],
    others: Others,
) -> tuple[int, float]:
    who, entry = first_conflict(
        frame.rows, frame.step, front, speed, vehicle.length, 0.5 * vehicle.width, *between, headroom,
        most_cosine, skip, others.times, others.poses, others.frenet, others.extent,
    )  # fmt: skip
    return int(who), float(entry)
