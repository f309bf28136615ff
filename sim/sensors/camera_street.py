"""What stands beside a road, as flat faces: buildings and traffic lights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.roadmap.model import AreaKind, RoadMap
from drive.roadmap.paint import stop_lines
from drive.scenario import SignalState
from drive.sim.kernels.camera_faces import LAMPS, PLAIN, TRIANGLE, WINDOWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STOREYS = 9.0
"""Height of buildings, m: maps give none."""
WALLS = ((158.0, 142.0, 124.0), (170.0, 160.0, 148.0), (146.0, 134.0, 128.0))
ROOF, POST, BOARD = (116.0, 96.0, 88.0), (70.0, 72.0, 74.0), (22.0, 24.0, 24.0)
HEAD = (0.26, 0.36, 0.96)
"""Depth, width and height of a head of signals, m."""
FOOT, POST_SIDE = 2.1, 0.12
BESIDE, BEYOND, NEXT = 0.3, 0.3, 0.45
"""A head stands so far beside the right end of its stop line and beyond it, and from the next head, m."""
RADIUS = 0.13
LIT = {
    SignalState.RED: (255.0, 36.0, 28.0),
    SignalState.YELLOW: (255.0, 190.0, 16.0),
    SignalState.GREEN: (36.0, 236.0, 110.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Street:
    """Faces and bulbs, as `draw_walls` and `draw_bulbs` of `drive.sim.kernels.camera_faces` read them.

    `signal (B,)` is the signal that a bulb belongs to, `state (B,)` the one that lights it.
    """

    faces: Floats
    paints: NDArray[np.int64]
    colours: Floats
    bulbs: Floats
    signal: NDArray[np.int64]
    state: NDArray[np.uint8]

    @classmethod
    def of(cls, roadmap: RoadMap) -> Street:
        """Buildings and lights of a map, made once and kept with the map."""
        cached: Street | None = roadmap.__dict__.get("_camera_street")
        if cached is None:
            cached = _street(roadmap)
            roadmap.__dict__["_camera_street"] = cached
        return cached

    def lit(self, signals: NDArray[np.uint8]) -> Floats:
        """Colours `(B, 3)` of the bulbs when the signals have these states `(S,)`; -1 for those that are off."""
        if not len(self.signal):
            return np.zeros((0, 3))
        on = signals[self.signal] == self.state
        colour = np.array([LIT.get(SignalState(k), (-1.0,) * 3) for k in range(len(SignalState))])
        return np.where(on[:, None], colour[self.state], -1.0)


def _street(roadmap: RoadMap) -> Street:
    faces, paints, colours = [np.zeros((0, 9))], [], []
    for k, ring in enumerate(roadmap.areas.of_kind(AreaKind.OCCLUDER)):
        walls, roof = _building(ring)
        faces += [walls, roof]
        paints += [WINDOWS] * len(walls) + [TRIANGLE] * len(roof)
        colours += [WALLS[k % len(WALLS)]] * len(walls) + [ROOF] * len(roof)
    heads, signal = _heads(roadmap)
    bulbs = np.zeros((len(heads), 3, 6))
    for k, (x, y, ahead_x, ahead_y) in enumerate(heads):
        ahead, left = np.array([ahead_x, ahead_y]), np.array([-ahead_y, ahead_x])
        post = _box(np.array([x, y]), ahead, left, (POST_SIDE, POST_SIDE), 0.0, FOOT)
        head = _box(np.array([x, y]), ahead, left, HEAD[:2], FOOT, FOOT + HEAD[2])
        faces += [post, head]
        paints += [PLAIN] * len(post) + [LAMPS] + [PLAIN] * (len(head) - 1)
        colours += [POST] * len(post) + [BOARD] * len(head)
        bulbs[k, :, :2] = np.array([x, y]) - (0.5 * HEAD[0] + 0.02) * ahead
        bulbs[k, :, 2] = FOOT + HEAD[2] * np.array([5.0, 3.0, 1.0]) / 6.0
        bulbs[k, :, 3:5] = -ahead
        bulbs[k, :, 5] = RADIUS
    return Street(
        np.concatenate(faces),
        np.asarray(paints, dtype=np.int64),
        np.asarray(colours, dtype=np.float64).reshape(-1, 3),
        bulbs.reshape(-1, 6),
        np.repeat(signal, 3),
        np.tile(
            np.array([SignalState.RED, SignalState.YELLOW, SignalState.GREEN], dtype=np.uint8), len(heads)
        ),
    )


def _building(ring: Floats) -> tuple[Floats, Floats]:
    """Walls and roof of a building, faces `(F, 9)`."""
    import shapely

    step = np.roll(ring, -1, axis=0) - ring
    walls = np.zeros((len(ring), 9))
    walls[:, :2], walls[:, 3:5], walls[:, 8] = ring, step, STOREYS
    walls = walls[np.hypot(*step.T) > 1e-6]
    shape = shapely.make_valid(shapely.Polygon(ring))
    parts = shapely.get_parts(shapely.constrained_delaunay_triangles(shape))
    triangle = shapely.get_coordinates(parts).reshape(-1, 4, 2)[:, :3]
    roof = np.zeros((len(triangle), 9))
    roof[:, :2], roof[:, 2] = triangle[:, 0], STOREYS
    roof[:, 3:5], roof[:, 6:8] = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    return walls, roof


def _box(
    at: Floats, ahead: Floats, left: Floats, size: tuple[float, float], low: float, high: float
) -> Floats:
    """Six sides `(6, 9)` of an upright box, the one that who drives ahead looks at first."""
    long, wide = size[0] * ahead, size[1] * left
    corner = at - 0.5 * long - 0.5 * wide
    up = np.array([0.0, 0.0, high - low])

    def side(where: Floats, z: float, u: Floats, v: Floats) -> Floats:
        return np.concatenate((where, [z], u, v))

    flat_long, flat_wide = np.append(long, 0.0), np.append(wide, 0.0)
    return np.stack(
        (
            side(corner + wide, low, -flat_wide, up),
            side(corner + long, low, flat_wide, up),
            side(corner, low, flat_long, up),
            side(corner + wide, low, flat_long, up),
            side(corner, low, flat_long, flat_wide),
            side(corner, high, flat_long, flat_wide),
        )
    )


def _heads(roadmap: RoadMap) -> tuple[Floats, NDArray[np.int64]]:
    """Where heads stand and which way who obeys them drives `(N, 4)`, and their signals `(N,)`.

    Lanes that share a stop line and a signal share a head; other signals at the same place stand beside it.
    """
    segments, signals = stop_lines(roadmap, np.arange(roadmap.num_lanes))
    heads: list[tuple[float, float, float, float]] = []
    whose: list[int] = []
    for (lx, ly, rx, ry), signal in zip(segments.tolist(), signals.tolist(), strict=True):
        wide = float(np.hypot(lx - rx, ly - ry))
        if signal < 0 or wide < 1e-6:
            continue
        left = np.array([lx - rx, ly - ry]) / wide
        ahead = np.array([left[1], -left[0]])
        at = np.array([rx, ry]) - BESIDE * left + BEYOND * ahead
        taken = False
        for other, (x, y, *_) in zip(whose, heads, strict=True):
            if np.hypot(x - at[0], y - at[1]) < 0.9 * NEXT:
                taken = taken or other == signal
                at = at - NEXT * left
        if not taken:
            heads.append((at[0], at[1], ahead[0], ahead[1]))
            whose.append(signal)
    return np.asarray(heads, dtype=np.float64).reshape(-1, 4), np.asarray(whose, dtype=np.int64)
