"""What CARLA's infractions cost, by version of the leaderboard."""

from __future__ import annotations

import numpy as np
import pytest

from drive.eval.metrics.carla import CARLA_2_1, CarlaScore, infraction_penalty
from drive.eval.metrics.carla.constants import COUNTED, RULES_1_0, RULES_2_0, RULES_2_1, RULES_BENCH2DRIVE

PEDESTRIAN, VEHICLE, LAYOUT = "collisions_pedestrian", "collisions_vehicle", "collisions_layout"


@pytest.mark.parametrize(
    ("name", "first", "second", "third"),
    [
        (PEDESTRIAN, 0.50, 0.50, 1 / 2.0),
        (VEHICLE, 0.60, 0.60, 1 / 1.7),
        (LAYOUT, 0.65, 0.65, 1 / 1.6),
        ("red_light", 0.70, 0.70, 1 / 1.4),
        ("stop_infraction", 0.80, 0.80, 1 / 1.25),
        ("scenario_timeouts", 1.0, 0.70, 1 / 1.4),
        ("yield_emergency_vehicle_infractions", 1.0, 0.70, 1 / 1.4),
        ("route_dev", 1.0, 1.0, 1.0),
        ("vehicle_blocked", 1.0, 1.0, 1.0),
    ],
)
def test_each_infraction_costs_what_its_version_says(name, first, second, third) -> None:
    for rules, once in ((RULES_1_0, first), (RULES_2_0, second), (RULES_2_1, third)):
        assert infraction_penalty(rules, {name: 1}) == pytest.approx(once, abs=1e-12)
        twice = once**2 if not rules.additive else 1 / (2 / once - 1)
        assert infraction_penalty(rules, {name: 2}) == pytest.approx(twice, abs=1e-12)
    # Bench2Drive has 2.0's factors.
    assert infraction_penalty(RULES_BENCH2DRIVE, {name: 1}) == pytest.approx(second)


def test_one_route_of_each_version_by_hand() -> None:
    counts = {PEDESTRIAN: 1, VEHICLE: 2, "red_light": 1}
    assert infraction_penalty(RULES_1_0, counts) == pytest.approx(0.126)
    assert infraction_penalty(RULES_2_0, counts, outside=10.0, min_speed=[50.0]) == pytest.approx(0.09639)
    # 1 + 1.0 + 2 x 0.7 + 0.4 + 0.4 x 0.5 = 4.0
    assert infraction_penalty(RULES_2_1, counts, outside=10.0, min_speed=[50.0]) == pytest.approx(0.225)


def test_minimum_speed_costs_by_version() -> None:
    assert infraction_penalty(RULES_1_0, {}, min_speed=[0.0]) == 1.0
    assert infraction_penalty(RULES_2_0, {}, min_speed=[0.0]) == pytest.approx(0.7)
    assert infraction_penalty(RULES_2_0, {}, min_speed=[0.0, 50.0]) == pytest.approx(0.7 * 0.85)
    assert infraction_penalty(RULES_2_1, {}, min_speed=[0.0, 50.0]) == pytest.approx(1 / 1.6)
    assert infraction_penalty(RULES_BENCH2DRIVE, {}, min_speed=[0.0]) == 1.0


def test_a_checkpoint_above_the_traffic_costs_nothing_unless_mirrored() -> None:
    for rules, mirrored in ((RULES_2_0, 1.3), (RULES_2_1, 1 / 0.6)):
        assert infraction_penalty(rules, {}, min_speed=[200.0]) == 1.0
        assert infraction_penalty(rules, {}, min_speed=[200.0], above="mirror") == pytest.approx(mirrored)
    mirror = CarlaScore(RULES_2_1, above="mirror")
    assert mirror.version != CARLA_2_1.version
    assert mirror.recompute({"route_completion": 1.0, "infraction_penalty": 1 / 0.6}) == 1.0


def test_the_product_is_orderless_and_the_quotient_falls_with_every_count() -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        names = list(COUNTED)
        counts = {name: int(n) for name, n in zip(names, rng.integers(0, 6, len(names)), strict=True)}
        turned = dict(reversed(counts.items()))
        outside, speeds = float(rng.uniform(0, 100)), rng.uniform(0, 150, 4).tolist()
        for rules in (RULES_1_0, RULES_2_0, RULES_2_1):
            value = infraction_penalty(rules, counts, outside, speeds)
            assert 0.0 <= value <= 1.0
            assert infraction_penalty(rules, turned, outside, speeds[::-1]) == pytest.approx(value)
            name = names[int(rng.integers(len(names)))]
            more = infraction_penalty(rules, {**counts, name: counts[name] + 1}, outside, speeds)
            assert more < value or (value == more and rules.table.get(name) is None)


def test_many_infractions_cost_less_in_2_1_and_a_single_one_about_the_same() -> None:
    assert infraction_penalty(RULES_2_1, {VEHICLE: 1}) < infraction_penalty(RULES_2_0, {VEHICLE: 1})
    assert infraction_penalty(RULES_2_1, {VEHICLE: 3}) > infraction_penalty(RULES_2_0, {VEHICLE: 3})
