"""The town's traffic lights as arrays that the tick turns: lamps, groups (one a junction) and their times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.sim.carla.kernels.layout import (
    G_FROZEN,
    G_NOW,
    G_PHASES,
    G_SPAN,
    G_STAGE,
    GREEN,
    L_ACTOR,
    L_GROUP,
    L_PHASE,
    L_STATE,
    RED,
)
from drive.sim.carla.world.town import TRAFFIC_LIGHT, Sign, Town

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SECONDS = (10.0, 3.0, 2.0)
"""Green, yellow and red of a phase: CARLA's defaults."""


@dataclass(frozen=True, slots=True, eq=False)
class Lights:
    """`lamp (L, 4)`, `cycle (G, 5)`, `elapsed (G,)`, `span (S, 3)` s, trigger boxes `box (L, 7)` (layout)."""

    signs: tuple[Sign, ...]
    lamp: Ints
    cycle: Ints
    elapsed: Floats
    span: Floats
    box: Floats

    @classmethod
    def of(cls, town: Town) -> Lights:
        """Each junction's phases in their order; a light in no phase makes a group of its own."""
        signs = tuple(s for s in town.signs if s.type == TRAFFIC_LIGHT)
        row = {s.id: k for k, s in enumerate(signs)}
        groups = [[[n for n in phase if n in row] for phase in phases] for phases in town.phases]
        groups = [phases for phases in ([p for p in g if p] for g in groups) if phases]
        taken = {n for phases in groups for phase in phases for n in phase}
        groups += [[[s.id]] for s in signs if s.id not in taken]
        lamp = np.zeros((len(signs), 4), dtype=np.int64)
        cycle = np.zeros((len(groups), 5), dtype=np.int64)
        spans = 0
        for g, phases in enumerate(groups):
            cycle[g, G_PHASES], cycle[g, G_SPAN] = len(phases), spans
            spans += len(phases)
            for p, names in enumerate(phases):
                for name in names:
                    lamp[row[name], L_GROUP], lamp[row[name], L_PHASE] = g, p
        box = np.zeros((len(signs), 7))
        for k, s in enumerate(signs):
            box[k] = trigger(s)
        out = cls(signs, lamp, cycle, np.zeros(len(groups)), np.tile(SECONDS, (spans, 1)), box)
        out.reset()
        return out

    def reset(self) -> None:
        """All groups begin anew: the first phase green, the others red. Times that were set stay."""
        for group in range(len(self.cycle)):
            self.reset_group(group)

    def reset_group(self, group: int) -> None:
        self.cycle[group, [G_NOW, G_STAGE, G_FROZEN]] = 0
        self.elapsed[group] = 0.0
        mine = self.lamp[:, L_GROUP] == group
        self.lamp[mine, L_STATE] = np.where(self.lamp[mine, L_PHASE] == 0, GREEN, RED)

    def all_frozen(self) -> bool:
        return bool(self.cycle[:, G_FROZEN].all())

    def freeze(self, frozen: bool, group: int | None = None) -> None:
        self.cycle[slice(None) if group is None else group, G_FROZEN] = int(frozen)

    def set_times(self, light: int, seconds: Mapping[int, float]) -> None:
        """Seconds of the stages 0 green, 1 yellow, 2 red of the phase that a light belongs to."""
        row = self.cycle[self.lamp[light, L_GROUP], G_SPAN] + self.lamp[light, L_PHASE]
        for stage, value in seconds.items():
            self.span[row, stage] = value

    def together(self, light: int) -> list[int]:
        """Rows of the actors of a light's group."""
        return [int(r) for r in self.lamp[self.lamp[:, L_GROUP] == self.lamp[light, L_GROUP], L_ACTOR]]


def trigger(sign: Sign) -> tuple[float, ...]:
    """A sign's trigger box in the world: x, y, z, cosine and sine of the lanes' way, half extents."""
    x, y, z, _, yaw, _ = sign.pose
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    cx, cy, cz = sign.center
    h = np.radians(sign.heading)
    at = (x + cx * c - cy * s, y + cx * s + cy * c, z + cz)
    return (*at, float(np.cos(h)), float(np.sin(h)), sign.half[1], sign.half[0])
