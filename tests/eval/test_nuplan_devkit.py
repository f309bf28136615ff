"""Random scenes against frozen results of the nuPlan devkit.

`nuplan_devkit.json` holds, per scene made below, the score of each metric and some statistics as computed by
the devkit's own metric classes (commit e924167, unedited, NumPy 2.4, shapely 2.2) on the same states, with
our road map handed to them through their map interface. Scores agree to 1e-6, statistics to 1e-5.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from drive.eval.metrics.nuplan import NUPLAN_CLS
from drive.geometry import wrap_angle
from drive.roadmap import AreaKind
from drive.vehicle import AgentKind, VehicleParams

GOLDEN = json.loads((Path(__file__).parent / "nuplan_devkit.json").read_text())
DT = 0.1


def scene(hand, seed: int):
    """A wobbling drive among random road users: on a fork, over short connectors, or over a crossing."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(15, 80))
    t = DT * np.arange(n)
    side = 0.0
    if seed % 3 == 0:
        road, arc, out = hand.fork()
        start = -25.0
    elif seed % 3 == 1:
        ends = (-50.0, -10.0, 5.0, 8.0, 30.0, 200.0)
        joined = (1, 3) if rng.random() < 0.5 else ()
        rows = [(-6.0, -2.0), (-2.0, 2.0), (2.0, 6.0)]
        road = hand.road(rows, ends, 8.0, joined, intersection=(1,) if rng.random() < 0.5 else ())
        start, side = -20.0, rng.uniform(-5.0, 5.0)
    else:
        square = [(0.0, -9.0), (12.0, -9.0), (12.0, 9.0), (0.0, 9.0)]
        rows = [(-8.0, -4.0), (-4.0, 0.0), (0.0, 4.0), (4.0, 8.0)]
        areas = [(square, AreaKind.INTERSECTION)] if rng.random() < 0.5 else []
        road = hand.road(rows, (-60.0, 0.0, 12.0, 300.0), 9.0, (1,), areas=areas)
        start, side = -15.0, rng.uniform(-7.0, 7.0)

    def wave(low: float, high: float) -> np.ndarray:
        return np.sin(rng.uniform(low, high) * t + rng.uniform(0.0, 6.0))

    speed = np.abs(rng.uniform(0.0, 9.0) + rng.uniform(0.0, 4.0) * wave(0.2, 1.5)) * (rng.random() > 0.15)
    yaw_rate = rng.uniform(-0.25, 0.25) * wave(0.2, 2.0)
    heading = rng.normal(0.0, 0.2) + DT * np.cumsum(yaw_rate) + (np.pi if rng.random() < 0.2 else 0.0)
    x = start + rng.normal(0.0, 4.0) + DT * np.cumsum(speed * np.cos(heading))
    y = side + DT * np.cumsum(speed * np.sin(heading))
    car = VehicleParams() if rng.random() < 0.5 else hand.car
    ego = hand.states(
        np.stack((x, y), 1), wrap_angle(heading), speed, np.gradient(speed, t), yaw_rate, vehicle=car
    )
    pace = rng.uniform(0.5, 10.0)
    if seed % 3 == 0 and rng.random() < 0.6:
        line = np.concatenate(([[-30.0, 0.0], [-0.01, 0.0]], arc, out))
        station = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
        at = rng.uniform(1.0, 30.0) + pace * t
        center = np.stack([np.interp(at, station, line[:, k]) for k in range(2)], axis=1)
        ahead = np.gradient(center, axis=0)
        expert = hand.states(center, np.arctan2(ahead[:, 1], ahead[:, 0]), pace, vehicle=car)
    else:
        expert = hand.drive(start + rng.normal(0.0, 4.0), pace, n, side + rng.normal(0.0, 0.5))
    agents = []
    for _ in range(int(rng.integers(0, 12))):
        toward = rng.uniform(-np.pi, np.pi) if rng.random() < 0.4 else rng.normal(0.0, 0.1)
        kind = AgentKind(int(rng.integers(0, 7)))
        moves = rng.random() > 0.3 and kind != AgentKind.STATIC
        v = rng.uniform(0.0, 10.0) * np.array([np.cos(toward), np.sin(toward)]) * moves
        at = np.array([start + rng.uniform(-15.0, 40.0), rng.uniform(-6.0, 6.0)]) + v * t[:, None]
        pose = np.concatenate((at, np.full((n, 1), toward)), axis=1)
        agents.append(hand.agent(pose, v, tuple(rng.uniform(0.5, 5.0, 2)), kind, rng.random(n) < 0.95))
    return hand.run(ego, agents, road, expert=expert, yaw_acceleration=np.gradient(yaw_rate, t), vehicle=car)


@pytest.mark.parametrize("seed", sorted(int(s) for s in GOLDEN))
def test_equals_the_devkit(hand, seed: int) -> None:
    metrics = NUPLAN_CLS.evaluate(scene(hand, seed)).metrics
    for name, score in GOLDEN[str(seed)]["scores"].items():
        assert metrics[name].score == pytest.approx(score, abs=1e-6), name
    found = {key: value for metric in metrics.values() for key, value in metric.statistics.items()}
    for key, value in GOLDEN[str(seed)]["statistics"].items():
        assert found[key] == (None if value is None else pytest.approx(value, abs=1e-5)), key


def test_the_frozen_scenes_show_every_outcome() -> None:
    seen = {name: {g["scores"][name] for g in GOLDEN.values()} for name in GOLDEN["0"]["scores"]}
    assert seen["no_ego_at_fault_collisions"] == {0.0, 0.5, 1.0}
    assert seen["driving_direction_compliance"] == {0.0, 0.5, 1.0}
    assert all({0.0, 1.0} <= values for name, values in seen.items() if name != "speed_limit_compliance")
    assert len(seen["speed_limit_compliance"]) > 5
    assert len(seen["ego_progress_along_expert_route"]) > 15
