"""Machine code of the field planner: curves in the frame of the road, the risk field, costs, the swarm."""
