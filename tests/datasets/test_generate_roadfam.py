"""Families on open roads show what they are named after, easy or hard; what they ask of planners."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from drive.datasets.generate import FAMILIES, generate
from drive.eval.metrics.nuplan.score import NUPLAN_CLS
from drive.geometry import project_to_polyline
from drive.planners import idm, log_replay
from drive.roadmap import extend_route, route_groups, route_line
from drive.scenario import Route, Scenario
from drive.sim import simulate
from drive.sim.traffic import IDM, LOG
from drive.vehicle import SPEED, AgentKind

LEVELS = (0.0, 0.5, 1.0)
NEW = ("stop_and_go", "dense_highway", "overtake_slow", "lane_change_for_route")
OPEN_ROAD = (*NEW, "lane_follow_curved", "stop_for_lead", "cut_in", "dense_merge")
CASES = [(family, seed, level) for family in NEW for seed in (0, 1) for level in LEVELS]


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[str, int, float], Scenario]:
    return {case: generate(*case) for case in CASES}


def of(scenes: dict[tuple[str, int, float], Scenario], family: str) -> list[Scenario]:
    return [s for (name, _, _), s in scenes.items() if name == family]


def expert(s: Scenario) -> np.ndarray:
    assert s.expert is not None
    return s.expert.states


def lane_offsets(s: Scenario, agent: int) -> np.ndarray:
    """Metres left of the ego's first lane, prolonged, at each sample."""
    first = s.route.lanes[0]
    line = route_line(s.roadmap, extend_route(s.roadmap, (first,), 1e4))
    return project_to_polyline(s.tracks.states[agent, :, :2], line)[1]


def test_the_four_families_are_known() -> None:
    assert set(OPEN_ROAD) <= set(FAMILIES)


def test_in_a_jam_the_ego_nearly_stops_and_goes_again_behind_others_who_do_so_before(
    scenes: dict[tuple[str, int, float], Scenario],
) -> None:
    for s in of(scenes, "stop_and_go"):
        v = expert(s)[:, SPEED]
        least = int(np.argmin(v))
        assert v[least] <= 1.0
        assert v[:least].max() > 2.0
        assert v[least:].max() > 2.0
        # The wave runs backwards: whoever is ahead in the ego's lane is slowest before the ego is.
        rel = s.tracks.states[:, 0, :2] - s.tracks.states[0, 0, :2]
        h = s.tracks.states[0, 0, 2]
        ahead, across = rel @ [np.cos(h), np.sin(h)], rel @ [-np.sin(h), np.cos(h)]
        mine = np.flatnonzero((ahead > 1.0) & (ahead < 30.0) & (np.abs(across) < 1.6))
        lead = mine[np.argmin(ahead[mine])]
        assert int(np.argmin(s.tracks.speed[lead])) < least


def test_dense_highways_are_dense_fast_and_wide(scenes: dict[tuple[str, int, float], Scenario]) -> None:
    trucks = left = 0
    for s in of(scenes, "dense_highway"):
        assert s.tracks.num_agents >= 19
        lanes = {name.split(".")[0] for name in s.roadmap.lane_ids}
        assert {"f1", "f2", "f3"} <= lanes
        assert 55.0 / 3.6 < expert(s)[:, SPEED].mean() < 130.0 / 3.6
        heavy = (s.tracks.kind == AgentKind.TRUCK) | (s.tracks.kind == AgentKind.BUS)
        trucks += int(heavy.sum())
        line = route_line(s.roadmap, extend_route(s.roadmap, (s.roadmap.lane_index("f2.0"),), 1e4))
        there = project_to_polyline(s.tracks.states[heavy, 0, :2], line)[1][s.tracks.valid[heavy, 0]]
        left += int((there > 2.0).sum())
    # Trucks keep right: none beyond the second lane.
    assert trucks > 5
    assert left == 0


def test_whoever_overtakes_passes_in_the_next_lane_where_staying_would_cost_progress(
    scenes: dict[tuple[str, int, float], Scenario],
) -> None:
    for s in of(scenes, "overtake_slow"):
        slow = s.tracks.ids.index("slow")
        assert s.tracks.speed[slow].max() < 0.75 * np.nanmax(s.roadmap.speed_limit)
        assert abs(lane_offsets(s, slow)[s.tracks.valid[slow]]).max() < 1.5
        mine = lane_offsets(s, 0)
        assert abs(mine[0]) < 0.5
        assert mine.max() > 2.5
        x = expert(s)
        drove = np.hypot(*np.diff(x[:, :2], axis=0).T).sum()
        rolled = s.tracks.speed[slow][s.tracks.valid[slow]].mean() * 15.0
        assert rolled < 0.9 * drove
        # All of the route is the lane that the ego comes from: to overtake is its own decision.
        assert {s.roadmap.lane_ids[i].split(".")[0] for i in s.route.lanes} == {"f1"}


def test_the_route_leaves_by_a_lane_that_the_ego_is_not_in(
    scenes: dict[tuple[str, int, float], Scenario],
) -> None:
    for s in of(scenes, "lane_change_for_route"):
        names = [s.roadmap.lane_ids[i].split(".")[0] for i in s.route.lanes]
        assert names[0] != names[-1]
        changes = sum(a != b for a, b in itertools.pairwise(names))
        assert changes == (2 if "two_changes" in s.tags else 1)
        assert abs(lane_offsets(s, 0)[0]) < 0.5
        assert abs(lane_offsets(s, 0)[-1]) > 2.0
        # No lane leads on from the first one to where the route goes.
        straight = extend_route(s.roadmap, (s.route.lanes[0],), 1e4)
        assert s.route.groups[-1] not in route_groups(s.roadmap, straight) or "lane_ends" in s.tags
        if "lane_ends" in s.tags:
            assert len(s.roadmap.successors(straight[-1])) == 0
            assert straight[-1] != s.route.lanes[-1]


def test_who_stays_in_its_lane_loses_what_the_route_goes_on_for() -> None:
    stays, progress = [], []
    for seed in range(6):
        s = generate("lane_change_for_route", seed, 0.5)
        lanes = extend_route(s.roadmap, (s.route.lanes[0],), 1e4)
        line = route_line(s.roadmap, lanes)
        blind = s.with_(route=Route(lanes, route_groups(s.roadmap, lanes), line, s.route.goal))
        found = NUPLAN_CLS.evaluate(simulate(blind, idm.IDM(), traffic=IDM))
        stays.append(found.score)
        progress.append(found.metrics["ego_progress_along_expert_route"].score)
    # Without any other fault it would be 1, as the expert's own way is.
    assert max(stays) < 0.95
    assert np.mean([p for p in progress if p is not None]) < 0.7


def test_who_stays_behind_loses_progress() -> None:
    progress = []
    for seed in range(6):
        run = simulate(generate("overtake_slow", seed, 1.0), idm.IDM(), traffic=IDM)
        progress.append(NUPLAN_CLS.evaluate(run).metrics["ego_progress_along_expert_route"].score)
    assert np.mean([p for p in progress if p is not None]) < 0.85


@pytest.mark.parametrize("family", OPEN_ROAD)
def test_the_experts_own_way_can_be_driven(family: str) -> None:
    for seed, level in ((3, 0.0), (4, 1.0)):
        run = simulate(generate(family, seed, level), log_replay.LogReplay(), traffic=LOG)
        assert NUPLAN_CLS.evaluate(run).score >= 0.9


def test_difficulty_brings_cuts_closer_and_traffic_denser() -> None:
    def gap(s: Scenario) -> float:
        """Metres between the ego's and the cutter's middle when the cutter is half in the ego's lane."""
        cutter = s.tracks.ids.index("cutter")
        _, side, _ = project_to_polyline(s.tracks.states[cutter, :, :2], s.route.line)
        k = int(np.argmax(np.abs(side) < 1.6))
        apart = s.tracks.states[cutter, k, :2] - s.tracks.states[0, k, :2]
        return float(np.hypot(*apart) / expert(s)[k, SPEED])

    seeds = range(8)
    close = [np.mean([gap(generate("cut_in", i, d)) for i in seeds]) for d in (0.0, 1.0)]
    assert close[1] < 0.85 * close[0]
    many = [np.mean([generate("dense_merge", i, d).tracks.num_agents for i in seeds]) for d in (0.0, 1.0)]
    assert many[1] > 1.15 * many[0]
    slow = [np.mean([expert(generate("stop_for_lead", i, d))[:, 4].min() for i in seeds]) for d in (0.0, 1.0)]
    assert slow[1] < slow[0] - 0.3
