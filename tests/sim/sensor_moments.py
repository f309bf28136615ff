"""Moments of an ego and others, what the vector sensor makes of them, and how two of those compare."""

from __future__ import annotations

import numpy as np

import drive
from drive.eval.check.scenes import straight_map
from drive.nn.scene import SceneArrays, is_mask
from drive.planner import Observation
from drive.scenario import Route, Task
from drive.sim.sensors.vector import VectorSensor
from drive.vehicle import AgentKind, VehicleParams

VEHICLE = VehicleParams()
SCENES = ("gen/unprotected_left/1000", "gen/roundabout/3")
FRONT = VEHICLE.rear_axle_to_center + 0.5 * VEHICLE.length


def seen(ego, agents=(), signals=(), time=0.0, kinds=(), existence=None, progress=(np.nan, np.nan), past=31):
    """An observation of an ego (x, y, heading, speed) and agents (x, y, heading, vx, vy) that never moved."""
    n = len(agents)
    state = np.array([*ego, 0.0, 0.0, 0.0])
    rows = np.array(agents, dtype=np.float64).reshape(n, 5)
    return Observation(
        time=time,
        step=round(time / 0.1),
        ego=state,
        ego_history=np.tile(state, (past, 1)),
        agents=rows,
        agent_history=np.repeat(rows[:, None], past, axis=1),
        agent_history_valid=np.ones((n, past), dtype=np.bool_),
        agent_size=np.tile((4.5, 1.9, 1.6), (n, 1)).reshape(n, 3),
        agent_kind=np.array(kinds or [AgentKind.VEHICLE] * n, dtype=np.uint8),
        agent_id=np.arange(n, dtype=np.int64),
        agent_valid=np.ones(n, dtype=np.bool_),
        existence=np.ones(n) if existence is None else np.array(existence, dtype=np.float64),
        covariance=np.zeros((n, 3, 3)),
        occlusion_edges=np.zeros((0, 2, 2)),
        signals=np.array(signals, dtype=np.uint8),
        route_progress=np.array(progress),
    )


def drives_of(watched):
    """Tasks and observations of 6 s of two generated scenes, by id."""
    return {ref: watched(drive.load_scenario(ref), 61) for ref in SCENES}


def task_on(roadmap, *lanes, line=None):
    route = Route(lanes, (), np.zeros((0, 2)) if line is None else line)
    return Task(roadmap, route, VEHICLE, 0.1, 10.0)


def straight_task(**how):
    """A lane `a` about y = 0 from x = 0 to 800 m, 3.5 m wide, 15 m/s, and lane `b` left of it."""
    return task_on(straight_map(**how), 0, line=np.array([[0.0, 0.0], [800.0, 0.0]]))


def sense_all(task, observations, sizes=None):
    sensor = VectorSensor.start(task, sizes)
    return [sensor.sense(o) for o in observations]


def assert_scenes(a: SceneArrays, b: SceneArrays, atol=1e-4, skip=()):
    for name, x, y in zip(SceneArrays._fields, a, b, strict=True):
        if name in skip:
            continue
        if is_mask(name):
            np.testing.assert_array_equal(x, y, err_msg=name)
        else:
            np.testing.assert_allclose(x, y, atol=atol, err_msg=name)
