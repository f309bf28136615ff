"""What the devkit's simulation did, as a run log: for our metrics, our viewer and our comparisons."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.runlog import RunLog
from drive.sim.driven import PLAN_ROWS
from drive.sim.kernels.layout import Controller
from drive.sim.nuplan.convert import KIND_OF, Signals, ego_row, object_row, vehicle_params
from drive.sim.nuplan.devkit import versions
from drive.vehicle import STATE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.scenario import Route
    from drive.sim.nuplan.convert import Place

    Floats = NDArray[np.float64]


LATERAL = "ego_lateral_acceleration"
"""The run log's series of the rear axle's lateral acceleration in m/s^2, which the comfort metrics read."""


def run_log(
    history: Any,
    scenario: Any,
    roadmap: RoadMap,
    route: Route,
    origin: Place,
    header: dict[str, Any],
    latency: Sequence[float] = (),
) -> RunLog:
    """The run log of a devkit `SimulationHistory` of its `AbstractScenario`, states in float64.

    `roadmap` and `route` as our reader has them, relative to `origin`. `header` has the planner (name,
    config, privileged), the traffic ("log" or "idm") and the scenario's id and family, and may have the
    statuses and reasons of the plans; `latency` in s of each call. The devkit records one sample less than
    the scenario has; the expert keeps all of them, as its metrics do. Raises InputError for a history of
    fewer than two samples.
    """
    samples = history.data
    if len(samples) < 2:
        raise InputError(f"the devkit simulated {len(samples)} samples of scenario '{scenario.token}'")
    start_us = samples[0].iteration.time_us
    times = np.array([1e-6 * (s.iteration.time_us - start_us) for s in samples])
    ego = np.stack([ego_row(s.ego_state, origin) for s in samples])
    vehicle = vehicle_params(samples[0].ego_state.car_footprint.vehicle_parameters)
    expert = np.stack([ego_row(s, origin) for s in scenario.get_expert_ego_trajectory()])
    # Only a log's sample, the first one, has any: the kinematic bicycle does not slip.
    lateral = np.array([s.ego_state.dynamic_car_state.rear_axle_acceleration_2d.y for s in samples])
    signals = Signals(roadmap)
    agents = _agents([s.observation for s in samples], origin)
    plans = [_plan(s.trajectory, start_us, origin) for s in samples]
    lengths = [len(t) for t, _ in plans]
    dt = float(np.round(np.mean(np.diff(times)), 6))
    traffic = str(header["traffic"])
    reactive = (agents["kind"] == 0) if traffic != "log" else np.zeros(len(agents["kind"]), dtype=np.bool_)
    n = len(samples)
    return RunLog(
        header={
            "seed": 0,
            "realtime": False,
            "visibility": "all",
            "detection": "none",
            "drivers": {},
            "plan_status": ["ok"] * n,
            "plan_reason": [""] * n,
            **header,
            "scenario": {
                "family": "",
                "hash": "",
                "dt": dt,
                "duration": dt * (len(expert) - 1),
                "origin": list(origin),
                "tags": [scenario.scenario_type],
                "provenance": {"format": "nuplan", "source": f"{scenario.log_name}#{scenario.token}"},
                "expert_source": "human",
                "goal": {"position": None, "polygon": None, "lanes": []},
                **header.get("scenario", {}),
            },
            "vehicle": asdict(vehicle),
            "versions": versions(),
            "events": [],
            "failure": None,
            "cand_dt": 0.5,
            "traffic_compat": traffic != "log",
        },
        times=times,
        ego=ego,
        ego_control=np.zeros((n - 1, 2)),
        ego_yaw_acceleration=np.array([s.ego_state.dynamic_car_state.angular_acceleration for s in samples]),
        agents=agents["rows"],
        agent_valid=agents["valid"],
        agent_size=agents["size"],
        agent_kind=agents["kind"],
        agent_controller=np.where(reactive, int(Controller.IDM), int(Controller.LOG)).astype(np.uint8),
        agent_ids=agents["ids"],
        signals=np.stack([signals.read(s.traffic_light_status) for s in samples], axis=1),
        plan_step=np.arange(n, dtype=np.int32),
        plan_latency=np.asarray([*latency, *[0.0] * n][:n], dtype=np.float64),
        plan_start=np.concatenate(([0], np.cumsum(lengths))).astype(np.int32),
        plan_times=np.concatenate([t for t, _ in plans]),
        plan_states=np.concatenate([s for _, s in plans]),
        expert=expert,
        route_line=route.line,
        route_lanes=np.asarray(route.lanes, dtype=np.int32),
        logged_ego=expert[:n, :3].copy(),
        roadmap=roadmap,
        series={LATERAL: lateral} if lateral.any() else {},
    )


def _agents(observations: Sequence[Any], origin: Place) -> dict[str, Any]:
    """Everybody whom the devkit ever showed, by track token, in the order of appearance."""
    number: dict[str, int] = {}
    first: list[Any] = []
    cells: list[tuple[int, int, tuple[float, ...]]] = []
    for sample, observation in enumerate(observations):
        for thing in observation.tracked_objects:
            if thing.tracked_object_type not in KIND_OF:
                continue
            token = str(thing.track_token)
            if token not in number:
                number[token] = len(first)
                first.append(thing)
            cells.append((number[token], sample, object_row(thing, origin)))
    shape = (len(first), len(observations))
    rows, valid = np.zeros((*shape, 5)), np.zeros(shape, dtype=np.bool_)
    for who, when, row in cells:
        rows[who, when] = row
        valid[who, when] = True
    sizes = [(t.box.length, t.box.width, t.box.height) for t in first]
    return {
        "rows": rows,
        "valid": valid,
        "size": np.asarray(sizes, dtype=np.float64).reshape(-1, 3),
        "kind": np.asarray([int(KIND_OF[t.tracked_object_type]) for t in first], dtype=np.uint8),
        "ids": tuple(number),
    }


def _plan(trajectory: Any, start_us: int, origin: Place) -> tuple[Floats, NDArray[np.float32]]:
    """Times and states of a plan of the devkit, thinned to what a run log keeps."""
    states = trajectory.get_sampled_trajectory()
    states = states[:: max(math.ceil((len(states) - 1) / (PLAN_ROWS - 1)), 1)]
    times = np.array([1e-6 * (s.time_point.time_us - start_us) for s in states])
    rows = np.stack([ego_row(s, origin) for s in states])[:, :STATE_SIZE]
    return times, rows.astype(np.float32)
