"""Keeps the lane at the speed limit and brakes for whatever stands ahead."""

import numpy as np

from drive.planner import Plan, planner
from drive.roadmap import FrenetFrame


@planner(horizon=4.0, needs=("road", "route"))
def careful(observation, task):
    road = FrenetFrame.from_line(task.route.line)
    s, d = road.to_frenet(observation.ego[:2])
    ahead = road.to_frenet(observation.agents[observation.agent_valid, :2])
    gaps = [gap for gap, side in ahead - (s, 0.0) if 0.0 < gap < 80.0 and abs(side) < 2.0]
    limit = task.roadmap.limit(task.route.lanes[0], default=10.0)
    allowed = np.sqrt(2.0 * 1.5 * max(min(gaps, default=80.0) - 10.0, 0.0))
    t = 0.1 * np.arange(1, 41)
    change = np.clip(min(limit, allowed) - observation.ego[3], -2.5 * t, 1.2 * t)
    speed = observation.ego[3] + change
    station = s + np.cumsum(speed) * 0.1
    return Plan.from_poses(observation, road.pose_at(station, d * np.exp(-t)), speed=speed)
