"""Planners that answer for several sessions at once, well and badly; loaded by path."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drive.planner import Observation, Plan, PlannerSpec
from drive.scenario import Task

BAD_SPEED = 7.0
"""m/s; the scene that begins at this speed is the one in which something goes wrong."""


@dataclass
class Session:
    """Its speed follows how often it was asked: whoever asks it twice at one time is found out."""

    planner: Batching
    bad: bool = False
    calls: int = 0

    def plan(self, observation: Observation) -> Plan:
        speed = float(observation.ego[3])
        if self.calls == 0:
            self.bad = abs(speed - BAD_SPEED) < 1e-6
        self.calls += 1
        x, y, heading = observation.ego[:3]
        gaps = np.hypot(*(observation.agents[:, :2] - observation.ego[:2]).T)
        near = bool((gaps[observation.agent_valid] < 40.0).any())
        v = speed * (0.98 if near else 1.0) + 0.01 * self.calls
        way = v * 0.1 * np.arange(1, 41)
        poses = np.column_stack((x + way * np.cos(heading), y + way * np.sin(heading), np.full(40, heading)))
        figures = {"calls": float(self.calls), "together": float(self.planner.together)}
        return Plan(Plan.from_poses(observation, poses).trajectory, figures=figures)


@dataclass
class Batching:
    """Answers for many at once; its figure "together" tells for how many."""

    spec: PlannerSpec = field(default_factory=lambda: PlannerSpec("batching", horizon=4.0))
    together: int = 1
    batch: int = 2

    def start(self, task: Task) -> Session:
        return Session(self)

    def plan_batch(self, sessions: list[Session], observations: Any) -> list[Plan]:
        self.together = len(sessions)
        plans = [session.plan(observations[row]) for row, session in enumerate(sessions)]
        self.together = 1
        return plans


class RaisesAtOnce(Batching):
    """Its `plan_batch` raises before any session has noticed."""

    def plan_batch(self, sessions: list[Session], observations: Any) -> list[Plan]:
        raise RuntimeError("out of memory")


class TooFew(Batching):
    def plan_batch(self, sessions: list[Session], observations: Any) -> list[Plan]:
        return []


class OneRubbish(Batching):
    """In one scene its fourth answer is no plan, with others or alone."""

    def start(self, task: Task) -> Session:
        return FourthIsRubbish(self)


class FourthIsRubbish(Session):
    def plan(self, observation: Observation) -> Any:
        plan = super().plan(observation)
        return None if self.bad and self.calls == 4 else plan


class OneRaises(Batching):
    """In one scene it raises at every call; nobody's session is told before."""

    def start(self, task: Task) -> Session:
        return Raises(self)

    def plan_batch(self, sessions: list[Session], observations: Any) -> list[Plan]:
        if (abs(observations.ego[:, 3] - BAD_SPEED) < 1e-6).any():
            raise ZeroDivisionError("float division by zero")
        return super().plan_batch(sessions, observations)


class Raises(Session):
    def plan(self, observation: Observation) -> Plan:
        plan = super().plan(observation)
        if self.bad:
            raise ZeroDivisionError("float division by zero")
        return plan


class OneDies(Batching):
    """In one scene the process is killed at the third call."""

    def start(self, task: Task) -> Session:
        return Dies(self)


class Dies(Session):
    def plan(self, observation: Observation) -> Plan:
        plan = super().plan(observation)
        if self.bad and self.calls == 3:
            self.end()
        return plan

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class OneHangs(Batching):
    """In one scene the third call never comes back, and no alarm interrupts it."""

    def start(self, task: Task) -> Session:
        return Hangs(self)


class Hangs(Dies):
    def end(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(120.0)
