"""What clients are told: attached actors' places, and every actor's record."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.layout import (
    AT_LIGHT,
    AX,
    AY,
    AZ,
    C_BRAKE,
    C_GEAR,
    C_HAND,
    C_JUMP,
    C_MANUAL,
    C_REVERSE,
    C_SPEED,
    C_STEER,
    C_THROTTLE,
    C_X,
    C_Y,
    C_Z,
    G_FROZEN,
    G_SPAN,
    GREEN,
    ID,
    KIND,
    L_ACTOR,
    L_GROUP,
    L_PHASE,
    L_STATE,
    LIGHT,
    LIMIT,
    PARENT,
    PITCH,
    ROLL,
    ROW_LIGHT,
    VEHICLE,
    VX,
    VY,
    VZ,
    WALKER,
    WX,
    WY,
    WZ,
    YAW,
    X,
    Y,
    Z,
)
from drive.sim.kernels.compile import scalar

DEGREES = 180.0 / math.pi
# km/h up to which CARLA's cars use their gears, about: only what is shown of them depends on it.
GEARS = (15.0, 35.0, 60.0, 85.0)


@scalar
def axes(pitch, yaw, roll):
    """Rows of the rotation matrix of CARLA's (Unreal's) angles in rad: local to world axes."""
    cp, sp, cy, sy = math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    cr, sr = math.cos(roll), math.sin(roll)
    return (
        (cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr),
        (cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr),
        (sp, -cp * sr, cp * cr),
    )


@scalar
def angles(a, b, c):
    """(pitch, yaw, roll) of a rotation matrix's rows."""
    pitch = math.asin(min(max(c[0], -1.0), 1.0))
    return pitch, math.atan2(b[0], a[0]), math.atan2(-c[1], c[2])


@scalar
def carry(i, body, flag, relative):
    """Put an attached actor where its parent has it; `relative (N, 6)` x, y, z, pitch, yaw, roll to it."""
    p = flag[i, PARENT]
    a, b, c = axes(body[p, PITCH], body[p, YAW], body[p, ROLL])
    x, y, z = relative[i, 0], relative[i, 1], relative[i, 2]
    body[i, X] = body[p, X] + a[0] * x + a[1] * y + a[2] * z
    body[i, Y] = body[p, Y] + b[0] * x + b[1] * y + b[2] * z
    body[i, Z] = body[p, Z] + c[0] * x + c[1] * y + c[2] * z
    d, e, f = axes(relative[i, 3], relative[i, 4], relative[i, 5])
    top = (
        a[0] * d[0] + a[1] * e[0] + a[2] * f[0],
        a[0] * d[1] + a[1] * e[1] + a[2] * f[1],
        a[0] * d[2] + a[1] * e[2] + a[2] * f[2],
    )
    mid = (b[0] * d[0] + b[1] * e[0] + b[2] * f[0], 0.0, 0.0)
    low = (
        c[0] * d[0] + c[1] * e[0] + c[2] * f[0],
        c[0] * d[1] + c[1] * e[1] + c[2] * f[1],
        c[0] * d[2] + c[1] * e[2] + c[2] * f[2],
    )
    body[i, PITCH], body[i, YAW], body[i, ROLL] = angles(top, mid, low)
    for k in range(VX, AZ + 1):
        body[i, k] = body[p, k]


@scalar
def tell(i, body, control, flag, lamp, cycle, elapsed, span, out):
    """Fill the record of one actor."""
    r = out[i]
    r.id = flag[i, ID]
    r.active = 1
    r.x, r.y, r.z = body[i, X], body[i, Y], body[i, Z]
    r.pitch, r.yaw, r.roll = body[i, PITCH] * DEGREES, body[i, YAW] * DEGREES, body[i, ROLL] * DEGREES
    r.vx, r.vy, r.vz = body[i, VX], body[i, VY], body[i, VZ]
    r.wx, r.wy, r.wz = body[i, WX] * DEGREES, body[i, WY] * DEGREES, body[i, WZ] * DEGREES
    r.ax, r.ay, r.az = body[i, AX], body[i, AY], body[i, AZ]
    kind = flag[i, KIND]
    if kind == VEHICLE:
        r.throttle, r.steer = control[i, C_THROTTLE], control[i, C_STEER]
        r.brake = control[i, C_BRAKE]
        r.hand_brake = 1 if control[i, C_HAND] > 0.5 else 0
        r.reverse = 1 if control[i, C_REVERSE] > 0.5 else 0
        r.manual = 1 if control[i, C_MANUAL] > 0.5 else 0
        r.gear = gear_of(i, body, control)
        r.speed_limit = body[i, LIMIT] * 3.6
        k = flag[i, AT_LIGHT]
        r.has_light = 1 if k >= 0 else 0
        r.light_state = lamp[k, L_STATE] if k >= 0 else GREEN
        r.light_id = flag[lamp[k, L_ACTOR], ID] if k >= 0 else 0
        r.failure = 0
    elif kind == WALKER:
        r.dir_x, r.dir_y, r.dir_z = control[i, C_X], control[i, C_Y], control[i, C_Z]
        r.speed = control[i, C_SPEED]
        r.jump = 1 if control[i, C_JUMP] > 0.5 else 0
    elif kind == LIGHT:
        k = flag[i, ROW_LIGHT]
        g = lamp[k, L_GROUP]
        row = cycle[g, G_SPAN] + lamp[k, L_PHASE]
        r.green, r.yellow, r.red = span[row, 0], span[row, 1], span[row, 2]
        r.elapsed = elapsed[g]
        r.frozen = 1 if cycle[g, G_FROZEN] != 0 else 0
        r.state = lamp[k, L_STATE]
        r.pole = lamp[k, L_PHASE]


@scalar
def gear_of(i, body, control):
    """The gear that is shown: gears do not change how vehicles drive."""
    if control[i, C_MANUAL] > 0.5:
        return int(control[i, C_GEAR])
    if control[i, C_REVERSE] > 0.5:
        return -1
    k = 3.6 * math.sqrt(body[i, VX] * body[i, VX] + body[i, VY] * body[i, VY])
    gear = 1 if k > 0.1 or control[i, C_THROTTLE] > 0.0 else 0
    for limit in GEARS:
        if k > limit:
            gear += 1
    return gear
