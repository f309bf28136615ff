"""A world small enough for a test: a road of one curvature, others at constant speed, a teacher of its own.

The teacher judges by discs and by arcs, without any code of the toolkit, so that a scorer that learns it has
learnt from labels alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drive.nn.scene import EGO_COLUMNS, FAR, SceneArrays, SceneSizes, empty_scene, stack_scenes
from drive.nn.vocabulary import Vocabulary

SIZES = SceneSizes(agents=4, lanes=1, edges=1, route=32)
BODY = dict(length=4.6, width=1.9, rear_to_centre=1.4, wheelbase=2.8)
HALF_ROAD = 5.0
_COLUMN = {name: k for k, name in enumerate(EGO_COLUMNS)}


def arcs(speed: Any, acceleration: Any, curvature: Any) -> NDArray[np.float64]:
    """Poses `(..., 40, 3)` at constant acceleration (until standing) and curvature."""
    v, a, c = (np.asarray(x, dtype=np.float64)[..., None] for x in (speed, acceleration, curvature))
    t = 0.1 * np.arange(1, 41)
    until = np.where(a < 0.0, np.minimum(t, v / np.maximum(-a, 1e-9)), t)
    s = v * until + 0.5 * a * until**2
    heading = c * s
    return np.stack(
        (s * np.sinc(heading / np.pi), s * np.sin(heading / 2) * np.sinc(heading / 2 / np.pi), heading), -1
    )


def toy_vocabulary(count: int = 256, seed: int = 0) -> Vocabulary:
    rng = np.random.default_rng(seed)
    speed, acceleration = rng.uniform(0.0, 13.0, count), rng.uniform(-4.0, 2.5, count)
    return Vocabulary(arcs(speed, acceleration, rng.uniform(-0.05, 0.05, count)).astype(np.float32))


@dataclass
class Toy:
    """One scene: the road's curvature, the ego's speed, others by station, offset and speed."""

    curvature: float
    speed: float
    others: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Toy:
        count = rng.integers(0, 4)
        others = np.stack(
            (
                rng.uniform(8.0, 50.0, count),
                rng.choice([-3.2, 0.0, 0.0, 3.2], count),
                rng.uniform(0.0, 7.0, count),
            ),
            -1,
        )
        return cls(float(rng.uniform(-0.03, 0.03)), float(rng.uniform(1.0, 12.0)), others)

    def place(self, station: Any, offset: Any) -> NDArray[np.float64]:
        """Road coordinates as x, y, heading `(..., 3)`."""
        s, d = np.broadcast_arrays(np.asarray(station, float), np.asarray(offset, float))
        h = self.curvature * s
        x = s * np.sinc(h / np.pi) - d * np.sin(h)
        y = s * np.sin(h / 2) * np.sinc(h / 2 / np.pi) + d * np.cos(h)
        return np.stack((x, y, h), -1)

    def on_road(self, poses: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Station and offset of poses."""
        c = self.curvature if abs(self.curvature) > 1e-6 else 1e-6
        x, y = poses[..., 0], poses[..., 1]
        radius = 1.0 / c
        angle = np.arctan2(np.sign(c) * x, np.sign(c) * (radius - y))
        return angle * radius, radius - np.sign(c) * np.hypot(x, radius - y)

    def arrays(self) -> SceneArrays:
        scene = empty_scene(SIZES)
        for name, value in dict(
            speed=self.speed, limit=12.0, stop_distance=FAR, red_distance=FAR, goal_distance=FAR, **BODY
        ).items():
            scene.ego[_COLUMN[name]] = value
        order = np.argsort(self.others[:, 0])
        for row, (s, d, v) in enumerate(self.others[order][: SIZES.agents]):
            past = SIZES.history_dt * np.arange(1 - SIZES.history, 1)
            poses = self.place(s + v * past, d)
            scene.agents[row] = np.column_stack(
                (
                    poses[:, :2],
                    np.cos(poses[:, 2]),
                    np.sin(poses[:, 2]),
                    v * np.cos(poses[:, 2]),
                    v * np.sin(poses[:, 2]),
                )
            )
            scene.agents_valid[row] = True
            scene.bodies[row] = (4.6, 1.9, 1.0, 1.0, 0.0, 0.0, 0.0)
        station = SIZES.route_step * np.arange(SIZES.route) - SIZES.route_behind
        way = self.place(station, 0.0)
        scene.route[:] = np.column_stack(
            (
                way[:, :2], np.cos(way[:, 2]), np.sin(way[:, 2]), np.full(SIZES.route, self.curvature),
                np.full(SIZES.route, 12.0), np.full((SIZES.route, 2), HALF_ROAD), station,
            )
        )  # fmt: skip
        scene.route_valid[:] = True
        return scene

    def teach(self, poses: NDArray[Any]) -> NDArray[np.float64]:
        """Labels `(K, 9)`: nc, dac, ddc, tlc, ep, ttc, lk, hc, score."""
        poses = np.asarray(poses, dtype=np.float64)
        station, offset = self.on_road(poses)
        times = 0.1 * np.arange(1, 41)
        centre = poses[..., :2] + BODY["rear_to_centre"] * np.stack(
            (np.cos(poses[..., 2]), np.sin(poses[..., 2])), -1
        )
        gap = np.full(poses.shape[:2], 99.0)
        for s, d, v in self.others:
            where = self.place(s + v * times, d)[:, :2]
            gap = np.minimum(gap, np.linalg.norm(centre - where, axis=-1))
        nc = gap.min(1) > 3.0
        ttc = gap.min(1) > 5.0
        dac = np.abs(offset).max(1) < HALF_ROAD - 1.0
        lk = np.abs(offset[:, 20:]).min(1) < 0.7
        ep = np.clip(station[:, -1] / 40.0, 0.0, 1.0)
        first = poses[:, 0, 0] / 0.1
        hc = (np.abs(first - self.speed) < 1.0) & (np.abs(poses[:, -1, 0] / 4.0 - self.speed) < 6.0)
        one = np.ones(len(poses))
        score = nc * dac * (5 * ep + 5 * ttc + 2 * lk + 2 * hc) / 14.0
        return np.stack([nc * one, dac * one, one, one, ep, ttc * one, lk * one, hc * one, score], 1)

    def expert(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """The best of many motions that begin as the ego moves, judged with some noise."""
        many = arcs(self.speed, rng.uniform(-4.0, 2.5, 200), self.curvature + rng.uniform(-0.02, 0.02, 200))
        return many[(self.teach(many)[:, -1] + 0.05 * rng.normal(size=200)).argmax()]


@dataclass
class ToySet:
    """Scenes with labels of a vocabulary, as a training set gives them."""

    arrays: dict[str, NDArray[Any]]
    hash: str = "toy"
    header: dict[str, Any] = field(default_factory=lambda: {"licences": ["CC0-1.0"]})

    @classmethod
    def make(cls, count: int, vocabulary: Vocabulary, seed: int, labelled: int = 128) -> ToySet:
        rng = np.random.default_rng(seed)
        toys = [Toy.draw(rng) for _ in range(count)]
        scenes = stack_scenes([toy.arrays() for toy in toys])
        rows = np.stack([vocabulary.near(toy.speed, labelled) for toy in toys])
        labels = np.stack([toy.teach(vocabulary.poses[r]) for toy, r in zip(toys, rows, strict=True)])
        future = np.stack([toy.expert(rng) for toy in toys])
        own = np.array([toy.teach(f[None])[0, -1] for toy, f in zip(toys, future, strict=True)])
        arrays = {f"scene.{name}": values for name, values in zip(SceneArrays._fields, scenes, strict=True)}
        made = cls(
            arrays
            | {
                "future": future.astype(np.float32), "future_valid": np.ones((count, 40), dtype=np.bool_),
                "label_rows": rows, "labels": labels.astype(np.float16),
                "expert_score": own.astype(np.float32),
            }
        )  # fmt: skip
        made.toys = toys
        return made

    def __len__(self) -> int:
        return len(self.arrays["labels"])

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    def take(self, rows: Any, names: Any = None) -> dict[str, NDArray[Any]]:
        return {name: self.arrays[name][rows] for name in names or self.arrays}
