"""One moment of a drive again: what the planner was told, what it plans, and how it comes to that."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive._configure import flatten
from drive.datasets import source
from drive.errors import InputError, UnknownNameError
from drive.sim.driven import Lead, own_copy
from drive.sim.loop import simulate
from drive.sim.reference import ensure_expert

if TYPE_CHECKING:
    from drive.planner import Observation, Plan, Planner, PlannerSpec, Session
    from drive.runlog import RunLog
    from drive.scenario import Scenario, Task

KEPT = 64
"""Candidates that the replay of a moment keeps."""
LEFT = "BdbQuit"
"""How a run fails whose user left the debugger."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A planner call made again. `plan` is None where it failed: `log.header["failure"]` says why.

    `log` ends at the moment; `warnings` say in what the drive up to it differs from the recorded one, and
    `difference` in what the plan does, empty where it is the recorded one, None where none is recorded.
    """

    log: RunLog
    observation: Observation | None
    plan: Plan | None
    seconds: float
    warnings: tuple[str, ...]
    difference: str | None


@dataclass(slots=True, eq=False)
class At:
    """A planner watched at its first call at `step` or later, where `debug` stops before it answers."""

    planner: Planner
    step: int
    debug: bool = False
    observation: Observation | None = None
    plan: Plan | None = None
    seconds: float = 0.0

    @property
    def spec(self) -> PlannerSpec:
        return self.planner.spec

    def start(self, task: Task) -> _AtSession:
        return _AtSession(self, self.planner.start(task), task)


@dataclass(slots=True, eq=False)
class _AtSession:
    at: At
    session: Session
    task: Task
    met: bool = field(default=False)

    def plan(self, observation: Observation) -> Plan:
        at = self.at
        if self.met or observation.step < at.step:
            return self.session.plan(observation)
        self.met, at.observation = True, observation
        begin = time.perf_counter()
        ask = _ask_in_debugger if at.debug else _ask
        plan = ask(self.session, observation, self.task)
        at.seconds = time.perf_counter() - begin
        at.plan = own_copy(plan)
        return plan


def _ask(session: Session, observation: Observation, task: Task) -> Plan:
    return session.plan(observation)


def _ask_in_debugger(session: Session, observation: Observation, task: Task) -> Plan:
    breakpoint()  # the planner is asked next: `s` steps into it; session, observation and task are here
    return session.plan(observation)


def taken_over(scenario: Scenario, start: float) -> tuple[Scenario, Lead]:
    """The scenario with an expert, and the lead along it until the planner takes over at `start` s.

    Raises InputError for a time at which nothing is left to drive.
    """
    scenario = ensure_expert(scenario)
    if scenario.expert is None:
        raise InputError(
            f"scenario '{scenario.id}' has no driver whom the ego could follow until {start:g} s"
        )
    sample = _sample(start, scenario.dt, scenario.num_steps)
    return scenario, Lead(scenario.expert.states[: sample + 1, :7], driver=scenario.expert.source)


def replan(
    log: RunLog, start: float, scenario: Scenario, planner: Planner, *, same: bool = True, debug: bool = False
) -> Moment:
    """Drive a recorded run again up to its first planner call at `start` s or later, and make that call.

    The ego is kept on the recorded motion, so that the moment is the recorded one even where the planner
    has been changed since. With `same` the planner is the run's: it is asked at every call before, so that
    its session remembers what it did; another planner begins at the moment.
    Raises InputError where the run has no such moment or is not of this scenario.
    """
    header = log.header
    if log.mode != "closed":
        raise InputError(f"the run is of mode '{log.mode}': only a closed loop has moments to plan again")
    dt, n = scenario.dt, scenario.num_steps
    _check_scene(log, scenario)
    period = max(round(1.0 / (planner.spec.rate * dt)), 1) if same else 1
    sample = _sample(start, dt, min(n, len(log.times)))
    sample = math.ceil(sample / period) * period
    if sample >= min(n, len(log.times)):
        raise InputError(f"the run has no call of its planner at {start:g} s or later")
    at = At(planner, sample, debug)
    again = simulate(
        scenario,
        at,
        traffic=header["traffic"],
        seed=int(header["seed"]),
        planner_name=header["planner"]["name"] if same else None,
        planner_config=registry.configuration(planner),
        keep_candidates=KEPT,
        watchdog=None,
        drivers={track: registry.load_planner(name) for track, name in header.get("drivers", {}).items()},
        # A log from before planners had a line of sight is of a run in which they saw everybody.
        visibility=header.get("visibility", "all"),
        detection=header.get("detection", "none"),
        tracker=header.get("tracker", "lqr"),
        lead=Lead(log.ego[: sample + 1], ask=same, driver=header["planner"]["name"]),
        stop=sample,
    )
    warnings = _warnings(log, again, scenario, sample, same)
    difference = _difference(log, again, sample) if same and at.plan is not None else None
    return Moment(again, at.observation, at.plan, at.seconds, tuple(warnings), difference)


def find_scenario(log: RunLog, ref: str | None, beside: Path) -> Scenario:
    """The scenario of a run: by its id, in this folder, beside the run, or where `ref` says.

    A run log names files and no folders; `ref` is a scenario, its file, or the folder of its file.
    """
    about = log.header["scenario"]
    name = str(about["id"])
    if ref is not None:
        inside = Path(ref, name)
        if Path(ref).is_dir() and Path(str(inside).partition("#")[0]).exists():
            return source.load(str(inside))
        return source.load(f"{ref}#{name.partition('#')[2]}" if "#" in name and "#" not in ref else ref)
    for place in (name, str(beside / name)):
        try:
            reader = source.source_of(place)
        except InputError:
            continue
        return reader.load(place)
    origin = (about.get("provenance") or {}).get("source") or "no file"
    raise InputError(
        f"the run's scenario '{name}' (from {origin}) is not here: say where it is, --scenario FILE"
    )


def find_planner(log: RunLog, name: str | None, settings: Mapping[str, object]) -> tuple[Planner, bool]:
    """The planner of a run as it was set, or another one, and whether it is the run's.

    `name` is needed where the run's planner is not registered (a file's), or is to be another one.
    """
    about = log.header["planner"]
    recorded = {**flatten(about.get("config") or {}), **settings}
    if name is None or name == about["name"]:
        try:
            return registry.load_planner(about["name"], recorded), True
        except UnknownNameError as error:
            if error.kind != "planner":
                raise
            hint = "is not installed: say where it is, --planner FILE.py:NAME"
            raise InputError(f"the run's planner '{about['name']}' {hint}") from None
    planner = registry.load_planner(name, settings)
    if ":" in name and planner.spec.name == about["name"]:
        return registry.load_planner(name, recorded), True
    return planner, False


def _sample(start: float, dt: float, samples: int) -> int:
    """The first sample at `start` s or later, of those before the last one."""
    if not (math.isfinite(start) and 0.0 <= start <= (samples - 1) * dt + 1e-9):
        raise InputError(f"--from must lie between 0 and {(samples - 1) * dt:g} s, not at {start:g}")
    return math.ceil(start / dt - 1e-6)


def _check_scene(log: RunLog, scenario: Scenario) -> None:
    others = tuple(name for row, name in enumerate(scenario.tracks.ids) if row != scenario.ego)
    # A director may have added tracks behind the scenario's own.
    if (
        scenario.dt != log.dt
        or others != log.agent_ids[: len(others)]
        or scenario.num_steps + 1 < len(log.times)
    ):
        raise InputError(
            f"the run is not of the scenario '{scenario.id}', which has other road users or another clock; "
            f"its own is '{log.header['scenario']['id']}': say where that is, --scenario FILE"
        )


def _warnings(log: RunLog, again: RunLog, scenario: Scenario, sample: int, same: bool) -> list[str]:
    """In what the drive up to the moment differs from the recorded one, and what may be the reason."""
    found: list[str] = []
    reached = min(sample, len(again.times) - 1) + 1
    valid = log.agent_valid[:, :reached]
    other = (again.agent_valid[:, :reached] != valid).any(0)
    other |= (again.agents[:, :reached] != log.agents[:, :reached]).any((0, 2))
    if other.any():
        gap = np.abs(again.agents[:, :reached, :2] - log.agents[:, :reached, :2]).max()
        found.append(
            f"the other road users leave the recorded motion at {np.argmax(other) * log.dt:.1f} s, "
            f"by up to {gap:.3g} m"
        )
    strayed = again.header["lead"]["strayed"]
    if same and strayed is not None:
        kept = "the ego is kept on it"
        found.append(f"left to itself, the planner leaves the recorded motion at {strayed:.1f} s ({kept})")
    if found:
        found += _reasons(log, again, scenario, same)
    return found


def _reasons(log: RunLog, again: RunLog, scenario: Scenario, same: bool) -> list[str]:
    """What is not as it was when the run was recorded."""
    then, now = log.header, again.header
    found: list[str] = []
    if then["scenario"]["hash"] != scenario.content_hash:
        found.append(
            f"the scenario has the hash {scenario.content_hash[:12]}, then {then['scenario']['hash'][:12]}"
        )
    versions: dict[str, Any] = then.get("versions") or {}
    found += [
        f"{name} is {now['versions'].get(name)}, then {version}"
        for name, version in versions.items()
        if now["versions"].get(name) != version
    ]
    if same and _plain(then["planner"]["config"]) != _plain(now["planner"]["config"]):
        found.append("the planner's settings are not those of the run")
    if then.get("realtime"):
        found.append("the run was in real time: late plans depend on the machine")
    if then.get("drivers"):
        found.append("drivers of other tracks are made with their default settings")
    return found or ["scenario, versions and settings are those of the run: the planner's code has changed"]


def _plain(config: Mapping[str, Any]) -> dict[str, str]:
    """Settings as text: logs hold lists where planners have tuples."""
    return {
        key: str(list(value)) if isinstance(value, list | tuple) else str(value)
        for key, value in flatten(config).items()
    }


def _difference(log: RunLog, again: RunLog, sample: int) -> str | None:
    """How far the plan is from the recorded one of that call; "" where they are equal."""
    call = int(np.searchsorted(log.plan_step, sample))
    if call >= len(log.plan_step) or log.plan_step[call] != sample:
        return None
    one, other = log.plan_states_of(call), again.plan_states_of(len(again.plan_step) - 1)
    if one.shape != other.shape:
        return f"the recorded plan has {len(one)} rows, this one {len(other)}"
    if np.array_equal(one, other):
        return ""
    gap = np.hypot(*(one[:, :2] - other[:, :2]).T)
    return f"up to {gap.max():.3g} m from the recorded plan"
