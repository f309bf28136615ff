"""Road maps: flat lane arrays, their builder, grid index, routes and Frenet frames."""

from drive.roadmap.builder import LaneSpec, RoadMapBuilder
from drive.roadmap.crop import crop
from drive.roadmap.drivable import DrivableArea
from drive.roadmap.frenet import FrenetFrame
from drive.roadmap.index import GridIndex
from drive.roadmap.model import DRIVABLE_AREAS, AreaKind, LaneKind, Marking, Polygons, RoadMap, hash_arrays
from drive.roadmap.route import extend_route, find_route, route_groups, route_line, straightest_successor

__all__ = [
    "DRIVABLE_AREAS",
    "AreaKind",
    "DrivableArea",
    "FrenetFrame",
    "GridIndex",
    "LaneKind",
    "LaneSpec",
    "Marking",
    "Polygons",
    "RoadMap",
    "RoadMapBuilder",
    "crop",
    "extend_route",
    "find_route",
    "hash_arrays",
    "route_groups",
    "route_line",
    "straightest_successor",
]
