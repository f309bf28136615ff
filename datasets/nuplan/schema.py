"""What nuPlan's files hold: cities, map layers, tables and categories.

Facts read from the public devkit (github.com/motional/nuplan-devkit, commit e924167, 27 Aug 2025):
`nuplan/database/nuplan_db/nuplan_scenario_queries.py`, `nuplan/common/maps/nuplan_map/`,
`nuplan/database/maps_db/gpkg_mapsdb.py` and `docs/nuplan_schema.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Mapping

MAP_VERSION = "nuplan-maps-v1.0"
ROW_INTERVAL = 0.05
"""Seconds between two rows of a log."""
LIDAR_CHANNEL = "MergedPointCloud"
META_CRS = "projectedCoordSystem"

CITIES: Mapping[str, tuple[str, int, tuple[float, float]]] = {
    "sg-one-north": ("9.17.1964", 32648, (365_000.0, 143_000.0)),
    "us-ma-boston": ("9.12.1817", 32619, (331_000.0, 4_690_000.0)),
    "us-nv-las-vegas-strip": ("9.15.1915", 32611, (664_000.0, 3_998_000.0)),
    "us-pa-pittsburgh-hazelwood": ("9.17.1937", 32617, (587_000.0, 4_475_000.0)),
}
"""Of each city the version of its map, the EPSG code of its UTM zone, and a place inside it in m."""

SCENES_BEFORE = 2
"""The devkit finds scenarios only in scenes that have two scenes before and two after them."""

TABLES: Mapping[str, tuple[str, ...]] = {
    "log": (
        *("token BLOB PRIMARY KEY", "vehicle_name TEXT", "date TEXT", "timestamp INTEGER", "logfile TEXT"),
        *("location TEXT", "map_version TEXT"),
    ),
    "lidar": (
        *("token BLOB PRIMARY KEY", "log_token BLOB", "channel TEXT", "model TEXT"),
        *("translation BLOB", "rotation BLOB"),
    ),
    "camera": (
        *("token BLOB PRIMARY KEY", "log_token BLOB", "channel TEXT", "model TEXT", "translation BLOB"),
        *("rotation BLOB", "intrinsic BLOB", "distortion BLOB", "width INTEGER", "height INTEGER"),
    ),
    "image": (
        *("token BLOB PRIMARY KEY", "next_token BLOB", "prev_token BLOB", "ego_pose_token BLOB"),
        *("camera_token BLOB", "filename_jpg TEXT", "timestamp INTEGER"),
    ),
    "lidar_pc": (
        *("token BLOB PRIMARY KEY", "next_token BLOB", "prev_token BLOB", "ego_pose_token BLOB"),
        *("lidar_token BLOB", "scene_token BLOB", "filename TEXT", "timestamp INTEGER"),
    ),
    "ego_pose": (
        *("token BLOB PRIMARY KEY", "timestamp INTEGER", "x REAL", "y REAL", "z REAL"),
        *("qw REAL", "qx REAL", "qy REAL", "qz REAL", "vx REAL", "vy REAL", "vz REAL"),
        *("acceleration_x REAL", "acceleration_y REAL", "acceleration_z REAL"),
        *("angular_rate_x REAL", "angular_rate_y REAL", "angular_rate_z REAL"),
        *("epsg INTEGER", "log_token BLOB"),
    ),
    "lidar_box": (
        *("token BLOB PRIMARY KEY", "lidar_pc_token BLOB", "track_token BLOB", "next_token BLOB"),
        *("prev_token BLOB", "x REAL", "y REAL", "z REAL", "width REAL", "length REAL", "height REAL"),
        *("vx REAL", "vy REAL", "vz REAL", "yaw REAL", "confidence REAL"),
    ),
    "track": (
        *("token BLOB PRIMARY KEY", "category_token BLOB", "width REAL", "length REAL", "height REAL"),
        "drive TEXT",
    ),
    "category": ("token BLOB PRIMARY KEY", "name TEXT", "description TEXT"),
    "scene": (
        *("token BLOB PRIMARY KEY", "log_token BLOB", "name TEXT", "goal_ego_pose_token BLOB"),
        "roadblock_ids TEXT",
    ),
    "scenario_tag": ("token BLOB PRIMARY KEY", "lidar_pc_token BLOB", "type TEXT", "agent_track_token BLOB"),
    "traffic_light_status": (
        *("token BLOB PRIMARY KEY", "lidar_pc_token BLOB", "lane_connector_id INTEGER", "status TEXT"),
    ),
    "drive_export": ("key TEXT PRIMARY KEY", "value TEXT"),
}
"""Columns of the tables as we write them. Ours alone: the table `drive_export` and the column `drive`, JSON
text for what nuPlan has no place for; the devkit does not look at either."""

INDICES = (
    *(("lidar_pc", "timestamp"), ("lidar_box", "lidar_pc_token"), ("lidar_box", "track_token")),
    *(("scenario_tag", "lidar_pc_token"), ("traffic_light_status", "lidar_pc_token")),
)

CATEGORIES: Mapping[str, AgentKind] = {
    "vehicle": AgentKind.VEHICLE,
    "bicycle": AgentKind.BICYCLE,
    "pedestrian": AgentKind.PEDESTRIAN,
    "traffic_cone": AgentKind.STATIC,
    "barrier": AgentKind.STATIC,
    "czone_sign": AgentKind.STATIC,
    "generic_object": AgentKind.STATIC,
}
CATEGORY_OF: Mapping[AgentKind, str] = {
    AgentKind.VEHICLE: "vehicle",
    AgentKind.TRUCK: "vehicle",
    AgentKind.BUS: "vehicle",
    AgentKind.MOTORCYCLE: "bicycle",
    AgentKind.BICYCLE: "bicycle",
    AgentKind.PEDESTRIAN: "pedestrian",
    AgentKind.STATIC: "generic_object",
    AgentKind.UNKNOWN: "generic_object",
}
SIGNAL_WORDS = ("unknown", "green", "yellow", "red")
"""Status of a traffic light by the value of `SignalState`."""

STOP_SIGN, STOP_LIGHT, STOP_YIELD = 1, 2, 4
"""Types of stop polygons that matter to a planner."""
