"""Waymo Open Motion: scenarios in TFRecord files, read without TensorFlow or protobuf."""

from drive.datasets.waymo.records import masked_crc, read_records
from drive.datasets.waymo.scene import read_scene
from drive.datasets.waymo.source import SOURCE, WaymoSource

__all__ = ["SOURCE", "WaymoSource", "masked_crc", "read_records", "read_scene"]
