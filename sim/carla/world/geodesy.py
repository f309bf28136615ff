"""From places in a town to latitude and longitude, as CARLA's GNSS sensor has them."""

from __future__ import annotations

import math

EARTH_RADIUS = 6_378_137.0


def geolocation(
    x: float, y: float, z: float, origin: tuple[float, float], y_is_north: bool = False
) -> tuple[float, float, float]:
    """Latitude, longitude (deg) and altitude of a place by the spherical Mercator projection about `origin`.

    CARLA's y points to the right of x, so to the south of a map whose x is east: up to 0.9.15 its geographic
    coordinates say so. The map of 0.9.16 takes y for north.
    """
    lat, lon = origin
    scale = math.cos(math.radians(lat))
    east = scale * math.radians(lon) * EARTH_RADIUS + x
    north = scale * EARTH_RADIUS * math.log(math.tan(math.radians(90.0 + lat) / 2.0)) + (
        y if y_is_north else -y
    )
    longitude = math.degrees(east / (scale * EARTH_RADIUS))
    latitude = 2.0 * math.degrees(math.atan(math.exp(north / (scale * EARTH_RADIUS)))) - 90.0
    return latitude, longitude, z
