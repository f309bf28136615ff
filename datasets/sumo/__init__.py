"""SUMO networks and scenarios: reader, road map, recordings, and the scenario source."""

from drive.datasets.sumo.network import Network, read_network
from drive.datasets.sumo.roadmap import build_roadmap
from drive.datasets.sumo.source import SOURCE, SumoSource

__all__ = ["SOURCE", "Network", "SumoSource", "build_roadmap", "read_network"]
