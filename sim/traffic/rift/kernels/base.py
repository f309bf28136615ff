"""How the kernels of this folder are compiled, and the columns of their arrays."""

from __future__ import annotations

from pathlib import Path

from drive.sim.kernels.compile import kernels_of

kernel = kernels_of(Path(__file__).parent)

CROWD_COLUMNS = ("x", "y", "cos", "sin", "speed", "vx", "vy", "present")
"""Box centres; speed along the heading."""
CX, CY, CCOS, CSIN, CSPEED, CVX, CVY, CHERE = range(8)
LINES, MODES = 3, 6
"""Reference lines a vehicle (its own, the one to its left and to its right) and longitudinal modes a line."""
HORIZON = 40
"""Steps of 0.1 s of a candidate."""
HISTORY = 0.5
"""s between two moments of the crowd."""
HARDEST = 8.0
"""m/s^2 that a vehicle brakes with at most."""
KNOTS = 8
"""Accelerations of a candidate, one each 0.5 s."""
LOOK = (0.0, 4.0, 8.0, 12.0, 18.0, 26.0, 36.0, 48.0, 64.0, 84.0)
"""m ahead on a line at which it is told."""
POINT_COLUMNS = ("x", "y", "cosine", "sine", "curvature", "allowed")
FACTS = (
    "offset", "turn", "end", "red", "give_way", "gap", "lead_speed", "lead", "rear_gap", "rear_speed", "rear",
    "limit", "allowed", "speed", "left", "right",
)  # fmt: skip
"""What else is told of a line: the rear axle's offset in m and the heading on it in rad; m from the front
bumper to its end, to the next closed signal and to the next give-way line (at most `SEEN`); bumper to bumper
gap in m and speed in m/s of who drives ahead and behind on it, and whether anybody does; speed limit, the
speed that bends allow and the own one in m/s; which line it is."""
SEEN = 100.0
LINE_WIDTH = len(LOOK) * len(POINT_COLUMNS) + len(FACTS)
POINTS = len(LOOK) * len(POINT_COLUMNS)
PROBES = (
    "contact", "clearance", "final_speed", "distance", "lateral", "speeding", "red", "end", "effort", "ahead",
)  # fmt: skip
"""What becomes of a candidate if the others keep their yaw rate and speed, or brake on, who is ahead stays on
the line, and who follows keeps its distance:
share of the horizon until its box meets another's (1: never), least clearance, final speed, distance, lateral
acceleration, speed above what is allowed, whether it passes a closed signal or the line's end, mean
|acceleration|, gap at its end; scaled to about one."""
FEARS = ("others", "lead", "impact")
"""Behind the probes, for the fixed term of the score alone: share of the horizon until a candidate meets any
of the others as they are foreseen, and until it meets who is ahead on its line, who so counts twice: it alone
can avoid that. At the first of both, by what speed the two differ, but no more than the own one: who stands
is struck and does not strike; scaled as a probe."""
