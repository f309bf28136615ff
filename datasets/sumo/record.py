"""Runs SUMO up to where a vehicle becomes the ego, and records the stretch of time after it.

Warm-up goes in the configuration's own steps, the recording in steps of 0.1 s, from a saved state that live
traffic starts from as well. Both are kept in the cache, named by the files' contents and SUMO's version.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.cache import cache_folder
from drive.errors import ScenarioError, SimulationError, UnknownNameError
from drive.sim.sumo.demand import live_files
from drive.sim.sumo.engine import Body, Engine, center_of, version
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from drive.datasets.sumo.config import Configuration
    from drive.sim.sumo.engine import Box, Place

    Floats = NDArray[np.float64]

DT = 0.1
DURATION = 15.0
SHORTEST = 3.0
TAIL = 20.0
"""s beyond the recording for which is noted who comes onto the road: with another ego some come sooner."""
WARM_UP = 300.0
"""s after the beginning from which on egos are chosen: by then the roads have filled."""
LONGEST_WAIT = 7200.0
CLEAR = 5.0
"""m of road behind the ego when its scenario begins."""
HARD = 2.5
"""m/s^2: who has to brake harder for the one ahead, as some do that depart at speed, begins later."""
EGO_CLASSES = frozenset(("passenger", "private", "taxi", "evehicle", "hov", "ignoring", "delivery"))
FORMAT = 1
"""Of what is kept in the cache; to be raised with any change of how it is recorded."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """T samples of A road users in `box`, in the network's coordinates.

    `states (A, T, 5)` at box centres in `TRACK_COLUMNS`, `valid (A, T)`, `bodies` of the `ids`; `lights`
    what each signal shows at each sample. `edges` is the ego's way from the one it is on, `lane` its lane.
    `more` are those on the road without a sample in the box. `begin` and `departed` are SUMO's clock.
    """

    vehicle: str
    begin: float
    departed: float
    edges: tuple[str, ...]
    lane: str
    vehicle_class: str
    box: Box
    ids: tuple[str, ...]
    bodies: tuple[Body, ...]
    states: Floats
    valid: NDArray[np.bool_]
    lights: dict[str, tuple[str, ...]]
    more: tuple[tuple[str, Body], ...]
    state: Path
    sumo: str

    @property
    def ego(self) -> int:
        return self.ids.index(self.vehicle)


def choose_egos(config: Configuration, count: int) -> tuple[str, ...]:
    """The first `count` cars that depart after the warm-up, each on a way of its own.

    A way has two edges or more. Where the demand is over sooner, or has fewer such cars, those that
    departed before fill up. Raises ScenarioError for a demand without cars.
    """
    kept = _folder(config) / f"egos_{count}.json"
    if kept.exists():
        return tuple(json.loads(kept.read_text(encoding="utf-8")))
    late: dict[tuple[str, ...], str] = {}
    early: dict[tuple[str, ...], str] = {}
    with _simulation(config) as engine:
        last = min(config.files.begin + LONGEST_WAIT, config.files.end)
        while not engine.done and engine.time < last and len(late) < count:
            engine.step()
            found = late if engine.time >= config.files.begin + WARM_UP else early
            for name in engine.departed:
                if engine.vehicle_class(name) in EGO_CLASSES:
                    edges, _ = engine.route(name)
                    if len(edges) >= 2:
                        found.setdefault(edges, name)
    chosen = [*late.values(), *(name for edges, name in early.items() if edges not in late)][:count]
    if not chosen:
        raise ScenarioError(f"{config.name}: no car of its demand departs; no vehicle can be the ego")
    _write(kept, json.dumps(chosen).encode())
    return tuple(chosen)


def record(
    config: Configuration,
    vehicle: str,
    around: Callable[[Sequence[str], str, float], tuple[Box, set[str]]],
    since: float = 0.0,
) -> Recording:
    """The recording of a vehicle as the ego, from the cache where it is there.

    It begins once the vehicle is wholly on the road, on no junction, and need not brake hard, and not before
    `since` on SUMO's clock.
    `around(edges, lane, position)` gives the box to be recorded and the edges in it, of the way ahead.
    Raises UnknownNameError for a vehicle that never departs, ScenarioError for one that is gone too soon.
    """
    name = hashlib.blake2b(f"{vehicle}@{since!r}".encode(), digest_size=12).hexdigest()
    folder = _folder(config)
    kept, state = folder / f"{name}.npz", folder / f"{name}.state.xml.gz"
    if kept.exists() and state.exists():
        try:
            return _load(kept, state)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            kept.unlink(missing_ok=True)  # half a file of a full disk; made anew
    part = folder / f"{name}.{os.getpid()}.state.xml.gz"
    began = _begin(config, vehicle, since, part)
    if began is None:
        raise UnknownNameError(f"vehicle that departs in {config.name}", vehicle, choose_egos(config, 3))
    part.replace(state)
    begin, departed, edges, lane, position, vehicle_class = began
    box, inside = around(edges, lane, position)
    with _simulation(config, state) as engine:
        seen, lights, more = _watch(engine, vehicle, box, inside)
        bodies = {k: engine.body(k) for k in seen if k in engine.bodies}
    own = np.array([row is not None for row in seen[vehicle]])
    samples = int(np.argmin(own)) if not own.all() else len(own)
    if (samples - 1) * DT < SHORTEST - 1e-9:
        raise ScenarioError(
            f"{config.name}: the vehicle '{vehicle}' is on its way for {max(samples - 1, 0) * DT:.1f} s only"
        )
    ids = [k for k, rows in seen.items() if any(r is not None for r in rows[:samples])]
    late = tuple((k, bodies[k]) for k in seen if k not in ids)
    found = Recording(
        vehicle, begin, departed, edges, lane, vehicle_class, box, tuple(ids),
        tuple(bodies[k] for k in ids),
        np.array([[_row(r, bodies[k]) for r in seen[k][:samples]] for k in ids]),
        np.array([[r is not None for r in seen[k][:samples]] for k in ids]),
        {k: tuple(text[:samples]) for k, text in lights.items()},
        (*late, *more), state, version(),
    )  # fmt: skip
    _save(found, kept)
    return found


@contextmanager
def _simulation(config: Configuration, state: Path | None = None) -> Iterator[Engine]:
    """SUMO at the beginning, or at a state in steps of `DT`; what stops it lies in the files."""
    if state is None:
        engine = Engine.open(config.files)
    else:
        engine = Engine.open(live_files(config.files), step=DT, state=state)
    try:
        yield engine
    except SimulationError as error:
        raise ScenarioError(f"{config.name}: {error}") from None
    finally:
        engine.close()


def _folder(config: Configuration) -> Path:
    return cache_folder("sumo", f"{config.digest}-{version().replace(' ', '-')}-{FORMAT}")


def _begin(
    config: Configuration, vehicle: str, since: float, state: Path
) -> tuple[float, float, tuple[str, ...], str, float, str] | None:
    """Run until the vehicle's scenario can begin, and save the state; None for one that never departs.

    Returns when it begins and when the vehicle departed, its edges from there on, its lane, how far it is
    along that, and its class.
    """
    with _simulation(config) as engine:
        departed = _drive_in(engine, config, vehicle, since)
        if departed is None:
            return None
        edges, at = engine.route(vehicle)
        engine.save(state)
        return engine.time, departed, edges[at:], *engine.lane(vehicle), engine.vehicle_class(vehicle)


def _drive_in(engine: Engine, config: Configuration, vehicle: str, since: float) -> float | None:
    """Run until the vehicle is where its scenario can begin; returns when it departed."""
    last = min(config.files.begin + LONGEST_WAIT, config.files.end)
    departed: float | None = None
    start = ""
    while engine.time < last and not engine.done:
        engine.step()
        if vehicle in engine.vehicles:
            lane, position = engine.lane(vehicle)
            if departed is None:
                departed, start = engine.time, lane
            ahead = lane != start or position >= engine.body(vehicle).size[0] + CLEAR
            clear = lane and ahead and not lane.startswith(":") and engine.time >= since - 1e-6
            if clear and engine.braking_due(vehicle) <= HARD:
                return departed
        elif departed is not None:
            break
    if departed is None:
        return None
    raise ScenarioError(
        f"{config.name}: the vehicle '{vehicle}' was on the road from {departed:g} to {engine.time:g} s, "
        "and no scenario of it could begin by then"
    )


def _watch(
    engine: Engine, vehicle: str, box: Box, inside: set[str]
) -> tuple[dict[str, list[Place | None]], dict[str, list[str]], tuple[tuple[str, Body], ...]]:
    """Samples of everybody in the box, the signals, and who else may come there."""
    count = round(DURATION / DT) + 1
    programs = tuple(engine.lib.trafficlight.getIDList())
    lights: dict[str, list[str]] = {name: [] for name in programs}
    seen: dict[str, list[Place | None]] = {vehicle: [None] * count}
    asked: set[str] = set()
    more: dict[str, Body] = {}
    for k in range(count + round(TAIL / DT)):
        if k:
            engine.step()
        if k < count:
            for name, place in engine.places(box).items():
                engine.body(name)
                seen.setdefault(name, [None] * count)[k] = place
            for name, letters in engine.lights(programs).items():
                lights[name].append(letters)
        for name in engine.vehicles if k == 0 else engine.departed:
            if name not in asked:
                asked.add(name)
                if inside.intersection(engine.route(name)[0]):
                    more[name] = engine.body(name)
        for name in engine.people:
            if name not in asked:
                asked.add(name)
                if inside.intersection(engine.walk(name)):
                    more[name] = engine.body(name)
    return seen, lights, tuple((name, body) for name, body in more.items() if name not in seen)


def _row(place: Place | None, body: Body) -> tuple[float, float, float, float, float]:
    """A track's state: the box's centre, and the speed along the heading as its velocity."""
    if place is None:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    x, y = center_of(place, body)
    return x, y, place.heading, place.speed * np.cos(place.heading), place.speed * np.sin(place.heading)


def _save(found: Recording, path: Path) -> None:
    def rows(bodies: Sequence[Body]) -> list[Any]:
        return [[int(b.kind), *b.size] for b in bodies]

    about = {
        "vehicle": found.vehicle, "begin": found.begin, "departed": found.departed, "edges": found.edges,
        "lane": found.lane, "vehicle_class": found.vehicle_class, "box": found.box, "ids": found.ids,
        "bodies": rows(found.bodies), "lights": found.lights, "more": [k for k, _ in found.more],
        "more_bodies": rows([b for _, b in found.more]), "sumo": found.sumo,
    }  # fmt: skip
    part = path.with_suffix(f".{os.getpid()}.part.npz")
    header = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez_compressed(part, about=header, states=found.states, valid=found.valid)
    part.replace(path)


def _load(path: Path, state: Path) -> Recording:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes().decode())
        states, valid = file["states"], file["valid"]

    def bodies(rows: list[Any]) -> list[Body]:
        return [Body(AgentKind(int(r[0])), (r[1], r[2], r[3])) for r in rows]

    return Recording(
        about["vehicle"], about["begin"], about["departed"], tuple(about["edges"]), about["lane"],
        about["vehicle_class"], tuple(about["box"]), tuple(about["ids"]), tuple(bodies(about["bodies"])),
        states, valid, {k: tuple(v) for k, v in about["lights"].items()},
        tuple(zip(about["more"], bodies(about["more_bodies"]), strict=True)), state, about["sumo"],
    )  # fmt: skip


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
