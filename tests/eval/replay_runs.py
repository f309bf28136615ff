"""Runs of known motion for the replay's tests: a curved road, a crowd, plans, candidates, signals."""

from __future__ import annotations

import numpy as np

from drive.roadmap import AreaKind, LaneSpec, Marking, RoadMap, RoadMapBuilder
from drive.runlog import RunLog
from drive.scenario import SignalState
from drive.vehicle import AgentKind

N, DT, ORIGIN, RADIUS = 151, 0.1, np.array([1200.0, -340.0]), 120.0


def arc(angle: np.ndarray, offset: float) -> np.ndarray:
    """Points left of the circle that the road follows (it turns left, centre above the origin)."""
    r = RADIUS - offset
    return np.stack((r * np.sin(angle), RADIUS - r * np.cos(angle)), -1) + ORIGIN


def road() -> RoadMap:
    """A curved road with two lanes one way, one the other way; a crosswalk and a signal half-way."""
    builder = RoadMapBuilder()
    angle = np.linspace(-0.2, 2.0, 90)
    for name, right, left in (("r", -1.75, 1.75), ("l", 1.75, 5.25)):
        builder.add(
            LaneSpec(
                name,
                arc(angle, left),
                arc(angle, right),
                speed_limit=13.9,
                left_lane="l" if name == "r" else None,
                right_lane="r" if name == "l" else None,
                left_opposite="o" if name == "l" else None,
                left_marking=Marking.DASHED if name == "r" else Marking.DOUBLE_SOLID,
                right_marking=Marking.SOLID if name == "r" else Marking.DASHED,
                signal="s1",
                stop_station=150.0,
            )
        )
    builder.add(
        LaneSpec(
            "o",
            arc(angle[::-1], 5.25),
            arc(angle[::-1], 8.75),
            left_opposite="l",
            left_marking=Marking.DOUBLE_SOLID,
            right_marking=Marking.CURB,
        )
    )
    band = np.array([1.10, 1.13])
    builder.add_area(np.concatenate((arc(band, -2.0), arc(band[::-1], 9.0))), AreaKind.CROSSWALK)
    builder.add_area(np.array([[40.0, -25.0], [60, -25], [60, -12], [40, -12]]) + ORIGIN, AreaKind.OCCLUDER)
    return builder.build()


def moving(start: float, speed: np.ndarray, offset: float) -> np.ndarray:
    """States (N, 5) of a box along the road, from an angle on at speeds (N,) (negative: oncoming)."""
    r = RADIUS - offset
    angle = start + np.concatenate(([0.0], np.cumsum(speed[:-1]))) * DT / r
    xy = arc(angle, offset)
    heading = angle + np.where(speed < 0, np.pi, 0.0)
    return np.column_stack((xy, heading, abs(speed) * np.cos(heading), abs(speed) * np.sin(heading)))


def make_run(agents: int = 32, name: str = "pdm", shift: float = 0.0, seed: int = 3) -> RunLog:
    """15 s on the curved road: an ego that brakes behind traffic, its plans and candidates, and a crowd."""
    rng = np.random.default_rng(seed)
    times = DT * np.arange(N)
    speed = 9.0 + shift - 3.0 * np.sin(0.35 * times) ** 2
    box = moving(0.0, speed, 0.0)
    ego = np.zeros((N, 7))
    ego[:, :3] = box[:, :3]
    ego[:, 3], ego[:, 4], ego[:, 5], ego[:, 6] = speed, np.gradient(speed, DT), 0.026, speed / RADIUS
    rows, sizes, kinds, drivers = [], [], [], []
    for k in range(agents):
        lane = (0.0, 3.5, 7.0)[k % 3]
        pace = (7.0 + 2.0 * rng.random() + np.sin(0.2 * times + k)) * (-1 if lane == 7.0 else 1)
        rows.append(moving(0.12 + 0.11 * (k // 3) + 0.02 * (k % 3), pace, lane))
        kinds.append(AgentKind.VEHICLE)
        sizes.append((4.6, 1.9, 1.5))
        drivers.append(1 if k % 2 else 0)
    if agents >= 8:
        rows[4] = moving(1.115, np.zeros(N), 1.0)
        rows[4][:, 0] += 0.6 * times
        kinds[4], sizes[4], drivers[4] = AgentKind.PEDESTRIAN, (0.6, 0.6, 1.7), 0
        rows[5] = moving(0.5, np.zeros(N), -3.2)
        kinds[5], sizes[5], drivers[5] = AgentKind.STATIC, (4.5, 1.9, 1.5), 0
        kinds[6], sizes[6], drivers[6] = AgentKind.BICYCLE, (1.8, 0.6, 1.7), 2
    valid = np.ones((agents, N), dtype=bool)
    if agents >= 3:
        valid[2, 60:90] = False
        rows[2][60:90] = 0.0
    calls = np.arange(0, N - 1)
    ahead = DT * np.arange(41)
    plans = np.zeros((len(calls), 41, 7))
    for c in calls:
        plans[c, :, 3] = np.maximum(speed[c] - 0.4 * ahead, 0.0)
        way = np.concatenate(([0.0], np.cumsum(plans[c, :-1, 3]))) * DT
        at = box[c, 2] + way / RADIUS
        plans[c, :, :2], plans[c, :, 2] = arc(at, 0.0), at
    fans = np.stack([plans[:, :, :3] for _ in range(8)], 1).astype(np.float32)
    for k in range(8):
        fans[:, k, :, :2] += ((k - 3.5) * 0.3 * (ahead[:, None] / 4.0) ** 2)[None]
    status = ["ok"] * len(calls)
    status[70:75] = ["fallback"] * 5
    ttc = np.where(times < 4.0, np.nan, 6.0 - 4.5 * np.exp(-((times - 9.0) ** 2) / 4.0))
    ttc[100:110] = np.inf
    expert = ego.copy()
    expert[:, :2] = arc(box[:, 2] * 1.04, 0.0)
    header = {
        "scenario": {"id": f"gen/lane_follow_curved/{seed}", "family": "lane_follow_curved", "hash": "a1",
                     "dt": DT, "duration": 15.0, "expert_source": "idm", "tags": ["curved"],
                     "goal": {"position": (arc(np.array([1.9]), 0.0)[0]).tolist()}},
        "planner": {"name": name, "config": {"proposals": 15}, "privileged": False},
        "vehicle": {}, "traffic": "idm", "seed": 0, "versions": {"drive-toolkit": "0.1.0"},
        "plan_status": status, "plan_reason": {"70": "no proposal kept clear"},
        "events": [{"time": 9.3, "kind": "collision", "agent": "a7"}], "failure": None,
        "scores": {"nuplan_cls": {"score": 0.871, "metrics": {"no_at_fault_collisions": 1.0, "comfort": 0.0,
                                                              "speed_limit": None}}},
    }  # fmt: skip
    signals = np.full((1, N), SignalState.RED, dtype=np.uint8)
    signals[0, 60:120], signals[0, 120:] = SignalState.GREEN, SignalState.YELLOW
    return RunLog(
        header=header,
        times=times,
        ego=ego,
        ego_control=np.zeros((N - 1, 2)),
        ego_yaw_acceleration=np.zeros(N),
        agents=np.asarray(rows).reshape(agents, N, 5),
        agent_valid=valid,
        agent_size=np.asarray(sizes).reshape(agents, 3),
        agent_kind=np.asarray(kinds, dtype=np.uint8),
        agent_controller=np.asarray(drivers, dtype=np.uint8),
        agent_ids=tuple(f"a{k}" for k in range(agents)),
        signals=signals,
        plan_step=calls.astype(np.int32),
        plan_latency=0.0003 + 0.0001 * rng.random(len(calls)),
        plan_start=(41 * np.arange(len(calls) + 1)).astype(np.int32),
        plan_times=(times[calls][:, None] + ahead).reshape(-1),
        plan_states=plans.reshape(-1, 7),
        expert=expert,
        route_line=arc(np.linspace(-0.1, 1.95, 60), 0.0),
        route_lanes=np.zeros(1, dtype=np.int32),
        logged_ego=np.full((N, 3), np.nan),
        roadmap=road(),
        cand_start=(8 * np.arange(len(calls) + 1)).astype(np.int32),
        cand_poses=fans.reshape(-1, 41, 3),
        cand_score=np.tile(np.linspace(0.2, 0.9, 8), len(calls)),
        series={
            "time_to_collision": ttc,
            "jerk": np.gradient(ego[:, 4], DT),
            "iterations": np.full(150, 4.0),
        },
    )
