"""Waymo Open Motion records for the tests, encoded by Google's protobuf from the public field numbers.

The road runs east: lane 1 and lane 2 south of it side by side from x = 0 to 100, lane 3 on from lane 1 to
150, lane 4 crossing lane 3 northward, a bike lane 5. Coordinates lie around (8000, -3000).
"""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

X0, Y0 = 8000.0, -3000.0
STEPS = 91
SCHEMA: dict[str, list[tuple[str, int, str]]] = {
    "MapPoint": [("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double")],
    "BoundarySegment": [
        ("lane_start_index", 1, "int32"), ("lane_end_index", 2, "int32"),
        ("boundary_feature_id", 3, "int64"), ("boundary_type", 4, "int32"),
    ],
    "LaneNeighbor": [
        ("feature_id", 1, "int64"), ("self_start_index", 2, "int32"), ("self_end_index", 3, "int32"),
        ("neighbor_start_index", 4, "int32"), ("neighbor_end_index", 5, "int32"),
        ("boundaries", 6, "*BoundarySegment"),
    ],
    "LaneCenter": [
        ("speed_limit_mph", 1, "double"), ("type", 2, "int32"), ("interpolating", 3, "bool"),
        ("polyline", 8, "*MapPoint"), ("entry_lanes", 9, "+int64"), ("exit_lanes", 10, "+int64"),
        ("left_neighbors", 11, "*LaneNeighbor"), ("right_neighbors", 12, "*LaneNeighbor"),
        ("left_boundaries", 13, "*BoundarySegment"), ("right_boundaries", 14, "*BoundarySegment"),
    ],
    "RoadLine": [("type", 1, "int32"), ("polyline", 2, "*MapPoint")],
    "RoadEdge": [("type", 1, "int32"), ("polyline", 2, "*MapPoint")],
    "StopSign": [("lane", 1, "*int64"), ("position", 2, "MapPoint")],
    "Crosswalk": [("polygon", 1, "*MapPoint")],
    "SpeedBump": [("polygon", 1, "*MapPoint")],
    "Driveway": [("polygon", 1, "*MapPoint")],
    "MapFeature": [
        ("id", 1, "int64"), ("lane", 3, "LaneCenter"), ("road_line", 4, "RoadLine"),
        ("road_edge", 5, "RoadEdge"), ("stop_sign", 7, "StopSign"), ("crosswalk", 8, "Crosswalk"),
        ("speed_bump", 9, "SpeedBump"), ("driveway", 10, "Driveway"),
    ],
    "TrafficSignalLaneState": [("lane", 1, "int64"), ("state", 2, "int32"), ("stop_point", 3, "MapPoint")],
    "DynamicMapState": [("lane_states", 1, "*TrafficSignalLaneState")],
    "ObjectState": [
        ("center_x", 2, "double"), ("center_y", 3, "double"), ("center_z", 4, "double"),
        ("length", 5, "float"), ("width", 6, "float"), ("height", 7, "float"), ("heading", 8, "float"),
        ("velocity_x", 9, "float"), ("velocity_y", 10, "float"), ("valid", 11, "bool"),
    ],
    "Track": [("id", 1, "int32"), ("object_type", 2, "int32"), ("states", 3, "*ObjectState")],
    "RequiredPrediction": [("track_index", 1, "int32"), ("difficulty", 2, "int32")],
    "Scenario": [
        ("timestamps_seconds", 1, "*double"), ("tracks", 2, "*Track"), ("objects_of_interest", 4, "*int32"),
        ("scenario_id", 5, "string"), ("sdc_track_index", 6, "int32"),
        ("dynamic_map_states", 7, "*DynamicMapState"), ("map_features", 8, "*MapFeature"),
        ("current_time_index", 10, "int32"), ("tracks_to_predict", 11, "*RequiredPrediction"),
        ("compressed_frame_laser_data", 12, "*bytes"),
    ],
}  # fmt: skip
"""Name, number and type of each field; * repeated, + repeated and packed."""


def message_class(name: str) -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto2")
    for owner, members in SCHEMA.items():
        message = file.message_type.add(name=owner)
        for field, number, kind in members:
            plain = kind.lstrip("*+")
            entry = message.field.add(name=field, number=number)
            entry.label = kinds.LABEL_REPEATED if plain != kind else kinds.LABEL_OPTIONAL
            if plain in SCHEMA:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".t.{plain}"
            else:
                entry.type = getattr(kinds, f"TYPE_{plain.upper()}")
            entry.options.packed = kind.startswith("+")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName(f"t.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(found)
    return message_factory.MessageFactory(pool).GetPrototype(found)


def encode(values: dict[str, Any], name: str = "Scenario") -> bytes:
    from google.protobuf import json_format

    return bytes(json_format.ParseDict(values, message_class(name)()).SerializeToString())


def crc32c_bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c_bit_by_bit(data)
    return struct.pack("<I", ((crc >> 15) + (crc << 17) + 0xA282EAD8) % 2**32)


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + masked(head) + data + masked(data)


def write(path: Path, *scenarios: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(framed(encode(scenario)) for scenario in scenarios))
    return path


def line(*places: tuple[float, float], step: float = 0.5, z: float = 20.0) -> list[dict[str, float]]:
    """Points every half metre, as in the data set."""
    out = []
    for (ax, ay), (bx, by) in pairwise(places):
        n = round(np.hypot(bx - ax, by - ay) / step)
        out += [(ax + (bx - ax) * k / n, ay + (by - ay) * k / n) for k in range(n)]
    return [{"x": X0 + x, "y": Y0 + y, "z": z} for x, y in [*out, places[-1]]]


def features() -> list[dict[str, Any]]:
    def beside(of: int, rows: tuple[int, int], kind: int = 1) -> dict[str, Any]:
        bounds = [
            {
                "lane_start_index": rows[0],
                "lane_end_index": rows[1],
                "boundary_feature_id": 20,
                "boundary_type": kind,
            }
        ]
        return {
            "feature_id": of,
            "self_start_index": rows[0],
            "self_end_index": rows[1],
            "neighbor_start_index": rows[0],
            "neighbor_end_index": rows[1],
            "boundaries": bounds,
        }

    def bound(of: int, rows: tuple[int, int], kind: int) -> dict[str, int]:
        return {
            "lane_start_index": rows[0],
            "lane_end_index": rows[1],
            "boundary_feature_id": of,
            "boundary_type": kind,
        }

    return [
        {"id": 1, "lane": {
            "speed_limit_mph": 25.0, "type": 2, "polyline": line((0, 0), (100, 0)), "exit_lanes": [3],
            "right_neighbors": [beside(2, (0, 200))],
            "left_boundaries": [bound(21, (0, 200), 7)], "right_boundaries": [bound(20, (0, 200), 1)],
        }},
        {"id": 2, "lane": {
            "speed_limit_mph": 25.0, "type": 2, "polyline": line((0, -3.5), (100, -3.5)),
            "left_neighbors": [beside(1, (0, 200))],
        }},
        {"id": 3, "lane": {"type": 2, "polyline": line((100, 0), (150, 0)), "entry_lanes": [1]}},
        {"id": 4, "lane": {"type": 2, "polyline": line((125, -30), (125, 30))}},
        {"id": 5, "lane": {"type": 3, "polyline": line((0, -6.5), (100, -6.5))}},
        {"id": 6, "lane": {"type": 2, "polyline": line((0, 60), (0.5, 60))[:1]}},
        {"id": 7, "lane": {"type": 2, "polyline": line((110, -30), (110, 30), z=30.0)}},
        {"id": 20, "road_line": {"type": 1, "polyline": line((0, -1.75), (100, -1.75))}},
        {"id": 21, "road_line": {"type": 7, "polyline": line((0, 1.5), (100, 1.5))}},
        {"id": 22, "road_edge": {"type": 1, "polyline": line((0, -5.0), (100, -5.0))}},
        {"id": 23, "road_edge": {"type": 2, "polyline": line((0, 3.0), (150, 3.0))}},
        {"id": 30, "stop_sign": {"lane": [4], "position": line((128, -10), (128, -9.5))[0]}},
        {"id": 31, "crosswalk": {"polygon": line((95, -5), (95, 3), (98, 3), (98, -5), step=8)}},
        {"id": 32, "driveway": {"polygon": line((20, -9), (20, -5), (25, -5), (25, -9), step=4)}},
        {"id": 33, "speed_bump": {"polygon": line((50, -5), (50, 3), (51, 3), step=8)}},
    ]  # fmt: skip


def track(
    ident: int, kind: int, x: float, y: float, v: float, steps: range = range(STEPS), heading: float = 0.0
) -> dict[str, Any]:
    states = []
    for k in range(STEPS):
        if k not in steps:
            states.append({"valid": False})
            continue
        at = x + 0.1 * v * k
        states.append({
            "center_x": X0 + at, "center_y": Y0 + y, "center_z": 21.0, "length": 4.5, "width": 2.0,
            "height": 1.5, "heading": heading, "velocity_x": v, "velocity_y": 0.0, "valid": True,
        })  # fmt: skip
    return {"id": ident, "object_type": kind, "states": states}


def scenario(**more: Any) -> dict[str, Any]:
    red_until = 30
    signals = []
    for k in range(STEPS):
        states = [{"lane": 3, "state": 4 if k < red_until else 6, "stop_point": line((96, 0), (97, 0))[0]}]
        signals.append({"lane_states": states if k != 50 else []})
    return {
        "scenario_id": "abc123",
        "timestamps_seconds": [0.1 * k + 0.0002 * (k % 2) for k in range(STEPS)],
        "current_time_index": 10,
        "tracks": [
            track(900, 1, 20.0, 0.0, 8.0),
            track(901, 2, 96.0, -6.0, 0.0, range(5, 60)),
            track(902, 3, 10.0, -6.5, 4.0),
            track(903, 1, 0.0, -3.5, 9.5, range(10, 91)),
            track(904, 4, 60.0, 8.0, 0.0),
            track(905, 1, 60.0, 80.0, 0.0, range(0)),
        ],
        "sdc_track_index": 0,
        "objects_of_interest": [901],
        "tracks_to_predict": [{"track_index": 3, "difficulty": 1}],
        "dynamic_map_states": signals,
        "map_features": features(),
        "compressed_frame_laser_data": ["AAAA"],
        **more,
    }
