"""The setting whom planners see; apart from `drive.sim.sight`, which brings the kernels with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drive.errors import InputError


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whom driven agents see: by lines of sight up to `reach` m, or everybody.

    The range is unlimited unless one is asked for: how far a sensor sees is a property of that sensor,
    and where nothing stands in the way the observation shall be that of "all".
    """

    everybody: bool = False
    reach: float = math.inf

    @classmethod
    def parse(cls, text: str) -> Visibility:
        """From "line_of_sight", "line_of_sight:METRES" or "all"; raises InputError."""
        mode, colon, metres = text.partition(":")
        if mode == "line_of_sight" and not colon:
            return cls()
        if text == "all":
            return cls(everybody=True)
        try:
            reach = float(metres)
        except ValueError:
            reach = math.nan
        if mode != "line_of_sight" or not 0.0 < reach < math.inf:
            raise InputError(f"visibility '{text}': give line_of_sight, line_of_sight:METRES or all")
        return cls(reach=reach)

    def __str__(self) -> str:
        if self.everybody:
            return "all"
        return (
            "line_of_sight" if math.isinf(self.reach) else f"line_of_sight:{self.reach!r}".removesuffix(".0")
        )
