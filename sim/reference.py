"""The reference motion where no driver exists: an IDM drive along the route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.scenario import STAND_IN, Expert
from drive.sim.kernels.layout import PRESENT, Controller
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import LOG, TrafficModel
from drive.sim.world import compile_world, step
from drive.terrain import Terrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario


def ensure_expert(scenario: Scenario) -> Scenario:
    """The scenario itself, or a copy whose expert is an IDM drive to the goal (`source` "idm").

    On terrain nobody stands in for a driver.
    """
    if scenario.expert is not None or isinstance(scenario.environment, Terrain):
        return scenario
    return scenario.with_(expert=Expert(idm_drive(scenario), STAND_IN))


def idm_drive(scenario: Scenario, traffic: TrafficModel = LOG) -> NDArray[np.float64]:
    """Rear-axle states `(N, 7)` of the ego driven by IDM along its route, among the given traffic."""
    ego = scenario.ego
    world = compile_world([cast(scenario, traffic, {ego: Controller.IDM})], scenario.dt)
    n = scenario.num_steps
    states = np.zeros((n + 1, 7))
    states[0] = scenario.initial[:7]
    for k in range(n):
        world = step(world, out=world)
        m = world.motion
        if m.presence[0, ego] != PRESENT:
            # The road ended before the time did: the reference waits there.
            states[k + 1 :] = states[k]
            states[k + 1 :, 3:] = 0.0
            break
        columns = (m.x, m.y, m.heading, m.speed, m.acceleration, m.steering, m.yaw_rate)
        states[k + 1] = [float(c[0, ego]) for c in columns]
    return states
