"""Builds what a planner may know from what was recorded up to now: nothing of the future, nobody hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.geometry import Projector, wrap_angle
from drive.planner import Observation, ObservationBatch
from drive.scenario import TRACK_VX, TRACK_VY, TRACK_X, TRACK_Y
from drive.vehicle import HEADING, SPEED, STATE_SIZE, X, Y

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.planner import PlannerSpec
    from drive.scenario import Scenario, Task
    from drive.sim.detector import Detector
    from drive.sim.sensors.camera import Cameras
    from drive.sim.sight import Sight

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What happened so far, written as time goes: everyone's centres `(N, A, 5)` and presence `(N, A)`.

    `signals (S, N)` are those that the scenario foresees, until somebody outside switches others.
    """

    centers: Floats
    presence: NDArray[np.bool_]
    signals: NDArray[np.uint8]

    @classmethod
    def of(cls, scenario: Scenario) -> Record:
        """An empty record of a run through the scenario."""
        n, count = scenario.num_steps + 1, scenario.tracks.num_agents
        return cls(np.zeros((n, count, 5)), np.zeros((n, count), dtype=np.bool_), np.array(scenario.signals))


@dataclass(frozen=True, slots=True, eq=False)
class Observer:
    """What one driven agent observes: its sight, its sensor, and what never changes of the others.

    `seen (N, A)` whom it saw, written by `look` as time goes. Without a detector, seen is measured exactly.
    """

    scenario: Scenario
    task: Task
    sight: Sight
    with_edges: bool
    seen: NDArray[np.bool_]
    others: NDArray[np.intp]
    history: int
    size: Floats
    kind: NDArray[np.uint8]
    ids: NDArray[np.int64]
    covariance: Floats
    route: Projector | None
    detector: Detector | None = None
    cameras: Cameras | None = None

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        task: Task,
        sight: Sight,
        spec: PlannerSpec,
        detector: Detector | None = None,
    ) -> Observer:
        """A view with the seconds of the past that the planner reads (at least the present sample)."""
        tracks = scenario.tracks
        others = np.delete(np.arange(tracks.num_agents), sight.row)
        line = task.route.line
        return cls(
            scenario,
            task,
            sight,
            "occlusion" in spec.needs,
            np.zeros((scenario.num_steps + 1, tracks.num_agents), dtype=np.bool_),
            others,
            max(round(spec.history / scenario.dt), 0) + 1,
            tracks.size[others],
            tracks.kind[others],
            others.astype(np.int64),
            np.zeros((len(others), 3, 3)),
            None if len(line) < 2 or bool((line == line[0]).all()) else Projector(line),
            detector,
            _cameras(scenario, sight, spec),
        )

    def look(self, sample: int, record: Record) -> None:
        """Note whom it sees at a sample; due at every sample, in their order, before `observe`."""
        seen = self.sight.look(record.centers[sample], record.presence[sample])
        if self.detector is not None:
            seen = self.detector.detect(sample, record.centers[sample], seen)
        self.seen[sample] = seen

    def observe(
        self, sample: int, ego: Floats, ego_past: Floats, record: Record, time_budget: float | None = None
    ) -> Observation:
        """The observation at a sample; `ego_past (sample + 1, 7)` are the agent's states up to now."""
        h, first = self.history, sample - self.history + 1
        # Who has not been seen yet has no row: even the number of rows would tell of the future.
        met = self.seen[: sample + 1, self.others].any(0)
        others = self.others[met]
        seen = self.seen[max(first, 0) : sample + 1, others].T
        past = record.centers[max(first, 0) : sample + 1, others].swapaxes(0, 1)
        if self.detector is not None:
            past = past.copy()
            past[..., _NOISY] += self.detector.noise[max(first, 0) : sample + 1, others].swapaxes(0, 1)
        past = np.where(seen[..., None], past, 0.0)
        agents, valid = past[:, -1].copy(), seen[:, -1].copy()
        own = ego_past[max(first, 0) : sample + 1]
        if first < 0:
            past = np.concatenate((np.zeros((len(others), -first, 5)), past), axis=1)
            seen = np.concatenate((np.zeros((len(others), -first), dtype=np.bool_), seen), axis=1)
            own = np.concatenate((invented_past(ego_past[0], -first, self.scenario.dt), own))
        return Observation(
            time=sample * self.scenario.dt,
            step=sample,
            ego=ego.copy(),
            ego_history=own[-h:].copy(),
            agents=agents,
            agent_history=past,
            agent_history_valid=seen,
            agent_size=self.size[met],
            agent_kind=self.kind[met],
            agent_id=self.ids[met],
            agent_valid=valid,
            existence=valid.astype(np.float64)
            if self.detector is None
            else self.detector.existence[sample, others],
            covariance=self.covariance[met]
            if self.detector is None
            else self.detector.covariance[sample, others],
            occlusion_edges=self.sight.edges(record.centers[sample], record.presence[sample])
            if self.with_edges
            else _NO_EDGES,
            signals=record.signals[:, sample].copy(),
            route_progress=self._progress(ego),
            images={} if self.cameras is None else self.cameras.images(sample, ego_past, record),
            time_budget=time_budget,
        )

    def _progress(self, ego: Floats) -> Floats:
        if self.route is None:
            return np.array([np.nan, np.nan])
        s, d, _ = self.route(ego[None, :2])
        return np.array([s[0], d[0]])


def _cameras(scenario: Scenario, sight: Sight, spec: PlannerSpec) -> Cameras | None:
    if not spec.cameras:
        return None
    # Who asks for no pictures does not pay for loading what draws them.
    from drive.sim.sensors.camera import Cameras

    return Cameras.of(scenario, spec.cameras, sight.row, sight.size)


def invented_past(state: Floats, samples: int, dt: float) -> Floats:
    """Invented past of an agent: at constant speed and heading, `samples` states before its first one."""
    out = np.tile(state, (samples, 1))
    back = -dt * np.arange(samples, 0, -1) * state[SPEED]
    out[:, X] += back * np.cos(state[HEADING])
    out[:, Y] += back * np.sin(state[HEADING])
    out[:, STATE_SIZE - 3 :] = 0.0
    out[:, HEADING] = wrap_angle(state[HEADING])
    return out


def batch_observations(observations: list[Observation]) -> ObservationBatch:
    """Stack observations of one time for `plan_batch`; agents are padded with absent ones, edges with NaN.

    Raises InputError where they do not hold pictures of the same cameras.
    """
    if len({tuple((k, v.shape) for k, v in sorted(o.images.items())) for o in observations}) > 1:
        raise InputError("observations in a batch need pictures of the same cameras, of one size each")
    count = max(len(o.agents) for o in observations)
    lights = max(len(o.signals) for o in observations)
    edges = max(len(o.occlusion_edges) for o in observations)

    def stack(name: str, size: int | None = None, fill: float = 0) -> NDArray[Any]:
        arrays = [np.asarray(getattr(o, name)) for o in observations]
        if size is None:
            return np.stack(arrays)
        pads = [[(0, size - len(a))] + [(0, 0)] * (a.ndim - 1) for a in arrays]
        return np.stack([np.pad(a, p, constant_values=fill) for a, p in zip(arrays, pads, strict=True)])

    per_agent = (
        "agents", "agent_history", "agent_history_valid", "agent_size", "agent_kind", "agent_id",
        "agent_valid", "existence", "covariance",
    )  # fmt: skip
    agents: dict[str, Any] = {name: stack(name, count) for name in per_agent}
    return ObservationBatch(
        time=np.array([o.time for o in observations]),
        step=np.array([o.step for o in observations], dtype=np.int64),
        ego=stack("ego"),
        ego_history=stack("ego_history"),
        **agents,
        occlusion_edges=stack("occlusion_edges", edges, np.nan),
        signals=stack("signals", lights),
        route_progress=stack("route_progress"),
        forecasts=None if any(o.forecasts is None for o in observations) else [
            o.forecasts for o in observations if o.forecasts is not None
        ],
        images={name: np.stack([o.images[name] for o in observations]) for name in observations[0].images},
        time_budget=observations[0].time_budget,
    )  # fmt: skip


_NO_EDGES = np.zeros((0, 2, 2))
_NOISY = [TRACK_X, TRACK_Y, TRACK_VX, TRACK_VY]
