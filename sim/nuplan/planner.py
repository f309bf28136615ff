"""Any of our planners as a planner of the nuPlan devkit.

Written against motional/nuplan-devkit at e924167, `planning/simulation/planner/abstract_planner.py`.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from nuplan.planning.simulation.observation.observation_type import DetectionsTracks
from nuplan.planning.simulation.planner.abstract_planner import AbstractPlanner
from nuplan.planning.simulation.trajectory.interpolated_trajectory import InterpolatedTrajectory

from drive.errors import InputError, PlanError
from drive.geometry import Projector, wrap_angle
from drive.planner import Observation, check_plan
from drive.registry import load_planner
from drive.scenario import Task
from drive.sim.nuplan.convert import KIND_OF, Signals, ego_row, ego_state, object_row, vehicle_params
from drive.trajectory import Trajectory
from drive.vehicle import ACCELERATION, HEADING, SPEED, STEERING, YAW_RATE, X, Y

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from nuplan.planning.simulation.planner.abstract_planner import PlannerInitialization, PlannerInput

    from drive.planner import Planner, Session
    from drive.roadmap.model import RoadMap
    from drive.scenario import Route
    from drive.sim.nuplan.convert import Place

    Floats = NDArray[np.float64]

HORIZON = 8.0
"""s that the devkit's metrics of plans look ahead."""
DURATION = 20.0
"""s that planners are told a drive takes: the devkit does not say, and no scenario of it is longer."""
_NO_EDGES = np.zeros((0, 2, 2))


class Scout(Protocol):
    """Reads road map, route and origin from a map's file: the readers live in another room."""

    def __call__(
        self,
        gpkg: Path,
        pose: tuple[float, float, float],
        roadblocks: Sequence[str],
        goal: tuple[float, float] | None,
    ) -> tuple[RoadMap, Route, Place]:
        """`pose` of the ego's rear axle and `goal` are in the map's projection, as the origin is."""
        ...


class ToolkitPlanner(AbstractPlanner):  # type: ignore[misc]
    """One of our planners in the devkit's simulation.

    `planner` is an object or a name as `drive list planners` has them, with `settings` for a name; `scout`
    reads the map. Plans that end before `horizon` seconds go on with their last speed and curvature;
    `extended` counts them, `statuses` holds the status and reason of each plan. The planner sees all that
    the devkit's tracks hold, and of occlusion nothing. Raises InputError for a planner that needs the log,
    a terrain or cameras.
    """

    requires_scenario = False

    def __init__(
        self,
        planner: str | Planner,
        scout: Scout,
        settings: Mapping[str, object] | None = None,
        seed: int = 0,
        horizon: float = HORIZON,
    ) -> None:
        made = load_planner(planner, settings) if isinstance(planner, str) else planner
        spec = made.spec
        if spec.privileged or "terrain" in spec.needs or spec.cameras:
            what = "the log" if spec.privileged else "terrain" if "terrain" in spec.needs else "cameras"
            raise InputError(f"planner '{spec.name}' needs {what}, which the nuPlan devkit does not give it")
        self.planner, self.scout, self.seed, self.horizon = made, scout, seed, horizon
        self._name = f"drive_{spec.name}"
        self._told: PlannerInitialization | None = None
        self._drive: _Drive | None = None
        self.extended = 0
        self.statuses: list[tuple[str, str]] = []

    def name(self) -> str:
        """Inherited."""
        return self._name

    def observation_type(self) -> Any:
        """Inherited."""
        return DetectionsTracks

    def initialize(self, initialization: PlannerInitialization) -> None:
        """Inherited. The session begins at the first call, which knows where the ego is."""
        self._told, self._drive = initialization, None
        self.extended, self.statuses = 0, []

    def compute_planner_trajectory(self, current_input: PlannerInput) -> InterpolatedTrajectory:
        """Inherited. Between two calls that our planner's rate asks for, the last plan is given again."""
        if self._told is None:
            raise PlanError("the devkit asks for a plan before it initialised the planner")
        if self._drive is None:
            self._drive = _Drive.start(self, self._told, current_input)
        drive = self._drive
        observation = drive.observe(current_input)
        if drive.last is not None and observation.step % drive.period:
            return drive.last
        plan = check_plan(drive.session.plan(observation), observation.time)
        self.statuses.append((str(plan.status.value), plan.reason))
        lasting = prolong(plan.trajectory, drive.dt, self.horizon + (drive.period - 1) * drive.dt)
        self.extended += lasting is not plan.trajectory
        drive.last = drive.hand_over(lasting, current_input)
        return drive.last


def prolong(trajectory: Trajectory, dt: float, horizon: float) -> Trajectory:
    """The trajectory itself if it lasts `horizon` s, else carried on by its last speed and curvature."""
    missing = horizon - trajectory.duration
    if missing <= 1e-6:
        return trajectory
    steps = math.ceil(missing / dt - 1e-6)
    last, times = trajectory.states[-1], trajectory.times
    speed, turn = float(last[SPEED]), 0.0
    if len(times) > 1:
        before = trajectory.states[-2]
        turn = float(wrap_angle(last[HEADING] - before[HEADING])) / float(times[-1] - times[-2])
        paced = 0.5 * (speed + float(before[SPEED]))
        # The curvature holds, not the yaw rate: whoever has come to rest turns no further.
        turn = turn * speed / paced if abs(paced) > 1e-3 else 0.0
    k = np.arange(1, steps + 1)
    heading = last[HEADING] + turn * dt * k
    middle = heading - 0.5 * turn * dt
    states = np.tile(last, (steps, 1))
    states[:, X] += speed * dt * np.cumsum(np.cos(middle))
    states[:, Y] += speed * dt * np.cumsum(np.sin(middle))
    states[:, HEADING] = wrap_angle(heading)
    states[:, ACCELERATION] = 0.0
    states[:, YAW_RATE] = turn
    return Trajectory(
        np.concatenate((times, times[-1] + dt * k)), np.concatenate((trajectory.states, states))
    )


class _Drive:
    """One scenario's session, and what of it was seen so far."""

    def __init__(self, session: Session, task: Task, origin: Place, start_us: int, history: int) -> None:
        self.session, self.task, self.origin, self.start_us = session, task, origin, start_us
        self.dt, self.history = task.dt, history
        self.period = 1
        self.last: InterpolatedTrajectory | None = None
        self.signals = Signals(task.roadmap)
        line = task.route.line
        known = len(line) > 1 and not bool((line == line[0]).all())
        self.route = Projector(line) if known else None
        self.egos: deque[Floats] = deque(maxlen=history)
        self.seen: deque[dict[int, tuple[float, ...]]] = deque(maxlen=history)
        self.number: dict[str, int] = {}
        self.size: list[tuple[float, float, float]] = []
        self.kind: list[int] = []

    @classmethod
    def start(cls, owner: ToolkitPlanner, told: PlannerInitialization, first: PlannerInput) -> _Drive:
        history = first.history
        ego = history.ego_states[-1]
        rear = ego.rear_axle
        goal = told.mission_goal
        roadmap, route, origin = owner.scout(
            map_file(told.map_api),
            (rear.x, rear.y, rear.heading),
            tuple(told.route_roadblock_ids),
            None if goal is None else (goal.x, goal.y),
        )
        spec = owner.planner.spec
        dt = round(history.sample_interval or 0.1, 6)
        vehicle = vehicle_params(ego.car_footprint.vehicle_parameters)
        task = Task(roadmap, route, vehicle, dt, DURATION, owner.seed)
        rows = max(round(spec.history / dt), 0) + 1
        drive = cls(owner.planner.start(task), task, origin, first.iteration.time_us, rows)
        drive.period = max(round(1.0 / (spec.rate * dt)), 1)
        for state, tracks in list(zip(history.ego_states, history.observations, strict=True))[-rows:-1]:
            drive.note(state, tracks)
        while len(drive.egos) < rows - 1:  # the devkit remembers two seconds
            drive.egos.appendleft(_earlier(drive.egos[0] if drive.egos else ego_row(ego, origin), dt))
            drive.seen.appendleft({})
        return drive

    def note(self, state: Any, tracks: DetectionsTracks) -> None:
        """Remember one sample."""
        self.egos.append(ego_row(state, self.origin))
        now: dict[int, tuple[float, ...]] = {}
        for thing in tracks.tracked_objects:
            if thing.tracked_object_type not in KIND_OF:
                continue
            name = str(thing.track_token)
            if name not in self.number:
                self.number[name] = len(self.size)
                box = thing.box
                self.size.append((box.length, box.width, box.height))
                self.kind.append(int(KIND_OF[thing.tracked_object_type]))
            now[self.number[name]] = object_row(thing, self.origin)
        self.seen.append(now)

    def observe(self, given: PlannerInput) -> Observation:
        """Our observation of the devkit's input, whose latest sample is now."""
        ego, tracks = given.history.current_state
        self.note(ego, tracks)
        h, count = self.history, len(self.size)
        past, seen = np.zeros((count, h, 5)), np.zeros((count, h), dtype=np.bool_)
        for sample, rows in enumerate(self.seen):
            for number, row in rows.items():
                past[number, sample] = row
                seen[number, sample] = True
        now = self.egos[-1]
        progress = np.array([np.nan, np.nan])
        if self.route is not None:
            station, offset, _ = self.route(now[None, :2])
            progress = np.array([station[0], offset[0]])
        return Observation(
            time=1e-6 * (given.iteration.time_us - self.start_us),
            step=int(given.iteration.index),
            ego=now.copy(),
            ego_history=np.stack(self.egos),
            agents=past[:, -1].copy(),
            agent_history=past,
            agent_history_valid=seen,
            agent_size=np.asarray(self.size, dtype=np.float64).reshape(-1, 3),
            agent_kind=np.asarray(self.kind, dtype=np.uint8),
            agent_id=np.arange(count, dtype=np.int64),
            agent_valid=seen[:, -1].copy(),
            existence=seen[:, -1].astype(np.float64),
            covariance=np.zeros((count, 3, 3)),
            occlusion_edges=_NO_EDGES,
            signals=self.signals.read(given.traffic_light_data),
            route_progress=progress,
        )

    def hand_over(self, plan: Trajectory, given: PlannerInput) -> InterpolatedTrajectory:
        """The plan as the devkit's trajectory; it begins at the present microsecond."""
        ego = given.history.ego_states[-1]
        vehicle = ego.car_footprint.vehicle_parameters
        since = np.rint(1e6 * (plan.times - plan.times[0])).astype(np.int64) + given.iteration.time_us
        return InterpolatedTrajectory(
            [
                ego_state(row, time, self.origin, vehicle)
                for row, time in zip(plan.states, since.tolist(), strict=True)
            ]
        )


def map_file(map_api: Any) -> Path:
    """The file of a devkit map. Raises InputError where it is no map of files."""
    store, name = getattr(map_api, "_maps_db", None), getattr(map_api, "map_name", None)
    root = getattr(store, "_map_root", None)
    if store is None or root is None or not name:
        raise InputError(f"the devkit's map is a {type(map_api).__name__}, which does not lie in a file")
    return Path(root) / str(name) / str(store.get_version(name)) / "map.gpkg"


def _earlier(row: Floats, dt: float) -> Floats:
    """The state one step before a state, at constant speed and heading."""
    out = row.copy()
    out[X] -= dt * row[SPEED] * math.cos(row[HEADING])
    out[Y] -= dt * row[SPEED] * math.sin(row[HEADING])
    out[[ACCELERATION, STEERING, YAW_RATE]] = 0.0
    return out
