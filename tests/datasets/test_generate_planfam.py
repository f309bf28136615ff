"""Families for planners that optimise: hidden crossings, dense lanes, slow obstacles, overtaking in bends."""

from __future__ import annotations

import numpy as np
import pytest

from drive.datasets.generate import generate
from drive.eval.bench.suites import load_suite, suite_names
from drive.eval.metrics.nuplan.score import NUPLAN_CLS
from drive.geometry import project_to_polyline
from drive.planners import idm, log_replay
from drive.roadmap import AreaKind
from drive.runlog import RunLog
from drive.scenario import Scenario
from drive.sim import simulate
from drive.sim.sight import Sight
from drive.sim.traffic.model import IDM_BRISK
from drive.sim.visibility import Visibility
from drive.vehicle import SPEED

SUITES = ("occlusion", "dense", "flicker", "curved_overtake")
SEEDS = range(2000, 2005)
FAMILIES = (
    "occluded_crossing",
    "occluded_crossing_empty",
    "six_lanes",
    "slow_obstacles",
    "curved_overtake",
    "curved_overtake_blocked",
)


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scenario]]:
    return {family: [generate(family, seed) for seed in SEEDS] for family in FAMILIES}


def expert(s: Scenario) -> np.ndarray:
    assert s.expert is not None
    return s.expert.states


def on_route(s: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Station and offset `(A, T)` of everybody's middle on the route's line."""
    t = s.tracks
    found = project_to_polyline(t.states[..., :2].reshape(-1, 2), s.route.line)
    return found[0].reshape(t.valid.shape), found[1].reshape(t.valid.shape)


def touched(run: RunLog) -> int:
    return sum(event["kind"] == "collision" for event in run.header["events"])


def test_the_suites_share_no_scene_with_the_others() -> None:
    assert set(SUITES) <= set(suite_names())
    others = {ref for name in ("mini", "val", "test") for ref in load_suite(name).refs}
    for name in SUITES:
        suite = load_suite(name)
        assert not others & set(suite.refs)
        assert (
            len(suite.refs) == {"occlusion": 200, "dense": 100, "flicker": 20, "curved_overtake": 200}[name]
        )
    assert load_suite("dense").detection == "position=1.0/0.5"
    assert load_suite("flicker").detection == "flicker=1"
    assert load_suite("occlusion").traffic == "log"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_scenes_ask_for_can_be_done(family: str, scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes[family][:2]:
        assert s.duration == 20.0
        run = simulate(s, log_replay.LogReplay(), traffic="log")
        assert NUPLAN_CLS.evaluate(run).score > 0.98
        assert touched(run) == 0


def test_buildings_hide_who_comes_until_the_corner(scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes["occluded_crossing"]:
        assert len(s.roadmap.areas.of_kind(AreaKind.OCCLUDER)) == 2
        assert not (s.roadmap.signal >= 0).any()
        assert np.isnan(s.roadmap.stop_station).all()  # no line is painted
        station, offset = on_route(s)
        goal = project_to_polyline(np.asarray(s.route.goal.position)[None, :2], s.route.line)[0][0]
        middle = goal - 18.0
        rear = station[0, 0] - s.vehicle.rear_axle_to_center
        assert rear == pytest.approx(middle - 50.0, abs=0.5)
        assert expert(s)[0, SPEED] == pytest.approx(5.0, abs=0.1)
        sight = Sight.of(s, 0, s.vehicle, Visibility())
        crossing = np.abs(offset[:, 0]) > 5.0
        for k in range(0, 201, 5):
            seen = sight.look(s.tracks.states[:, k], s.tracks.valid[:, k])
            # Whoever is still far from the crossing on the other road is hidden while the ego comes.
            far = crossing & (np.abs(offset[:, k]) > 20.0)
            if station[0, k] < middle - 25.0:
                assert not seen[far].any()
        # At the corner, the front at the other road's edge, all who come within 40 m are seen.
        front = station[0] + 0.5 * s.vehicle.length
        k = int(np.argmax(front > middle - 4.2))
        seen = sight.look(s.tracks.states[:, k], s.tracks.valid[:, k])
        near = crossing & s.tracks.valid[:, k] & (np.abs(offset[:, k]) < 40.0)
        assert seen[near].all()


def test_who_does_not_slow_down_at_the_corner_is_hit(scenes: dict[str, list[Scenario]]) -> None:
    hits = [touched(simulate(s, idm.IDM(), traffic="log")) for s in scenes["occluded_crossing"]]
    assert sum(n > 0 for n in hits) >= 2
    for s in scenes["occluded_crossing"]:
        moving = s.tracks.speed[1:].max(axis=1)
        assert moving.min() > 3.5
        assert moving.max() < 10.0
    for s in scenes["occluded_crossing_empty"]:
        _, offset = on_route(s)
        assert (np.abs(offset[s.tracks.valid]) < 5.0).all()  # nobody on the other road


def test_six_lanes_hold_eighteen_others(scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes["six_lanes"]:
        assert s.tracks.num_agents == 19
        assert 13.0 < expert(s)[0, SPEED] < 15.5
        _, offset = on_route(s)
        lanes = np.unique(np.round(offset[:, 0] / 3.6))
        assert len(lanes) == 6
    assert (IDM_BRISK.min_gap, IDM_BRISK.headway, IDM_BRISK.acceleration, IDM_BRISK.deceleration) == (
        3.0, 1.0, 3.0, 3.0,
    )  # fmt: skip


def test_slow_obstacles_stand_in_every_lane(scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes["slow_obstacles"]:
        station, offset = on_route(s)
        assert s.tracks.speed[1:, 0].max() < 12.0 < expert(s)[0, SPEED]
        ahead = station[1:, 0] - station[0, 0]
        assert 35.0 < ahead.min() < 70.0
        assert abs(offset[1:][np.argmin(ahead), 0]) < 1.0  # the first one in the ego's lane
        assert len(np.unique(np.round(offset[1:, 0] / 3.6))) == 3


@pytest.mark.parametrize("family", ["curved_overtake", "curved_overtake_blocked"])
def test_the_road_winds_and_the_leader_is_slow(family: str, scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes[family]:
        slow = s.tracks.ids.index("slow")
        assert s.tracks.speed[slow].max() < 8.3
        station, _ = on_route(s)
        bend = max(np.abs(s.roadmap.curvature[s.roadmap.rows(lane)]).max() for lane in s.route.lanes)
        assert 1.0 / 300.0 < bend < 1.0 / 70.0  # the ego's lane lies up to 5.6 m inside the road's line
        passes = station[0, -1] > station[slow, -1]
        assert passes == (family == "curved_overtake")


def test_the_blocked_lane_has_no_gap_beside_the_ego(scenes: dict[str, list[Scenario]]) -> None:
    for s in scenes["curved_overtake_blocked"][:3]:
        run = simulate(s, idm.IDM(), traffic=IDM_BRISK)
        queue = [k for k, name in enumerate(run.agent_ids) if name.startswith("queue")]
        ego = project_to_polyline(run.ego[:, :2], s.route.line)[0]
        for sample in range(0, 201, 10):
            there = [k for k in queue if run.agent_valid[k, sample]]
            places = np.sort(project_to_polyline(run.agents[there, sample, :2], s.route.line)[0])
            near = places[np.abs(places - ego[sample]) < 25.0]
            assert len(near) >= 3
            # From middle to middle; cars are 3.7 to 6.2 m long.
            assert np.diff(near).max() < 18.0
