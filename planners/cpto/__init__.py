"""CPTO: several hypotheses about the others, one first second that suits them all."""

from drive.planners.cpto.config import CPTOConfig
from drive.planners.cpto.planner import CPTO

__all__ = ["CPTO", "CPTOConfig"]
