"""Scenarios as CommonRoad XML 2020a, which our reader and CommonRoad's own tools open.

What the format has no place for is left out: the ego's vehicle and expert, heights, drivable areas, lane
groups, stop lines before a lane's start (they go to it), lanes' middles where these are not midway between
the bounds, and road users that are seen for one sample. A track with gaps becomes several obstacles.
"""

from __future__ import annotations

import math
import re
from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

from drive.errors import InputError
from drive.geometry import rotate
from drive.roadmap import AreaKind, LaneKind, Marking, RoadMap
from drive.scenario import SignalState
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from drive.scenario import Goal, Scenario

    Floats = NDArray[np.float64]

TYPES = {
    AgentKind.VEHICLE: "car",
    AgentKind.TRUCK: "truck",
    AgentKind.BUS: "bus",
    AgentKind.MOTORCYCLE: "motorcycle",
    AgentKind.BICYCLE: "bicycle",
    AgentKind.PEDESTRIAN: "pedestrian",
}
LANES = {
    LaneKind.BICYCLE: ("bicycleLane", "bicycle"),
    LaneKind.SIDEWALK: ("sidewalk", "pedestrian"),
    LaneKind.PARKING: ("parking", "vehicle"),
    LaneKind.SHOULDER: ("shoulder", "vehicle"),
}
MARKINGS = {
    Marking.NONE: "no_marking",
    Marking.DASHED: "dashed",
    Marking.SOLID: "solid",
    Marking.CURB: "curb",
    Marking.DOUBLE_SOLID: "solid_solid",
}
COLOURS = {
    SignalState.UNKNOWN: "inactive",
    SignalState.GREEN: "green",
    SignalState.YELLOW: "yellow",
    SignalState.RED: "red",
}
STANDS = 0.5
"""Metres within which something of kind static stays."""
GOAL_RADIUS = 2.0


def commonroad_xml(scenario: Scenario) -> str:
    """The text of a file with one planning problem. Raises InputError for a scenario on terrain."""
    if not isinstance(scenario.environment, RoadMap):
        raise InputError(f"'{scenario.id}': CommonRoad files hold roads, and this is terrain")
    ids = _Ids(scenario.environment.lane_ids)
    said = scenario.provenance
    recorded = scenario.expert is not None and scenario.expert.source in ("human", "recorded")
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<commonRoad commonRoadVersion="2020a" benchmarkID="{benchmark_id(scenario.id)}" date="2000-01-01" '
        f'author="drive-toolkit" affiliation="" source={quoteattr(said.format or "drive-toolkit")} '
        f'timeStepSize="{scenario.dt!r}">',
        "<location><geoNameId>-999</geoNameId><gpsLatitude>999</gpsLatitude>"
        "<gpsLongitude>999</gpsLongitude></location>",
        f"<scenarioTags>{'' if recorded else '<simulated/>'}</scenarioTags>",
        *_lanes(scenario, ids),
        *_obstacles(scenario, ids),
        *_buildings(scenario, ids),
        *_problem(scenario, ids),
        "</commonRoad>",
    ]
    return "\n".join(parts) + "\n"


def benchmark_id(name: str) -> str:
    """An id of the form that CommonRoad asks for, made of a scenario's."""
    words = re.sub(r"[^A-Za-z0-9]+", " ", name).split()
    return f"ZAM_{''.join(w[:1].upper() + w[1:] for w in words) or 'Scene'}-1_1_T-1"


class _Ids:
    """Whole numbers for everything: a lane's own where all lanes have such, new ones for the rest."""

    def __init__(self, lanes: Sequence[str]) -> None:
        whole = all(re.fullmatch(r"[1-9]\d{0,15}", lane) for lane in lanes)
        self.lanes = [int(lane) for lane in lanes] if whole else [1 + i for i in range(len(lanes))]
        self.last = max(self.lanes)

    def new(self) -> int:
        self.last += 1
        return self.last


def _points(points: Floats, origin: Sequence[float]) -> str:
    shifted = (np.asarray(points)[:, :2] + np.asarray(origin)).tolist()
    return "".join(f"<point><x>{x!r}</x><y>{y!r}</y></point>" for x, y in shifted)


def _lanes(scenario: Scenario, ids: _Ids) -> Iterator[str]:
    """Lanelets with their crosswalks, then the signs and lights that they refer to, then intersections."""
    m = scenario.roadmap
    limits = sorted({float(v) for v in m.speed_limit if np.isfinite(v)})
    signs = {value: ids.new() for value in limits}
    lights = [ids.new() for _ in m.signal_ids]
    for i in range(m.num_lanes):
        yield _lanelet(scenario, ids, signs, lights, i)
    for ring in m.areas.of_kind(AreaKind.CROSSWALK):
        left, right = _sides(ring)
        yield (
            f'<lanelet id="{ids.new()}"><leftBound>{_points(left, scenario.origin)}</leftBound>'
            f"<rightBound>{_points(right, scenario.origin)}</rightBound>"
            "<laneletType>crosswalk</laneletType><userOneWay>pedestrian</userOneWay></lanelet>"
        )
    for value, sign in signs.items():
        yield (
            f'<trafficSign id="{sign}"><trafficSignElement><trafficSignID>274</trafficSignID>'
            f"<additionalValue>{value!r}</additionalValue></trafficSignElement><virtual>true</virtual>"
            "</trafficSign>"
        )
    for light, states in zip(lights, scenario.signals, strict=True):
        yield _light(light, states.tolist())
    yield from _intersections(m, ids)


def _lanelet(scenario: Scenario, ids: _Ids, signs: dict[float, int], lights: Sequence[int], i: int) -> str:
    m, origin = scenario.roadmap, scenario.origin
    rows = m.rows(i)
    kind, user = LANES.get(LaneKind(int(m.kind[i])), ("urban", "vehicle"))
    opposite = m.right_opposite[i] if len(m.right_opposite) else -1
    sides = {
        "Left": (m.left_lane[i], m.left_opposite[i]),
        "Right": (m.right_lane[i], opposite),
    }
    parts = [f'<lanelet id="{ids.lanes[i]}">']
    for side, bound, marking, change in (
        ("left", m.left, m.left_marking[i], bool(m.left_change[i])),
        ("right", m.right, m.right_marking[i], bool(m.right_change[i])),
    ):
        beside = int(sides[side.capitalize()][0]) >= 0
        line = _line(Marking(int(marking)), change) if beside else MARKINGS[Marking(int(marking))]
        parts.append(
            f"<{side}Bound>{_points(bound[rows], origin)}<lineMarking>{line}</lineMarking></{side}Bound>"
        )
    parts += [f'<predecessor ref="{ids.lanes[j]}"/>' for j in m.predecessors(i)]
    parts += [f'<successor ref="{ids.lanes[j]}"/>' for j in m.successors(i)]
    for side, (same, other) in sides.items():
        for near, way in ((same, "same"), (other, "opposite")):
            if near >= 0 and not (way == "opposite" and same >= 0):
                parts.append(f'<adjacent{side} ref="{ids.lanes[near]}" drivingDir="{way}"/>')
    light = int(m.signal[i])
    if light >= 0:  # the format's give-way lines are signs, which our reader does not read
        at = min(max(float(m.stop_station[i]), 0.0), float(m.length[i]))
        ends = [
            [np.interp(at, m.station[rows], bound[rows, k]) for k in (0, 1)] for bound in (m.left, m.right)
        ]
        parts.append(
            f"<stopLine>{_points(np.asarray(ends), origin)}<lineMarking>solid</lineMarking></stopLine>"
        )
    parts.append(f"<laneletType>{kind}</laneletType>")
    if m.intersection[i]:
        parts.append("<laneletType>intersection</laneletType>")
    parts.append(f"<userOneWay>{user}</userOneWay>")
    if np.isfinite(m.speed_limit[i]):
        parts.append(f'<trafficSignRef ref="{signs[float(m.speed_limit[i])]}"/>')
    if light >= 0:
        parts.append(f'<trafficLightRef ref="{lights[light]}"/>')
    return "".join(parts) + "</lanelet>"


def _line(marking: Marking, change: bool) -> str:
    """A marking towards a neighbour, by which alone the format says whether it may be crossed."""
    permits = marking in (Marking.NONE, Marking.DASHED)
    if permits == change:
        return MARKINGS[marking]
    return "dashed" if change else "solid"


def _sides(ring: Floats) -> tuple[Floats, Floats]:
    """A ring as two bounds of as many points, which run the same way."""
    if len(ring) % 2:
        ring = np.concatenate((ring, 0.5 * (ring[-1:] + ring[:1])))
    half = len(ring) // 2
    return ring[:half], ring[half:][::-1]


def _light(light: int, states: Iterable[int]) -> str:
    phases = [(SignalState(state), len(list(run))) for state, run in groupby(states)]
    cycle = "".join(
        f"<cycleElement><duration>{steps}</duration><color>{COLOURS[state]}</color></cycleElement>"
        for state, steps in phases
    )
    return (
        f'<trafficLight id="{light}"><cycle>{cycle}<timeOffset>0</timeOffset></cycle>'
        "<direction>all</direction><active>true</active></trafficLight>"
    )


def _intersections(m: RoadMap, ids: _Ids) -> Iterator[str]:
    """All that leads into lanes of intersections, as one intersection: the maps do not say where one ends."""
    incoming = [
        (i, [j for j in m.successors(i) if m.intersection[j]])
        for i in range(m.num_lanes)
        if not m.intersection[i]
    ]
    arms = [
        f'<incoming id="{ids.new()}"><incomingLanelet ref="{ids.lanes[i]}"/>'
        + "".join(f'<successorsStraight ref="{ids.lanes[j]}"/>' for j in inside)
        + "</incoming>"
        for i, inside in incoming
        if inside
    ]
    if arms:
        yield f'<intersection id="{ids.new()}">{"".join(arms)}</intersection>'


def _obstacles(scenario: Scenario, ids: _Ids) -> Iterator[str]:
    tracks = scenario.tracks
    for i in range(tracks.num_agents):
        if i == scenario.ego:
            continue
        length, width = (float(v) for v in tracks.size[i, :2])
        shape = f"<shape><rectangle><length>{length!r}</length><width>{width!r}</width></rectangle></shape>"
        steps = np.flatnonzero(tracks.valid[i])
        xy = tracks.states[i, steps, :2]
        still = len(steps) > 0 and float(np.ptp(xy, axis=0).max()) < STANDS
        if tracks.kind[i] == AgentKind.STATIC and still:
            state = _state(scenario, i, int(steps[0]), "initialState", at=0)
            yield f'<staticObstacle id="{ids.new()}"><type>unknown</type>{shape}{state}</staticObstacle>'
            continue
        kind = TYPES.get(AgentKind(int(tracks.kind[i])), "unknown")
        for run in np.split(steps, np.flatnonzero(np.diff(steps) != 1) + 1):
            if len(run) < 2:
                continue
            first = _state(scenario, i, int(run[0]), "initialState")
            rest = _trajectory(scenario, i, run[1:])
            yield (
                f'<dynamicObstacle id="{ids.new()}"><type>{kind}</type>{shape}{first}'
                f"<trajectory>{rest}</trajectory></dynamicObstacle>"
            )


def _trajectory(scenario: Scenario, agent: int, steps: NDArray[np.intp]) -> str:
    heading, velocity = np.split(scenario.tracks.states[agent, steps, 2:], [1], axis=1)
    lateral = rotate(velocity, -heading[:, 0])[:, 1]
    # All states of a trajectory must have the same parts; the initial state has no place for this one.
    sideways = lateral.tolist() if np.abs(lateral).max() > 1e-9 else [None] * len(steps)
    pairs = zip(steps.tolist(), sideways, strict=True)
    return "".join(_state(scenario, agent, step, "state", lateral=side) for step, side in pairs)


def _state(
    scenario: Scenario, agent: int, step: int, tag: str, at: int | None = None, lateral: float | None = None
) -> str:
    x, y, heading, vx, vy = scenario.tracks.states[agent, step].tolist()
    along = vx * math.cos(heading) + vy * math.sin(heading)
    place = _points(np.asarray([[x, y]]), scenario.origin)
    return (
        f"<{tag}><position>{place}</position>{_exact('orientation', heading)}"
        f"<time><exact>{step if at is None else at}</exact></time>{_exact('velocity', along)}"
        f"{'' if lateral is None else _exact('velocityY', lateral)}</{tag}>"
    )


def _buildings(scenario: Scenario, ids: _Ids) -> Iterator[str]:
    for ring in scenario.roadmap.areas.of_kind(AreaKind.OCCLUDER):
        yield (
            f'<environmentObstacle id="{ids.new()}"><type>building</type><shape><polygon>'
            f"{_points(ring, scenario.origin)}</polygon></shape></environmentObstacle>"
        )


def _problem(scenario: Scenario, ids: _Ids) -> Iterator[str]:
    x, y, heading, speed, acceleration, _, yaw_rate = scenario.initial[:7].tolist()
    centre = rear_to_center(np.asarray([x, y, heading]), scenario.vehicle.rear_axle_to_center)
    yield (
        f'<planningProblem id="{ids.new()}"><initialState>'
        f"<position>{_points(centre[None], scenario.origin)}</position>"
        f"{_exact('orientation', heading)}<time><exact>0</exact></time>{_exact('velocity', speed)}"
        f"{_exact('acceleration', acceleration)}{_exact('yawRate', yaw_rate)}{_exact('slipAngle', 0.0)}"
        f"</initialState>{_goal(scenario, ids, scenario.route.goal)}</planningProblem>"
    )


def _goal(scenario: Scenario, ids: _Ids, goal: Goal) -> str:
    low, high = goal.time or (0.0, scenario.duration)
    last = scenario.num_steps if not np.isfinite(high) else max(round(high / scenario.dt), 0)
    first = min(max(round(max(low, 0.0) / scenario.dt), 0), last)
    place = ""
    if goal.polygon is not None:
        place = f"<polygon>{_points(goal.polygon, scenario.origin)}</polygon>"
    elif goal.position is not None:
        x, y = (goal.position + np.asarray(scenario.origin)).tolist()
        centre = f"<center><x>{x!r}</x><y>{y!r}</y></center>"
        place = f"<circle><radius>{GOAL_RADIUS}</radius>{centre}</circle>"
    elif goal.lanes:
        place = "".join(f'<lanelet ref="{ids.lanes[lane]}"/>' for lane in goal.lanes)
    parts = [f"<position>{place}</position>"] if place else []
    for tag, bounds in (("orientation", goal.heading), ("velocity", goal.speed)):
        if bounds is not None and np.isfinite(bounds).all():
            parts.append(_interval(tag, *(repr(float(v)) for v in bounds)))
    return f"<goalState>{_interval('time', str(first), str(last))}{''.join(parts)}</goalState>"


def _exact(tag: str, value: float) -> str:
    return f"<{tag}><exact>{value!r}</exact></{tag}>"


def _interval(tag: str, low: str, high: str) -> str:
    return f"<{tag}><intervalStart>{low}</intervalStart><intervalEnd>{high}</intervalEnd></{tag}>"
