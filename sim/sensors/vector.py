"""One moment as the arrays of `drive.nn.scene`: made of an observation, nothing of the future."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.geometry import arc_length
from drive.nn.scene import FAR, SceneArrays, SceneSizes, empty_scene
from drive.sim.kernels import line as columns
from drive.sim.kernels.sensors import sense_agents, sense_edges, sense_lanes, sense_way
from drive.sim.road.follow import Follower, FollowSettings
from drive.sim.road.frame import exact_edges
from drive.sim.sensors.pieces import Pictured
from drive.vehicle import ACCELERATION, SPEED, STATE_SIZE, STEERING, YAW_RATE, AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.roadmap.model import RoadMap
    from drive.scenario import Task
    from drive.sim.road.way import Way

    Floats = NDArray[np.float64]

LIMITS = FollowSettings(lateral_acceleration=100.0, braking=100.0)
"""The way's limits are those of its lanes: what bends permit, a network sees in the curvature."""
# What is not named here counts as a vehicle.
_GROUP = np.zeros(256, dtype=np.uint8)
_GROUP[AgentKind.PEDESTRIAN], _GROUP[AgentKind.BICYCLE], _GROUP[AgentKind.STATIC] = 1, 2, 3
_LIMIT, _STOP, _GOAL = 4, 7, 9


@dataclass(slots=True, eq=False)
class VectorSensor:
    """Shows one session its moments; it keeps the session's way, and nothing else, from call to call.

    The planner's spec should ask for `(history - 1) * history_dt` s of history; what an observation does not
    hold is not valid.
    """

    task: Task
    sizes: SceneSizes
    follower: Follower
    map: Pictured
    _back: NDArray[np.int64]
    _body: NDArray[np.float32]
    _goal: float
    _on_route: NDArray[np.bool_]
    _way: Way | None = None
    _rows: Floats = field(default_factory=lambda: np.zeros((2, columns.NUM_COLUMNS)))
    _keys: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _found: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def start(cls, task: Task, sizes: SceneSizes | None = None) -> VectorSensor:
        """The sensor of one session; raises ScenarioError where the task has no road map."""
        how, roadmap, v = sizes or SceneSizes(), task.roadmap, task.vehicle
        moments = np.arange(how.history - 1, -1, -1)
        most = max(how.agents, how.lanes, how.edges)
        line = task.route.line
        return cls(
            task,
            how,
            Follower(roadmap, task.route, LIMITS),
            Pictured.of(roadmap, how),
            np.rint(moments * how.history_dt / task.dt).astype(np.int64),
            np.array([v.length, v.width, v.rear_axle_to_center, v.wheelbase], dtype=np.float32),
            float(arc_length(line)[-1]) if len(line) > 1 else np.inf,
            np.zeros(roadmap.num_lanes, dtype=np.bool_),
            _keys=np.zeros(most, dtype=np.int64),
            _found=np.zeros(most, dtype=np.int64),
        )

    def sense(self, observation: Observation) -> SceneArrays:
        """The moment that is observed; an ego that is nowhere gives an empty one.

        Calls come in the order of time.
        """
        o, how, pose = observation, self.sizes, observation.ego
        out = empty_scene(how)
        if not np.isfinite(pose[:STATE_SIZE]).all():
            return out
        self._sense_ego(o, out)
        keys, found = self._keys, self._found
        sense_agents(
            pose, how.reach, self._back, o.agents, o.agent_valid, o.agent_history, o.agent_history_valid,
            o.existence, o.agent_size, _GROUP[o.agent_kind], keys[: how.agents], found[: how.agents],
            out.agents, out.agents_valid, out.bodies,
        )  # fmt: skip
        m = self.map
        sense_lanes(
            pose, how.reach, m.lanes.points, m.lanes.circle, m.lanes.grid, m.lanes.source, m.direction,
            m.half_width, m.info, m.signal, self._on_route, o.signals, keys[: how.lanes],
            found[: how.lanes], out.lanes, out.lane_info, out.lanes_valid,
        )  # fmt: skip
        sense_edges(
            pose, how.reach, m.edges.points, m.edges.circle, m.edges.grid, keys[: how.edges],
            found[: how.edges], out.edges, out.edges_valid,
        )  # fmt: skip
        return out

    def _sense_ego(self, o: Observation, out: SceneArrays) -> None:
        """The ego's own row, and the points of its way."""
        ego, how = o.ego, self.sizes
        ahead = self.task.vehicle.rear_axle_to_center + 0.5 * self.task.vehicle.length
        out.ego[:_LIMIT] = ego[[SPEED, ACCELERATION, STEERING, YAW_RATE]]
        out.ego[_STOP : _GOAL + 1] = FAR
        out.ego[_GOAL + 1 :] = self._body
        left = self._goal - float(o.route_progress[0]) - ahead
        if left < FAR:
            out.ego[_GOAL] = max(left, 0.0)
        followed = self.follower.follow(ego, o.time)
        # The search takes the route's nearest lane, however far that is.
        if followed is None or not abs(followed[1][3]) <= how.reach:
            return
        frame, state = followed
        if self.follower.way is not self._way:
            self._way = self.follower.way
            self._on_route = on_route(self.task.roadmap, self._way)
            self._rows = frame.rows.copy()
            self._rows[:, [columns.EDGE_LEFT, columns.EDGE_RIGHT]] = exact_edges(frame, self.task.roadmap)
        sense_way(
            ego, self._rows, frame.step, *frame.origin.tolist(), state, ahead, frame.stops, frame.signals,
            o.signals, frame.give_way, FAR, how.route_step, how.route_behind, out.ego, out.route,
            out.route_valid,
        )  # fmt: skip


def on_route(roadmap: RoadMap, way: Way | None) -> NDArray[np.bool_]:
    """Which lanes `(L,)` of a map belong to a way's route."""
    marked = np.zeros(roadmap.num_lanes, dtype=np.bool_)
    if way is not None:
        marked[list(way.on_route)] = True
    return marked
