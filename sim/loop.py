"""The closed loop of one scenario: observe, plan, track, integrate, traffic, events."""

from __future__ import annotations

import math
import platform
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, PlanError, ScenarioError, SimulationError
from drive.geometry import box_corners, boxes_overlap
from drive.runlog import RunLog
from drive.sim.asking import PlannerFailure, one_by_one
from drive.sim.detection import Detection
from drive.sim.driven import CANDIDATE_DT, Driven
from drive.sim.kernels.layout import Controller
from drive.sim.observe import Record
from drive.sim.reference import ensure_expert
from drive.sim.trackers import check_tracker
from drive.sim.traffic.compile import cast
from drive.sim.traffic.director import Cue, Stage, director_of
from drive.sim.traffic.model import load_traffic
from drive.sim.visibility import Visibility
from drive.sim.world import compile_world, step
from drive.terrain import Terrain
from drive.vehicle import HEADING, STATE_SIZE, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from drive.frames import Frames
    from drive.planner import Planner
    from drive.scenario import Goal, Scenario
    from drive.sim.asking import Steps
    from drive.sim.driven import Lead
    from drive.sim.traffic.model import TrafficModel

    Floats = NDArray[np.float64]


def driving(
    scenario: Scenario,
    planner: Planner,
    *,
    traffic: str | TrafficModel = "idm",
    seed: int = 0,
    planner_name: str | None = None,
    planner_config: Mapping[str, Any] | None = None,
    keep_candidates: int = 8,
    realtime: bool = False,
    watchdog: float | None = 60.0,
    heartbeat: Callable[[], None] | None = None,
    tracker: str = "lqr",
    drivers: Mapping[str, Planner] | None = None,
    visibility: str = "line_of_sight",
    detection: str = "none",
    lead: Lead | None = None,
    stop: int | None = None,
) -> Steps[RunLog]:
    """Drive a scenario's ego by a planner and record everything.

    `drivers` puts planners behind other tracks, by track id; each has its own view. `visibility` says
    whom planners see: "all", or who is in their line of sight (`drive.sim.sight`), with
    "line_of_sight:METRES" up to a range. `detection` says how well: "none" for exactly, or with noise and
    drop-outs as in "position=1.0/0.5,flicker=0.5" (`drive.sim.detection`). `tracker` says who turns plans
    without controls into commands, one of `drive.sim.trackers.TRACKERS`. Traffic models always see
    everybody, and metrics judge by everybody. `realtime` gives each call the time between two calls as
    its budget and drives the old plan while a late one is awaited; otherwise thinking takes no simulated
    time and equal inputs give bit-equal runs. `watchdog` in s ends a call that does not return; `heartbeat`
    is called before each step. `lead` says what the ego does before its planner drives it. The run ends at
    the sample `stop`, whose plan is the last one.

    A planner that raises, returns rubbish or does not answer ends the run early: the log holds the
    samples so far, and header["failure"] the class and the reason. Raises ScenarioError for a
    scenario that cannot be simulated and SimulationError for a fault of the simulator.
    """
    view, sensor = Visibility.parse(visibility), Detection.parse(detection)
    check_fit(planner, scenario)
    check_tracker(tracker)
    if isinstance(scenario.environment, Terrain):
        from drive.sim.rover import simulate_rover

        if drivers or (lead is not None and not lead.ask):
            raise ScenarioError(
                f"scenario '{scenario.id}' is terrain: nobody leads its rover or drives others"
            )
        if tracker != "lqr":
            raise ScenarioError(f"scenario '{scenario.id}' is terrain: its rover has a tracker of its own")
        return simulate_rover(
            scenario, planner, seed=seed, planner_name=planner_name, planner_config=planner_config,
            keep_candidates=keep_candidates, realtime=realtime, watchdog=watchdog, heartbeat=heartbeat,
            stop=stop, lead=lead,
        )  # fmt: skip
    model = load_traffic(traffic)
    scenario = ensure_expert(scenario)
    dt, n, digest = scenario.dt, scenario.num_steps, scenario.content_hash
    rows = {scenario.ego: planner, **_driver_rows(scenario, drivers or {})}
    director = director_of(model.director, scenario)
    stage = None if director is None else Stage.open(director, scenario, seed, tuple(rows))
    try:
        if stage is not None:
            scenario = stage.scenario
        who = dict.fromkeys((*rows, *(() if stage is None else stage.rows.tolist())), Controller.TRAJECTORY)
        try:
            people = cast(scenario, model, who)
            world = compile_world([people], dt, anticipate=model.anticipate)
        except DriveError:
            raise
        except Exception as error:
            raise SimulationError(f"scenario '{scenario.id}' cannot be compiled: {_line(error)}") from error

        record = Record.of(scenario)
        driven: list[Driven] = []
        failure: dict[str, str] | None = None
        pose = np.zeros((1, scenario.tracks.num_agents, 5), dtype=np.float32)
        told: list[dict[str, Any]] = []
        sample = 0
        try:
            if heartbeat is not None:
                heartbeat()
            for row, p in rows.items():
                with _named(scenario, row):
                    mine = lead if row == scenario.ego else None
                    driven.append(Driven.start(scenario, p, row, seed, tracker, watchdog, view, sensor, mine))
            _write(record, 0, world, driven)
            for sample in range(n):
                if heartbeat is not None:
                    heartbeat()
                for agent in driven:
                    with _named(scenario, agent.row):
                        yield from agent.think(sample, record, dt, realtime, watchdog)
                if sample == stop:
                    break
                for agent in driven:
                    with _named(scenario, agent.row):
                        pose[0, agent.row] = agent.move(sample, dt)
                if stage is not None:
                    now, ahead = ({a.row: a.states[k] for a in driven} for k in (sample, sample + 1))
                    told += stage.ask(Cue(sample, sample * dt, record, now, ahead), world, pose)
                try:
                    world = step(world, pose=pose, out=world)
                except Exception as error:
                    raise SimulationError(
                        f"scenario '{scenario.id}', step {sample}: {_line(error)}"
                    ) from error
                if stage is not None:
                    stage.place(world, pose, record, sample + 1)
                _write(record, sample + 1, world, driven)
            samples = (n if stop is None else min(n, stop)) + 1
        except PlannerFailure as error:
            failure = {"class": error.kind, "reason": error.reason}
            samples = sample + 1
    finally:
        if stage is not None:
            stage.close()
    return run_log(
        scenario, digest, model.compat, people.controller, record, driven, samples, failure, keep_candidates,
        {
            "planner": {
                "name": planner_name or planner.spec.name,
                "config": dict(planner_config or {}),
                "privileged": planner.spec.privileged,
            },
            "traffic": model.name,
            "seed": seed,
            "realtime": realtime,
            "visibility": str(view),
            "detection": str(sensor),
            "tracker": tracker,
            "drivers": {name: p.spec.name for name, p in (drivers or {}).items()},
            **_led(lead, driven, dt),
        },
        told,
    )  # fmt: skip


simulate = one_by_one(driving)
"""A whole drive, its planners asked one by one; `driving` is the same in steps (`drive.sim.asking`)."""


def _led(lead: Lead | None, driven: list[Driven], dt: float) -> dict[str, Any]:
    """Until when the ego was led, and when its planner's own drive first left that motion, if it did."""
    if lead is None:
        return {}
    strayed = driven[0].strayed if driven else math.inf
    until = (len(lead.states) - 1) * dt
    strays = strayed if math.isfinite(strayed) else None
    return {"lead": {"driver": lead.driver, "until": until, "strayed": strays}}


@contextmanager
def _named(scenario: Scenario, row: int) -> Iterator[None]:
    """Failures of another track's driver say whose they are."""
    try:
        yield
    except (PlannerFailure, PlanError) as error:
        kind = error.kind if isinstance(error, PlannerFailure) else "planner_error"
        whose = "" if row == scenario.ego else f"driver of track '{scenario.tracks.ids[row]}': "
        raise PlannerFailure(kind, f"{whose}{error}") from error


def _driver_rows(scenario: Scenario, drivers: Mapping[str, Planner]) -> dict[int, Planner]:
    out = {}
    for name, planner in drivers.items():
        if name not in scenario.tracks.ids:
            raise ScenarioError(f"scenario '{scenario.id}' has no track '{name}' to be driven")
        row = scenario.tracks.ids.index(name)
        if row == scenario.ego or not scenario.tracks.valid[row, 0]:
            raise ScenarioError(
                f"track '{name}' is the ego or not there at the start: no planner can drive it"
            )
        out[row] = planner
    return out


def _write(record: Record, sample: int, world: Any, driven: list[Driven]) -> None:
    record.centers[sample] = world.centers()[0]
    record.presence[sample] = world.present[0]
    for agent in driven:
        # The driven agents' own states are kept in float64.
        s = agent.states[sample]
        record.centers[sample, agent.row, :2] = rear_to_center(s, agent.vehicle.rear_axle_to_center)
        record.centers[sample, agent.row, 2] = s[HEADING]
    for agent in driven:
        agent.observer.look(sample, record)


def check_fit(planner: Planner, scenario: Scenario) -> None:
    """Raise PlanError where a planner for roads is to drive on terrain, or the other way round.

    Cameras see roads only.
    """
    needs, terrain = planner.spec.needs, isinstance(scenario.environment, Terrain)
    if terrain and ("road" in needs or "route" in needs):
        raise PlanError(f"'{planner.spec.name}' drives on roads, and scenario '{scenario.id}' is terrain")
    if terrain and planner.spec.cameras:
        raise PlanError(
            f"'{planner.spec.name}' asks for cameras, which see roads: scenario '{scenario.id}' is terrain"
        )
    if not terrain and "terrain" in needs:
        raise PlanError(f"'{planner.spec.name}' drives on terrain, and scenario '{scenario.id}' is a road")


def run_log(
    scenario: Scenario,
    digest: str,
    compat: bool,
    controller: NDArray[np.uint8],
    record: Record,
    driven: list[Driven],
    samples: int,
    failure: dict[str, str] | None,
    keep_candidates: int,
    header: dict[str, Any],
    told: Sequence[dict[str, Any]] = (),
    frames: Frames | None = None,
) -> RunLog:
    """The log of a run from what was recorded; `compat` as the traffic model has it.

    `digest` is the content hash of the scenario as it was given: a director may have added tracks to it.
    `told` are events beside those that follow from the record.
    """
    tracks = scenario.tracks
    others = np.delete(np.arange(tracks.num_agents), scenario.ego)
    expert, environment = scenario.expert, scenario.environment
    ego = driven[0] if driven else None
    states = ego.states[:samples, :STATE_SIZE] if ego else scenario.initial[None, :STATE_SIZE]
    agents = np.where(
        record.presence[:samples, others, None], record.centers[:samples, others], 0.0
    ).swapaxes(0, 1)
    present = record.presence[:samples, others].T
    seen = ego.observer.seen[:samples, others].T if ego else np.zeros((0, 0), dtype=np.bool_)
    logged = np.where(tracks.valid[scenario.ego, :, None], tracks.rear_axle_poses(scenario.ego), np.nan)
    status, reason = ego.statuses() if ego else ([], [])
    start, plan_times, plan_states = (
        ego.plan_rows() if ego else (np.zeros(1, np.int32), np.zeros(0), np.zeros((0, 7), np.float32))
    )
    contacts = _contacts(scenario, states, agents, present, tracks.size[others])
    events = [
        {"time": t * scenario.dt, "kind": "collision", "agent": tracks.ids[others[a]]} for t, a in contacts
    ]
    events += _status_events(ego, status, reason, scenario.dt)
    events += [event for event in told if event["time"] <= (samples - 1) * scenario.dt + 1e-9]
    heat, about_heat = ego.heat_rows() if ego else ({}, None)
    considered, names = ego.candidate_rows(keep_candidates) if ego else ({}, [])
    if failure is not None:
        events.append(
            {"time": (samples - 1) * scenario.dt, "kind": failure["class"], "detail": failure["reason"]}
        )
    return RunLog(
        header={
            **header,
            "scenario": {
                "id": scenario.id,
                "family": scenario.family,
                "hash": digest,
                "dt": scenario.dt,
                "duration": scenario.duration,
                "origin": list(scenario.origin),
                "tags": list(scenario.tags),
                "provenance": asdict(scenario.provenance),
                "expert_source": "" if expert is None else expert.source,
                "goal": _goal(scenario.route.goal),
            },
            "vehicle": asdict(scenario.vehicle),
            "versions": _versions(),
            "plan_status": status,
            "plan_reason": reason,
            "events": sorted(events, key=lambda e: float(e["time"])),
            "failure": failure,
            "cand_dt": CANDIDATE_DT,
            "cand_names": names,
            **({} if about_heat is None else {"heat": about_heat}),
            "traffic_compat": compat,
        },
        times=scenario.times[:samples],
        ego=states,
        ego_control=ego.control[: max(samples - 1, 0)] if ego else np.zeros((0, 2)),
        ego_yaw_acceleration=ego.yaw_acceleration[:samples] if ego else np.zeros(1),
        agents=np.ascontiguousarray(agents),
        agent_valid=np.ascontiguousarray(present),
        agent_size=tracks.size[others],
        agent_kind=tracks.kind[others],
        agent_controller=controller[others],
        agent_ids=tuple(tracks.ids[i] for i in others),
        signals=record.signals[:, :samples],
        plan_step=np.asarray(ego.plan_step if ego else [], dtype=np.int32),
        plan_latency=np.asarray(ego.latency if ego else [], dtype=np.float64),
        plan_start=start,
        plan_times=plan_times,
        plan_states=plan_states,
        expert=np.zeros((0, STATE_SIZE)) if expert is None else expert.states[:samples],
        route_line=scenario.route.line,
        route_lanes=np.asarray(scenario.route.lanes, dtype=np.int32),
        logged_ego=logged[:samples],
        roadmap=None if isinstance(environment, Terrain) else environment,
        terrain=environment if isinstance(environment, Terrain) else None,
        series=ego.figures() if ego else {},
        agent_seen=np.ascontiguousarray(seen),
        frames=frames,
        **considered,
        **heat,
    )


def _contacts(
    scenario: Scenario, ego: Floats, agents: Floats, present: NDArray[np.bool_], size: Floats
) -> list[tuple[int, int]]:
    """First contact of the ego's box with each agent: (sample, agent)."""
    v = scenario.vehicle
    center = rear_to_center(ego, v.rear_axle_to_center)
    reach = 0.5 * (np.hypot(size[:, 0], size[:, 1]) + np.hypot(v.length, v.width))
    gap = np.hypot(agents[..., 0] - center[:, 0], agents[..., 1] - center[:, 1])
    a, t = np.nonzero(present & (gap < reach[:, None]))
    if len(a) == 0:
        return []
    mine = box_corners(center[t], ego[t, HEADING], v.length, v.width)
    theirs = box_corners(agents[a, t, :2], agents[a, t, 2], size[a, 0], size[a, 1])
    hit = boxes_overlap(mine, theirs)
    first: dict[int, int] = {}
    for agent, when in zip(a[hit], t[hit], strict=True):
        first.setdefault(int(agent), int(when))
    return sorted((when, agent) for agent, when in first.items())


def _status_events(
    ego: Driven | None, status: list[str], reason: list[str], dt: float
) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    before = "ok"
    for k, (now, why) in enumerate(zip(status, reason, strict=True)):
        if now != before and ego is not None:
            events.append(
                {"time": ego.plan_step[k] * dt, "kind": "status", "detail": f"{now}: {why}" if why else now}
            )
        before = now
    return events


def _goal(goal: Goal) -> dict[str, Any]:
    return {
        "position": None if goal.position is None else [float(v) for v in goal.position[:2]],
        "polygon": None if goal.polygon is None else np.asarray(goal.polygon).tolist(),
        "lanes": [int(v) for v in goal.lanes],
        "heading": goal.heading,
        "speed": goal.speed,
        "time": goal.time,
    }


def _versions() -> dict[str, str]:
    import numba

    from drive import __version__

    return {
        "drive": __version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
    }


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
