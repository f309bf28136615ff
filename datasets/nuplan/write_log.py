"""Writes one scenario as a nuPlan log: an SQLite database with a row every 0.05 s."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.matching import driven_lanes
from drive.datasets.nuplan.schema import (
    CATEGORY_OF,
    CITIES,
    INDICES,
    LIDAR_CHANNEL,
    ROW_INTERVAL,
    SCENES_BEFORE,
    SIGNAL_WORDS,
    TABLES,
)
from drive.errors import ScenarioError
from drive.geometry import project_to_polyline, unwrap_angle, wrap_angle
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.datasets.nuplan.mapping import Window
    from drive.datasets.nuplan.write_map import Placed
    from drive.scenario import Scenario

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

HISTORY = 50
"""Rows before the scenario's start; the devkit wants 2.1 s of them."""
EPOCH_US = 1_609_459_200_000_000
"""Time of a log's start, in microseconds: 2021-01-01."""
MANY_LIGHTS = 400
SIGHT = 50.0
"""Metres around a scenario in which lights are written, where more than `MANY_LIGHTS` connectors have one."""
# What the devkit unpickles for the sensor's pose, (0, 0, 0) and (1, 0, 0, 0). Constant bytes: we neither
# write pickles of our own nor read anybody's.
_ZERO = b"G\x00\x00\x00\x00\x00\x00\x00\x00"
NO_TRANSLATION = b"\x80\x02]q\x00(" + 3 * _ZERO + b"e."
NO_ROTATION = b"\x80\x02]q\x00(G?\xf0\x00\x00\x00\x00\x00\x00" + 3 * _ZERO + b"e."


@dataclass
class Log:
    """Rows of all tables, and the token of the frame that stands for the scenario."""

    token: str = ""
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {name: [] for name in TABLES})


def make_log(
    scenario: Scenario, world: Placed, city: str, name: str, scenario_type: str, window: Window
) -> Log:
    """The rows of a scenario's log. Raises ScenarioError where there is no vehicle to log."""
    from drive.sim.reference import ensure_expert  # brings the compiler, which a reader does not want

    given = scenario
    scenario = ensure_expert(scenario)
    if scenario.expert is None:
        raise ScenarioError(f"scenario '{scenario.id}' has no driver whose drive could be a log's")
    log = Log()

    own = blake2b(f"{name}|{scenario.content_hash}|".encode(), digest_size=8)

    def token(*what: object) -> bytes:
        digest = own.copy()
        digest.update(repr(what).encode())
        return digest.digest()

    count = HISTORY + int(np.floor(scenario.duration / ROW_INTERVAL + 1e-6)) + 1
    at = np.asarray(ROW_INTERVAL * (np.arange(count) - HISTORY), dtype=np.float64)
    stamps = EPOCH_US + (np.arange(count) * round(ROW_INTERVAL * 1e6))
    log_token, lidar_token = token("log"), token("lidar")
    frames = [token("lidar_pc", k) for k in range(count)]
    scenes = [token("scene", k) for k in range(2 * SCENES_BEFORE + 1)]
    rows, start = log.rows, int(stamps[HISTORY])
    rows["log"].append((log_token, "drive-toolkit", "2021-01-01", EPOCH_US, name, city, city))
    rows["lidar"].append((lidar_token, log_token, LIDAR_CHANNEL, "none", NO_TRANSLATION, NO_ROTATION))

    epsg = CITIES[city][1]
    ego = _ego_rows(scenario, at)
    ego[:, :2] += world.offset

    def pose(key: bytes, stamp: int, row: Floats) -> tuple[Any, ...]:
        x, y, heading, speed, acceleration, _, yaw_rate = (float(v) for v in row)
        turn = (np.cos(0.5 * heading), 0.0, 0.0, np.sin(0.5 * heading))
        motion = (speed, 0.0, 0.0, acceleration, speed * yaw_rate, 0.0, 0.0, 0.0, yaw_rate)
        return (key, stamp, x, y, 0.0, *(float(q) for q in turn), *motion, epsg, log_token)

    goal_token, goal = token("goal"), np.zeros(7)
    goal[:3] = _goal(scenario)
    goal[:2] += world.offset
    rows["ego_pose"].append(pose(goal_token, int(stamps[-1]), goal))
    route = " ".join(str(fid) for fid in world.network.route(_route_lanes(scenario)))
    for k, scene in enumerate(scenes):
        rows["scene"].append((scene, log_token, f"scene-{k:05d}", goal_token, route))
    for k in range(count):
        # The history fills the scenes before; those behind have no frames of their own.
        scene = scenes[SCENES_BEFORE if k >= HISTORY else SCENES_BEFORE * k // HISTORY]
        near = (frames[k + 1] if k + 1 < count else None, frames[k - 1] if k else None)
        pose_token = token("ego_pose", k)
        rows["ego_pose"].append(pose(pose_token, int(stamps[k]), ego[k]))
        rows["lidar_pc"].append((frames[k], *near, pose_token, lidar_token, scene, "", int(stamps[k])))

    tagged = HISTORY - round(window.offset / ROW_INTERVAL)
    if tagged >= count:
        raise ScenarioError(f"scenario '{scenario.id}' is too short for the type '{scenario_type}'")
    rows["scenario_tag"].append((token("tag"), frames[tagged], scenario_type, None))
    log.token = frames[tagged].hex()

    _add_boxes(log, scenario, world, at, frames, token)
    _add_lights(log, scenario, world, at, frames, token)
    notes = {
        "scenario": scenario.id,
        "content_hash": given.content_hash,
        "start_us": str(start),
        "history": f"rows before {start} are extrapolated from the start at constant speed and turn rate, "
        "not recorded",
        "expert": scenario.expert.source,
        "ego": scenario.tracks.ids[scenario.ego],
        "ego_row": str(scenario.ego),
        "ego_kind": str(int(scenario.tracks.kind[scenario.ego])),
        "vehicle": json.dumps(asdict(scenario.vehicle)),
        "family": scenario.family,
        "tags": json.dumps(scenario.tags),
        "provenance": json.dumps(asdict(scenario.provenance)),
        "offset": json.dumps(world.offset),
        "world": str(world.number),
        "initial": json.dumps([float(v) for v in scenario.initial[:7]]),
        "dt": repr(scenario.dt),
        "lanes": json.dumps([scenario.roadmap.lane_ids[k] for k in scenario.route.lanes]),
        "goal": json.dumps(_goal_words(scenario)),
        "commands": json.dumps(scenario.route.commands),
    }
    rows["drive_export"] += notes.items()
    return log


def write_log(path: Path, log: Log) -> None:
    """Write the tables into a new file; a file that is there already is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")  # a file that is not finished is of no use anyway
        for table, columns in TABLES.items():
            db.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            db.executemany(f"INSERT INTO {table} VALUES ({marks})", log.rows[table])
        for table, column in INDICES:
            db.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
        db.commit()


def _ego_rows(scenario: Scenario, at: Floats) -> Floats:
    """Rear-axle states `(N, 7)` at the times `at`; before 0 at the start's speed and yaw rate."""
    assert scenario.expert is not None
    states = np.array(scenario.expert.states[:, :7])
    states[0] = scenario.initial[:7]
    times = scenario.times
    heading = unwrap_angle(states[:, 2])
    columns = [np.interp(at, times, heading if k == 2 else states[:, k]) for k in range(7)]
    out = np.stack(columns, axis=-1)
    x, y, h, v, _, _, w = states[0]
    t = np.minimum(at, 0.0)
    turned = w * t
    # The chord of an arc: sin(u)/u about half the turn, for no turn as well.
    chord = v * t * np.sinc(0.5 * turned / np.pi)
    past = at < 0.0
    out[past, 0] = (x + chord * np.cos(h + 0.5 * turned))[past]
    out[past, 1] = (y + chord * np.sin(h + 0.5 * turned))[past]
    out[past, 2] = (h + turned)[past]
    out[past, 4] = 0.0
    out[:, 2] = wrap_angle(out[:, 2])
    return out


def _agent_rows(scenario: Scenario, at: Floats) -> tuple[Floats, Bools]:
    """States `(A, N, 5)` and validity `(A, N)` of the tracks at the times `at`; between two samples where
    both are valid, before 0 straight on backwards."""
    tracks, n = scenario.tracks, scenario.num_steps
    t = np.maximum(at, 0.0) / scenario.dt
    low = np.minimum(np.floor(t + 1e-6).astype(int), n)
    high = np.minimum(low + 1, n)
    u = t - low
    u = np.where(np.abs(u) < 1e-6, 0.0, u)
    a, b = tracks.states[:, low], tracks.states[:, high]
    out = a + u[:, None] * (b - a)
    out[..., 2] = wrap_angle(a[..., 2] + u * wrap_angle(b[..., 2] - a[..., 2]))
    valid = tracks.valid[:, low] & (tracks.valid[:, high] | (u == 0.0))
    out[..., :2] += np.minimum(at, 0.0)[:, None] * out[..., 3:5]
    return out, valid


def _add_boxes(
    log: Log, scenario: Scenario, world: Placed, at: Floats, frames: list[bytes], token: Any
) -> None:
    tracks, rows = scenario.tracks, log.rows
    states, valid = _agent_rows(scenario, at)
    states[..., :2] += world.offset
    categories: dict[str, bytes] = {}
    for agent in range(tracks.num_agents):
        if agent == scenario.ego or not valid[agent].any():
            continue
        kind = AgentKind(int(tracks.kind[agent]))
        word = CATEGORY_OF[kind]
        if word not in categories:
            categories[word] = token("category", word)
            rows["category"].append((categories[word], word, ""))
        length, width, height = (float(v) for v in tracks.size[agent])
        track = token("track", agent)
        about = {"id": tracks.ids[agent], "kind": int(kind), "rear": float(tracks.rear_to_centre[agent])}
        about["row"] = agent
        rows["track"].append((track, categories[word], width, length, height, json.dumps(about)))
        seen = np.flatnonzero(valid[agent]).tolist()
        keys = [token("box", agent, k) for k in seen]
        for i, k in enumerate(seen):
            x, y, yaw, vx, vy = (float(v) for v in states[agent, k])
            near = (keys[i + 1] if i + 1 < len(keys) else None, keys[i - 1] if i else None)
            box = (x, y, 0.5 * height, width, length, height, vx, vy, 0.0, yaw, 1.0)
            rows["lidar_box"].append((keys[i], frames[k], track, *near, *box))


def _add_lights(
    log: Log, scenario: Scenario, world: Placed, at: Floats, frames: list[bytes], token: Any
) -> None:
    """A row for every connector behind a light, at every frame; in a city only of those near the scenario."""
    sample = np.clip(np.floor(at / scenario.dt + 1e-6).astype(int), 0, scenario.num_steps)
    edges = [edge for edge in world.network.connectors if edge.signal >= 0]
    if len(edges) > MANY_LIGHTS:
        moving = scenario.tracks.states[..., :2][scenario.tracks.valid]
        low, high = moving.min(0) - SIGHT, moving.max(0) + SIGHT
        near = [e for e in edges if ((e.lines[0][0] >= low) & (e.lines[0][0] <= high)).all()]
        world.notes.append(
            f"of {len(edges)} connectors with lights the {len(near)} near the scenario are written"
        )
        edges = near
    for edge in edges:
        states = scenario.signals[edge.signal, sample]
        for k, state in enumerate(states.tolist()):
            row = (token("light", edge.fid, k), frames[k], edge.fid, SIGNAL_WORDS[state])
            log.rows["traffic_light_status"].append(row)


def _route_lanes(scenario: Scenario) -> tuple[int, ...]:
    """Lanes of the route; the ones that the log drives where no route is given."""
    if scenario.route.lanes:
        return scenario.route.lanes
    assert scenario.expert is not None
    lanes = driven_lanes(scenario.roadmap, scenario.expert.states[:, :3])
    if not lanes:
        raise ScenarioError(f"scenario '{scenario.id}' has neither a route nor a drive on lanes")
    return lanes


def _goal(scenario: Scenario) -> Floats:
    """Pose `(3,)` of the goal: the route's, or where the log ends."""
    assert scenario.expert is not None
    end = np.asarray(scenario.expert.states[-1, :3], dtype=np.float64)
    place = scenario.route.goal.position
    if place is None:
        return end
    heading = float(end[2])
    if scenario.route.known:
        line = scenario.route.line
        _, _, k = project_to_polyline(place[None], line)
        step = line[k[0] + 1] - line[k[0]]
        heading = float(np.arctan2(step[1], step[0]))
    return np.array([place[0], place[1], heading])


def _goal_words(scenario: Scenario) -> dict[str, Any]:
    goal = scenario.route.goal
    return {
        "position": None if goal.position is None else goal.position.tolist(),
        "polygon": None if goal.polygon is None else goal.polygon.tolist(),
        "lanes": [scenario.roadmap.lane_ids[k] for k in goal.lanes],
        "heading": goal.heading,
        "speed": goal.speed,
        "time": goal.time,
    }
