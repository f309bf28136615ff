"""Generated scenarios: pure functions of their ids, and fit to be driven."""

import os
import subprocess
import sys

import numpy as np
import pytest

from drive.datasets.generate import FAMILIES, SOURCE, generate
from drive.datasets.generate.check import check
from drive.datasets.generate.curves import chain
from drive.datasets.generate.draws import Draws
from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.geometry import box_corners, boxes_overlap, project_to_polyline
from drive.roadmap import DrivableArea, LaneKind
from drive.scenario import Scenario, SignalState
from drive.vehicle import HEADING, SPEED, AgentKind, rear_to_center

SEEDS = (0, 1, 2)
CASES = [(family, seed) for family in FAMILIES for seed in SEEDS]


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[str, int], Scenario]:
    return {case: generate(*case) for case in CASES}


def test_same_id_gives_the_same_scenario_here_and_in_another_process(
    scenes: dict[tuple[str, int], Scenario],
) -> None:
    again = {f: generate(f, 1).content_hash for f in reversed(FAMILIES)}
    assert again == {f: scenes[f, 1].content_hash for f in FAMILIES}
    code = (
        "from drive.datasets.generate import FAMILIES, generate\n"
        "for f in FAMILIES: print(f, generate(f, 1).content_hash)"
    )
    # Another hash seed and thread count must not matter.
    env = os.environ | {"PYTHONHASHSEED": "7", "NUMBA_NUM_THREADS": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert dict(line.split() for line in out.stdout.splitlines()) == again


def test_seeds_and_families_differ(scenes: dict[tuple[str, int], Scenario]) -> None:
    assert len({s.content_hash for s in scenes.values()}) == len(CASES)
    assert len({s.roadmap.content_hash for s in scenes.values()}) == len(CASES)


def test_coordinates_are_rounded_so_that_the_last_bit_of_a_sine_cannot_matter(
    scenes: dict[tuple[str, int], Scenario],
) -> None:
    for s in scenes.values():
        m = s.roadmap
        for values in (m.points, m.left, m.right, s.tracks.states, s.route.line, m.areas.points):
            assert np.array_equal(values, np.round(values, 4))
            assert not np.signbit(values[values == 0.0]).any()


@pytest.mark.parametrize("case", CASES)
def test_nobody_overlaps_anybody_ever(case: tuple[str, int], scenes: dict[tuple[str, int], Scenario]) -> None:
    t = scenes[case].tracks
    corners = box_corners(t.states[..., :2], t.states[..., 2], t.size[:, 0:1], t.size[:, 1:2])
    for i in range(t.num_agents):
        both = t.valid[i] & t.valid[i + 1 :]
        assert not (boxes_overlap(corners[i], corners[i + 1 :]) & both).any()


@pytest.mark.parametrize("case", CASES)
def test_ego_stays_on_the_road_and_its_route_goes_on(
    case: tuple[str, int], scenes: dict[tuple[str, int], Scenario]
) -> None:
    s = scenes[case]
    assert s.expert is not None
    x, v = s.expert.states, s.vehicle
    corners = box_corners(rear_to_center(x, v.rear_axle_to_center), x[:, HEADING], v.length, v.width)
    assert DrivableArea.of(s.roadmap).distance_outside(corners).max() == 0.0
    station, offset, _ = project_to_polyline(x[[0, -1], :2], s.route.line)
    length = np.hypot(*np.diff(s.route.line, axis=0).T).sum()
    limit = s.roadmap.limit(s.route.lanes[0], 0.0)
    # At the limit from the start, the duration and eight seconds of horizon must still find road.
    assert length - station[0] > 23.0 * limit + 150.0
    assert length - station[1] > 8.0 * x[-1, SPEED] + 150.0
    assert abs(offset[0]) < 4.0
    assert station[1] - station[0] > 8.0
    for a, b in zip(s.route.lanes[:-1], s.route.lanes[1:], strict=True):
        assert b in s.roadmap.successors(a) or b in (s.roadmap.left_lane[a], s.roadmap.right_lane[a])


@pytest.mark.parametrize("case", CASES)
def test_vehicles_move_where_their_rear_wheels_point(
    case: tuple[str, int], scenes: dict[tuple[str, int], Scenario]
) -> None:
    s = scenes[case]
    t = s.tracks
    for i in range(t.num_agents):
        if not AgentKind(int(t.kind[i])).is_motor_vehicle:
            continue
        rear = t.rear_axle_poses(i)
        both = t.valid[i, 1:] & t.valid[i, :-1]
        step = np.diff(rear[:, :2], axis=0)
        heading = np.unwrap(rear[:, 2])
        middle = 0.5 * (heading[1:] + heading[:-1])
        side = np.cos(middle) * step[:, 1] - np.sin(middle) * step[:, 0]
        # Rounding moves a point by up to 0.05 mm; a bend's chord departs from the mean heading far less.
        assert np.abs(side[both]).max(initial=0.0) < 0.01
        speed = np.hypot(step[:, 0], step[:, 1]) / s.dt
        assert np.abs(speed - 0.5 * (t.speed[i, 1:] + t.speed[i, :-1]))[both].max(initial=0.0) < 0.15


@pytest.mark.parametrize("case", CASES)
def test_ego_drives_comfortably_and_within_the_limit(
    case: tuple[str, int], scenes: dict[tuple[str, int], Scenario]
) -> None:
    s = scenes[case]
    assert s.expert is not None
    x = s.expert.states
    accel = np.diff(x[:, SPEED]) / s.dt
    assert accel.min() > -4.05
    assert accel.max() < 2.4
    turn = np.diff(np.unwrap(x[:, HEADING])) / s.dt
    assert np.abs(turn).max() < 0.95
    assert np.abs(turn * x[1:, SPEED]).max() < 4.0
    limits = s.roadmap.speed_limit
    assert x[:, SPEED].max() <= np.nanmax(limits) + 1e-6


def test_no_vehicle_passes_a_red_light() -> None:
    crossed = 0
    for seed in range(4):
        s = generate("signalised_intersection", seed)
        m, t = s.roadmap, s.tracks
        assert set(np.unique(s.signals)) <= {1, 2, 3}
        nose = t.states[..., :2] + 0.5 * t.size[:, 0, None, None] * np.stack(
            (np.cos(t.states[..., 2]), np.sin(t.states[..., 2])), axis=-1
        )
        for lane in np.flatnonzero(m.signal >= 0):
            row = m.lane_start[lane]
            ends = np.stack((m.left[row], m.right[row]))
            for i in np.flatnonzero(t.kind == AgentKind.VEHICLE):
                a, b = nose[i, :-1], nose[i, 1:]
                hit = crosses(a, b, ends[0], ends[1]) & t.valid[i, 1:] & t.valid[i, :-1]
                # Only who drives into the junction, not who leaves it beside the line.
                ahead = np.cos(t.states[i, 1:, 2] - m.heading[row]) > 0.5
                for k in np.flatnonzero(hit & ahead):
                    crossed += 1
                    assert s.signals[m.signal[lane], k + 1] != SignalState.RED, (seed, t.ids[i], k)
    assert crossed > 10


def crosses(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether segments a-b (N, 2) cross the segment c-d."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        u, v = q - p, r - p
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    return (side(c, d, a) * side(c, d, b) < 0) & (side(a, b, c) * side(a, b, d) < 0)


def test_each_family_shows_what_it_is_named_after(scenes: dict[tuple[str, int], Scenario]) -> None:
    for (family, _), s in scenes.items():
        assert s.family == family
        assert s.expert is not None
        assert s.expert.source == "generated"
        x, m = s.expert.states, s.roadmap
        moving = s.tracks.valid.any(1).sum()
        assert (1 if family == "occluded_crossing_empty" else 3) <= moving <= 45
        if family == "lane_follow_curved":
            assert np.abs(np.diff(np.unwrap(x[:, HEADING]))).sum() > 0.1
        elif family == "stop_for_lead":
            assert x[:, SPEED].min() < 0.4 < x[0, SPEED]
        elif family == "cut_in":
            cutter = s.tracks.ids.index("cutter")
            line = s.route.line
            _, offset, _ = project_to_polyline(s.tracks.states[cutter, :, :2], line)
            assert abs(offset[0]) > 1.5
            assert np.abs(offset).min() < 0.6
        elif family == "dense_merge":
            assert s.tracks.num_agents >= 15
            ramp = [i for i, name in enumerate(m.lane_ids) if name.startswith("r1")]
            assert ramp
            if "from_ramp" in s.tags:
                assert s.route.lanes[0] in ramp
                assert s.route.lanes[-1] not in ramp
        elif family == "parked_vehicle":
            i = s.tracks.ids.index("parked0")
            assert s.tracks.speed[i].max() == 0.0
            corners = box_corners(s.tracks.states[i, 0, :2], s.tracks.states[i, 0, 2], *s.tracks.size[i, :2])
            lane = m.lane_ids.index(next(n for n in m.lane_ids if n.startswith("f1.")))
            assert m.right_lane[lane] == -1
            lanes = [k for k, n in enumerate(m.lane_ids) if n.startswith("f1.")]
            right = np.concatenate([m.right[m.rows(k)] for k in lanes])
            _, into, _ = project_to_polyline(corners, right)
            assert 0.25 < into.max() < 2.1
        elif family == "signalised_intersection":
            assert len(m.signal_ids) >= 4
            assert (m.kind == LaneKind.CONNECTOR).sum() >= 12


@pytest.mark.parametrize("seed", [2005, 2012, 2015])
def test_nobody_stops_on_an_open_motorway_for_want_of_a_gap(seed: int) -> None:
    t = generate("dense_highway", seed).tracks
    assert t.speed[t.valid].min() > 10.0
    moving = t.valid[:, 1:] & t.valid[:, :-1]
    assert (np.diff(t.speed, axis=1) / 0.1)[moving].min() > -4.0


@pytest.mark.parametrize(
    "ref",
    [("signalised_intersection", 2019), ("signalised_intersection", 2025), ("unprotected_left", 2018),
     ("t_junction_yield", 2011), ("construction_narrowing", 2020)],
)  # fmt: skip
def test_vehicles_keep_to_the_limit_of_the_road_that_they_have_come_to(ref: tuple[str, int]) -> None:
    s = generate(*ref)
    m, t = s.roadmap, s.tracks
    motor = [i for i, kind in enumerate(t.kind) if AgentKind(int(kind)).is_motor_vehicle]
    for lane in np.flatnonzero(~m.intersection & np.isfinite(m.speed_limit)):
        at = m.rows(int(lane))
        line = m.points[at]
        for i in motor:
            station, offset, segment = project_to_polyline(t.states[i, :, :2], line)
            along = np.cos(t.states[i, :, 2] - m.heading[at][segment]) > 0.98
            on = t.valid[i] & along & (np.abs(offset) < 1.5) & (station > 5.0)
            on &= station < m.station[at][-1] - 5.0
            # The spread of the drivers' wishes goes up to 1.1 times the limit.
            assert t.speed[i, on].max(initial=0.0) < 1.15 * m.speed_limit[lane], (t.ids[i], m.lane_ids[lane])


@pytest.mark.parametrize(
    "ref", [("occluded_pedestrian", 2033), ("signalised_intersection", 2025), ("unprotected_left", 2010)]
)
def test_nobody_on_foot_vanishes(ref: tuple[str, int]) -> None:
    t = generate(*ref).tracks
    walkers = t.kind == AgentKind.PEDESTRIAN
    assert walkers.any()
    assert t.valid[walkers].all()


def test_draws_are_exact_sums_and_products() -> None:
    ours, plain = Draws.of(5), np.random.Generator(np.random.PCG64(5))
    for low, high in ((0.3, 0.7), (-np.pi, np.pi), (1e3, 1e-3)):
        assert ours.uniform(low, high) == low + (high - low) * plain.random()


def test_a_straight_road_is_straight_to_the_last_bit() -> None:
    road = chain([(400.0, 0.0, 0.0)])
    assert np.array_equal(road.points, np.stack((np.arange(401.0), np.zeros(401)), axis=-1))


def test_check_refuses_a_log_with_a_collision(scenes: dict[tuple[str, int], Scenario]) -> None:
    s = scenes["lane_follow_curved", 0]
    check(s)
    t = s.tracks
    states = t.states.copy()
    states[1] = states[0]
    states[1, :, 0] += 3.0
    crashed = s.with_(tracks=type(t)(states, np.ones_like(t.valid), t.size, t.kind, t.rear_to_centre, t.ids))
    with pytest.raises(ScenarioError, match=r"time to collision|overlap"):
        check(crashed)


def test_check_refuses_an_ego_beside_the_road(scenes: dict[tuple[str, int], Scenario]) -> None:
    s = scenes["cut_in", 0]
    t = s.tracks
    alone = t.select(np.array([0]))
    left = np.stack((-np.sin(alone.states[0, :, 2]), np.cos(alone.states[0, :, 2])), axis=-1)
    states = alone.states.copy()
    states[0, 60:, :2] += 40.0 * left[60:]
    alone = type(t)(states, alone.valid, alone.size, alone.kind, alone.rear_to_centre, alone.ids)
    with pytest.raises(ScenarioError, match="leaves the road"):
        check(s.with_(tracks=alone))


def test_source_expands_and_loads() -> None:
    assert SOURCE.name == "gen"
    assert SOURCE.matches("gen/cut_in/17")
    assert not SOURCE.matches("general.xml")
    assert SOURCE.ids("gen/cut_in/17") == ["gen/cut_in/17"]
    assert SOURCE.ids("gen/cut_in/3:6") == ["gen/cut_in/3", "gen/cut_in/4", "gen/cut_in/5"]
    assert SOURCE.ids("gen/*/0:2")[:3] == [
        "gen/lane_follow_curved/0",
        "gen/lane_follow_curved/1",
        "gen/stop_for_lead/0",
    ]
    assert len(SOURCE.ids("gen/*/0:2")) == 2 * len(FAMILIES)
    loaded = SOURCE.load("gen/cut_in/1")
    assert loaded.id == "gen/cut_in/1"
    assert loaded.content_hash == generate("cut_in", 1).content_hash
    assert loaded.provenance.seed == 1
    assert (loaded.dt, loaded.duration, loaded.tracks.num_steps) == (0.1, 15.0, 151)


@pytest.mark.parametrize(
    ("ref", "kind", "words"),
    [
        ("gen/cut_out/1", UnknownNameError, "did you mean 'cut_in'"),
        ("gen/cut_in/one", InputError, "write gen/FAMILY/SEED"),
        ("gen/cut_in/5:5", InputError, "names no seeds"),
        ("gen/cut_in/-1", InputError, "write gen/FAMILY/SEED"),
        ("gen/cut_in/0:3", InputError, "stands for 3 scenarios"),
        ("gen/cut_in/0~1.5", InputError, "between 0 and 1"),
        ("gen/cut_in/0~hard", InputError, "~0.8 behind it"),
    ],
)
def test_bad_references_say_what_to_write(ref: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        SOURCE.load(ref)


def test_generate_refuses_unknown_families_and_negative_seeds() -> None:
    with pytest.raises(UnknownNameError, match="unknown scenario family 'merge'"):
        generate("merge", 0)
    with pytest.raises(InputError, match="from 0 on"):
        generate("cut_in", -1)
    with pytest.raises(InputError, match="between 0 and 1"):
        generate("cut_in", 0, float("nan"))


def test_a_difficulty_may_be_asked_for() -> None:
    assert SOURCE.ids("gen/cut_in/3:5~0.80") == ["gen/cut_in/3~0.8", "gen/cut_in/4~0.8"]
    hard = SOURCE.load("gen/cut_in/1~0.9")
    assert hard.id == "gen/cut_in/1~0.9"
    assert "hard" in hard.tags
    assert hard.provenance.notes == ("difficulty 0.9",)
    assert hard.content_hash == generate("cut_in", 1, 0.9).content_hash
    drawn = {tag for seed in range(12) for tag in generate("stop_for_lead", seed).tags}
    assert {"easy", "medium", "hard"} <= drawn
