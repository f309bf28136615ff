"""Traffic `sumo`: SUMO drives everybody but the ego, live, and reacts to the ego.

SUMO runs in this process from the state that it had at the scenario's start, in steps of the scenario's. In
each step the ego (and every track that a planner drives) is put where its planner drove it, and SUMO moves
the rest: as in our own traffic all decide on what is now, and then all move. SUMO's signals are the
scenario's from then on. The run's seed is SUMO's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import ScenarioError
from drive.scenario import Tracks
from drive.sim.kernels.layout import Controller
from drive.sim.sumo.demand import SumoDemand, live_files
from drive.sim.sumo.engine import Engine, Place, center_of, libsumo
from drive.sim.sumo.signals import signals_of, split_signal
from drive.sim.traffic.director import Cue, Moves
from drive.sim.traffic.model import TrafficModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

REAR = 0.28
"""Rear axle behind the centre, of the length, as `drive.scenario.tracks_from_rows` has it."""


@dataclass(slots=True, eq=False)
class SumoDirection:
    """One run: `row_of` the tracks by SUMO's ids, `mirrored` those that planners drive."""

    scenario: Scenario
    rows: NDArray[np.intp]
    engine: Engine
    demand: SumoDemand
    row_of: dict[str, int]
    mirrored: dict[int, str]
    links: list[tuple[str, int]]
    heading: Floats
    there: NDArray[np.bool_]
    lost: set[str] = field(default_factory=set)

    def step(self, cue: Cue) -> Moves:
        events = [line for row, name in self.mirrored.items() if (line := self._mirror(cue, row, name))]
        self.engine.step()
        dt, (ox, oy) = self.scenario.dt, self.demand.origin
        pose, here = np.zeros((len(self.rows), 5)), np.zeros(len(self.rows), dtype=np.bool_)
        known = self.scenario.tracks.rear_to_centre
        for name, place in self.engine.places(self.demand.box).items():
            k = self.row_of.get(name)
            if k is None:
                if name not in self.mirrored.values() and name not in self.lost:
                    self.lost.add(name)
                    events.append(f"SUMO's '{name}' came unforeseen and is not shown")
                continue
            x, y = center_of(place, self.engine.body(name))
            rear = known[self.rows[k]]
            turn = (
                math.remainder(place.heading - self.heading[k], 2.0 * math.pi) / dt if self.there[k] else 0.0
            )
            pose[k] = (
                x - ox - rear * math.cos(place.heading), y - oy - rear * math.sin(place.heading),
                place.heading, place.speed, turn,
            )  # fmt: skip
            self.heading[k], here[k] = place.heading, True
        self.there = here
        return Moves(pose, here, self._signals(), events)

    def close(self) -> None:
        self.engine.close()

    def _mirror(self, cue: Cue, row: int, name: str) -> str | None:
        """Put a planner's vehicle into SUMO where it will be; a line for the log when SUMO has let it go."""
        x, y, heading, speed = (float(v) for v in cue.ahead[row][:4])
        tracks, vehicle = self.scenario.tracks, self.scenario.vehicle
        front = (
            vehicle.rear_axle_to_center + 0.5 * vehicle.length
            if row == self.scenario.ego
            else float(tracks.rear_to_centre[row] + 0.5 * tracks.size[row, 0])
        )
        ox, oy = self.demand.origin
        place = Place(
            x + ox + front * math.cos(heading), y + oy + front * math.sin(heading), heading, max(speed, 0.0)
        )
        if name in self.lost or self.engine.move(name, place):
            return None
        self.lost.add(name)
        return f"SUMO has let '{name}' go at its route's end and no longer reacts to it"

    def _signals(self) -> NDArray[np.uint8] | None:
        if not self.links:
            return None
        return signals_of(self.engine.lights(tuple(dict(self.links))), self.links)


@dataclass(frozen=True, slots=True)
class SumoDirector:
    """Starts SUMO at a scenario's own beginning; see `drive.sim.traffic.director.Director`."""

    def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> SumoDirection:
        demand = scenario.live.get("sumo")
        if not isinstance(demand, SumoDemand):
            raise ScenarioError(
                f"scenario '{scenario.id}' has no SUMO demand; traffic 'sumo' is for .sumocfg files"
            )
        libsumo()
        if not demand.state.exists():
            raise ScenarioError(
                f"scenario '{scenario.id}': SUMO's saved state has gone from the cache; load it anew"
            )
        t, more = (
            scenario.tracks,
            [(name, body) for name, body in demand.more if name not in scenario.tracks.ids],
        )
        motor = np.array([body.kind.is_motor_vehicle for _, body in more], dtype=np.bool_)
        size = np.array([body.size for _, body in more], dtype=np.float64).reshape(-1, 3)
        tracks = Tracks(
            np.concatenate((t.states, np.zeros((len(more), *t.states.shape[1:])))),
            np.concatenate((t.valid, np.zeros((len(more), t.num_steps), dtype=np.bool_))),
            np.concatenate((t.size, size)),
            np.concatenate((t.kind, np.array([int(body.kind) for _, body in more], dtype=np.uint8))),
            np.concatenate((t.rear_to_centre, np.where(motor, REAR * size[:, 0], 0.0))),
            (*t.ids, *(name for name, _ in more)),
        )
        rows = np.array([r for r in range(tracks.num_agents) if r not in driven], dtype=np.intp)
        engine = Engine.open(live_files(demand.files), seed=seed, step=scenario.dt, state=demand.state)
        links = [split_signal(name) for name in scenario.roadmap.signal_ids]
        return SumoDirection(
            scenario.with_(tracks=tracks), rows, engine, demand,
            {tracks.ids[r]: k for k, r in enumerate(rows)},
            {row: demand.vehicle if row == scenario.ego else tracks.ids[row] for row in driven},
            links, tracks.states[rows, 0, 2].copy(), tracks.valid[rows, 0].copy(),
        )  # fmt: skip


SUMO = TrafficModel("sumo", Controller.LOG, director=SumoDirector())
"""SUMO drives the others, live."""

__all__ = ["SUMO", "SumoDirection", "SumoDirector"]
