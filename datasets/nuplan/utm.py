"""Longitude and latitude to UTM, the two systems that nuPlan's maps are stored in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WGS84 = 4326

# The WGS 84 ellipsoid, UTM's scale on the central meridian, and the origin's false easting and northing.
_A, _F, _K0 = 6_378_137.0, 1.0 / 298.257223563, 0.9996
_EAST, _NORTH = 500_000.0, 10_000_000.0
_N = _F / (2.0 - _F)
_E = np.sqrt(_F * (2.0 - _F))
_RADIUS = _A / (1.0 + _N) * (1.0 + _N**2 / 4.0 + _N**4 / 64.0 + _N**6 / 256.0)
# C. F. F. Karney, "Transverse Mercator with an accuracy of a few nanometers", J. Geodesy 85, 2011, eq. (35).
_ALPHA = (
    _N / 2 - 2 * _N**2 / 3 + 5 * _N**3 / 16 + 41 * _N**4 / 180 - 127 * _N**5 / 288 + 7891 * _N**6 / 37800,
    13 * _N**2 / 48 - 3 * _N**3 / 5 + 557 * _N**4 / 1440 + 281 * _N**5 / 630 - 1983433 * _N**6 / 1935360,
    61 * _N**3 / 240 - 103 * _N**4 / 140 + 15061 * _N**5 / 26880 + 167603 * _N**6 / 181440,
    49561 * _N**4 / 161280 - 179 * _N**5 / 168 + 6601661 * _N**6 / 7257600,
    34729 * _N**5 / 80640 - 3418889 * _N**6 / 1995840,
    212378941 * _N**6 / 319334400,
)


def epsg_code(text: object) -> int | None:
    """The number in "EPSG:32611" or "32611"; None for anything else."""
    match = re.fullmatch(r"\s*(?:epsg:)?\s*(\d{4,5})\s*", str(text), re.IGNORECASE)
    return int(match.group(1)) if match else None


def is_utm(epsg: int) -> bool:
    return 32601 <= epsg <= 32660 or 32701 <= epsg <= 32760


def to_utm(lon_lat: Floats, epsg: int) -> Floats:
    """UTM coordinates `(N, 2)` in m of longitudes and latitudes `(N, 2)` in degrees (WGS 84).

    Krüger's series to the sixth order (Karney 2011, eqs. 7 to 13): errors of a few nanometres in the zone.
    """
    zone = epsg % 100
    lam = np.radians(lon_lat[:, 0] - (6.0 * zone - 183.0))
    tau = np.tan(np.radians(lon_lat[:, 1]))
    root = np.sqrt(1.0 + tau**2)
    sigma = np.sinh(_E * np.arctanh(_E * tau / root))
    conformal = tau * np.sqrt(1.0 + sigma**2) - sigma * root
    xi = np.arctan2(conformal, np.cos(lam))
    eta = np.arcsinh(np.sin(lam) / np.hypot(conformal, np.cos(lam)))
    north, east = xi.copy(), eta.copy()
    for j, alpha in enumerate(_ALPHA, start=1):
        north += alpha * np.sin(2 * j * xi) * np.cosh(2 * j * eta)
        east += alpha * np.cos(2 * j * xi) * np.sinh(2 * j * eta)
    out = np.stack((_EAST + _K0 * _RADIUS * east, _K0 * _RADIUS * north), axis=-1)
    if epsg > 32700:
        out[:, 1] += _NORTH
    return out
