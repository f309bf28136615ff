"""Scenarios from SUMO: a vehicle of the demand as the ego among recorded traffic, or a bare network."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.conventions import expert_states, origin_near
from drive.datasets.matching import any_change, make_route
from drive.datasets.sumo.network import Lane, Network
from drive.datasets.sumo.record import DT, DURATION, Recording
from drive.datasets.sumo.roadmap import build_roadmap, planned_signals
from drive.errors import ScenarioError, UnknownNameError
from drive.geometry import arc_length
from drive.roadmap import extend_route, find_route
from drive.scenario import Expert, Goal, Provenance, Scenario, Tracks, tracks_from_rows
from drive.sim.sumo.demand import SumoDemand
from drive.sim.sumo.signals import signals_of, split_signal
from drive.vehicle import STATE_SIZE, AgentKind, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.sumo.config import Configuration
    from drive.roadmap import RoadMap
    from drive.sim.sumo.engine import Box

    Floats = NDArray[np.float64]

AROUND = 150.0
"""m of map and traffic around the way that the ego can get along."""
FAST = 1.2
"""How much faster than the limits it may get along it."""
MANY = 20_000
"""Lanes from which on a network without demand is cut to what lies around the start."""
NEAR = 1500.0
START_SPEED = 0.6
"""Of the limit, with which the ego of a network without demand begins."""
GENTLE = 1.5
"""m/s^2 of braking with which it can stop on its first edge."""
STRAIGHT_ON = 400.0
BEYOND = 100.0
"""m of its way beyond what the ego can get along that are in the map."""


def around(network: Network, edges: Sequence[str], lane: str, position: float) -> tuple[Box, set[str]]:
    """The box of net coordinates that a scenario shows, and the edges in it.

    It holds the way along `edges` that the ego can get along from `position` m on `lane`, and `AROUND` m.
    """
    rest, points = BEYOND, []
    time = DURATION
    for k, name in enumerate(edges):
        edge = network.edges.get(name)
        if edge is None:
            break
        here = network.lanes[lane if k == 0 and lane in edge.lanes else edge.lanes[0]]
        line = here.shape[:, :2]
        s = arc_length(line)
        start = min(position, s[-1]) if k == 0 else 0.0
        speed = max(here.speed, 1.0) * FAST
        reach = min(s[-1] - start, time * speed + rest)
        at = np.concatenate(([start], s[(s > start) & (s < start + reach)], [start + reach]))
        points.append(np.stack([np.interp(at, s, line[:, c]) for c in range(2)], axis=-1))
        spent = min(reach / speed, time)
        rest -= max(reach - spent * speed, 0.0)
        time -= spent
        if time <= 1e-6 and rest <= 1.0:
            break
    if not points:
        raise ScenarioError(f"{network.name}: the route names no edge of the network")
    every = np.concatenate(points)
    low, high = every.min(0) - AROUND, every.max(0) + AROUND
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return box, {network.lanes[name].edge for name in lanes_in(network, box)}


def lanes_in(network: Network, box: Box) -> set[str]:
    """Lanes whose bounding box meets a box, whole."""
    x0, y0, x1, y1 = box

    def meets(lane: Lane) -> bool:
        low, high = lane.shape[:, :2].min(0), lane.shape[:, :2].max(0)
        return bool(low[0] <= x1 and high[0] >= x0 and low[1] <= y1 and high[1] >= y0)

    return {name for name, lane in network.lanes.items() if meets(lane)}


def driven_scenario(config: Configuration, network: Network, found: Recording, name: str) -> Scenario:
    """The scenario in which a vehicle of the demand is the ego, and SUMO's own drive of it the expert.

    Raises ScenarioError where its way has no lanes.
    """
    first = found.states[found.ego, 0]
    origin = origin_near(float(first[0]), float(first[1]))
    roadmap, notes = build_roadmap(network, origin, lanes_in(network, found.box))
    states = found.states.copy()
    states[found.valid, :2] -= origin
    rows = [
        (track, body.kind, body.size, states[k], found.valid[k])
        for k, (track, body) in enumerate(zip(found.ids, found.bodies, strict=True))
    ]
    tracks, ego = tracks_from_rows(rows), found.ego
    vehicle = VehicleParams.from_box(*(float(v) for v in tracks.size[ego]))
    tracks = _with_rear(tracks, ego, vehicle.rear_axle_to_center)
    motion = expert_states(tracks.states[ego], vehicle)
    lanes = _route_lanes(network, roadmap, found)
    goal = Goal(position=tracks.states[ego, -1, :2].copy())
    links = [split_signal(signal) for signal in roadmap.signal_ids]
    samples = tracks.num_steps
    signals = np.stack(
        [signals_of({k: text[t] for k, text in found.lights.items()}, links) for t in range(samples)], axis=1
    )
    demand = SumoDemand(
        config.files, found.state, found.vehicle, found.box, origin, found.more, config.digest
    )
    return Scenario(
        id=name,
        dt=DT,
        duration=DT * (samples - 1),
        environment=roadmap,
        tracks=tracks,
        ego=ego,
        initial=motion[0].copy(),
        vehicle=vehicle,
        route=make_route(roadmap, motion[0], lanes, goal),
        expert=Expert(motion, "simulated"),
        signals=signals,
        origin=origin,
        family=f"sumo/{config.name.partition('.')[0]}",
        tags=("simulated",),
        provenance=Provenance(
            source=config.name,
            format=f"SUMO {network.version}".strip(),
            generator=found.sumo,
            notes=(
                f"'{found.vehicle}' departs at {found.departed:g} s; the clock begins at {found.begin:g} s",
                *config.notes,
                *notes,
            ),
        ),
        live={"sumo": demand},
    )


def bare_scenario(network: Network, way: str, name: str) -> Scenario:
    """A network without demand: one car from edge A to edge B (`way` "A>B"), or from A straight on ("A").

    Without a `way` it begins on the longest edge that cars may use. Signals run their programs as planned.
    Raises UnknownNameError for an edge that there is not, ScenarioError where no lanes lead there.
    """
    start, _, end = way.partition(">")
    open_edges = [
        e.id
        for e in network.edges.values()
        if e.is_road and any("passenger" in network.lanes[x].users for x in e.lanes)
    ]
    for edge in filter(None, (start, end)):
        if edge not in open_edges:
            raise UnknownNameError(f"edge for cars in {network.name}", edge, open_edges[:20])
    if not open_edges:
        raise ScenarioError(f"{network.name}: no edge is open to cars")
    longest = max(open_edges, key=lambda e: network.lanes[network.edges[e].lanes[0]].length)
    first = network.edges[start or longest]
    lane = next(network.lanes[x] for x in first.lanes if "passenger" in network.lanes[x].users)
    line = lane.shape[:, :2]
    s = arc_length(line)
    at = min(10.0, 0.3 * float(s[-1]))
    here = np.array([np.interp(at, s, line[:, c]) for c in range(2)])
    keep = None
    if len(network.lanes) > MANY:
        keep = lanes_in(network, (*(here - NEAR), *(here + NEAR)))
    origin = origin_near(float(here[0]), float(here[1]))
    roadmap, notes = build_roadmap(network, origin, keep)
    begin = roadmap.lane_index(lane.id)
    if end:
        goals = [roadmap.lane_index(x) for x in network.edges[end].lanes if x in roadmap.lane_ids]
        way_there = find_route(roadmap, begin, goals)
        if way_there is None:
            raise ScenarioError(f"{network.name}: no lanes lead from '{first.id}' to '{end}'")
        lanes = way_there
    else:
        lanes = extend_route(roadmap, (begin,), STRAIGHT_ON)
    row = roadmap.rows(begin)
    heading = float(np.interp(at, roadmap.station[row], np.unwrap(roadmap.heading[row])))
    initial = np.zeros(STATE_SIZE)
    # It can stop at the edge's end, where a red light may be.
    speed = min(START_SPEED * lane.speed, math.sqrt(2.0 * GENTLE * max(float(s[-1]) - at - 5.0, 0.0)))
    initial[:4] = *(here - origin), heading, speed
    vehicle = VehicleParams.from_box(5.0, 1.8, 1.5)
    samples = round(DURATION / DT) + 1
    own = np.zeros((samples, 5))
    direction = np.array([np.cos(heading), np.sin(heading)])
    own[0] = *(initial[:2] + vehicle.rear_axle_to_center * direction), heading, *(initial[3] * direction)
    size = (vehicle.length, vehicle.width, vehicle.height)
    tracks = tracks_from_rows([("ego", AgentKind.VEHICLE, size, own, np.arange(samples) == 0)])
    route = make_route(roadmap, initial, lanes, Goal())
    return Scenario(
        id=name,
        dt=DT,
        duration=DURATION,
        environment=roadmap,
        tracks=_with_rear(tracks, 0, vehicle.rear_axle_to_center),
        ego=0,
        initial=initial,
        vehicle=vehicle,
        route=replace(route, goal=Goal(position=route.line[-1])) if end else route,
        expert=None,
        signals=planned_signals(network, roadmap, DT * np.arange(samples, dtype=np.float64)),
        origin=origin,
        family="sumo/network",
        tags=("empty_road",),
        provenance=Provenance(
            source=network.name,
            format=f"SUMO {network.version}".strip(),
            notes=("a network without demand: nobody else is on the road", *notes),
        ),
    )


def _route_lanes(network: Network, roadmap: RoadMap, found: Recording) -> tuple[int, ...]:
    """Lanes along the ego's edges, as far as the map holds them; solid lines are crossed where need be."""
    lane_at = {lane: k for k, lane in enumerate(roadmap.lane_ids)}
    start = lane_at.get(found.lane)
    edges: list[str] = []
    for name in found.edges:
        if not any(lane in lane_at for lane in network.edges[name].lanes):
            break
        edges.append(name)
    if start is None or not edges:
        raise ScenarioError(f"{network.name}: the way of '{found.vehicle}' begins on no lane of the map")
    ways = set(edges)
    among = {
        k
        for lane, k in lane_at.items()
        if network.lanes[lane].open_to(found.vehicle_class)
        and (network.lanes[lane].edge in ways or not network.edges[network.lanes[lane].edge].is_road)
    } | {start}
    for graph in (roadmap, any_change(roadmap)):
        # A loop may come back to an edge; the farthest one that lanes lead to is enough of a route.
        for last in range(len(edges) - 1, 0, -1):
            goals = [lane_at[x] for x in network.edges[edges[last]].lanes if lane_at.get(x) in among]
            lanes = find_route(graph, start, goals, among=among) if goals else None
            if lanes is not None:
                return lanes
    return (start,)


def _with_rear(tracks: Tracks, agent: int, distance: float) -> Tracks:
    rear = tracks.rear_to_centre.copy()
    rear[agent] = distance
    return replace(tracks, rear_to_centre=rear)


__all__ = ["around", "bare_scenario", "driven_scenario", "lanes_in"]
