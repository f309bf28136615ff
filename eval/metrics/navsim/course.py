"""The centreline, the lanes of the route and the drive of PDM-Closed, against which a moment is held.

NAVSIM takes all three from PDM-Closed, planning once from the moment's start with full knowledge of who is
there; so does this, with the registered planner "pdm" set to the released constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.eval.metrics.navsim import constants as c
from drive.planner import Observation
from drive.scenario import Goal, Route, Task
from drive.sim.candidates import rollout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.navsim.moments import Moment
    from drive.planner import Planner
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

RELEASED = {"leader_at_start": False, "radius_time": 0.0, "horizon_steps": c.STEPS}
"""PDM-Closed as NAVSIM ships it, where ours has other defaults."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """`line (P, 2)` the centreline in scenario coordinates, `on_route` lanes, `reference (T, 7)` PDM's
    drive."""

    line: Floats
    on_route: tuple[int, ...]
    reference: Floats


@lru_cache(maxsize=1)
def _planner() -> Planner:
    return registry.load_planner("pdm", RELEASED)


def course_of(run: RunLog, moment: Moment) -> Course | None:
    """The course from a moment's start; None where no lane can be followed from there."""
    assert run.roadmap is not None
    route = Route(lanes=tuple(int(x) for x in run.route_lanes), line=run.route_line, goal=Goal())
    session: Any = _planner().start(Task(run.roadmap, route, run.vehicle, c.DT, c.DT * c.STEPS))
    there = moment.valid[:, 0]
    agents = np.ascontiguousarray(moment.agents[there, 0])
    count, start = len(agents), np.ascontiguousarray(moment.ego[0])
    plan = session.plan(
        Observation(
            time=0.0,
            step=0,
            ego=start.copy(),
            ego_history=start[None].copy(),
            agents=agents,
            agent_history=agents[:, None].copy(),
            agent_history_valid=np.ones((count, 1), dtype=np.bool_),
            agent_size=run.agent_size[there],
            agent_kind=run.agent_kind[there],
            agent_id=np.flatnonzero(there).astype(np.int64),
            agent_valid=np.ones(count, dtype=np.bool_),
            existence=np.ones(count),
            covariance=np.zeros((count, 3, 3)),
            occlusion_edges=np.zeros((0, 2, 2)),
            signals=moment.signals[:, 0].copy(),
            route_progress=np.full(2, np.nan),
        )
    )
    if session.way is None:
        return None
    poses = plan.trajectory.at(c.DT * np.arange(len(moment.ego)))[:, :3]
    reference = rollout(run.vehicle, start, np.ascontiguousarray(poses[None]), dt=c.DT, compat="reference")[0]
    way = session.way
    return Course(way.line + way.origin, tuple(way.on_route), reference)
