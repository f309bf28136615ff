"""Small Argoverse 2 files for the tests, written with pyarrow and json from values set by hand.

The road runs east along y = 0 (lane 1, then 2) with a second lane north of it (11) and an oncoming one
beyond (21), in city coordinates around (4000, 1000). Lane 2 lies in an intersection.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

LOG = "00000000-test"
X0, Y0 = 4000.0, 1000.0


def points(*rows: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": X0 + x, "y": Y0 + y, "z": 10.0} for x, y in rows]


def segment(ident: int, x: tuple[float, float], y: tuple[float, float], **more: object) -> dict[str, object]:
    """A straight lane from x[0] to x[1] between y[0] on its right and y[1] on its left."""
    return {
        "id": ident,
        "is_intersection": False,
        "lane_type": "VEHICLE",
        "left_lane_boundary": points((x[0], y[1]), (x[1], y[1])),
        "right_lane_boundary": points((x[0], y[0]), (0.5 * (x[0] + x[1]), y[0]), (x[1], y[0])),
        "left_lane_mark_type": "NONE",
        "right_lane_mark_type": "NONE",
        "left_neighbor_id": None,
        "right_neighbor_id": None,
        "successors": [],
        "predecessors": [],
        **more,
    }


def vector_map() -> dict[str, object]:
    lanes = [
        segment(1, (-50, 50), (-2, 2), left_neighbor_id=11, left_lane_mark_type="DASHED_WHITE",
                right_lane_mark_type="SOLID_WHITE", successors=[2, 999]),
        segment(2, (50, 250), (-2, 2), is_intersection=True, predecessors=[1]),
        segment(11, (-50, 50), (2, 6), right_neighbor_id=1, left_neighbor_id=21,
                left_lane_mark_type="DOUBLE_SOLID_YELLOW", right_lane_mark_type="SOLID_DASH_WHITE"),
        segment(21, (50, -50), (10, 6), left_neighbor_id=11),
        segment(31, (-50, 50), (-4, -2), lane_type="BIKE"),
    ]  # fmt: skip
    return {
        "lane_segments": {str(lane["id"]): lane for lane in lanes},
        "drivable_areas": {
            "7": {"id": 7, "area_boundary": points((-50, -5), (250, -5), (250, 11), (-50, 11))}
        },
        "pedestrian_crossings": {
            "8": {"id": 8, "edge1": points((40, -5), (40, 11)), "edge2": points((44, -5), (44, 11))},
            "9": {"id": 9, "edge1": points((60, -5), (60, 11)), "edge2": points((64, 11), (64, -5))},
        },
    }


def write_map(folder: Path, data: object = None, name: str = LOG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"log_map_archive_{name}.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data or vector_map()))
    return path


def rows(track: str, kind: str, steps: range, x: float, y: float, v: float) -> list[dict[str, object]]:
    """A road user that drives east at v from (x, y), where it is at step 0."""
    return [
        {
            "observed": k < 50, "track_id": track, "object_type": kind, "object_category": 2, "timestep": k,
            "position_x": X0 + x + 0.1 * v * k, "position_y": Y0 + y, "heading": 0.0,
            "velocity_x": v, "velocity_y": 0.0,
        }
        for k in steps
    ]  # fmt: skip


def motion_table() -> list[dict[str, object]]:
    table = rows("AV", "vehicle", range(110), -40.0, 0.0, 8.0)
    table += rows("501", "vehicle", range(110), -10.0, 0.0, 10.0)
    table += rows("502", "bus", range(20, 60), 0.0, 4.0, 5.0) + rows(
        "502", "bus", range(70, 75), 0.0, 4.0, 5.0
    )
    table += rows("503", "pedestrian", range(110), 42.0, 8.0, 0.0)
    table += rows("504", "vehicle", range(110), 0.0, 80.0, 10.0)
    about = {"scenario_id": LOG, "num_timestamps": 110, "focal_track_id": "501", "city": "nowhere"}
    return [{**row, **about} for row in table]


def write_motion(folder: Path, table: list[dict[str, object]] | None = None, with_map: bool = True) -> Path:
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scenario_{LOG}.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table or motion_table()), path)
    if with_map:
        write_map(folder)
    return path


def sensor_tables(steps: int = 31, turn: float = 0.0) -> tuple[dict[str, list], dict[str, list]]:
    """Boxes and poses of a car that drives east at 10 m/s, turned left by `turn` rad a second.

    One parked car stands at (60, 3) of the map, one vehicle drives 20 m ahead as fast as the car does.
    """
    start = 315_970_000_000_000_000
    pose: dict[str, list] = {k: [] for k in ("timestamp_ns", "qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")}
    names = ("timestamp_ns", "track_uuid", "category", "length_m", "width_m", "height_m")
    box: dict[str, list] = {k: [] for k in (*names, "qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")}

    def car(t: float) -> tuple[float, float, float]:
        return -30.0 + 10.0 * t, 0.0, turn * t

    for k in range(-2, 20 * steps):
        x, y, h = car(0.005 * k)
        values = (start + 5_000_000 * k, np.cos(h / 2), 0.0, 0.0, np.sin(h / 2), X0 + x, Y0 + y, 10.0)
        for name, value in zip(pose, values, strict=True):
            pose[name].append(value)
    for k in range(steps):
        x, y, h = car(0.1 * k)
        c, s = np.cos(h), np.sin(h)
        ahead = 20.0
        for track, category, size, place, heading in (
            ("parked", "REGULAR_VEHICLE", (4.0, 2.0, 1.5), (60.0 - x, 3.0 - y), 0.0),
            ("lead", "BUS", (12.0, 3.0, 3.2), (ahead, 0.0), 0.0),
            ("odd", "HOVERCRAFT", (2.0, 2.0, 1.0), (5.0, -20.0), 0.0),
        ):
            local = (c * place[0] + s * place[1], -s * place[0] + c * place[1])
            q = (np.cos((heading - h) / 2), 0.0, 0.0, np.sin((heading - h) / 2))
            row = (start + 100_000_000 * k, track, category, *size, *q, *local, 0.5)
            for name, value in zip(box, row, strict=True):
                box[name].append(value)
    return box, pose


def write_log(folder: Path, box: dict[str, list], pose: dict[str, list]) -> Path:
    import pyarrow
    import pyarrow.feather

    log = folder / LOG
    write_map(log / "map")
    pyarrow.feather.write_feather(pyarrow.table(box), log / "annotations.feather")
    pyarrow.feather.write_feather(pyarrow.table(pose), log / "city_SE3_egovehicle.feather")
    return log
