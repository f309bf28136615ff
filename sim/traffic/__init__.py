"""Traffic: who drives the vehicles around the ego."""

from drive.sim.traffic.compile import Cast, cast
from drive.sim.traffic.model import IDM, IDM_COMPAT, LOG, MOBIL, TrafficModel, load_traffic

__all__ = ["IDM", "IDM_COMPAT", "LOG", "MOBIL", "Cast", "TrafficModel", "cast", "load_traffic"]
