"""The planner contract: what a planner is told, what it answers, and how it is declared.

A planner holds what is shared (configuration, weights, cached factors); a session holds what belongs
to one agent in one scenario. A planner without memory is one function under `@planner`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np

from drive._numbers import is_finite
from drive.camera import CameraSpec as CameraSpec
from drive.errors import InputError, PlanError
from drive.trajectory import Trajectory
from drive.vehicle import STATE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from drive.scenario import Task

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PlannerSpec:
    """What a planner needs and promises.

    `horizon` and `dt` in s of its trajectories (their step may also be the scene's); `rate` in Hz at which
    it is called; `history` in s of past states it reads; `needs` any of "road", "terrain", "route",
    "forecast", "occlusion"; `privileged` planners see the log; `deterministic` under a seed.
    Times are finite and positive.
    """

    name: str
    horizon: float = 8.0
    dt: float = 0.1
    rate: float = 10.0
    history: float = 0.0
    needs: tuple[str, ...] = ("road",)
    cameras: tuple[CameraSpec, ...] = ()
    privileged: bool = False
    deterministic: bool = True

    def __post_init__(self) -> None:
        for what in ("horizon", "dt", "rate"):
            value = getattr(self, what)
            if not (np.isfinite(value) and value > 0.0):
                raise InputError(
                    f"planner '{self.name}': its {what} must be positive and finite, got {value}"
                )
        names = [getattr(camera, "name", None) for camera in self.cameras]
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"planner '{self.name}': two of its cameras are called '{twice.pop()}'")


@dataclass(frozen=True, slots=True, eq=False)
class Forecasts:
    """Predicted motion of the agents, in the order of the observation's rows.

    `times (T,)` absolute; `mean (A, M, T, 3)` poses of box centres for M modes; `covariance
    (A, M, T, 2, 2)` of the position; `probability (A, M)`.
    """

    times: Floats
    mean: Floats
    covariance: Floats
    probability: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What a planner may know now, in scenario coordinates. A row view of an `ObservationBatch`.

    Agents are those that it has seen so far (`drive.sim.sight` says who is seen): whoever was always hidden
    or absent has no row, and a row holds zeros at the samples at which its agent was not seen. A run may ask
    for a sensor with faults (`drive.sim.detection`): then seen means detected, and places and velocities are
    those that it measured.
    """

    time: float
    """s."""
    step: int
    """Which sample of the run it is; the first is 0."""
    ego: Floats
    """`(7,)` rear-axle state in the columns of `drive.vehicle`, `(10,)` where the world is not flat."""
    ego_history: Floats
    """`(H, 7)` past states, oldest first, the last one is now; every `dt` of the task."""
    agents: Floats
    """`(A, 5)` box centres in `drive.scenario.TRACK_COLUMNS`."""
    agent_history: Floats
    """`(A, H, 5)`."""
    agent_history_valid: Bools
    """`(A, H)` whether it was seen then."""
    agent_size: Floats
    """`(A, 3)` length, width and height in m."""
    agent_kind: NDArray[np.uint8]
    """`(A,)` of AgentKind."""
    agent_id: NDArray[np.int64]
    """`(A,)` stable over a run."""
    agent_valid: Bools
    """`(A,)` seen now."""
    existence: Floats
    """`(A,)` probability that the agent is there: 1 if seen now, else 0; with a sensor with faults in (0, 1),
    rising with each detection and falling with each miss, 0 once it is below 0.05. Who is missed now keeps
    it for a while, and was last where its history says."""
    covariance: Floats
    """`(A, 3, 3)` of x, y, heading, as of the latest detection; zero for an exact sensor."""
    occlusion_edges: Floats
    """`(E, 2, 2)` segments that part what is seen from what is hidden: from each corner of a building, truck
    or van that is in sight, along the ray from the sensor, to the next occluder or the end of the range
    (200 m if unlimited). The hidden side lies left of the way from the first point to the second. Nothing
    that is lower than the occluder can be seen there. Filled for planners that need "occlusion"; rows of NaN
    are padding."""
    signals: NDArray[np.uint8]
    """`(S,)` of SignalState, in the order of the map's `signal_ids`."""
    route_progress: Floats
    """`(2,)` station and lateral offset in m on the route's line, NaN without a route."""
    forecasts: Forecasts | None = None
    """Of a forecaster, where the run has one."""
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    """By the name of the `CameraSpec`: `(frames, height, width, 3)`, oldest first, red green blue. The latest
    picture is the one taken at or before now at the camera's own rate; before the first one the first is
    repeated. Drawn from the truth (`drive.sim.sensors.camera`)."""
    extras: Mapping[str, float] = field(default_factory=dict)
    """Battery, power, slip and the like."""
    time_budget: float | None = None
    """Seconds that the planner may use, None where iteration caps alone decide."""


@dataclass(frozen=True, slots=True, eq=False)
class ObservationBatch:
    """Observations of W sessions at one time; every array of `Observation` with a leading axis W."""

    time: Floats
    step: NDArray[np.int64]
    ego: Floats
    ego_history: Floats
    agents: Floats
    agent_history: Floats
    agent_history_valid: Bools
    agent_size: Floats
    agent_kind: NDArray[np.uint8]
    agent_id: NDArray[np.int64]
    agent_valid: Bools
    existence: Floats
    covariance: Floats
    occlusion_edges: Floats
    signals: NDArray[np.uint8]
    route_progress: Floats
    forecasts: Sequence[Forecasts] | None = None
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    extras: Mapping[str, Floats] = field(default_factory=dict)
    time_budget: float | None = None

    def __len__(self) -> int:
        return len(self.ego)

    def __getitem__(self, row: int) -> Observation:
        """The observation of one session: views, no copies."""
        arrays = {name: getattr(self, name)[row] for name in _ROW_ARRAYS}
        return Observation(
            time=float(self.time[row]),
            step=int(self.step[row]),
            **arrays,
            forecasts=None if self.forecasts is None else self.forecasts[row],
            images={name: image[row] for name, image in self.images.items()},
            extras={name: float(value[row]) for name, value in self.extras.items()},
            time_budget=self.time_budget,
        )


_ROW_ARRAYS = tuple(
    f.name
    for f in fields(Observation)
    if f.name not in ("time", "step", "forecasts", "images", "extras", "time_budget")
)


class ControlKind(StrEnum):
    """What the columns of `Control.values` mean."""

    ACCELERATION_STEERING = "acceleration_steering"  # m/s^2, rad
    PEDALS = "pedals"  # throttle 0..1, steering -1..1, brake 0..1
    SPEED_YAW_RATE = "speed_yaw_rate"  # m/s, rad/s


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """Controls `values (N, k)` held for `dt` seconds each, from the plan's first time on."""

    kind: ControlKind
    values: Floats
    dt: float


class PlanStatus(StrEnum):
    """How a plan came about, from best to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    FALLBACK = "fallback"
    INFEASIBLE = "infeasible"
    TIMEOUT = "timeout"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What else was considered: `states (K, T, S)` at `times (T,)`.

    `scores` by name `(K,)`, `probability (K,)` where known, `chosen` the row that was taken (-1 none),
    `shared_steps` how many first steps all candidates share (branches of one plan).
    """

    times: Floats
    states: Floats
    scores: Mapping[str, Floats] = field(default_factory=dict)
    probability: Floats | None = None
    chosen: int = -1
    shared_steps: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """A quantity over the ground around the ego, for the replay: a risk, a cost, an occupancy; not negative.

    `values (R, C)`, rows to the left and columns forward of `pose (3,)`, the raster's back right corner
    in scenario coordinates; square cells of `cell` m. All rasters of a run have one shape.
    """

    name: str
    values: Floats
    pose: Floats
    cell: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A planner's answer: a trajectory at the rear axle, in scenario coordinates and absolute times.

    It begins at the observation's time, where the ego is; planners that plan along a line may begin at
    the ego's foot on it, for a tracker corrects only an offset that it is shown. `control`, where given,
    is what the host applies if it accepts that kind; `figures` are named numbers for charts; `heat`, where
    given, is drawn under the road users.
    """

    trajectory: Trajectory
    control: Control | None = None
    candidates: Candidates | None = None
    status: PlanStatus = PlanStatus.OK
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    heat: Heat | None = None

    @classmethod
    def from_poses(
        cls, observation: Observation, poses: ArrayLike, dt: float = 0.1, speed: ArrayLike | None = None
    ) -> Plan:
        """A plan through future poses `(T, 3)`, the first one `dt` after now; the ego's state is put first.

        `speed (T,)` in m/s goes with the poses; without it, speeds are finite differences.
        """
        p = np.asarray(poses, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] < 3:
            raise PlanError(f"poses must be (T, 3), got {p.shape}")
        for values in (p, () if speed is None else speed):
            if (np.abs(values) > MAX_STATE).any():  # what is no number is for `check_plan` to tell
                raise PlanError(f"poses or speeds of the plan are infinite, or beyond {MAX_STATE:g}")
        times = observation.time + dt * np.arange(len(p) + 1)
        v = None
        if speed is not None:
            v = np.concatenate((observation.ego[3:4], np.asarray(speed, dtype=np.float64)))
            if v.shape != times.shape:
                raise PlanError(f"the speeds must be ({len(p)},), one for each pose, got {np.shape(speed)}")
        made = Trajectory.from_poses(times, np.concatenate((observation.ego[None, :3], p[:, :3])), v)
        made.states[0] = observation.ego[:STATE_SIZE]
        return cls(made)


@runtime_checkable
class Session(Protocol):
    """One agent's planner in one scenario."""

    def plan(self, observation: Observation) -> Plan: ...


@runtime_checkable
class Planner(Protocol):
    """What is shared by all sessions. May also offer `plan_batch(sessions, observations)`."""

    @property
    def spec(self) -> PlannerSpec: ...

    def start(self, task: Task) -> Session: ...


@dataclass(frozen=True, slots=True, eq=False)
class _FunctionSession:
    function: Callable[[Observation, Task], Plan]
    task: Task

    def plan(self, observation: Observation) -> Plan:
        return self.function(observation, self.task)


@dataclass(frozen=True, slots=True, eq=False)
class FunctionPlanner:
    """A planner without memory, made of a function of the observation and the task."""

    spec: PlannerSpec
    function: Callable[[Observation, Task], Plan]

    def start(self, task: Task) -> Session:
        return _FunctionSession(self.function, task)

    def __call__(self, observation: Observation, task: Task) -> Plan:
        return self.function(observation, task)


@overload
def planner(name: Callable[[Observation, Task], Plan], /) -> FunctionPlanner: ...
@overload
def planner(
    name: str | None = None, **spec: Any
) -> Callable[[Callable[[Observation, Task], Plan]], FunctionPlanner]: ...
def planner(
    name: str | Callable[[Observation, Task], Plan] | None = None, **spec: Any
) -> FunctionPlanner | Callable[[Callable[[Observation, Task], Plan]], FunctionPlanner]:
    """Turn a function `(observation, task) -> Plan` into a planner; keywords go to `PlannerSpec`.

    `@planner`, `@planner()` and `@planner("mine", horizon=4.0)` all work; a name not given is the function's.
    """

    def wrap(function: Callable[[Observation, Task], Plan]) -> FunctionPlanner:
        return FunctionPlanner(PlannerSpec(given or function.__name__, **spec), function)

    given = name if isinstance(name, str) else None
    return wrap(name) if callable(name) else wrap


MAX_STATE = 1e7
"""No coordinate, speed or angle of a plan that can be driven is larger."""
MAX_SPAN = 600.0
MAX_HEAT_CELLS = 10_000
_CONTROL_WIDTH = {
    ControlKind.ACCELERATION_STEERING: 2,
    ControlKind.PEDALS: 3,
    ControlKind.SPEED_YAW_RATE: 2,
}


def check_plan(plan: object, time: float) -> Plan:
    """The plan itself if it can be driven, else PlanError with what is wrong.

    A plan that can be driven is a `Plan` with a finite trajectory that starts at `time` (to 1 ms), holds
    at least two states, none beyond `MAX_STATE`, and reaches at most `MAX_SPAN` seconds ahead; a control,
    if any, is finite and of the width that its kind asks for; candidates, if any, are finite and agree
    about their shapes; the status is known and the figures are numbers; a heat is finite and not too large.
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"the planner returned {type(plan).__name__} instead of a Plan")
    t = plan.trajectory
    if not isinstance(t, Trajectory):
        raise PlanError(f"the plan holds {type(t).__name__} instead of a Trajectory")
    if len(t) < 2:
        raise PlanError("the plan's trajectory holds fewer than two states")
    if not (np.isfinite(t.states).all() and np.isfinite(t.times).all()):
        raise PlanError("the plan's trajectory is not finite")
    if np.abs(t.states).max() > MAX_STATE or t.duration > MAX_SPAN:
        raise PlanError(f"the plan's trajectory leaves the bounds of {MAX_STATE:g} and {MAX_SPAN:g} s")
    if abs(t.times[0] - time) > 1e-3:
        raise PlanError(f"the plan starts at {t.times[0]:.3f} s instead of {time:.3f} s")
    if plan.control is not None:
        _check_control(plan.control)
    if plan.candidates is not None:
        _check_candidates(plan.candidates)
    if plan.status not in tuple(PlanStatus):
        raise PlanError(f"the plan's status '{plan.status}' is none of {', '.join(PlanStatus)}")
    for name, value in plan.figures.items():
        if not isinstance(value, (int, float, np.number)):
            raise PlanError(f"the plan's figure '{name}' is {type(value).__name__}, not a number")
    if plan.heat is not None:
        _check_heat(plan.heat)
    return plan


def _check_heat(heat: Heat) -> None:
    values, pose = np.asarray(heat.values), np.asarray(heat.pose)
    if values.ndim != 2 or not 0 < values.size <= MAX_HEAT_CELLS or not is_finite(values):
        raise PlanError(
            f"the plan's heat needs 1 to {MAX_HEAT_CELLS} finite values (R, C), got {values.shape}"
        )
    if values.min() < 0.0 or pose.shape != (3,) or not is_finite(pose):
        raise PlanError("the plan's heat needs values that are not negative, and a finite pose (3,)")
    if not (np.isfinite(heat.cell) and heat.cell > 0.0):
        raise PlanError(f"the plan's heat has cells of {heat.cell} m, which is no size")


def _check_control(control: Control) -> None:
    width = _CONTROL_WIDTH.get(control.kind)
    if width is None:
        raise PlanError(f"the plan's control is of the unknown kind '{control.kind}'")
    values = np.asarray(control.values)
    if values.ndim != 2 or len(values) == 0 or values.shape[1] != width or not is_finite(values):
        raise PlanError(f"the plan's control must be finite values (N, {width}), got {values.shape}")
    if not (np.isfinite(control.dt) and control.dt > 0.0):
        raise PlanError(f"the plan's control is held for {control.dt} s, which is not a positive time")


def _check_candidates(c: Candidates) -> None:
    states, times = c.states, c.times
    if not (isinstance(states, np.ndarray) and isinstance(times, np.ndarray)):
        raise PlanError("the plan's candidates must hold arrays")
    if states.ndim != 3 or times.shape != states.shape[1:2] or states.shape[2] < 3 or len(times) == 0:
        raise PlanError(f"the plan's candidates need times (T,) and states (K, T, S), got {states.shape}")
    if not (is_finite(states) and is_finite(times)):
        raise PlanError("the plan's candidates are not finite")
    count = len(states)
    by_name = {**c.scores, **({} if c.probability is None else {"probability": c.probability})}
    for name, values in by_name.items():
        if np.shape(values) != (count,):
            raise PlanError(f"the candidates' {name} must be ({count},), got {np.shape(values)}")
        if np.asarray(values).dtype.kind not in "fiub":
            raise PlanError(f"the candidates' {name} are not numbers")
    if not -1 <= c.chosen < max(count, 1):
        raise PlanError(f"the chosen candidate {c.chosen} is none of {count}")
