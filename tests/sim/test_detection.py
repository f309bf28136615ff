"""Sensors with faults: what is measured of a road whose cars stand at known places, and what is believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError, UnknownNameError
from drive.planner import Observation, Plan, planner
from drive.registry import load_planner
from drive.roadmap import LaneSpec, RoadMapBuilder, route_line
from drive.scenario import Expert, Goal, Route, Scenario, tracks_from_rows
from drive.sim.detection import Detection
from drive.sim.detector import Detector
from drive.sim.loop import simulate
from drive.vehicle import AgentKind, VehicleParams

EGO = VehicleParams()
HEADING = 0.5
"""The whole scene is turned by this, so that the sensor's axes are not the map's."""


def road(places: list[tuple[float, float]], samples: int = 101) -> Scenario:
    """The ego stands at the origin, cars stand (ahead, left) of it."""
    c, s = math.cos(HEADING), math.sin(HEADING)
    builder = RoadMapBuilder()
    x = np.linspace(-20.0, 300.0, 33)
    turn = np.array([[c, s], [-s, c]])
    edges = [np.stack((x, 0 * x + side), 1) @ turn for side in (20.0, -20.0)]
    builder.add(LaneSpec("a", *edges, speed_limit=15.0))
    roadmap = builder.build()

    def standing(ahead: float, left: float) -> Any:
        return np.tile([c * ahead - s * left, s * ahead + c * left, HEADING, 0.0, 0.0], (samples, 1))

    there = np.ones(samples, dtype=bool)
    rows = [("ego", AgentKind.VEHICLE, (EGO.length, EGO.width, EGO.height), standing(0.0, 0.0), there)]
    rows += [
        (f"car{k}", AgentKind.STATIC, (4.0, 1.8, 1.5), standing(*place), there)
        for k, place in enumerate(places)
    ]
    rear = -EGO.rear_axle_to_center
    expert = np.tile([c * rear, s * rear, HEADING, 0.0, 0.0, 0.0, 0.0], (samples, 1))
    return Scenario(
        id="test/detection/0",
        dt=0.1,
        duration=0.1 * (samples - 1),
        environment=roadmap,
        tracks=tracks_from_rows(rows),
        ego=0,
        initial=expert[0],
        vehicle=EGO,
        route=Route((0,), (0,), route_line(roadmap, (0,)), Goal(position=np.array([190.0, 0.0]))),
        expert=Expert(expert, "human"),
        signals=np.zeros((0, samples), dtype=np.uint8),
        family="detection",
    )


def observed(scene: Scenario, detection: str, seed: int = 0, history: float = 0.0) -> list[Observation]:
    """What a planner that stands still is told at each of its calls."""
    told: list[Observation] = []

    @planner("watcher", history=history)
    def watch(observation: Observation, task: Any) -> Plan:
        told.append(observation)
        return Plan.from_poses(observation, np.tile(observation.ego[:3], (10, 1)), speed=np.zeros(10))

    simulate(scene, watch, traffic="log", seed=seed, detection=detection)
    return told


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("none", "none"),
        ("position=0,share=0.5", "none"),
        ("flicker=1,share=0", "none"),
        ("position=1.0/0.5", "position=1/0.5"),
        ("fade=.2, position=2,near=10,far=40", "position=2/2,fade=0.2,near=10,far=40"),
    ],
)
def test_a_setting_is_told_in_one_way(text: str, canonical: str) -> None:
    assert str(Detection.parse(text)) == canonical
    assert Detection.parse(canonical) == Detection.parse(str(Detection.parse(canonical)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noisy", "give none, or position="),
        ("position=1/2/3", "give none"),
        ("speed=1/2", "give none"),
        ("speed=-1", "give none"),
        ("speed=nan", "give none"),
        ("flicker=1.5", "at most 1"),
        ("fade=1,near=60", "near must be below far"),
        ("flikker=1", "did you mean 'flicker'"),
    ],
)
def test_a_bad_setting_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError if "mean" not in message else UnknownNameError, match=message) as error:
        Detection.parse(text)
    assert "\n" not in str(error.value)


def test_noise_grows_with_the_distance_and_lies_in_the_sensors_axes() -> None:
    places = [(10.0, 0.0), (32.5, 0.0), (100.0, 0.0)]
    told = observed(road(places, 601), "position=1.0/0.5,speed=0.4")
    c, s = math.cos(HEADING), math.sin(HEADING)
    true = np.array([[c * a - s * b, s * a + c * b] for a, b in places])
    error = np.array([o.agents[:, :2] - true for o in told])
    along, across = c * error[..., 0] + s * error[..., 1], c * error[..., 1] - s * error[..., 0]
    assert np.abs(error[:, 0]).max() < 1e-6  # nearer than 15 m; poses of the world are in float32
    # 32.5 m lies half way between 15 and 50 m; 600 draws leave a few per cent.
    np.testing.assert_allclose(along.std(0)[1:], [0.5, 1.0], rtol=0.1)
    np.testing.assert_allclose(across.std(0)[1:], [0.25, 0.5], rtol=0.1)
    velocity = np.array([o.agents[:, 3:] for o in told])
    np.testing.assert_allclose(velocity.std(0)[1:], [[0.2, 0.2], [0.4, 0.4]], rtol=0.1)
    for values in (along[:, 1:], across[:, 1:], velocity[:, 1:, 0]):
        assert np.abs(values.mean(0)).max() < 4.0 * values.std(0).max() / math.sqrt(600)
        lag = np.corrcoef(values[1:, 0], values[:-1, 0])[0, 1]
        assert abs(lag) < 0.15
        assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.15
    # The covariance is that of the errors, in the map's axes.
    found = np.cov(error[:, 2].T)
    np.testing.assert_allclose(told[5].covariance[2, :2, :2], found, atol=0.12)
    assert not told[5].covariance[0].any()
    assert not told[5].covariance[2, 2].any()


def test_the_past_keeps_what_was_measured_then() -> None:
    told = observed(road([(60.0, 3.0)], 21), "position=1.0/0.5", history=0.5)
    for k in range(6, 20):
        np.testing.assert_array_equal(told[k].agent_history[0, -4], told[k - 3].agents[0])


def test_noise_depends_on_seed_agent_and_sample_alone() -> None:
    detection = "position=1.0/0.5,speed=0.3,flicker=0.7"
    few, many = road([(60.0, 0.0), (70.0, 3.0)]), road([(60.0, 0.0), (70.0, 3.0), (80.0, -3.0)])
    one, again, other = (observed(few, detection, seed) for seed in (3, 3, 4))
    crowd = observed(many, detection, 3)

    def of(told: list[Observation], row: int) -> Any:
        out = np.full((len(told), 5), np.nan)
        for k, o in enumerate(told):
            here = np.flatnonzero(o.agent_id == row)
            if len(here) and o.agent_valid[here[0]]:
                out[k] = o.agents[here[0]]
        return out

    for row in (1, 2):
        np.testing.assert_array_equal(of(one, row), of(again, row))
        np.testing.assert_array_equal(of(one, row), of(crowd, row))  # whoever else is there
    assert not np.array_equal(of(one, 1), of(other, 1), equal_nan=True)
    assert np.isnan(of(one, 1)).any()


def test_every_second_half_second_is_lost_and_existence_follows() -> None:
    told = observed(road([(30.0, 0.0), (40.0, 4.0)], 201), "flicker=1", history=1.5)
    full = [o for o in told if len(o.agents) == 2]
    seen = np.array([o.agent_valid for o in full])
    belief = np.array([o.existence for o in full])
    for row in range(2):
        change = np.flatnonzero(np.diff(seen[:, row].astype(int))) + 1
        assert (np.diff(change) == 5).all()  # half a second of samples
        rising = np.diff(belief[:, row])
        assert (rising[seen[1:, row]] >= 0.0).all()
        assert (rising[~seen[1:, row]] < 0.0).all()
    assert belief.max() == pytest.approx(0.99)
    # Five misses from 0.99: odds 99 (0.3 / 0.8)^5 = 0.734, so 0.423.
    assert belief[20:].min() == pytest.approx(0.423, abs=1e-3)
    missed = next(o for o in full[20:] if not o.agent_valid[0])
    assert not missed.agents[0].any()
    assert missed.existence[0] > 0.4
    last = np.flatnonzero(missed.agent_history_valid[0])[-1]
    assert math.hypot(*missed.agent_history[0, last, :2]) == pytest.approx(30.0)


def test_a_share_flickers_and_far_ones_fade() -> None:
    places = [(20.0 + k, 0.0) for k in range(100)]

    def lost(detection: str) -> Any:
        scene = road(places, 3)
        setting = Detection.parse(detection)
        detector = Detector.of(setting, 5, 0, 0.1, 400, len(places) + 1)
        seen = np.ones(len(places) + 1, dtype=bool)
        seen[0] = False
        centers = scene.tracks.states[:, 0]
        return 1.0 - np.mean([detector.detect(k, centers, seen) for k in range(400)], axis=0)[1:]

    third = lost("flicker=1,share=0.3")
    assert set(np.round(third, 1)) == {0.0, 0.5}
    assert 0.18 < (third > 0.0).mean() < 0.42
    fading = lost("fade=1,near=15,far=115")
    # At 20 m a twentieth of every second spell, at 115 m and beyond all of them.
    assert fading[:10].mean() < 0.12
    assert fading[-5:] == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(fading, np.arange(100))[0, 1] > 0.8


def test_who_is_gone_fades_from_belief_and_comes_back_at_even_odds() -> None:
    detector = Detector.of(Detection.parse("speed=0.1"), 0, 0, 0.1, 30, 2)
    centers = np.array([[0.0, 0, 0, 0, 0], [30.0, 0, 0, 0, 0]])
    there = np.array([False, True])
    for k in range(20):
        detector.detect(k, centers, there if k < 8 else ~there & False)
    belief = detector.existence[:20, 1]
    # 0.5 and one detection: odds 3.5. From 0.99, odds 99 (3/8)^n fall below 1/19 with the eighth miss.
    assert belief[0] == pytest.approx(3.5 / 4.5)
    assert belief[7] == pytest.approx(0.99)
    assert (belief[8:15] > 0.05).all()
    assert not belief[15:].any()
    detector.detect(20, centers, there)
    assert detector.existence[20, 1] == pytest.approx(3.5 / 4.5)
    assert not detector.existence[:21, 0].any()


def test_an_exact_sensor_changes_nothing_and_the_log_says_what_was_used() -> None:
    scene = road([(30.0, 0.0), (60.0, 3.0)], 31)
    usual = simulate(scene, load_planner("pdm"), traffic="log")
    asked = simulate(scene, load_planner("pdm"), traffic="log", detection="position=0/0")
    assert usual.header["detection"] == asked.header["detection"] == "none"
    for o in observed(scene, "none"):
        np.testing.assert_array_equal(o.existence, o.agent_valid)
        assert not o.covariance.any()
    np.testing.assert_array_equal(usual.ego, asked.ego)
    faulty = simulate(scene, load_planner("pdm"), traffic="log", detection="flicker=1")
    assert faulty.header["detection"] == "flicker=1"
    assert faulty.agent_valid.all()
    assert not faulty.agent_seen.all()
