"""Drives a planner of ours along a route in a CARLA world, a real server's or ours, to a run log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, SimulationError
from drive.sim.asking import PlannerFailure
from drive.sim.carla.client import client_module, enter_town, thaw
from drive.sim.carla.eyes import Eyes, figures_of, unseen
from drive.sim.carla.frames import to_carla
from drive.sim.carla.pedals import Foot
from drive.sim.carla.pilot import DT, Pilot
from drive.sim.carla.stage import SILENCE, STEP, Stage
from drive.sim.carla.stops import StopSigns
from drive.vehicle import SPEED

if TYPE_CHECKING:
    from collections.abc import Callable

    from drive.planner import Planner
    from drive.runlog import RunLog
    from drive.sim.carla.pilot import Errand

EGO = "vehicle.lincoln.mkz_2020"
"""CARLA's leaderboard drives this one."""
LIFTS = (0.3, 0.6, 1.0, 2.0)
"""Metres above the road at which the ego is put down, until one is free."""
SETTLE = 20
"""Steps that the ego is given to come to rest on its wheels."""
STANDING, BLOCKED = 0.1, 180.0
"""m/s below which the ego stands, and the seconds of that which end a drive (leaderboard's figures)."""
AWAY = 30.0
"""Metres from the route that end a drive."""
PASSED, AT_GOAL = 1.0, 10.0
"""Metres behind the goal, and from it, at which a route counts as completed."""
CLEAR, AROUND = 15.0, 200.0
"""Metres around the ego's start without traffic, and around the route with it."""
PER_SAMPLE = round(DT / STEP)
TRAFFIC_MANAGER = "carla_tm"


@dataclass(frozen=True, slots=True)
class Ride:
    """How a route is driven: the number of cars, who drives them (CARLA's Traffic Manager, `TRAFFIC_MANAGER`,
    or the traffic policy, `rift:STYLE`), the seed, the ego's blueprint."""

    traffic: int = 0
    drivers: str = TRAFFIC_MANAGER
    seed: int = 0
    ego: str = EGO
    watchdog: float | None = 60.0


def check_planner(planner: Planner) -> None:
    """Raise InputError for a planner that a CARLA world cannot serve."""
    spec = planner.spec
    what = "the log" if spec.privileged else "terrain" if "terrain" in spec.needs else ""
    what = what or ("cameras" if spec.cameras else "")
    if what:
        raise InputError(f"planner '{spec.name}' needs {what}, which the CARLA bridge does not give it")


def check_drivers(drivers: str) -> None:
    """Raise InputError for what drives no cars in CARLA, MissingExtraError without torch."""
    if drivers != TRAFFIC_MANAGER:
        from drive.sim.carla.crowd import director_of

        director_of(drivers)


def drive_route(
    client: Any,
    town: str,
    errand_in: Callable[[str], Errand],
    planner: Planner,
    ride: Ride,
    *,
    planner_name: str | None = None,
    planner_config: dict[str, Any] | None = None,
    extra: Callable[[Stage, Errand], Callable[[Pilot], None]] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RunLog:
    """Drive a planner along a route of a town to its end, and leave the world as it was.

    `errand_in` makes the errand of the town's OpenDRIVE text. `extra` may put more into the world; what it
    returns is called at each sample. A planner that fails ends the run early, as in the toolkit's own loop;
    faults of CARLA raise SimulationError.
    """
    check_planner(planner)
    woken, left = thaw(client)
    if woken or left:
        say(f"the world was left {'frozen ' if woken else ''}by a client that has gone: reset, {left} actors")
    world = enter_town(client, town)
    errand = errand_in(world.get_map().to_opendrive())
    with Stage(client, world, ride.seed, max(SILENCE, 2.0 * (ride.watchdog or 0.0))) as stage:
        # As the leaderboard does: the lights' phases are those of the drive, not of what was driven before.
        world.reset_all_traffic_lights()
        ego = _put_ego(stage, errand, ride)
        places = _places(stage, errand)
        cars = stage.traffic(places, ride.traffic, ride.drivers == TRAFFIC_MANAGER)
        if ride.drivers != TRAFFIC_MANAGER:
            cars = _under_policy(stage, errand, ego, places, ride)
        figures = figures_of(ego)
        stops = StopSigns.of(world, errand.roadmap, errand.origin)
        eyes = Eyes(world, ego.id, figures, errand.origin, errand.roadmap.signal_ids)
        eyes.strangers |= unseen(world)
        header = {
            "planner": {
                "name": planner_name or planner.spec.name,
                "config": dict(planner_config or {}),
                "privileged": False,
            },
            "traffic": f"{ride.drivers}:{cars}" if cars else "none",
            "simulator": {
                "name": "carla",
                "release": str(client.get_server_version()),
                "town": errand.town,
                "step": STEP,
                "ego": ride.ego,
            },
        }
        failure, why, pilot = None, "", None
        try:
            pilot = Pilot(errand, planner, figures, stops, ride.seed, ride.watchdog)
            act = extra(stage, errand) if extra is not None else None
            why = _steer(stage, eyes, pilot, ego, act)
        except PlannerFailure as error:
            if pilot is None:
                raise SimulationError(f"the planner could not start: {error.reason}") from None
            failure = {"class": error.kind, "reason": error.reason}
    assert pilot is not None
    ended = ({"time": pilot.time, "kind": "end", "detail": why},) if why else ()
    return pilot.log(header, failure, ended)


def _steer(stage: Stage, eyes: Eyes, pilot: Pilot, ego: Any, act: Callable[[Pilot], None] | None) -> str:
    """Step until the drive is over; why it is."""
    carla, foot, errand = client_module(), Foot(pilot.figures), pilot.errand
    stood, snapshot = 0.0, stage.world.get_snapshot()
    while True:
        frame = eyes.look(snapshot)
        pilot.note(frame, eyes.bodies)
        plan = pilot.think()
        station, offset = pilot.progress()
        center = station + pilot.figures.params.rear_axle_to_center
        if center >= errand.goal_station + PASSED:
            gone = center - errand.goal_station
            if math.hypot(gone, offset) < AT_GOAL:
                return "route completed"
            if gone > AWAY:
                return "passed the goal beside it"
        stood = stood + DT if abs(frame.ego[SPEED]) < STANDING else 0.0
        if stood >= BLOCKED:
            return f"stood for {BLOCKED:g} s"
        if abs(offset) > AWAY:
            return f"left the route by {AWAY:g} m"
        if pilot.time >= errand.duration:
            return f"out of time ({errand.duration:g} s)"
        if act is not None:
            act(pilot)
        if stage.policy is not None:
            stage.policy.decide(pilot.time, snapshot)
        state = frame.ego
        for k in range(PER_SAMPLE):
            if stage.policy is not None:
                stage.policy.press(pilot.time + k * STEP, snapshot)
            pressed = foot.follow(plan, pilot.time + k * STEP, state)
            ego.apply_control(
                carla.VehicleControl(throttle=pressed.throttle, steer=pressed.steer, brake=pressed.brake)
            )
            snapshot = stage.tick()
            if k + 1 < PER_SAMPLE:
                state = eyes.look(snapshot).ego


def _put_ego(stage: Stage, errand: Errand, ride: Ride) -> Any:
    carla = stage.carla
    x, y, heading, z = errand.start
    pose = to_carla((x + errand.origin[0], y + errand.origin[1], z, 0.0, 0.0, heading))
    where = [
        carla.Transform(
            carla.Location(float(pose[0]), float(pose[1]), float(pose[2]) + lift),
            carla.Rotation(yaw=float(pose[4])),
        )
        for lift in LIFTS
    ]
    try:
        blueprint = stage.world.get_blueprint_library().find(ride.ego)
    except IndexError:
        raise InputError(f"this CARLA has no vehicle '{ride.ego}'") from None
    ego = stage.spawn(blueprint, where, "ego")
    ego.apply_control(carla.VehicleControl(brake=1.0))
    for _ in range(SETTLE):
        stage.tick()
    return ego


def _under_policy(stage: Stage, errand: Errand, ego: Any, places: list[Any], ride: Ride) -> int:
    """Let the traffic policy drive the cars that were just put down; how many there are."""
    from drive.sim.carla.crowd import PolicyCars, director_of

    mine = [i for i in stage.spawned if i != ego.id]
    stage.policy = PolicyCars.of(stage, errand, ego, mine, places, director_of(ride.drivers), ride.seed)
    return len(stage.policy)


def _places(stage: Stage, errand: Errand) -> list[Any]:
    """Spawn points around the route, but not where the ego stands."""
    line = errand.route.line[::5]
    found = []
    for point in stage.world.get_map().get_spawn_points():
        x, y = point.location.x - errand.origin[0], -point.location.y - errand.origin[1]
        near = float(np.hypot(line[:, 0] - x, line[:, 1] - y).min())
        if near < AROUND and math.hypot(x - errand.start[0], y - errand.start[1]) > CLEAR:
            found.append(point)
    return found
