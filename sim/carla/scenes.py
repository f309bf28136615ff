"""What a route's scenarios put in the ego's way, where that needs no scenario_runner.

Staged are obstacles that stand in the lane, people who step onto the road, and traffic that brakes hard; all
are placed along the ego's route. It is these types' idea, not scenario_runner's own course of events.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drive.errors import SimulationError
from drive.geometry import Projector
from drive.sim.carla.client import line
from drive.sim.carla.frames import to_carla
from drive.vehicle import SPEED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drive.sim.carla.pilot import Errand, Pilot
    from drive.sim.carla.stage import Stage

    Floats = NDArray[np.float64]
    Act = Callable[[Pilot], None]

OBSTACLES = {
    "ParkedObstacle": ("vehicle.toyota.prius",),
    "ParkedObstacleTwoWays": ("vehicle.toyota.prius",),
    "Accident": ("vehicle.dodge.charger_police", "vehicle.audi.a2", "vehicle.seat.leon"),
    "AccidentTwoWays": ("vehicle.dodge.charger_police", "vehicle.audi.a2", "vehicle.seat.leon"),
    "ConstructionObstacle": ("static.prop.trafficwarning", *("static.prop.constructioncone",) * 5),
    "ConstructionObstacleTwoWays": ("static.prop.trafficwarning", *("static.prop.constructioncone",) * 5),
}
"""What stands in the lane, one behind the other."""
GAP = {"vehicle": 7.0, "static": 2.0}
CROSSINGS = ("DynamicObjectCrossing", "ParkingCrossingPedestrian", "PedestrianCrossing")
BRAKES = ("HardBreakRoute",)
STAGED = (*OBSTACLES, *CROSSINGS, *BRAKES)
DISTANCE = 40.0
BESIDE = 4.5
"""Metres from the lane's middle at which somebody on foot waits."""
WALK, AHEAD_OF = 2.0, 1.2
"""m/s of who crosses, and how many seconds earlier than an ego that goes on he is in the lane's middle."""
LOOK = 60.0
HARD_FOR = 4.0


class Event(Protocol):
    """A scenario of a route (`drive.datasets.carla_routes.reader.CarlaEvent`)."""

    @property
    def type(self) -> str: ...
    @property
    def trigger(self) -> tuple[float, float, float, float]: ...
    def value(self, name: str, default: float) -> float: ...


def scenes_of(events: Sequence[Event]) -> Callable[[Stage, Errand], Act]:
    """What stages these events: places them when the drive begins, and acts at each sample."""

    def place(stage: Stage, errand: Errand) -> Act:
        along = Projector(errand.route.line)
        acts: list[Act] = []
        for event in events:
            spot = np.array(event.trigger[:2]) - errand.origin
            at = float(along(spot[None])[0][0])
            if event.type in OBSTACLES:
                _obstacles(
                    stage, errand, along, at + event.value("distance", DISTANCE), OBSTACLES[event.type]
                )
            elif event.type in CROSSINGS:
                acts.append(_Crossing(stage, errand, along, at + event.value("distance", DISTANCE)))
            elif event.type in BRAKES:
                acts.append(_Brake(stage, at))

        def act(pilot: Pilot) -> None:
            for one in acts:
                one(pilot)

        return act

    return place


def _pose(along: Projector, station: float) -> tuple[float, float, float]:
    s = min(max(station, 0.0), float(along.station[-1]))
    k = int(np.clip(np.searchsorted(along.station, s, side="right") - 1, 0, len(along.vertices) - 2))
    dx, dy = along.vertices[k + 1] - along.vertices[k]
    h = math.atan2(dy, dx)
    left = s - float(along.station[k])
    return (
        float(along.vertices[k][0]) + left * math.cos(h),
        float(along.vertices[k][1]) + left * math.sin(h),
        h,
    )


def _transform(stage: Stage, errand: Errand, pose: tuple[float, float, float], lift: float) -> Any:
    x, y, h = pose
    at = to_carla((x + errand.origin[0], y + errand.origin[1], 0.0, 0.0, 0.0, h))
    here = stage.carla.Location(float(at[0]), float(at[1]), errand.start[3])
    # The road's height there, not where the ego begins.
    road = stage.world.get_map().get_waypoint(here)
    here.z = (road.transform.location.z if road is not None else errand.start[3]) + lift
    return stage.carla.Transform(here, stage.carla.Rotation(yaw=float(at[4])))


def _obstacles(stage: Stage, errand: Errand, along: Projector, station: float, what: tuple[str, ...]) -> None:
    library = stage.world.get_blueprint_library()
    for name in what:
        found = library.filter(name)
        if not len(found):
            continue
        at = _transform(stage, errand, _pose(along, station), 0.2)
        try:
            actor = stage.spawn(found[0], [at], "obstacle")
        except SimulationError:
            continue
        if name.startswith("vehicle."):
            actor.apply_control(stage.carla.VehicleControl(hand_brake=True, brake=1.0))
        else:
            actor.set_simulate_physics(False)
        station += GAP[name.partition(".")[0]]


class _Crossing:
    """Somebody who waits at the right and crosses when the ego comes."""

    def __init__(self, stage: Stage, errand: Errand, along: Projector, station: float) -> None:
        x, y, h = _pose(along, station)
        spot = (x + BESIDE * math.sin(h), y - BESIDE * math.cos(h), h + math.pi / 2.0)
        people = [b for b in stage.world.get_blueprint_library().filter("walker.pedestrian.*")]
        people.sort(key=lambda b: str(b.id))
        self.stage, self.station, self.heading = stage, station, h
        self.walker: Any = None
        self.walks = False
        try:
            self.walker = stage.spawn(people[0], [_transform(stage, errand, spot, 1.0)], "walker")
        except (SimulationError, IndexError):
            return

    def __call__(self, pilot: Pilot) -> None:
        if self.walker is None or self.walks:
            return
        station = float(pilot.progress()[0]) + pilot.figures.params.rear_axle_to_center
        gap = self.station - station - 0.5 * pilot.figures.params.length
        speed = max(float(pilot.egos[-1][SPEED]), 1.0)
        if 0.0 < gap < speed * (BESIDE / WALK + AHEAD_OF):
            # Across the road from right to left; CARLA's y points the other way.
            way = self.heading + math.pi / 2.0
            carla = self.stage.carla
            direction = carla.Vector3D(math.cos(way), -math.sin(way), 0.0)
            self.walker.apply_control(carla.WalkerControl(direction, WALK))
            self.walks = True


class _Brake:
    """The traffic ahead of the ego brakes hard for a while once the ego passes the trigger."""

    def __init__(self, stage: Stage, station: float) -> None:
        self.stage, self.station = stage, station
        self.until = -1.0
        self.held: list[Any] = []

    def __call__(self, pilot: Pilot) -> None:
        stage, now = self.stage, pilot.time
        if stage.traffic_manager is None and stage.policy is None:
            return
        if self.until < 0.0 and float(pilot.progress()[0]) >= self.station:
            self.until = now + HARD_FOR
            ego = pilot.egos[-1]
            for car in stage.world.get_actors([i for i in stage.spawned if i in pilot.seen[-1]]):
                row = pilot.seen[-1][car.id]
                ahead = (row[0] - ego[0]) * math.cos(ego[2]) + (row[1] - ego[1]) * math.sin(ego[2])
                if car.type_id.startswith("vehicle.") and 0.0 < ahead < LOOK:
                    stage.hold(car, True)
                    self.held.append(car)
        for car in self.held:
            try:
                if now >= self.until:
                    stage.hold(car, False)
                elif stage.policy is None:
                    car.apply_control(stage.carla.VehicleControl(brake=1.0))
            except RuntimeError as error:
                raise SimulationError(f"CARLA lost a car of the traffic: {line(error)}") from None
        if now >= self.until >= 0.0:
            self.held = []
