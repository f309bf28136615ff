"""What can be spawned: vehicles, walkers, props, sensors, by the names that scripts written for CARLA use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.sim.carla.kernels.layout import OTHER, PROP, SENSOR, VEHICLE, WALKER
from drive.sim.carla.world.errors import SpawnError
from drive.sim.carla.world.prop_table import (
    CHILDREN,
    PROPS,
    WALKER_HEIGHTS,
    WALKER_SPEEDS,
    WALKER_WIDTHS,
)
from drive.sim.carla.world.sensor_table import LOCATED, SENSORS
from drive.sim.carla.world.vehicle_table import COLOURS, VEHICLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TYPES = ("bool", "int", "float", "string", "color")
# Labels of CARLA's semantic cameras and lidars since 0.9.14.
ROAD_TAG, GROUND_TAG, OTHER_TAG, PEDESTRIAN_TAG, STATIC_TAG, DYNAMIC_TAG = 1, 25, 22, 12, 20, 21
TAGS = {"car": 14, "truck": 15, "van": 14, "bus": 16, "motorcycle": 18, "bicycle": 19}
PROP_MASS = 250.0
"""kg of a cubic metre of a loose prop: they are mostly hollow."""
WALKER_MASS = 80.0


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a blueprint: its type (of `TYPES`), default, recommended values, may it be set."""

    id: str
    type: str
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True
    restrict: bool = False


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Something that can be spawned. `uid` counts from 1; `kind` as in the actors' arrays.

    `half` and `center` (m) are the box's half extents and its middle in the actor's axes, `rest` the height
    of the actor's origin above the ground, `mass` in kg, `wheelbase` in m (0 without wheels), `labels` the
    semantic tags.
    """

    uid: int
    id: str
    kind: int
    attributes: tuple[Attribute, ...]
    half: tuple[float, float, float] = (0.0, 0.0, 0.0)
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rest: float = 0.0
    mass: float = 1.0
    wheelbase: float = 0.0
    base_type: str = ""
    wheels: int = 0
    labels: tuple[int, ...] = ()

    @property
    def tags(self) -> str:
        return ",".join(self.id.split("."))

    def settle(self, given: Mapping[str, str]) -> dict[str, str]:
        """All attributes with the `given` ones set, checked. Raises SpawnError."""
        known = {a.id: a for a in self.attributes}
        out = {a.id: a.value for a in self.attributes}
        for name, value in given.items():
            attribute = known.get(name)
            if attribute is None:
                raise SpawnError(f"{self.id} has no attribute '{name}'")
            if not _fits(attribute.type, value):
                raise SpawnError(f"{self.id}: {name}='{value[:40]}' is no {attribute.type}")
            if attribute.modifiable:
                out[name] = value
        return out


def _fits(kind: str, text: str) -> bool:
    if kind == "bool":
        return text.lower() in ("true", "false", "0", "1")
    if kind == "color":
        parts = text.split(",")
        return len(parts) >= 3 and all(p.strip().isdigit() and int(p) < 256 for p in parts)
    if kind in ("int", "float"):
        try:
            return abs(float(text) if kind == "float" else int(text)) < 1e12
        except ValueError:
            return False
    return True


def _vehicles() -> Iterator[Blueprint]:
    for line in VEHICLES.strip().splitlines():
        name, *rest = line.split()
        length, width, height, wheels = (int(v) for v in rest[:4])
        base, generation, special, lights, doors = rest[4:9]
        mass, wheelbase = float(rest[9]), float(rest[10])
        half = (length / 2000.0, width / 2000.0, height / 2000.0)
        attributes = [
            Attribute("role_name", "string", "autopilot", ("autopilot", "scenario", "ego_vehicle")),
            Attribute("sticky_control", "bool", "true"),
            Attribute("color", "color", COLOURS[base][0], COLOURS[base], True, False),
            _fixed("object_type", "string", ""),
            _fixed("base_type", "string", base),
            _fixed("special_type", "string", "" if special == "-" else special),
            _fixed("generation", "int", generation),
            _fixed("number_of_wheels", "int", str(wheels)),
            _fixed("has_lights", "bool", "true" if lights == "1" else "false"),
            _fixed("has_dynamic_doors", "bool", "true" if doors == "1" else "false"),
            Attribute("terramechanics", "bool", "false"),
            Attribute("ros_name", "string", f"vehicle.{name}"),
        ]
        if wheels == 2:
            attributes.insert(3, Attribute("driver_id", "int", "0", ("0", "1", "2"), True, True))
        yield Blueprint(
            0, f"vehicle.{name}", VEHICLE, tuple(attributes), half, (0.0, 0.0, half[2]), 0.0, mass, wheelbase,
            base, wheels, (TAGS[base],),
        )  # fmt: skip


def _fixed(name: str, kind: str, value: str) -> Attribute:
    return Attribute(name, kind, value, (), False)


def _walkers() -> Iterator[Blueprint]:
    for number, height in sorted(WALKER_HEIGHTS.items()):
        child = number in CHILDREN
        half = (WALKER_WIDTHS[number] / 2000.0, WALKER_WIDTHS[number] / 2000.0, height / 2000.0)
        attributes = (
            Attribute("role_name", "string", "pedestrian"),
            Attribute("is_invincible", "bool", "true"),
            Attribute("speed", "float", WALKER_SPEEDS[1], WALKER_SPEEDS),
            _fixed("gender", "string", "female" if number % 2 else "male"),
            _fixed("age", "string", "child" if child else "adult"),
            _fixed("generation", "int", "2" if number in (*range(15, 31), 48, 49, 50, 51) else "1"),
            Attribute("can_use_wheelchair", "bool", "false"),
            Attribute("use_wheelchair", "bool", "false"),
            Attribute("ros_name", "string", f"walker.pedestrian.{number:04d}"),
        )
        mass = WALKER_MASS * (height / 1860.0) ** 2
        yield Blueprint(
            0, f"walker.pedestrian.{number:04d}", WALKER, attributes, half, (0.0, 0.0, 0.0), half[2], mass,
            labels=(PEDESTRIAN_TAG,),
        )  # fmt: skip


def _props() -> Iterator[Blueprint]:
    for entry in PROPS.replace("\n", "|").split("|"):
        if not entry.strip():
            continue
        words = entry.split()
        name, (length, width, height) = " ".join(words[:-3]), (int(w) for w in words[-3:])
        half = (length / 2000.0, width / 2000.0, height / 2000.0)
        volume = 8.0 * half[0] * half[1] * half[2]
        size = "tiny" if volume < 0.01 else "small" if volume < 0.2 else "medium" if volume < 4.0 else "big"
        attributes = (
            Attribute("role_name", "string", "prop"),
            _fixed("size", "string", size),
            Attribute("ros_name", "string", f"static.prop.{name}"),
        )
        yield Blueprint(
            0, f"static.prop.{name}", PROP, attributes, half, (0.0, 0.0, half[2]), 0.0,
            min(max(PROP_MASS * volume, 0.5), 5000.0), labels=(DYNAMIC_TAG,),
        )  # fmt: skip
    shared = (Attribute("role_name", "string", "prop"), Attribute("scale", "float", "1.0"))
    yield Blueprint(
        0, "static.prop.mesh", PROP, (*shared, Attribute("mesh_path", "string", "")), labels=(20,)
    )


def _sensors() -> Iterator[Blueprint]:
    for name, own in SENSORS.items():
        attributes = [Attribute("role_name", "string", "front"), Attribute("sensor_tick", "float", "0.0")]
        attributes += [Attribute(*row) for row in own]
        attributes.append(Attribute("ros_name", "string", name))
        yield Blueprint(0, name, SENSOR, tuple(attributes))
    for name in LOCATED:
        yield Blueprint(0, name, OTHER, (Attribute("role_name", "string", "default"),))


def _all() -> Iterator[Blueprint]:
    for uid, b in enumerate((*_vehicles(), *_walkers(), *_props(), *_sensors()), start=1):
        yield Blueprint(
            uid, b.id, b.kind, b.attributes, b.half, b.center, b.rest, b.mass, b.wheelbase, b.base_type,
            b.wheels, b.labels,
        )  # fmt: skip


BLUEPRINTS: tuple[Blueprint, ...] = tuple(_all())
BY_NAME = {b.id: b for b in BLUEPRINTS}
BY_UID = {b.uid: b for b in BLUEPRINTS}


def find_blueprint(name: str) -> Blueprint:
    """The blueprint of a name. Raises SpawnError."""
    found = BY_NAME.get(name)
    if found is None:
        raise SpawnError(f"unknown blueprint '{name[:80]}'")
    return found
