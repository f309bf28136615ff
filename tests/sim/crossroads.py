"""Scenes that the tests of candidates share: a junction, drives, tracks, and a random crowd."""

from __future__ import annotations

import numpy as np

from drive.roadmap import LaneKind, LaneSpec, RoadMapBuilder
from drive.sim.candidates import PDM_RULES, ScoreScene, rollout, score
from drive.sim.kernels.score_comfort import PDM_WINDOWS
from drive.sim.kernels.score_contacts import FORECAST_EXTRA
from drive.vehicle import VehicleParams

VEHICLE = VehicleParams()
STEPS = 41
CAR = (4.5, 1.9, 1.6)


def crossroads(turn=lambda points: points, mirrored=False):
    """Three lanes eastward, the middle part of them a junction, and one lane that crosses there.

    `turn` moves every point; a mirror swaps left and right.
    """

    def lane(name, left, right, **more):
        left, right = turn(left), turn(right)
        if mirrored:
            left, right = right, left
            more["left_lane"], more["right_lane"] = more.get("right_lane"), more.get("left_lane")
        builder.add(LaneSpec(name, left, right, **more))

    builder = RoadMapBuilder()
    for part, (x0, x1) in enumerate(((-60.0, 40.0), (40.0, 70.0), (70.0, 200.0))):
        x = np.arange(x0, x1 + 0.1, 5.0)
        for i in range(3):
            lane(
                f"{part}{i}",
                np.stack((x, np.full_like(x, 3.5 * i + 1.75)), -1),
                np.stack((x, np.full_like(x, 3.5 * i - 1.75)), -1),
                kind=LaneKind.CONNECTOR if part == 1 else LaneKind.LANE,
                intersection=part == 1,
                successors=(f"{part + 1}{i}",),
                left_lane=f"{part}{i + 1}",
                right_lane=f"{part}{i - 1}",
                speed_limit=13.9,
            )
    y = np.arange(-40.0, 40.1, 5.0)
    lane(
        "cross",
        np.stack((np.full_like(y, 53.0), y), -1),
        np.stack((np.full_like(y, 57.0), y), -1),
        kind=LaneKind.CONNECTOR,
        intersection=True,
    )
    return builder.build()


MAP = crossroads()
ROUTE = tuple(MAP.lane_index(i) for i in ("00", "01", "10", "11", "20", "21"))
LINE = np.stack((np.arange(-60.0, 200.1, 1.0), np.full(261, 3.5)), -1)


def scene_of(
    tracks=(), valid=None, size=(), kind=(), *, origin=(0.0, 0.0), roadmap=MAP, line=LINE, samples=STEPS
):
    """The scene of agents `tracks (A, K, 5)` in map coordinates."""
    tracks = np.asarray(tracks, dtype=np.float64).reshape(-1, samples + FORECAST_EXTRA, 5)
    valid = np.ones(tracks.shape[:2], dtype=bool) if valid is None else valid
    agents = (tracks, valid, np.reshape(np.asarray(size, dtype=float), (-1, 3)), kind)
    return ScoreScene.of(roadmap, ROUTE, line, VEHICLE, agents, origin)


def local(states, origin=(0.0, 0.0)):
    """States as the primitives take them, relative to `origin`."""
    return np.concatenate((states[..., :2] - origin, states[..., 2:]), -1).astype(np.float32)


def run(states, *agents, rules=PDM_RULES, windows=PDM_WINDOWS, origin=(0.0, 0.0), **scene):
    """Score `states (B, T, 7)` in map coordinates: columns and comfort flags."""
    scores = score(
        local(states, origin),
        scene_of(*agents, origin=origin, samples=states.shape[1], **scene),
        rules=rules,
        windows=windows,
    )
    return scores.values, scores.comfort


def drive(x, y, speed, heading=0.0, yaw_rate=0.0):
    """A vehicle at constant speed and yaw rate, its rear axle at (x, y): `(1, T, 7)`."""
    t = 0.1 * np.arange(STEPS)
    h = heading + yaw_rate * t
    states = np.zeros((1, STEPS, 7))
    states[0, :, 0] = x + np.concatenate(([0.0], np.cumsum(speed * np.cos(h[:-1]) * 0.1)))
    states[0, :, 1] = y + np.concatenate(([0.0], np.cumsum(speed * np.sin(h[:-1]) * 0.1)))
    states[0, :, 2], states[0, :, 3], states[0, :, 6] = h, speed, yaw_rate
    return states


def track(x, y, heading=0.0, speed=0.0):
    """A box centre at constant velocity: `(1, K, 5)`."""
    t = 0.1 * np.arange(STEPS + FORECAST_EXTRA)
    row = np.empty((1, len(t), 5))
    row[0, :, 0], row[0, :, 1] = x + speed * np.cos(heading) * t, y + speed * np.sin(heading) * t
    row[0, :, 2:] = heading, speed * np.cos(heading), speed * np.sin(heading)
    return row


def random_scene(seed, candidates=12, agents=34):
    rng = np.random.default_rng(seed)
    t = 0.1 * np.arange(STEPS)
    v = np.clip(
        rng.uniform(0.0, 15.0, (candidates, 1)) + rng.uniform(-4.0, 2.0, (candidates, 1)) * t, 0.0, None
    )
    k = rng.uniform(-0.03, 0.03, (candidates, 1)) * np.sin(t * rng.uniform(0.5, 2.0, (candidates, 1)))
    h = np.cumsum(v * k, 1) * 0.1
    poses = np.stack(
        (10.0 + np.cumsum(v * np.cos(h), 1) * 0.1, 3.2 + np.cumsum(v * np.sin(h), 1) * 0.1, h), -1
    )
    states = rollout(VEHICLE, np.array([10.0, 3.3, 0.03, 7.0, 0.0, 0.0, 0.0]), poses)
    lane, speed = rng.integers(0, 3, agents), rng.uniform(0.0, 14.0, agents) * (rng.random(agents) > 0.25)
    rows = [track(rng.uniform(-30.0, 110.0), 3.5 * lane[a] + rng.normal(0, 0.4), rng.normal(0, 0.1), speed[a])
            for a in range(agents - 5)]  # fmt: skip
    rows += [
        track(55.0, rng.uniform(-30, 30), rng.choice([-1, 1]) * np.pi / 2, rng.uniform(2, 12))
        for _ in range(5)
    ]
    tracks = np.concatenate(rows)
    size = np.stack((rng.uniform(1, 9, agents), rng.uniform(0.6, 2.4, agents), np.full(agents, 1.5)), -1)
    kind = rng.choice([0, 1, 2, 3], agents).astype(np.uint8)
    valid = rng.random((agents, tracks.shape[1])) > 0.02
    valid[: agents // 2] = rng.random((agents // 2, 1)) > 0.7
    return states, tracks, valid, size, kind
