"""Scores of rolled-out candidates against shapely and SciPy, and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter

from drive.roadmap import DrivableArea, LaneKind, LaneSpec, RoadMapBuilder
from drive.sim.kernels.reference_score import score_reference
from drive.sim.kernels.rollout import rollout_candidates
from drive.sim.kernels.score import (
    COLLISION_TIME,
    COMFORT,
    DIRECTION,
    DRIVABLE,
    FORECAST_EXTRA,
    NAVSIM_RULES,
    NO_COLLISION,
    PDM_RULES,
    PROGRESS,
    SCORE_SIZE,
    TTC,
    TTC_TIME,
    Rules,
    Scratch,
    ego_box,
    pack_agents,
    pdm_score,
    score,
)
from drive.sim.kernels.score_area import frame_area, lane_grid, project
from drive.sim.kernels.score_comfort import (
    PDM_WINDOWS,
    ComfortWindows,
    comfort_filters,
    savgol_matrix,
)
from drive.vehicle import AgentKind, VehicleParams

VEHICLE = VehicleParams()
STEPS = 41


def crossroads():
    """Three lanes eastward, the middle part of them a junction, and one lane that crosses there."""
    builder = RoadMapBuilder()
    for part, (x0, x1) in enumerate(((-60.0, 40.0), (40.0, 70.0), (70.0, 200.0))):
        x = np.arange(x0, x1 + 0.1, 5.0)
        for i in range(3):
            builder.add(
                LaneSpec(
                    f"{part}{i}",
                    np.stack((x, np.full_like(x, 3.5 * i + 1.75)), -1),
                    np.stack((x, np.full_like(x, 3.5 * i - 1.75)), -1),
                    kind=LaneKind.CONNECTOR if part == 1 else LaneKind.LANE,
                    intersection=part == 1,
                    successors=(f"{part + 1}{i}",),
                    left_lane=f"{part}{i + 1}",
                    right_lane=f"{part}{i - 1}",
                    speed_limit=13.9,
                )
            )
    y = np.arange(-40.0, 40.1, 5.0)
    builder.add(
        LaneSpec(
            "cross",
            np.stack((np.full_like(y, 53.0), y), -1),
            np.stack((np.full_like(y, 57.0), y), -1),
            kind=LaneKind.CONNECTOR,
            intersection=True,
        )
    )
    return builder.build()


MAP = crossroads()
ROUTE = tuple(MAP.lane_index(i) for i in ("00", "01", "10", "11", "20", "21"))
LINE = np.stack((np.arange(-60.0, 200.1, 1.0), np.full(261, 3.5)), -1)


def run(
    states,
    tracks=(),
    valid=None,
    size=(),
    kind=(),
    *,
    rules=PDM_RULES,
    windows=PDM_WINDOWS,
    origin=(0.0, 0.0),
):
    """Score `states (B, T, 7)` in map coordinates with the kernel, in a frame moved to `origin`."""
    samples = states.shape[1] + FORECAST_EXTRA
    tracks = np.asarray(tracks, dtype=np.float64).reshape(-1, samples, 5)
    valid = np.ones(tracks.shape[:2], dtype=bool) if valid is None else valid
    agents = pack_agents(tracks, valid, np.reshape(size, (-1, 3)), kind, origin)
    grid, corner = lane_grid(MAP, ROUTE)
    area, lanes = frame_area(DrivableArea.of(MAP), grid, corner, origin)
    local = states.copy()
    local[..., :2] -= origin
    out, comfort = np.empty((len(states), SCORE_SIZE), np.float32), np.empty((len(states), 6), np.uint8)
    station = np.arange(261.0)
    score(
        np.ascontiguousarray(local, dtype=np.float32), ego_box(VEHICLE), agents, area, lanes, LINE, station,
        np.asarray(origin, dtype=np.float64), np.array([0, 260], np.int32),
        comfort_filters(states.shape[1], 0.1, windows), rules,
        Scratch.make(states.shape[1], agents.extent.shape[1]), comfort, out,
    )  # fmt: skip
    return out, comfort


def drive(x, y, speed, heading=0.0, yaw_rate=0.0):
    """A vehicle at constant speed and yaw rate, its rear axle at (x, y): `(1, T, 7)`."""
    t = 0.1 * np.arange(STEPS)
    h = heading + yaw_rate * t
    states = np.zeros((1, STEPS, 7))
    states[0, :, 0] = x + np.concatenate(([0.0], np.cumsum(speed * np.cos(h[:-1]) * 0.1)))
    states[0, :, 1] = y + np.concatenate(([0.0], np.cumsum(speed * np.sin(h[:-1]) * 0.1)))
    states[0, :, 2], states[0, :, 3], states[0, :, 6] = h, speed, yaw_rate
    return states


def track(x, y, heading=0.0, speed=0.0):
    """A box centre at constant velocity: `(1, K, 5)`."""
    t = 0.1 * np.arange(STEPS + FORECAST_EXTRA)
    row = np.empty((1, len(t), 5))
    row[0, :, 0], row[0, :, 1] = x + speed * np.cos(heading) * t, y + speed * np.sin(heading) * t
    row[0, :, 2:] = heading, speed * np.cos(heading), speed * np.sin(heading)
    return row


CAR = (4.5, 1.9, 1.6)


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
    # In trailing seconds 2 m/s makes 2 m a second.
    assert run(drive(0.0, 7.0, 1.9), rules=NAVSIM_RULES)[0][0, DIRECTION] == 1.0
    assert run(drive(0.0, 7.0, 2.1), rules=NAVSIM_RULES)[0][0, DIRECTION] == 0.5
    # The junction belongs to no direction.
    assert run(drive(41.0, 7.0, 5.0))[0][0, DIRECTION] == 1.0


def test_leaving_the_road():
    # The road's right edge lies at y = -1.75, half the width is 1.1485.
    assert run(drive(0.0, -0.60, 5.0))[0][0, DRIVABLE] == 1.0
    assert run(drive(0.0, -0.61, 5.0))[0][0, DRIVABLE] == 0.0


@pytest.mark.parametrize(
    ("length", "window", "order", "derivative"),
    [
        (41, 8, 2, 0),
        (41, 15, 2, 1),
        (41, 41, 2, 1),
        (41, 5, 2, 1),
        (41, 5, 3, 2),
        (9, 8, 2, 0),
        (40, 40, 2, 0),
    ],
)
def test_savgol_matrix_is_scipys_filter(length, window, order, derivative):
    series = np.random.default_rng(3).normal(size=length)
    ours = savgol_matrix(length, window, order, derivative, 0.1) @ series
    theirs = savgol_filter(series, window, order, deriv=derivative, delta=0.1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


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


def random_scene(seed, candidates=12, agents=34):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(STEPS)
    v = np.clip(
        rng.uniform(0.0, 15.0, (candidates, 1)) + rng.uniform(-4.0, 2.0, (candidates, 1)) * t, 0.0, None
    )
    k = rng.uniform(-0.03, 0.03, (candidates, 1)) * np.sin(t * rng.uniform(0.5, 2.0, (candidates, 1)))
    h = np.cumsum(v * k, 1) * 0.1
    poses = np.stack(
        (10.0 + np.cumsum(v * np.cos(h), 1) * 0.1, 3.2 + np.cumsum(v * np.sin(h), 1) * 0.1, h), -1
    )
    states = rollout_candidates(poses, [10.0, 3.3, 0.03, 7.0, 0.0, 0.0, 0.0], VEHICLE)
    lane, speed = rng.integers(0, 3, agents), rng.uniform(0.0, 14.0, agents) * (rng.random(agents) > 0.25)
    rows = [track(rng.uniform(-30.0, 110.0), 3.5 * lane[a] + rng.normal(0, 0.4), rng.normal(0, 0.1), speed[a])
            for a in range(agents - 5)]  # fmt: skip
    rows += [
        track(55.0, rng.uniform(-30, 30), rng.choice([-1, 1]) * np.pi / 2, rng.uniform(2, 12))
        for _ in range(5)
    ]
    tracks = np.concatenate(rows)
    size = np.stack((rng.uniform(1, 9, agents), rng.uniform(0.6, 2.4, agents), np.full(agents, 1.5)), -1)
    kind = rng.choice([0, 1, 2, 3], agents).astype(np.uint8)
    valid = rng.random((agents, tracks.shape[1])) > 0.02
    valid[: agents // 2] = rng.random((agents // 2, 1)) > 0.7
    return states, tracks, valid, size, kind


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


def test_one_candidate_alone_equals_the_batch_bit_for_bit():
    states, tracks, valid, size, kind = random_scene(2)
    whole, _ = run(states, tracks, valid, size, kind)
    for b in (0, 7, 11):
        alone, _ = run(states[b : b + 1], tracks, valid, size, kind)
        assert alone.tobytes() == whole[b : b + 1].tobytes()


def test_score_does_not_depend_on_the_frame():
    states, tracks, valid, size, kind = random_scene(4)
    here, _ = run(states, tracks, valid, size, kind)
    there, _ = run(states, tracks, valid, size, kind, origin=(37.0, 12.0))
    keep = [NO_COLLISION, DRIVABLE, DIRECTION, TTC, COMFORT]
    np.testing.assert_array_equal(here[:, keep], there[:, keep])
    np.testing.assert_allclose(here[:, PROGRESS], there[:, PROGRESS], atol=1e-4)


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
