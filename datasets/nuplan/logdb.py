"""A nuPlan log: what is in it, and the rows of one scenario, by few queries on one connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.mapping import UNKNOWN_TYPE, window_of
from drive.datasets.nuplan.sqlite import columns_of, open_database, run
from drive.errors import ScenarioError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEEDED = {
    "log": ("token", "map_version"),
    "lidar": ("token", "log_token", "channel"),
    "lidar_pc": ("token", "ego_pose_token", "lidar_token", "scene_token", "timestamp"),
    "ego_pose": (
        *("token", "x", "y", "qw", "qx", "qy", "qz", "vx", "vy"),
        *("acceleration_x", "acceleration_y"),
    ),
    "lidar_box": (
        *("lidar_pc_token", "track_token", "x", "y", "yaw", "vx", "vy"),
        *("width", "length", "height"),
    ),
    "track": ("token", "category_token"),
    "category": ("token", "name"),
    "scene": ("token", "name", "goal_ego_pose_token", "roadblock_ids"),
    "scenario_tag": ("lidar_pc_token", "type"),
    "traffic_light_status": ("lidar_pc_token", "lane_connector_id", "status"),
}
"""Tables and columns that are read; the pickled ones of `lidar` and `camera` never are."""
MAX_BOXES = 1_000_000
IN_LIST = 500

VALID_SCENES = """
    SELECT token FROM (
        SELECT token, ROW_NUMBER() OVER (ORDER BY name) AS place, COUNT(*) OVER () AS scenes FROM scene
    ) WHERE place >= 3 AND place < scenes - 1"""
"""Scenes with two before and two after, by name, as in the devkit's `get_scenarios_from_db`."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A frame that a scenario stands for: its token, time in microseconds, type and map, and when the log
    ends."""

    token: str
    time_us: int
    type: str
    map: str
    end_us: int

    @property
    def seconds(self) -> float:
        """How long the scenario is at most: its window, or what is left of the log."""
        window = window_of(self.type)
        return min(window.duration, (self.end_us - self.time_us) * 1e-6 - window.offset)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one lidar in order: times `(N,)` in microseconds, tokens, poses `(N, 11)` as in the query."""

    times: NDArray[np.int64]
    tokens: tuple[bytes, ...]
    poses: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes in some frames: the tokens of the tracks, and of each box its `track (N,)`, its `frame (N,)` and
    `values (N, 8)`: x, y, yaw, vx, vy, length, width, height."""

    tracks: tuple[bytes, ...]
    track: NDArray[np.intp]
    frame: NDArray[np.intp]
    values: Floats


@dataclass(frozen=True, slots=True)
class Log:
    """An open log; all reading goes through its one connection."""

    path: Path
    db: sqlite3.Connection
    extra: frozenset[str]

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return run(self.db, self.path, text, tuple(values))

    def tagged(self, types: frozenset[str] | None = None) -> list[Tagged]:
        """The frames in valid scenes that have a tag, of `types` where given, in order of time.

        Of several tags the last by name is the frame's type, as in the devkit.
        """
        kinds = sorted(types or ())
        only = "" if types is None else f"AND st.type IN ({','.join('?' * len(kinds))})"
        rows = self.query(
            f"""SELECT lp.token, lp.timestamp, MAX(st.type), l.map_version,
                (SELECT MAX(timestamp) FROM lidar_pc)
            FROM scenario_tag AS st
            JOIN lidar_pc AS lp ON lp.token = st.lidar_pc_token
            JOIN lidar AS ld ON ld.token = lp.lidar_token
            JOIN log AS l ON l.token = ld.log_token
            WHERE lp.scene_token IN ({VALID_SCENES}) {only}
            GROUP BY lp.token ORDER BY lp.timestamp, lp.token""",
            kinds,
        )
        return [
            Tagged(_hex(t), int(time), str(kind), str(city), int(end)) for t, time, kind, city, end in rows
        ]

    def holds(self, tokens: Sequence[str]) -> set[str]:
        """Which of some frames' tokens are in this log."""
        out: set[str] = set()
        for k in range(0, len(tokens), IN_LIST):
            part = [bytes.fromhex(t) for t in tokens[k : k + IN_LIST]]
            marks = ",".join("?" * len(part))
            out |= {
                _hex(t) for (t,) in self.query(f"SELECT token FROM lidar_pc WHERE token IN ({marks})", part)
            }
        return out

    def frame(self, token: str) -> tuple[Tagged, bytes, str, tuple[Any, ...] | None]:
        """A frame as a scenario, with the lidar that took it, its scene's route and the goal's pose.

        Raises ScenarioError where the log has no such frame.
        """
        key = bytes.fromhex(token) if _is_token(token) else b""
        rows = self.query(
            """SELECT lp.timestamp, lp.lidar_token, l.map_version, s.roadblock_ids, ep.x, ep.y,
                ep.qw, ep.qx, ep.qy, ep.qz,
                (SELECT MAX(st.type) FROM scenario_tag AS st WHERE st.lidar_pc_token = lp.token),
                (SELECT MAX(timestamp) FROM lidar_pc)
            FROM lidar_pc AS lp
            JOIN lidar AS ld ON ld.token = lp.lidar_token
            JOIN log AS l ON l.token = ld.log_token
            LEFT JOIN scene AS s ON s.token = lp.scene_token
            LEFT JOIN ego_pose AS ep ON ep.token = s.goal_ego_pose_token
            WHERE lp.token = ?""",
            (key,),
        )
        if not rows:
            raise ScenarioError(f"{self.path.name}: there is no frame '{token}' in the log")
        time, lidar, where, route, *goal, kind, end = rows[0]
        found = Tagged(token, int(time), str(kind or UNKNOWN_TYPE), str(where), int(end))
        return found, lidar, str(route or ""), None if goal[0] is None else tuple(goal)

    def frames(self, lidar: bytes, first_us: int, last_us: int) -> Frames:
        """Frames of one lidar between two times, both included."""
        rate = "ep.angular_rate_z" if "angular_rate_z" in self.extra else "NULL"
        rows = self.query(
            f"""SELECT lp.timestamp, lp.token, ep.x, ep.y, ep.qw, ep.qx, ep.qy, ep.qz, ep.vx, ep.vy,
                ep.acceleration_x, ep.acceleration_y, {rate}
            FROM lidar_pc AS lp JOIN ego_pose AS ep ON ep.token = lp.ego_pose_token
            WHERE lp.timestamp BETWEEN ? AND ? AND lp.lidar_token = ? ORDER BY lp.timestamp""",
            (first_us, last_us, lidar),
        )
        times, tokens, *poses = _columns(rows, 13)
        return Frames(np.asarray(times, dtype=np.int64), tokens, self._numbers(poses, "ego_pose"))

    def boxes(self, frames: Sequence[bytes]) -> Boxes:
        """Every box in some frames."""
        at = {token: k for k, token in enumerate(frames)}
        marks = ",".join("?" * len(frames))
        rows = self.query(
            f"""SELECT lidar_pc_token, track_token, x, y, yaw, vx, vy, length, width, height
            FROM lidar_box WHERE lidar_pc_token IN ({marks}) LIMIT {MAX_BOXES + 1}""",
            frames,
        )
        if len(rows) > MAX_BOXES:
            raise ScenarioError(f"{self.path.name}: more than {MAX_BOXES} boxes in one scenario")
        where, whose, *values = _columns(rows, 10)
        # In an order of their own: that of the rows depends on the file's indices.
        tracks = sorted(set(whose), key=lambda token: token if isinstance(token, bytes) else b"")
        row_of = {token: k for k, token in enumerate(tracks)}
        return Boxes(
            tuple(tracks),
            np.fromiter((row_of[token] for token in whose), dtype=np.intp, count=len(whose)),
            self._places(at, where).astype(np.intp),
            self._numbers(values, "lidar_box"),
        )

    def categories(self, tracks: Sequence[bytes]) -> dict[bytes, tuple[str, dict[str, Any]]]:
        """Category of each track, and what a file of ours says of it."""
        about = "t.drive" if "drive" in self.extra else "NULL"
        out: dict[bytes, tuple[str, dict[str, Any]]] = {}
        for k in range(0, len(tracks), IN_LIST):
            part = tracks[k : k + IN_LIST]
            marks = ",".join("?" * len(part))
            rows = self.query(
                f"""SELECT t.token, c.name, {about} FROM track AS t
                JOIN category AS c ON c.token = t.category_token WHERE t.token IN ({marks})""",
                part,
            )
            out |= {token: (str(name), _told(text)) for token, name, text in rows}
        return out

    def lights(self, frames: Sequence[bytes]) -> NDArray[np.int64]:
        """(frame, connector, state) `(N, 3)` of every traffic light status in some frames."""
        at = {token: k for k, token in enumerate(frames)}
        marks = ",".join("?" * len(frames))
        rows = self.query(
            f"""SELECT lidar_pc_token, CAST(lane_connector_id AS INTEGER),
                CASE status WHEN 'green' THEN 1 WHEN 'yellow' THEN 2 WHEN 'red' THEN 3 ELSE 0 END
            FROM traffic_light_status WHERE lidar_pc_token IN ({marks}) LIMIT {MAX_BOXES}""",
            frames,
        )
        where, connectors, states = _columns([row for row in rows if row[1] is not None], 3)
        at_frame = self._places(at, where)
        both = (np.asarray(values, dtype=np.int64) for values in (connectors, states))
        return np.stack((at_frame, *both), axis=-1)

    def exported(self) -> dict[str, str]:
        """What we wrote of a scenario that came from elsewhere; empty in everybody else's logs."""
        if "drive_export" not in self.extra:
            return {}
        return {str(k): str(v) for k, v in self.query("SELECT key, value FROM drive_export LIMIT 100")}

    def _places(self, at: Mapping[bytes, int], where: Sequence[Any]) -> NDArray[np.int64]:
        """Which of the frames asked for each row belongs to; a damaged index gives others as well."""
        try:
            return np.fromiter((at[token] for token in where), dtype=np.int64, count=len(where))
        except (KeyError, TypeError):
            raise ScenarioError(f"{self.path.name}: damaged: an index does not fit its table") from None

    def _numbers(self, columns: Sequence[tuple[Any, ...]], table: str) -> Floats:
        try:
            return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=-1)  # None becomes NaN
        except (TypeError, ValueError):
            raise ScenarioError(
                f"{self.path.name}: the table '{table}' holds text where numbers belong"
            ) from None


@contextmanager
def open_log(path: Path) -> Iterator[Log]:
    """Open a log and look whether it is one. Raises InputError naming the file and the missing table."""
    with closing(open_database(path)) as db:
        extra: set[str] = set()
        for table, needed in NEEDED.items():
            there = columns_of(db, path, table)
            if not there:
                raise ScenarioError(f"{path.name}: it is no nuPlan log: the table '{table}' is missing")
            lacking = [column for column in needed if column not in there]
            if lacking:
                raise ScenarioError(f"{path.name}: the table '{table}' has no column '{lacking[0]}'")
            extra |= {c for c in ("angular_rate_z", "drive") if c in there}
        if columns_of(db, path, "drive_export"):
            extra.add("drive_export")
        yield Log(path, db, frozenset(extra))


def _columns(rows: list[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


def _is_token(text: str) -> bool:
    return len(text) == 16 and all(c in "0123456789abcdef" for c in text)


def _hex(token: Any) -> str:
    return token.hex() if isinstance(token, bytes) else str(token)


def _told(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (TypeError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
