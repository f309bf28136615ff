"""Every error that the toolkit raises on purpose.

An error message is one line: what is wrong, where, and what to do about it. The command line prints
it without a traceback and exits with a status other than 0.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 2000
"""Characters of a message: what a damaged file holds in the place of a name may be of any length."""


class DriveError(Exception):
    """Base of all errors raised on purpose; its message is one line, fit to be shown to a user."""

    def __str__(self) -> str:
        line = " ".join(super().__str__().splitlines())
        return line if len(line) <= LONGEST else f"{line[: LONGEST - 400]} … {line[-300:]}"


class InputError(DriveError):
    """A file or a value given by the user cannot be used."""


class MapError(InputError):
    """A road map is empty, inconsistent or not finite."""


class ScenarioError(InputError):
    """A scenario is inconsistent, or lacks what was asked of it."""


class UnknownNameError(InputError):
    """A planner, suite, data set, traffic model or metric that nobody registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name = kind, name
        self.known = tuple(sorted(known))
        near = difflib.get_close_matches(name, self.known, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        super().__init__(f"unknown {kind} '{name}'{hint} (known: {', '.join(self.known) or 'none'})")


class MissingExtraError(DriveError):
    """An optional dependency is not installed; the message names the command that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; pip install 'drive-toolkit[{extra}]' brings it")


class MissingWeightsError(DriveError):
    """A learned planner has no weights yet; the message names the command that makes them, of the planner's
    name where `recipe` is no other."""

    def __init__(self, planner: str, recipe: str = "") -> None:
        super().__init__(
            f"planner '{planner}' comes without weights: drive train {recipe or planner} makes them, "
            f"--set {planner}.weights=FILE.safetensors names them"
        )


class PlanError(DriveError):
    """What a planner returned is not a plan: not finite, of the wrong shape, or nothing at all."""


class PlannerTimeoutError(DriveError):
    """A planner did not answer before the watchdog's limit."""


class SimulationError(DriveError):
    """The simulator itself failed; the scenario is dropped for every planner."""


class RunLogError(InputError):
    """A run log is of an unknown version, truncated, or not a run log."""
