"""What is judged: four seconds of a drive, ten samples a second, with the past and the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.navsim import constants as c
from drive.frames import FrameKind
from drive.geometry import wrap_angle
from drive.sim.candidates import rollout
from drive.trajectory import Trajectory
from drive.vehicle import HEADING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

PAST = 15
LEAST = 5
"""A drive of fewer samples is not judged: the filters of the yaw signals need as many."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One plan's drive. `time` in s of its start, `ego (T, 7)`, `past (P, 7)` up to the sample before;
    `agents (A, K, 5)` and `valid (A, K)` from the start on, K >= T; `signals (S, T)`; `human` the
    recorded driver's drive from the same state with the others' answer to it; `end (2,)` of the plan.
    """

    time: float
    ego: Floats
    past: Floats
    agents: Floats
    valid: Bools
    signals: NDArray[np.uint8]
    human: Moment | None = None
    end: Floats | None = None


def frame_moment(run: RunLog, kind: FrameKind, pair: int = 0, human: bool = False) -> Moment | None:
    """A frame of a pseudo-closed loop; None where the run has none of that kind."""
    frames = run.frames
    at = None if frames is None else frames.find(kind, pair, human)
    if frames is None or at is None:
        return None
    past = frames.past[at]
    own = None
    # Whose place an IDM drive takes is nobody to measure rules by.
    if not human and pair == 0 and run.expert_source != "idm":
        own = frame_moment(run, kind, pair, human=True)
    return Moment(
        float(frames.sample[at]) * run.dt,
        frames.ego[at],
        past[np.isfinite(past).all(1)],
        frames.agents[at].astype(np.float64),
        frames.agent_valid[at],
        frames.signals[at],
        own,
        frames.end[at],
    )


def windows(run: RunLog) -> list[Moment]:
    """A closed loop's drive in stretches of four seconds, the last one back from its end; none if too short.

    Runs of another step are sampled anew, ten times a second; signals and presence are those of the sample
    before.
    """
    run_times = run.times - run.times[0] if len(run.times) else run.times
    duration = float(run_times[-1]) if len(run_times) else 0.0
    count = round(np.floor(duration / c.DT + 1e-6)) + 1
    if count < LEAST:
        return []
    if abs(run.dt - c.DT) < 1e-6:
        ego, agents, valid, signals = run.ego, run.agents, run.agent_valid, run.signals
    else:
        ego, agents, valid, signals = _resampled(run, run_times, c.DT * np.arange(count))
    last = max(count - 1 - c.STEPS, 0)
    starts = [k for k in range(0, last + 1, c.STEPS) if k + c.STEPS <= count - 1] or [0]
    if starts[-1] != last:
        starts.append(last)
    return [
        Moment(
            float(run.times[0]) + c.DT * k,
            ego[k : k + c.STEPS + 1],
            ego[max(k - PAST, 0) : k],
            agents[:, k:],
            valid[:, k:],
            signals[:, k : k + c.STEPS + 1],
        )
        for k in starts
    ]


def _resampled(run: RunLog, times: Floats, wanted: Floats) -> tuple[Floats, Floats, Bools, NDArray[np.uint8]]:
    before = np.clip(np.searchsorted(times, wanted + 1e-9, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    w = np.clip((wanted - times[before]) / np.maximum(times[after] - times[before], 1e-9), 0.0, 1.0)
    ego = Trajectory(times, run.ego).at(wanted)
    a, b = run.agents[:, before], run.agents[:, after]
    both = run.agent_valid[:, before] & run.agent_valid[:, after]
    weight = np.where(both, w, 0.0)[..., None]
    agents = a + weight * (b - a)
    agents[..., 2] = wrap_angle(a[..., 2] + weight[..., 0] * wrap_angle(b[..., 2] - a[..., 2]))
    return ego, agents, run.agent_valid[:, before], run.signals[:, before]


def planned(run: RunLog, time: float) -> Floats | None:
    """The drive `(41, 7)` of the plan that held at a time of a closed loop, from the ego's state then."""
    calls = np.flatnonzero(run.plan_step * run.dt <= time + 1e-6)
    at = round((time - float(run.times[0])) / run.dt)
    if len(calls) == 0 or at >= len(run.ego):
        return None
    call = int(calls[-1])
    rows = slice(run.plan_start[call], run.plan_start[call + 1])
    times = run.plan_times[rows]
    if len(times) < 2:
        return None
    states = run.plan_states[rows].astype(np.float64)
    states[:, HEADING] = wrap_angle(states[:, HEADING])
    poses = Trajectory(times, states).at(time + c.DT * np.arange(c.STEPS + 1))[:, :3]
    start = np.ascontiguousarray(run.ego[at], dtype=np.float64)
    poses[0] = start[:3]
    made = rollout(run.vehicle, start, np.ascontiguousarray(poses[None]), dt=c.DT, compat="reference")
    return np.asarray(made[0], dtype=np.float64)
