"""Calls about what this server has not: they are answered truthfully, empty or with an error that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.sim.carla.calls.table import IGNORED, Call, Kind, call
from drive.sim.carla.wire import values
from drive.sim.carla.wire.messages import WireError

if TYPE_CHECKING:
    from drive.sim.carla.server import Server
    from drive.sim.carla.session import Session


def _lacking(what: str, kind: Kind = Kind.VALUE) -> Call:
    def refuse(server: Server, session: Session, *_: Any) -> Any:
        raise WireError(f"this light server has no {what}")

    plain = call(refuse, kind)
    return Call(plain.function, kind, 0, 16)


def _none(server: Server, session: Session, *_: Any) -> list[Any]:
    return []


def _never(server: Server, session: Session, *_: Any) -> bool:
    return False


def _gravity(server: Server, session: Session) -> float:
    return 9.81


def _file(server: Server, session: Session, name: Any) -> bytes:
    raise WireError(f"there is no file '{values.text(name, 'the name')[:80]}' to send")


def _project(server: Server, session: Session, start: Any, direction: Any, distance: Any) -> Any:
    place, way = values.vector(start, "the location"), values.vector(direction, "the direction")
    hit = server.world.project_point(place, way, values.number(distance, "the distance"))
    if hit is None:
        return [False, [[0.0, 0.0, 0.0], 0]]
    return [True, [[float(v) for v in hit[0]], int(hit[1])]]


def _ray(server: Server, session: Session, start: Any, end: Any) -> Any:
    a, b = values.vector(start, "the start"), values.vector(end, "the end")
    return [[[float(v) for v in place], int(label)] for place, label in server.world.cast_ray(a, b)]


_RECORDER = "recorder: a run of the bridge writes a run log instead"
_TEXTURES = "textures"

REST = {
    "start_recorder": _lacking(_RECORDER),
    "stop_recorder": _lacking(_RECORDER, Kind.VOID),
    "show_recorder_file_info": _lacking(_RECORDER),
    "show_recorder_collisions": _lacking(_RECORDER),
    "show_recorder_actors_blocked": _lacking(_RECORDER),
    "replay_file": _lacking(_RECORDER),
    "stop_replayer": _lacking(_RECORDER, Kind.VOID),
    "set_replayer_time_factor": _lacking(_RECORDER, Kind.VOID),
    "set_replayer_ignore_hero": _lacking(_RECORDER, Kind.VOID),
    "set_replayer_ignore_spectator": _lacking(_RECORDER, Kind.VOID),
    "get_navigation_mesh": _lacking("navigation mesh: move walkers by WalkerControl"),
    "request_file": call(_file),
    "get_names_of_all_objects": call(_none),
    "get_environment_objects": call(_none),
    "enable_environment_objects": IGNORED,
    "get_all_level_BBs": call(_none),
    "apply_color_texture_to_objects": _lacking(_TEXTURES, Kind.VOID),
    "apply_float_color_texture_to_objects": _lacking(_TEXTURES, Kind.VOID),
    "project_point": call(_project),
    "cast_ray": call(_ray),
    "draw_debug_shape": IGNORED,
    "clear_debug_shape": IGNORED,
    "clear_debug_string": IGNORED,
    "set_annotations_traverse_translucency": IGNORED,
    "get_imui_gravity": call(_gravity),
    "set_imui_gravity": IGNORED,
    "enable_sensor_for_ros": _lacking("ROS", Kind.VOID),
    "disable_sensor_for_ros": _lacking("ROS", Kind.VOID),
    "is_sensor_enabled_for_ros": call(_never),
    "are_gbuffers_enabled": call(_never),
    "enable_gbuffers": _lacking("G-buffers", Kind.VOID),
    "get_gbuffer_token": _lacking("G-buffers"),
    "enable_carsim": _lacking("CarSim", Kind.VOID),
    "use_carsim_road": _lacking("CarSim", Kind.VOID),
    "enable_chrono_physics": _lacking("Chrono physics", Kind.VOID),
    "restore_physx_physics": IGNORED,
    "send": _lacking("V2X", Kind.VOID),
    "set_ignored_vehicles": IGNORED,
}
