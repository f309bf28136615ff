"""Columns of the actors' arrays, and the record of an actor that clients read.

Everything is in CARLA's frame (left-handed: x forward, y right, z up), here in metres, radians and seconds;
the record has degrees.
"""

from __future__ import annotations

import numpy as np

# Kinds of actors.
OTHER, VEHICLE, WALKER, PROP, LIGHT, SIGN, SENSOR = range(7)

# Columns of `body`: pose, velocity, angular velocity, acceleration of the last tick …
X, Y, Z, PITCH, YAW, ROLL, VX, VY, VZ, WX, WY, WZ, AX, AY, AZ = range(15)
# … pedals and steering as the vehicle follows them, the ground's plane about (X0, Y0) …
THROTTLE, STEER, BRAKE, X0, Y0, GROUND, SLOPE_X, SLOPE_Y = range(15, 23)
# … what pushes during the next tick (N, N m), a velocity held in the vehicle's axes, the speed limit (m/s).
FORCE_X, FORCE_Y, FORCE_Z, TORQUE, HELD_X, HELD_Y, HELD_Z, LIMIT = range(23, 31)
BODY_SIZE = 31

# Columns of `param`: half extents and place of the box, height of the origin above the ground, mass, moment
# of inertia, turning (1/m times the tangent of the wheel angle), distance of the rear axle behind the origin,
# shares of the reference car's acceleration and braking, m/s^2 of sideways grip, largest speed (m/s).
HALF_X, HALF_Y, HALF_Z, BOX_X, BOX_Y, BOX_Z, REST, MASS, INERTIA, TURN, ARM, PULL, STOP, GRIP, TOP = range(15)
PARAM_SIZE = 15

# Columns of `control`, for vehicles and for walkers.
C_THROTTLE, C_STEER, C_BRAKE, C_HAND, C_REVERSE, C_MANUAL, C_GEAR = range(7)
C_X, C_Y, C_Z, C_SPEED, C_JUMP = range(5)
CONTROL_SIZE = 7

# Columns of `flag`. AT_LIGHT is a row of the traffic lights or -1, PARENT a row of the actors or -1,
# ROW_LIGHT a traffic light's row among those, LANE the lane under a vehicle or -1.
ID, KIND, PHYSICS, GRAVITY, COLLIDES, HELD, PARENT, AT_LIGHT, LAMPS, ROW_LIGHT, LANE, DEAD = range(12)
FLAG_SIZE = 12

# Columns of `lamp` (traffic lights) and of `cycle` (their groups).
# A group's phases have their green, yellow and red seconds in the rows of `span` from G_SPAN on.
L_ACTOR, L_GROUP, L_PHASE, L_STATE = range(4)
G_PHASES, G_NOW, G_STAGE, G_FROZEN, G_SPAN = range(5)
RED, YELLOW, GREEN, OFF = range(4)

_F, _U, _I, _B = "<f4", "<u4", "<i4", "u1"
_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("id", _U, 0), ("active", _B, 4),
    ("x", _F, 5), ("y", _F, 9), ("z", _F, 13), ("pitch", _F, 17), ("yaw", _F, 21), ("roll", _F, 25),
    ("vx", _F, 29), ("vy", _F, 33), ("vz", _F, 37), ("wx", _F, 41), ("wy", _F, 45), ("wz", _F, 49),
    ("ax", _F, 53), ("ay", _F, 57), ("az", _F, 61),
    # A vehicle's …
    ("throttle", _F, 65), ("steer", _F, 69), ("brake", _F, 73), ("hand_brake", _B, 77), ("reverse", _B, 78),
    ("manual", _B, 79), ("gear", _I, 80), ("speed_limit", _F, 84), ("light_state", _B, 88),
    ("has_light", _B, 89), ("light_id", _U, 90), ("failure", _B, 94),
    # … or a traffic light's or sign's …
    ("sign_id", "S32", 65), ("green", _F, 97), ("yellow", _F, 101), ("red", _F, 105), ("elapsed", _F, 109),
    ("pole", _U, 113), ("frozen", _B, 117), ("state", _B, 118),
    # … or a walker's.
    ("dir_x", _F, 65), ("dir_y", _F, 69), ("dir_z", _F, 73), ("speed", _F, 77), ("jump", _B, 81),
)  # fmt: skip
ACTOR_STATE = np.dtype(
    {
        "names": [name for name, _, _ in _FIELDS],
        "formats": [kind for _, kind, _ in _FIELDS],
        "offsets": [at for _, _, at in _FIELDS],
        "itemsize": 119,
    }
)
"""What clients are told of an actor each tick: 65 bytes that all have, then 54 by kind. Degrees, km/h."""
LEAD = 88
"""Bytes before the first actor in the message that tells of all of them: its length, and what heads it."""
