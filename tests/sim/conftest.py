"""Scenes that the simulator's tests share: a straight road with a signal, and a bend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drive.eval.check.scenes import straight_map, straight_scene
from drive.roadmap import RoadMap
from drive.scenario import Scenario


@pytest.fixture
def straight() -> Callable[..., RoadMap]:
    return straight_map


@pytest.fixture
def scenario() -> Callable[..., Scenario]:
    return straight_scene
