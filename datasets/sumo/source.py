"""SUMO files as a source of scenarios.

References: `run.sumocfg` (three of its cars, each as the ego), `run.sumocfg#VEHICLE`, `run.sumocfg#2` (the
second of such cars), either with `@SECONDS` (not before then on SUMO's clock), `town.net.xml` (an empty road)
and `town.net.xml#A>B` (from edge A to edge B).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets.sumo.config import (
    Configuration,
    demand_counts,
    is_configuration,
    names_vehicle,
    read_configuration,
)
from drive.datasets.sumo.network import Network, read_network
from drive.datasets.sumo.record import choose_egos, record
from drive.datasets.sumo.scenario import around, bare_scenario, driven_scenario
from drive.datasets.xml import root_tag
from drive.errors import InputError, UnknownNameError
from drive.sim.sumo.engine import libsumo

if TYPE_CHECKING:
    from drive.scenario import Scenario

OTHERS = {
    "routes": "a demand{}; name the .sumocfg that it belongs to",
    "additional": "additional elements; name the .sumocfg that they belong to",
    "add": "additional elements; name the .sumocfg that they belong to",
    "edges": "plain edges; make a .net.xml of them with SUMO's netconvert",
    "nodes": "plain nodes; make a .net.xml of them with SUMO's netconvert",
    "connections": "plain connections; make a .net.xml of them with SUMO's netconvert",
    "tlLogics": "plain signals; make a .net.xml of them with SUMO's netconvert",
}
"""Root elements of SUMO's other files, and what to do with such a file."""
SUFFIXES = (".rou.xml", ".add.xml", ".edg.xml", ".nod.xml", ".con.xml", ".tll.xml")
MAX_NUMBER = 200


@dataclass(frozen=True, slots=True)
class SumoSource:
    """The source "sumo"; `egos` is the number of cars that a configuration offers as egos."""

    name: str = "sumo"
    egos: int = 3

    def matches(self, ref: str) -> bool:
        """Whether a reference names a file of SUMO's; those without scenarios are taken to say so."""
        path = Path(_split(ref)[0])
        if not path.name.endswith((".xml", ".sumocfg", ".cfg")) or not path.is_file():
            return False
        tag = root_tag(path) or ""
        return tag == "net" or is_configuration(path, tag) or (tag in OTHERS and path.name.endswith(SUFFIXES))

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        """References to the scenarios of a file; raises InputError, MissingExtraError or ScenarioError.

        A car of a demand is planned and, once SUMO has driven it, recorded: `ego` makes no difference to it.
        """
        if ego not in ("planned", "recorded"):
            raise UnknownNameError("choice of ego", ego, ("planned", "recorded"))
        if "#" in ref:
            return [ref]
        path = Path(ref)
        tag = root_tag(path) or ""
        if tag in OTHERS:
            raise _refused(path, tag)
        # CommonRoad keeps the network of an interactive scenario beside it: a folder means the scenario.
        owner = path.with_name(f"{path.name.partition('.')[0]}.cr.xml")
        if owner.exists():
            own = "EDGE" if tag == "net" else "1"
            raise InputError(f"{path.name}: it belongs to {owner.name}; by itself it is {path.name}#{own}")
        if tag == "net":
            _network(*_key(path))
            return [] if ego == "recorded" else [ref]
        return [f"{ref}#{name}" for name in choose_egos(_configuration(path), self.egos)]

    def environment(self, ref: str) -> str:
        return "road"

    def load(self, ref: str) -> Scenario:
        """Load one scenario. Raises InputError or one of its kinds, or MissingExtraError without libsumo."""
        where, what = _split(ref)
        path = Path(where)
        tag = root_tag(path) or ""
        if tag in OTHERS:
            raise _refused(path, tag)
        if tag == "net":
            return bare_scenario(_network(*_key(path)), what, f"{path.name}#{what}" if what else path.name)
        config = _configuration(path)
        network = _network(*_key(config.files.network))
        what, since = _since(path.name, what)
        vehicle = what or choose_egos(config, self.egos)[0]
        # Vehicles may be named by numbers as well: their names come first.
        if what.isdigit() and 1 <= int(what) <= MAX_NUMBER and not names_vehicle(config, what):
            cars = choose_egos(config, max(self.egos, int(what)))
            if int(what) > len(cars):
                raise InputError(f"{path.name}: it offers {len(cars)} cars as egos, no number {what}")
            vehicle = cars[int(what) - 1]
        found = record(config, vehicle, lambda edges, lane, s: around(network, edges, lane, s), since)
        at = f"@{since:g}" if since else ""
        return driven_scenario(config, network, found, f"{path.name}#{vehicle}{at}")


def _split(ref: str) -> tuple[str, str]:
    path, _, what = ref.partition("#")
    return path, what


def _refused(path: Path, tag: str) -> InputError:
    counts = ""
    if path.name.endswith(".add.xml"):
        tag = "additional"  # vehicle types alone come as <routes>, too
    if tag == "routes":
        counts = " of " + ", ".join(f"{count} {what}" for what, count in demand_counts(path).items())
    return InputError(f"{path.name}: it holds {OTHERS[tag].format(counts)}")


def _since(name: str, what: str) -> tuple[str, float]:
    """The vehicle, and the time from which on it may be the ego."""
    vehicle, at, text = what.rpartition("@")
    try:
        since = float(text) if at else 0.0
    except ValueError:
        return what, 0.0  # an id may hold an @ as well
    if not 0.0 <= since < 1e9:
        raise InputError(f"{name}: '{what}' should end in a time in seconds: VEHICLE@SECONDS")
    return vehicle if at else what, since


def _key(path: Path) -> tuple[str, int, int]:
    """Path, time of change and size: a file that was written anew is read anew."""
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return str(path), stat.st_mtime_ns, stat.st_size


def _configuration(path: Path) -> Configuration:
    libsumo()  # says at once what is missing
    return read_configuration(path)


@lru_cache(maxsize=4)
def _network(path: str, changed: int, size: int) -> Network:
    return read_network(Path(path))


SOURCE = SumoSource()
