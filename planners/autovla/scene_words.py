"""What the prompt tells of the ego and its way, and for the text variant of everybody else: text of a
moment's arrays (`drive.nn.scene`), nothing of the future."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.nn.scene import AGENT_COLUMNS, BODY_COLUMNS, EGO_COLUMNS, FAR, ROUTE_COLUMNS, SceneArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

SPEED, ACCELERATION, LIMIT, STOP, RED = (
    EGO_COLUMNS.index(name) for name in ("speed", "acceleration", "limit", "stop_distance", "red_distance")
)
STATION = ROUTE_COLUMNS.index("station")
X, Y, COSINE, SINE, VX, VY = range(len(AGENT_COLUMNS))
LENGTH, EXISTENCE, VEHICLE = 0, BODY_COLUMNS.index("existence"), BODY_COLUMNS.index("vehicle")
KINDS = ("vehicle", "person", "bicycle", "object")
WAY_AT = (6.0, 12.0, 20.0, 32.0)
"""m ahead at which the way's points are told."""
TURN, SHIFT, LOOK = 0.6, 2.0, 45.0
"""rad and m within the next m of the way from which on it turns or changes the lane."""
FARTHEST_TOLD = 60.0


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """What the prompt holds: the ego's `acceleration` and past (`history`), points of its `way` beside the
    bare instruction, and of the text variant the `agents` nearest others and the lines where it has to wait.

    The first two are off, though the published prompt has them: an expert that brakes has mostly begun to
    before, so that who is told of it learns to go on as it did, and never begins.
    """

    acceleration: bool = False
    history: bool = False
    way: bool = True
    agents: int = 0
    lines: bool = False


class Way:
    """The points of a moment's way ahead: `points (P, 2)`, `direction (P, 2)`, `station (P,)`."""

    def __init__(self, scene: SceneArrays) -> None:
        route = np.asarray(scene.route, dtype=np.float64)[np.asarray(scene.route_valid, dtype=bool)]
        self.points, self.direction, self.station = route[:, :2], route[:, 2:4], route[:, STATION]

    def __len__(self) -> int:
        return len(self.points)

    def at(self, station: float) -> tuple[float, float] | None:
        """The point so many metres ahead, None beyond the end."""
        if len(self) < 2 or not self.station[0] <= station <= self.station[-1]:
            return None
        return (
            float(np.interp(station, self.station, self.points[:, 0])),
            float(np.interp(station, self.station, self.points[:, 1])),
        )

    def feet(self, places: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Stations and offsets (left is positive) `(N,)` of places `(N, 2)`, and their nearest points."""
        apart = places[:, None] - self.points
        row = np.argmin((apart**2).sum(-1), axis=1)
        dx, dy = apart[np.arange(len(places)), row].T
        c, s = self.direction[row].T
        return self.station[row] + c * dx + s * dy, c * dy - s * dx, row


def instruction(way: Way) -> str:
    """The next turn or change of lane on the way, or to go straight."""
    ahead = (way.station >= 0.0) & (way.station <= LOOK)
    if ahead.sum() < 2:
        return "go straight"
    direction, points = way.direction[ahead], way.points[ahead]
    angle = np.unwrap(np.arctan2(direction[:, 1], direction[:, 0]))
    turn = float((angle - angle[0])[np.argmax(np.abs(angle - angle[0]))])
    if abs(turn) > TURN:
        return "turn left" if turn > 0.0 else "turn right"
    c, s = direction[0]
    shift = float((c * (points[:, 1] - points[0, 1]) - s * (points[:, 0] - points[0, 0]))[-1])
    if abs(turn) < 0.15 and abs(shift) > SHIFT:
        return "change lane left" if shift > 0.0 else "change lane right"
    return "go straight"


def number(value: float) -> str:
    """A number with one decimal, never "-0.0"."""
    if not math.isfinite(value):
        return "0.0"
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def state_text(scene: SceneArrays, past: Floats, settings: PromptSettings) -> str:
    """The ego's state, its past `(P, 3)` in the ego's frame, and its way, as text."""
    ego, way = np.asarray(scene.ego, dtype=np.float64), Way(scene)
    parts = [f"speed {number(ego[SPEED])}"]
    if settings.acceleration:
        parts.append(f"acceleration {number(ego[ACCELERATION])}")
    parts.append(f"limit {number(ego[LIMIT])}")
    if settings.history:
        parts.append("past " + " ".join(f"{number(x)} {number(y)}" for x, y in np.asarray(past)[:, :2]))
    if settings.way:
        found = [at for station in WAY_AT if (at := way.at(station)) is not None]
        parts.append("way " + (" ".join(f"{round(x)} {number(y)}" for x, y in found) or "none"))
    if settings.lines:
        for name, column in (("line", STOP), ("red", RED)):
            if ego[column] < min(FAR, FARTHEST_TOLD):
                parts.append(f"{name} {round(float(ego[column]))}")
    if settings.agents:
        parts.append(agents_text(scene, settings.agents))
    return " ".join(parts) + f" {instruction(way)}"


def agents_text(scene: SceneArrays, most: int) -> str:
    """The nearest others, each by its kind, place and velocity."""
    told = []
    for row in agent_rows(scene)[:most]:
        a, body = np.asarray(scene.agents)[row, -1], np.asarray(scene.bodies)[row]
        if math.hypot(a[X], a[Y]) <= FARTHEST_TOLD:
            place, velocity = (
                f"{round(float(a[X]))} {number(float(a[Y]))}",
                f"{round(float(a[VX]))} {round(float(a[VY]))}",
            )
            told.append(f"{kind_of(body)} {place} {velocity}".replace("-0 ", "0 "))
    return " ".join(told) or "nobody"


def agent_rows(scene: SceneArrays) -> list[int]:
    """The rows of those who are there now, the nearest first."""
    there = np.asarray(scene.agents_valid, dtype=bool)[:, -1] & (np.asarray(scene.bodies)[:, EXISTENCE] > 0.0)
    return [int(row) for row in np.flatnonzero(there)]


def kind_of(body: Floats) -> str:
    """The word for a road user."""
    return KINDS[int(np.argmax(body[VEHICLE : VEHICLE + 4]))]


__all__ = ["PromptSettings", "Way", "agent_rows", "instruction", "kind_of", "number", "state_text"]
