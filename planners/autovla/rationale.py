"""Synthetic rationales: what a careful driver could say of a moment, from templates and the ground truth.

Nobody wrote these and no larger model did: who is critical is found by rules among those in sight, and the
best action is read off the expert's drive. The training labels them "synthetic".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planners.autovla.scene_words import (
    LENGTH,
    RED,
    SPEED,
    STOP,
    Way,
    agent_rows,
    instruction,
    kind_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.scene import SceneArrays

SOURCE = "synthetic: templates filled from the simulator's ground truth"
FAST = "straightforward scenario, and a direct decision can be made."
SLOW = "complex scenario requiring additional reasoning."
HALF_LANE, AHEAD, PREDICTED = 1.9, 50.0, 3.0
"""m from the way that are on it, m ahead that matter, s for which velocities are carried on."""
LINE_AHEAD, RED_AHEAD = 30.0, 45.0
AXLE_TO_FRONT = 3.8
"""m of a car before its rear axle."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is critical: `kind` of CRITICAL, who (`who`), from where (`side`), how far ahead in m, and how
    fast in m/s."""

    kind: str
    who: str = ""
    side: str = ""
    distance: float = 0.0
    speed: float = 0.0


CRITICAL = {
    "person": "It may step onto my way",
    "crossing": "It will cross my way",
    "oncoming": "It comes first while I turn",
    "cutting_in": "It will come into my lane",
    "closing": "I come too near",
    "line": "Others may come",
    "hidden": "Somebody may come out behind it",
    "red": "I have to wait",
    "blocked": "It stands in my way",
    "lead": "It drives in front of me",
    "free": "Nobody is in my way",
}
"""From the most to the least urgent, each with what is expected."""
THINKING = ("person", "crossing", "oncoming", "cutting_in", "closing", "line", "hidden")
"""What needs thinking: who may come from elsewhere, who ahead makes one brake, and where one has to yield."""
GAP, HARD = 4.0, 0.7
"""m kept behind who is ahead; m/s2 of braking from which on it has to be braked for them."""


def facts_of(scene: SceneArrays) -> Facts:
    """The most urgent thing in sight."""
    way, ego = Way(scene), np.asarray(scene.ego, dtype=np.float64)
    found: list[Facts] = []
    if ego[STOP] < LINE_AHEAD:
        found.append(Facts("line", "line", "", max(float(ego[STOP]), 0.0)))
    if ego[RED] < RED_AHEAD:
        found.append(Facts("red", "red light", "", max(float(ego[RED]), 0.0)))
    if len(way) >= 2:
        turns_left = instruction(way) == "turn left"
        for row in agent_rows(scene):
            agent, body = np.asarray(scene.agents)[row, -1], np.asarray(scene.bodies)[row]
            one = _judged(agent, body, way, turns_left, float(ego[SPEED]))
            if one is not None:
                found.append(one)
    if not found:
        return Facts("free")
    order = list(CRITICAL)
    return min(found, key=lambda f: (order.index(f.kind), f.distance))


def _judged(
    agent: NDArray[Any], body: NDArray[Any], way: Way, turns_left: bool, own_speed: float
) -> Facts | None:
    x, y, c, s, vx, vy = (float(v) for v in agent)
    times = np.arange(0.0, PREDICTED + 0.1, 0.5)
    stations, offsets, rows = way.feet(np.array([x, y]) + times[:, None] * (vx, vy))
    station, offset, row = float(stations[0]), float(offsets[0]), int(rows[0])
    speed, who = math.hypot(vx, vy), kind_of(body)
    ahead = 0.0 < station < AHEAD
    along = c * way.direction[row, 0] + s * way.direction[row, 1]
    side = "left" if offset > 0.0 else "right"
    if who == "person" and ahead and abs(offset) < 4.0:
        return Facts("person", who, side, station, speed)
    later = np.flatnonzero((stations > 0.0) & (stations < AHEAD) & (np.abs(offsets) < HALF_LANE))
    enters = float(stations[later[0]]) if len(later) else None
    on_way = ahead and abs(offset) < HALF_LANE
    if turns_left and not on_way and speed > 1.0 and c < -0.5 and 0.0 < x < 60.0:
        return Facts("oncoming", who, "ahead", x, speed)
    if speed > 0.5 and enters is not None and not on_way:
        if along < 0.5:
            return Facts("crossing", who, side, enters, speed)
        return Facts("cutting_in", who, side, max(station, 0.0), speed) if station > -5.0 else None
    if on_way:
        room = max(station - 0.5 * float(body[LENGTH]) - AXLE_TO_FRONT - GAP, 0.5)
        slower = max(own_speed - max(along * speed, 0.0), 0.0)
        still = "lead" if speed > 0.3 else "blocked"
        kind = "closing" if slower > 1.0 and slower**2 / (2.0 * room) > HARD else still
        return Facts(kind, who, "ahead", station, speed)
    parked = speed < 0.3 and float(body[LENGTH]) > 4.2 and 3.0 < station < 35.0
    if parked and abs(offset) < 4.5:
        return Facts("hidden", who, side, station)
    return None


def needs_thought(facts: Facts) -> bool:
    """Whether the moment is one for slow thinking."""
    return facts.kind in THINKING


def meta_actions(speed: float, future: NDArray[Any]) -> tuple[str, str]:
    """What an expert's future `(T, 3)` every 0.1 s does across and along, in AutoVLA's words."""
    last = future[-1]
    turn = float(last[2])
    if abs(turn) > 0.35:
        across = "turn left" if turn > 0.0 else "turn right"
    elif abs(float(last[1])) > 1.5 and abs(turn) < 0.1:
        across = "change lane left" if last[1] > 0.0 else "change lane right"
    else:
        across = "move forward"
    back = min(6, len(future))
    end = float(np.hypot(*(future[-1, :2] - future[-back, :2]))) / (0.1 * (back - 1)) if back > 1 else speed
    change = (end - speed) / (0.1 * len(future))
    if end < 0.3:
        along = "stop" if speed < 0.3 else "decelerate to zero"
    elif change < -1.5:
        along = "quick deceleration"
    elif change < -0.3:
        along = "normal deceleration"
    elif change <= 0.3:
        along = "keep speed"
    else:
        along = "quick acceleration" if change > 1.5 else "normal acceleration"
    return across, along


def about(distance: float) -> int:
    """m, as one says them: to 2 below 10, to 5 above."""
    step = 2 if distance < 10.0 else 5
    return step * round(distance / step)


def thought(scene: SceneArrays, future: NDArray[Any], facts: Facts) -> str:
    """The chain of thought: scene, who is critical, what it will do, what I intend, and the action."""
    across, along = meta_actions(float(np.asarray(scene.ego)[SPEED]), np.asarray(future, dtype=np.float64))
    how = {"go straight": "The road goes straight"}.get(instruction(Way(scene)), "My way leads aside")
    where = {"left": " from the left", "right": " from the right", "ahead": " ahead", "": ""}[facts.side]
    waits = along in ("stop", "decelerate to zero", "quick deceleration", "normal deceleration")
    pace = f" at {2 * round(facts.speed / 2.0)} m/s" if facts.speed > 0.0 else ""
    intent = "I give way" if waits else "I go on with care"
    return (
        f"{how}. Critical: {facts.who}{where} in {about(facts.distance)} m{pace}. "
        f"{CRITICAL[facts.kind]}. {intent}. Best action: {across}, {along}."
    )


__all__ = [
    "CRITICAL", "FAST", "SLOW", "SOURCE", "THINKING", "Facts", "about", "facts_of", "meta_actions",
    "needs_thought", "thought",
]  # fmt: skip
