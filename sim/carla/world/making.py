"""What a new actor is given for its blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.sim.carla.kernels.layout import (
    ARM,
    BOX_X,
    COLLIDES,
    GRAVITY,
    GRIP,
    HALF_X,
    HALF_Z,
    INERTIA,
    LIMIT,
    MASS,
    PHYSICS,
    PROP,
    PULL,
    REST,
    STOP,
    TOP,
    TURN,
    VEHICLE,
    WALKER,
)

if TYPE_CHECKING:
    from drive.sim.carla.world.actors import Actors
    from drive.sim.carla.world.blueprints import Blueprint

CLEARANCE = 0.2
"""Metres up to which wheels roll over a prop: dirt on the road, which scenarios spread, is no obstacle."""
FIRST_LIMIT = 30.0 / 3.6
"""m/s that a vehicle is told until it has met a lane with a limit."""
# The published fit (see pedals) turns by this times the tangent of the wheel angle, 1/m at 20 km/h, and has
# its rear axle that far behind the origin; the car that it was made for has the wheelbase beside, m.
FIT_TURN, FIT_ARM, FIT_WHEELBASE = 1.0 / (1.4178275 - 0.090769015), 1.4178275, 2.85
# Shares of that car's acceleration and braking, sideways grip (m/s^2), top speed (m/s) by base type.
# CARLA's tyres have a friction of 3.5, far beyond real ones: half of it is used here before they slide.
CLASSES = {
    "car": (1.0, 1.0, 18.0, 60.0),
    "van": (0.75, 0.95, 16.0, 45.0),
    "truck": (0.55, 0.85, 13.0, 35.0),
    "bus": (0.5, 0.85, 12.0, 33.0),
    "motorcycle": (1.1, 1.0, 16.0, 55.0),
    "bicycle": (0.35, 0.7, 10.0, 11.0),
}


def equip(actors: Actors, row: int, b: Blueprint) -> None:
    """Box, mass and driving of a new actor that is not attached."""
    param, flag, body = actors.param[row], actors.flag[row], actors.body[row]
    param[HALF_X : HALF_Z + 1], param[BOX_X : BOX_X + 3] = b.half, b.center
    param[REST], param[MASS] = b.rest, b.mass
    param[INERTIA] = max(b.mass * ((2 * b.half[0]) ** 2 + (2 * b.half[1]) ** 2) / 12.0, 1e-3)
    flag[GRAVITY] = 1
    if b.kind in (VEHICLE, WALKER, PROP) and b.half[0] > 0.0:
        flag[COLLIDES] = b.kind != PROP or 2.0 * b.half[2] > CLEARANCE
        # Props of CARLA stand still until a script gives them physics.
        flag[PHYSICS] = int(b.kind != PROP)
    body[LIMIT] = FIRST_LIMIT
    if b.kind == VEHICLE:
        share = FIT_WHEELBASE / b.wheelbase
        param[TURN], param[ARM] = FIT_TURN * share, FIT_ARM / share
        param[PULL], param[STOP], param[GRIP], param[TOP] = CLASSES[b.base_type]
