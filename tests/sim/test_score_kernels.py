"""Scores of rolled-out candidates against shapely and SciPy, and against cases worked out by hand."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.sim.candidates import PDM_RULES, Rules, pdm_score
from drive.sim.kernels.reference_score import score_reference
from drive.sim.kernels.score import (
    COLLISION_TIME,
    COMFORT,
    DIRECTION,
    DRIVABLE,
    NAVSIM_RULES,
    NO_COLLISION,
    PROGRESS,
    SCORE_SIZE,
    TTC,
    TTC_TIME,
)
from drive.sim.kernels.score_area import project
from drive.sim.kernels.score_comfort import ComfortWindows
from drive.vehicle import AgentKind

SCENES = SimpleNamespace(**run_path(str(Path(__file__).with_name("crossroads.py"))))
CAR, LINE, MAP, ROUTE, VEHICLE = SCENES.CAR, SCENES.LINE, SCENES.MAP, SCENES.ROUTE, SCENES.VEHICLE
drive, random_scene, run, track = SCENES.drive, SCENES.random_scene, SCENES.run, SCENES.track


def test_free_drive_is_perfect():
    out, comfort = run(drive(-20.0, 3.5, 10.0))
    assert out[0, [NO_COLLISION, DRIVABLE, DIRECTION, TTC, COMFORT]].tolist() == [1.0] * 5
    assert out[0, PROGRESS] == pytest.approx(40.0, abs=1e-4)
    assert np.isinf(out[0, [COLLISION_TIME, TTC_TIME]]).all()
    assert comfort.all()


def test_standing_vehicle_ahead_is_hit_at_the_time_computed_by_hand():
    # Bumper at 1.461 + 2.588 = 4.049 m before the rear axle; the car's rear is at 20 - 2.25 = 17.75 m.
    # 13.701 m at 10 m/s: touched between 1.3 and 1.4 s, and 0.9 s ahead of a projection from 0.5 s on.
    out, _ = run(drive(0.0, 3.5, 10.0), track(20.0, 3.5), size=CAR, kind=[AgentKind.VEHICLE])
    assert out[0, NO_COLLISION] == 0.0
    assert out[0, COLLISION_TIME] == pytest.approx(1.4)
    assert (out[0, TTC], out[0, TTC_TIME]) == (0.0, pytest.approx(0.5))


def test_static_object_costs_half():
    out, _ = run(drive(0.0, 3.5, 10.0), track(20.0, 3.5), size=CAR, kind=[AgentKind.STATIC])
    assert out[0, NO_COLLISION] == 0.5


def test_being_hit_from_behind_is_no_fault():
    out, _ = run(drive(0.0, 3.5, 3.0), track(-15.0, 3.5, speed=10.0), size=CAR, kind=[AgentKind.VEHICLE])
    assert (out[0, NO_COLLISION], out[0, TTC]) == (1.0, 1.0)


def test_standing_ego_is_never_at_fault():
    other = track(30.0, 3.5, np.pi, 10.0)
    out, _ = run(drive(0.0, 3.5, 0.0), other, size=CAR, kind=[AgentKind.VEHICLE])
    assert (out[0, NO_COLLISION], out[0, TTC]) == (1.0, 1.0)


def test_lateral_contact_counts_only_between_lanes():
    # The other cuts in from the left at a slant, and meets the ego's side first.
    other = track(0.5, 8.5, -0.35, 8.6)
    held, _ = run(drive(0.0, 3.5, 8.0), other, size=CAR, kind=[AgentKind.VEHICLE])
    between, _ = run(drive(0.0, 4.6, 8.0), other, size=CAR, kind=[AgentKind.VEHICLE])
    assert held[0, NO_COLLISION] == 1.0
    assert between[0, NO_COLLISION] == 0.0


def test_crossing_vehicle_counts_for_ttc_only_in_a_junction():
    # Bearing near 90 degrees: filtered out on a lane, counted inside the junction.
    beside = track(46.0, 12.0, -np.pi / 2.0, 6.0)
    inside, _ = run(drive(42.0, 3.5, 1.0), beside, size=CAR, kind=[AgentKind.VEHICLE])
    beside[..., 0] -= 60.0
    outside, _ = run(drive(-18.0, 3.5, 1.0), beside, size=CAR, kind=[AgentKind.VEHICLE])
    assert inside[0, TTC] == 0.0
    assert outside[0, TTC] == 1.0


def test_wrong_lane_is_measured_in_metres():
    # Lane 2 is not on the route; whole stretches of 1.6, 4 and 8 m.
    scores = [run(drive(0.0, 7.0, v))[0][0, DIRECTION] for v in (0.4, 1.0, 2.0)]
    assert scores == [1.0, 0.5, 0.0]
    # A trailing second holds eleven movements of a tenth of a second.
    assert run(drive(0.0, 7.0, 1.81), rules=NAVSIM_RULES)[0][0, DIRECTION] == 1.0
    assert run(drive(0.0, 7.0, 1.83), rules=NAVSIM_RULES)[0][0, DIRECTION] == 0.5
    # The junction belongs to no direction.
    assert run(drive(41.0, 7.0, 5.0))[0][0, DIRECTION] == 1.0


def test_leaving_the_road():
    # The road's right edge lies at y = -1.75, half the width is 1.1485.
    assert run(drive(0.0, -0.60, 5.0))[0][0, DRIVABLE] == 1.0
    assert run(drive(0.0, -0.61, 5.0))[0][0, DRIVABLE] == 0.0


def test_comfort_bounds_are_strict_and_separate():
    for column, value, flag in ((4, 2.41, 0), (4, -4.06, 0)):
        states = drive(-20.0, 3.5, 10.0)
        states[0, :, column] = value
        _, comfort = run(states)
        assert comfort[0].tolist() == [int(i != flag) for i in range(6)]
    _, comfort = run(drive(-20.0, 3.5, 3.0, yaw_rate=0.96))
    assert comfort[0].tolist() == [1, 1, 1, 1, 1, 0]
    # 10 m/s at 0.5 rad/s are 5 m/s^2 sideways, which nuPlan's rear axle does not report.
    physical = Rules(lateral=np.float32(1.0))
    assert run(drive(-20.0, 3.5, 10.0, yaw_rate=0.5))[1][0, 1] == 1
    assert run(drive(-20.0, 3.5, 10.0, yaw_rate=0.5), rules=physical)[1][0, 1] == 0


@pytest.mark.parametrize("seed", range(6))
def test_kernel_equals_reference(seed):
    states, tracks, valid, size, kind = random_scene(seed)
    windows = ((0, 0), (8, 15))[seed % 2]
    rules = (PDM_RULES, NAVSIM_RULES._replace(lateral=np.float32(1.0)))[seed % 2]
    out, comfort = run(
        states, tracks, valid, size, kind, rules=rules, windows=ComfortWindows(*windows), origin=(11.0, -2.0)
    )
    want, flags = score_reference(
        states, VEHICLE, tracks, valid, size, kind, MAP, ROUTE, LINE, windows=windows,
        direction_window=rules.direction_window, ttc_last=rules.ttc_last, lateral=float(rules.lateral),
    )  # fmt: skip
    np.testing.assert_allclose(out[:, PROGRESS], want[:, PROGRESS], rtol=1e-5, atol=1e-4)
    keep = [NO_COLLISION, DRIVABLE, DIRECTION, TTC, COMFORT]
    np.testing.assert_array_equal(out[:, keep], want[:, keep])
    np.testing.assert_array_equal(comfort.astype(bool), flags)
    for column in (COLLISION_TIME, TTC_TIME):
        np.testing.assert_allclose(out[:, column], want[:, column], atol=1e-5)


def test_random_scenes_exercise_every_outcome():
    outs = np.concatenate([run(*random_scene(seed))[0] for seed in range(6)])
    for column, values in (
        (NO_COLLISION, {0.0, 0.5, 1.0}),
        (DRIVABLE, {0.0, 1.0}),
        (DIRECTION, {0.0, 0.5, 1.0}),
        (TTC, {0.0, 1.0}),
        (COMFORT, {0.0, 1.0}),
    ):
        assert set(outs[:, column].tolist()) == values


def test_projection_finds_the_nearest_point_of_a_winding_line():
    shapely = pytest.importorskip("shapely")
    u = np.linspace(0.0, 12.0, 400)
    line = np.stack((20.0 * np.cos(u) * (1 + u / 8), 15.0 * np.sin(1.3 * u)), -1)
    station = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    string = shapely.LineString(line)
    for x, y in np.random.default_rng(5).uniform(-40.0, 40.0, (300, 2)):
        k, w, d = project(line, station, x, y, 0, 399)
        foot = line[k] + w * (line[k + 1] - line[k])
        assert np.hypot(*(foot - (x, y))) == pytest.approx(string.distance(shapely.Point(x, y)), abs=1e-9)
        assert abs(d) == pytest.approx(string.distance(shapely.Point(x, y)), abs=1e-9)


def test_pdm_score_by_hand():
    out = np.zeros((3, SCORE_SIZE), np.float32)
    out[:, :3] = [[1, 1, 1], [1, 1, 0.5], [0, 1, 1]]
    out[:, PROGRESS], out[:, TTC], out[:, COMFORT] = [10, 40, 80], [1, 0, 1], [0, 1, 1]
    total, progress = pdm_score(out)
    # Best allowed progress is 0.5 * 40 = 20 m.
    np.testing.assert_allclose(progress, [0.5, 1.0, 0.0])
    np.testing.assert_allclose(total, [(2.5 + 5.0) / 12.0, 0.5 * (5.0 + 2.0) / 12.0, 0.0])
    # Below the threshold whoever breaks no rule has full progress.
    out[:, PROGRESS] = 0.05
    assert pdm_score(out)[1].tolist() == [1.0, 1.0, 0.0]
