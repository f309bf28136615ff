"""nuPlan's logs and maps, read and written without its devkit."""

from drive.datasets.nuplan.source import SOURCE, NuplanSource
from drive.datasets.nuplan.write import Written, write_nuplan

__all__ = ["SOURCE", "NuplanSource", "Written", "write_nuplan"]
