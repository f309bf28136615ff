"""Give-way lines: who has to wait before one, and for whom."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

from drive.datasets import source
from drive.roadmap import LaneKind, LaneSpec, RoadMap, RoadMapBuilder
from drive.scenario import Scenario
from drive.sim import Controller, World, compile_world, step
from drive.sim.kernels import reference
from drive.sim.kernels.giveway import give_way_gap, passing_time
from drive.sim.traffic import IDM, IDM_COMPAT, cast
from drive.sim.traffic.model import TrafficModel
from drive.sim.traffic.paths import give_way_lines, path_samples

CROWDS = run_path(str(Path(__file__).with_name("crowds.py")))
placed = CROWDS["placed"]

WIDTH = 3.5
LINE = 40.0
"""Station of the side lane's line; the main lane's middle is 10 m beyond it."""


def crossing(line: float | None = LINE) -> RoadMap:
    """A main lane along x, and a side lane along y that crosses it at x = 200."""
    builder = RoadMapBuilder()
    x, y = np.arange(0.0, 602.0, 2.0), np.arange(0.0, 402.0, 2.0)
    half = 0.5 * WIDTH
    builder.add(
        LaneSpec(
            "main",
            np.column_stack((x, np.full_like(x, half))),
            np.column_stack((x, np.full_like(x, -half))),
            speed_limit=15.0,
        )
    )
    builder.add(
        LaneSpec(
            "side",
            np.column_stack((np.full_like(y, 200.0 - half), y - 50.0)),
            np.column_stack((np.full_like(y, 200.0 + half), y - 50.0)),
            speed_limit=10.0,
            kind=LaneKind.CONNECTOR,
            stop_station=line,
        )
    )
    return builder.build()


def scene(
    scenario: Any, main_x: float, main_speed: float, side_speed: float, line: float | None = LINE
) -> Scenario:
    """The ego far behind; a car on the main lane at `main_x`, one on the side lane 1 m before its line."""
    base: Scenario = scenario(
        crossing(line), [(main_x, 0.0, main_speed), (0.0, 300.0, side_speed)], start=2.0
    )
    t = base.tracks
    states = t.states.copy()
    along = -50.0 + LINE - 1.0 - 2.4 + side_speed * base.times
    states[2, :, :2] = np.column_stack((np.full_like(along, 200.0), along))
    states[2, :, 2:] = [0.5 * np.pi, 0.0, side_speed]
    return base.with_(tracks=type(t)(states, t.valid, t.size, t.kind, t.rear_to_centre, t.ids))


def run(s: Scenario, traffic: TrafficModel = IDM) -> tuple[World, list[np.ndarray]]:
    """Ten seconds of traffic; centres `(A, 5)` at each step. The ego stays where it is."""
    world = compile_world([cast(s, traffic)], 0.1, traffic.anticipate)
    pose = np.zeros((1, world.num_agents, 5))
    pose[0, 0, :2] = -300.0, 80.0
    seen = [world.centers()[0]]
    for _ in range(100):
        world = step(world, pose=pose)
        seen.append(world.centers()[0])
    return world, seen


def wait(world: World, agent: int) -> float:
    m, g = world.motion, world.agents
    crowd, _ = placed(world, 0)
    path, station = int(m.path[0, agent]), m.station[0, agent]
    return float(give_way_gap(0, agent, path, station, m, g, world.paths, crowd, world.num_agents))


def test_how_long_a_start_takes_by_hand() -> None:
    # 1.5 m/s^2 from standstill: 3 m take 2 s, 12 m take 4 s and reach 6 m/s, which is then kept.
    for distance, speed, seconds in ((3.0, 0.0, 2.0), (12.0, 0.0, 4.0), (24.0, 0.0, 6.0), (20.0, 10.0, 2.0)):
        assert float(passing_time(np.float32(distance), np.float32(speed))) == pytest.approx(
            seconds, rel=1e-5
        )
    assert float(passing_time(np.float32(-1.0), np.float32(3.0))) == 0.0


def test_lines_are_found_on_the_lane_that_is_driven() -> None:
    roadmap = crossing()
    side = path_samples(roadmap, roadmap.centerline(1), 10.0)[0]
    lines = give_way_lines(roadmap, side)
    k = lines[0]
    assert abs(side[k, 1] - (LINE - 50.0)) <= 0.51
    assert (lines[: k + 1] == k).all()
    assert (lines[k + 1 :] == -1).all()
    main = path_samples(roadmap, roadmap.centerline(0), 10.0)[0]
    assert (give_way_lines(roadmap, main) == -1).all()
    none = crossing(None)
    assert (give_way_lines(none, side) == -1).all()


@pytest.mark.parametrize(
    ("away", "waits"),
    # From 1 m before the line at 2 m/s, the main lane's way, 2.05 m about its middle, begins 8.95 m
    # on and 2.4 s away, and is left with the whole car after 17.85 m and 3.9 s. At 15 m/s who comes in
    # 1.2 s to 5.0 s, from 18 m to 75 m away, is minded.
    [(-30.0, False), (8.0, False), (30.0, True), (65.0, True), (95.0, False)],
)
def test_who_waits_for_whom_on_the_main_road(away: float, waits: bool, scenario: Any) -> None:
    s = scene(scenario, 200.0 - away, 15.0, 2.0)
    world = compile_world([cast(s, IDM)], 0.1)
    gap = wait(world, 2)
    if waits:
        assert gap == pytest.approx(1.0, abs=0.6)
    else:
        assert gap == 1e6
    assert wait(world, 1) == 1e6


def test_the_side_road_lets_the_main_road_pass_and_then_goes(scenario: Any) -> None:
    world, seen = run(scene(scenario, 140.0, 15.0, 2.0))
    main, side = (np.array([c[i] for c in seen]) for i in (1, 2))
    passed = int(np.argmax(main[:, 0] > 204.0))
    assert side[passed, 1] < -10.0 + 0.5  # its centre is 2.4 m behind its front, which is at the line
    assert side[-1, 1] > 0.0
    # Who has priority is not disturbed.
    assert main[: passed + 1, 3].min() > 14.0
    assert not world.motion.collided[0, 1:].any()


def test_without_a_line_the_side_road_does_not_wait_there(scenario: Any) -> None:
    def front_when_passed(line: float | None, traffic: TrafficModel) -> float:
        """How far from the main lane's middle the side road's car is when the other one passes."""
        _, seen = run(scene(scenario, 165.0, 12.0, 2.0, line), traffic)
        passed = next(c for c in seen if c[1, 0] > 197.0)
        return float(passed[2, 1]) + 2.4

    assert front_when_passed(LINE, IDM) < -8.0
    # It lets by whom it would hit, but close to the other way.
    assert front_when_passed(None, IDM) > -6.5
    assert front_when_passed(LINE, IDM_COMPAT) > -4.0


def test_who_stands_before_a_line_in_the_log_goes_when_its_way_is_free(scenario: Any) -> None:
    _, seen = run(scene(scenario, 500.0, 15.0, 0.0))
    assert seen[-1][2, 1] > 0.0


def test_giving_way_equals_its_reference() -> None:
    asked = held = 0
    for ref in ("gen/roundabout/3", "gen/t_junction_yield/1", "gen/unprotected_left/7"):
        cast_of = cast(source.load(ref), IDM)
        # The second of two equal worlds: its rows and paths are shifted.
        world = compile_world([cast_of, cast_of], 0.1)
        for k in range(100):
            m, g = world.motion, world.agents
            if k % 4 == 0:
                crowd, _ = placed(world, 1)
                for i in np.flatnonzero(world.present[1] & (g.controller[1] == Controller.IDM)):
                    path, station = int(m.path[1, i]), m.station[1, i]
                    if world.paths.give_way[world.paths.start[path]] < 0:
                        continue
                    got = give_way_gap(1, i, path, station, m, g, world.paths, crowd, world.num_agents)
                    expected = reference.giving_way(world, 1, int(i), path, float(station))
                    asked += 1
                    held += expected < 1e6
                    assert float(got) == pytest.approx(expected, rel=1e-5, abs=1e-3)
            pose = np.zeros((2, world.num_agents, 5))
            pose[:, 0, :3] = np.column_stack([getattr(m, name)[:, 0] for name in ("x", "y", "heading")])
            world = step(world, pose=pose)
    assert asked > 100
    assert held > 20
