"""CARLA's route files (leaderboard, Bench2Drive) on the towns' OpenDRIVE maps, as scenarios."""

from drive.datasets.carla_routes.reader import CarlaRoute, read_routes
from drive.datasets.carla_routes.source import SOURCE, CarlaRoutesSource
from drive.datasets.carla_routes.trace import trace_route

__all__ = ["SOURCE", "CarlaRoute", "CarlaRoutesSource", "read_routes", "trace_route"]
