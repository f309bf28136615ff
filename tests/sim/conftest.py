"""What the simulator's tests share: a straight road with a signal, a bend, and a scene's log as observed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from drive.eval.check.scenes import straight_map, straight_scene
from drive.planner import Observation, PlannerSpec
from drive.roadmap import RoadMap
from drive.scenario import Scenario, Task
from drive.sim.detection import Detection
from drive.sim.detector import Detector
from drive.sim.observe import Observer, Record
from drive.sim.sight import Sight
from drive.sim.visibility import Visibility
from drive.vehicle import SPEED, STATE_SIZE


@pytest.fixture
def straight() -> Callable[..., RoadMap]:
    return straight_map


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    return straight_scene


@pytest.fixture(scope="session")
def watched() -> Callable[..., tuple[Task, list[Observation]]]:
    return watch


def watch(scene: Scenario, samples: int, detection: str = "none") -> tuple[Task, list[Observation]]:
    """The task, and what the ego is told at the first samples if it drives as its own track does."""
    task, tracks = Task.of(scene), scene.tracks
    centers, presence = tracks.states.swapaxes(0, 1).copy(), tracks.valid.T.copy()
    record = Record(centers, presence, np.array(scene.signals))
    how, row = Detection.parse(detection), scene.ego
    errs = None if how.exact else Detector.of(how, 0, row, scene.dt, tracks.num_steps, tracks.num_agents)
    sight = Sight.of(scene, row, scene.vehicle, Visibility())
    observer = Observer.of(scene, task, sight, PlannerSpec("log", history=1.5), errs)
    ego = np.zeros((tracks.num_steps, STATE_SIZE))
    ego[:, :3], ego[:, SPEED] = tracks.rear_axle_poses(row), tracks.speed[row]
    out = []
    for n in range(samples):
        observer.look(n, record)
        out.append(observer.observe(n, ego[n], ego[: n + 1], record))
    return task, out
