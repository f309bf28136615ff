"""Traffic models: who drives the other vehicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.sim.kernels.layout import Controller

if TYPE_CHECKING:
    from drive.sim.traffic.director import Director


@dataclass(frozen=True, slots=True)
class TrafficModel:
    """A kind of traffic. Speeds in m/s, gaps in m, times in s, accelerations in m/s^2.

    The IDM parameters are those of nuPlan's reactive agents (minimum gap 1.0 m, headway 1.5 s,
    acceleration 1.0, deceleration 2.0, exponent 4; the target is the lane's limit, 10 m/s where it
    has none); deviations: agents also keep to bends, work off lateral offsets, `anticipate` who is
    about to enter their way, and want no more speed, and stop as firmly, as their recording shows
    (`drive.sim.traffic.desire`). `compat` drops what nuPlan drops and switches these off.
    `politeness` is MOBIL's. A `director` places the agents that it claims, and the `controller` is for
    the rest.
    """

    name: str
    controller: Controller
    target_speed: float = 60.0
    min_gap: float = 1.0
    headway: float = 1.5
    acceleration: float = 1.0
    deceleration: float = 2.0
    exponent: float = 4.0
    politeness: float = 0.3
    anticipate: bool = True
    compat: bool = False
    director: Director | None = None

    def driver_row(self) -> tuple[float, ...]:
        """Parameters in the kernels' DRIVER_COLUMNS."""
        return (
            self.target_speed,
            self.min_gap,
            self.headway,
            self.acceleration,
            self.deceleration,
            self.exponent,
            self.politeness,
        )


LOG = TrafficModel("log", Controller.LOG)
"""Everybody replays the log."""
IDM = TrafficModel("idm", Controller.IDM)
"""Vehicles on lanes keep their logged way and react by IDM; the default."""
MOBIL = TrafficModel("mobil", Controller.MOBIL)
"""Vehicles follow the lanes by IDM and change them by MOBIL."""
IDM_BRISK = TrafficModel(
    "idm_brisk", Controller.IDM, min_gap=3.0, headway=1.0, acceleration=3.0, deceleration=3.0
)
"""IDM that keeps short headways, and picks up and sheds speed quickly."""
IDM_COMPAT = TrafficModel("idm_compat", Controller.IDM, anticipate=False, compat=True)
"""IDM that drops from the scene what nuPlan's reactive mode drops."""


def load_traffic(name: str | TrafficModel) -> TrafficModel:
    """A traffic model by its registered name, or the one at FILE.py:NAME.

    Raises UnknownNameError with the nearest name, and InputError for what is no traffic model.
    """
    if isinstance(name, TrafficModel):
        return name
    from drive._imports import import_target
    from drive.errors import InputError
    from drive.registry import load

    by_file = ".py:" in name
    model = import_target(name, f"traffic '{name}'") if by_file else load("drive.traffic", name)
    if not isinstance(model, TrafficModel):
        raise InputError(f"traffic '{name}' is of type {type(model).__name__}, not a TrafficModel")
    return model
