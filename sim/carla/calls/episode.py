"""Calls about the episode: version, maps, settings, weather, ticks, streams, Traffic Managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.table import IGNORED, call, void
from drive.sim.carla.streams import OBSERVER
from drive.sim.carla.wire import shapes, values
from drive.sim.carla.wire.messages import WireError

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session


def _version(server: Server, session: Session) -> str:
    return server.release.name


def _episode_info(server: Server, session: Session) -> Any:
    return [server.episode, [server.token(OBSERVER, session)]]


def _available_maps(server: Server, session: Session) -> list[str]:
    return server.maps.names


def _map_info(server: Server, session: Session) -> Any:
    points = [shapes.transform(pose) for pose in server.world.spawn_points]
    return [f"Carla/Maps/{server.map_name}", points]


def _map_data(server: Server, session: Session) -> str:
    return server.world.town.xodr


def _load_episode(server: Server, session: Session, name: Any, reset: Any = True, layers: Any = 0) -> Any:
    reset_settings = values.flag(reset, "reset_settings")
    server.load_episode(values.text(name, "the map's name"), reset_settings)
    session.keeps = session.keeps and not reset_settings


def _copy_map(server: Server, session: Session, text: Any, options: Any = None) -> None:
    """A road network of the client's own; it asks for its episode afterwards."""
    server.maps.take(values.text(text, "the OpenDRIVE text"))


def _settings(server: Server, session: Session) -> Any:
    return server.settings.packed()


def _set_settings(server: Server, session: Session, settings: Any) -> int:
    return server.apply_settings(session, shapes.Settings.unpacked(settings))


def _weather(server: Server, session: Session) -> Any:
    return list(server.weather)


def _set_weather(server: Server, session: Session, weather: Any) -> None:
    server.weather = values.numbers(weather, "the weather", len(shapes.WEATHER))


def _tick(server: Server, session: Session) -> int:
    return server.tick(session)


def _sensor_token(server: Server, session: Session, stream: Any) -> Any:
    number = values.integer(stream, "the stream")
    if not server.stream_known(number):
        raise WireError(f"there is no stream {number}: its sensor may have been destroyed")
    return [server.token(number, session)]


# The Traffic Manager runs in the client; the server only tells clients of one another's.


def _tm_running(server: Server, session: Session, port: Any) -> bool:
    return values.integer(port, "the port", 0, 65535) in server.traffic_managers


def _tm_where(server: Server, session: Session, port: Any) -> Any:
    return list(server.traffic_managers.get(values.integer(port, "the port", 0, 65535), ("", 0)))


def _tm_add(server: Server, session: Session, where: Any) -> bool:
    parts = values.array(where, "the Traffic Manager", 2)
    port = values.integer(parts[1], "the port", 0, 65535)
    if port in server.traffic_managers:
        return False
    server.traffic_managers[port] = (values.text(parts[0], "the host"), port)
    session.traffic_managers.add(port)
    return True


def _tm_destroy(server: Server, session: Session, port: Any) -> bool:
    return server.traffic_managers.pop(values.integer(port, "the port", 0, 65535), None) is not None


def _nothing(server: Server, session: Session, *_: Any) -> list[Any]:
    return []


EPISODE = {
    "version": call(_version),
    "get_episode_info": call(_episode_info),
    "get_available_maps": call(_available_maps),
    "get_map_info": call(_map_info),
    "get_map_data": call(_map_data),
    "load_new_episode": void(_load_episode),
    "copy_opendrive_to_file": void(_copy_map),
    "load_map_layer": IGNORED,
    "unload_map_layer": IGNORED,
    "get_episode_settings": call(_settings),
    "set_episode_settings": call(_set_settings),
    "get_weather_parameters": call(_weather),
    "set_weather_parameters": void(_set_weather),
    "tick_cue": call(_tick),
    "get_sensor_token": call(_sensor_token),
    "is_traffic_manager_running": call(_tm_running),
    "get_traffic_manager_running": call(_tm_where),
    "add_traffic_manager_running": call(_tm_add),
    "destroy_traffic_manager": call(_tm_destroy),
    "get_required_files": call(_nothing),
}
