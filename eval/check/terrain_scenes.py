"""Small terrains made by hand, at the edge of sense: what a rover's planner must survive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from drive.datasets.generate.terrain import Place, to_scenario
from drive.eval.check.scenes import Trial
from drive.scenario import Goal, Route, Scenario, Tracks
from drive.terrain import Terrain
from drive.vehicle import SPEED, RoverParams

CELL, WIDTH, DEPTH = 0.5, 60.0, 40.0
START, GOAL = (8.0, 20.0, 0.1), (50.0, 22.0)
SECONDS = 20.0
SUN = np.array([[0.6, 0.5]])


def hills_scene() -> Scenario:
    """Two hills and a hollow on the way, which a motion at full speed would climb with too much power."""
    return _scene(_hills())


def flat() -> Scenario:
    return _scene(np.zeros_like(_hills()))


def walled_in() -> Scenario:
    """A wall right across, with no way round."""
    height = np.zeros_like(_hills())
    height[:, 60:70] = 8.0
    return _scene(height)


def no_goal() -> Scenario:
    return flat().with_(route=Route())


def goal_outside() -> Scenario:
    return flat().with_(route=Route(goal=Goal(position=np.array([-20.0, 500.0]))))


def at_the_goal() -> Scenario:
    return flat().with_(route=Route(goal=Goal(position=np.array([8.3, 20.2]))))


def facing_away() -> Scenario:
    return _scene(_hills(), (8.0, 20.0, 3.0))


def moving() -> Scenario:
    scene = hills_scene()
    initial = scene.initial.copy()
    initial[SPEED] = 0.7
    return scene.with_(initial=initial)


def no_power() -> Scenario:
    """Night, no generator, and a battery that is down to its reserve."""
    rover = RoverParams(generator_power=0.0, solar_power_max=0.0, battery_start=7e4, battery_min=7e4)
    return hills_scene().with_(rover=rover)


def small_budget() -> Scenario:
    return hills_scene().with_(rover=RoverParams(energy_budget=500.0))


def at_the_edge() -> Scenario:
    return _scene(np.zeros_like(_hills()), (0.0, 0.0, -2.0))


def slow_clock() -> Scenario:
    scene = hills_scene()
    t, samples = scene.tracks, round(SECONDS / 0.5) + 1
    tracks = Tracks(t.states[:, :samples], t.valid[:, :samples], t.size, t.kind, t.rear_to_centre, t.ids)
    return scene.with_(dt=0.5, tracks=tracks, signals=scene.signals[:, :samples])


TERRAIN_TRIALS = (
    Trial("flat ground", flat),
    Trial("a wall with no way round", walled_in),
    Trial("no goal", no_goal),
    Trial("a goal outside of the map", goal_outside),
    Trial("a goal that is reached", at_the_goal),
    Trial("a rover that faces away", facing_away),
    Trial("a moving rover", moving),
    Trial("no sun and no charge", no_power),
    Trial("a budget that is too small", small_budget),
    Trial("the corner of the map", at_the_edge),
    Trial("a clock of 0.5 s", slow_clock),
    Trial("a time budget", hills_scene, realtime=True),
)


def _hills() -> np.ndarray:
    y, x = np.meshgrid(CELL * np.arange(DEPTH / CELL + 1), CELL * np.arange(WIDTH / CELL + 1), indexing="ij")
    height = np.zeros_like(x)
    for cx, cy, top, wide in ((20.0, 20.0, 1.6, 4.0), (33.0, 25.0, 1.8, 4.5), (41.0, 18.0, -1.0, 4.0)):
        height += top * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2.0 * wide * wide))
    return height


def _scene(height: np.ndarray, start: tuple[float, float, float] = START) -> Scenario:
    terrain = Terrain(height, CELL, 1.62, np.zeros(1), SUN, np.zeros(0, dtype=np.float32))
    place = Place(terrain, start, GOAL, replace(RoverParams()), SECONDS, ("terrain",))
    return to_scenario("check", "check", place, None, "", None)
