"""Sensors: what a learned planner is shown of the simulator's truth, as arrays or pictures."""
