"""PDM-Closed (Dauner et al. 2023, "Parting with misconceptions about learning-based vehicle motion
planning"), after the authors' released planner."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from drive.planner import Candidates, Plan, PlannerSpec, PlanStatus
from drive.planners.pdm.config import PDMConfig
from drive.roadmap.drivable import DrivableArea
from drive.scenario import SignalState
from drive.sim.candidates import Rules, Scores, ScoreScene, Work, pdm_score, rollout, score
from drive.sim.kernels.pdm_plan import Paths, Policy, Seen, corridors, finish, locate, observe, propose
from drive.sim.kernels.scalar import F
from drive.sim.kernels.score import COLLISION_TIME, SCORE_NAMES, Agents, ego_box
from drive.sim.kernels.score_area import frame_area, lane_grid
from drive.sim.kernels.score_contacts import FORECAST_EXTRA, WORD
from drive.sim.road.way import Way, find_way
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
    """One ego in one scenario. The way is found at the first call, when the ego's pose is known.

    `parts` names the methods that make up a call, for `drive perf`; each leaves its results in the
    session's buffers.
    """

    parts = ("_follow", "_observe", "_propose", "_rollout", "_score", "_candidates", "_finish")

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
        self.rules = Rules(ttc_last=c.proposal_steps, lateral=F(c.lateral_comfort), dt=F(c.dt))
        count = len(c.offsets) * len(c.speed_fractions)
        samples, horizon = c.proposal_steps + 1, c.horizon_steps + 1
        self.poses = np.empty((count, samples, 3), dtype=np.float32)
        self.states = np.empty((count, samples, 7), dtype=np.float32)
        self.scores = Scores.empty(count)
        self.begin = np.zeros(7, dtype=np.float32)
        self.station = np.empty((count, horizon))
        self.speed = np.empty((count, horizon))
        self.lead = np.empty((count, 2))
        self.refreshes = c.horizon_steps // c.leader_every + 1
        # The forecast covers the last refresh of the long plan and the scorer's look ahead.
        self.samples = max(self.refreshes * c.leader_every, samples + FORECAST_EXTRA) + 1
        self.window = np.zeros(2, dtype=np.int32)
        self.slots = 0
        self.way: Way | None = None
        self.hint = 0
        self.routed_at = -math.inf
        centred = np.arange(len(c.offsets)) == np.argmin(np.abs(c.offsets))
        self.share = np.repeat(1.0 + c.prefer_centre * centred, len(c.speed_fractions))

    def plan(self, observation: Observation) -> Plan:
        ego, c = observation.ego, self.config
        if not self._follow(ego, observation.time):
            return self._brake(observation, "no lane to follow")
        self._observe(observation)
        self._propose(ego)
        self._rollout(ego)
        self._score(ego)
        total, progress = pdm_score(
            self.scores.values, c.progress_threshold, (c.weight_progress, c.weight_ttc, c.weight_comfort)
        )
        best = int((total * self.share).argmax())
        candidates = self._candidates(observation, total, progress, best)
        hit = float(self.scores.values[best, COLLISION_TIME])
        if hit <= c.emergency_time + 1e-4 and abs(ego[3]) <= c.emergency_speed:
            return self._brake(observation, "emergency brake", candidates)
        states = self._finish(ego, best)
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
                "target_speed": float(self.target[longitudinal]),
                "score": float(total[best]),
                "progress": float(progress[best]),
            },
        )

    def _propose(self, ego: Floats) -> None:
        """Find the leaders on the paths and unroll IDM: `poses`, relative to the ego's position."""
        way, c = self._way(), self.config
        limit = float(way.limit[self.hint])
        self.shift = ego[:2] - way.origin
        self.target = np.maximum(self.fractions * limit, 0.1)
        ahead = 2.0 * self._reach(float(ego[3])) + 8.0 * limit
        self.window[0] = max(self.hint - 10, 0)
        self.window[1] = min(self.hint + int(ahead / c.path_step) + 10, len(way.line) - 1)
        self._corridors(0, c.proposal_steps // c.leader_every)
        self.speed[0, 0] = max(float(ego[3]), 0.0)
        propose(
            self.begins, self.target, self.paths, self.red, self.policy, self.seen, self.shift, self.station,
            self.speed, self.lead, self.poses,
        )  # fmt: skip

    def _corridors(self, first: int, last: int) -> None:
        track, extent, _, skip = self.agents
        corridors(
            track, extent, skip, self.count, self.paths, self.shift, self.window, self.policy.half_width,
            self.config.leader_every, first, last, self.seen,
        )  # fmt: skip

    def _rollout(self, ego: Floats) -> None:
        """Drive the proposals: `states`, relative to the ego's position."""
        self.begin[2:] = ego[2:7]
        rollout(
            self.task.vehicle, self.begin, self.poses, dt=self.config.dt, compat=self.config.lqr_compat,
            out=self.states, work=self.work,
        )  # fmt: skip

    def _score(self, ego: Floats) -> None:
        """Judge the driven proposals: `scores`."""
        way = self._way()
        area, lanes = frame_area(self.area, self.lanes, self.lane_corner, ego)
        scene = ScoreScene(
            self.box, self.agents, area, lanes, way.line, way.line_station, self.shift, self.window
        )
        score(self.states, scene, rules=self.rules, out=self.scores, work=self.work)

    def _finish(self, ego: Floats, best: int) -> Floats:
        """The best proposal, unrolled to the plan's whole horizon: states in scenario coordinates."""
        way, c = self._way(), self.config
        if c.horizon_steps > c.proposal_steps:
            self._corridors(c.proposal_steps // c.leader_every, self.refreshes - 1)
        states = np.empty((c.horizon_steps + 1, 7))
        finish(
            best, c.proposal_steps, self.target, self.paths, self.red, self.policy, self.seen, self.station,
            self.speed, self.lead, states,
        )  # fmt: skip
        states[:, :2] += way.origin
        states[0, 3:6] = ego[3:6]
        return states

    def _way(self) -> Way:
        assert self.way is not None
        return self.way

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
        way = self._way()
        if not len(way.signals) or not len(signals):
            return np.zeros(len(way.signals), dtype=np.uint8)
        ahead = way.stops[0] > station + self.policy.front - self.config.stop_line_tolerance
        held: NDArray[np.uint8] = ((signals[way.signals] == SignalState.RED) & ahead).astype(np.uint8)
        return held

    def _reach(self, speed: float) -> float:
        return max(self.config.radius, self.config.radius_time * speed)

    def _observe(self, observation: Observation) -> None:
        """The red lights, and the nearest agents, forecast at constant velocity, in the session's buffers."""
        self.red = self._red_lines(observation.signals, float(self.begins[0]))
        total = len(observation.agents)
        slots = max(-(-min(total, int(self.caps.sum())) // WORD) * WORD, WORD)
        if slots != self.slots:
            self.slots = slots
            self.agents = Agents(
                np.empty((5, self.samples, slots), dtype=np.float32),
                np.empty((3, slots), dtype=np.float32),
                np.empty(slots, dtype=np.float32),
                np.empty(slots, dtype=np.uint8),
            )
            shape = (len(self.config.offsets), self.refreshes)
            self.seen = Seen(
                np.empty((2, slots), dtype=np.float32),
                np.empty((*shape, slots)),
                np.empty((*shape, slots)),
                np.empty((*shape, slots), dtype=np.int32),
                np.empty(shape, dtype=np.int32),
            )
            self.work = Work.make(self.config.proposal_steps + 1, slots)
        track, extent, penalty, skip = self.agents
        self.count = observe(
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
            track,
            extent,
            self.seen.velocity,
            penalty,
            skip,
        )

    def _candidates(self, observation: Observation, total: Floats, progress: Floats, best: int) -> Candidates:
        states = self.states.astype(np.float64)
        states[..., :2] += observation.ego[:2]
        columns = self.scores.values.T.astype(np.float64)
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
