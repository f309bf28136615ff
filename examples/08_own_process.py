#!/usr/bin/env python3
"""A planner with a Python and packages of its own; it needs NumPy alone, not this toolkit.

drive run gen/cut_in/17 --planner "exec:python examples/08_own_process.py"
drive bench --planner idm --planner "exec:/opt/old-env/bin/python examples/08_own_process.py"
"""

import drive_client  # lies on the path of every program that the toolkit starts
import numpy as np


def keep_lane(observation, task):
    line = task.route.line
    station = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    s, _ = observation.route_progress
    others = observation.agents[observation.agent_valid, :2]
    nearest = np.argmin(np.hypot(*(others[:, None] - line[None]).transpose(2, 0, 1)), axis=1)
    beside = np.hypot(*(others - line[nearest]).T)
    gaps = station[nearest][beside < 2.0] - s
    free = np.min(gaps[gaps > 0.0], initial=80.0) - 10.0
    t = 0.1 * np.arange(1, 41)
    wish = min(10.0, np.sqrt(2.0 * 1.5 * max(free, 0.0)))
    speed = observation.ego[3] + np.clip(wish - observation.ego[3], -2.5 * t, 1.2 * t)
    ahead = s + np.cumsum(speed) * 0.1
    x, y = (np.interp(ahead, station, column) for column in line.T)
    heading = np.interp(ahead, station, np.unwrap(np.arctan2(*np.gradient(line, axis=0).T[::-1])))
    return {"poses": np.stack((x, y, heading), axis=1), "speed": speed, "figures": {"free road": free}}


if __name__ == "__main__":
    drive_client.serve(keep_lane, name="keep_lane", horizon=4.0, needs=["road", "route"])
