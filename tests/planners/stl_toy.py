"""A straight road of three lanes for tests: nothing in it needs a simulator, and all distances are plain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drive.nn._torch import Tensor, torch
from drive.nn.diffusion import DiffusionSettings
from drive.nn.encoders import EncoderSettings
from drive.nn.scene import EGO_COLUMNS, FAR, SceneArrays, SceneSizes, empty_scene, stack_scenes
from drive.nn.tokens import scene_tensors
from drive.planners.stl_diffusion.calibrate import look_times
from drive.planners.stl_diffusion.model import ModelSettings
from drive.planners.stl_diffusion.motion import MotionSettings
from drive.planners.stl_diffusion.scorer import Scorer
from drive.planners.stl_diffusion.signals import make_ground, moved_on
from drive.planners.stl_diffusion.template import MODES, PARAMETERS, Template

SIZES = SceneSizes(agents=4, lanes=21, edges=1, route=48)
LANE, LENGTH, WIDTH, REAR, WHEELBASE = 3.5, 4.6, 1.9, 1.4, 2.8
BODY = dict(length=LENGTH, width=WIDTH, rear_to_centre=REAR, wheelbase=WHEELBASE)
MOTION = MotionSettings()
ENCODER = EncoderSettings(width=16, layers=1, heads=2, ffn=32, sizes=SIZES)
MODEL = ModelSettings(
    ENCODER, hidden=48, layers=2, heads=2, shard=4,
    diffusion=DiffusionSettings(steps=20, prediction="v", zero_terminal_snr=True),
)  # fmt: skip
WIDE = dict(vmin=-0.3, vmax=14.0, dmin=-1.0, dmax=1.0, dsafe=0.3, thmax=0.15)


def road(
    speed: float,
    others: Any = (),
    *,
    offset: float = 0.0,
    sides: tuple[int, ...] = (1, -1),
    red: float = FAR,
) -> SceneArrays:
    """The ego at `speed`, `offset` m left of its lane's centre; `others` are rows of x, y, vx from the ego's
    lane's centre on, `sides` the lanes beside it, `red` m a held line."""
    scene = empty_scene(SIZES)
    about = dict(
        speed=speed, limit=14.0, offset=offset, stop_distance=FAR, red_distance=red, goal_distance=FAR
    )
    for name, value in (about | BODY).items():
        scene.ego[EGO_COLUMNS.index(name)] = value
    for row, (x, y, vx) in enumerate(others):
        past = SIZES.history_dt * np.arange(1 - SIZES.history, 1)
        for k, t in enumerate(past):
            scene.agents[row, k] = (x + vx * t, y - offset, 1.0, 0.0, vx, 0.0)
        scene.agents_valid[row] = True
        scene.bodies[row] = (LENGTH, WIDTH, 1.0, 1.0, 0.0, 0.0, 0.0)
    station = SIZES.route_step * np.arange(SIZES.route) - SIZES.route_behind
    one = np.ones(SIZES.route)
    left, right = (LANE * (1.5 if side in sides else 0.5) for side in (1, -1))
    scene.route[:] = np.column_stack(
        (station, -offset * one, one, 0 * one, 0 * one, 14 * one, left * one, right * one, station)
    )
    scene.route_valid[:] = True
    row = 0
    for lane in (0, *sides):
        for begin in np.arange(-20.0, 120.0, 20.0):
            x = begin + np.linspace(0.0, 20.0, SIZES.lane_points)
            scene.lanes[row] = np.column_stack(
                (x, lane * LANE - offset + 0 * x, 1 + 0 * x, 0 * x, 0.5 * LANE + 0 * x)
            )
            scene.lanes_valid[row] = True
            row += 1
    return scene


def straight(speed: float, acceleration: float = 0.0) -> NDArray[np.float32]:
    """Poses `(40, 3)` straight ahead at constant acceleration, until standing."""
    t = 0.1 * np.arange(1, 41)
    until = np.minimum(t, speed / -acceleration) if acceleration < 0.0 else t
    x = speed * until + 0.5 * acceleration * until**2
    return np.column_stack((x, 0 * x, 0 * x)).astype(np.float32)


@dataclass
class ToySet:
    """Moments as a training set gives them; the expert brakes for whom it would hit."""

    arrays: dict[str, NDArray[Any]]
    hash: str = "toy"
    header: dict[str, Any] = field(default_factory=lambda: {"licences": ["CC0-1.0"]})

    @classmethod
    def make(cls, count: int, seed: int) -> ToySet:
        rng = np.random.default_rng(seed)
        scenes, futures = [], []
        for _ in range(count):
            speed, gap = rng.uniform(3.0, 12.0), rng.uniform(15.0, 60.0)
            sides = ((1, -1), (1,), (-1,))[rng.integers(3)]
            slow = rng.uniform(0.5, 1.0) * speed
            beside = (rng.uniform(-10.0, 20.0), sides[0] * LANE, speed)
            scenes.append(road(speed, ((gap, 0.0, slow), beside), sides=sides))
            room = gap - LENGTH - 3.0
            brake = -((speed - slow) ** 2) / (2.0 * room) - 0.1
            futures.append(straight(speed, max(brake, -5.0)))
        stacked = stack_scenes(scenes)
        arrays = {f"scene.{name}": values for name, values in zip(SceneArrays._fields, stacked, strict=True)}
        future = np.stack(futures)
        known = np.ones((count, 40), dtype=np.bool_)
        return cls(arrays | {"future": future, "future_valid": known, "time": np.zeros(count, np.float32)})

    def __len__(self) -> int:
        return len(self.arrays["future"])

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    def take(self, rows: Any, names: Any = None) -> dict[str, NDArray[Any]]:
        return {name: self.arrays[name][rows] for name in names or self.arrays}


def scene_of(*scenes: SceneArrays) -> SceneArrays:
    """Roads as a batch of moments."""
    return scene_tensors(stack_scenes(list(scenes)))


def scorer_of(
    scene: SceneArrays, modes: tuple[str, ...] = MODES, temperature: float = 20.0, **changed: float
) -> Scorer:
    """The formula of moments in `modes`, its parameters WIDE but for what is changed."""
    ground = make_ground(scene, modes, moved_on(scene, look_times(MOTION, scene.ego)))
    row = torch.tensor([(WIDE | changed)[name] for name in PARAMETERS])
    parameters = row.expand(len(scene.ego), len(modes), -1)
    return Scorer.of(Template(MOTION.look_dt, temperature), MOTION, ground, modes, parameters)


def steady(acceleration: float = 0.0, yaw_rate: float = 0.0) -> Tensor:
    """Constant controls `(knots, 2)`."""
    row = torch.tensor([(acceleration - MOTION.centre) / MOTION.half, yaw_rate / MOTION.yaw_rate])
    return row.expand(MOTION.knots, 2)


def no_round(planner: Any, number: int, scenes: int | None) -> Any:
    """A training that asks for a round of closed loop fails."""
    raise AssertionError("no round was asked for")
