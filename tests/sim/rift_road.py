"""A straight road of two lanes with a fleet of the traffic policy's on it, for tests."""

from __future__ import annotations

import numpy as np

from drive.eval.check.scenes import straight_map, straight_scene
from drive.sim.traffic.rift.fleet import Crowd, Fleet, bodies_of, crowd_states
from drive.sim.traffic.rift.kernels.base import FACTS, KNOTS, LINES, MODES
from drive.sim.traffic.rift.lines import compile_lines
from drive.sim.traffic.rift.net import SIZES


def scene(cars, **more):
    """A straight road of two lanes, lane a about y = 0 and b to its left; the ego at x = 20."""
    return straight_scene(straight_map(**more), cars)


def fleet_of(scenario, rows, t=0):
    """Those rows at a sample, and everybody around."""
    lines, tracks = compile_lines(scenario), scenario.tracks
    states = np.zeros((len(rows), 7), dtype=np.float32)
    states[:, :3], states[:, 3] = lines.poses[rows, t], lines.speed[rows, t]
    own = np.stack(
        (tracks.size[rows, 0], tracks.size[rows, 1], tracks.rear_to_centre[rows], 0.6 * tracks.size[rows, 0]),
        1,
    )
    fleet = Fleet.of(np.zeros(len(rows)), rows, lines.path[rows, t], states, own)
    crowd = Crowd(
        np.stack([crowd_states(tracks.states[:, t], tracks.valid[:, t])[None]] * SIZES.history),
        bodies_of(tracks.size, tracks.kind)[None],
        np.zeros((1, 1), dtype=np.uint8),
    )
    return fleet, crowd, lines


def fact(sight, n, line, name):
    return float(sight.lines[n, line, FACTS.index(name) - len(FACTS)])


def drawn(fleet, sight, crowd, lines, acceleration=0.0):
    count = LINES * MODES
    a = np.full((len(fleet), count, KNOTS), acceleration, dtype=np.float32)
    return fleet.draw(sight, a, np.full((len(fleet), count), 40.0, dtype=np.float32), crowd, lines.paths)
