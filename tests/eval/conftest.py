"""Run logs and road maps made by hand for the tests of the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest

from drive.geometry import wrap_angle
from drive.roadmap import AreaKind, LaneKind, LaneSpec, RoadMap, RoadMapBuilder
from drive.runlog import RunLog
from drive.vehicle import AgentKind, VehicleParams

# 4 m long, 2 m wide, the centre 1 m before the rear axle: its edges fall on round numbers.
CAR = VehicleParams(length=4.0, width=2.0, wheelbase=2.5, rear_axle_to_center=1.0)


@dataclass
class Agent:
    """A road user: poses `(N, 3)` or one pose, velocity in the scenario's axes, box (length, width)."""

    pose: Any
    velocity: Any = (0.0, 0.0)
    size: tuple[float, float] = (4.0, 2.0)
    kind: AgentKind = AgentKind.VEHICLE
    valid: Any = True


def states(
    center: Any,
    heading: Any = 0.0,
    speed: Any = 0.0,
    acceleration: Any = 0.0,
    yaw_rate: Any = 0.0,
    vehicle: VehicleParams = CAR,
) -> np.ndarray:
    """Rear-axle states `(N, 7)` of a car whose box centres are `center (N, 2)`."""
    c = np.atleast_2d(np.asarray(center, dtype=np.float64))
    out = np.zeros((len(c), 7))
    out[:, 2] = heading
    d = vehicle.rear_axle_to_center
    out[:, 0], out[:, 1] = c[:, 0] - d * np.cos(out[:, 2]), c[:, 1] - d * np.sin(out[:, 2])
    out[:, 3], out[:, 4], out[:, 6] = speed, acceleration, yaw_rate
    return out


def drive(start: float, speed: float, samples: int, y: float = 0.0, dt: float = 0.1) -> np.ndarray:
    """States of a car along +x at constant speed, its box centre starting at (start, y)."""
    x = start + speed * dt * np.arange(samples)
    return states(np.stack((x, np.full(samples, y)), axis=1), speed=abs(speed))


def build_run(
    ego: np.ndarray,
    agents: Sequence[Agent] = (),
    roadmap: RoadMap | None = None,
    expert: np.ndarray | None = None,
    dt: float = 0.1,
    goal: dict[str, Any] | None = None,
    failure: dict[str, str] | None = None,
    vehicle: VehicleParams = CAR,
    route_lanes: Sequence[int] = (),
    yaw_acceleration: Any = 0.0,
) -> RunLog:
    """A run log with an ego `(N, 7)` and some agents; nothing was planned in it."""
    n, a = len(ego), len(agents)
    rows, valid = np.zeros((a, n, 5)), np.zeros((a, n), dtype=np.bool_)
    for i, agent in enumerate(agents):
        rows[i, :, :3], rows[i, :, 3:] = agent.pose, agent.velocity
        valid[i] = agent.valid
    return RunLog(
        header={
            "scenario": {
                "id": "hand",
                "dt": dt,
                "duration": dt * (n - 1),
                "goal": goal,
                "expert_source": "hand",
            },
            "vehicle": asdict(vehicle),
            "failure": failure,
        },
        times=dt * np.arange(n),
        ego=np.asarray(ego, dtype=np.float64),
        ego_control=np.zeros((max(n - 1, 0), 2)),
        ego_yaw_acceleration=np.broadcast_to(np.asarray(yaw_acceleration, dtype=np.float64), (n,)).copy(),
        agents=rows,
        agent_valid=valid,
        agent_size=np.asarray([(*x.size, 1.5) for x in agents]).reshape(-1, 3),
        agent_kind=np.asarray([int(x.kind) for x in agents], dtype=np.uint8),
        agent_controller=np.zeros(a, dtype=np.uint8),
        agent_ids=tuple(str(i) for i in range(a)),
        signals=np.zeros((0, n), dtype=np.uint8),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=np.zeros(0),
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=np.zeros(0),
        plan_states=np.zeros((0, 7)),
        expert=np.zeros((0, 7)) if expert is None else expert,
        route_line=np.zeros((0, 2)),
        route_lanes=np.asarray(route_lanes, dtype=np.int32),
        logged_ego=np.full((n, 3), np.nan),
        roadmap=roadmap,
    )


@dataclass
class Motion:
    """A rigid motion, or a mirroring at the x axis followed by one: `angle` in rad, `shift` in m."""

    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    mirror: bool = False

    def points(self, p: np.ndarray) -> np.ndarray:
        q = np.array(p, dtype=np.float64)
        if self.mirror:
            q[..., 1] *= -1.0
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.stack((c * q[..., 0] - s * q[..., 1], s * q[..., 0] + c * q[..., 1]), axis=-1) + self.shift

    def vectors(self, v: np.ndarray) -> np.ndarray:
        return self.points(v) - np.asarray(self.shift)

    def headings(self, h: np.ndarray) -> np.ndarray:
        return np.asarray(wrap_angle((-h if self.mirror else h) + self.angle))

    def states(self, s: np.ndarray) -> np.ndarray:
        out = s.copy()
        if len(s):
            out[:, :2], out[:, 2] = self.points(s[:, :2]), self.headings(s[:, 2])
            out[:, 5:] *= -1.0 if self.mirror else 1.0
        return out

    def run(self, run: RunLog, roadmap: RoadMap | None) -> RunLog:
        """The run moved; `roadmap` is the moved map."""
        from dataclasses import replace

        agents = run.agents.copy()
        agents[..., :2], agents[..., 3:] = self.points(run.agents[..., :2]), self.vectors(run.agents[..., 3:])
        agents[..., 2] = self.headings(run.agents[..., 2])
        return replace(
            run,
            ego=self.states(run.ego),
            ego_yaw_acceleration=run.ego_yaw_acceleration * (-1.0 if self.mirror else 1.0),
            agents=agents,
            expert=self.states(run.expert),
            roadmap=roadmap,
        )


def build_road(
    rows: Sequence[Sequence[float]] = ((-2.0, 2.0),),
    ends: Sequence[float] = (-100.0, 400.0),
    limit: float | None = 10.0,
    connectors: Sequence[int] = (),
    motion: Motion | None = None,
    intersection: Sequence[int] = (),
    areas: Sequence[tuple[Any, AreaKind]] = (),
) -> RoadMap:
    """A straight road along +x: `r.k` from ends[k] to ends[k + 1] has the bounds `rows[r]` (right, left).

    Rows are ordered from right to left; `connectors` and `intersection` are indices k along the road.
    """
    move = motion or Motion()
    builder = RoadMapBuilder()
    for r, (right, left) in enumerate(rows):
        for k in range(len(ends) - 1):
            x = np.linspace(ends[k], ends[k + 1], 6)
            bounds = [move.points(np.stack((x, np.full(6, y)), axis=1)) for y in (left, right)]
            near = {
                "left": f"{r + 1}.{k}" if r + 1 < len(rows) else None,
                "right": f"{r - 1}.{k}" if r else None,
            }
            if move.mirror:
                bounds.reverse()
                near = {"left": near["right"], "right": near["left"]}
            builder.add(
                LaneSpec(
                    f"{r}.{k}",
                    bounds[0],
                    bounds[1],
                    kind=LaneKind.CONNECTOR if k in connectors else LaneKind.LANE,
                    speed_limit=limit,
                    intersection=k in intersection,
                    successors=(f"{r}.{k + 1}",),
                    left_lane=near["left"],
                    right_lane=near["right"],
                )
            )
    for ring, kind in areas:
        builder.add_area(move.points(np.asarray(ring, dtype=np.float64)), kind)
    return builder.build()


def build_fork() -> tuple[RoadMap, np.ndarray, np.ndarray]:
    """Lane 0 splits into connectors 1 (straight) and 2 (to the left), which end in lanes 3 and 4.

    With the centrelines of the left connector and of its lane.
    """
    builder = RoadMapBuilder()

    def add(name: str, line: Any, kind: LaneKind = LaneKind.LANE, after: Sequence[str] = ()) -> None:
        p = np.asarray(line, dtype=float)
        d = np.gradient(p, axis=0)
        n = np.stack((-d[:, 1], d[:, 0]), axis=1) / np.hypot(*d.T)[:, None]
        builder.add(LaneSpec(name, p + 2.0 * n, p - 2.0 * n, p, kind=kind, successors=after))

    bend = np.linspace(0.0, np.pi / 3.0, 15)
    arc = np.stack((40.0 * np.sin(bend), 40.0 * (1.0 - np.cos(bend))), axis=1)
    out = arc[-1] + np.linspace(0.0, 30.0, 5)[:, None] * [np.cos(np.pi / 3.0), np.sin(np.pi / 3.0)]
    add("in", [[-30, 0], [-10, 0], [0, 0]], after=("straight", "left"))
    add("straight", [[0, 0], [10, 0], [20, 0], [30, 0]], LaneKind.CONNECTOR, ("out",))
    add("left", arc, LaneKind.CONNECTOR, ("up",))
    add("out", [[30, 0], [45, 0], [60, 0]])
    add("up", out)
    return builder.build(), arc, out


class Hand:
    """What the tests make scenes with."""

    agent = Agent
    motion = Motion
    states = staticmethod(states)
    drive = staticmethod(drive)
    run = staticmethod(build_run)
    road = staticmethod(build_road)
    fork = staticmethod(build_fork)
    car = CAR


@pytest.fixture(scope="session")
def hand() -> Hand:
    return Hand()
