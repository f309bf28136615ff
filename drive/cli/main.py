"""The command `drive`: finds its commands by name and loads the one that runs.

`drive --help` must answer at once, so nothing here imports a command or anything that computes.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from drive import __version__
from drive._imports import import_target
from drive.errors import DriveError, UnknownNameError

# Name -> where its function lies, and the line that stands in `drive --help`.
COMMANDS: dict[str, tuple[str, str]] = {
    "bench": ("drive.cli.bench:command", "Drive planners through a suite and score them side by side."),
    "compare": ("drive.cli.compare:command", "Paired differences between the results of benchmarks."),
    "run": ("drive.cli.run:command", "Drive one scenario with one planner and write its replay."),
    "replay": ("drive.cli.replay:command", "Turn runs into a page or a film."),
    "rules": ("drive.cli.rules:command", "Judge drives by rules of the road: which were broken, when."),
    "train": ("drive.cli.train:app", "Train a learned planner by its recipe; make training data."),
    "list": (
        "drive.cli.list:command",
        "List planners, suites, data sets, traffic, metrics, recipes.",
    ),
    "check": ("drive.cli.check:command", "Check that a planner keeps the contract."),
    "inspect": ("drive.cli.inspect:command", "Say what is in a file."),
    "convert": ("drive.cli.convert:command", "Write scenarios of one format as files of another."),
    "nuplan": ("drive.cli.nuplan:app", "Bridge to the nuPlan devkit, both ways."),
    "carla": ("drive.cli.carla:app", "A light server for CARLA's clients; maps out of a real CARLA."),
    "perf": ("drive.cli.perf:command", "Measure the kernels' and planners' speed on this machine."),
}

_HELP = """Plan and simulate motion for autonomous vehicles.

\b
Example:
  drive bench --suite mini --planner idm --planner pdm --out out/bench
"""

THREADS_MAY_TAKE = 5.0
FAILED, MISUSED, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141


class _UnknownCommandError(UnknownNameError):
    """An unknown command is misuse, unlike an unknown planner: its status is 2."""


class _InterruptedError(BaseException):
    """Ctrl-C, under a name that typer does not turn into an exit of its own."""


class _LazyGroup(TyperGroup):
    """Lists its commands without loading them. The contexts' class differs between releases of typer."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name.startswith("-"):
            return super().resolve_command(ctx, args)
        if name not in COMMANDS:
            raise _UnknownCommandError("command", name, COMMANDS)
        return name, _real_command(name), args[1:]

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError from None


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. `arguments` default to those of the process."""
    status = FAILED
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # In a locale that lacks a character a sign stands for it; a command does not end for that.
            stream.reconfigure(errors="replace")
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (`| head`) has gone; the interpreter's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    finally:
        if arguments is None:
            _leave_threads(status)
    return status


def _leave_threads(status: int) -> None:
    """Let no thread that a planner began keep the process alive for ever once the command is done."""
    left = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    if not left:
        return

    def leave() -> None:
        time.sleep(THREADS_MAY_TAKE)
        _say(f"left behind after {THREADS_MAY_TAKE:g} s: {len(left)} threads that do not end", status)
        sys.stdout.flush()
        os._exit(status)

    threading.Thread(target=leave, daemon=True).start()


def _run(arguments: Sequence[str] | None) -> int:
    try:
        _group().main(args=None if arguments is None else list(arguments), prog_name="drive")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED if stop.code else 0
    except (_InterruptedError, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        raise
    except (DriveError, OSError) as error:
        if os.environ.get("DRIVE_TRACEBACK"):
            raise
        return _say(
            f"error: {_message(error)}", MISUSED if isinstance(error, _UnknownCommandError) else FAILED
        )
    return 0


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__


def _say(line: str, status: int) -> int:
    print(f"drive: {line}", file=sys.stderr)
    return status


def _version(wanted: bool) -> None:
    if wanted:
        print(f"drive {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _group() -> Any:
    """The whole command line, each command a stand-in that has a name and a line of help."""
    app = typer.Typer(
        cls=_LazyGroup,
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, (_, line) in COMMANDS.items():
        app.command(name, help=line)(lambda: None)
    return typer.main.get_command(app)


def _real_command(name: str) -> Any:
    target, _ = COMMANDS[name]
    function: Any = import_target(target, f"command '{name}'")
    if isinstance(function, typer.Typer):  # a command with commands of its own
        return typer.main.get_command(function)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(function)
    return typer.main.get_command(app)
