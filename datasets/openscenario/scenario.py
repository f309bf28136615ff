"""A scenario in which a storyboard is played around the ego."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import ScenarioError
from drive.roadmap import extend_route, route_groups, route_line
from drive.scenario import Goal, Provenance, Route, Scenario, Tracks
from drive.sim.traffic.story.lanes import Lanes
from drive.sim.traffic.story.play import KEY, rehearse
from drive.vehicle import VehicleParams

if TYPE_CHECKING:
    from drive.datasets.openscenario.reader import OpenScenario
    from drive.sim.traffic.story.play import Rehearsal

DT = 0.1
LONGEST, SHORTEST = 40.0, 5.0
"""s that a scenario lasts at most and at least."""
ROUTE = 400.0
"""m of route beyond what the ego drives in the rehearsal."""


def make_scenario(file: OpenScenario, name: str, longest: float = LONGEST) -> Scenario:
    """The scenario of a file. Its tracks are a rehearsal, in which the ego does what the file says; in a run
    the storyboard is played anew around what the planner does.

    It lasts until the storyboard ends in the rehearsal, but `longest` s at most. Raises ScenarioError where
    the ego starts on no lane for motor vehicles.
    """
    board, roadmap = file.board, file.map.roadmap
    played = rehearse(board, roadmap, DT, longest)
    if not played.there[0, 0]:
        raise ScenarioError(f"{file.name}: the ego '{board.entities[0].name}' is not there at the start")
    steps = round(longest / DT)
    if played.end is not None:
        steps = min(max(math.ceil(played.end / DT - 1e-9), round(SHORTEST / DT)), steps)
    states, there = _cut(played, steps + 1)
    # An ego that leaves the stage in the rehearsal is still the planner's.
    there[0] = True
    entity = board.entities[0]
    vehicle = VehicleParams.from_box(*entity.size)
    initial = states[0, 0].copy()
    notes = [f"{what}: {count}" for what, count in file.skipped.items()]
    if file.scripted:
        notes.append("what the file has the ego do after the start is left to the planner")
    return Scenario(
        id=name,
        dt=DT,
        duration=steps * DT,
        environment=roadmap,
        tracks=_tracks(file, states, there, vehicle),
        ego=0,
        initial=initial,
        vehicle=vehicle,
        route=_route(file, states[0]),
        expert=None,
        signals=np.zeros((len(roadmap.signal_ids), steps + 1), dtype=np.uint8),
        origin=file.map.origin,
        family="openscenario",
        tags=("openscenario",),
        provenance=Provenance(
            file.name, f"OpenSCENARIO {file.version}", file.licence, notes=(*notes, *file.map.notes)
        ),
        live={KEY: board},
    )


def _cut(played: Rehearsal, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """States and presence over so many samples; who is there at the end stays where it is."""
    have = played.states.shape[1]
    index = np.minimum(np.arange(samples), have - 1)
    return played.states[:, index].copy(), played.there[:, index].copy()


def _tracks(file: OpenScenario, states: np.ndarray, there: np.ndarray, vehicle: VehicleParams) -> Tracks:
    entities = file.board.entities
    rear = np.array([e.rear_to_centre for e in entities])
    rear[0] = vehicle.rear_axle_to_center
    h, v = states[..., 2], states[..., 3]
    c, s = np.cos(h), np.sin(h)
    rows = np.stack(
        (states[..., 0] + rear[:, None] * c, states[..., 1] + rear[:, None] * s, h, v * c, v * s), axis=-1
    )
    return Tracks(
        np.where(there[..., None], rows, 0.0),
        there,
        np.array([e.size for e in entities]),
        np.array([int(e.kind) for e in entities], dtype=np.uint8),
        rear,
        tuple(e.name for e in entities),
    )


def _route(file: OpenScenario, ego: np.ndarray) -> Route:
    """The lanes that the ego drives on in the rehearsal, and straight on after them."""
    roadmap = file.map.roadmap
    lanes = Lanes.of(roadmap, file.board)
    found: list[int] = []
    for x, y, heading in ego[::5, :3]:
        lane = lanes.match(float(x), float(y), float(heading))
        if lane < 0 or (found and lane == found[-1]):
            continue
        if not found or lane in roadmap.successors(found[-1]) or lane in (
            roadmap.left_lane[found[-1]], roadmap.right_lane[found[-1]]
        ):  # fmt: skip
            found.append(lane)
    if not found:
        raise ScenarioError(f"{file.name}: the ego starts on no lane for motor vehicles")
    chain = extend_route(roadmap, found, float(roadmap.length[found].sum()) + ROUTE)
    line = route_line(roadmap, chain)
    return Route(chain, route_groups(roadmap, chain), line, Goal(position=line[-1]))
