"""Families at junctions: geometry of roundabouts, who has priority, what the ego decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from drive.datasets.generate import generate
from drive.datasets.generate.curves import quintic
from drive.eval.metrics.nuplan.score import NUPLAN_CLS
from drive.geometry import wrap_angle
from drive.planners.log_replay import LogReplay
from drive.roadmap import AreaKind, LaneKind
from drive.sim import simulate
from drive.vehicle import ACCELERATION, HEADING, AgentKind

if TYPE_CHECKING:
    from drive.scenario import Scenario

FAMILIES = ("signalised_intersection", "t_junction_yield", "unprotected_left", "roundabout")
SEEDS = range(6)


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[str, int], Scenario]:
    return {(family, seed): generate(family, seed) for family in FAMILIES[1:] for seed in SEEDS}


def of(scenes: dict[tuple[str, int], Scenario], family: str) -> list[Scenario]:
    return [s for (name, _), s in scenes.items() if name == family]


def lanes(s: Scenario, start: str) -> list[int]:
    return [i for i, name in enumerate(s.roadmap.lane_ids) if name.startswith(start)]


def turned(s: Scenario) -> float:
    """Degrees by which the ego's heading changes, left positive."""
    assert s.expert is not None
    heading = np.unwrap(s.expert.states[:, HEADING])
    return float(np.degrees(heading[-1] - heading[0]))


def test_a_quintic_between_two_points_of_a_circle_is_the_circle() -> None:
    r, angle = 20.0, 0.8
    end = (r * np.sin(angle), r * (1.0 - np.cos(angle)), angle)
    curve = quintic((0.0, 0.0, 0.0), end, (1.0 / r, 1.0 / r))
    away = np.hypot(curve.points[:, 0], curve.points[:, 1] - r)
    np.testing.assert_allclose(away, r, atol=0.05)
    np.testing.assert_allclose(curve.curvature[[0, -1]], 1.0 / r, rtol=1e-6)
    assert curve.length == pytest.approx(r * angle, abs=0.02)
    np.testing.assert_allclose(curve.points[-1], end[:2], atol=1e-9)
    assert curve.heading[-1] == pytest.approx(angle, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ring_is_round_and_driven_counter_clockwise(
    seed: int, scenes: dict[tuple[str, int], Scenario]
) -> None:
    s = scenes["roundabout", seed]
    m = s.roadmap
    sections = lanes(s, "ring") + lanes(s, "by")
    two = "two_lanes" in s.tags
    radii, widest = set(), 0.0
    for lane in sections:
        p, rows = m.centerline(lane), m.rows(lane)
        away = np.hypot(*p.T)
        assert np.ptp(away) < 2e-4
        radii.add(round(float(away.mean()), 1))
        widest = max(widest, float(away.mean()))
        # Tangential, to the left of the outward normal.
        outward = np.arctan2(p[:, 1], p[:, 0])
        np.testing.assert_allclose(wrap_angle(m.heading[rows] - outward), 0.5 * np.pi, atol=1e-4)
        np.testing.assert_allclose(m.curvature[rows] * away, 1.0, atol=1e-4)
        assert m.intersection[lane]
    assert len(radii) == (2 if two else 1)
    # Around the whole ring and back: as long as the circle of its outer lane.
    first = lane = m.lane_index("ring0.1")
    length = 0.0
    for _ in range(2 * len(sections)):
        length += float(m.length[lane])
        lane = next(int(n) for n in m.successors(lane) if int(n) in sections)
        if lane == first:
            break
    assert lane == first
    assert length == pytest.approx(2.0 * np.pi * widest, rel=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_lanes_of_a_roundabout_join_without_a_kink(
    seed: int, scenes: dict[tuple[str, int], Scenario]
) -> None:
    m = scenes["roundabout", seed].roadmap
    for lane in range(m.num_lanes):
        if m.kind[lane] > LaneKind.CONNECTOR:
            continue
        own = m.rows(lane)
        for after in m.successors(lane):
            then = m.rows(int(after))
            assert np.hypot(*(m.points[own.stop - 1] - m.points[then.start])) < 2e-3
            assert abs(wrap_angle(m.heading[own.stop - 1] - m.heading[then.start])) < 2e-3
            assert abs(m.curvature[own.stop - 1] - m.curvature[then.start]) < 5e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ego_takes_the_exit_that_its_tag_names(
    seed: int, scenes: dict[tuple[str, int], Scenario]
) -> None:
    s = scenes["roundabout", seed]
    exits = int(next(t for t in s.tags if t.startswith("exit_"))[5:])
    names = [s.roadmap.lane_ids[i].split(".")[0] for i in s.route.lanes]
    assert names[0].startswith("a0b")
    assert sum(n.startswith("by") for n in names) == exits - 1
    assert f"out{exits}" in names
    assert names[-1].startswith(f"a{exits}f")
    steps = np.diff(s.route.line, axis=0)
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    assert np.abs(np.diff(heading)).max() < 0.16
    at = next(station for station, word in s.route.commands if word == f"exit_{exits}")
    assert 0.0 < at < 300.0


def test_only_who_has_to_give_way_has_a_line_without_a_signal(
    scenes: dict[tuple[str, int], Scenario],
) -> None:
    def lines(s: Scenario) -> set[str]:
        m = s.roadmap
        return {m.lane_ids[i] for i in np.flatnonzero((m.signal < 0) & np.isfinite(m.stop_station))}

    for s in of(scenes, "roundabout"):
        assert lines(s) == {s.roadmap.lane_ids[i] for i in lanes(s, "in")}
    for s in of(scenes, "t_junction_yield"):
        assert lines(s) == {
            s.roadmap.lane_ids[i] for i in lanes(s, "a1b") if s.roadmap.kind[i] == LaneKind.CONNECTOR
        }
        assert len(lines(s)) == 2
    for s in of(scenes, "unprotected_left"):
        if "lights" in s.tags:
            assert not lines(s)
            assert len(s.roadmap.signal_ids) == 4
        else:
            assert {name[:2] for name in lines(s)} == {"a1", "a3"}


def test_turns_are_what_the_tags_say(scenes: dict[tuple[str, int], Scenario]) -> None:
    seen = set()
    for s in of(scenes, "t_junction_yield"):
        role = next(t for t in s.tags if t.startswith(("from", "main")))
        seen.add(role)
        if role == "main_road":
            assert abs(turned(s)) < 40.0
        else:
            # The log may end in the middle of the turn, and roads wind.
            assert turned(s) > 15.0 if role == "from_side_left" else turned(s) < -15.0
    assert len(seen) >= 2
    for s in of(scenes, "unprotected_left"):
        assert turned(s) > 10.0
        command = [word for _, word in s.route.commands]
        assert command == ["left"]


def test_who_has_priority_is_not_made_to_brake_hard(scenes: dict[tuple[str, int], Scenario]) -> None:
    """On the main road, and on a roundabout's ring, logs show people who respect priority."""
    checked = 0
    for s in [*of(scenes, "t_junction_yield"), *of(scenes, "roundabout")]:
        t = s.tracks
        radius = max((np.hypot(*s.roadmap.centerline(i).T).max() for i in lanes(s, "ring")), default=0.0)
        for i in range(1, t.num_agents):
            if not AgentKind(int(t.kind[i])).is_motor_vehicle:
                continue
            accel = np.diff(t.speed[i]) / s.dt
            here = t.valid[i, 1:] & t.valid[i, :-1]
            if radius:
                here &= np.hypot(*t.states[i, 1:, :2].T) < radius + 0.5
            elif not t.ids[i].startswith("m"):
                continue
            checked += bool(here.any())
            assert accel[here].min(initial=0.0) > -3.85, (s.id, t.ids[i])
    assert checked > 40


def test_someone_oncoming_is_let_through_or_beaten_to_it(scenes: dict[tuple[str, int], Scenario]) -> None:
    for s in of(scenes, "unprotected_left"):
        t = s.tracks
        ahead = s.expert.states[0, HEADING] if s.expert is not None else 0.0
        others = [i for i in range(t.num_agents) if t.ids[i].startswith("o")]
        assert others
        near = 0
        for i in others:
            inside = t.valid[i] & (np.hypot(*t.states[i, :, :2].T) < 25.0)
            facing = np.cos(t.states[i, :, 2] - ahead) < 0.0
            near += bool((inside & facing).any())
        assert near


def test_scenarios_begin_calmly_and_the_ego_has_something_to_decide(
    scenes: dict[tuple[str, int], Scenario],
) -> None:
    waits = 0
    for s in scenes.values():
        assert abs(s.initial[ACCELERATION]) <= 0.8
        waits += "waits" in s.tags
    assert waits >= 2
    assert any(len(s.roadmap.areas.of_kind(AreaKind.CROSSWALK)) for s in of(scenes, "unprotected_left"))


@pytest.mark.parametrize("family", FAMILIES)
def test_harder_scenes_have_more_traffic(family: str) -> None:
    def size(difficulty: float) -> int:
        return sum(generate(family, seed, difficulty).tracks.num_agents for seed in range(20, 28))

    assert size(1.0) > 1.15 * size(0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_earns_a_high_score_in_its_own_scene(family: str) -> None:
    planner = LogReplay()
    for seed in (30, 31):
        run = simulate(generate(family, seed), planner, traffic="log")
        assert NUPLAN_CLS.evaluate(run).score >= 0.9
