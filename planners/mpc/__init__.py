"""A linear time-varying model predictive planner on the route: a quadratic programme at every call."""

from drive.planners.mpc.planner import MPC, MPCConfig

__all__ = ["MPC", "MPCConfig"]
