"""OpenDRIVE road networks: the reader, the road map made of one, and scenarios on it."""

from drive.datasets.opendrive.model import OpenDriveFile
from drive.datasets.opendrive.reader import read_opendrive
from drive.datasets.opendrive.roadmap import BuiltMap, build_roadmap
from drive.datasets.opendrive.source import SOURCE, OpenDriveSource

__all__ = ["SOURCE", "BuiltMap", "OpenDriveFile", "OpenDriveSource", "build_roadmap", "read_opendrive"]
