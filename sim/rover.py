"""The closed loop of a rover on terrain: observe, plan, track, move on four wheels that slip, charge."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import ScenarioError
from drive.planner import ControlKind
from drive.sim.asking import PlannerFailure, finish
from drive.sim.detection import Detection
from drive.sim.driven import Driven
from drive.sim.kernels.layout import Controller
from drive.sim.loop import run_log
from drive.sim.observe import Record
from drive.sim.rover_body import Body, Disturbance, StepTold, advance, stance
from drive.sim.rover_tracker import RoverMPC
from drive.sim.surface import Surface
from drive.sim.visibility import Visibility
from drive.terrain import Terrain
from drive.vehicle import HEADING, PITCH, ROLL, SPEED, STATE_SIZE, YAW_RATE, Z

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drive.planner import Plan, Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario
    from drive.sim.driven import Lead
    from drive.sim.rover_tracker import OpenLoop
    from drive.vehicle import RoverParams

    Floats = NDArray[np.float64]

SERIES = (
    "power",
    "power_peak",
    "power_limit",
    "power_share",
    "supply",
    "battery",
    "energy_used",
    "slip",
    "light",
)
"""Named series of a rover's log, beside z, pitch and roll: loads in W (mean and peak of the step before),
what was allowed, the peak's share of it, the supply in W, energies in J, slip and light as shares."""


def simulate_rover(
    scenario: Scenario,
    planner: Planner,
    *,
    seed: int = 0,
    planner_name: str | None = None,
    planner_config: Mapping[str, Any] | None = None,
    keep_candidates: int = 8,
    realtime: bool = False,
    watchdog: float | None = 60.0,
    heartbeat: Callable[[], None] | None = None,
    stop: int | None = None,
    tracker: RoverMPC | OpenLoop | None = None,
    disturbance: Disturbance | None = None,
    lead: Lead | None = None,
) -> RunLog:
    """Drive a terrain's rover by a planner and record everything; the arguments as in `simulate`.

    The observation's `ego` has ten columns, its `extras` battery (J), energy_used (J), power (W, measured
    over the step before), supply (W, sun and generator), wheel_speed (m/s) and turn_rate (rad/s, as
    commanded). A plan's control of speed and yaw rate is applied as it is; every other plan is tracked.
    Equal inputs give bit-equal runs: of a `lead` it is told when this drive leaves it, and nobody is put
    back on it.
    """
    terrain, rover = _parts(scenario)
    wobble = disturbance or Disturbance()
    n, dt = scenario.num_steps, scenario.dt
    record = Record.of(scenario)
    # What is executed is the plan: a tracker of the loop's own that held the limit would be judged instead.
    follow = (tracker or RoverMPC(hold=False)).start(
        terrain, rover, Surface.under(terrain, rover.wheelbase), dt
    )
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x0E]))
    first = scenario.initial
    body = Body(
        float(first[0]), float(first[1]), float(first[HEADING]), float(first[SPEED]), float(first[YAW_RATE]),
        rover.battery_start,
    )  # fmt: skip
    series = {name: np.zeros(n + 1) for name in (*SERIES, "z", "pitch", "roll")}
    failure: dict[str, str] | None = None
    driven: list[Driven] = []
    sample = 0
    told = _at_start(body, terrain, rover)
    try:
        if heartbeat is not None:
            heartbeat()
        view = Visibility(everybody=True)
        agent = Driven.start(scenario, planner, scenario.ego, seed, "lqr", watchdog, view, Detection())
        agent.states = np.zeros((n + 1, STATE_SIZE + 3))
        driven.append(agent)
        _write(agent, 0, body, told, series, terrain, rover, 0.0, record, scenario)
        for sample in range(n):
            if heartbeat is not None:
                heartbeat()
            extras = {
                "battery": body.charge,
                "energy_used": body.used,
                "power": told.mean,
                "supply": told.supply,
                "wheel_speed": body.wheel_speed,
                "turn_rate": body.turn_rate,
                "slip": slipping(body, told),
            }
            finish(agent.think(sample, record, dt, realtime, watchdog, extras))
            if sample == stop:
                break
            assert agent.plan is not None
            state = agent.states[sample]
            command = _command(agent.plan, sample * dt, state, body, told, follow, dt)
            agent.control[sample] = command
            turn = body.turn_rate
            told = advance(body, terrain, rover, wobble, command, sample * dt, dt, rng)
            _write(agent, sample + 1, body, told, series, terrain, rover, (sample + 1) * dt, record, scenario)
            agent.yaw_acceleration[sample + 1] = (body.turn_rate - turn) / dt
        samples = (n if stop is None else min(n, stop)) + 1
    except PlannerFailure as error:
        failure = {"class": error.kind, "reason": error.reason}
        samples = sample + 1
    header = {
        "planner": {
            "name": planner_name or planner.spec.name,
            "config": dict(planner_config or {}),
            "privileged": planner.spec.privileged,
        },
        "traffic": "none",
        "seed": seed,
        "realtime": realtime,
        "visibility": "all",
        "detection": "none",
        "drivers": {},
        **_led(lead, driven, dt),
        "rover": asdict(rover),
        "disturbance": asdict(wobble),
    }
    controller = np.full(scenario.tracks.num_agents, Controller.TRAJECTORY, dtype=np.uint8)
    digest = scenario.content_hash
    log = run_log(
        scenario, digest, False, controller, record, driven, samples, failure, keep_candidates, header
    )
    # Nobody drove here before.
    log = replace(log, logged_ego=np.full((samples, 3), np.nan))
    return log.with_series(**{name: values[:samples] for name, values in series.items()})


def _led(lead: Lead | None, driven: list[Driven], dt: float) -> dict[str, Any]:
    if lead is None:
        return {}
    count = len(lead.states)
    states = driven[0].states[:count, : lead.states.shape[1]] if driven else np.zeros((0, 7))
    apart = np.flatnonzero((states != lead.states[: len(states)]).any(axis=1))
    strays = float(apart[0]) * dt if len(apart) else None
    return {"lead": {"driver": lead.driver, "until": (count - 1) * dt, "strayed": strays}}


def _parts(scenario: Scenario) -> tuple[Terrain, RoverParams]:
    if not isinstance(scenario.environment, Terrain):
        raise ScenarioError(f"scenario '{scenario.id}' is no terrain")
    if scenario.rover is None:
        raise ScenarioError(f"scenario '{scenario.id}' is terrain and names no rover")
    if scenario.tracks.num_agents != 1:
        raise ScenarioError(
            f"scenario '{scenario.id}' is terrain with others on it, which no rover can meet yet"
        )
    return scenario.environment, scenario.rover


def _at_start(body: Body, terrain: Terrain, rover: RoverParams) -> StepTold:
    light = float(terrain.light_at(np.array([body.x, body.y]), 0.0))
    supply = rover.generator_power + rover.solar_power_max * light
    allowed = max(min(rover.power_limit, supply + rover.battery_power_max), 1e-9)
    base = rover.power_base
    return StepTold(base, base, base / allowed, supply, body.wheel_speed, body.turn_rate, body.wheel_speed)


def _command(
    plan: Plan, now: float, state: Floats, body: Body, told: StepTold, follow: Any, dt: float
) -> tuple[float, float]:
    control = plan.control
    if control is not None and control.kind is ControlKind.SPEED_YAW_RATE:
        elapsed = now - float(plan.trajectory.times[0])
        row = min(int(elapsed / control.dt + 1e-6), len(control.values) - 1)
        speed, turn = (float(v) for v in control.values[row])
        return (speed - body.wheel_speed) / dt, (turn - body.turn_rate) / dt
    found: tuple[float, float] = follow.command(
        plan.trajectory, now, state[:3], body.wheel_speed, body.turn_rate, float(state[PITCH]), told.mean,
        told.supply, told.speed,
    )  # fmt: skip
    return found


def slipping(body: Body, told: StepTold) -> float:
    """The slip over the last step as odometry has it; 0 where the wheels hardly turn."""
    return 0.0 if abs(told.wheel_speed) < 0.05 else 1.0 - told.speed / told.wheel_speed


def _write(
    agent: Driven, sample: int, body: Body, told: StepTold, series: dict[str, Floats], terrain: Terrain,
    rover: RoverParams, time: float, record: Record, scenario: Scenario,
) -> None:  # fmt: skip
    z, pitch, roll = stance(terrain, rover, body.x, body.y, body.heading)
    state = agent.states[sample]
    before = agent.states[sample - 1, SPEED] if sample else told.speed
    state[:3] = body.x, body.y, body.heading
    state[SPEED], state[YAW_RATE] = told.speed, told.turn_rate
    state[SPEED + 1] = (told.speed - before) / scenario.dt if sample else 0.0
    state[[Z, PITCH, ROLL]] = z, pitch, roll
    light = float(terrain.light_at(state[:2], time))
    values = (
        told.mean, told.peak, min(rover.power_limit, told.supply + rover.battery_power_max), told.share,
        told.supply, body.charge, body.used,
        slipping(body, told), light,
    )  # fmt: skip
    for name, value in zip((*SERIES, "z", "pitch", "roll"), (*values, z, pitch, roll), strict=True):
        series[name][sample] = value
    record.centers[sample, agent.row, :2], record.centers[sample, agent.row, 2] = state[:2], state[HEADING]
    record.centers[sample, agent.row, 3:] = (
        told.speed * np.cos(body.heading),
        told.speed * np.sin(body.heading),
    )
    record.presence[sample, agent.row] = True
    agent.observer.look(sample, record)
