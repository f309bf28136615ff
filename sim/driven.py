"""One agent driven by a planner: its session, its plan, its state, and what is recorded of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planner import ControlKind, Plan, PlanStatus
from drive.scenario import Goal, Route, Task
from drive.sim.asking import PlannerFailure, Question, guarded
from drive.sim.detector import Detector
from drive.sim.observe import Observer
from drive.sim.sight import Sight
from drive.sim.trackers import make_tracker
from drive.sim.traffic.paths import match_lanes, recorded_line
from drive.sim.vehicles import apply_control, bicycle_step
from drive.vehicle import ACCELERATION, STEERING, YAW_RATE, VehicleParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.planner import Planner, Session
    from drive.scenario import Scenario
    from drive.sim.asking import Steps
    from drive.sim.detection import Detection
    from drive.sim.observe import Record
    from drive.sim.trackers import Tracker
    from drive.sim.visibility import Visibility

    Floats = NDArray[np.float64]

CANDIDATE_DT = 0.5
CANDIDATE_STEPS = 9
PLAN_ROWS = 41
"""Rows of a plan that the run log keeps: a picture needs no more."""
MAX_HEAT_VALUES = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Lead:
    """What the ego does first: it goes through `states (K, 7)`, samples 0 to K - 1, whatever is planned.

    With `ask` the planner is called all the same, so that its session remembers what it would have seen;
    without, its session begins at the last of these samples. `driver` says whose motion it is.
    """

    states: Floats
    ask: bool = False
    driver: str = ""


@dataclass(slots=True, eq=False)
class Driven:
    """A driven agent in the loop. `states (N, 7)` are filled as time goes, in float64."""

    row: int
    vehicle: VehicleParams
    planner: Planner
    session: Session
    observer: Observer
    tracker: Tracker
    period: int
    states: Floats
    control: Floats
    yaw_acceleration: Floats
    plan: Plan | None = None
    late: tuple[int, Plan] | None = None
    plan_step: list[int] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    lead: Lead | None = None
    # The time at which its own motion first leaves the one that it is led along.
    strayed: float = math.inf

    @classmethod
    def start(
        cls,
        scenario: Scenario,
        planner: Planner,
        row: int,
        seed: int,
        tracker: str,
        limit: float | None,
        visibility: Visibility,
        detection: Detection,
        lead: Lead | None = None,
    ) -> Driven:
        """Open the planner's session for the track `row`; raises PlannerFailure."""
        spec = planner.spec
        task = (
            Task.of(scenario, seed, spec.privileged)
            if row == scenario.ego
            else task_of_track(scenario, row, seed)
        )
        n = scenario.num_steps + 1
        states = np.zeros((n, 7))
        states[0] = (
            scenario.initial[:7] if row == scenario.ego else initial_state(scenario, row, task.vehicle)
        )
        if lead is not None:
            states[0] = lead.states[0]
        session = guarded(lambda: planner.start(task), limit)
        detector = (
            None
            if detection.exact
            else Detector.of(detection, seed, row, scenario.dt, n, scenario.tracks.num_agents)
        )
        return cls(
            row,
            task.vehicle,
            planner,
            session,
            Observer.of(scenario, task, Sight.of(scenario, row, task.vehicle, visibility), spec, detector),
            make_tracker(tracker, scenario.dt),
            max(round(1.0 / (spec.rate * scenario.dt)), 1),
            states,
            np.zeros((n - 1, 2)),
            np.zeros(n),
            lead=lead,
        )

    def think(
        self,
        sample: int,
        record: Record,
        dt: float,
        realtime: bool,
        limit: float | None,
        extras: Mapping[str, float] | None = None,
    ) -> Steps[None]:
        """Ask for a plan where one is due, with `extras` in the observation."""
        if self.lead is not None and not self.lead.ask and sample + 1 < len(self.lead.states):
            return
        if self.late is not None:
            if sample < self.late[0]:
                return  # it is still thinking
            self.plan, self.late = self.late[1], None
        if sample % self.period and self.plan is not None:
            return
        budget = self.period * dt if realtime else None
        observation = self.observer.observe(
            sample, self.states[sample], self.states[: sample + 1], record, budget
        )
        if extras is not None:
            observation = replace(observation, extras=extras)
        answer = yield Question(self.planner, self.session, observation, limit)
        plan, took = own_copy(answer.plan), answer.seconds
        self.plan_step.append(sample)
        self.latency.append(took)
        self.plans.append(plan)
        if realtime and self.plan is not None and took > dt:
            # Time went on while the planner thought: the old plan is driven until the new one is there.
            self.late = (sample + math.ceil(took / dt - 1e-9), plan)
        else:
            self.plan, self.late = plan, None

    def move(self, sample: int, dt: float) -> Floats:
        """Track the plan over one step; returns the pose row (5,) for the world."""
        lead = self.lead.states if self.lead is not None else self.states[:0]
        led = sample + 1 < len(lead)
        if self.plan is None:
            return self._led(sample, lead[sample + 1], dt)
        new, yaw_acceleration = self._follow(self.plan, sample, dt)
        if led and not np.array_equal(new, lead[sample + 1]):
            self.strayed = min(self.strayed, (sample + 1) * dt)
            return self._led(sample, lead[sample + 1], dt)
        self.states[sample + 1] = new
        self.yaw_acceleration[sample + 1] = yaw_acceleration
        return new[[0, 1, 2, 3, 6]]

    def _led(self, sample: int, new: Floats, dt: float) -> Floats:
        """Put the agent where it is led; the controls are those that its states tell of."""
        old = self.states[sample]
        self.states[sample + 1] = new
        self.control[sample] = new[ACCELERATION], (new[STEERING] - old[STEERING]) / dt
        self.yaw_acceleration[sample + 1] = (new[YAW_RATE] - old[YAW_RATE]) / dt
        return new[[0, 1, 2, 3, 6]]

    def _follow(self, plan: Plan, sample: int, dt: float) -> tuple[Floats, float]:
        """The state (7,) after one step along the plan, and its yaw acceleration."""
        state = self.states[sample]
        now = sample * dt
        control = plan.control
        if control is not None and control.kind is ControlKind.ACCELERATION_STEERING:
            elapsed = now - float(plan.trajectory.times[0])
            new, yaw_acceleration = apply_control(state, control, elapsed, self.vehicle, dt)
            row = min(int(elapsed / control.dt + 1e-6), len(control.values) - 1)
            self.control[sample] = control.values[row]
        else:
            command = self.tracker.track(plan.trajectory, now, state, self.vehicle)
            new, yaw_acceleration = bicycle_step(state, command[0], command[1], self.vehicle, dt)
            self.control[sample] = command
        if not math.isfinite(float(new.sum())):
            raise PlannerFailure("planner_error", "following the plan led to a state that is not finite")
        return new, yaw_acceleration

    def plan_rows(self) -> tuple[NDArray[np.int32], Floats, NDArray[np.float32]]:
        """The plans in compressed rows: starts (M + 1,), times and states, thinned to `PLAN_ROWS` each."""
        times, states = [], []
        for plan in self.plans:
            t = plan.trajectory
            stride = max(math.ceil((len(t) - 1) / (PLAN_ROWS - 1)), 1)
            times.append(t.times[::stride])
            states.append(_single(t.states[::stride, :7]))
        start = np.concatenate(([0], np.cumsum([len(t) for t in times]))).astype(np.int32)
        if not times:
            return start, np.zeros(0), np.zeros((0, 7), dtype=np.float32)
        return start, np.concatenate(times), np.concatenate(states)

    def candidate_rows(self, keep: int) -> tuple[dict[str, Any], list[str]]:
        """Up to `keep` candidates a plan, best first, as the `cand_*` arrays of a run log, and the names of
        their scores.

        Those of the highest score, or of the highest probability where nothing was scored; the one that was
        chosen is among them.
        """
        poses: list[NDArray[np.float32]] = []
        scores: list[float] = []
        probability: list[float] = []
        terms: list[Mapping[str, Floats]] = []
        start, shared = [0], np.zeros(len(self.plans))
        chosen = np.full(len(self.plans), -1, dtype=np.int32)
        for call, plan in enumerate(self.plans):
            c = plan.candidates
            if c is not None and keep > 0 and len(c.states):
                unknown = np.full(len(c.states), np.nan)
                likely = unknown if c.probability is None else np.asarray(c.probability, dtype=np.float64)
                first = next(iter(c.scores.values())) if c.scores else likely
                total = np.asarray(c.scores.get("total", c.scores.get("score", first)), dtype=np.float64)
                total = np.nan_to_num(total, nan=0.0, posinf=0.0, neginf=0.0)
                at = c.times[0] + CANDIDATE_DT * np.arange(CANDIDATE_STEPS)
                rows = np.minimum(np.searchsorted(c.times, at - 1e-6), len(c.times) - 1)
                best = np.argsort(-total, kind="stable")[:keep]
                if c.chosen >= 0 and c.chosen not in best:
                    best[-1] = c.chosen
                chosen[call] = next((k for k, row in enumerate(best) if row == c.chosen), -1)
                poses.extend(_single(c.states[best[:, None], rows, :3]))
                scores.extend(total[best].tolist())
                probability.extend(likely[best].tolist())
                terms.extend({name: values[row] for name, values in c.scores.items()} for row in best)
                last = min(max(int(c.shared_steps), 1), len(c.times)) - 1
                shared[call] = float(c.times[last] - c.times[0])
            start.append(len(poses))
        names = list(dict.fromkeys(name for row in terms for name in row))
        told = np.array([[row.get(name, np.nan) for name in names] for row in terms], dtype=np.float64)
        arrays = {
            "cand_start": np.asarray(start, dtype=np.int32),
            "cand_poses": np.stack(poses) if poses else np.zeros((0, CANDIDATE_STEPS, 3), dtype=np.float32),
            "cand_score": np.asarray(scores),
            "cand_probability": np.asarray(probability),
            "cand_terms": _single(told.reshape(len(poses), len(names))),
            "cand_chosen": chosen,
            "cand_shared": shared,
        }
        return arrays, names

    def heat_rows(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The plans' heat as the `heat_*` arrays of a run log, and what the log's header says of it.

        Of many calls every k-th is kept, so that a log stays small; a raster of another shape than the
        first one's is left out.
        """
        found = [(p.trajectory.times[0], p.heat) for p in self.plans if p.heat is not None]
        if not found:
            return {}, None
        first = found[0][1]
        found = [(t, h) for t, h in found if h.values.shape == first.values.shape]
        every = max(math.ceil(len(found) * first.values.size / MAX_HEAT_VALUES), 1)
        times, heats = zip(*found[::every], strict=True)
        values = np.stack([h.values for h in heats])
        high = max(float(values.max()), 1e-9)
        arrays = {
            "heat_time": np.array(times),
            "heat_values": np.rint(values * (255.0 / high)).astype(np.uint8),
            "heat_pose": np.stack([h.pose for h in heats]),
        }
        return arrays, {"name": first.name, "cell": first.cell, "high": high}

    def figures(self) -> dict[str, Floats]:
        """Named figures of the plans as series over the planner's calls, NaN where one gave none."""
        names = sorted({name for p in self.plans for name in p.figures})
        return {
            f"plan.{name}": np.asarray([float(p.figures.get(name, math.nan)) for p in self.plans])
            for name in names
        }

    def statuses(self) -> tuple[list[str], list[str]]:
        return [PlanStatus(p.status).value for p in self.plans], [p.reason for p in self.plans]


def _single(values: Floats) -> NDArray[np.float32]:
    """The values in float32; a plan to beyond its range is kept at its edge, for logs hold no infinity."""
    top = np.finfo(np.float32).max
    return np.clip(values, -top, top).astype(np.float32)


def own_copy(plan: Plan) -> Plan:
    """The plan with arrays of its own: a planner may fill the same buffers again at its next call."""
    t, control, c = plan.trajectory, plan.control, plan.candidates
    return replace(
        plan,
        trajectory=t.copy(),
        control=None if control is None else replace(control, values=np.array(control.values)),
        candidates=None
        if c is None
        else replace(
            c,
            times=c.times.copy(),
            states=c.states.copy(),
            scores={name: np.array(values) for name, values in c.scores.items()},
            probability=None if c.probability is None else np.array(c.probability),
        ),
        heat=None
        if plan.heat is None
        else replace(plan.heat, values=np.array(plan.heat.values), pose=np.array(plan.heat.pose)),
    )


def initial_state(scenario: Scenario, row: int, vehicle: VehicleParams) -> Floats:
    """The rear-axle state `(7,)` of a track at time 0."""
    pose = scenario.tracks.rear_axle_poses(row)[0]
    speed = float(scenario.tracks.speed[row, 0])
    return np.array([*pose, speed, 0.0, 0.0, 0.0])


def task_of_track(scenario: Scenario, row: int, seed: int) -> Task:
    """The task of driving a track other than the ego: its box, and its recorded way, carried on by lanes."""
    tracks, roadmap = scenario.tracks, scenario.roadmap
    length, width, height = (float(v) for v in tracks.size[row])
    vehicle = VehicleParams.from_box(length, width, height)
    poses = tracks.rear_axle_poses(row)[tracks.valid[row]]
    lane, _ = match_lanes(roadmap, poses)
    line = recorded_line(roadmap, poses, int(lane[-1]))
    route = Route(line=line, goal=Goal(position=line[-1]))
    return Task(scenario.environment, route, vehicle, scenario.dt, scenario.duration, seed)
