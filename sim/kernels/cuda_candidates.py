"""Roll-out and score on a GPU: one thread a candidate.

The functions are those of `rollout` and `score`; here is only which thread computes what. Scratch lies
with the thread as its last axis, so that neighbours in a warp touch neighbours in memory. A launch of
fewer threads than candidates gives each several.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import cuda

from drive.sim.kernels.compile import device_kernel
from drive.sim.kernels.rollout import drive_controls, roll_candidate
from drive.sim.kernels.scene_arrays import area_of, lanes_of, route_of
from drive.sim.kernels.score import (
    PROGRESS,
    Agents,
    progress,
    score_motion,
    station_of,
)

THREADS = 64
"""Threads of a block."""
MOST_THREADS = 32768
"""Threads of a launch, for each of which there is scratch."""


@cache
def rollout_kernel() -> Any:
    """The kernel of `rollout` for poses."""

    def roll_out(poses, start, scene, each, factor, settings, speed, curvature, states):
        me, threads = cuda.grid(1), cuda.gridsize(1)
        if me < speed.shape[1]:
            for b in range(me, poses.shape[0], threads):
                row = b // each if each > 0 else scene[b]
                roll_candidate(poses, b, start, row, factor, settings, speed[:, me], curvature[:, me], states)

    return device_kernel(roll_out)


@cache
def controls_kernel() -> Any:
    """The kernel of `rollout` for controls."""

    def roll_controls(controls, start, scene, each, settings, states):
        for b in range(cuda.grid(1), controls.shape[0], cuda.gridsize(1)):
            row = b // each if each > 0 else scene[b]
            drive_controls(controls, b, start, row, settings, states)

    return device_kernel(roll_controls)


@cache
def score_kernel(with_progress: bool) -> Any:
    """The kernel of `score`; `scratch` is a Scratch whose last axis is the thread.

    The progress alone is computed in float64, as on the CPU; without it the kernel has none.
    """

    def score_all(states, scene, each, s, filters, rules, terms, scratch, comfort, out):
        me, threads = cuda.grid(1), cuda.gridsize(1)
        places = scratch.places[:, :, me]
        for b in range(me, states.shape[0], threads):
            k = b // each if each > 0 else scene[b]
            agents = Agents(s.track[k], s.extent[k], s.penalty[k], s.skip[k])
            score_motion(
                states, b, s.ego[k], agents, area_of(s, k), lanes_of(s, k), filters, rules, terms,
                scratch.rows[:, :, me], places, scratch.astray[:, me], scratch.near[:, :, me],
                scratch.ignored[:, me], comfort, out,
            )  # fmt: skip
            if with_progress:
                line, station = route_of(s, k)
                shift, window = s.shift[k], s.window[k]
                begin = station_of(places[2, 0], places[3, 0], line, station, shift, window)
                out[b, PROGRESS] = progress(begin, places, line, station, shift, window)

    return device_kernel(score_all)
