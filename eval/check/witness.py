"""Drives a planner and watches every call: what it was given, what it answered, and how long it took."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import drive
from drive.errors import PlannerTimeoutError
from drive.geometry import wrap_angle
from drive.planner import Observation, Plan, PlanStatus
from drive.roadmap import hash_arrays
from drive.sim.driven import own_copy
from drive.sim.loop import simulate
from drive.trajectory import Trajectory
from drive.vehicle import HEADING, SPEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Planner, PlannerSpec, Session
    from drive.scenario import Scenario, Task

    Floats = NDArray[np.float64]

ALONG, BESIDE, TURNED, FASTER = 0.5, 2.5, 0.6, 2.0
"""How far a plan may begin from the ego: m along and beside its heading, rad, and m/s. It may begin at the
ego's foot on the line that it follows."""
TIME = 1e-6
WATCHDOG = 60.0


class EnoughError(BaseException):
    """Ends a drive from inside the planner's call; the loop takes it for no fault of the planner."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call: copies of what went in and came out, and the seconds that it took."""

    observation: Observation
    plan: Plan
    seconds: float


@dataclass(slots=True, eq=False)
class Drive:
    """What was seen in one drive. `faults` has the first sentence of each kind: start, horizon, inputs."""

    scene: str
    task: Task | None = None
    calls: list[Call] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    timeout: bool = False
    beside: float = 0.0

    def fault(self, kind: str, sentence: str) -> None:
        self.faults.setdefault(kind, f"{self.scene}, {self._now}: {sentence}")

    @property
    def _now(self) -> str:
        return f"call {len(self.calls)}" if self.calls else "first call"


@dataclass(frozen=True, slots=True, eq=False)
class _Witness:
    """The planner as the loop sees it."""

    planner: Planner
    seen: Drive
    limit: int
    allowance: float

    @property
    def spec(self) -> PlannerSpec:
        return self.planner.spec

    def start(self, task: Task) -> _WatchedSession:
        self.seen.task = task
        try:
            session = self.planner.start(task)
        except Exception as error:
            _told(self.seen, error)
            raise
        return _WatchedSession(self, session)


@dataclass(frozen=True, slots=True, eq=False)
class _WatchedSession:
    witness: _Witness
    session: Session

    def plan(self, observation: Observation) -> Plan:
        w, seen = self.witness, self.witness.seen
        used = sum(call.seconds for call in seen.calls)
        if len(seen.calls) >= w.limit or (seen.calls and used > w.allowance):
            raise EnoughError
        given = copied(observation)
        begin = time.perf_counter()
        try:
            plan = self.session.plan(observation)
        except Exception as error:
            _told(seen, error)
            raise
        took = time.perf_counter() - begin
        if changed := differing(observation, given):
            seen.fault("inputs", f"it changes the observation's {', '.join(changed)}")
        if isinstance(plan, Plan) and isinstance(plan.trajectory, Trajectory):
            _judge(seen, given, plan, w.spec)
            seen.calls.append(Call(given, own_copy(plan), took))
        return plan


def watch(
    planner: Planner,
    scenario: Scenario,
    scene: str,
    *,
    seconds: float,
    allowance: float,
    seed: int = 0,
    traffic: str = "idm",
    realtime: bool = False,
    detection: str = "none",
) -> Drive:
    """Drive the first `seconds` of a scene; a planner gets at most about `allowance` s to think in all."""
    seen = Drive(scene)
    limit = max(round(seconds * min(planner.spec.rate, 1.0 / scenario.dt)), 3)
    before = _fingerprint(scenario)
    try:
        run = simulate(
            scenario,
            _Witness(planner, seen, limit, allowance),
            traffic=traffic,
            seed=seed,
            realtime=realtime,
            detection=detection,
            watchdog=WATCHDOG,
        )
    except EnoughError:
        pass
    else:
        if run.header["failure"] is not None:
            reason = seen.failure or run.header["failure"]["reason"].removeprefix("PlanError: ")
            seen.failure = f"{scene}, {run.times[-1]:.1f} s: {reason}"
            seen.timeout = run.header["failure"]["class"] == "planner_timeout"
    if _fingerprint(scenario) != before:
        seen.fault("inputs", "it changes the map, the route or the log that it was given")
    return seen


def copied(observation: Observation) -> Observation:
    """The observation with arrays of its own."""
    arrays: dict[str, Any] = {
        f.name: value.copy()
        for f in fields(Observation)
        if isinstance(value := getattr(observation, f.name), np.ndarray)
    }
    images = {name: image.copy() for name, image in observation.images.items()}
    return replace(observation, **arrays, extras=dict(observation.extras), images=images)


def differing(observation: Observation, before: Observation) -> list[str]:
    """The names of the fields in which two observations differ."""
    return [
        f.name
        for f in fields(Observation)
        if f.name != "forecasts" and not _same(getattr(observation, f.name), getattr(before, f.name))
    ]


def first_difference(one: list[Call], other: list[Call]) -> str | None:
    """Where two drives' plans part, in words; None where they are bit-equal."""
    for a, b in zip(one, other, strict=False):
        when = f"at {a.observation.time:.1f} s"
        if a.plan.status != b.plan.status:
            return f"{when} the status is {a.plan.status} once and {b.plan.status} once"
        s, t = a.plan.trajectory, b.plan.trajectory
        if s.states.shape != t.states.shape or not np.array_equal(s.times, t.times):
            return f"{when} the plans have other times"
        if not np.array_equal(s.states, t.states):
            gap = np.abs(s.states - t.states)
            where = f"{gap[:, :2].max():.2g} m and {gap[:, SPEED].max():.2g} m/s"
            return f"{when} the plans differ by up to {where}"
        for part in ("control", "candidates"):
            if not _same_parts(getattr(a.plan, part), getattr(b.plan, part)):
                return f"{when} the plans' {part} differ"
    if len(one) != len(other):
        return f"one drive has {len(one)} plans, the other {len(other)}"
    return None


def _judge(seen: Drive, given: Observation, plan: Plan, spec: PlannerSpec) -> None:
    """Where the plan begins, how far it reaches and in which steps; the loop itself judges the rest."""
    times, first = plan.trajectory.times, plan.trajectory.states[0]
    if not np.isfinite(first).all() or len(times) < 2:
        return
    beside, fault = _start_fault(first, given.ego, plan.status)
    log = seen.task.log if seen.task is not None else None
    if fault is not None and log is not None and log.expert is not None:
        # A privileged planner may begin where the recorded driver is.
        beside, fault = _start_fault(first, log.expert.states[given.step], plan.status)
    seen.beside = max(seen.beside, beside)
    if fault is not None:
        seen.fault("start", fault)
    step = np.diff(times)
    clock = seen.task.dt if seen.task is not None else spec.dt
    if min(np.abs(step - dt).max() for dt in (spec.dt, clock)) > TIME:
        worst = float(step[np.argmax(np.abs(step - spec.dt))])
        seen.fault("horizon", f"the plan has a step of {worst:.3g} s, declared are {spec.dt:g} s")
    elif abs(times[-1] - times[0] - spec.horizon) > 0.5 * spec.dt + TIME:
        reach = times[-1] - times[0]
        seen.fault("horizon", f"the plan reaches {reach:.2f} s ahead, declared are {spec.horizon:g} s")


def _start_fault(first: Floats, ego: Floats, status: PlanStatus) -> tuple[float, str | None]:
    """How far beside the ego a plan's first state lies, and what is wrong with it."""
    x, y = first[:2] - ego[:2]
    c, s = np.cos(ego[HEADING]), np.sin(ego[HEADING])
    along, beside = float(c * x + s * y), float(c * y - s * x)
    turned = float(wrap_angle(first[HEADING] - ego[HEADING]))
    places = [f"{abs(along):.2f} m {'ahead of' if along > 0 else 'behind'}"] if abs(along) > ALONG else []
    places += [f"{abs(beside):.2f} m beside"] if abs(beside) > BESIDE else []
    if places:
        return abs(beside), f"the plan begins {' and '.join(places)} the ego"
    if abs(turned) > TURNED:
        return abs(beside), f"the plan begins turned by {np.degrees(turned):.0f}° against the ego"
    # A plan that brakes in an emergency may name the speed that the tracker is to aim at.
    if abs(first[SPEED] - ego[SPEED]) > FASTER and status == PlanStatus.OK:
        return abs(beside), f"the plan begins at {first[SPEED]:.1f} m/s, the ego has {ego[SPEED]:.1f} m/s"
    return abs(beside), None


def _told(seen: Drive, error: Exception) -> None:
    """Keep the line of the planner's own code in which an exception arose: the author will want it."""
    if isinstance(error, PlannerTimeoutError):
        seen.failure = str(error)
        return
    frames = traceback.extract_tb(error.__traceback__)[1:]
    home = str(Path(drive.__file__).parent)
    own = [f for f in frames if "site-packages" not in f.filename and not f.filename.startswith(home)]
    where = f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""
    text = " ".join(str(error).split())
    seen.failure = f"{where}{type(error).__name__}: {text}" if text else f"{where}{type(error).__name__}"


def _fingerprint(scenario: Scenario) -> str:
    """Digest of the arrays that planners are handed, computed afresh."""
    t = scenario.tracks
    arrays: dict[str, Any] = {"line": scenario.route.line, "initial": scenario.initial}
    arrays |= {"signals": scenario.signals, "states": t.states, "valid": t.valid, "size": t.size}
    return hash_arrays({**scenario.environment.to_arrays(), **arrays})


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def _same_parts(one: Any, other: Any) -> bool:
    """Whether two controls or sets of candidates hold the same."""
    if one is None or other is None:
        return one is other
    for f in fields(one):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if isinstance(a, dict):
            if a.keys() != b.keys() or not all(_same(np.asarray(a[k]), np.asarray(b[k])) for k in a):
                return False
        elif not _same(a, b):
            return False
    return True
