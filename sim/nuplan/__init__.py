"""The bridge to the nuPlan devkit, both ways; its modules import `nuplan` and are imported only on use.

`planner` makes any of our planners a planner of the devkit, `hosted` a planner of the devkit one of ours,
`run` drives the devkit's own closed loop, `record` turns what it did into a run log.
"""
