"""A planner's session in a CARLA world: what it has seen so far, its observations, and the run log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.geometry import Projector
from drive.planner import Observation
from drive.scenario import Provenance, Scenario, Task, Tracks
from drive.sim.asking import Question, ask, guarded
from drive.sim.carla.advice import advised
from drive.sim.driven import Driven, own_copy
from drive.sim.kernels.layout import Controller
from drive.sim.loop import run_log
from drive.sim.observe import Observer, Record, invented_past
from drive.sim.sight import Sight
from drive.sim.trackers import LQRTracker
from drive.sim.visibility import Visibility
from drive.vehicle import ACCELERATION, STEERING, YAW_RATE, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planner import Plan, Planner
    from drive.roadmap import RoadMap
    from drive.runlog import RunLog
    from drive.scenario import Route
    from drive.sim.carla.eyes import Body, Figures, Frame
    from drive.sim.carla.stops import StopSigns

    Floats = NDArray[np.float64]

DT = 0.1
"""Seconds between the samples that planners see and logs keep: two of CARLA's steps."""
WATCHDOG = 60.0
_NO_EDGES = np.zeros((0, 2, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Errand:
    """A route through a town: its map about `origin` (OpenDRIVE's coordinates), where it begins (rear axle's
    lane pose x, y, heading and the ground's height), how long it may take, and what is said of it."""

    id: str
    town: str
    roadmap: RoadMap
    route: Route
    start: tuple[float, float, float, float]
    origin: tuple[float, float]
    duration: float
    goal_station: float
    source: str = ""
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Pilot:
    """One planner on one errand. `note` each sample, then `think`; `log` when it is over."""

    errand: Errand
    planner: Planner
    figures: Figures
    stops: StopSigns
    seed: int = 0
    watchdog: float | None = WATCHDOG
    session: Any = None
    task: Task = field(init=False)
    period: int = 1
    plan: Plan | None = None
    egos: list[Floats] = field(default_factory=list)
    seen: list[Mapping[int, tuple[float, ...]]] = field(default_factory=list)
    signals: list[NDArray[np.uint8]] = field(default_factory=list)
    number: dict[int, int] = field(default_factory=dict)
    bodies: dict[int, Body] = field(default_factory=dict)
    calls: list[tuple[int, float, Plan]] = field(default_factory=list)
    line: Projector | None = None

    def __post_init__(self) -> None:
        e, spec = self.errand, self.planner.spec
        self.task = Task(advised(self.stops.known), e.route, self.figures.params, DT, e.duration, self.seed)
        self.period = max(round(1.0 / (spec.rate * DT)), 1)
        self.line = Projector(e.route.line)
        # Raises PlannerFailure.
        self.session = guarded(lambda: self.planner.start(self.task), self.watchdog)

    @property
    def time(self) -> float:
        return (len(self.egos) - 1) * DT

    def note(self, frame: Frame, bodies: Mapping[int, Body]) -> None:
        """Remember a sample; due every `DT`."""
        for i in frame.others:
            if i not in self.number:
                self.number[i] = len(self.number)
                self.bodies[i] = bodies[i]
        self.egos.append(frame.ego)
        self.seen.append(frame.others)
        self.signals.append(frame.signals)

    def think(self) -> Plan:
        """The plan to follow now: a new one where one is due. Raises PlannerFailure."""
        sample = len(self.egos) - 1
        if self.plan is None or sample % self.period == 0:
            answer = ask(Question(self.planner, self.session, self.observe(), self.watchdog))
            self.plan = own_copy(answer.plan)
            self.calls.append((sample, answer.seconds, self.plan))
        return self.plan

    def observe(self) -> Observation:
        """What the planner may know now: road users near by that it has seen so far, with their past."""
        h = max(round(self.planner.spec.history / DT), 0) + 1
        count, sample = len(self.number), len(self.egos) - 1
        past, there = np.zeros((count, h, 5)), np.zeros((count, h), dtype=np.bool_)
        for k, rows in enumerate(self.seen[-h:], start=h - min(h, sample + 1)):
            for i, row in rows.items():
                past[self.number[i], k] = row
                there[self.number[i], k] = True
        # Who was last seen before the history begins is nobody that a planner can use.
        kept = np.flatnonzero(there.any(1))
        own = np.stack(self.egos[-h:])
        if len(own) < h:
            own = np.concatenate((invented_past(self.egos[0], h - len(own), DT), own))
        bodies = list(self.bodies.values())
        now = self.egos[-1]
        signs = self.stops.states(now, self.figures.params)
        return Observation(
            time=sample * DT,
            step=sample,
            ego=now.copy(),
            ego_history=own,
            agents=past[kept, -1].copy(),
            agent_history=past[kept],
            agent_history_valid=there[kept],
            agent_size=np.array([bodies[k].size for k in kept], dtype=np.float64).reshape(-1, 3),
            agent_kind=np.array([int(bodies[k].kind) for k in kept], dtype=np.uint8),
            agent_id=kept.astype(np.int64),
            agent_valid=there[kept, -1].copy(),
            existence=there[kept, -1].astype(np.float64),
            covariance=np.zeros((len(kept), 3, 3)),
            occlusion_edges=_NO_EDGES,
            signals=np.concatenate((self.signals[-1], signs)),
            route_progress=self.progress(),
        )

    def progress(self) -> Floats:
        """Station and offset on the route's line of the rear axle."""
        if self.line is None:
            return np.array([np.nan, np.nan])
        station, offset, _ = self.line(self.egos[-1][None, :2])
        return np.array([station[0], offset[0]])

    def log(
        self,
        header: Mapping[str, Any],
        failure: dict[str, str] | None = None,
        events: tuple[dict[str, Any], ...] = (),
        keep_candidates: int = 8,
    ) -> RunLog:
        """The run as it went, as every run of the toolkit is kept."""
        scenario, record = self._scenario()
        n, ego = len(self.egos), np.stack(self.egos)
        task, visibility = self.task, Visibility(everybody=True)
        observer = Observer.of(
            scenario, task, Sight.of(scenario, 0, task.vehicle, visibility), self._bare_spec()
        )
        observer.seen[:] = record.presence
        observer.seen[:, 0] = False
        control = np.zeros((max(n - 1, 0), 2))
        if n > 1:
            control[:, 0] = ego[1:, ACCELERATION]
            control[:, 1] = np.diff(ego[:, STEERING]) / DT
        turning = np.concatenate(([0.0], np.diff(ego[:, YAW_RATE]) / DT)) if n > 1 else np.zeros(n)
        driven = Driven(
            0, task.vehicle, self.planner, self.session, observer, LQRTracker(DT), self.period, ego, control,
            turning, plan_step=[c[0] for c in self.calls], latency=[c[1] for c in self.calls],
            plans=[c[2] for c in self.calls],
        )  # fmt: skip
        controller = np.full(scenario.tracks.num_agents, Controller.LOG, dtype=np.uint8)
        about = {
            "seed": self.seed,
            "realtime": False,
            "visibility": "all",
            "detection": "none",
            "drivers": {},
            **header,
        }
        return run_log(
            scenario, scenario.content_hash, False, controller, record, [driven], n, failure,
            keep_candidates, about, events,
        )  # fmt: skip

    def _bare_spec(self) -> Any:
        return replace(self.planner.spec, cameras=())

    def _scenario(self) -> tuple[Scenario, Record]:
        """What happened, as a scenario and a record of it; the ego is its first track."""
        e, n, count = self.errand, len(self.egos), len(self.number) + 1
        ego, vehicle = np.stack(self.egos), self.figures.params
        centers, presence = np.zeros((n, count, 5)), np.zeros((n, count), dtype=np.bool_)
        centers[:, 0, :2] = rear_to_center(ego, vehicle.rear_axle_to_center)
        centers[:, 0, 2] = ego[:, 2]
        centers[:, 0, 3], centers[:, 0, 4] = ego[:, 3] * np.cos(ego[:, 2]), ego[:, 3] * np.sin(ego[:, 2])
        presence[:, 0] = True
        for k, rows in enumerate(self.seen):
            for i, row in rows.items():
                centers[k, self.number[i] + 1] = row
                presence[k, self.number[i] + 1] = True
        bodies = list(self.bodies.values())
        rear = [
            vehicle.rear_axle_to_center,
            *(0.28 * b.size[0] if b.kind.is_motor_vehicle else 0.0 for b in bodies),
        ]
        tracks = Tracks(
            centers.swapaxes(0, 1),
            presence.T,
            np.array([(vehicle.length, vehicle.width, vehicle.height), *(b.size for b in bodies)]),
            np.array([0, *(int(b.kind) for b in bodies)], dtype=np.uint8),
            np.array(rear),
            ("ego", *(f"carla_{i}" for i in self.number)),
        )
        signals = np.stack(self.signals, axis=1)
        scenario = Scenario(
            id=e.id,
            dt=DT,
            duration=max(n - 1, 1) * DT,
            environment=self.stops.logged,
            tracks=tracks if n > 1 else _twice(tracks),
            ego=0,
            initial=ego[0],
            vehicle=vehicle,
            route=e.route,
            expert=None,
            signals=signals if n > 1 else np.repeat(signals, 2, axis=1),
            origin=e.origin,
            family="carla_routes",
            tags=e.tags,
            provenance=Provenance(source=e.source, format="CARLA routes", notes=e.notes),
        )
        if n == 1:
            centers, presence = np.repeat(centers, 2, axis=0), np.repeat(presence, 2, axis=0)
        return scenario, Record(centers, presence, np.array(scenario.signals))


def _twice(t: Tracks) -> Tracks:
    """A scenario has two samples at least."""
    states, valid = np.repeat(t.states, 2, axis=1), np.repeat(t.valid, 2, axis=1)
    return Tracks(states, valid, t.size, t.kind, t.rear_to_centre, t.ids)
