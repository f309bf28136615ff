"""Planners in a process of their own, with another interpreter, other packages or another language."""

from drive.planners.process.host import ProcessPlanner

__all__ = ["ProcessPlanner"]
