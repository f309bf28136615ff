"""SUMO in this process by `libsumo`: one simulation at a time, its files, its road users.

`libsumo` keeps its simulation in global variables, so a process has one; an `Engine` that is open holds it.
Commands and variables as in SUMO's documentation, "TraCI" and "Libsumo" (release 1.28).
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drive.errors import InputError, MissingExtraError, SimulationError
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    Box = tuple[float, float, float, float]

KINDS = {
    **dict.fromkeys(("bus", "coach"), AgentKind.BUS),
    **dict.fromkeys(("truck", "trailer"), AgentKind.TRUCK),
    **dict.fromkeys(("motorcycle", "moped"), AgentKind.MOTORCYCLE),
    **dict.fromkeys(("bicycle", "scooter"), AgentKind.BICYCLE),
    **dict.fromkeys(("pedestrian", "wheelchair"), AgentKind.PEDESTRIAN),
    **dict.fromkeys(
        ("tram", "rail_urban", "rail", "rail_electric", "rail_fast", "ship", "aircraft"), AgentKind.UNKNOWN
    ),
}
"""Kinds of SUMO's vehicle classes; all others are cars."""
EXACTLY = 6
"""`keepRoute` of `moveToXY`: at the very place, off the road as well (2), whoever may drive there (4)."""
FREE = 0
"""Speed and lane change mode in which SUMO decides nothing for a vehicle."""
PEOPLE = ("--save-state.transportables", "true")
"""Without it a saved state holds no people."""
GEODESY = ("PROJ_LIB", "PROJ_DATA")
"""Variables that `libsumo` sets when it is imported."""
QUIET = ("--no-step-log", "true", "--no-warnings", "true", "--duration-log.disable", "true")


@dataclass(frozen=True, slots=True)
class SumoFiles:
    """What a simulation is started with: files, options of the configuration that are carried over, times."""

    network: Path
    routes: tuple[Path, ...]
    additional: tuple[Path, ...]
    options: tuple[str, ...]
    begin: float
    end: float
    step_length: float


class Body(NamedTuple):
    """What does not change of a road user: kind, and length, width, height in m."""

    kind: AgentKind
    size: tuple[float, float, float]


class Place(NamedTuple):
    """Middle of the front bumper (of a person) in the network's coordinates, heading in rad, speed in m/s."""

    x: float
    y: float
    heading: float
    speed: float


@dataclass(slots=True, eq=False)
class Engine:
    """The process's one simulation. Everything raises SimulationError with SUMO's own words."""

    lib: Any
    bodies: dict[str, Body] = field(default_factory=dict)
    remote: set[str] = field(default_factory=set)
    listed: tuple[str, ...] | None = None

    @classmethod
    def open(
        cls,
        files: SumoFiles,
        *,
        seed: int | None = None,
        step: float | None = None,
        state: Path | None = None,
    ) -> Engine:
        """Start it, at `begin` or from a saved state, with steps of `step` s or of the files' own length.

        Without a `seed` it is the files' or SUMO's own.

        Raises MissingExtraError without `libsumo`, InputError for files that SUMO refuses, and
        SimulationError while another simulation of this process is open.
        """
        lib = libsumo()
        if lib.isLoaded():
            raise SimulationError(
                "SUMO runs once in a process, and another simulation is still open in this one"
            )
        command = ["sumo", "-n", str(files.network), *QUIET, *PEOPLE, *files.options]
        command += [] if seed is None else ["--seed", str(seed % 2**31)]
        command += ["--step-length", f"{files.step_length if step is None else step:g}"]
        for option, paths in (("-r", files.routes), ("-a", files.additional)):
            command += [option, ",".join(map(str, paths))] if paths else []
        command += ["--begin", f"{files.begin:g}"] if state is None else ["--load-state", str(state)]
        with _heard() as said:
            try:
                lib.start(command)
            except Exception as error:
                text = _words(said(), str(error))
                if lib.isLoaded():
                    lib.close()
                raise InputError(f"{files.network.name}: SUMO cannot run it: {text}") from None
        return cls(lib)

    def step(self) -> None:
        self.listed = None
        try:
            self.lib.simulationStep()
        except Exception as error:
            raise SimulationError(f"SUMO stopped: {_words('', str(error))}") from None

    def close(self) -> None:
        with _heard():
            self.lib.close()

    @property
    def time(self) -> float:
        return float(self.lib.simulation.getTime())

    @property
    def done(self) -> bool:
        """Whether nobody is on the road nor to come."""
        return int(self.lib.simulation.getMinExpectedNumber()) <= 0

    @property
    def departed(self) -> tuple[str, ...]:
        """Vehicles that came onto the road in the last step."""
        return tuple(self.lib.simulation.getDepartedIDList())

    @property
    def vehicles(self) -> tuple[str, ...]:
        """Vehicles on the road, in SUMO's order."""
        if self.listed is None:
            self.listed = tuple(self.lib.vehicle.getIDList())
        return self.listed

    @property
    def people(self) -> tuple[str, ...]:
        """Persons in the network, walking, waiting or riding."""
        return tuple(self.lib.person.getIDList())

    def save(self, path: Path) -> None:
        self.lib.simulation.saveState(str(path))

    def places(self, box: Box) -> dict[str, Place]:
        """Road users whose front lies in `box` (x0, y0, x1, y1); who rides in a vehicle is not among them."""
        x0, y0, x1, y1 = box
        out: dict[str, Place] = {}
        vehicle, person = self.lib.vehicle, self.lib.person
        for name in self.vehicles:
            x, y = vehicle.getPosition(name)
            if x0 <= x <= x1 and y0 <= y <= y1:
                out[name] = Place(x, y, heading_of(vehicle.getAngle(name)), vehicle.getSpeed(name))
        for name in self.people:
            x, y = person.getPosition(name)
            if x0 <= x <= x1 and y0 <= y <= y1 and not person.getVehicle(name):
                out[name] = Place(x, y, heading_of(person.getAngle(name)), person.getSpeed(name))
        return out

    def body(self, name: str) -> Body:
        """Kind and size of a road user that is there; remembered from then on."""
        found = self.bodies.get(name)
        if found is None:
            who = self.lib.vehicle if name in self.vehicles else self.lib.person
            size = (who.getLength(name), who.getWidth(name), who.getHeight(name))
            kind = KINDS.get(who.getVehicleClass(name), AgentKind.VEHICLE)
            if who is self.lib.person:
                kind = AgentKind.PEDESTRIAN
            low = (0.3, 0.3, 0.5)
            found = Body(kind, tuple(max(float(v), m) for v, m in zip(size, low, strict=True)))  # type: ignore[arg-type]
            self.bodies[name] = found
        return found

    def vehicle_class(self, name: str) -> str:
        return str(self.lib.vehicle.getVehicleClass(name))

    def walk(self, name: str) -> tuple[str, ...]:
        """Edges of what a person does now."""
        return tuple(self.lib.person.getEdges(name))

    def route(self, name: str) -> tuple[tuple[str, ...], int]:
        """Edges of a vehicle's route, and which of them it is on."""
        return tuple(self.lib.vehicle.getRoute(name)), int(self.lib.vehicle.getRouteIndex(name))

    def lane(self, name: str) -> tuple[str, float]:
        """The lane that a vehicle is on, and how far its front is along it in m."""
        return str(self.lib.vehicle.getLaneID(name)), float(self.lib.vehicle.getLanePosition(name))

    def braking_due(self, name: str) -> float:
        """Braking in m/s^2 with which a vehicle just avoids the one ahead, 0 where none is near."""
        leader = self.lib.vehicle.getLeader(name, 100.0)
        if not leader or not leader[0]:
            return 0.0
        speed, other = self.lib.vehicle.getSpeed(name), self.lib.vehicle.getSpeed(leader[0])
        closing = max(speed**2 - other**2, 0.0)
        return float(closing / (2.0 * max(float(leader[1]), 0.1)))

    def lights(self, programs: tuple[str, ...]) -> dict[str, str]:
        """What signals show now, a letter a link."""
        light = self.lib.trafficlight
        return {name: str(light.getRedYellowGreenState(name)) for name in programs}

    def move(self, name: str, place: Place) -> bool:
        """Have a vehicle be at a place after the next step; False if SUMO no longer has it."""
        vehicle = self.lib.vehicle
        if name not in self.vehicles:
            return False
        try:
            if name not in self.remote:
                vehicle.setSpeedMode(name, FREE)
                vehicle.setLaneChangeMode(name, FREE)
                self.remote.add(name)
            vehicle.moveToXY(name, "", -1, place.x, place.y, angle_of(place.heading), EXACTLY)
        except Exception as error:
            raise SimulationError(f"SUMO cannot place '{name}': {_words('', str(error))}") from None
        return True


def libsumo() -> Any:
    """The module, imported now; raises MissingExtraError with the command that brings it."""
    before = {name: os.environ.get(name) for name in GEODESY}
    try:
        # What it has to say (of another pyarrow than its own) must not get into output that programs read.
        with redirect_stdout(sys.stderr):
            import libsumo as lib
    except ImportError:
        raise MissingExtraError("libsumo", "sumo") from None
    finally:
        # It points other libraries of the process (rasterio, pyogrio) to data files of its own release.
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return lib


def version() -> str:
    """SUMO's version, as "SUMO 1.28.0"."""
    return f"SUMO {getattr(libsumo(), '__version__', '')}".strip()


def center_of(place: Place, body: Body) -> tuple[float, float]:
    """The middle of a road user's box."""
    half = 0.0 if body.kind is AgentKind.PEDESTRIAN else 0.5 * body.size[0]
    return place.x - half * math.cos(place.heading), place.y - half * math.sin(place.heading)


def heading_of(angle: float) -> float:
    """Radians counter-clockwise from x of SUMO's degrees clockwise from north."""
    return math.remainder(math.radians(90.0 - angle), 2.0 * math.pi)


def angle_of(heading: float) -> float:
    return (90.0 - math.degrees(heading)) % 360.0


@contextmanager
def _heard() -> Iterator[Any]:
    """Catch what SUMO prints, below Python's own streams: its errors say there what is wrong."""
    with tempfile.TemporaryFile() as file:
        kept: dict[int, int] = {}
        for stream in (1, 2):
            with suppress(OSError):  # a process without that stream
                kept[stream] = os.dup(stream)
        try:
            for stream in kept:
                os.dup2(file.fileno(), stream)

            def said() -> str:
                file.seek(0)
                return file.read(65536).decode("utf-8", "replace")

            yield said
        finally:
            for stream, copy in kept.items():
                os.dup2(copy, stream)
                os.close(copy)


def _words(said: str, error: str) -> str:
    """SUMO's first error line, without folders, or the exception's."""
    lines = [line.partition("Error:")[2].strip() for line in said.splitlines() if "Error:" in line]
    text = " ".join((next((line for line in lines if line), "") or error).split())
    return " ".join(os.path.basename(w.strip("'")) if "/" in w else w for w in text.split(" "))[:300]


__all__ = [
    "Body",
    "Engine",
    "Place",
    "SumoFiles",
    "angle_of",
    "center_of",
    "heading_of",
    "libsumo",
    "version",
]
