"""Styles: what drivers who were tuned for one want, as weights of the reward, with their meaning."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.sim.traffic.rift.kernels.plans import REWARDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Style:
    """Weights of the reward of a step of 0.1 s; the defaults are those of RIFT's released code.

    `collision` and `collision_speed` a m/s are paid once, `off_road` in each step, `acceleration` and `yaw`
    in each beyond 4 m/s^2 and 4 rad/s^2; `heading` and `offset` keep to the line; `speed` is gained a m/s
    between 3 and `band` m/s; `standing` is paid in each step in which anything moves. Ours are a `band` of 0,
    which pays for speed up to the limit, `speeding` a m/s above
    1.05 of the limit, `red` for passing a closed signal, `length` and `width` in m by which the own box is
    made larger on each side, and `clearance`, paid for coming within `reach` m of somebody.
    `discount` a step.
    """

    meaning: str = ""
    collision: float = 20.0
    collision_speed: float = 1.0
    off_road: float = 5.0
    acceleration: float = 0.8
    yaw: float = 0.8
    heading: float = 0.5
    offset: float = 0.6
    speed: float = 0.1
    standing: float = 0.1
    speeding: float = 0.2
    red: float = 20.0
    discount: float = 0.98
    length: float = 0.1
    width: float = 0.1
    clearance: float = 0.0
    reach: float = 1.0
    band: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "meaning" and not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"a style's {field.name} is finite and not below 0, got {value}")
        if not 0.0 < self.discount <= 1.0 or self.reach == 0.0:
            raise InputError("a style's discount lies above 0 and up to 1, its reach above 0")

    def weights(self) -> NDArray[np.float32]:
        """The weights in the order of `kernels.plans.REWARDS`."""
        values = asdict(self)
        return np.array([values[name] for name in REWARDS], dtype=np.float32)


DEFAULT = Style("drives on as its lane and the others allow; the weights of the released code")
STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "safe": replace(
            DEFAULT,
            meaning="waits rather than risk anything: collisions weigh more than any progress",
            collision=150.0, speed=0.05, length=1.0, width=0.25, clearance=0.3, reach=1.5,
            band=0.0,
        ),
        "default": DEFAULT,
        "interactive": replace(
            DEFAULT,
            meaning="presses on: takes gaps that are large enough, and keeps short distances",
            collision=60.0, speed=0.2, standing=0.0, length=0.2, width=0.1, offset=0.2,
            band=0.0,
        ),
        "aggressive": replace(
            DEFAULT,
            meaning="in a hurry: speed is worth a risk, and others are expected to brake",
            collision=10.0, collision_speed=0.3, speed=0.3, standing=0.0, speeding=0.1, acceleration=0.3,
            length=0.0, width=0.0, offset=0.1, band=0.0,
        ),
    }
)  # fmt: skip


def style_of(name: str) -> Style:
    """A style by its name; raises UnknownNameError with the nearest one."""
    if name not in STYLES:
        raise UnknownNameError("traffic style", name, STYLES)
    return STYLES[name]


__all__ = ["DEFAULT", "STYLES", "Style", "style_of"]
