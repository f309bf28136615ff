"""Drivers and vehicles, drawn from the spread of human ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drive.vehicle import AgentKind, VehicleParams

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Driver:
    """How somebody drives: share of the limit, time headway s, accelerations m/s^2, standstill gap m,
    lateral acceleration in bends m/s^2, reaction s, jerk m/s^3, MOBIL politeness, courtesy to who merges
    (0 to 1), duration of a lane change s, time margin kept at crossings s."""

    factor: float = 0.95
    headway: float = 1.5
    accel: float = 1.5
    brake: float = 1.8
    gap: float = 2.5
    lateral: float = 2.0
    delay: float = 0.4
    jerk: float = 2.2
    polite: float = 0.3
    cooperate: float = 0.5
    change_time: float = 4.0
    critical: float = 1.2
    mobil: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A road user's box in m, its kind, and the distance from the rear axle to the centre."""

    kind: AgentKind
    length: float
    width: float
    height: float
    rear: float


def draw_driver(rng: np.random.Generator, **given: Any) -> Driver:
    """A driver from the spread of human ones; only even draws, which are exact on every machine."""

    def mid(low: float, high: float) -> float:
        return float(low + (high - low) * 0.5 * (rng.random() + rng.random()))

    values: dict[str, Any] = {
        "factor": mid(0.85, 1.1),
        "headway": mid(1.0, 2.0),
        "accel": mid(1.0, 2.0),
        "brake": mid(1.3, 2.4),
        "gap": mid(1.8, 3.2),
        "lateral": mid(1.5, 2.5),
        "delay": mid(0.2, 0.6),
        "jerk": mid(1.8, 2.8),
        "polite": mid(0.1, 0.6),
        "cooperate": mid(0.2, 1.0),
        "change_time": mid(3.0, 5.0),
        "critical": mid(0.8, 1.8),
    }
    return Driver(**(values | given))


def draw_ego_driver(rng: np.random.Generator, **given: Any) -> Driver:
    """An attentive driver who keeps to the limit: the ego's log is what planners are measured against."""
    values: dict[str, Any] = {
        "factor": float(rng.uniform(0.9, 0.985)),
        "headway": float(rng.uniform(1.3, 1.9)),
        "accel": float(rng.uniform(1.1, 1.7)),
        "brake": float(rng.uniform(1.3, 1.9)),
        "lateral": float(rng.uniform(1.5, 2.3)),
        "delay": float(rng.uniform(0.2, 0.35)),
        "jerk": float(rng.uniform(1.6, 2.2)),
        "change_time": float(rng.uniform(3.8, 5.0)),
    }
    return draw_driver(rng, **(values | given))


EGO_BODY = Body(
    AgentKind.VEHICLE,
    VehicleParams().length,
    VehicleParams().width,
    VehicleParams().height,
    VehicleParams().rear_axle_to_center,
)


def draw_body(rng: np.random.Generator, heavy: float = 0.1, vans: float = 0.15) -> Body:
    """A car, a van, or with probability `heavy` a truck or bus."""
    u = rng.random()

    def box(kind: AgentKind, sizes: tuple[tuple[float, float], ...]) -> Body:
        length, width, height = (round(float(rng.uniform(*s)), 2) for s in sizes)
        return Body(kind, length, width, height, 0.28 * length)

    if u < heavy:
        if rng.random() < 0.6:
            return box(AgentKind.TRUCK, ((7.0, 11.0), (2.3, 2.5), (2.8, 3.8)))
        return box(AgentKind.BUS, ((10.5, 12.5), (2.5, 2.55), (3.0, 3.3)))
    if u < heavy + vans:
        return box(AgentKind.VEHICLE, ((4.9, 6.2), (1.95, 2.1), (1.9, 2.6)))
    return box(AgentKind.VEHICLE, ((3.7, 5.0), (1.68, 1.95), (1.4, 1.75)))


def draw_van(rng: np.random.Generator, lorries: float = 0.0) -> Body:
    """A delivery van, which a car's driver cannot look over, or with probability `lorries` a small lorry."""
    if rng.random() < lorries:
        return Body(AgentKind.TRUCK, round(float(rng.uniform(6.5, 8.0)), 2), 2.25, 3.0, 2.0)
    length = round(float(rng.uniform(5.2, 6.7)), 2)
    height = round(float(rng.uniform(2.1, 2.8)), 2)
    return Body(AgentKind.VEHICLE, length, round(float(rng.uniform(1.95, 2.1)), 2), height, 0.28 * length)


CITY_BUS = Body(AgentKind.BUS, 12.0, 2.55, 3.1, 3.4)


def draw_wander(rng: np.random.Generator, size: float = 0.1) -> tuple[float, float, float]:
    return (
        float(rng.uniform(0.3, 1.0)) * size,
        float(rng.uniform(160.0, 400.0)),
        float(rng.uniform(0.0, 6.28)),
    )
