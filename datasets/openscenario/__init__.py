"""OpenSCENARIO 1.x files as plain data: entities, catalogs, parameters, storyboard."""

from drive.datasets.openscenario.model import ScenarioFile
from drive.datasets.openscenario.reader import read_openscenario

__all__ = ["ScenarioFile", "read_openscenario"]
