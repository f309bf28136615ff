"""Scenes that the simulator's tests share: a straight road with a signal, and a bend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from drive.roadmap import LaneSpec, RoadMap, RoadMapBuilder, route_line
from drive.scenario import Goal, Route, Scenario, tracks_from_rows
from drive.vehicle import AgentKind, VehicleParams

SAMPLES = 151
WIDTH = 3.5


def straight_map(length: float = 800.0, limit: float = 15.0, stop_at: float | None = None) -> RoadMap:
    """Two lanes along x, `a` about y = 0 and `b` left of it; a signal on both where `stop_at` is given."""
    builder = RoadMapBuilder()
    x = np.linspace(0.0, length, 161)
    for name, low in (("a", -0.5 * WIDTH), ("b", 0.5 * WIDTH)):
        builder.add(
            LaneSpec(
                name,
                np.column_stack((x, np.full_like(x, low + WIDTH))),
                np.column_stack((x, np.full_like(x, low))),
                speed_limit=limit,
                left_lane="b" if name == "a" else None,
                right_lane="a" if name == "b" else None,
                signal="light" if stop_at is not None else None,
                stop_station=stop_at,
            )
        )
    return builder.build()


def make_scenario(
    roadmap: RoadMap,
    cars: list[tuple[float, float, float]],
    speed: float = 10.0,
    start: float = 20.0,
    signals: np.ndarray | None = None,
    kinds: list[AgentKind] | None = None,
) -> Scenario:
    """The ego at (start, 0) at a constant `speed`; `cars` are (x, y, speed) of others, driving along x."""
    t = 0.1 * np.arange(SAMPLES)
    vehicle = VehicleParams()
    rows = []
    for k, (x, y, v) in enumerate([(start + vehicle.rear_axle_to_center, 0.0, speed), *cars]):
        states = np.zeros((SAMPLES, 5))
        states[:, 0], states[:, 1], states[:, 3] = x + v * t, y, v
        kind = AgentKind.VEHICLE if kinds is None or k == 0 else kinds[k - 1]
        rows.append((f"car{k}", kind, (4.8, 1.9, 1.5), states, np.ones(SAMPLES, dtype=bool)))
    lanes = (0,)
    return Scenario(
        id="test/straight/0",
        dt=0.1,
        duration=15.0,
        environment=roadmap,
        tracks=tracks_from_rows(rows),
        ego=0,
        initial=np.array([start, 0.0, 0.0, speed, 0.0, 0.0, 0.0]),
        vehicle=vehicle,
        route=Route(lanes, (0,), route_line(roadmap, lanes), Goal(position=np.array([700.0, 0.0]))),
        expert=None,
        signals=signals
        if signals is not None
        else np.zeros((len(roadmap.signal_ids), SAMPLES), dtype=np.uint8),
        family="straight",
    )


@pytest.fixture
def straight() -> Callable[..., RoadMap]:
    return straight_map


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    return make_scenario
