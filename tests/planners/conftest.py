"""What the tests of planners share."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from drive.planner import Observation
from drive.vehicle import AgentKind

# The tests' own helpers: `import stl_toy`.
sys.path.append(str(Path(__file__).parent))
CAR = (4.5, 1.9, 1.6)


def observe(x, y, speed, agents=(), *, heading=0.0, time=0.0, kind=AgentKind.VEHICLE):
    """An observation of the ego at a pose, and of agents `(x, y, heading, speed)` of one kind."""
    n = len(agents)
    rows = np.array([[a, b, h, v * math.cos(h), v * math.sin(h)] for a, b, h, v in agents]).reshape(n, 5)
    ego = np.array([x, y, heading, speed, 0.0, 0.0, 0.0])
    return Observation(
        time=time,
        step=round(time / 0.1),
        ego=ego,
        ego_history=ego[None],
        agents=rows,
        agent_history=rows[:, None],
        agent_history_valid=np.ones((n, 1), dtype=bool),
        agent_size=np.tile(CAR, (n, 1)).reshape(n, 3),
        agent_kind=np.full(n, kind, dtype=np.uint8),
        agent_id=np.arange(n, dtype=np.int64),
        agent_valid=np.ones(n, dtype=bool),
        existence=np.ones(n),
        covariance=np.zeros((n, 3, 3)),
        occlusion_edges=np.zeros((0, 2, 2)),
        signals=np.zeros(0, dtype=np.uint8),
        route_progress=np.zeros(2),
    )


@pytest.fixture
def observed():
    """`observe`, as a fixture."""
    return observe
