"""What one process of the benchmark does: load a scenario, drive it, score it, save its log."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive._imports import one_line
from drive.datasets import source
from drive.errors import InputError, PlanError, SimulationError
from drive.eval.bench.environment import environment_of
from drive.eval.bench.jobs import (
    COMPILING,
    Drive,
    Job,
    Phase,
    Probe,
    Pulse,
    Reply,
    Setup,
    empty_record,
    failed,
)
from drive.eval.bench.planners import plain
from drive.eval.metrics.base import judge
from drive.eval.metrics.goal import goal_reached
from drive.planner import FunctionPlanner, Plan, Planner, PlannerSpec
from drive.runlog import RunLog
from drive.scenario import Expert, Scenario, Tracks

if TYPE_CHECKING:
    from drive.planner import Observation
    from drive.scenario import Task
    from drive.sim.asking import Steps

WARM_STEPS = 3


@dataclass
class Worker:
    """The state of one process: planners made so far, the last scenario, what has been warmed up."""

    setup: Setup
    pulse: Pulse = field(default_factory=Pulse)
    note: Callable[[str], None] = lambda text: None
    _planners: dict[int, Planner] = field(default_factory=dict)
    _warm: set[int | str] = field(default_factory=set)
    _home: tuple[str, int] = field(default_factory=lambda: _surroundings())
    _kept: dict[str | int, Scenario] = field(default_factory=dict)

    def handle(self, job: Job) -> Reply:
        """The answer to a job; `{"fatal": line}` where going on makes no sense."""
        try:
            if isinstance(job, Probe):
                return self._probe(job)
            if isinstance(job, Drive):
                return self._drive((job,))[0]
            replies = self._drive(job.drives)
            return next((reply for reply in replies if "fatal" in reply), {"replies": replies})
        finally:
            self.pulse.enter(Phase.IDLE)

    def _probe(self, job: Probe) -> Reply:
        self._keep({job.ref})
        try:
            scenario = self._load(job.ref)
        except InputError as error:
            return {"failure": "invalid_scenario", "reason": str(error)}
        except Exception as error:  # a reader that stumbles over one file must not stop the others
            return {"failure": "invalid_scenario", "reason": f"its reader failed: {one_line(error)}"}
        return {
            "failure": None,
            "id": scenario.id,
            "family": scenario.family,
            "tags": list(scenario.tags),
            "hash": scenario.content_hash,
            "duration": scenario.duration,
            "agents": scenario.tracks.num_agents - 1,
            "format": scenario.provenance.format,
            "environment": environment_of(scenario),
        }

    def _drive(self, jobs: Sequence[Drive]) -> list[Reply]:
        """Answers to drives of one planner, which go in lockstep; each fails alone."""
        from drive.sim.asking import lockstep

        self._keep({job.ref for job in jobs})
        replies: dict[int, Reply] = {}
        begun: dict[int, Steps[RunLog]] = {}
        for number, job in enumerate(jobs):
            try:
                begun[number] = self._begin(job)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                replies[number] = self._failed(job, error)
        notes: list[str] = []
        started, cpu = time.perf_counter(), time.process_time()
        self.pulse.enter(Phase.DRIVE)
        runs = lockstep(list(begun.values()), notes.append)
        self._come_home()
        self.pulse.enter(Phase.SCORE)
        share = max(len(runs), 1)
        wall, used = (time.perf_counter() - started) / share, (time.process_time() - cpu) / share
        for number, run in zip(begun, runs, strict=True):
            if not isinstance(run, Exception) and len(jobs) > 1:
                run = run.with_header(batch=len(jobs))
            replies[number] = self.finished(jobs[number], run, wall, used)
        if notes:
            replies[0]["notes"] = notes
        return [replies[number] for number in range(len(jobs))]

    def _begin(self, job: Drive) -> Steps[RunLog]:
        """The drive, ready for its first step."""
        from drive.sim.modes import driving_mode

        scenario = self._with_expert(job.ref)
        planner = self._planner(job.planner)
        self._warm_up(planner, job, scenario)
        return driving_mode(self.setup.mode, scenario, planner, **self._how(job, self.setup.watchdog))

    def finished(self, job: Drive, run: RunLog | Exception, wall: float, used: float) -> Reply:
        """The answer to a drive that is over: judged and saved; `wall` and `used` s were spent on driving."""
        started, cpu = time.perf_counter(), time.process_time()
        try:
            if isinstance(run, Exception):
                raise run
            record = empty_record(job) | self._judge(empty_record(job), run)
        except (Exception, KeyboardInterrupt) as error:
            return self._failed(job, error)
        try:
            record.pop("log").save(self.setup.out / job.path)
        except OSError as error:
            reason = f"cannot write '{job.path}': {error.strerror or error}"
            return {"fatal": f"{reason}; what is finished stays, go on with --resume"}
        wall += time.perf_counter() - started
        used += time.process_time() - cpu
        return {**record, "run": job.path, "wall_s": round(wall, 4), "cpu_s": round(used, 4)}

    def _come_home(self) -> None:
        """Undo what a planner did to its whole process: scenes may be named from the folder that it left."""
        folder, mask = self._home
        os.umask(mask)
        with contextlib.suppress(OSError):
            os.chdir(folder)

    def _failed(self, job: Drive, error: BaseException) -> Reply:
        """The answer to a drive that an error ended."""
        match error:
            case SystemExit():
                kind, reason = "planner_error", f"the planner called exit({error.code})"
            case KeyboardInterrupt():
                if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                    raise error
                # No Ctrl-C is heard in a process of the pool: it is the planner's own.
                kind, reason = "planner_error", "the planner raised KeyboardInterrupt"
            case PlanError():
                kind, reason = "planner_error", str(error)
            case InputError():
                kind, reason = "invalid_scenario", str(error)
            case SimulationError():
                kind, reason = "simulator_error", str(error)
            case _:  # anything else is a fault of ours, and must not end the benchmark
                kind, reason = "simulator_error", one_line(error)
        return failed(empty_record(job), self.setup.scores, kind, reason)

    def _load(self, ref: str | int) -> Scenario:
        if ref not in self._kept:
            self.pulse.enter(Phase.LOAD)
            self._kept[ref] = self.setup.scenarios[ref] if isinstance(ref, int) else source.load(ref)
        return self._kept[ref]

    def _keep(self, refs: Set[str | int]) -> None:
        """Forget all other scenarios: the planners of one scenario come one after the other."""
        self._kept = {ref: scenario for ref, scenario in self._kept.items() if ref in refs}

    def _with_expert(self, ref: str | int) -> Scenario:
        scenario = self._load(ref)
        if scenario.expert is None:
            from drive.sim.reference import ensure_expert

            self.pulse.enter(Phase.LOAD)
            self._kept[ref] = scenario = ensure_expert(scenario)
        return scenario

    def _planner(self, number: int) -> Planner:
        if number not in self._planners:
            self.pulse.enter(Phase.LOAD)
            try:
                self._planners[number] = self.setup.entries[number].make()
            except Exception as error:
                raise PlanError(f"the planner cannot be made: {one_line(error)}") from error
        return self._planners[number]

    def _how(self, job: Drive, watchdog: float | None) -> dict[str, Any]:
        """The arguments of `drive.sim.modes.driving_mode` that all drives have in common."""
        return {
            "stages": self.setup.stages,
            "traffic": self.setup.traffic,
            "seed": job.seed,
            "planner_name": job.label,
            "planner_config": self.setup.entries[job.planner].config,
            "realtime": self.setup.realtime,
            "visibility": self.setup.visibility,
            "detection": self.setup.detection,
            "tracker": self.setup.tracker,
            "watchdog": watchdog,
            "heartbeat": self.pulse.beat,
        }

    def _warm_up(self, planner: Planner, job: Drive, scenario: Scenario) -> None:
        """Drive a few steps before the clock counts: kernels compile or load at their first call.

        Faults are left to the drive that counts. The simulator is warmed by a planner of our own first.
        """
        if "simulator" not in self._warm:
            self._warm.add("simulator")
            if kernels_are_cold():
                self.note(COMPILING)
            self.pulse.enter(Phase.LOAD)
            self._try_short(_COAST, job, scenario, score=True)
        if job.warm and job.planner not in self._warm:
            self._warm.add(job.planner)
            self.pulse.enter(Phase.DRIVE)
            self._try_short(planner, job, scenario, score=False)

    def _try_short(self, planner: Planner, job: Drive, scenario: Scenario, score: bool) -> None:
        from drive.sim.modes import simulate_mode

        try:
            # A compilation may outlast the watchdog; whoever listens to the pulse ends a planner that hangs.
            watchdog = self.setup.watchdog if self.pulse.private else None
            # A frame cannot be shortened; what is driven between two calls does not matter here.
            pseudo = self.setup.mode == "pseudo"
            scene = scenario if pseudo else shortened(scenario, WARM_STEPS)
            how = self._how(job, watchdog)
            run = simulate_mode("pseudo" if pseudo else "closed", scene, planner, **how)
            for name in self.setup.scores.values() if score else ():
                judge(name, run)
        except Exception:  # told by the drive that counts
            return

    def _judge(self, record: Reply, run: RunLog) -> Reply:
        """Scores, metric values and figures of a run; under "log" the run with them embedded."""
        found: Reply = {
            "expert_source": run.expert_source,
            "latency_ms": [round(1e3 * float(value), 4) for value in run.plan_latency],
            "plan_status": dict(Counter(str(status) for status in run.header.get("plan_status", []))),
        }
        found |= {"goal_reached": goal_reached(run), "metrics": {}, "metric_valid": {}, "statistics": {}}
        found["scored"] = {}
        header: dict[str, Any] = {}
        series: dict[str, Any] = {}
        for name, source_of_score in self.setup.scores.items():
            evaluation = judge(source_of_score, run)
            header[name] = evaluation.to_header()
            series = {**evaluation.series, **series}
            found["metrics"][name] = float(evaluation.score)
            found["scored"][name] = []
            for key, metric in evaluation.metrics.items():
                # Two scores may each have a metric of one name, and mean different things by it.
                full = key if key not in found["metrics"] else f"{name}/{key}"
                if metric.scored:
                    found["scored"][name].append(full)
                found["metrics"][full] = None if metric.score is None else float(metric.score)
                found["metric_valid"][full] = bool(metric.valid)
                found["statistics"][full] = plain(dict(metric.statistics))
        found["log"] = run.with_header(scores=header).with_series(**series)
        failure = run.header.get("failure")
        if failure is None:
            return found
        # What was measured until a failure stays in the log alone: it would flatter the means.
        kept = {key: found[key] for key in ("expert_source", "latency_ms", "plan_status", "log")}
        return failed({**record, **kept}, self.setup.scores, failure["class"], failure["reason"])


def _surroundings() -> tuple[str, int]:
    """The folder that this process is in, and its mask of permissions (read by setting it)."""
    mask = os.umask(0o077)
    os.umask(mask)
    return os.getcwd(), mask


def shortened(scenario: Scenario, steps: int) -> Scenario:
    """The first steps of a scenario alone."""
    steps = min(steps, scenario.num_steps)
    samples, t, expert = steps + 1, scenario.tracks, scenario.expert
    return scenario.with_(
        duration=steps * scenario.dt,
        tracks=Tracks(t.states[:, :samples], t.valid[:, :samples], t.size, t.kind, t.rear_to_centre, t.ids),
        signals=scenario.signals[:, :samples],
        expert=None if expert is None else Expert(expert.states[:samples], expert.source),
    )


def kernels_are_cold() -> bool:
    """Whether no compiled kernel lies on the disk yet."""
    from drive.sim.kernels.compile import cache_folder

    return not any(cache_folder().rglob("*.nbc"))


def _coast(observation: Observation, task: Task) -> Plan:
    x, y, heading, speed = observation.ego[:4]
    way = speed * 0.1 * np.arange(1, 41)
    poses = (x + way * np.cos(heading), y + way * np.sin(heading), np.full(40, heading))
    return Plan.from_poses(observation, np.stack(poses, axis=1), 0.1)


_COAST = FunctionPlanner(PlannerSpec("coast", horizon=4.0), _coast)
