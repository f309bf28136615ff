"""Samples of one scene: a drive in closed loop, and at some of its moments what the expert would do and what
the teacher says of candidates.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive.datasets import source
from drive.errors import DriveError, ScenarioError
from drive.eval.training.perturb import as_driven, draw_fitting, moved, seen_from
from drive.eval.training.sense import sensing
from drive.eval.training.watch import Watched
from drive.geometry import to_frame, wrap_angle
from drive.nn.store import LEARNER, PERTURBED, VISITED
from drive.planner import PlanStatus
from drive.scenario import Task
from drive.sim.driven import Lead
from drive.sim.loop import simulate
from drive.sim.reference import ensure_expert
from drive.sim.teacher import DT, KNOWN_AFTER, Course, Lesson, Others, Teacher, TeacherSettings
from drive.vehicle import ACCELERATION, HEADING, SPEED, STATE_SIZE, STEERING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.training.scenes import SceneRef
    from drive.nn.store import DataRequest
    from drive.nn.vocabulary import Vocabulary
    from drive.planner import Observation, Plan, Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario
    from drive.vehicle import VehicleParams

    Floats = NDArray[np.float64]
    Rows = dict[str, NDArray[Any]]

STEPS = 40
PAST = 15
"""Samples of the ego's past that comfort looks at."""
BRAKING = 4.0
"""m/s^2 at which an expert that has no plan is taken to stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """What the collection of all scenes has in common; `vocabulary` None for a set without labels."""

    request: DataRequest
    vocabulary: Vocabulary | None = None
    teacher: TeacherSettings = field(default_factory=TeacherSettings)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One moment to be made a sample: what is observed, whose state it is, the ego's states before it, and
    those from it on `drive (41, 7)`, where they are what a learner is shown."""

    observation: Observation
    kind: int
    past: Floats
    drive: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A moment ready for labels; the expert's driven states `reference (41, 7)`, about the ego's position;
    what a learner is shown, `future (40, 3)` in the ego's frame; `controls (40, 2)`."""

    lesson: Lesson
    reference: NDArray[np.float32]
    future: Floats
    controls: NDArray[Any]


def collect_scene(
    scene: SceneRef, collection: Collection, learner: Planner | None = None
) -> tuple[dict[str, Any], Rows | None]:
    """The entry of one scene for the header of a set, and its samples by field.

    The expert drives, or the `learner` where one is given, or on a recorded scene the human; a scene that
    cannot be used gives no samples, and the entry says why under "skipped".
    """
    try:
        scenario = source.load(scene.ref)
        entry: dict[str, Any] = {
            "ref": scene.ref if scene.key[0] == "gen" else scenario.id,
            "key": list(scene.key),
            "licence": scenario.provenance.licence,
        }
        rows = _samples(scenario, collection, learner, entry)
    except DriveError as error:
        return {"ref": scene.ref, "key": list(scene.key), "skipped": str(error)}, None
    return entry, rows


def _samples(
    scenario: Scenario, collection: Collection, learner: Planner | None, entry: dict[str, Any]
) -> Rows:
    rng = np.random.default_rng([collection.request.seed, _number(scenario.id)])
    pupil, moments = driven_moments(scenario, collection, rng, learner, entry)
    rows = [row for moment in moments for row in pupil.sample(moment, rng)]
    if not rows:
        raise ScenarioError(entry.get("failure") or f"scenario '{scenario.id}' has no moment to learn from")
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def driven_moments(
    scenario: Scenario,
    collection: Collection,
    rng: np.random.Generator,
    learner: Planner | None = None,
    entry: dict[str, Any] | None = None,
) -> tuple[Pupil, list[Moment]]:
    """Drive a scene, and choose moments of the drive and others beside them, in the order of time.

    `entry` is told of a displaced start and of a drive that failed. Raises ScenarioError for a scene of
    another step, or too short.
    """
    if abs(scenario.dt - DT) > 1e-6:
        raise ScenarioError(f"scenario '{scenario.id}' has a step of {scenario.dt:g} s, not {DT:g}")
    request, entry = collection.request, {} if entry is None else entry
    wanted = _wanted(scenario, request, rng)
    scenario = ensure_expert(scenario)
    human = None
    if learner is None and scenario.expert is not None and scenario.expert.source == "human":
        human = scenario.expert.states[:, :STATE_SIZE]
    elif rng.random() < request.displaced:
        begin = _displaced_start(scenario, request, rng)
        if begin is not None:
            scenario = scenario.with_(initial=begin)
            entry["displaced"] = True
    watched = Watched(learner or registry.load_planner(request.expert), frozenset(wanted), _history(request))
    run = simulate(
        scenario,
        watched,
        traffic=request.traffic if human is None else "log",
        seed=request.seed,
        keep_candidates=0,
        watchdog=None,
        visibility=request.visibility,
        lead=None if human is None else Lead(human, ask=True),
        stop=min(wanted[-1] + STEPS + KNOWN_AFTER, scenario.num_steps),
    )
    if run.header["failure"] is not None:
        entry["failure"] = run.header["failure"]["reason"]
    known = len(run.times) - 1 - STEPS - KNOWN_AFTER
    kind = VISITED if learner is None else LEARNER
    driven = human is not None or (learner is None and request.shown == "drive")
    moments: list[Moment] = []
    for o in watched.seen:
        k = o.step
        if k > known:
            break
        past = run.ego[max(k - PAST, 0) : k]
        moments.append(Moment(o, kind, past, run.ego[k : k + STEPS + 1] if driven else None))
        if rng.random() < request.twins:
            drawn = draw_fitting(
                o.ego, request, rng, scenario.roadmap, scenario.vehicle, run.agents[:, k],
                run.agent_valid[:, k], run.agent_size,
            )  # fmt: skip
            if drawn is not None:
                if request.past == "driven":
                    other, past = seen_from(o, drawn, DT), as_driven(past, o.ego, drawn, DT, now=False)
                else:
                    other, past = seen_from(o, drawn), moved(past, o.ego, drawn)
                moments.append(Moment(other, PERTURBED, past))
    return Pupil.of(scenario, collection, run), moments


@dataclass(slots=True, eq=False)
class Pupil:
    """What makes samples of one drive's moments, in their order."""

    collection: Collection
    run: RunLog
    vehicle: VehicleParams
    expert: Any
    sensors: list[Any]
    teacher: Teacher

    @classmethod
    def of(cls, scenario: Scenario, collection: Collection, run: RunLog) -> Pupil:
        request = collection.request
        task = Task.of(scenario, request.seed)
        return cls(
            collection,
            run,
            scenario.vehicle,
            registry.load_planner(request.expert).start(task),
            sensing(request, task, run),
            Teacher(scenario.roadmap, scenario.vehicle, collection.teacher),
        )

    def lesson(self, moment: Moment) -> Shown | None:
        """The moment made ready for labels, and the expert's answer; None where the expert finds no way."""
        o, run = moment.observation, self.run
        plan = self.expert.plan(o)
        if self.expert.way is None:
            return None
        k = o.step
        others = Others(run.agents[:, k:], run.agent_valid[:, k:], run.agent_size, run.agent_kind)
        course = Course.of(self.expert.way)
        lesson = self.teacher.lesson(o.ego, course, others, run.signals[:, k:], moment.past, STEPS)
        poses = expert_poses(plan, o, self.vehicle) if moment.drive is None else moment.drive[:, :3]
        poses = to_frame(poses, o.ego[:3])
        reference = lesson.rollout(poses[None, 1:], poses[0])[0]
        if moment.drive is not None:
            return Shown(lesson, reference, poses[1:], moment.drive[1:, [ACCELERATION, STEERING]])
        about_ego = (0.0, 0.0, float(o.ego[HEADING]))
        future = to_frame(reference[1:, :3].astype(np.float64), about_ego)
        return Shown(lesson, reference, future, reference[1:, [ACCELERATION, STEERING]])

    def sample(self, moment: Moment, rng: np.random.Generator) -> list[Rows]:
        """The sample of a moment as arrays by field; none where the expert finds no way."""
        shown = self.lesson(moment)
        if shown is None:
            return []
        o, words = moment.observation, self.collection.vocabulary
        rows: Rows = {}
        for sensor in self.sensors:
            rows |= sensor(o)
        rows["start"] = np.concatenate((np.zeros(3), o.ego[3:STATE_SIZE])).astype(np.float32)
        rows["future"] = shown.future.astype(np.float32)
        rows["future_valid"] = np.asarray(np.isfinite(shown.future).all(-1))
        rows["controls"] = shown.controls.astype(np.float32)
        if words is not None:
            chosen = labelled_rows(words, self.collection.request, o.ego[SPEED], rng)
            labels = shown.lesson.label(words.poses[chosen], shown.reference)
            rows["label_rows"], rows["labels"] = chosen, labels.values.astype(np.float16)
        if words is not None or self.collection.request.scored:
            own = shown.lesson.judge(shown.reference[None], shown.reference)
            rows["expert_score"] = np.asarray(own.values[0, -1])
        rows["time"] = np.asarray(o.time, dtype=np.float32)
        rows["kind"] = np.asarray(moment.kind, dtype=np.uint8)
        return [rows]


def labelled_rows(
    vocabulary: Vocabulary, request: DataRequest, speed: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    """The rows that are labelled, in ascending order: all, or those near in speed and some of the rest."""
    if request.near == 0:
        return np.arange(len(vocabulary), dtype=np.int32)
    near = vocabulary.near(speed, request.near)
    rest = np.setdiff1d(np.arange(len(vocabulary), dtype=np.int32), near, assume_unique=True)
    more = rng.choice(rest, request.labelled(len(vocabulary)) - len(near), replace=False)
    return np.sort(np.concatenate((near, more))).astype(np.int32)


def expert_poses(plan: Plan, observation: Observation, vehicle: VehicleParams) -> Floats:
    """The poses `(41, 3)` that an expert wants to drive, every 0.1 s from now on.

    A fallback may be a mere order to the tracker and no motion: it is taken as a stop along the way on
    which the wheels stand.
    """
    if plan.status is not PlanStatus.FALLBACK:
        return plan.trajectory.at(observation.time + DT * np.arange(STEPS + 1))[:, :3]
    ego = observation.ego
    speed = max(float(ego[SPEED]), 0.0)
    t = np.minimum(DT * np.arange(STEPS + 1), speed / BRAKING)
    s = speed * t - 0.5 * BRAKING * t**2
    curvature = math.tan(float(ego[STEERING])) / vehicle.wheelbase
    heading = float(ego[HEADING]) + curvature * s
    middle = float(ego[HEADING]) + 0.5 * curvature * s
    chord = s * np.sinc(0.5 * curvature * s / np.pi)
    return np.stack(
        (ego[0] + chord * np.cos(middle), ego[1] + chord * np.sin(middle), wrap_angle(heading)), axis=1
    )


def _wanted(scenario: Scenario, request: DataRequest, rng: np.random.Generator) -> list[int]:
    """The samples at which moments are taken: one every so many, from a random one of the first on."""
    last = scenario.num_steps - STEPS - KNOWN_AFTER
    every = max(round(request.every / DT), 1)
    if last < 0:
        seconds = (STEPS + KNOWN_AFTER) * DT
        raise ScenarioError(f"scenario '{scenario.id}' is too short: {seconds:g} s are needed after a moment")
    first = int(rng.integers(min(every, last + 1)))
    return list(range(first, last + 1, every))


def _displaced_start(scenario: Scenario, request: DataRequest, rng: np.random.Generator) -> Floats | None:
    tracks = scenario.tracks
    others = np.delete(np.arange(tracks.num_agents), scenario.ego)
    return draw_fitting(
        scenario.initial[:STATE_SIZE], request, rng, scenario.roadmap, scenario.vehicle,
        tracks.states[others, 0], tracks.valid[others, 0], tracks.size[others],
    )  # fmt: skip


def _history(request: DataRequest) -> float:
    return (request.sizes.history - 1) * request.sizes.history_dt


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


__all__ = ["Collection", "Moment", "collect_scene", "expert_poses", "labelled_rows"]
