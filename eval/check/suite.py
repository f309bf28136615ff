"""The conformance suite: what the closed loop and the benchmark rely on, one finding for each demand."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive import registry
from drive._imports import one_line
from drive.errors import DriveError, InputError, MissingExtraError
from drive.eval.bench.planners import Entry, entries_of
from drive.eval.check.elsewhere import drive_elsewhere
from drive.eval.check.repeat import UNEQUAL, batch_equals, deterministic, sessions_apart
from drive.eval.check.report import Finding, Report, Status
from drive.eval.check.scenes import TRIALS, Trial, bend_scene
from drive.eval.check.settings import check_settings
from drive.eval.check.witness import Call, Drive, watch
from drive.planner import CameraSpec, PlannerSpec

if TYPE_CHECKING:
    from drive.planner import Planner
    from drive.scenario import Scenario

Progress = Callable[[str, int, int], None]
NEEDS = ("road", "terrain", "route", "forecast", "occlusion")
FIRST, SHORT = 5.0, 4.0
"""Simulated seconds of the drives that are compared, and of the others."""
THINK_FIRST, THINK, HURRIED = 6.0, 3.0, 0.5
"""Seconds that a slow planner may think in the first of them and in the others before it is cut short, and
where it is far too slow in any case."""
FAR_OVER = 2.0
"""A planner whose median call takes more than this many times its budget fails; above one it is warned."""
BESIDE = "a blocked road"
SLIPS = ("TypeError", "AttributeError", "NameError", "UnboundLocalError", "RecursionError", "ImportError")
"""Errors that say of themselves what to mend."""
BATCHED = (BESIDE, "a crowd", "no agents at all")
STEPS = 5 + len(TRIALS)


def check_planner(
    planner: str | Planner,
    settings: Mapping[str, object] | None = None,
    progress: Progress | None = None,
    fresh_process: bool = True,
) -> Report:
    """Check a planner, by its name, as FILE.py:NAME, or as an object, against the planner contract.

    `progress` is told what is being done, how many steps are done and how many there are. Without
    `fresh_process` the drive in a process of its own, a second or two, is left out. Raises `InputError`
    for names and settings that do not exist and for planners that drive on terrain.
    """
    began = time.perf_counter()
    tell = progress or (lambda what, done, total: None)
    suite = _Suite(planner, dict(settings or {}), tell, fresh_process)
    noise = io.StringIO()
    with contextlib.redirect_stdout(noise):
        suite.run()
    if lines := noise.getvalue().strip().splitlines():
        text = f"it prints {len(lines)} lines to the standard output"
        suite.findings.append(Finding("quiet", Status.WARN, text, "use the module logging"))
    return Report(suite.title, tuple(suite.findings), time.perf_counter() - began)


@dataclass
class _Suite:
    given: str | Planner
    settings: dict[str, object]
    progress: Progress
    fresh_process: bool
    findings: list[Finding] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    title: str = "?"
    think: float = THINK
    _done: int = 0

    def run(self) -> None:
        self._step("loading")
        planner = self._load()
        if planner is None:
            return
        self.spec = planner.spec
        self._step("planning")
        first = self._watch(planner, bend_scene(), "a bend", FIRST, THINK_FIRST)
        if not first.calls or first.failure:
            self._add("plans", Status.FAIL, first.failure or "it is never asked", _advice(first))
            return
        if _latency(first.calls, 50) > FAR_OVER / self.spec.rate:
            self.think = HURRIED
        self._step("repeating itself")
        again = self._watch(self._fresh(), bend_scene(), "a bend again", FIRST, self.think)
        self._step("in another process")
        elsewhere = drive_elsewhere(self._entry(), FIRST, self.think) if self.fresh_process else None
        self._step("its settings")
        settings = self._settings(first)
        trials = [self._trial(trial) for trial in TRIALS]

        self._add_contract()
        self._add_repeated(first, again, elsewhere, [t for t in trials if not t.failure])
        self._add_elsewhere(elsewhere)
        self.findings.append(settings)
        self._add_budget(first, again)
        for trial in trials:
            status = Status.FAIL if trial.failure else Status.PASS
            text = trial.failure or f"{len(trial.calls)} calls"
            self._add(f"survives {trial.scene}", status, text, _advice(trial) if trial.failure else "")

    def _step(self, what: str) -> None:
        self.progress(what, self._done, STEPS)
        self._done += 1

    def _add(self, check: str, status: Status, detail: str, advice: str = "") -> None:
        self.findings.append(Finding(check, status, detail, advice))

    def _fresh(self) -> Planner:
        """The planner made anew, where it has a name."""
        if isinstance(self.given, str):
            return registry.load_planner(self.given, self.settings)
        return self.given

    def _entry(self) -> Entry:
        by_name = {self.given: self.settings} if isinstance(self.given, str) else {}
        return entries_of([self.given], by_name)[0]

    def _load(self) -> Planner | None:
        self.title = self.given if isinstance(self.given, str) else type(self.given).__name__
        advice = "a planner has 'spec' and 'start'; a function becomes one by @drive.planner.planner"
        try:
            planner = self._fresh()
            _ = planner.start
            fault = _spec_fault(planner.spec)
        except (InputError, MissingExtraError):
            raise  # a slip of who typed it, or of the machine
        except DriveError as error:
            fault = (str(error), advice if "is not a planner" in str(error) else "")
        except Exception as error:  # of the planner's own properties
            fault = (one_line(error), advice)
        if fault is not None:
            self._add("loads", Status.FAIL, *fault)
            return None
        s = planner.spec
        if "terrain" in s.needs:
            raise InputError(f"'{self.title}' drives on terrain; drive check has roads only")
        self.title = self.given if isinstance(self.given, str) and ":" not in self.given else s.name
        privileged = ", privileged" if s.privileged else ""
        text = f"horizon {s.horizon:g} s every {s.dt:g} s, {s.rate:g} Hz{privileged}"
        self._add("loads", Status.PASS, text)
        return planner

    def _watch(
        self, planner: Planner, scenario: Scenario, scene: str, seconds: float, think: float, **more: Any
    ) -> Drive:
        seen = watch(planner, scenario, scene, seconds=seconds, allowance=think, **more)
        self.drives.append(seen)
        return seen

    def _trial(self, trial: Trial) -> Drive:
        self._step(trial.name)
        how = {"traffic": "log", "realtime": trial.realtime, "detection": trial.detection}
        return self._watch(self._fresh(), trial.make(), trial.name, SHORT, self.think, **how)

    def _settings(self, first: Drive) -> Finding:
        if not isinstance(self.given, str):
            return Finding("settings", Status.SKIP, "given as an object, it has no name to set them by")
        assert first.task is not None
        return check_settings(self.given, self.settings, first.task, first.calls[:3])

    def _add_contract(self) -> None:
        """What every call of every drive was watched for."""
        calls = sum(len(seen.calls) for seen in self.drives)
        self._add("plans", Status.PASS, f"{calls} finite plans that begin now")
        faults: dict[str, str] = {}
        for seen in self.drives:
            faults = {**seen.faults, **faults}
        beside = max(seen.beside for seen in self.drives)
        demands = {
            "start": (
                "starts at the ego",
                f"at most {beside:.2f} m beside it" if beside > 0.005 else "at its pose",
                "the first state is observation.ego's, the rear axle in scenario coordinates",
            ),
            "horizon": (
                "horizon and dt",
                "as declared",
                "plan in steps of spec.dt, or of the scene's dt, as far as spec.horizon",
            ),
            "inputs": ("leaves its inputs alone", "nothing it was given has changed", "copy what you change"),
        }
        for kind, (name, good, advice) in demands.items():
            if kind in faults:
                self._add(name, Status.FAIL, faults[kind], advice)
            else:
                self._add(name, Status.PASS, good)

    def _add_repeated(
        self, first: Drive, again: Drive, elsewhere: list[Call] | str | None, others: list[Drive]
    ) -> None:
        if self.spec.deterministic:
            self.findings.append(deterministic(first, again, elsewhere))
        else:
            self._add("deterministic", Status.SKIP, "it declares that it is not")
        if self.findings[-1].status is not Status.PASS:
            self._add("sessions apart", Status.SKIP, UNEQUAL)
            self._add("plan_batch", Status.SKIP, UNEQUAL)
            return
        beside = next((drive for drive in others if drive.scene == BESIDE), None)
        self.findings.append(sessions_apart(self._fresh(), first, again, beside))
        together = [first, *(drive for drive in others if drive.scene in BATCHED)]
        self.findings.append(batch_equals(self._fresh(), together))

    def _add_elsewhere(self, elsewhere: list[Call] | str | None) -> None:
        name = "another process"
        if not self.fresh_process:
            self._add(name, Status.SKIP, "not asked for")
        elif elsewhere is None:
            text = "the object cannot be pickled: the benchmark drives it in one process"
            self._add(name, Status.WARN, text, "give it by name, as FILE.py:NAME")
        elif isinstance(elsewhere, str):
            advice = "a planner must work in the worker processes of drive bench --jobs"
            self._add(name, Status.FAIL, elsewhere, advice)
        else:
            self._add(name, Status.PASS, f"{len(elsewhere)} calls in a fresh process")

    def _add_budget(self, first: Drive, again: Drive) -> None:
        budget = 1.0 / self.spec.rate
        calls = again.calls if len(again.calls) > 1 else first.calls
        p50, p95 = _latency(calls, 50), _latency(calls, 95)
        text = f"{1e3 * p50:.2f} ms a call, p95 {1e3 * p95:.2f} ms, budget {1e3 * budget:g} ms"
        advice = "be faster, or declare a lower spec.rate" if p95 > budget else ""
        status = Status.WARN if p95 > budget else Status.PASS
        self._add("time budget", Status.FAIL if p50 > FAR_OVER * budget else status, text, advice)


def _latency(calls: list[Call], percent: float) -> float:
    """A percentile of the seconds a call takes; the first call may compile or load, and is not counted."""
    return float(np.percentile([call.seconds for call in calls[1:] or calls], percent))


def _spec_fault(spec: object) -> tuple[str, str] | None:
    """What is wrong with a specification, and what to do."""
    if not isinstance(spec, PlannerSpec):
        return f"its spec is {type(spec).__name__}, not PlannerSpec", "set spec = PlannerSpec(name, ...)"
    if not isinstance(spec.name, str) or not spec.name.strip():
        return "its spec has no name", "name it in PlannerSpec(name, ...)"
    for need in spec.needs:
        if need not in NEEDS:
            return f"it needs '{need}', which nobody provides", f"spec.needs are any of {', '.join(NEEDS)}"
    if not all(isinstance(camera, CameraSpec) for camera in spec.cameras):
        return "its cameras are not all CameraSpec", "list CameraSpec(name, ...) in spec.cameras"
    if not (np.isfinite(spec.history) and spec.history >= 0.0):
        return f"its history is {spec.history} s", "spec.history is a number of seconds from 0 on"
    if spec.horizon < max(spec.dt, 1.0 / spec.rate) - 1e-9:
        reach = f"its horizon of {spec.horizon:g} s ends before its next step or call"
        return reach, "raise spec.horizon, or spec.rate"
    return None


def _advice(seen: Drive) -> str:
    text = seen.failure or ""
    if "read-only" in text:
        return "what a planner is given is not its own: copy what you change"
    if seen.timeout:
        return "a planner must come back: bound its iterations"
    if "instead of a Plan" in text:
        return "return a Plan at every call; Plan.from_poses makes one"
    if any(f" {slip}:" in text for slip in SLIPS):
        return ""
    return "where there is nothing better, return a plan that brakes, with its status and a reason"
