"""Columns and entries of the arrays that the kernels read; all float64, m, s, rad.

road (P, ROAD)       rows every `step` metres along the reference line
others (K, M, OTHER) who else is where at the times `dt`, 2 dt, ... from now; body (M, BODY) their boxes
start (6,)           the ego's rear axle: s, s', s'', d, dd/ds, d2d/ds2
particle (6,)        what the swarm looks for
setting (SETTINGS,)  weights and limits
"""

from __future__ import annotations

RX, RY, RCOS, RSIN, KAPPA, DKAPPA, WISH, LEFT, RIGHT, EDGE_LEFT, EDGE_RIGHT, AIM = range(12)
"""x, y, cosine and sine of the heading, curvature, its derivative, the wished speed; the offsets at which the
lanes in the own direction end to the left and right, and the drivable road; the offset that is aimed at."""
ROAD = 12

OX, OY, OCOS, OSIN, OS, OD, OVS, OANGLE = range(8)
"""Box centre and heading in the plane, station, offset, speed along the road, heading against the road's."""
OTHER = 8

HALF_LENGTH, HALF_WIDTH, REACH, STRENGTH, SOFT = range(5)
"""Half sizes, the radius about the box, the strength in the field, the wanted distance beside it."""
BODY = 5

D_END, T_LAT, V_END, T_LON, D_VIA, T_VIA = range(6)
"""Offset at the end and the time to it, speed and the time to it; an offset on the way, and its time."""
PARTICLE = 6

(
    W_JERK, W_OFFSET, W_SPEED, W_FIELD, W_CHANGE, W_HARD,
    K_LANE, LANE_WIDTH, K_EDGE, EDGE_LENGTH, K_FRONT, ANGLE_ZERO,
    SIGMA_ZERO, SIGMA_SPEED, SIGMA_CLOSING, SIGMA_SIDE, SIGMA_SIDE_SPEED,
    ACCEL_MAX, BRAKE_SOFT, BRAKE_MAX, LATERAL_MAX, CURVATURE_MAX,
    EGO_HALF_LENGTH, EGO_HALF_WIDTH, EGO_CENTRE, MIN_LENGTH, MIN_GAP, BRAKE_LEAD,
    LITERAL, VIA, ROAD_STEP, DT, W_COMFORT, LATERAL_SOFT,
    ACCEL_WISH, SIGMA_SIDE_CLOSING, W_STEER,
) = range(37)  # fmt: skip
SETTINGS = 37
