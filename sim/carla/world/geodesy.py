"""From places in a town to latitude and longitude, as CARLA's GNSS sensor has them."""

from __future__ import annotations

import math

EARTH_RADIUS = 6_378_137.0
UTM_SCALE = 0.9996
"""Scale at the central meridian that client 0.9.16 takes, whatever the projection (asked of it)."""


def geolocation(
    x: float, y: float, z: float, origin: tuple[float, float], y_is_north: bool = False
) -> tuple[float, float, float]:
    """Latitude, longitude (deg) and altitude of a place in a town about `origin`, on a sphere.

    CARLA's y points to the right of x, so to the south of a map whose x is east. Up to 0.9.15 its geographic
    coordinates say so, by the Mercator projection; the map of 0.9.16 takes y for north (`y_is_north`), by the
    transverse one (Snyder, Map Projections, 1987, 8-6 and 8-7).
    """
    lat, lon = origin
    if y_is_north:
        east, north = x / (EARTH_RADIUS * UTM_SCALE), y / (EARTH_RADIUS * UTM_SCALE) + math.radians(lat)
        latitude = math.degrees(math.asin(math.sin(north) / math.cosh(east)))
        return latitude, lon + math.degrees(math.atan2(math.sinh(east), math.cos(north))), z
    scale = math.cos(math.radians(lat)) * EARTH_RADIUS
    longitude = lon + math.degrees(x / scale)
    mercator = math.log(math.tan(math.radians(90.0 + lat) / 2.0)) - y / scale
    return 2.0 * math.degrees(math.atan(math.exp(mercator))) - 90.0, longitude, z
