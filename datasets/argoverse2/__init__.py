"""Argoverse 2: motion forecasting (Parquet) and sensor logs (Feather) with their vector maps."""

from drive.datasets.argoverse2.motion import read_motion
from drive.datasets.argoverse2.roadmap import read_map
from drive.datasets.argoverse2.sensor import read_log
from drive.datasets.argoverse2.source import SOURCE, ArgoverseSource

__all__ = ["SOURCE", "ArgoverseSource", "read_log", "read_map", "read_motion"]
