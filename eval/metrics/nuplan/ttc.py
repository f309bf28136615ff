"""time_to_collision_within_bound: when the ego would hit someone if all drove straight on.

Source: nuplan-devkit `time_to_collision_within_bound.py`. It projects boxes step by step; as headings and
speeds stay fixed, each axis of the separating-axis test is met during one interval of time, and the first
step inside all four intervals is the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.base import MetricResult, finite
from drive.eval.metrics.nuplan import constants as c
from drive.eval.metrics.nuplan.collisions import agent_speed, bearing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.eval.metrics.nuplan.collisions import Contacts
    from drive.eval.metrics.nuplan.ego import Ego
    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

_EPS = 1e-9


def time_to_collision(
    run: RunLog,
    ego: Ego,
    contacts: Contacts,
    exposed: NDArray[np.bool_],
    horizon: float = c.TTC_HORIZON,
) -> Floats:
    """Time `(N,)` in s, a multiple of 0.1 below the horizon, inf where no contact is ahead.

    Road users ahead (within 30 degrees of the rear axle's heading) count, and all that are not behind
    where `exposed (N,)` (between lanes or in an intersection); none from its first contact on. A sample
    with an at-fault contact has 0, one where the ego stands inf. A road user's speed is taken along its
    heading, so that one that reverses is projected forwards.
    """
    out = np.full(len(ego), np.inf)
    speed = agent_speed(run)
    angle = bearing(ego, run.agents[..., :2])
    since = np.where(contacts.sample < 0, len(ego), contacts.sample)
    steps = np.arange(len(ego))
    half = 0.5 * run.agent_size[:, :2]
    half_ego = np.array([0.5 * ego.length, 0.5 * ego.width])
    gap = run.agents[..., :2] - ego.center
    reach = np.hypot(*half_ego) + np.hypot(half[:, 0], half[:, 1])[:, None] + horizon * (ego.speed + speed)
    relevant = (
        run.agent_valid
        & ((angle < c.AHEAD_ANGLE) | (exposed & (angle <= c.BEHIND_ANGLE)))
        & (steps < since[:, None])
        & (ego.speed > c.TTC_STOPPED_SPEED)
        & (gap[..., 0] ** 2 + gap[..., 1] ** 2 <= reach**2)
    )
    who, when = np.nonzero(relevant)
    if len(who):
        heading, other = ego.heading[when], run.agents[who, when, 2]
        drift = speed[who, when, None] * np.stack((np.cos(other), np.sin(other)), -1)
        drift = drift - ego.speed[when, None] * np.stack((np.cos(heading), np.sin(heading)), -1)
        enter, leave = contact_interval(gap[who, when], drift, heading, half_ego, other, half[who])
        step = np.maximum(np.ceil(enter / c.TTC_STEP - _EPS), 1.0)
        last = np.ceil((horizon - c.TTC_STEP) / c.TTC_STEP - _EPS)
        hit = (step <= last) & (step * c.TTC_STEP <= leave + _EPS)
        np.minimum.at(out, when[hit], step[hit] * c.TTC_STEP)
    out[contacts.sample[contacts.at_fault]] = 0.0
    return out


def contact_interval(
    gap: Floats, drift: Floats, angle_a: Floats, half_a: Floats, angle_b: Floats, half_b: Floats
) -> tuple[Floats, Floats]:
    """When pairs of boxes with fixed headings meet: `enter (P,)` and `leave (P,)`, enter > leave for never.

    `gap (P, 2)` runs from centre a to centre b and changes by `drift (P, 2)` per second.
    """
    half_a, half_b = np.broadcast_to(half_a, gap.shape), np.broadcast_to(half_b, gap.shape)
    turn = angle_b - angle_a
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    enter, leave = np.full(len(gap), -np.inf), np.full(len(gap), np.inf)
    for angle, own, other in ((angle_a, half_a, half_b), (angle_b, half_b, half_a)):
        ca, sa = np.cos(angle), np.sin(angle)
        for axis, extent in (
            ((ca, sa), own[:, 0] + other[:, 0] * cos + other[:, 1] * sin),
            ((-sa, ca), own[:, 1] + other[:, 0] * sin + other[:, 1] * cos),
        ):
            position = gap[:, 0] * axis[0] + gap[:, 1] * axis[1]
            rate = drift[:, 0] * axis[0] + drift[:, 1] * axis[1]
            still = np.abs(rate) < 1e-12
            safe = np.where(still, 1.0, rate)
            centre, width = -position / safe, extent / np.abs(safe)
            meets = np.abs(position) <= extent
            enter = np.maximum(enter, np.where(still, np.where(meets, -np.inf, np.inf), centre - width))
            leave = np.minimum(leave, np.where(still, np.where(meets, np.inf, -np.inf), centre + width))
    return enter, leave


def time_to_collision_within_bound(times: Floats) -> MetricResult:
    """1 where the time to collision exceeds 0.95 s at every sample, else 0."""
    within = bool((times > c.TTC_BOUND).all())
    smallest = finite(times.min()) if len(times) else None
    return MetricResult(
        float(within),
        statistics={"min_time_to_collision": smallest, "time_to_collision_within_bound": within},
        series={"time_to_collision": times},
    )
