"""Compiled loops of the rover planner."""
