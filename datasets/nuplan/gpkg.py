"""Reads vector layers of a GeoPackage, which is an SQLite database with WKB shapes behind a short header.

Format: OGC GeoPackage 1.3, clauses 1.1.1 (file), 1.1.3 (contents), 2.1 (features).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.schema import META_CRS
from drive.datasets.nuplan.sqlite import MAX_ROWS, columns_of, open_database, run
from drive.datasets.nuplan.utm import WGS84, epsg_code, is_utm, to_utm
from drive.errors import MapError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_ENVELOPE = (0, 32, 48, 48, 64)
MAX_COORDINATE = 1e8


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One layer: ids, shapes (shapely, in UTM; None where there is none) and the columns that were asked for.

    A column that the file lacks is not in `columns`.
    """

    fids: NDArray[np.int64]
    shapes: NDArray[np.object_]
    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.fids)

    def whole(self, name: str) -> list[int | None]:
        """A column of ids: whole numbers, whatever type they are stored as; None where there is none."""
        return [_whole(v) for v in self.columns[name]]


def read_layers(
    path: Path,
    wanted: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
    optional: frozenset[str] = frozenset(),
    bare: frozenset[str] = frozenset(),
) -> tuple[dict[str, Features], int]:
    """Layers by name, in UTM, and the EPSG code of their zone.

    `wanted` gives of each layer the columns that must be there and those that may. Layers in `optional` may
    be missing or empty; of those in `bare` the shapes are not read. Raises MapError naming the file and what
    is wrong or missing in it.
    """
    with closing(open_database(path)) as db:
        tables = {
            name
            for (name,) in run(db, path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        }
        lacking = [name for name in ("gpkg_contents", "gpkg_geometry_columns") if name not in tables]
        if lacking:
            raise MapError(f"{path.name}: it is no GeoPackage (it has no table '{lacking[0]}')")
        missing = [name for name in wanted if name not in tables and name not in optional]
        if missing:
            raise MapError(f"{path.name}: it is no nuPlan map: the layer '{missing[0]}' is missing")
        target = _target(db, path, tables)
        found = {name: spec for name, spec in wanted.items() if name in tables}
        layers = {
            name: _layer(db, path, name, (*needed, *extra), needed, target, name in bare)
            for name, (needed, extra) in found.items()
        }
        return layers, target


def _target(db: Any, path: Path, tables: set[str]) -> int:
    if "meta" not in tables:
        raise MapError(f"{path.name}: the table 'meta' with the map's coordinate system is missing")
    rows = run(db, path, "SELECT value FROM meta WHERE key = ?", (META_CRS,))
    code = epsg_code(rows[0][0]) if rows else None
    if code is None or not is_utm(code):
        text = rows[0][0] if rows else "nothing"
        raise MapError(
            f"{path.name}: its table 'meta' gives '{text}' as {META_CRS}, not a UTM zone (EPSG:326..)"
        )
    return code


def _layer(
    db: Any,
    path: Path,
    name: str,
    wanted: tuple[str, ...],
    needed: tuple[str, ...],
    target: int,
    bare: bool,
) -> Features:
    there = columns_of(db, path, name)
    lacking = [column for column in needed if column not in there]
    if lacking:
        raise MapError(f"{path.name}: the layer '{name}' has no column '{lacking[0]}'")
    key = next((column for column, primary in there.items() if primary), None)
    described = run(
        db, path, "SELECT column_name, srs_id FROM gpkg_geometry_columns WHERE table_name = ?", (name,)
    )
    if key is None or not described or described[0][0] not in there:
        raise MapError(f"{path.name}: the layer '{name}' has no feature ids or no geometry")
    shape, srs = described[0]
    code = _system(db, path, name, srs, target)
    columns = [column for column in wanted if column in there]
    quoted = ", ".join([f'"{key}"', "NULL" if bare else f'"{shape}"', *(f'"{c}"' for c in columns)])
    rows = run(db, path, f'SELECT {quoted} FROM "{name}" LIMIT {MAX_ROWS + 1}')
    if len(rows) > MAX_ROWS:
        raise MapError(f"{path.name}: the layer '{name}' has more than {MAX_ROWS} features")
    shapes = np.full(len(rows), None, dtype=object)
    if not bare:
        shapes = _projected(path, name, _shapes(path, name, rows), code, target)
    values = list(zip(*rows, strict=True)) if rows else [()] * (2 + len(columns))
    return Features(
        np.asarray(values[0], dtype=np.int64),
        shapes,
        {column: list(values[2 + k]) for k, column in enumerate(columns)},
    )


def _shapes(path: Path, name: str, rows: list[tuple[Any, ...]]) -> NDArray[np.object_]:
    import shapely

    blobs = np.asarray([_wkb(row[1]) for row in rows], dtype=object)
    try:
        return np.asarray(shapely.from_wkb(blobs, on_invalid="ignore"), dtype=object)
    except Exception as error:  # shapely's own errors for what is no WKB at all
        raise MapError(f"{path.name}: a shape of the layer '{name}' cannot be read ({error})") from None


def _wkb(blob: Any) -> bytes | None:
    """The WKB in a GeoPackage geometry, or None where it is null, empty or no geometry."""
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        return None
    flags = blob[3]
    kind = (flags >> 1) & 7
    if flags & 16 or kind >= len(_ENVELOPE):
        return None
    return blob[8 + _ENVELOPE[kind] :] or None


def _system(db: Any, path: Path, name: str, srs: Any, target: int) -> int:
    """EPSG code of a layer's coordinate system. Raises MapError for one that nuPlan's maps do not use."""
    query = "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    rows = run(db, path, query, (srs,))
    code = epsg_code(rows[0][1]) if rows and str(rows[0][0]).lower() == "epsg" else None
    if code is None or code not in (WGS84, target):
        told = "an unknown system" if code is None else f"EPSG:{code}"
        raise MapError(
            f"{path.name}: the layer '{name}' is in {told}; a nuPlan map is in EPSG:4326 or in the zone that "
            f"its table 'meta' names, EPSG:{target}"
        )
    return code


def _projected(
    path: Path, name: str, shapes: NDArray[np.object_], code: int, target: int
) -> NDArray[np.object_]:
    """Shapes in the target zone, flat. Raises MapError for numbers that cannot be meant."""
    import shapely

    shapes = np.asarray(shapely.force_2d(shapes), dtype=object)
    xy = shapely.get_coordinates(shapes)
    if not np.isfinite(xy).all():
        raise MapError(f"{path.name}: the layer '{name}' holds coordinates that are not finite")
    if code == WGS84 and len(xy):
        if np.abs(xy[:, 0]).max() > 180.0 or np.abs(xy[:, 1]).max() > 90.0:
            raise MapError(
                f"{path.name}: the layer '{name}' is said to be in degrees but holds other numbers"
            )
        zone = 6.0 * (target % 100) - 183.0
        if np.abs(xy[:, 0] - zone).max() > 10.0:
            raise MapError(
                f"{path.name}: the layer '{name}' lies far outside the zone EPSG:{target} of the map"
            )
        shapes = np.asarray(shapely.set_coordinates(shapes, to_utm(xy, target)), dtype=object)
    elif len(xy) and np.abs(xy).max() > MAX_COORDINATE:
        raise MapError(f"{path.name}: the layer '{name}' lies farther out than 1e8 m")
    return shapes


def _whole(value: Any) -> int | None:
    """An id as a whole number; the files hold them as integers, floats and text."""
    if isinstance(value, int):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number == number and abs(number) < 2**53 and number == int(number) else None
