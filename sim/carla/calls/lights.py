"""Calls about traffic lights, and about lamps of the street (there are none)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.table import IGNORED, call, void
from drive.sim.carla.wire import shapes, values

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session


def light_state(server: Server, actor: Any, state: Any) -> None:
    """0 red, 1 yellow, 2 green, 3 off, 4 unknown."""
    server.world.set_light(values.actor_id(actor), values.integer(state, "the light's state", 0, 4))


def _state(server: Server, session: Session, actor: Any, state: Any) -> None:
    light_state(server, actor, state)


def _seconds(value: Any) -> float:
    return max(values.number(value, "the light's time"), 0.0)


def _green(server: Server, session: Session, actor: Any, seconds: Any) -> None:
    server.world.set_light_time(values.actor_id(actor), "green", _seconds(seconds))


def _yellow(server: Server, session: Session, actor: Any, seconds: Any) -> None:
    server.world.set_light_time(values.actor_id(actor), "yellow", _seconds(seconds))


def _red(server: Server, session: Session, actor: Any, seconds: Any) -> None:
    server.world.set_light_time(values.actor_id(actor), "red", _seconds(seconds))


def _freeze(server: Server, session: Session, actor: Any, frozen: Any) -> None:
    server.world.freeze_light(values.actor_id(actor), values.flag(frozen, "frozen"))


def _freeze_all(server: Server, session: Session, frozen: Any) -> None:
    server.world.freeze_lights(values.flag(frozen, "frozen"))


def _reset_group(server: Server, session: Session, actor: Any) -> None:
    server.world.reset_light_group(values.actor_id(actor))


def _reset_all(server: Server, session: Session) -> None:
    server.world.reset_lights()


def _group(server: Server, session: Session, actor: Any) -> list[int]:
    return [int(number) for number in server.world.light_group(values.actor_id(actor))]


def _boxes(server: Server, session: Session, actor: Any) -> Any:
    return [shapes.box(*box) for box in server.world.light_boxes(values.actor_id(actor))]


def _none(server: Server, session: Session, *_: Any) -> list[Any]:
    return []


LIGHTS = {
    "set_traffic_light_state": void(_state),
    "set_traffic_light_green_time": void(_green),
    "set_traffic_light_yellow_time": void(_yellow),
    "set_traffic_light_red_time": void(_red),
    "freeze_traffic_light": void(_freeze),
    "freeze_all_traffic_lights": void(_freeze_all),
    "reset_traffic_light_group": void(_reset_group),
    "reset_all_traffic_lights": void(_reset_all),
    "get_group_traffic_lights": call(_group),
    "get_light_boxes": call(_boxes),
    "query_lights_state": call(_none),
    "update_lights_state": IGNORED,
    "update_day_night_cycle": IGNORED,
}
