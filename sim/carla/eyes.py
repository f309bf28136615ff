"""What a CARLA world shows, in our frame and units: the ego's state, road users, lights, stop signs.

CARLA's frame is left-handed (`drive.sim.carla.frames`); the turn is done here, once, by arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import wrap_angle
from drive.scenario import SignalState
from drive.vehicle import ACCELERATION, AgentKind, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KINDS = {
    "car": AgentKind.VEHICLE,
    "van": AgentKind.VEHICLE,
    "truck": AgentKind.TRUCK,
    "bus": AgentKind.BUS,
    "motorcycle": AgentKind.MOTORCYCLE,
    "bicycle": AgentKind.BICYCLE,
}
BICYCLES = ("crossbike", "century", "omafiets")
DRIVEN_OVER = "dirtdebris"
"""Props that lie on the road for the wheels to slip on, and stop nobody."""
LEAST_SIZE = 0.1
"""Metres; CARLA's boxes of two-wheelers and props may have an extent of 0."""
DEFAULT_WHEELBASE, MAX_STEER = 2.85, 70.0
STOREY, STEEP = 3.0, 0.12
"""Metres above or below the ego, and more per metre away, within which a road user is on its ground."""
SMOOTHING = 0.4
"""Share of a new difference of speeds in the acceleration: that of CARLA's own is too noisy to plan by."""


@dataclass(frozen=True, slots=True)
class Body:
    """A road user: its kind, size (length, width, height) and the box's middle in the actor's axes (x, y
    left)."""

    kind: AgentKind
    size: tuple[float, float, float]
    middle: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """A CARLA vehicle as a planner and a tracker need it.

    `rear` is the rear axle's x in the actor's axes (m), `steer_curve (K, 2)` speed in m/s and share of the
    steering, `max_steer` in rad of the front wheels, `mass` in kg.
    """

    params: VehicleParams
    rear: float
    steer_curve: Floats
    max_steer: float
    mass: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One sample: the ego's rear-axle row `(7,)`, others' box centres by id, states of the map's signals."""

    ego: Floats
    others: Mapping[int, tuple[float, float, float, float, float]]
    signals: NDArray[np.uint8]


def body_of(actor: Any) -> Body | None:
    """A road user's body; None for an actor that is none (a sensor, a light, a controller)."""
    kind = kind_of(actor.type_id, actor.attributes)
    if kind is None:
        return None
    box = actor.bounding_box
    size = [2.0 * float(v) for v in (box.extent.x, box.extent.y, box.extent.z)]
    if not all(math.isfinite(v) for v in size):
        return None
    if kind == AgentKind.STATIC and (max(size[:2]) < LEAST_SIZE or DRIVEN_OVER in actor.type_id):
        return None
    length, width, height = (max(v, LEAST_SIZE) for v in size)
    return Body(kind, (length, width, height), (float(box.location.x), -float(box.location.y)))


def kind_of(type_id: str, attributes: Mapping[str, str]) -> AgentKind | None:
    """What an actor of CARLA is in our terms, None for what is no road user."""
    if type_id.startswith("walker."):
        return AgentKind.PEDESTRIAN
    if type_id.startswith("static.prop."):
        return AgentKind.STATIC
    if not type_id.startswith("vehicle."):
        return None
    base = str(attributes.get("base_type", "")).lower()
    if base in KINDS:
        return KINDS[base]
    if attributes.get("number_of_wheels") == "2":
        return AgentKind.BICYCLE if type_id.endswith(BICYCLES) else AgentKind.MOTORCYCLE
    return AgentKind.VEHICLE


def figures_of(vehicle: Any) -> Figures:
    """What a spawned vehicle says of itself; due after a tick, for before it stands nowhere."""
    box, physics = vehicle.bounding_box, vehicle.get_physics_control()
    length, width, height = (2.0 * float(v) for v in (box.extent.x, box.extent.y, box.extent.z))
    inverse = vehicle.get_transform().get_inverse_matrix()
    wheels = [(w.position.x / 100.0, w.position.y / 100.0, w.position.z / 100.0) for w in physics.wheels]
    along = sorted(
        inverse[0][0] * x + inverse[0][1] * y + inverse[0][2] * z + inverse[0][3] for x, y, z in wheels
    )
    half = len(along) // 2
    rear, front = (float(np.mean(part)) if part else 0.0 for part in (along[:half], along[half:]))
    if not 0.3 * length < front - rear < length:
        # Releases differ in the units and the frame of the wheels' places.
        rear, front = -0.5 * DEFAULT_WHEELBASE, 0.5 * DEFAULT_WHEELBASE
    angle = math.radians(max((float(w.max_steer_angle) for w in physics.wheels), default=MAX_STEER))
    curve = np.array([(p.x / 3.6, p.y) for p in physics.steering_curve] or [(0.0, 1.0)])
    params = VehicleParams(
        length=length,
        width=width,
        height=height,
        wheelbase=front - rear,
        rear_axle_to_center=max(float(box.location.x) - rear, 0.1),
        max_steering=min(angle, math.radians(60.0)),
    )
    return Figures(params, rear, curve, angle, float(physics.mass))


@dataclass(slots=True, eq=False)
class Eyes:
    """Reads a world for one ego. `origin` is what our coordinates are relative to, in OpenDRIVE's frame."""

    world: Any
    ego: int
    figures: Figures
    origin: tuple[float, float]
    signal_ids: tuple[str, ...]
    reach: float = 150.0
    bodies: dict[int, Body] = field(default_factory=dict)
    strangers: set[int] = field(default_factory=set)
    lights: list[Any] = field(default_factory=list)
    last: tuple[int, float] | None = None
    acceleration: float = 0.0

    def __post_init__(self) -> None:
        found = {}
        for light in self.world.get_actors().filter("traffic.traffic_light*"):
            found[str(light.get_opendrive_id())] = light
        self.lights = [found.get(name) for name in self.signal_ids]

    def look(self, snapshot: Any) -> Frame:
        """The world as it is at a snapshot."""
        ego, rows, ids = None, [], []
        for seen in snapshot:
            if seen.id == self.ego:
                ego = seen
            elif seen.id not in self.strangers:
                ids.append(seen.id)
                p, v = seen.get_transform(), seen.get_velocity()
                rows.append((p.location.x, p.location.y, p.location.z, p.rotation.yaw, v.x, v.y))
        if ego is None:
            raise LookupError("the ego is not in the snapshot")
        self._meet(ids)
        state = self._state(ego, snapshot.frame, float(snapshot.timestamp.delta_seconds))
        height = float(ego.get_transform().location.z)
        return Frame(state, self._others(ids, rows, state, height), self._signals())

    def _meet(self, ids: list[int]) -> None:
        new = [i for i in ids if i not in self.bodies]
        if not new:
            return
        known = {a.id: a for a in self.world.get_actors(new)}
        for i in new:
            body = body_of(known[i]) if i in known else None
            if body is not None:
                self.bodies[i] = body
            elif i in known:
                self.strangers.add(i)

    def _others(
        self, ids: list[int], rows: Sequence[tuple[float, ...]], ego: Floats, height: float
    ) -> dict[int, tuple[float, float, float, float, float]]:
        out = {}
        for i, (x, y, z, yaw, vx, vy) in zip(ids, rows, strict=True):
            body = self.bodies.get(i)
            if body is None:
                continue
            heading = float(wrap_angle(-math.radians(yaw)))
            c, s = math.cos(heading), math.sin(heading)
            mx, my = body.middle
            px = x + c * mx - s * my - self.origin[0]
            py = -y + s * mx + c * my - self.origin[1]
            far = math.hypot(px - ego[0], py - ego[1])
            # Who is on a bridge, or kept below the ground until a scenario needs him, is not in the way.
            if far <= self.reach and abs(z - height) < STOREY + STEEP * far:
                out[i] = (px, py, heading, vx, -vy)
        return out

    def _state(self, ego: Any, frame: int, step: float) -> Floats:
        row = ego_row(
            ego.get_transform(), ego.get_velocity(), ego.get_angular_velocity(), self.figures, self.origin
        )
        if self.last is not None and frame > self.last[0]:
            # Frames are counted, for the clock's rounding differs from one episode to the next.
            fresh = (row[3] - self.last[1]) / ((frame - self.last[0]) * step)
            self.acceleration += SMOOTHING * (fresh - self.acceleration)
        self.last = (frame, float(row[3]))
        row[ACCELERATION] = self.acceleration
        return row

    def _signals(self) -> NDArray[np.uint8]:
        return np.array(
            [0 if a is None else signal_state(a.get_state()) for a in self.lights], dtype=np.uint8
        )


def signal_state(state: Any) -> int:
    """Our value of a `carla.TrafficLightState`."""
    return int(_STATES.get(str(state).rpartition(".")[2], SignalState.UNKNOWN))


_STATES = {"Red": SignalState.RED, "Yellow": SignalState.YELLOW, "Green": SignalState.GREEN}


def ego_row(
    transform: Any, velocity: Any, turning: Any, figures: Figures, origin: tuple[float, float]
) -> Floats:
    """The rear-axle state `(7,)` of a vehicle; its steering is that of the curve which it drives."""
    heading = float(wrap_angle(-math.radians(transform.rotation.yaw)))
    c, s = math.cos(heading), math.sin(heading)
    speed = c * velocity.x - s * velocity.y
    rate = -math.radians(turning.z)
    most = figures.params.max_steering
    steering = math.atan(figures.params.wheelbase * rate / speed) if abs(speed) > 0.5 else 0.0
    x = transform.location.x - origin[0] + figures.rear * c
    y = -transform.location.y - origin[1] + figures.rear * s
    return np.array([x, y, heading, speed, 0.0, min(max(steering, -most), most), rate])


def unseen(world: Any) -> set[int]:
    """Actors that are no road users: they need not be asked about again."""
    kinds = ("vehicle.", "walker.pedestrian", "static.prop")
    return {a.id for a in world.get_actors() if not a.type_id.startswith(kinds)}
