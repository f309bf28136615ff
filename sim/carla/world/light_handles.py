"""What can be done to traffic lights, by their actors' ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.errors import InputError
from drive.sim.carla.kernels.layout import L_GROUP, L_STATE, LIGHT, ROW_LIGHT
from drive.sim.carla.world.handles import numbers

if TYPE_CHECKING:
    from drive.sim.carla.world.actors import Actors
    from drive.sim.carla.world.lights import Lights

STAGES = {"green": 0, "yellow": 1, "red": 2}
HEAD_HALF = (0.18, 0.13, 0.48)
"""Half extents of a lamp's housing, m."""
HEAD_HEIGHT = 3.0

Three = tuple[float, float, float]


class LightHandles:
    """Setters and getters of lights. States: 0 red, 1 yellow, 2 green, 3 off, 4 unknown (shown as off)."""

    actors: Actors
    lights: Lights

    def _lamp(self, actor: int) -> int:
        return int(self.actors.flag[self.actors.row_as(actor, LIGHT), ROW_LIGHT])

    def set_light(self, actor: int, state: int) -> None:
        """Show a colour until its group's cycle changes it (freeze the group to keep it)."""
        if not 0 <= int(state) <= 4:
            raise InputError(f"a traffic light has the states 0 to 4, not {state}")
        self.lights.lamp[self._lamp(actor), L_STATE] = min(int(state), 3)

    def set_light_time(self, actor: int, stage: str, seconds: float) -> None:
        """Length of a light's stage "green", "yellow" or "red", as of all that are green with it."""
        if stage not in STAGES:
            raise InputError(f"a traffic light has the stages green, yellow and red, not '{stage}'")
        (length,) = numbers((seconds,), 1, "a light's time")
        if length < 0.0:
            raise InputError(f"a light's time cannot be negative ({length:g} s)")
        self.lights.set_times(self._lamp(actor), {STAGES[stage]: length})

    def freeze_light(self, actor: int, frozen: bool = True) -> None:
        """Stop the cycle of a light's group, as CARLA does, or let it go on."""
        self.lights.freeze(frozen, int(self.lights.lamp[self._lamp(actor), L_GROUP]))

    def freeze_lights(self, frozen: bool = True) -> None:
        self.lights.freeze(frozen)

    def lights_frozen(self) -> bool:
        """Whether all groups stand still."""
        return self.lights.all_frozen()

    def reset_lights(self) -> None:
        self.lights.reset()

    def reset_light_group(self, actor: int) -> None:
        self.lights.reset_group(int(self.lights.lamp[self._lamp(actor), L_GROUP]))

    def light_group(self, actor: int) -> list[int]:
        """Ids of all lights of a light's junction, itself among them."""
        return [self.actors.facts[row].id for row in self.lights.together(self._lamp(actor))]

    def light_boxes(self, actor: int) -> list[tuple[Three, Three, Three]]:
        """Boxes of a light's heads in the world: middle, half extents, pitch, yaw and roll."""
        sign = self.lights.signs[self._lamp(actor)]
        x, y, z, _, yaw, _ = sign.pose
        return [((x, y, z + HEAD_HEIGHT), HEAD_HALF, (0.0, yaw, 0.0))]
