"""OpenSCENARIO 1.x: storyboards on OpenDRIVE roads, played live around the ego."""

from drive.datasets.openscenario.reader import OpenScenario, read_openscenario
from drive.datasets.openscenario.scenario import make_scenario
from drive.datasets.openscenario.source import SOURCE, OpenScenarioSource

__all__ = ["SOURCE", "OpenScenario", "OpenScenarioSource", "make_scenario", "read_openscenario"]
