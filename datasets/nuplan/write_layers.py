"""Layers of features, and a GeoPackage of them as GDAL writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drive._imports import import_target
from drive.datasets.nuplan.schema import META_CRS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LAYERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lanes_polygons": (
        "Polygon",
        *(("lane_fid", "lane_group_fid", "lane_index", "left_boundary_fid", "right_boundary_fid"),),
    ),
    "lane_connectors": (
        "LineString",
        *(("exit_lane_fid", "entry_lane_fid", "lane_group_connector_fid", "traffic_light_stop_line_fids"),),
    ),
    "gen_lane_connectors_scaled_width_polygons": (
        "Polygon",
        ("lane_connector_fid", "left_boundary_fid", "right_boundary_fid"),
    ),
    "lane_groups_polygons": ("MultiPolygon", ()),
    "lane_group_connectors": (
        "MultiPolygon",
        ("from_lane_group_fid", "to_lane_group_fid", "intersection_fid"),
    ),
    "baseline_paths": ("LineString", ("lane_fid", "lane_connector_fid")),
    "boundaries": ("LineString", ()),
    "stop_polygons": ("Polygon", ("stop_polygon_type_fid",)),
    "intersections": ("Polygon", ("intersection_type_fid",)),
    "crosswalks": ("Polygon", ()),
    "walkways": ("Polygon", ()),
    "carpark_areas": ("Polygon", ()),
    "road_segments": ("Polygon", ()),
    "generic_drivable_areas": ("Polygon", ()),
    "drive_areas": ("Polygon", ("kind",)),
    "drive_lanes": ("MultiLineString", ()),
}
"""Geometry and whole-number columns of each layer. `drive_areas` and `drive_lanes` (centre, left and right
bound) are ours: areas and lanes that nuPlan has no layer for."""

_SYNC = "OGR_SQLITE_SYNCHRONOUS"


@dataclass
class Layer:
    """Features of one layer: ids, shapes and columns."""

    fids: list[int] = field(default_factory=list)
    shapes: list[Any] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, fid: int, shape: Any, **values: Any) -> None:
        self.fids.append(fid)
        self.shapes.append(shape)
        for name, value in values.items():
            self.columns.setdefault(name, []).append(value)


def write_file(path: Path, layers: dict[str, Layer], epsg: int) -> None:
    """Write the layers and nuPlan's table `meta` into a new file."""
    gdal = import_target("pyogrio", "writing nuPlan's maps")
    before = gdal.get_gdal_config_option(_SYNC)
    # GDAL waits for the disk after each layer, for the sake of a file that is of no use before its last one.
    gdal.set_gdal_config_options({_SYNC: "OFF"})
    try:
        _write_layers(path, layers, epsg)
    finally:
        gdal.set_gdal_config_options({_SYNC: before})


def _write_layers(path: Path, layers: dict[str, Layer], epsg: int) -> None:
    import shapely

    pyogrio = import_target("pyogrio.raw", "writing nuPlan's maps")
    for name, layer in layers.items():
        geometry, integers = LAYERS[name]
        texts = {"traffic_light_stop_line_fids", "drive"}
        columns: dict[str, NDArray[Any]] = {"fid": np.asarray(layer.fids, dtype=np.int64)}
        masks: dict[str, NDArray[np.bool_] | None] = {"fid": None}
        given = {**{k: [] for k in integers}, **layer.columns}
        if name in ("lanes_polygons", "lane_connectors"):
            given.setdefault("speed_limit_mps", [])
        for column, values in given.items():
            empty = np.asarray([v is None or v != v for v in values], dtype=np.bool_)
            masks[column] = empty if empty.any() else None
            if column in texts:
                columns[column] = np.asarray(values, dtype=object)
            elif column == "speed_limit_mps":
                columns[column] = np.asarray(values, dtype=np.float64)
            else:
                columns[column] = np.asarray([0 if v is None else v for v in values], dtype=np.int64)
        wkb = np.asarray(shapely.to_wkb(np.asarray(layer.shapes, dtype=object)), dtype=object)
        pyogrio.write(
            str(path),
            geometry=wkb,
            field_data=list(columns.values()),
            fields=np.asarray(list(columns), dtype=object),
            field_mask=list(masks.values()),
            layer=name,
            driver="GPKG",
            geometry_type=geometry,
            crs=f"EPSG:{epsg}",
            append=False,
            promote_to_multi=False,
        )
    keys = {META_CRS: f"EPSG:{epsg}", "writer": "drive-toolkit"}
    pyogrio.write(
        str(path),
        geometry=None,
        field_data=[np.asarray(list(keys), dtype=object), np.asarray(list(keys.values()), dtype=object)],
        fields=np.asarray(["key", "value"], dtype=object),
        layer="meta",
        driver="GPKG",
        geometry_type=None,
        crs=None,
        append=False,
    )
