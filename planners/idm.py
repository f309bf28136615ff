"""The intelligent driver model on the route: keeps its lane and its distance, never changes lanes.

Parameters of nuPlan's IDM planner: target 10 m/s where the lane has no limit, minimum gap 1 m, headway
1.5 s, acceleration 1.0, deceleration 3.0, exponent 4. Its leader is taken to keep its speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.planner import Plan, PlannerSpec
from drive.sim.kernels import survey
from drive.sim.kernels.idm_plan import idm_plan_kernel
from drive.sim.traffic.paths import PathBook, match_lanes, recorded_line
from drive.trajectory import Trajectory
from drive.vehicle import HEADING, SPEED, STATE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.kernels.layout import Paths
    from drive.vehicle import VehicleParams


@dataclass(frozen=True, slots=True)
class IDMConfig:
    """Speeds in m/s, distances in m, times in s, accelerations in m/s^2.

    `target_speed` holds where a lane has no limit; `reach` is how far ahead leaders are looked for;
    `settle` the distance over which an offset from the route is worked off. `anticipate` also follows
    who will be in the way within a second; nuPlan's planner does not.
    """

    target_speed: float = 10.0
    min_gap: float = 1.0
    headway: float = 1.5
    acceleration: float = 1.0
    deceleration: float = 3.0
    exponent: float = 4.0
    horizon: float = 8.0
    reach: float = 100.0
    settle: float = 20.0
    anticipate: bool = False

    def __post_init__(self) -> None:
        for name in ("target_speed", "acceleration", "deceleration", "settle"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"idm's {name} must be positive, got {getattr(self, name)}")


class IDM:
    """IDM along the route's line."""

    config_type = IDMConfig

    def __init__(self, config: IDMConfig | None = None) -> None:
        self.config = config or IDMConfig()
        self.spec = PlannerSpec("idm", horizon=self.config.horizon, needs=("road", "route"))

    def start(self, task: Task) -> _IDMSession:
        c = self.config
        driver = np.array(
            [1e3, c.min_gap, c.headway, c.acceleration, c.deceleration, c.exponent, 0.0], dtype=np.float32
        )
        return _IDMSession(c, task, driver)


@dataclass(slots=True, eq=False)
class _IDMSession:
    config: IDMConfig
    task: Task
    driver: NDArray[np.float32]
    path: Paths | None = None

    def plan(self, observation: Observation) -> Plan:
        if self.path is None:
            self.path = self._path(observation)
        c, dt, path = self.config, self.task.dt, self.path
        out = np.zeros((round(c.horizon / dt) + 1, 6), dtype=np.float32)
        figures = np.zeros(5, dtype=np.float32)
        signals = np.zeros((1, max(len(observation.signals), 1), 1), dtype=np.uint8)
        signals[0, : len(observation.signals), 0] = observation.signals
        idm_plan_kernel(
            path.rows, path.step[0], path.stop, path.next_stop, signals, self.driver, np.float32(dt),
            np.float32(c.reach), c.anticipate, *_crowd(observation, self.task.vehicle), out, figures,
        )  # fmt: skip
        rows = out.astype(np.float64)
        states = np.zeros((len(rows), STATE_SIZE))
        # Far off the route the way back is as long as it is wide, or the plan would leap across.
        settle = max(c.settle, 4.0 * abs(float(figures[0])))
        offset = float(figures[0]) * np.exp(-(rows[:, 0] - rows[0, 0]) / settle)
        h = rows[:, 5]
        states[:, 0] = rows[:, 3] - np.sin(h) * offset
        states[:, 1] = rows[:, 4] + np.cos(h) * offset
        states[:, HEADING] = h - np.arctan(offset / settle)
        states[:, SPEED : SPEED + 2] = rows[:, 1:3]
        states[0] = observation.ego[:STATE_SIZE]
        gap = float(figures[1])
        extra = {"gap": gap, "lead_speed": float(figures[2])} if figures[3] >= 0 else {}
        return Plan(
            Trajectory.uniform(observation.time, dt, states),
            figures={"offset": float(figures[0]), **extra},
        )

    def _path(self, observation: Observation) -> Paths:
        """The route's line, or the lanes straight ahead where no route is known."""
        roadmap, route = self.task.roadmap, self.task.route
        book = PathBook()
        line = route.line
        if len(line) < 2:
            pose = observation.ego[None, :3]
            line = recorded_line(roadmap, pose, int(match_lanes(roadmap, pose)[0][0]))
        book.add(roadmap, line, self.config.target_speed)
        return book.compile()


def _crowd(observation: Observation, vehicle: VehicleParams) -> tuple[Any, Any, int]:
    """The ego (x, y, heading, speed, rear to centre), and everybody as `survey` has them, the ego first."""
    agents, ego, size = observation.agents, observation.ego, observation.agent_size
    n = len(agents) + 1
    crowd = np.zeros((survey.CROWD_ROWS, n), dtype=np.float32)
    heading = np.concatenate((ego[2:3], agents[:, 2]))
    crowd[survey.COS], crowd[survey.SIN] = np.cos(heading), np.sin(heading)
    rear = vehicle.rear_axle_to_center
    crowd[[survey.CX, survey.CY], 0] = (
        ego[0] + rear * crowd[survey.COS, 0],
        ego[1] + rear * crowd[survey.SIN, 0],
    )
    crowd[survey.CX, 1:] = np.where(observation.agent_valid, agents[:, 0], survey.NOWHERE)
    crowd[survey.CY, 1:] = np.where(observation.agent_valid, agents[:, 1], survey.NOWHERE)
    crowd[survey.SPEED, 0] = ego[3]
    crowd[survey.SPEED, 1:] = agents[:, 3] * np.cos(agents[:, 2]) + agents[:, 4] * np.sin(agents[:, 2])
    crowd[[survey.HALF_LENGTH, survey.HALF_WIDTH], 0] = 0.5 * vehicle.length, 0.5 * vehicle.width
    crowd[survey.HALF_LENGTH, 1:], crowd[survey.HALF_WIDTH, 1:] = 0.5 * size[:, 0], 0.5 * size[:, 1]
    return np.array([*ego[:4], rear], dtype=np.float32), crowd, n
