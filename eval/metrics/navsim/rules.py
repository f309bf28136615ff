"""The sub-scores of a moment: what the simulator's score kernels tell of it, and what they do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.navsim import constants as c
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.geometry import Projector
from drive.sim.candidates import ScoreScene, score
from drive.sim.kernels import teach as kernels
from drive.sim.kernels.score import NAVSIM_RULES, NAVSIM_V1_RULES
from drive.sim.kernels.score_contacts import FORECAST_EXTRA
from drive.sim.teacher import closed_lanes
from drive.vehicle import AgentKind, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.eval.metrics.navsim.course import Course
    from drive.eval.metrics.navsim.moments import Moment
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Findings:
    """The rules on one drive; each in [0, 1] but for `progress` in m. `comfort` is that of version 1."""

    no_at_fault_collisions: float
    drivable_area_compliance: float
    driving_direction_compliance: float
    traffic_light_compliance: float
    time_to_collision_within_bound: float
    lane_keeping: float
    comfort: float
    progress: float

    def product(self, names: Sequence[str]) -> float:
        """The product of the named rules."""
        return float(np.prod([getattr(self, name) for name in names]))


def find(
    run: RunLog,
    moment: Moment,
    course: Course,
    drives: Sequence[Floats],
    first: bool = False,
    track_speed: str = "first",
) -> list[Findings]:
    """The rules on several drives `(T, 7)` from a moment's start among its others.

    `first` takes version 1's rules: the time to collision is looked at up to the end, and crossings are no
    place to drive off the route. `track_speed` "first" takes for each of the others the speed at which it
    was first there, as the released scorer does when it asks who stood; "now" the one at the contact.
    """
    assert run.roadmap is not None
    rules = NAVSIM_V1_RULES if first else NAVSIM_RULES
    samples = len(moment.ego)
    origin = moment.ego[0, :2]
    others = _others(run, moment, samples + FORECAST_EXTRA, track_speed)
    agents = (*others, run.agent_size, run.agent_kind)
    scene = ScoreScene.of(run.roadmap, course.on_route, course.line, run.vehicle, agents, origin)
    states = np.stack(drives)
    states[..., :2] -= origin
    found = score(np.ascontiguousarray(states, dtype=np.float32), scene, rules=rules)
    shapes = LaneShapes.of(run.roadmap)
    lit = np.empty(len(states), dtype=np.float32)
    gates, red = closed_lanes(run.roadmap, course.on_route, moment.signals[:, :samples])
    kernels.lights(states.astype(np.float32), scene.ego, scene.lanes, gates, red, False, lit)
    distance = run.vehicle.rear_axle_to_center
    out = []
    for drive, row, clear in zip(drives, found.values.astype(np.float64), lit.tolist(), strict=True):
        center = rear_to_center(drive, distance)
        off = np.abs(Projector(course.line)(center)[1])
        inside = shapes.in_intersection(center, shapes.lanes_at(center))
        collision, area, direction, progress, ttc, comfort = row[:6]
        out.append(
            Findings(
                float(collision),
                float(area),
                float(direction),
                clear,
                float(ttc),
                lane_keeping(off, inside),
                float(comfort),
                float(progress),
            )
        )
    return out


def _others(run: RunLog, moment: Moment, samples: int, track_speed: str) -> tuple[Floats, NDArray[np.bool_]]:
    """States `(A, samples, 5)` and presence of the others; nobody is there beyond what is known."""
    known = min(moment.agents.shape[1], samples)
    states = np.zeros((len(moment.agents), samples, 5))
    valid = np.zeros(states.shape[:2], dtype=np.bool_)
    states[:, :known], valid[:, :known] = moment.agents[:, :known], moment.valid[:, :known]
    if track_speed == "first" and known:
        seen = valid.argmax(1)
        states[..., 3:] = states[np.arange(len(states)), seen, 3:][:, None]
    # Objects stand, whatever their velocity says, as in the devkit.
    states[run.agent_kind == AgentKind.STATIC, :, 3:] = 0.0
    return states, valid


def lane_keeping(off: Floats, inside: NDArray[np.bool_]) -> float:
    """0 where the distances `off (T,)` in m exceed 0.5 for 20 samples in a row, else 1.

    Samples inside intersections are skipped, and the row goes on behind them.
    """
    out = np.empty(1, dtype=np.float32)
    kernels.lane_keeping(off[None], inside[None], c.LANE_KEEPING_LIMIT, c.LANE_KEEPING_SAMPLES, out)
    return float(out[0])
