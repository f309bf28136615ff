"""Calls about vehicles and walkers: controls, physics, lamps, bones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.table import IGNORED, call, void
from drive.sim.carla.wire import physics, values

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session

ACKERMANN_SETTINGS = (0.15, 0.0, 0.25, 0.01, 0.0, 0.01)
"""Gains that the game's Ackermann controller has by default (CARLA documentation, Ackermann control)."""


def _control(server: Server, session: Session, actor: Any, control: Any) -> None:
    server.world.apply_control(values.actor_id(actor), *values.vehicle_control(control))


def ackermann(server: Server, actor: Any, control: Any) -> None:
    """Steer (rad), steer speed (rad/s), speed (m/s), acceleration (m/s2), jerk (m/s3)."""
    server.world.apply_ackermann(values.actor_id(actor), *values.numbers(control, "the control", 5))


def _ackermann(server: Server, session: Session, actor: Any, control: Any) -> None:
    ackermann(server, actor, control)


def _ackermann_settings(server: Server, session: Session, actor: Any) -> Any:
    server.world.actor(values.actor_id(actor))
    return list(ACKERMANN_SETTINGS)


def walker_control(server: Server, actor: Any, control: Any) -> None:
    """Direction, speed (m/s), jump."""
    parts = values.array(control, "the walker's control", 3)
    server.world.apply_walker_control(
        values.actor_id(actor),
        values.vector(parts[0], "the direction"),
        values.number(parts[1], "the speed"),
        values.flag(parts[2], "jump"),
    )


def _walker_control(server: Server, session: Session, actor: Any, control: Any) -> None:
    walker_control(server, actor, control)


def _physics(server: Server, session: Session, actor: Any) -> Any:
    return physics.packed(server.world.physics_control(values.actor_id(actor)))


def set_physics(server: Server, actor: Any, control: Any) -> None:
    server.world.set_physics_control(values.actor_id(actor), physics.unpacked(control))


def _set_physics(server: Server, session: Session, actor: Any, control: Any) -> None:
    set_physics(server, actor, control)


def lamps(server: Server, actor: Any, state: Any) -> None:
    """The state is a number of flags, in an array of one."""
    flags = state[0] if type(state) is list and len(state) == 1 else state
    server.world.set_light_state(values.actor_id(actor), values.integer(flags, "the light state"))


def _set_lamps(server: Server, session: Session, actor: Any, state: Any) -> None:
    lamps(server, actor, state)


def _lamps(server: Server, session: Session, actor: Any) -> Any:
    return [int(server.world.light_state(values.actor_id(actor)))]


def _all_lamps(server: Server, session: Session) -> Any:
    return server.world.vehicle_light_states()


def _wheel_steer(server: Server, session: Session, actor: Any, wheel: Any) -> float:
    number, which = values.actor_id(actor), values.integer(wheel, "the wheel", 0, 16)
    return float(server.world.wheel_steer_angle(number, which))


def _wheel_pitch(server: Server, session: Session, actor: Any, wheel: Any) -> float:
    server.world.actor(values.actor_id(actor))
    return 0.0


def _bones(server: Server, session: Session, actor: Any) -> Any:
    """Walkers are upright boxes here: a skeleton without bones."""
    server.world.actor(values.actor_id(actor))
    return [[]]


def _telemetry(server: Server, session: Session, actor: Any) -> Any:
    """Speed and controls are true; there is no engine, tyre or drag model to tell of."""
    number = values.actor_id(actor)
    throttle, steer, brake, gear, speed = server.world.telemetry(number)
    return [speed, steer, throttle, brake, 0.0, int(gear), 0.0, []]


VEHICLES = {
    "apply_control_to_vehicle": void(_control),
    "apply_ackermann_control_to_vehicle": void(_ackermann),
    "get_ackermann_controller_settings": call(_ackermann_settings),
    "apply_ackermann_controller_settings": IGNORED,
    "apply_control_to_walker": void(_walker_control),
    "get_physics_control": call(_physics),
    "apply_physics_control": void(_set_physics),
    "get_vehicle_light_state": call(_lamps),
    "set_vehicle_light_state": void(_set_lamps),
    "get_vehicle_light_states": call(_all_lamps),
    "get_wheel_steer_angle": call(_wheel_steer),
    "get_wheel_pitch_angle": call(_wheel_pitch),
    "set_wheel_steer_direction": IGNORED,
    "set_wheel_pitch_angle": IGNORED,
    "open_vehicle_door": IGNORED,
    "close_vehicle_door": IGNORED,
    "show_vehicle_debug_telemetry": IGNORED,
    "get_telemetry_data": call(_telemetry),
    "get_bones_transform": call(_bones),
    "set_bones_transform": IGNORED,
    "blend_pose": IGNORED,
    "get_pose_from_animation": IGNORED,
}
