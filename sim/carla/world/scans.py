"""Lidar, semantic lidar, radar, obstacle finder and labelled pictures: rays at boxes and the ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.sim.carla.frames import matrix
from drive.sim.carla.kernels.layout import BOX_X, COLLIDES, GROUND, HALF_X, HALF_Z, ID, VX, VZ, YAW
from drive.sim.carla.kernels.rays import NOTHING, ON_GROUND, cast_rays
from drive.sim.carla.world.blueprints import GROUND_TAG, ROAD_TAG

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.carla.world.actors import Actor
    from drive.sim.carla.world.world import CarlaWorld

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SEMANTIC_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("cosine", "<f4"), ("object", "<u4"), ("tag", "<u4")]
)
"""A point of the semantic lidar, 24 bytes."""
SIDEWALK_TAG, SKY_TAG = 2, 11
MOST_CROSSED = 64
"""Things that one ray is told to cross."""
MOST_POINTS = 2_000_000
"""Of one scan: attributes may ask for anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Points of one turn of a lidar, by channel from the top: `counts (C,)` of them, `angle` in rad.

    `points (N, 4)` float32 x, y, z, intensity in the sensor's axes, or records `SEMANTIC_POINT`.
    """

    angle: float
    counts: NDArray[np.uint32]
    points: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What rays met: distances `(N,)` (-1 nothing), actors' rows (`ON_GROUND`, `NOTHING`), cosines, lanes."""

    far: Floats
    what: Ints
    cosine: Floats
    lane: Ints


def throw(
    world: CarlaWorld,
    pose: Floats,
    ways: Floats,
    reach: float,
    parent: int,
    grow: float = 0.0,
    lanes: bool = False,
) -> Hits:
    """Cast rays `ways (N, 3)`, of length 1 in the axes of `pose`; not at the row `parent`.

    Boxes are `grow` m larger. `lanes` asks what ground was hit.
    """
    a, n = world.actors, world.actors.count
    solid = (a.flag[:n, COLLIDES] != 0) & (a.param[:n, HALF_X] > 0.0)
    if parent >= 0:
        solid[parent] = False
    rows = np.flatnonzero(solid)
    box = boxes_of(world, rows, grow)
    radius = np.sqrt((box[:, 5:] ** 2).sum(1))
    near = np.flatnonzero(np.sqrt(((box[:, :3] - pose[:3]) ** 2).sum(1)) < reach + radius)
    turn = matrix(pose)[:3, :3]
    count = len(ways)
    out = Hits(
        np.empty(count), np.empty(count, dtype=np.int64), np.empty(count), np.empty(count, dtype=np.int64)
    )
    level = a.body[parent, GROUND] if parent >= 0 else world.ground_height(pose[:3])
    cast_rays(
        np.ascontiguousarray(pose[:3]), np.ascontiguousarray(ways @ turn.T), reach,
        np.ascontiguousarray(box[near]), level, world.flat and not lanes, *world.ground[:-1], out.far,
        out.what, out.cosine, out.lane,
    )  # fmt: skip
    met = out.what >= 0
    out.what[met] = rows[near[out.what[met]]]
    return out


def boxes_of(world: CarlaWorld, rows: NDArray[np.intp], grow: float = 0.0) -> Floats:
    """Boxes `(B, 8)` of actors: middle, cosine and sine of yaw, half extents."""
    body, param = world.actors.body[rows], world.actors.param[rows]
    c, s = np.cos(body[:, YAW]), np.sin(body[:, YAW])
    bx, by, bz = param[:, BOX_X], param[:, BOX_X + 1], param[:, BOX_X + 2]
    middle = (body[:, 0] + bx * c - by * s, body[:, 1] + bx * s + by * c, body[:, 2] + bz)
    half = param[:, HALF_X : HALF_Z + 1] + grow
    return np.stack((*middle, c, s, *half.T), axis=1)


def directions(azimuth: Floats, altitude: Floats) -> Floats:
    """Unit vectors `(N, 3)` of angles in rad: azimuth to the right, altitude upwards."""
    c = np.cos(altitude)
    return np.stack((c * np.cos(azimuth), c * np.sin(azimuth), np.sin(altitude)), axis=-1)


def lidar(world: CarlaWorld, fact: Actor, pose: Floats, parent: int, since: float, start: float) -> Scan:
    """A lidar's points since `since` s ago, from the horizontal angle `start` (rad) on."""
    channels = min(max(int(float(fact.value("channels", "32"))), 1), 1024)
    per = round(float(fact.value("points_per_second", "56000")) * since / channels)
    per = min(max(per, 0), MOST_POINTS // channels)
    field = min(max(float(fact.value("horizontal_fov", "360")), 0.01), 360.0)
    swept = float(fact.value("rotation_frequency", "10")) * field * since
    first = np.degrees(start)
    angles = np.mod(first + swept / max(per, 1) * np.arange(per), field) - 0.5 * field
    upper, lower = float(fact.value("upper_fov", "10")), float(fact.value("lower_fov", "-30"))
    tilts = np.linspace(upper, lower, channels) if channels > 1 else np.array([upper])
    ways = directions(np.radians(np.tile(angles, channels)), np.radians(np.repeat(tilts, per)))
    reach = min(max(float(fact.value("range", "10")), 0.0), 1e4)
    semantic = fact.type_id.endswith("semantic")
    hits = throw(world, pose, ways, reach, parent, lanes=semantic)
    seen = hits.what != NOTHING
    channel = np.repeat(np.arange(channels), per)
    end = float(np.radians(np.mod(first + swept, field)))
    if semantic:
        points = np.zeros(int(seen.sum()), dtype=SEMANTIC_POINT)
        at = ways[seen] * hits.far[seen, None]
        points["x"], points["y"], points["z"] = at[:, 0], at[:, 1], at[:, 2]
        points["cosine"] = hits.cosine[seen]
        points["object"], points["tag"] = labels(world, hits.what[seen], hits.lane[seen])
        return Scan(end, np.bincount(channel[seen], minlength=channels).astype(np.uint32), points)
    rng = np.random.default_rng((abs(int(float(fact.value("noise_seed", "0")))), fact.id, world.frame))
    intensity = np.exp(-float(fact.value("atmosphere_attenuation_rate", "0.004")) * np.maximum(hits.far, 0.0))
    limit, zero = (float(fact.value(f"dropoff_{n}", "0")) for n in ("intensity_limit", "zero_intensity"))
    general = float(fact.value("dropoff_general_rate", "0"))
    kept = seen & (rng.random(len(seen)) >= general)
    if limit > 0.0:
        # Weak echoes are lost more often, the weakest with the probability `zero`.
        kept &= (intensity > limit) | (rng.random(len(seen)) < 1.0 - zero * (1.0 - intensity / limit))
    noise = max(float(fact.value("noise_stddev", "0")), 0.0)
    far = hits.far + (rng.normal(0.0, noise, len(seen)) if noise > 0.0 else 0.0)
    points = np.zeros((int(kept.sum()), 4), dtype=np.float32)
    points[:, :3], points[:, 3] = ways[kept] * far[kept, None], intensity[kept]
    return Scan(end, np.bincount(channel[kept], minlength=channels).astype(np.uint32), points)


def labels(world: CarlaWorld, what: Ints, lane: Ints) -> tuple[Ints, Ints]:
    """Ids of the actors that were hit (0: ground) and semantic labels."""
    a = world.actors
    kinds = np.where(lane >= 0, world.town.roadmap.kind[np.maximum(lane, 0)], 255)
    tag = np.where(kinds <= 1, ROAD_TAG, np.where(kinds == 3, SIDEWALK_TAG, GROUND_TAG))
    hit = what >= 0
    own = np.array([f.labels[0] if f.labels else 0 for f in a.facts] or [0])
    tag = np.where(hit, own[np.maximum(what, 0)], np.where(what == ON_GROUND, tag, SKY_TAG))
    return np.where(hit, a.flag[np.maximum(what, 0), ID], 0), tag


def radar(world: CarlaWorld, fact: Actor, pose: Floats, parent: int, since: float) -> NDArray[np.float32]:
    """Detections `(N, 4)`: velocity away from the radar (m/s), azimuth, altitude (rad), depth (m)."""
    reach = min(max(float(fact.value("range", "100")), 0.0), 1e4)
    count = min(max(int(float(fact.value("points_per_second", "1500")) * since), 0), MOST_POINTS)
    fields = [float(fact.value(f"{n}_fov", "30")) for n in ("horizontal", "vertical")]
    wide, tall = np.tan(np.radians(np.clip(fields, 0.0, 170.0)) / 2.0)
    rng = np.random.default_rng((abs(int(float(fact.value("noise_seed", "0")))), fact.id, world.frame))
    radius, turn = rng.random(count), rng.random(count) * 2.0 * np.pi
    ways = np.stack((np.ones(count), wide * radius * np.cos(turn), tall * radius * np.sin(turn)), axis=-1)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    hits = throw(world, pose, ways, reach, parent)
    seen = np.flatnonzero(hits.what != NOTHING)
    a = world.actors
    other = np.where(
        (hits.what[seen] >= 0)[:, None], a.body[np.maximum(hits.what[seen], 0), VX : VZ + 1], 0.0
    )
    own = a.body[parent, VX : VZ + 1] if parent >= 0 else np.zeros(3)
    away = ((other - own) * (ways[seen] @ matrix(pose)[:3, :3].T)).sum(1)
    w = ways[seen]
    return np.stack(
        (away, np.arctan2(w[:, 1], w[:, 0]), np.arcsin(np.clip(w[:, 2], -1.0, 1.0)), hits.far[seen]), axis=-1
    ).astype(np.float32)


def obstacle(world: CarlaWorld, fact: Actor, pose: Floats, parent: int) -> tuple[int, float] | None:
    """The actor next ahead of an obstacle sensor and its distance, or None: a ray `hit_radius` thick."""
    reach = min(max(float(fact.value("distance", "5")), 0.0), 1e4)
    radius = max(float(fact.value("hit_radius", "0.5")), 0.0)
    hits = throw(world, pose, np.array([[1.0, 0.0, 0.0]]), reach, parent, grow=radius)
    row = int(hits.what[0])
    if row < 0 or (fact.value("only_dynamics") == "true" and world.actors.facts[row].kind == "prop"):
        return None
    return int(world.actors.flag[row, ID]), float(hits.far[0])


def project(
    world: CarlaWorld, place: Floats, way: Floats, reach: float
) -> tuple[tuple[float, float, float], int] | None:
    """See `CarlaWorld.project_point`."""
    length = float(np.linalg.norm(way))
    if not length > 1e-9 or not reach > 0.0:
        return None
    pose = np.concatenate((place, np.zeros(3)))
    hits = throw(world, pose, way[None] / length, min(reach, 1e6), -1, lanes=True)
    if hits.what[0] == NOTHING:
        return None
    at = place + way / length * hits.far[0]
    return (float(at[0]), float(at[1]), float(at[2])), int(labels(world, hits.what, hits.lane)[1][0])


def all_between(
    world: CarlaWorld, start: Floats, end: Floats
) -> list[tuple[tuple[float, float, float], int]]:
    """See `CarlaWorld.cast_ray`: the ray goes on a little behind each place that it met."""
    out: list[tuple[tuple[float, float, float], int]] = []
    way = end - start
    left = float(np.linalg.norm(way))
    at = start
    while left > 0.0 and len(out) < MOST_CROSSED:
        found = project(world, at, way, left)
        if found is None:
            break
        out.append(found)
        step = float(np.linalg.norm(np.asarray(found[0]) - at)) + 0.01
        at, left = at + way / np.linalg.norm(way) * step, left - step
    return out
