"""PDM-Closed (Dauner et al. 2023, "Parting with misconceptions about learning-based vehicle motion
planning"), after the authors' released planner."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Candidates, Plan, PlannerSpec, PlanStatus
from drive.planners.pdm.config import PDMConfig
from drive.planners.pdm.route import Way, find_way
from drive.roadmap.drivable import DrivableArea
from drive.scenario import SignalState
from drive.sim.kernels.lqr import lqr_settings, speed_factor
from drive.sim.kernels.pdm_plan import Paths, Policy, corridors, finish, locate, observe, propose
from drive.sim.kernels.rollout import rollout
from drive.sim.kernels.scalar import F
from drive.sim.kernels.score import (
    COLLISION_TIME,
    FORECAST_EXTRA,
    SCORE_NAMES,
    SCORE_SIZE,
    WORD,
    Agents,
    Rules,
    Scratch,
    ego_box,
    pdm_score,
    score,
)
from drive.sim.kernels.score_area import frame_area, lane_grid
from drive.sim.kernels.score_comfort import comfort_filters
from drive.trajectory import Trajectory
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import Observation
    from drive.scenario import Task

    Floats = NDArray[np.float64]

# Of the four groups with a cap each; what is not named here counts as a vehicle.
_GROUP = np.zeros(256, dtype=np.uint8)
_GROUP[AgentKind.PEDESTRIAN], _GROUP[AgentKind.BICYCLE], _GROUP[AgentKind.STATIC] = 1, 2, 3
BRAKE_LIMITS = (-4.05, 2.40)
REROUTE_PAUSE = 0.5
"""Seconds between two searches for a new way."""


class PDM:
    """Fifteen proposals (3 offsets x 5 speeds) along the route, driven by IDM, simulated and scored.

    As published, a plan begins at the ego's foot on the chosen path and not at the ego itself: the
    tracker needs the lateral offset. Unlike the released planner, the way is searched again when the
    ego has left it, and an agent that the ego's box met is left out only as long as it does.
    """

    config_type = PDMConfig

    def __init__(self, config: PDMConfig | None = None) -> None:
        self.config = config or PDMConfig()
        self.spec = PlannerSpec(
            "pdm",
            horizon=self.config.horizon_steps * self.config.dt,
            dt=self.config.dt,
            needs=("road", "route"),
        )

    def start(self, task: Task) -> PDMSession:
        return PDMSession(self.config, task)


class PDMSession:
    """One ego in one scenario. The way is found at the first call, when the ego's pose is known."""

    def __init__(self, config: PDMConfig, task: Task) -> None:
        self.config, self.task = config, task
        c, vehicle = config, task.vehicle
        self.roadmap = task.roadmap
        self.area = DrivableArea.of(self.roadmap)
        self.box = ego_box(vehicle)
        self.policy = Policy(
            c.min_gap,
            c.headway,
            c.max_acceleration,
            c.max_deceleration,
            c.exponent,
            c.dt,
            vehicle.rear_axle_to_center + 0.5 * vehicle.length,
            0.5 * vehicle.width,
            c.leader_every,
            c.leader_at_start,
        )
        self.fractions = np.asarray(c.speed_fractions, dtype=np.float64)
        self.caps = np.array(
            [c.max_vehicles, c.max_pedestrians, c.max_bicycles, c.max_static], dtype=np.int64
        )
        self.settings = lqr_settings(vehicle, c.dt)
        self.factor = speed_factor(c.proposal_steps, c.dt, c.lqr_compat)
        self.filters = comfort_filters(c.proposal_steps + 1, c.dt)
        self.rules = Rules(ttc_last=c.proposal_steps, lateral=F(c.lateral_comfort), dt=F(c.dt))
        count = len(c.offsets) * len(c.speed_fractions)
        samples, horizon = c.proposal_steps + 1, c.horizon_steps + 1
        self.poses = np.empty((count, samples, 3), dtype=np.float32)
        self.states = np.empty((count, samples, 7), dtype=np.float32)
        self.comfort = np.empty((count, 6), dtype=np.uint8)
        self.out = np.empty((count, SCORE_SIZE), dtype=np.float32)
        self.fit = np.empty(3 * c.proposal_steps, dtype=np.float32)
        self.station = np.empty((count, horizon))
        self.speed = np.empty((count, horizon))
        self.lead = np.empty((count, 2))
        self.refreshes = c.horizon_steps // c.leader_every + 1
        # The forecast covers the last refresh of the long plan and the scorer's look ahead.
        self.samples = max(self.refreshes * c.leader_every, samples + FORECAST_EXTRA) + 1
        self.slots = 0
        self.way: Way | None = None
        self.hint = 0
        self.routed_at = -math.inf
        centred = np.arange(len(c.offsets)) == np.argmin(np.abs(c.offsets))
        self.share = np.repeat(1.0 + c.prefer_centre * centred, len(c.speed_fractions))

    def plan(self, observation: Observation) -> Plan:
        ego = observation.ego
        if not self._follow(ego, observation.time):
            return self._brake(observation, "no lane to follow")
        way, c = self.way, self.config
        assert way is not None
        shift = ego[:2] - way.origin
        begins, vertex = self.begins, self.hint
        target = np.maximum(self.fractions * way.limit[vertex], 0.1)
        red = self._red_lines(observation.signals, begins[0])
        agents, velocity, count = self._agents(observation)
        reach = self._reach(float(ego[3]))
        low = max(vertex - 10, 0)
        ahead = 2.0 * reach + 8.0 * float(way.limit[vertex])
        high = min(vertex + int(ahead / c.path_step) + 10, len(way.line) - 1)
        window = np.array([low, high], dtype=np.int32)
        every, half = c.leader_every, self.policy.half_width
        middle = c.proposal_steps // every
        corridors(
            agents.track, agents.extent, agents.skip, count, self.paths, shift, window, half, every,
            0, middle, self.near, self.centre,
        )  # fmt: skip
        self.speed[0, 0] = max(float(ego[3]), 0.0)
        propose(
            begins, target, count, self.paths, red, self.policy, velocity, self.near, self.centre, shift,
            self.station, self.speed, self.lead, self.poses,
        )  # fmt: skip
        start = ego.astype(np.float32)[None]
        start[0, :2] = 0.0
        rollout(
            self.poses,
            start,
            self.factor,
            self.settings,
            self.fit[: 2 * c.proposal_steps],
            self.fit[2 * c.proposal_steps :],
            self.states,
        )
        area, lanes = frame_area(self.area, self.lanes, self.lane_corner, ego)
        score(
            self.states, self.box, agents, area, lanes, way.line, way.line_station, shift, window,
            self.filters, self.rules, self.scratch, self.comfort, self.out,
        )  # fmt: skip
        total, progress = pdm_score(
            self.out, c.progress_threshold, (c.weight_progress, c.weight_ttc, c.weight_comfort)
        )
        best = int(np.argmax(total * self.share))
        candidates = self._candidates(observation, total, progress, best)
        if self.out[best, COLLISION_TIME] <= c.emergency_time + 1e-4 and abs(ego[3]) <= c.emergency_speed:
            return self._brake(observation, "emergency brake", candidates)
        if c.horizon_steps > c.proposal_steps:
            corridors(
                agents.track, agents.extent, agents.skip, count, self.paths, shift, window, half, every,
                middle, self.refreshes - 1, self.near, self.centre,
            )  # fmt: skip
        states = np.empty((c.horizon_steps + 1, 7))
        finish(
            best, c.proposal_steps, target, count, self.paths, red, self.policy, velocity, self.near,
            self.centre, self.station, self.speed, self.lead, states,
        )  # fmt: skip
        states[:, :2] += way.origin
        states[0, 3:6] = ego[3:6]
        lateral, longitudinal = divmod(best, len(c.speed_fractions))
        good = bool(total[best] > 0.0)
        return Plan(
            Trajectory(self._times(observation, c.horizon_steps + 1), states),
            candidates=candidates,
            status=PlanStatus.OK if good else PlanStatus.DEGRADED,
            reason="" if good else "every proposal breaks a rule",
            figures={
                "offset": c.offsets[lateral],
                "speed_fraction": c.speed_fractions[longitudinal],
                "target_speed": float(target[longitudinal]),
                "score": float(total[best]),
                "progress": float(progress[best]),
            },
        )

    def _follow(self, ego: Floats, time: float) -> bool:
        """Keep the way, or search a new one when the ego has left it; False where there is none."""
        way = self.way
        if way is not None:
            low, high = max(self.hint - 20, 0), min(self.hint + 60, len(way.line) - 1)
            offset = self._locate(ego, way, low, high)
            ahead = way.line_station[-1] - way.line_station[self.hint]
            lost = abs(offset) > way.half_width[self.hint] + self.config.reroute_margin
            short = way.truncated and ahead < 0.25 * self.config.path_ahead
            if not (lost or short) or time - self.routed_at < REROUTE_PAUSE:
                return True
        elif time - self.routed_at < REROUTE_PAUSE:
            return False
        self.routed_at = time
        found = find_way(self.roadmap, self.task.route, ego, self.config)
        if found is not None:
            self._adopt(found, ego)
        return self.way is not None

    def _adopt(self, way: Way, ego: Floats) -> None:
        self.way = way
        offsets = np.asarray(self.config.offsets, dtype=np.float64)
        self.paths = Paths(
            way.line, way.line_station, way.heading, way.lines, way.station, offsets, way.stops
        )
        self.lanes, self.lane_corner = lane_grid(self.roadmap, way.on_route)
        self.begins = np.empty(len(offsets))
        self._locate(ego, way, 0, len(way.line) - 1)

    def _locate(self, ego: Floats, way: Way, low: int, high: int) -> float:
        """Find the ego on the paths, between two vertices; its offset from the centreline."""
        x, y = float(ego[0] - way.origin[0]), float(ego[1] - way.origin[1])
        self.hint, offset = locate(self.paths, x, y, low, high, self.begins)
        return float(offset)

    def _red_lines(self, signals: NDArray[np.uint8], station: float) -> NDArray[np.uint8]:
        """Which stop lines hold the ego: red, and not passed by the bumper yet."""
        way = self.way
        assert way is not None
        if not len(way.signals) or not len(signals):
            return np.zeros(len(way.signals), dtype=np.uint8)
        ahead = way.stops[0] > station + self.policy.front - self.config.stop_line_tolerance
        held: NDArray[np.uint8] = ((signals[way.signals] == SignalState.RED) & ahead).astype(np.uint8)
        return held

    def _reach(self, speed: float) -> float:
        return max(self.config.radius, self.config.radius_time * speed)

    def _agents(self, observation: Observation) -> tuple[Agents, NDArray[np.float32], int]:
        """The nearest agents, forecast at constant velocity, in the buffers of the session."""
        total = len(observation.agents)
        slots = max(-(-min(total, int(self.caps.sum())) // WORD) * WORD, WORD)
        if slots != self.slots:
            self.slots = slots
            self.track = np.empty((5, self.samples, slots), dtype=np.float32)
            self.extent = np.empty((3, slots), dtype=np.float32)
            self.velocity = np.empty((2, slots), dtype=np.float32)
            self.penalty = np.empty(slots, dtype=np.float32)
            self.skip = np.empty(slots, dtype=np.uint8)
            self.near = np.empty((len(self.config.offsets), self.refreshes, slots))
            self.centre = np.empty_like(self.near)
            self.scratch = Scratch.make(self.config.proposal_steps + 1, slots)
        count = observe(
            np.ascontiguousarray(observation.agents, dtype=np.float64),
            np.ascontiguousarray(observation.agent_size, dtype=np.float64),
            _GROUP[observation.agent_kind],
            np.ascontiguousarray(observation.agent_valid),
            np.ascontiguousarray(observation.ego, dtype=np.float64),
            self.box,
            self._reach(float(observation.ego[3])),
            self.caps,
            self.config.dt,
            np.empty(total),
            self.track,
            self.extent,
            self.velocity,
            self.penalty,
            self.skip,
        )
        return Agents(self.track, self.extent, self.penalty, self.skip), self.velocity, count

    def _candidates(self, observation: Observation, total: Floats, progress: Floats, best: int) -> Candidates:
        states = self.states.astype(np.float64)
        states[..., :2] += observation.ego[:2]
        columns = self.out.T.astype(np.float64)
        scores = dict(zip(SCORE_NAMES, columns, strict=True))
        scores["progress"] = progress
        scores["score"] = total
        return Candidates(self._times(observation, states.shape[1]), states, scores, chosen=best)

    def _times(self, observation: Observation, samples: int) -> Floats:
        return np.asarray(observation.time + self.config.dt * np.arange(samples), dtype=np.float64)

    def _brake(self, observation: Observation, reason: str, candidates: Candidates | None = None) -> Plan:
        """The released emergency trajectory: a constant speed that makes the LQR brake at the limit.

        It is a reference for the tracker and no motion: it may point backwards.
        """
        ego, c = observation.ego, self.config
        speed, acceleration = float(ego[3]), float(ego[4])
        low, high = BRAKE_LIMITS
        if speed > 0.2:
            reference = 1.1 * (speed + min(max(-10.0 * speed, low), high))
        else:
            reference = min(max(-4.0 * speed - acceleration, low), high)
        states = np.zeros((c.horizon_steps + 1, 7))
        along = reference * c.dt * np.arange(len(states))
        states[:, 0] = ego[0] + along * math.cos(ego[2])
        states[:, 1] = ego[1] + along * math.sin(ego[2])
        states[:, 2], states[:, 3] = ego[2], reference
        return Plan(
            Trajectory(self._times(observation, len(states)), states),
            candidates=candidates,
            status=PlanStatus.FALLBACK,
            reason=reason,
            figures={"reference_speed": reference},
        )
