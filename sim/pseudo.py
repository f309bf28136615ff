"""The pseudo-closed loop: one plan a frame, driven for four seconds by the LQR and the bicycle.

Source: autonomousvision/navsim at 0a380a9, `evaluate/pdm_score.py`, `planning/script/run_pdm_score.py` and
`scoring/scene_aggregator.py`. A scenario gives two frames half a second apart, the recorded driver's own
drive from each, and with a second stage pairs of follow-up frames (`drive.sim.followups`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import PlanError, ScenarioError
from drive.frames import FrameKind, Frames
from drive.scenario import Tracks
from drive.sim.asking import PlannerFailure, one_by_one
from drive.sim.candidates import rollout
from drive.sim.detection import Detection
from drive.sim.driven import Driven
from drive.sim.followups import DT, PAST, follow_ups
from drive.sim.kernels.layout import Controller
from drive.sim.loop import check_fit, run_log
from drive.sim.observe import Record
from drive.sim.reference import ensure_expert
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import load_traffic
from drive.sim.visibility import Visibility
from drive.sim.world import compile_world, step
from drive.terrain import Terrain
from drive.vehicle import ACCELERATION, HEADING, SPEED, STEERING, YAW_RATE, rear_to_center

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drive.planner import Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario
    from drive.sim.asking import Steps
    from drive.sim.traffic.model import TrafficModel

    Floats = NDArray[np.float64]

STEPS = 40
"""A plan is driven for so many steps of `DT`: 4 s."""
APART = 5
"""Samples between the previous frame and the present one."""
START = 20
"""The present frame's sample: its history of 1.5 s and that of the frame before are recorded."""
LOOK_AHEAD = 9
"""Samples of the others beyond the drive, for the time to collision at its end."""
TRACKER = "reference"
"""NAVSIM's batch tracker, with the finite-difference fault that its published figures contain."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A frame to be driven: from the state `past[-1]` at `sample`; `past (P + 1, 7)` ends with it."""

    sample: int
    kind: FrameKind
    pair: int
    past: Floats


def driving_pseudo(
    scenario: Scenario,
    planner: Planner,
    *,
    traffic: str | TrafficModel = "idm",
    seed: int = 0,
    stages: int = 1,
    planner_name: str | None = None,
    planner_config: Mapping[str, Any] | None = None,
    keep_candidates: int = 8,
    watchdog: float | None = 60.0,
    heartbeat: Callable[[], None] | None = None,
    visibility: str = "line_of_sight",
    detection: str = "none",
) -> Steps[RunLog]:
    """Let a planner plan once in each frame and drive its plans; arguments as of `drive.sim.simulate`.

    The log's drive is the present frame's: the ego follows the recorded driver up to it, and the plan from
    there on. All frames are in `log.frames`. Each has a session of its own, which sees the two seconds
    before it. Traffic models react to the ego from the frame on; before it everybody is where the log has
    them. A planner that fails in any frame fails in the run, as in `drive.sim.simulate`.

    Raises ScenarioError for a scenario without a driver, without 10 samples a second, or too short.
    """
    view, sensor = Visibility.parse(visibility), Detection.parse(detection)
    check_fit(planner, scenario)
    if isinstance(scenario.environment, Terrain):
        raise ScenarioError(f"scenario '{scenario.id}' is terrain: the pseudo-closed loop is for roads")
    model = load_traffic(traffic)
    if model.director is not None:
        raise ScenarioError(f"traffic '{model.name}' is live: it drives in closed loops only")
    scenario = ensure_expert(scenario)
    digest = scenario.content_hash
    now = _present(scenario, stages)
    assert scenario.expert is not None
    expert = scenario.expert.states[:, :7]
    starts = [
        Start(k, kind, 0, expert[max(k - PAST, 0) : k + 1])
        for k, kind in ((now, FrameKind.NOW), (now - APART, FrameKind.PREVIOUS))
    ]
    if stages == 2:
        for pair, (late, early) in enumerate(follow_ups(scenario, now, now + STEPS, APART), start=1):
            starts.append(Start(now + STEPS, FrameKind.NOW, pair, late))
            starts.append(Start(now + STEPS - APART, FrameKind.PREVIOUS, pair, early))

    n, tracks = scenario.num_steps + 1, scenario.tracks
    record = Record(tracks.states.swapaxes(0, 1).copy(), tracks.valid.T.copy(), np.array(scenario.signals))
    rows: list[dict[str, Any]] = []
    driven: dict[FrameKind, Driven] = {}
    failure: dict[str, str] | None = None
    failed_at = now
    for start in starts:
        if heartbeat is not None:
            heartbeat()
        try:
            agent = yield from _ask(scenario, planner, start, seed, view, sensor, watchdog, record)
            if start.pair == 0:
                driven[start.kind] = agent
        except (PlannerFailure, PlanError) as error:
            kind = error.kind if isinstance(error, PlannerFailure) else "planner_error"
            failure, failed_at = {"class": kind, "reason": str(error)}, min(start.sample, now)
            break
        assert agent.plan is not None
        plan = agent.plan.trajectory
        poses = plan.at(start.sample * DT + DT * np.arange(STEPS + 1))[:, :3]
        # As in NAVSIM, the ego's own pose stands before the poses that an agent hands in.
        poses[0] = start.past[-1, :3]
        rows.append(_frame(scenario, model, start, poses, human=False))
        if start.pair == 0:
            own = expert[start.sample : start.sample + STEPS + 1, :3]
            rows.append(_frame(scenario, model, start, own.copy(), human=True))
    frames = None if failure is not None else _stack(rows)
    shown = driven.get(FrameKind.NOW)
    agents = [] if shown is None else [shown]
    # Without a session there is no more than the start.
    samples = 1 if shown is None else now + STEPS + 1 if frames is not None else failed_at + 1
    if shown is not None and frames is not None:
        _show(scenario, record, shown, driven[FrameKind.PREVIOUS], frames, now)
    elif shown is not None:
        shown.states[:samples] = expert[:samples]
    controller = np.full(tracks.num_agents, Controller.LOG, dtype=np.uint8)
    if model.controller is not Controller.LOG:
        whose = {scenario.ego: Controller.TRAJECTORY}
        controller = cast(_cut(scenario, now, expert[now]), model, whose).controller
    return run_log(
        scenario, digest, model.compat, controller, record, agents, min(samples, n), failure, keep_candidates,
        {
            "mode": "pseudo",
            "planner": {
                "name": planner_name or planner.spec.name,
                "config": dict(planner_config or {}),
                "privileged": planner.spec.privileged,
            },
            "traffic": model.name,
            "seed": seed,
            "realtime": False,
            "visibility": str(view),
            "detection": str(sensor),
            "drivers": {},
            "lead": {"driver": scenario.expert.source, "until": now * DT, "strayed": None},
        },
        frames=frames,
    )  # fmt: skip


simulate_pseudo = one_by_one(driving_pseudo)


def _present(scenario: Scenario, stages: int) -> int:
    """The sample of the present frame."""
    where = f"scenario '{scenario.id}'"
    if scenario.expert is None:
        raise ScenarioError(f"{where} has no driver whose drive could lead to a frame")
    if abs(scenario.dt - DT) > 1e-6:
        raise ScenarioError(f"{where} has a step of {scenario.dt:g} s: the pseudo-closed loop needs {DT:g} s")
    sample = min(START, scenario.num_steps - stages * STEPS)
    if sample < APART:
        least = (stages * STEPS + APART) * DT
        raise ScenarioError(
            f"{where} lasts {scenario.duration:g} s: {stages} stage(s) of the pseudo-closed loop need "
            f"{least:g} s"
        )
    return sample


def _ask(
    scenario: Scenario,
    planner: Planner,
    start: Start,
    seed: int,
    view: Visibility,
    sensor: Detection,
    limit: float | None,
    record: Record,
) -> Steps[Driven]:
    """A fresh session's plan at a frame, from what it saw of the log in the two seconds before."""
    k, row = start.sample, scenario.ego
    agent = Driven.start(scenario, planner, row, seed, "lqr", limit, view, sensor)
    assert scenario.expert is not None
    agent.states[: k + 1] = scenario.expert.states[: k + 1, :7]
    agent.states[k + 1 - len(start.past) : k + 1] = start.past
    for sample in range(max(k - START, 0), k + 1):
        s = agent.states[sample]
        record.centers[sample, row, :2] = rear_to_center(s, agent.vehicle.rear_axle_to_center)
        record.centers[sample, row, 2] = s[HEADING]
        record.centers[sample, row, 3:] = s[SPEED] * np.cos(s[HEADING]), s[SPEED] * np.sin(s[HEADING])
        record.presence[sample, row] = True
        agent.observer.look(sample, record)
    yield from agent.think(k, record, scenario.dt, False, limit)
    return agent


def _frame(
    scenario: Scenario, model: TrafficModel, start: Start, poses: Floats, human: bool
) -> dict[str, Any]:
    """One frame's entries: the poses driven, and what the others do meanwhile."""
    first = np.ascontiguousarray(start.past[-1])
    ego = rollout(scenario.vehicle, first, np.ascontiguousarray(poses[None]), dt=DT, compat=TRACKER)[0]
    agents, valid = surroundings(scenario, model, start.sample, ego)
    past = np.full((PAST, 7), np.nan)
    known = start.past[:-1]
    past[PAST - len(known) :] = known
    k = start.sample
    return {
        "sample": k,
        "kind": start.kind,
        "pair": start.pair,
        "human": human,
        "ego": ego,
        "past": past,
        "end": poses[-1, :2],
        "agents": agents,
        "agent_valid": valid,
        "signals": scenario.signals[:, k : k + STEPS + 1],
    }


def surroundings(
    scenario: Scenario, model: TrafficModel, sample: int, ego: Floats
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The others `(A, K, 5)` and whether they are there, from a sample on, while the ego drives `ego (T, 7)`.

    K is `LOOK_AHEAD` more than T: the ego is taken to roll on at the last speed. Nobody is there beyond the
    end of the scenario.
    """
    tracks, row = scenario.tracks, scenario.ego
    others = np.delete(np.arange(tracks.num_agents), row)
    count = len(ego) + LOOK_AHEAD
    states = np.zeros((len(others), count, 5), dtype=np.float32)
    valid = np.zeros((len(others), count), dtype=np.bool_)
    last = min(sample + count, tracks.num_steps)
    known = last - sample
    if model.controller is Controller.LOG or known < 2:
        states[:, :known] = tracks.states[others, sample:last]
        valid[:, :known] = tracks.valid[others, sample:last]
        return np.where(valid[..., None], states, np.float32(0.0)), valid
    people = cast(_cut(scenario, sample, ego[0]), model, {row: Controller.TRAJECTORY})
    world = compile_world([people], scenario.dt, anticipate=model.anticipate)
    pose = np.zeros((1, tracks.num_agents, 5), dtype=np.float32)
    here = ego[0]
    for j in range(known):
        if j:
            here = ego[j] if j < len(ego) else _rolled_on(here)
            pose[0, row] = here[[0, 1, 2, 3, 6]]
            world = step(world, pose=pose, out=world)
        states[:, j], valid[:, j] = world.centers()[0][others], world.present[0][others]
    return states, valid


def _rolled_on(state: Floats) -> Floats:
    out = state.copy()
    out[0] += DT * state[SPEED] * np.cos(state[HEADING])
    out[1] += DT * state[SPEED] * np.sin(state[HEADING])
    return out


def _cut(scenario: Scenario, sample: int, initial: Floats) -> Scenario:
    """The rest of a scenario from a sample on, with the ego in the state `initial (7,)`."""
    t = scenario.tracks
    rest = t.num_steps - sample
    return scenario.with_(
        duration=(rest - 1) * scenario.dt,
        tracks=Tracks(t.states[:, sample:], t.valid[:, sample:], t.size, t.kind, t.rear_to_centre, t.ids),
        signals=scenario.signals[:, sample:],
        initial=initial,
        expert=None,
    )


def _stack(rows: list[dict[str, Any]]) -> Frames:
    kinds: dict[str, Any] = {
        "sample": np.int32,
        "kind": np.uint8,
        "pair": np.int32,
        "human": np.bool_,
        "agents": np.float32,
        "agent_valid": np.bool_,
        "signals": np.uint8,
    }
    arrays = {
        name: np.asarray([r[name] for r in rows], dtype=kinds.get(name, np.float64)) for name in rows[0]
    }
    return Frames(**arrays)


def _show(
    scenario: Scenario, record: Record, shown: Driven, before: Driven, frames: Frames, now: int
) -> None:
    """Write the present frame's drive into the record and the driven agent, for the log's main arrays."""
    at = frames.find(FrameKind.NOW)
    assert at is not None
    row, end = scenario.ego, now + STEPS + 1
    others = np.delete(np.arange(scenario.tracks.num_agents), row)
    states = shown.states
    states[now:end] = frames.ego[at]
    record.centers[now:end, others] = frames.agents[at, :, : STEPS + 1].swapaxes(0, 1)
    record.presence[now:end, others] = frames.agent_valid[at, :, : STEPS + 1].T
    record.centers[now:end, row, :2] = rear_to_center(states[now:end], shown.vehicle.rear_axle_to_center)
    record.centers[now:end, row, 2] = states[now:end, HEADING]
    record.presence[now:end, row] = True
    for sample in range(now + 1, end):
        shown.observer.look(sample, record)
    change = np.diff(states[:end], axis=0) / DT
    shown.control[: end - 1, 0] = states[1:end, ACCELERATION]
    shown.control[: end - 1, 1] = change[:, STEERING]
    shown.yaw_acceleration[1:end] = change[:, YAW_RATE]
    shown.plan_step[:0], shown.latency[:0] = before.plan_step, before.latency
    shown.plans[:0] = before.plans
