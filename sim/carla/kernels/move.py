"""How vehicles, walkers and loose props move during one short step."""

from __future__ import annotations

import math

from drive.sim.carla.kernels.layout import (
    ARM,
    BRAKE,
    C_BRAKE,
    C_GEAR,
    C_HAND,
    C_MANUAL,
    C_REVERSE,
    C_SPEED,
    C_STEER,
    C_THROTTLE,
    C_X,
    C_Y,
    DEAD,
    FORCE_X,
    FORCE_Y,
    FORCE_Z,
    GRAVITY,
    GRIP,
    GROUND,
    HELD,
    HELD_X,
    HELD_Y,
    HELD_Z,
    INERTIA,
    KIND,
    MASS,
    PITCH,
    PULL,
    REST,
    ROLL,
    SLOPE_X,
    SLOPE_Y,
    STEER,
    STOP,
    THROTTLE,
    TOP,
    TORQUE,
    TURN,
    VEHICLE,
    VX,
    VY,
    VZ,
    WALKER,
    WX,
    WY,
    WZ,
    X0,
    Y0,
    YAW,
    X,
    Y,
    Z,
)
from drive.sim.kernels.compile import scalar

GRAVITY_ACCELERATION = 9.81
BRAKES, SLOW_BRAKES, HAND_SHARE = 7.2, 10.0, 0.8
"""m/s^2 of full brakes, all resistance included: about the published fit from 10 m/s up (7.3 on average) and
at 8 m/s. Below that the fit goes on to 18 m/s^2, which is not followed. The hand brake, on one axle, has a
share of it."""
SLOW, FAST = 8.0, 10.0
# Unreal's wheeled vehicle follows its inputs at these rates, 1/s (its documented defaults).
THROTTLE_UP, THROTTLE_DOWN, STEER_UP, STEER_DOWN = 6.0, 10.0, 2.5, 5.0
SPIN = 12.0
"""rad/s^2 with which tyres turn a vehicle towards where its wheels roll."""
REVERSE_GEAR = 3.0
"""The reverse gear pulls at a speed as the forward ones do at this multiple of it."""
SPEED_STEP, THROTTLE_STEP = 0.5, 0.05
LEGS, KNOCKED, SLIDE = 20.48, 4.0, 6.0
"""Walkers change their velocity by at most `LEGS` m/s^2 (Unreal's characters), or, if they are faster than
they want to be by `KNOCKED` m/s, slide to a stop with `SLIDE` m/s^2."""
ROUGH = 5.0
"""m/s^2 of friction under a prop."""
STEP_DOWN = 0.08
"""Metres by which the ground may fall away in one step under something that stays on it."""


@scalar
def towards(value, goal, up, down):
    """A value moved to its goal by at most `up` away from zero or `down` towards zero."""
    most = up if abs(goal) > abs(value) and goal * value >= 0.0 else down
    return min(max(goal, value - most), value + most)


@scalar
def looked_up(table, throttle, speed):
    """Acceleration in m/s^2 at a throttle and a speed, bilinear in `table (throttles, speeds)`."""
    a = min(max(throttle / THROTTLE_STEP, 0.0), table.shape[0] - 1.001)
    b = min(max(speed / SPEED_STEP, 0.0), table.shape[1] - 1.001)
    i, j = int(a), int(b)
    a, b = a - i, b - j
    low = table[i, j] + b * (table[i, j + 1] - table[i, j])
    high = table[i + 1, j] + b * (table[i + 1, j + 1] - table[i + 1, j])
    return low + a * (high - low)


@scalar
def steering_share(speed):
    """CARLA's default steering curve (0, 20, 60, 120 km/h: 1, 0.9, 0.8, 0.7), as a share of that at 20 km/h.

    The fit that gives the turning was made at about this speed.
    """
    k = 3.6 * speed
    if k < 20.0:
        share = 1.0 - 0.005 * k
    elif k < 60.0:
        share = 0.9 - 0.0025 * (k - 20.0)
    else:
        share = max(0.8 - (k - 60.0) / 600.0, 0.7)
    return share / 0.9


@scalar
def full_brakes(speed):
    """m/s^2 of full brakes at a speed."""
    part = min(max((FAST - speed) / (FAST - SLOW), 0.0), 1.0)
    return BRAKES + part * (SLOW_BRAKES - BRAKES)


@scalar
def roll_vehicle(i, body, param, control, table, dt):
    """Velocity and yaw rate of a vehicle on its wheels after `dt`.

    Along: a table of throttle and speed fitted by others to CARLA (see drive.sim.carla.world.pedals), brakes,
    slope. Across: the wheels roll as a kinematic bicycle's; sideways velocity and yaw rate go there as fast
    as the tyres' grip allows, so that who was hit slides first.
    """
    c, s = math.cos(body[i, YAW]), math.sin(body[i, YAW])
    u, w = body[i, VX] * c + body[i, VY] * s, body[i, VY] * c - body[i, VX] * s
    body[i, THROTTLE] = towards(
        body[i, THROTTLE], control[i, C_THROTTLE], THROTTLE_UP * dt, THROTTLE_DOWN * dt
    )
    body[i, BRAKE] = towards(body[i, BRAKE], control[i, C_BRAKE], THROTTLE_UP * dt, THROTTLE_DOWN * dt)
    body[i, STEER] = towards(body[i, STEER], control[i, C_STEER], STEER_UP * dt, STEER_DOWN * dt)
    backwards = control[i, C_REVERSE] > 0.5 or (control[i, C_MANUAL] > 0.5 and control[i, C_GEAR] < 0.0)
    neutral = control[i, C_MANUAL] > 0.5 and control[i, C_GEAR] == 0.0 and not backwards
    way = -1.0 if backwards else 1.0
    throttle = 0.0 if neutral else body[i, THROTTLE]
    along = u * way
    rolling = abs(u)
    net = looked_up(table, throttle, max(along, 0.0) * (REVERSE_GEAR if backwards else 1.0))
    drag = -looked_up(table, 0.0, rolling)
    if along < 0.0:
        drive = max(net, 0.0) * param[i, PULL]
    else:
        drive = max(net, 0.0) * param[i, PULL] if net > 0.0 else 0.0
        drag = max(-net, 0.0)
    if rolling > param[i, TOP]:
        drive = 0.0
    brakes = min(body[i, BRAKE] + control[i, C_HAND] * HAND_SHARE, 1.0)
    resist = drag * (1.0 - brakes) + param[i, STOP] * full_brakes(rolling) * brakes
    uphill = body[i, SLOPE_X] * c + body[i, SLOPE_Y] * s
    free = way * drive - GRAVITY_ACCELERATION * uphill / math.sqrt(1.0 + uphill * uphill)
    free += (body[i, FORCE_X] * c + body[i, FORCE_Y] * s) / param[i, MASS]
    u = u + free * dt
    if abs(u) <= resist * dt:
        u = 0.0
    else:
        u -= math.copysign(resist * dt, u)
    share = param[i, INERTIA] / param[i, MASS]
    r = body[i, WZ]
    energy = u * u + w * w + share * r * r
    turn = param[i, TURN] * math.tan(GAIN * body[i, STEER]) * steering_share(rolling)
    rate = u * turn
    most = param[i, GRIP] / max(abs(u), 0.1)
    rate = min(max(rate, -most), most)
    grip, spin = 1.5 * param[i, GRIP] * dt, SPIN * dt
    w += min(max(rate * param[i, ARM] - w, -grip), grip)
    r += min(max(rate - r, -spin), spin)
    u, w, r = not_above(energy, u, w, r, share)
    w += (body[i, FORCE_Y] * c - body[i, FORCE_X] * s) / param[i, MASS] * dt
    body[i, WZ] = r + body[i, TORQUE] / param[i, INERTIA] * dt
    body[i, VX], body[i, VY] = u * c - w * s, u * s + w * c


@scalar
def not_above(energy, u, w, r, share):
    """Velocities along and across and a yaw rate with at most this energy (u^2 + w^2 + share r^2).

    Rolling tyres make none: what sideways motion takes is missing along, as the steered wheels' drag.
    """
    across = w * w + share * r * r
    if u * u + across <= energy:
        return u, w, r
    if across <= energy:
        return math.copysign(math.sqrt(energy - across), u), w, r
    less = math.sqrt(energy / across)
    return 0.0, w * less, r * less


GAIN = 0.36848336
"""Wheel angle (rad) of full steering in the fitted bicycle."""


@scalar
def walk(i, body, control, flag, dt):
    """Velocity of a walker after `dt`: what its control says, as fast as legs go. It looks where it goes."""
    cx, cy = control[i, C_X], control[i, C_Y]
    far = math.sqrt(cx * cx + cy * cy)
    speed = 0.0 if flag[i, DEAD] != 0 else control[i, C_SPEED]
    gx = cx / far * speed if far > 1e-6 else 0.0
    gy = cy / far * speed if far > 1e-6 else 0.0
    dx, dy = gx - body[i, VX], gy - body[i, VY]
    off = math.sqrt(dx * dx + dy * dy)
    fast = math.sqrt(body[i, VX] * body[i, VX] + body[i, VY] * body[i, VY])
    most = (SLIDE if fast > speed + KNOCKED else LEGS) * dt
    share = most / off if off > most else 1.0
    body[i, VX] += share * dx
    body[i, VY] += share * dy
    if far > 1e-6 and speed > 0.0:
        body[i, YAW] = math.atan2(cy, cx)
    body[i, WZ] = 0.0


@scalar
def slide(i, body, param, dt):
    """Velocity of a loose prop after `dt`: friction."""
    fast = math.sqrt(body[i, VX] * body[i, VX] + body[i, VY] * body[i, VY])
    share = max(1.0 - ROUGH * dt / fast, 0.0) if fast > 1e-9 else 0.0
    body[i, VX] = share * body[i, VX] + body[i, FORCE_X] / param[i, MASS] * dt
    body[i, VY] = share * body[i, VY] + body[i, FORCE_Y] / param[i, MASS] * dt
    body[i, WZ] -= min(max(body[i, WZ], -ROUGH * dt), ROUGH * dt)


@scalar
def move_actor(i, body, param, control, flag, table, dt):
    """One step of an actor with physics: velocities, then place, height and tilt."""
    rest = ground_at(i, body) + param[i, REST]
    aloft = body[i, Z] > rest + 0.02
    kind = flag[i, KIND]
    if flag[i, HELD] != 0:
        c, s = math.cos(body[i, YAW]), math.sin(body[i, YAW])
        body[i, VX] = body[i, HELD_X] * c - body[i, HELD_Y] * s
        body[i, VY] = body[i, HELD_X] * s + body[i, HELD_Y] * c
        if body[i, HELD_Z] != 0.0:
            body[i, VZ] = body[i, HELD_Z]
    elif aloft:
        body[i, VX] += body[i, FORCE_X] / param[i, MASS] * dt
        body[i, VY] += body[i, FORCE_Y] / param[i, MASS] * dt
    elif kind == VEHICLE:
        roll_vehicle(i, body, param, control, table, dt)
    elif kind == WALKER:
        walk(i, body, control, flag, dt)
    else:
        slide(i, body, param, dt)
    body[i, X] += body[i, VX] * dt
    body[i, Y] += body[i, VY] * dt
    turned = body[i, YAW] + body[i, WZ] * dt
    body[i, YAW] = turned if abs(turned) <= math.pi else math.atan2(math.sin(turned), math.cos(turned))
    settle(i, body, param, flag, aloft, dt)


@scalar
def ground_at(i, body):
    """Height of an actor's ground plane at its place."""
    return (
        body[i, GROUND]
        + body[i, SLOPE_X] * (body[i, X] - body[i, X0])
        + body[i, SLOPE_Y] * (body[i, Y] - body[i, Y0])
    )


@scalar
def settle(i, body, param, flag, aloft, dt):
    """Height and tilt after a step: who was on the ground stays on it, who is above it falls."""
    rest = ground_at(i, body) + param[i, REST]
    lift = body[i, FORCE_Z] / param[i, MASS] - (GRAVITY_ACCELERATION if flag[i, GRAVITY] != 0 else 0.0)
    rises = body[i, VX] * body[i, SLOPE_X] + body[i, VY] * body[i, SLOPE_Y]
    body[i, VZ] += lift * dt
    z = body[i, Z] + body[i, VZ] * dt
    down = flag[i, GRAVITY] != 0 and not aloft and body[i, VZ] <= rises and z < rest + STEP_DOWN
    if z <= rest or down:
        body[i, Z], body[i, VZ] = rest, rises
        if flag[i, KIND] == VEHICLE:
            body[i, PITCH], body[i, ROLL] = 0.0, 0.0
            if body[i, SLOPE_X] != 0.0 or body[i, SLOPE_Y] != 0.0:  # many towns are flat
                c, s = math.cos(body[i, YAW]), math.sin(body[i, YAW])
                body[i, PITCH] = math.atan(body[i, SLOPE_X] * c + body[i, SLOPE_Y] * s)
                body[i, ROLL] = -math.atan(body[i, SLOPE_Y] * c - body[i, SLOPE_X] * s)
            body[i, WX] = 0.0
            body[i, WY] = 0.0
    else:
        body[i, Z] = z
