"""The toolkit's side of a planner in its own process: `--planner exec:./my_planner`."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError, PlanError
from drive.planner import MAX_SPAN, Candidates, Control, ControlKind, Plan, PlannerSpec, PlanStatus
from drive.planners.process.client import drive_client as wire
from drive.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drive.planner import Observation
    from drive.scenario import Task

START_LIMIT = 120.0
"""s within which a program has to say hello: it may load a network first."""
KEPT_LINES = 40
"""Lines of what the program prints that are kept for the message of its end."""
_SPEC = {f.name for f in fields(PlannerSpec)} - {"cameras", "privileged"}
_numbers = itertools.count()


class ProcessPlanner:
    """A planner that is another program, started at once and again after it has died.

    `command` is a program and its arguments as a shell would read them; a Python program imports
    `drive_client`, which lies on its path. Whatever it does to itself is its own failure: a crash, a hang or
    rubbish ends one drive, and the next one starts it anew.

    Raises DriveError where it cannot be started or does not say hello, InputError for a faulty spec.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.arguments = _arguments(command)
        self._program = _Program(self.arguments)
        self.spec = _spec_of(self._program.hello, command)

    @property
    def digest(self) -> str:
        """Of the program and those of its arguments that are files."""
        found = hashlib.blake2b(digest_size=8)
        for part in self.arguments:
            found.update(part.encode() + b"\0")
            if (path := Path(part)).is_file():
                found.update(path.read_bytes())
        return found.hexdigest()

    def start(self, task: Task) -> _Session:
        """A session in the program; it is started anew where it has ended."""
        if task.log is not None:
            raise InputError("a planner in its own process is told nothing of the log")
        if not self._program.alive:
            self._program.end()
            self._program = _Program(self.arguments)
        return _Session(self._program, task, self.spec)

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return type(self), (self.command,)


class _Session:
    """One agent's session in the program."""

    def __init__(self, program: _Program, task: Task, spec: PlannerSpec) -> None:
        self._program, self._number, self._dt = program, next(_numbers), spec.dt
        parts = {f.name: getattr(task, f.name) for f in fields(task) if f.name not in ("log", "environment")}
        ground = "roadmap" if hasattr(task.environment, "lane_start") else "terrain"
        told = {"type": "start", "session": self._number, "task": table({**parts, ground: task.environment})}
        program.ask(told, "started", self._number)
        self._end = weakref.finalize(self, program.tell_end, self._number)

    def plan(self, observation: Observation) -> Plan:
        answer = self._program.ask(
            {"type": "plan", "session": self._number, "observation": table(observation)}, "plan", self._number
        )
        return plan_of(answer.get("plan"), observation, self._dt)


class _Program:
    """A running program and the connection to it."""

    def __init__(self, arguments: list[str]) -> None:
        self._printed: deque[str] = deque(maxlen=KEPT_LINES)
        folder = tempfile.mkdtemp(prefix="drive-")
        token = secrets.token_hex(16)
        try:
            with _listening(folder) as (listener, place):
                self._process = _started(arguments, place, token)
                self._sockets: list[socket.socket] = []
                self._close = weakref.finalize(self, _end, self._process, self._sockets)
                threading.Thread(target=_keep, args=(self._process, self._printed), daemon=True).start()
                self._connection = self._accepted(listener, arguments)
                self._sockets.append(self._connection)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._connection.settimeout(START_LIMIT)
        try:
            self.hello = self._received()
        except (EOFError, OSError):
            words = self._last_words()
            self.end()
            raise DriveError(f"'{shlex.join(arguments)}' ended before it said hello{words}") from None
        self._connection.settimeout(None)
        if self.hello.get("type") != "hello" or self.hello.get("token") != token:
            self.end()
            raise DriveError(f"'{arguments[0]}' does not begin with hello")
        if self.hello.get("protocol") != wire.PROTOCOL:
            self.end()
            said = self.hello.get("protocol")
            raise DriveError(f"'{arguments[0]}' speaks protocol {said!r}, this toolkit {wire.PROTOCOL}")

    @property
    def alive(self) -> bool:
        return self._close.alive and self._process.poll() is None

    def end(self) -> None:
        """Kill the program and what it has started."""
        self._close()

    def ask(self, message: Mapping[str, Any], wanted: str, session: int) -> dict[str, Any]:
        """The answer to a message; PlanError where the program raised, ended or broke the protocol."""
        try:
            if not self._close.alive:
                raise EOFError
            wire.send(self._connection, dict(message))
            answer = self._received()
        except (EOFError, OSError):
            raise PlanError(f"the planner's process has ended{self._last_words()}") from None
        except BaseException:
            # Interrupted by the watchdog, or out of step: what it says next would answer another question.
            self.end()
            raise
        if answer.get("type") == "error":
            raise PlanError(" ".join(str(answer.get("reason", "")).split())[:300] or "the planner failed")
        if answer.get("type") != wanted or answer.get("session") != session:
            self.end()
            raise PlanError(f"the planner answered '{answer.get('type')}' where '{wanted}' was asked for")
        return answer

    def tell_end(self, session: int) -> None:
        """Say that a session is over."""
        if self.alive:
            try:
                wire.send(self._connection, {"type": "end", "session": session})
            except OSError:
                self.end()

    def _received(self) -> dict[str, Any]:
        try:
            return wire.receive(self._connection)
        except wire.ProtocolError as error:
            self.end()
            raise PlanError(f"the planner's process sent {error}") from None

    def _accepted(self, listener: socket.socket, arguments: list[str]) -> socket.socket:
        until = time.monotonic() + START_LIMIT
        while not select.select([listener], [], [], 0.05)[0]:
            if self._process.poll() is not None:
                words = self._last_words()
                raise DriveError(f"'{shlex.join(arguments)}' ended before it said hello{words}")
            if time.monotonic() > until:
                self._close()
                raise DriveError(f"'{shlex.join(arguments)}' did not say hello within {START_LIMIT:g} s")
        return listener.accept()[0]

    def _last_words(self) -> str:
        """How the program ended and the last line that it printed."""
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return ""
        time.sleep(0.05)  # what it printed may still be on its way
        how = f" by {signal.Signals(-code).name}" if code < 0 else f" with {code}"
        said = next((line for line in reversed(self._printed) if line.strip()), "")
        return how + (f": {said.strip()[:200]}" if said else "")


def _arguments(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise InputError(f"'exec:{command}' cannot be read: {error}") from None
    if not arguments:
        raise InputError("write which program is the planner: exec:./my_planner")
    if shutil.which(arguments[0]) is None:
        raise InputError(f"there is no program '{arguments[0]}' that can be run")
    return arguments


class _listening:  # noqa: N801 - used as a function
    """A socket in a private folder, where there are such sockets; else one of the loopback."""

    def __init__(self, folder: str) -> None:
        if hasattr(socket, "AF_UNIX"):
            self.socket, self.place = socket.socket(socket.AF_UNIX), os.path.join(folder, "planner")
            self.socket.bind(self.place)
        else:
            self.socket = socket.socket()
            self.socket.bind(("127.0.0.1", 0))
            self.place = f"tcp:{self.socket.getsockname()[1]}"
        self.socket.listen(1)

    def __enter__(self) -> tuple[socket.socket, str]:
        return self.socket, self.place

    def __exit__(self, *what: object) -> None:
        self.socket.close()


def _started(arguments: list[str], place: str, token: str) -> subprocess.Popen[bytes]:
    path = [str(Path(wire.__file__).parent), os.environ.get("PYTHONPATH", "")]
    told = {"DRIVE_SOCKET": place, "DRIVE_TOKEN": token, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    # Its own Python is not ours: neither our paths' safety nor our virtual environment are its business.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "__PYVENV_LAUNCHER__")}
    try:
        return subprocess.Popen(
            arguments, env={**environment, **told}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise DriveError(f"'{arguments[0]}' cannot be started: {error.strerror}") from error


def _keep(process: subprocess.Popen[bytes], lines: deque[str]) -> None:
    """Read what the program prints, so that it never waits for us, and keep the last of it."""
    assert process.stdout is not None
    for line in iter(lambda: process.stdout.readline(4096), b""):  # type: ignore[union-attr]
        lines.append(line.decode(errors="replace"))
    process.stdout.close()


def _end(process: subprocess.Popen[bytes], sockets: list[socket.socket]) -> None:
    for connection in sockets:
        connection.close()
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def table(value: Any) -> Any:
    """Dataclasses as tables of their fields, all the way down; arrays and scalars as they are."""
    if isinstance(value, np.ndarray | float | int | str | None):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {name: table(getattr(value, name)) for name in type(value).__dataclass_fields__}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): table(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [table(item) for item in value]
    return value


def plan_of(told: Any, observation: Observation, dt: float) -> Plan:
    """The plan that a program told; raises PlanError where it is none."""
    if not isinstance(told, Mapping) or not ("poses" in told or {"times", "states"} <= told.keys()):
        raise PlanError("a plan needs poses, or times and states")
    try:
        more = dict(_more(told))
        if "poses" in told:
            step = float(told.get("dt", dt))
            if not 0.0 < step <= MAX_SPAN:
                raise ValueError(f"a dt of {step:g} s")
            bare = Plan.from_poses(observation, _floats(told["poses"]), step, told.get("speed"))
            trajectory = bare.trajectory
        else:
            trajectory = Trajectory(_floats(told["times"]), _floats(told["states"]))
        return Plan(trajectory, **more)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise PlanError(f"a plan that cannot be read: {error}") from error


def _more(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if status := told.get("status"):
        yield "status", PlanStatus(status)
    yield "reason", str(told.get("reason", ""))
    yield "figures", {str(name): float(value) for name, value in dict(told.get("figures", {})).items()}
    if control := told.get("control"):
        kind = ControlKind(control["kind"])
        yield "control", Control(kind, _floats(control["values"]), float(control["dt"]))
    if seen := told.get("candidates"):
        probability = seen.get("probability")
        yield (
            "candidates",
            Candidates(
                _floats(seen["times"]),
                _floats(seen["states"]),
                {str(name): _floats(values) for name, values in dict(seen.get("scores", {})).items()},
                None if probability is None else _floats(probability),
                int(seen.get("chosen", -1)),
                int(seen.get("shared_steps", 0)),
            ),
        )


def _floats(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    # What comes in a message cannot be written to.
    return np.array(values, dtype=np.float64)


def _spec_of(hello: Mapping[str, Any], command: str) -> PlannerSpec:
    told = hello.get("spec")
    if not isinstance(told, Mapping):
        raise InputError(f"'{command}' does not say what it needs and promises (spec)")
    if unknown := sorted(set(told) - _SPEC):
        raise InputError(f"'{command}': a planner in its own process has no '{unknown[0]}' in its spec")
    try:
        values = dict(told)
        for name in ("horizon", "dt", "rate", "history"):
            if name in values:
                values[name] = float(values[name])
        if "needs" in values:
            values["needs"] = tuple(str(need) for need in values["needs"])
        return PlannerSpec(**{**values, "name": str(values.get("name", "")) or "exec"})
    except (TypeError, ValueError) as error:
        raise InputError(f"'{command}': its spec cannot be read: {error}") from None
