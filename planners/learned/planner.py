"""The planner and the session that every learned planner hands out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drive.nn._torch import torch
from drive.planner import PlannerSpec
from drive.planners.learned.decision import Memory
from drive.planners.learned.plans import is_finite, plan_of
from drive.planners.learned.senses import Senses, batch_of
from drive.planners.road.plans import braking_plan
from drive.sim.sensors.camera_views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drive.nn.encoders import EncoderSettings
    from drive.planner import CameraSpec, Observation, ObservationBatch, Plan
    from drive.planners.learned.decision import Policy
    from drive.planners.learned.senses import Moment
    from drive.scenario import Task

HORIZON = 4.0
HISTORY = 1.5
BATCH, BATCH_CUDA = 8, 32


def learned_spec(name: str, encoder: EncoderSettings, cameras: Sequence[CameraSpec] = ()) -> PlannerSpec:
    """The spec of a learned planner with plans of `HORIZON` s.

    `cameras` are those of an image encoder, from left to right; where none are given, the three views that
    training sets are made with.
    """
    sizes = encoder.sizes
    return PlannerSpec(
        name,
        horizon=HORIZON,
        history=max(HISTORY, (sizes.history - 1) * sizes.history_dt),
        needs=("road", "route"),
        cameras=(tuple(cameras) or VIEWS) if encoder.kind == "image" else (),
    )


@dataclass(eq=False)
class LearnedPlanner:
    """A policy behind the planner contract.

    `config` is what results and logs name, `digest` tells weights apart, `batch` is how many sessions the
    benchmark asks at once where nobody says otherwise (0: what suits the device). `device` is "cpu" or a CUDA
    device as `device_of` gives it.
    """

    spec: PlannerSpec
    policy: Policy
    encoder: EncoderSettings
    config: Any = None
    device: str = "cpu"
    digest: str = ""
    batch: int = 0

    def __post_init__(self) -> None:
        self.batch = self.batch or (BATCH if self.device == "cpu" else BATCH_CUDA)

    def start(self, task: Task) -> LearnedSession:
        return LearnedSession(
            self, task, Senses.start(task, self.encoder, self.spec.cameras), Memory(seed=task.seed)
        )

    def plan_batch(
        self, sessions: Sequence[LearnedSession], observations: ObservationBatch | Sequence[Observation]
    ) -> list[Plan]:
        """One plan for each session; those that sense nothing brake, the others are decided upon at once."""
        seen = [observations[row] for row in range(len(sessions))]
        moments = [session.senses.sense(o) for session, o in zip(sessions, seen, strict=True)]
        plans: list[Plan | None] = [
            session.brake(o, moment.lack) if moment.lack else None
            for session, o, moment in zip(sessions, seen, moments, strict=True)
        ]
        rows = [row for row, plan in enumerate(plans) if plan is None]
        for row, plan in zip(rows, self._decided(sessions, seen, moments, rows), strict=True):
            plans[row] = plan
        made = [plan for plan in plans if plan is not None]
        for session, o, plan in zip(sessions, seen, made, strict=True):
            session.memory.time, session.memory.trajectory = o.time, plan.trajectory
            session.memory.calls += 1
        return made

    def _decided(
        self,
        sessions: Sequence[LearnedSession],
        seen: Sequence[Observation],
        moments: Sequence[Moment],
        rows: Sequence[int],
    ) -> list[Plan]:
        if not rows:
            return []
        with torch.inference_mode():
            batch = batch_of([moments[row] for row in rows], self.device)
            decisions = self.policy.decide(
                batch, [seen[row] for row in rows], [sessions[row].memory for row in rows]
            )
        return [
            plan_of(decision, seen[row])
            if is_finite(decision)
            else sessions[row].brake(seen[row], "the network's output is not finite")
            for row, decision in zip(rows, decisions, strict=True)
        ]


@dataclass(slots=True, eq=False)
class LearnedSession:
    """One ego in one scenario."""

    planner: LearnedPlanner
    task: Task
    senses: Senses
    memory: Memory = field(default_factory=Memory)

    def plan(self, observation: Observation) -> Plan:
        return self.planner.plan_batch([self], [observation])[0]

    def brake(self, observation: Observation, reason: str) -> Plan:
        return braking_plan(observation, self.task.vehicle, reason, horizon=self.planner.spec.horizon)


def device_of(wanted: str) -> str:
    """A device's name: "cpu", "cuda", "cuda:1", or with "auto" a GPU where there is one.

    Raises InputError for a device that torch does not have here.
    """
    from drive.errors import InputError

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device '{wanted}' cannot be used here: {reason}") from None
    return wanted
