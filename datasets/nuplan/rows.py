"""The rows that a log holds of one scenario, on a clock of 0.1 s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.nuplan.exported import Exported
from drive.datasets.nuplan.logdb import Boxes, Frames, open_log
from drive.datasets.nuplan.mapping import Window, window_of
from drive.errors import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DT = 0.1
NEAR = 0.03
"""Seconds that a frame may lie off the clock's tick that it stands for."""
SHORTEST = 3.0
"""Seconds before which a gap in the log makes a scenario useless."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a log holds of one scenario: frames on the clock, and boxes, categories and lights in them."""

    frames: Frames
    poses: Floats
    boxes: Boxes
    categories: dict[bytes, tuple[str, dict[str, Any]]]
    lights: NDArray[np.int64]
    type: str
    city: str
    route: str
    goal: tuple[Any, ...] | None
    exported: Exported
    notes: list[str]


def read_rows(path: Path, token: str) -> Rows:
    """Everything of one scenario, by seven queries on one connection."""
    notes: list[str] = []
    with open_log(path) as log:
        found, lidar, route, goal = log.frame(token)
        window = window_of(found.type)
        first = found.time_us + round(window.offset * 1e6)
        frames = log.frames(lidar, first, first + round(window.duration * 1e6))
        pick = _on_clock(path, frames, window, first, notes)
        tokens = [frames.tokens[k] for k in pick]
        boxes = log.boxes(tokens)
        categories = log.categories(boxes.tracks)
        lights = log.lights(tokens)
        exported = Exported.of(log.exported(), path.name)
    poses = frames.poses[pick]
    wrong = ~np.isfinite(poses[:, :10]).all(1)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ScenarioError(f"{path.name}: the ego's pose of frame '{tokens[k].hex()}' is not finite")
    return Rows(
        frames,
        poses,
        boxes,
        categories,
        lights,
        found.type,
        found.map,
        route,
        goal,
        exported,
        notes,
    )


def _on_clock(path: Path, frames: Frames, window: Window, first_us: int, notes: list[str]) -> list[int]:
    """The frames next to the ticks of a clock of 0.1 s, up to the first tick without one."""
    times = (frames.times - (frames.times[0] if len(frames.times) else 0)) * 1e-6
    if len(times) < 2:
        raise ScenarioError(f"{path.name}: the log holds {len(times)} frames in the scenario's time")
    late = (int(frames.times[0]) - first_us) * 1e-6
    if late > NEAR:
        notes.append(f"the log begins {late:.2f} s after the scenario would")
    count = int((min(times[-1], window.duration) + NEAR) / DT) + 1
    ticks = DT * np.arange(count)
    after = np.clip(np.searchsorted(times, ticks), 1, len(times) - 1)
    pick = after - (ticks - times[after - 1] < times[after] - ticks)
    off = np.abs(times[pick] - ticks) > NEAR
    if off.any():
        count = int(np.argmax(off))
        if ticks[count - 1] < SHORTEST - 1e-6:
            where = f"{path.name}: the log has a gap at {ticks[count]:.1f} s of the scenario"
            raise ScenarioError(f"{where}, before {SHORTEST:.0f} s of it are over")
        notes.append(f"the log has a gap; the scenario ends at {ticks[count - 1]:.1f} s")
    if count < 2:
        raise ScenarioError(f"{path.name}: the log holds less than {2 * DT} s of the scenario")
    return [int(k) for k in pick[:count]]
