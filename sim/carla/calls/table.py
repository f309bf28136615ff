"""How a call is written down: its function, what its answer looks like, how many parameters it needs."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drive.sim.carla.wire.messages import VOID, WireError


class Kind(enum.Enum):
    """The shape of an answer."""

    VALUE = "value"
    VOID = "void"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class Call:
    """`function(server, session, *parameters)`."""

    function: Callable[..., Any]
    kind: Kind
    least: int
    most: int

    def parameters(self, given: list[Any]) -> list[Any]:
        """Without the client's metadata, which leads; what a later release sends in addition is let be."""
        count = len(given) - 1
        if count < self.least:
            raise WireError(f"needs {self.least} parameters, has {max(count, 0)}")
        return given[1 : 1 + self.most]


def call(function: Callable[..., Any], kind: Kind = Kind.VALUE) -> Call:
    taken = list(inspect.signature(function).parameters.values())[2:]
    least = sum(p.default is inspect.Parameter.empty for p in taken)
    return Call(function, kind, least, len(taken))


def void(function: Callable[..., None]) -> Call:
    """A call that returns nothing."""

    def answer(*parameters: Any) -> Any:
        function(*parameters)
        return VOID

    plain = call(function, Kind.VOID)
    return Call(answer, Kind.VOID, plain.least, plain.most)


def done(*_: Any) -> Any:
    return VOID


IGNORED = Call(done, Kind.VOID, 0, 0)
"""A call whose effect can only be seen or heard in the game: accepted, without effect."""
