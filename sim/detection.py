"""The setting how well planners perceive whom they see; `drive.sim.detector` does it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from drive.errors import InputError, UnknownNameError

_HINT = "give none, or position=LONG/LAT, speed=S, flicker=P, fade=P, share=P, near=M, far=M with commas"


@dataclass(frozen=True, slots=True)
class Detection:
    """Faults of a sensor; without any, what is seen is measured exactly.

    `position` is the standard deviation in m along and across the sensor's heading, `speed` in m/s that of
    both components of the velocity; both grow linearly with the distance from zero at `near` m to the full
    value at `far` m and beyond. Detections drop out for spells of half a second, every second one at most:
    such a spell is lost with the probability `flicker` at any distance, for a `share` of the agents, and
    with the probability `fade`, which grows with the distance as the noise does, for all.
    """

    position: tuple[float, float] = (0.0, 0.0)
    speed: float = 0.0
    flicker: float = 0.0
    fade: float = 0.0
    share: float = 1.0
    near: float = 15.0
    far: float = 50.0

    @property
    def exact(self) -> bool:
        """Whether nothing is noisy and nothing drops out."""
        return not (any(self.position) or self.speed or self.fade or (self.flicker and self.share))

    @classmethod
    def parse(cls, text: str) -> Detection:
        """From "none" or a list such as "position=1.0/0.5,flicker=0.5"; raises InputError."""
        if text == "none":
            return cls()
        known = tuple(f.name for f in fields(cls))
        given: dict[str, Any] = {}
        for part in text.split(","):
            key, equals, value = (word.strip() for word in part.partition("="))
            if not equals:
                raise InputError(f"detection '{text}': {_HINT}")
            if key not in known:
                raise UnknownNameError("setting of the detection", key, known)
            numbers = [_number(word, text) for word in value.split("/")]
            if len(numbers) > (2 if key == "position" else 1):
                raise InputError(f"detection '{text}': {_HINT}")
            given[key] = (numbers[0], numbers[-1]) if key == "position" else numbers[0]
        made = cls(**given)
        if max(made.flicker, made.fade, made.share) > 1.0:
            raise InputError(f"detection '{text}': flicker, fade and share are probabilities, at most 1")
        if not made.near < made.far:
            raise InputError(f"detection '{text}': near must be below far")
        return made

    def __str__(self) -> str:
        if self.exact:
            return "none"
        usual = Detection()
        parts = []
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value != getattr(usual, name):
                numbers = value if isinstance(value, tuple) else (value,)
                parts.append(f"{name}={'/'.join(f'{v:g}' for v in numbers)}")
        return ",".join(parts)


def _number(word: str, text: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise InputError(f"detection '{text}': {_HINT}")
    return value
