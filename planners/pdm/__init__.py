"""PDM-Closed: fifteen IDM proposals, simulated, scored, the best one driven."""

from drive.planners.pdm.config import PDMConfig
from drive.planners.pdm.planner import PDM

__all__ = ["PDM", "PDMConfig"]
