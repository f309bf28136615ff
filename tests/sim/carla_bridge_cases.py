"""The bridge against our server, one case a process: `carla_bridge_cases.py PORT CASE`; prints JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from drive.datasets.carla_routes.errand import errand_of
from drive.datasets.carla_routes.reader import CarlaRoute
from drive.errors import DriveError
from drive.geometry import Projector
from drive.planner import FunctionPlanner, Observation, Plan, PlannerSpec
from drive.scenario import Task
from drive.sim.carla.bridge import Ride, drive_route
from drive.sim.carla.client import client_module, connect, thaw
from drive.sim.carla.eyes import Eyes, figures_of
from drive.sim.carla.stage import Stage

Found = dict[str, Any]
ROUTE = CarlaRoute("1", "small", np.array([(-190.0, -3.0, 0.0), (-60.0, 35.0, 0.0)]), (), 0)
SPEED = 6.0


def along(observation: Observation, task: Task) -> Plan:
    """Drives the route's line at 6 m/s."""
    line = Projector(task.route.line)
    station = float(observation.route_progress[0])
    s = station + SPEED * 0.1 * np.arange(1, 31)
    places = np.stack([np.interp(s, line.station, line.vertices[:, k]) for k in range(2)], axis=1)
    turn = np.diff(np.concatenate((places[:1], places)), axis=0)
    turn[0] = turn[1]
    heading = np.arctan2(turn[:, 1], turn[:, 0])
    return Plan.from_poses(observation, np.column_stack((places, heading)), 0.1, np.full(30, SPEED))


def failing(observation: Observation, task: Task) -> Plan:
    if observation.step > 3:
        raise RuntimeError("no idea")
    return along(observation, task)


def stalling(observation: Observation, task: Task) -> Plan:
    if observation.step == 5:
        Path(os.environ["DRIVE_TEST_MARK"]).write_text("driving")
    return along(observation, task)


def planner(function: Any) -> FunctionPlanner:
    return FunctionPlanner(PlannerSpec(function.__name__, horizon=3.0), function)


def go(client: Any, function: Any, **how: Any) -> Any:
    ride = Ride(**how)
    return drive_route(
        client, "small", lambda t: errand_of(t, "small", ROUTE, "r.xml"), planner(function), ride
    )


def state_of(client: Any) -> list[Any]:
    world = client.get_world()
    left = [a.type_id for a in world.get_actors() if a.type_id.startswith(("vehicle.", "walker."))]
    return [world.get_settings().synchronous_mode, left]


def drives(port: int) -> Found:
    client, out = connect(port=port), {}
    logs = [go(client, along) for _ in range(2)]
    log = logs[0]
    out["end"] = log.header["events"][-1]["detail"]
    out["last"] = log.ego[-1].tolist()
    out["offset"] = float(np.abs(Projector(log.route_line)(log.ego[20:, :2])[1]).max())
    out["speed"] = [float(log.ego[60:, 3].min()), float(log.ego[60:, 3].max())]
    out["hashes"] = [hashlib.blake2b(one.ego.tobytes()).hexdigest() for one in logs]
    out["goal"] = log.header["scenario"]["goal"]["position"]
    out["after"] = state_of(client)
    out["busy"] = len(go(client, along, traffic=3).agent_ids)
    out["after_busy"] = state_of(client)
    failed = go(client, failing)
    out["failure"], out["samples"] = failed.header["failure"], len(failed.times)
    out["after_failure"] = state_of(client)
    try:
        drive_route(client, "Nowhere", lambda t: errand_of(t, "x", ROUTE), planner(along), Ride())
    except DriveError as error:
        out["no_town"] = str(error)
    return out


def policy(port: int) -> Found:
    """Cars that the traffic policy drives: where they went, and that a second drive is the same."""
    client, out = connect(port=port), {}
    logs = [go(client, along, traffic=4, drivers="rift:safe") for _ in range(2)]
    log = logs[0]
    out["traffic"] = log.header["traffic"]
    out["end"] = log.header["events"][-1]["detail"]
    out["hashes"] = [hashlib.blake2b(one.agents.tobytes()).hexdigest() for one in logs]
    out["after"] = state_of(client)
    a = log.agents
    moved, speed = [], []
    for states, there in zip(a, log.agent_valid, strict=True):
        own = states[there]
        moved.append(float(np.hypot(*np.diff(own[:, :2], axis=0).T).sum()))
        speed.append(float(np.hypot(own[:, 3], own[:, 4]).max()))
    out["moved"], out["speed"] = moved, speed
    return out


def broken(port: int) -> Found:
    """An error in the middle of a stay, and a world that a dead client left."""
    client = connect(port=port)
    out: Found = {}
    try:
        with Stage(client, client.get_world()) as stage:
            out["inside"] = stage.world.get_settings().synchronous_mode
            put(stage, 0)
            raise ValueError("on purpose")
    except ValueError:
        out["after"] = state_of(client)
    stage = Stage(client, client.get_world())
    stage.__enter__()
    put(stage, 0)
    stage.tick()
    stage._done.set()
    out["left"] = state_of(client)
    out["thawed"] = thaw(client)
    client.get_world().wait_for_tick(5.0)
    out["awake"] = state_of(client)
    out["again"] = thaw(client)
    with Stage(client, client.get_world(), silence=0.5) as quiet:
        put(quiet, 0)
        time.sleep(2.0)
        out["watched"] = state_of(client)
        try:
            quiet.tick()
        except DriveError as error:
            out["given_back"] = str(error)
    return out


def put(stage: Stage, number: int, name: str = "vehicle.tesla.model3") -> Any:
    point = stage.world.get_map().get_spawn_points()[number]
    return stage.spawn(stage.world.get_blueprint_library().find(name), [point], "test")


def facts(port: int) -> Found:
    """What the eyes make of a car whose place in CARLA's frame is known."""
    carla, client = client_module(), connect(port=port)
    out: Found = {}
    with Stage(client, client.get_world()) as stage:
        ego = put(stage, 0)
        other = put(stage, len(stage.world.get_map().get_spawn_points()) // 2, "vehicle.audi.a2")
        deep = put(stage, 2, "vehicle.audi.a2")
        for actor in (ego, other, deep):
            actor.set_simulate_physics(False)
        height = 0.5
        ego.set_transform(carla.Transform(carla.Location(100.0, 50.0, height), carla.Rotation(yaw=30.0)))
        other.set_transform(carla.Transform(carla.Location(110.0, 60.0, height), carla.Rotation(yaw=90.0)))
        deep.set_transform(carla.Transform(carla.Location(105.0, 50.0, height - 400.0), carla.Rotation()))
        snapshot = stage.tick()
        figures = figures_of(ego)
        eyes = Eyes(stage.world, ego.id, figures, (1.0, 2.0), ("700",))
        frame = eyes.look(snapshot)
        out["ego"], out["signals"] = frame.ego.tolist(), frame.signals.tolist()
        out["other"] = frame.others[other.id]
        out["deep"] = deep.id in frame.others
        out["size"] = eyes.bodies[other.id].size
        out["middle"] = eyes.bodies[other.id].middle
        out["length"], out["rear"] = figures.params.length, figures.rear
        out["wheelbase"], out["share"] = figures.params.wheelbase, figures.params.rear_axle_to_center
        out["steer"] = math.degrees(figures.max_steer)
        out["strangers"] = [i in eyes.strangers or i in eyes.bodies for i in frame.others]
        other.set_simulate_physics(True)
        other.set_target_velocity(carla.Vector3D(0.0, 4.0, 0.0))
        frame = eyes.look(stage.tick())
        out["moving"] = frame.others[other.id]
    return out


def killed(port: int) -> Found:
    client = connect(port=port)
    go(client, stalling, traffic=2)
    return {}


CASES = {"drives": drives, "policy": policy, "broken": broken, "facts": facts, "killed": killed}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[2]](int(sys.argv[1]))))
