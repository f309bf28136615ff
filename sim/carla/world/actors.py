"""All actors as rows of arrays, in the order of their ids, and what is told of each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.sim.carla.kernels.layout import (
    ACTOR_STATE,
    AT_LIGHT,
    BODY_SIZE,
    CONTROL_SIZE,
    FLAG_SIZE,
    ID,
    KIND,
    LANE,
    LEAD,
    PARAM_SIZE,
    PARENT,
    ROW_LIGHT,
)
from drive.sim.carla.world.errors import ActorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

KIND_NAMES = ("other", "vehicle", "walker", "prop", "light", "sign", "sensor")


@dataclass(frozen=True, slots=True)
class Actor:
    """What a client is told of an actor once. `parent` 0 without one; `center`, `half` its box (m)."""

    id: int
    parent: int
    uid: int
    type_id: str
    kind: str
    attributes: tuple[tuple[str, str, str], ...]
    """(name, type, value)."""
    center: tuple[float, float, float]
    half: tuple[float, float, float]
    labels: tuple[int, ...] = ()
    sign_id: str = ""

    def value(self, name: str, default: str = "") -> str:
        return next((v for n, _, v in self.attributes if n == name), default)


def _sheet(room: int) -> tuple[bytearray, NDArray[Any]]:
    """A snapshot's bytes, and in them, behind room for what heads it, a record an actor."""
    sheet = bytearray(LEAD + room * ACTOR_STATE.itemsize)
    return sheet, np.frombuffer(sheet, dtype=ACTOR_STATE, offset=LEAD)


class Actors:
    """The table. Arrays have room for more rows than `count`; ids never come twice.

    `records` lie in `sheet` as they are sent, so that a tick writes its snapshot where it leaves from.
    """

    def __init__(self, room: int = 64) -> None:
        self.count = 0
        self.next_id = 1
        self.body: Floats = np.zeros((room, BODY_SIZE))
        self.param: Floats = np.zeros((room, PARAM_SIZE))
        self.control: Floats = np.zeros((room, CONTROL_SIZE))
        self.flag: Ints = np.zeros((room, FLAG_SIZE), dtype=np.int64)
        self.relative: Floats = np.zeros((room, 6))
        self.sheet, self.records = _sheet(room)
        self.snapshot = memoryview(b"")
        """The bytes of all records behind `LEAD` others, as they are now."""
        self._counted(0)
        self.facts: list[Actor] = []
        self.row_of: dict[int, int] = {}

    def row(self, actor: int) -> int:
        """The row of an id. Raises ActorError."""
        found = self.row_of.get(actor)
        if found is None:
            raise ActorError(f"there is no actor {actor}")
        return found

    def row_as(self, actor: int, *kinds: int) -> int:
        """The row of an id that must be one of `kinds`. Raises ActorError."""
        row = self.row(actor)
        if self.flag[row, KIND] not in kinds:
            wanted = " or ".join(KIND_NAMES[k] for k in kinds)
            raise ActorError(f"actor {actor} ({self.facts[row].type_id}) is no {wanted}")
        return row

    def add(self, fact: Actor, kind: int) -> int:
        """A new row for an actor whose id is `next_id`; all zero but its identity."""
        row = self.count
        if row == len(self.body):
            for name in ("body", "param", "control", "flag", "relative"):
                old = getattr(self, name)
                new = np.zeros((2 * len(old), *old.shape[1:]), dtype=old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
            told = self.records
            self.sheet, self.records = _sheet(2 * row)
            self.records[:row] = told
        for name in ("body", "param", "control", "flag", "relative", "records"):
            getattr(self, name)[row] = np.zeros((), dtype=getattr(self, name).dtype)
        self.param[row, 7:9] = 1.0  # MASS, INERTIA: kernels divide by them
        self.flag[row, [ID, KIND]] = fact.id, kind
        self.flag[row, [PARENT, AT_LIGHT, ROW_LIGHT, LANE]] = -1
        if fact.parent:
            self.flag[row, PARENT] = self.row(fact.parent)
        self.facts.append(fact)
        self.row_of[fact.id] = row
        self.next_id = fact.id + 1
        self._counted(row + 1)
        return row

    def remove(self, ids: Collection[int]) -> NDArray[np.intp]:
        """Take actors out; what was attached to one stays. Returns each old row's new one or -1."""
        n = self.count
        keep = np.ones(n, dtype=np.bool_)
        for actor in ids:
            keep[self.row(actor)] = False
        new = np.where(keep, np.cumsum(keep) - 1, -1)
        kept = np.flatnonzero(keep)
        for name in ("body", "param", "control", "flag", "relative", "records"):
            array = getattr(self, name)
            array[: len(kept)] = array[:n][kept]
        self._counted(len(kept))
        parents = self.flag[: self.count, PARENT]
        self.flag[: self.count, PARENT] = np.where(parents >= 0, new[parents], -1)
        self.facts = [self.facts[k] for k in kept]
        self.row_of = {fact.id: row for row, fact in enumerate(self.facts)}
        return new

    def _counted(self, count: int) -> None:
        self.count = count
        self.snapshot = memoryview(self.sheet)[: LEAD + count * ACTOR_STATE.itemsize]
