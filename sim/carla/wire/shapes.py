"""Values to a client, as the arrays that its structs unpack from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drive.sim.carla.wire import values
from drive.sim.carla.wire.messages import WireError
from drive.sim.carla.wire.versions import Version


def transform(pose: Iterable[float]) -> list[Any]:
    """(6,) x, y, z, pitch, yaw, roll."""
    x, y, z, pitch, yaw, roll = (float(v) for v in pose)
    return [[x, y, z], [pitch, yaw, roll]]


def box(location: Iterable[float], extent: Iterable[float], rotation: Iterable[float]) -> list[Any]:
    return [[float(v) for v in part] for part in (location, extent, rotation)]


NO_BOX = box((0.0,) * 3, (0.0,) * 3, (0.0,) * 3)


def actor(
    release: Version,
    number: int,
    parent: int,
    uid: int,
    type_id: str,
    attributes: Iterable[tuple[str, str, str]],
    bounds: list[Any],
    tags: Sequence[int],
    token: bytes,
) -> list[Any]:
    """`attributes` (name, type, value); `token` empty, or that of the sensor's stream."""
    rows = [[name, release.attribute_type(kind), value] for name, kind, value in attributes]
    return [number, parent, [uid, type_id, rows], bounds, bytes(tags), token]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the episode runs: CARLA's EpisodeSettings."""

    synchronous: bool = False
    no_rendering: bool = False
    fixed_dt: float | None = None
    substepping: bool = True
    max_substep_dt: float = 0.01
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    def packed(self) -> list[Any]:
        dt = [False] if self.fixed_dt is None else [True, self.fixed_dt]
        return [
            self.synchronous,
            self.no_rendering,
            dt,
            self.substepping,
            self.max_substep_dt,
            self.max_substeps,
            self.max_culling_distance,
            self.deterministic_ragdolls,
            self.tile_stream_distance,
            self.actor_active_distance,
            self.spectator_as_ego,
        ]

    @classmethod
    def unpacked(cls, value: Any) -> Settings:
        """Raises WireError, also for a step that no simulation can take."""
        parts = values.array(value, "the settings", 3)
        dt = values.optional(parts[2], "fixed_delta_seconds")
        step = None if dt is None else values.number(dt, "fixed_delta_seconds")
        if step is not None and not 0 <= step <= 10:
            raise WireError("fixed_delta_seconds is not between 0 and 10 s")
        rest = cls()
        if len(parts) >= 11:
            rest = cls(
                substepping=values.flag(parts[3], "substepping"),
                max_substep_dt=values.number(parts[4], "max_substep_delta_time"),
                max_substeps=values.integer(parts[5], "max_substeps"),
                max_culling_distance=values.number(parts[6], "max_culling_distance"),
                deterministic_ragdolls=values.flag(parts[7], "deterministic_ragdolls"),
                tile_stream_distance=values.number(parts[8], "tile_stream_distance"),
                actor_active_distance=values.number(parts[9], "actor_active_distance"),
                spectator_as_ego=values.flag(parts[10], "spectator_as_ego"),
            )
        return cls(
            values.flag(parts[0], "synchronous_mode"),
            values.flag(parts[1], "no_rendering_mode"),
            step or None,
            rest.substepping,
            rest.max_substep_dt,
            rest.max_substeps,
            rest.max_culling_distance,
            rest.deterministic_ragdolls,
            rest.tile_stream_distance,
            rest.actor_active_distance,
            rest.spectator_as_ego,
        )


WEATHER = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "fog_falloff",
    "wetness",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)
"""The weather's numbers in their order; percent, degrees, metres."""

CLEAR_NOON = (5.0, 0.0, 0.0, 10.0, -1.0, 45.0, 2.0, 0.75, 0.1, 0.0, 1.0, 0.03, 0.0331, 0.0)
"""The weather of a new episode, as CARLA's `WeatherParameters.ClearNoon`."""
