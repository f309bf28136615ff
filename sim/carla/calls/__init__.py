"""The calls of CARLA's clients, one function each; `CALLS` puts them together."""

from __future__ import annotations

from drive.sim.carla.calls.actors import ACTORS
from drive.sim.carla.calls.batch import BATCH
from drive.sim.carla.calls.episode import EPISODE
from drive.sim.carla.calls.lights import LIGHTS
from drive.sim.carla.calls.rest import REST
from drive.sim.carla.calls.table import Call
from drive.sim.carla.calls.vehicles import VEHICLES

CALLS: dict[str, Call] = {**EPISODE, **ACTORS, **VEHICLES, **LIGHTS, **BATCH, **REST}
"""Every call that is known, by its name on the wire."""

__all__ = ["CALLS"]
