"""What the pictures should make known, and how a small network is taught to see it.

Actions alone hardly teach it: most of them follow from the ego's own past, and a tower of random weights
stays blind. So before it learns to drive its vision tower learns who is where, column by column of the
pictures, and while it learns to drive its hidden states are asked the same, and what stands on the way. The
heads that answer are thrown away. This is ours: the published network came with eyes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.nn._torch import Tensor, nn, torch
from drive.nn.rounds import epoch_rows
from drive.nn.scene import BODY_COLUMNS
from drive.planners.autovla.rationale import AHEAD, HALF_LANE, PREDICTED
from drive.planners.autovla.scene_words import COSINE, RED, SINE, VX, VY, Way, X, Y, agent_rows, kind_of
from drive.planners.autovla.vision_pack import grid_of, pack_clips
from drive.sim.sensors.camera_views import named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.scene import SceneArrays
    from drive.planners.autovla.model import VLA

RANGE, SPEED_SCALE = 30.0, 10.0
"""m over which nearness falls to 1/e; m/s."""
FAINT = 0.13
"""Nearness below which nobody's speed is asked: 61 m."""
CHANNELS = 3
"""Of a column: nearness of the nearest, its speed towards or away from here, nearness of the nearest on foot
or on a bicycle."""
ON_WAY = ("ahead", "ahead_speed", "soon", "red")
"""What is asked at the prompt's end: nearness and speed along the way of who is on it, nearness of where
somebody will be on it within `PREDICTED` s, nearness of a red light's line."""
LENGTH, WIDTH = BODY_COLUMNS.index("length"), BODY_COLUMNS.index("width")


@dataclass(frozen=True, slots=True)
class SeenSettings:
    """`weight` of the loss beside the one of driving (0: none); `steps` of the tower alone before that (0:
    none), each of `batch` moments, at the rate `lr`; `width` of the heads."""

    weight: float = 0.3
    steps: int = 1000
    batch: int = 64
    lr: float = 2e-3
    width: int = 128

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight < np.inf or self.steps < 0 or min(self.batch, self.width) < 1:
            raise InputError("seen.weight and seen.steps are 0 or more, its batch and width 1 or more")


@dataclass(frozen=True, slots=True)
class Clips:
    """The clips of a prompt: of `views` (rad to the left of ahead, tangent of half the angle that is seen),
    each of the `grid` of patches in time, down and across."""

    views: tuple[tuple[float, float], ...]
    grid: tuple[int, int, int]

    @classmethod
    def of(cls, cameras: Sequence[str], frames: int, picture: tuple[int, int]) -> Clips:
        """Raises InputError for a camera that is none of these pinholes."""
        width, height = picture
        specs = [named(name) for name in cameras]
        if any(spec.projection != "pinhole" for spec in specs):
            raise InputError("clips are those of pinhole cameras")
        views = tuple((spec.pose[-1], 0.5 * spec.width / spec.intrinsics[0]) for spec in specs)
        return cls(views, grid_of(frames, height, width))

    @property
    def columns(self) -> int:
        """Columns of patches in all pictures side by side."""
        return len(self.views) * self.grid[2]


def nearness(distance: float) -> float:
    """1 here, falling towards 0."""
    return math.exp(-max(distance, 0.0) / RANGE)


def seen_of(scene: SceneArrays, clips: Clips) -> NDArray[np.float32]:
    """What is there `(columns * 3 + 4,)`: `CHANNELS` by column from left to right, then `ON_WAY`."""
    columns = np.zeros((clips.columns, CHANNELS))
    ahead = ahead_speed = soon = 0.0
    way = Way(scene)
    times = np.arange(0.0, PREDICTED + 0.1, 0.5)
    for row in agent_rows(scene):
        agent = np.asarray(scene.agents, dtype=np.float64)[row, -1]
        body = np.asarray(scene.bodies, dtype=np.float64)[row]
        x, y, vx, vy = agent[X], agent[Y], agent[VX], agent[VY]
        near = nearness(math.hypot(x, y))
        covered = _covered(agent, body, clips)
        nearer = covered[near > columns[covered, 0]]
        columns[nearer, :2] = near, (x * vx + y * vy) / max(math.hypot(x, y), 0.1) / SPEED_SCALE
        if kind_of(body) in ("person", "bicycle"):
            columns[covered, 2] = np.maximum(columns[covered, 2], near)
        if len(way) >= 2:
            stations, offsets, feet = way.feet(agent[[X, Y]] + times[:, None] * agent[[VX, VY]])
            on = (stations > 0.0) & (stations < AHEAD) & (np.abs(offsets) < HALF_LANE)
            if on[0] and nearness(stations[0]) > ahead:
                c, s = way.direction[feet[0]]
                ahead, ahead_speed = nearness(stations[0]), (c * vx + s * vy) / SPEED_SCALE
            if on.any():
                soon = max(soon, nearness(float(stations[on].min())))
    red = float(np.asarray(scene.ego)[RED])
    own = (ahead, ahead_speed, soon, nearness(red) if red < AHEAD else 0.0)
    return np.concatenate((columns.ravel(), own)).astype(np.float32)


def _covered(agent: NDArray[Any], body: NDArray[Any], clips: Clips) -> NDArray[np.intp]:
    """The columns that somebody's box covers, in all views."""
    box = 0.5 * np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]) * body[[LENGTH, WIDTH]]
    c, s = agent[COSINE], agent[SINE]
    corner = agent[[X, Y]] + box @ np.array([[c, s], [-s, c]])
    middle = math.atan2(agent[Y], agent[X])
    turned = np.arctan2(corner[:, 1], corner[:, 0]) - middle
    angles = middle + np.arctan2(np.sin(turned), np.cos(turned))
    across = clips.grid[2]
    found = []
    for number, (yaw, half) in enumerate(clips.views):
        low, high = (_column(float(a) - yaw, half, across) for a in (angles.max(), angles.min()))
        if high >= 0.0 and low < across:
            found.append(
                number * across + np.arange(max(math.floor(low), 0), min(math.floor(high), across - 1) + 1)
            )
    return np.concatenate(found) if found else np.zeros(0, dtype=np.intp)


def _column(angle: float, half: float, across: int) -> float:
    """The column of a view, counted from the left, in which a direction is seen, rad to the left of its
    middle; below 0 and beyond the last one where it is not."""
    angle = math.atan2(math.sin(angle), math.cos(angle))
    if abs(angle) >= 0.5 * math.pi:
        return -1.0 if angle > 0.0 else float(across)
    return 0.5 * across * (1.0 - math.tan(angle) / half)


class Columns(nn.Module):
    """What is seen in each column of patches, from the tokens that stand above each other: the same head for
    all columns."""

    def __init__(self, clips: Clips, inner: int, width: int) -> None:
        super().__init__()
        self.clips = clips
        time, down, _ = clips.grid
        self.head = nn.Sequential(
            nn.Linear(time * (down // 2) * inner, width), nn.GELU(), nn.Linear(width, 2 * CHANNELS)
        )

    def forward(self, tokens: Tensor, count: int) -> Tensor:
        """`(count, columns * 3)` of the tokens `(count * T, D)` of prompts' clips."""
        time, down, across = self.clips.grid
        shape = (count, len(self.clips.views), time, down // 2, across // 2, tokens.shape[-1])
        seen: Tensor = self.head(tokens.reshape(shape).permute(0, 1, 4, 2, 3, 5).flatten(3))
        return seen.flatten(1)


class Eyes(nn.Module):
    """A network's vision tower alone, with the head that it learns to see by."""

    def __init__(self, vla: VLA, clips: Clips, width: int) -> None:
        super().__init__()
        self.tower = vla.base.model.visual
        self.columns = Columns(clips, vla.base.config.get_text_config().hidden_size, width)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """What the tower makes of a batch's clips `(B, columns * 3)`."""
        found = self.tower(batch["patches"], grid_thw=batch["grid"]).pooler_output
        seen: Tensor = self.columns(found, len(batch["seen"]))
        return seen


class Taught(nn.Module):
    """A network with the heads that it is asked by what it sees; called with batches as the network is."""

    def __init__(self, vla: VLA, clips: Clips, width: int) -> None:
        super().__init__()
        self.vla = vla
        inner = vla.base.config.get_text_config().hidden_size
        self.columns = Columns(clips, inner, width)
        self.on_way = nn.Sequential(nn.Linear(inner, width), nn.GELU(), nn.Linear(width, len(ON_WAY)))

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The network's own outputs, and what it makes of the pictures `(B, columns * 3 + 4)`."""
        vla, ids, labels = self.vla, batch["input_ids"], batch["labels"]
        hidden = vla.seen(batch)
        columns = self.columns(hidden[ids == vla.base.config.video_token_id], len(ids))
        end = (labels >= 0).long().argmax(1) - 1
        last = hidden[torch.arange(len(ids), device=ids.device), end]
        return (*vla.told(hidden, labels), torch.cat((columns, self.on_way(last)), dim=1))


def seen_loss(found: Tensor, wanted: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What is wrong with what was seen `(B, columns * 3)` or, with `ON_WAY`, `(B, columns * 3 + 4)`: squared
    errors by channel, speeds where somebody is; each channel is divided by about its variance."""
    columns = wanted.shape[1] - len(ON_WAY)
    error = (found[:, :columns] - wanted[:, :columns]) ** 2
    there = (wanted[:, :columns:CHANNELS] > FAINT).float()
    near, foot = error[:, ::CHANNELS].mean(), error[:, 2::CHANNELS].mean()
    speed = (error[:, 1::CHANNELS] * there).sum() / there.sum().clamp(min=1.0)
    total = near / 0.04 + foot / 0.01 + 0.5 * speed / 0.4
    figures = {"near": near, "speed": speed, "foot": foot}
    if found.shape[1] > columns:
        own = ((found[:, columns:] - wanted[:, columns:]) ** 2).mean(0)
        figures |= dict(zip(ON_WAY, own, strict=True))
        total = total + (own / own.new_tensor([0.05, 0.44, 0.13, 0.01])).sum()
    return total, {name: figure.detach() for name, figure in figures.items()}


def eye_loss(model: Any, batch: Mapping[str, Tensor], generator: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of `Eyes` for `drive.nn.fit`."""
    return seen_loss(model(batch), batch["seen"])


def eye_batches(
    images: Callable[[NDArray[np.int64]], NDArray[np.uint8]], seen: NDArray[np.float32], batch: int, seed: int
) -> Callable[[int], Mapping[str, Any]]:
    """`batches(step)`: clips `(B, cameras, frames, H, W, 3)` of moments as patches, and what is there."""

    def batches(step: int) -> Mapping[str, Any]:
        which = epoch_rows(len(seen), min(batch, len(seen)), seed, step)
        clips = images(which)
        patches, grid = pack_clips(clips.reshape(-1, *clips.shape[2:]))
        return {"patches": patches, "grid": grid, "seen": seen[which]}

    return batches


__all__ = [
    "CHANNELS", "ON_WAY", "Clips", "Columns", "Eyes", "SeenSettings", "Taught", "eye_batches",
    "eye_loss", "nearness", "seen_loss", "seen_of",
]  # fmt: skip
