"""A planner in the frame of the road: a dynamic risk field, an improved swarm, a lane-change intention."""
