"""`apply_batch`: many commands in one message, each with an answer of its own.

A command is `[[kind, arguments]]`. A Traffic Manager sends one with the controls of all its cars every tick,
so that a batch of nothing but controls goes to the world in one call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError
from drive.sim.carla.calls.actors import destroy, spawn
from drive.sim.carla.calls.lights import light_state
from drive.sim.carla.calls.table import Kind, call
from drive.sim.carla.calls.vehicles import ackermann, lamps, set_physics, walker_control
from drive.sim.carla.kernels.layout import CONTROL_SIZE
from drive.sim.carla.kernels.read import MOST, read_controls
from drive.sim.carla.wire import values
from drive.sim.carla.wire.messages import CHUNK, WireError, bad, good
from drive.sim.carla.wire.versions import COMMANDS
from drive.sim.carla.world.handles import HIGH, LOW

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session

CONTROL = COMMANDS.index("vehicle_control")
SPAWN = COMMANDS.index("spawn")
FUTURE_ACTOR = 0
"""The id in `do_after` that means the actor just spawned."""
MOST_NESTED = 4
"""How deep `do_after` may go: a spawn's own commands may spawn in turn."""


def _batch(server: Server, session: Session, commands: Any, tick: Any = False) -> Any:
    """A response a command, in order; an error of one is its own."""
    session.batches.came()
    answers = _controls(server, commands)
    if answers is None:
        answers = [
            _one(server, session, *_command(command), 0) for command in values.array(commands, "the batch", 0)
        ]
    if values.flag(tick, "do_tick_cue"):
        server.tick(session)
    return answers


class Room:
    """What `quick_batch` needs, kept by a server: the message's bytes, the answer's, and rows in between."""

    __slots__ = ("answer", "arrays", "message")

    def __init__(self) -> None:
        # A message that is read here came in one piece; an answer has up to 8 bytes a command.
        self.message, self.answer = bytearray(CHUNK), bytearray(16 + 8 * MOST)
        self.arrays = (
            LOW,
            HIGH,
            np.zeros(MOST, np.int64),
            np.zeros((MOST, CONTROL_SIZE)),
            np.frombuffer(self.answer, np.uint8),
            np.frombuffer(self.message, np.uint8),
        )


def quick_batch(server: Server, data: bytes) -> bytearray | None:
    """The answer to a whole message that is a batch of sound controls and nothing else, applied at once; None
    for any other."""
    world, room = server.world, server.room
    size = len(data)
    if world.ackermann or size > CHUNK:
        return None
    room.message[:size] = data
    a = world.actors
    end = read_controls(a.count, a.flag, a.control, *room.arrays, size)
    return room.answer[:end] if end else None


def _controls(server: Server, commands: Any) -> list[Any] | None:
    """The answers to a batch of sound controls and nothing else, applied at once; None for any other."""
    try:
        ids = [command[0][1][0] for command in commands if command[0][0] == CONTROL]
        if len(ids) != len(commands) or not ids:
            return None
        rows = [command[0][1][1] for command in commands]
        controls = np.array(rows)
        # Texts and the like make an array of another kind; the slow way says which command is wrong, and
        # clamps what is infinite.
        if controls.dtype != np.float64 or controls.shape != (len(ids), 7) or not np.isfinite(controls).all():
            return None
        if set(map(type, ids)) != {int}:
            return None
        server.world.apply_controls(ids, controls)
    except (DriveError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return [[[1, actor]] for actor in ids]


def _command(command: Any) -> tuple[int, list[Any]]:
    inner = values.array(values.array(command, "a command", 1)[0], "a command", 2)
    return values.integer(inner[0], "the command's kind"), values.array(inner[1], "its arguments", 0)


def _one(server: Server, session: Session, kind: int, arguments: list[Any], depth: int) -> Any:
    name = COMMANDS[kind] if kind < len(COMMANDS) else ""
    try:
        if kind == SPAWN:
            return good(_spawn(server, session, arguments, depth))
        if name not in _EFFECTS:
            raise WireError(f"there is no command {kind}")
        actor = values.actor_id(arguments[0] if arguments else None)
        least, effect = _EFFECTS[name]
        if len(arguments) < least:
            raise WireError(f"the command needs {least} arguments")
        effect(server, actor, *arguments[1:least])
        return good(actor)
    except DriveError as error:
        return _fault(session, name, error)


def _fault(session: Session, name: str, error: DriveError) -> Any:
    session.complain(f"batch: {name}: {error}")
    return bad(str(error))


def _spawn(server: Server, session: Session, arguments: list[Any], depth: int) -> int:
    """`[description, transform, parent, ..., do_after]`: 0.9.16 has an attachment and a socket in between."""
    parts = values.array(arguments, "the spawn command", 4)
    parent = values.optional(parts[2], "the parent")
    if depth >= MOST_NESTED:
        raise WireError("the batch is nested too deeply")
    to = 0 if parent is None else values.actor_id(parent)
    number = spawn(server, session, parts[0], parts[1], to)
    for command in values.array(parts[-1], "do_after", 0):
        kind, following = _command(command)
        if following and following[0] == FUTURE_ACTOR:
            following = [number, *following[1:]]
        # A fault in what comes after does not take the actor back; the game answers the same.
        _one(server, session, kind, following, depth + 1)
    return number


def _control(server: Server, actor: int, control: Any) -> None:
    server.world.apply_control(actor, *values.vehicle_control(control))


def _destroy(server: Server, actor: int) -> None:
    if not destroy(server, actor):
        raise WireError(f"there is no actor {actor} to destroy")


def _transform(server: Server, actor: int, pose: Any) -> None:
    server.world.set_transform(actor, values.transform(pose))


def _walker_state(server: Server, actor: int, pose: Any, speed: Any) -> None:
    values.number(speed, "the speed")
    server.world.set_transform(actor, values.transform(pose))


def _flagged(set_flag: str) -> Callable[[Server, int, Any], None]:
    def effect(server: Server, actor: int, on: Any) -> None:
        getattr(server.world, set_flag)(actor, values.flag(on, set_flag))

    return effect


def _pushed(push: str) -> Callable[[Server, int, Any], None]:
    def effect(server: Server, actor: int, vector: Any) -> None:
        getattr(server.world, push)(actor, values.vector(vector))

    return effect


def _none(server: Server, actor: int, *_: Any) -> None:
    server.world.actor(actor)


_EFFECTS: dict[str, tuple[int, Callable[..., None]]] = {
    "destroy": (1, _destroy),
    "vehicle_control": (2, _control),
    "ackermann_control": (2, ackermann),
    "walker_control": (2, walker_control),
    "physics_control": (2, set_physics),
    "transform": (2, _transform),
    "walker_state": (3, _walker_state),
    "target_velocity": (2, _pushed("set_target_velocity")),
    "target_angular_velocity": (2, _pushed("set_target_angular_velocity")),
    "impulse": (2, _pushed("add_impulse")),
    "force": (2, _pushed("add_force")),
    "angular_impulse": (2, _pushed("add_angular_impulse")),
    "torque": (2, _pushed("add_torque")),
    "simulate_physics": (2, _flagged("set_simulate_physics")),
    "enable_gravity": (2, _flagged("set_gravity")),
    "autopilot": (2, _none),
    "show_debug_telemetry": (2, _none),
    "light_state": (2, lamps),
    "traffic_light_state": (2, light_state),
}

BATCH = {"apply_batch": call(_batch, Kind.RAW)}
