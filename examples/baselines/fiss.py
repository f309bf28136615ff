"""FISS+ of the package fiss-planner (pip install fiss-planner), as a planner of ours.
`drive bench --planner examples/baselines/fiss.py:FISS`"""

from dataclasses import dataclass

import numpy as np

from drive.errors import MissingExtraError
from drive.planner import PlannerSpec, PlanStatus
from drive.planners.road.guide import Guide
from drive.planners.road.plans import braking_plan, plan_on_frame
from drive.sim.kernels.line import LIMIT

DT = 0.1
TIMES = DT * np.arange(61)


@dataclass(frozen=True)
class FISSConfig:
    """`method`: fop, fop_plus, fiss or fiss_plus; lanes are taken to be `lane_width` m wide."""

    method: str = "fiss_plus"
    lane_width: float = 3.5


class FISS:
    config_type = FISSConfig

    def __init__(self, config=None):
        try:
            import fiss_planner
        except ImportError:
            raise MissingExtraError("fiss-planner", "baselines") from None
        self.fiss = fiss_planner
        self.config = config or FISSConfig()
        self.spec = PlannerSpec("fiss", horizon=5.0, dt=DT, needs=("road", "route"))

    def start(self, task):
        return FISSSession(self.fiss, self.config, task, Guide(task, TIMES))


class FISSSession:
    def __init__(self, fiss, config, task, guide):
        self.fiss, self.config, self.task, self.guide = fiss, config, task, guide
        vehicle, own = fiss.VehicleParams(), task.vehicle
        for name in ("length", "width", "wheelbase", "rear_axle_to_center", "max_speed"):
            setattr(vehicle, name, getattr(own, name))
        vehicle.max_accel, vehicle.max_decel = own.max_acceleration, own.max_braking
        vehicle.max_steer, vehicle.max_steer_rate = own.max_steering, own.max_steering_rate
        self.planner = fiss.make_planner(fiss.make_config(config.method), vehicle)
        self.frame = None

    def plan(self, observation):
        scene = self.guide.look(observation)
        if scene is None:
            return braking_plan(observation, self.task.vehicle, "no lane to follow")
        frame, state = scene.frame, scene.state
        if frame is not self.frame:
            self.frame, self.line = frame, self.fiss.ReferenceLine(*frame.rows[:, :2].T.tolist())
            self.planner.reset()
        start = self.fiss.FrenetState(*(float(v) for v in state))
        target = float(frame.at(state[0], LIMIT))
        room = scene.hold.station - state[0]
        if room < 80.0:
            target = min(target, float((4.0 * max(room, 0.0)) ** 0.5))
        found = self.planner.plan(start, self.line, self._lanes(scene), self._others(scene), target)
        if not found.success:
            return braking_plan(observation, self.task.vehicle, "no sample is free", PlanStatus.DEGRADED)
        t = found.trajectory
        motion = np.stack([np.asarray(v) for v in (t.s, t.s_d, t.s_dd, t.d, t.d_d, t.d_dd)], axis=-1)
        return plan_on_frame(frame, motion, DT, observation, self.task.vehicle)

    def _lanes(self, scene):
        """Parallel lanes: so many as have room beside the line here and where the ego will be."""
        width, s = self.config.lane_width, float(scene.state[0])
        ahead = [scene.frame.room(s + x) for x in (0.0, 30.0, 60.0)]
        left, right = (max(int((min(r[side] for r in ahead) + 0.3) / width - 0.5), 0) for side in (0, 1))
        return self.fiss.Corridor.parallel_lanes(0.0, self.line.length, width, left, right)

    def _others(self, scene):
        o, origin = scene.others, scene.frame.origin
        return [
            self.fiss.Obstacle.from_arrays(
                int(o.id[a]), *(float(v) for v in o.size[a]), o.times.tolist(),
                *(o.poses[a] - [*origin, 0.0]).T.tolist(), bool((o.speeds[a] < 0.1).all()),
            )
            for a in range(len(o))
        ]  # fmt: skip
