"""The rover planner: motion over a height field within limits of power and energy."""
