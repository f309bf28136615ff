"""Cameras in the simulator: pictures of its own truth, for the `CameraSpec`s that a planner asks for.

A picture shows the map (drivable ground, junctions, markings, stop lines, crosswalks, kerbs), buildings as
prisms, road users as shaded boxes of their true size, their brake lights, and traffic lights in their present
state. Who is seen is a matter of light alone: everybody in front of the lens whom nothing covers, whatever
the run's `visibility` and `detection` say of the list of agents. The ego itself is not in the picture, and
the ground is flat. Such pictures exercise code that reads images; they prove nothing about perception
(docs/sensors.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.scenario import TRACK_VX, TRACK_VY
from drive.sim.kernels.camera import draw_picture
from drive.sim.kernels.camera_faces import CYLINDER, PINHOLE
from drive.sim.kernels.camera_paint import LEVELS, NOWHERE, SIDE, TILE, TILES, paint_ground
from drive.sim.sensors.camera_bodies import agent_colours, part_tables
from drive.sim.sensors.camera_paint import RoadPaint
from drive.sim.sensors.camera_street import Street
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.planner import CameraSpec
    from drive.roadmap.model import RoadMap
    from drive.scenario import Scenario
    from drive.sim.observe import Record

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Image = NDArray[np.uint8]

BRAKING = 0.7
"""Brake lights are lit above this deceleration, m/s^2: less is the drag of an engine."""
FARTHEST_PLACE, LARGEST = 1e7, 1e3
"""Coordinates and sizes beyond these (m) are no places and no road users."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What a camera may show: `centers (A, 5)` in TRACK_COLUMNS, `present (A,)`, `braking (A,)`, `signals (S,)`."""

    centers: Floats
    present: Bools
    braking: Bools
    signals: NDArray[np.uint8]

    @classmethod
    def of(cls, record: Record, sample: int, dt: float) -> Moment:
        """A sample of what happened. At the first one nobody is known to brake."""
        centers, present = record.centers[sample], record.presence[sample]
        braking = np.zeros(len(present), dtype=np.bool_)
        if sample > 0:
            now, before = (
                np.hypot(c[:, TRACK_VX], c[:, TRACK_VY]) for c in (centers, record.centers[sample - 1])
            )
            braking = record.presence[sample - 1] & (now - before < -BRAKING * dt)
        return cls(centers, present, braking, record.signals[:, sample])


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """A camera's rays in its own axes, as `drive.sim.kernels.camera_ground` reads them, and its mounting."""

    spec: CameraSpec
    numbers: Floats
    column: Floats
    row: Floats
    turn: Floats
    depth: Floats

    @classmethod
    def of(cls, spec: CameraSpec) -> Lens:
        fx, fy, cx, cy = spec.intrinsics
        u, v = np.arange(spec.width) + 0.5, np.arange(spec.height) + 0.5
        left = (cx - u) / fx
        if spec.projection == "pinhole":
            kind = PINHOLE
            parts = (np.ones_like(left), left, np.zeros_like(left), np.full_like(left, -1.0 / fx))
        else:
            kind = CYLINDER
            parts = (np.cos(left), np.sin(left), np.sin(left) / fx, -np.cos(left) / fx)
        return cls(
            spec,
            np.array([fx, fy, cx, cy, float(kind)]),
            np.ascontiguousarray(np.stack(parts, axis=1)),
            np.stack(((cy - v) / fy, np.full_like(v, -1.0 / fy)), axis=1),
            rotation(*spec.pose[3:]),
            np.zeros((spec.height, spec.width)),
        )


def rotation(roll: float, pitch: float, yaw: float) -> Floats:
    """The matrix (3, 3) from a camera's axes to those that it is mounted in: Rz(yaw) Ry(pitch) Rx(roll)."""
    (cr, cp, cw), (sr, sp, sw) = (f(np.array([roll, pitch, yaw], dtype=np.float64)) for f in (np.cos, np.sin))
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cr, -sr], [0.0, sr, cr]])
    about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    about_z = np.array([[cw, -sw, 0.0], [sw, cw, 0.0], [0.0, 0.0, 1.0]])
    return about_z @ about_y @ about_x


@dataclass(frozen=True, slots=True, eq=False)
class CameraRig:
    """The cameras of one agent on one map. Its buffers make it single-threaded.

    `size (A, 3)`, `kind (A,)` of everybody; `shown (A,)` who can be in a picture: not the agent itself.
    """

    lenses: tuple[Lens, ...]
    shown: Bools
    size: Floats
    kind: NDArray[np.uint8]
    colours: Floats
    street: Street
    paint: RoadPaint
    bodies: tuple[NDArray[np.int32], Floats, NDArray[np.int64], Floats]
    cells: Image
    held: NDArray[np.int64]
    acc: Floats
    patch: Floats

    @classmethod
    def of(
        cls, cameras: Sequence[CameraSpec], roadmap: RoadMap, size: Floats, kind: NDArray[np.uint8], own: int
    ) -> CameraRig:
        """A rig of cameras on the agent in the row `own` (-1: it has none).

        Raises MapError for a map that is too large to be seen.
        """
        # Kernels look up bodies by kind; files may hold numbers and sizes of which nobody knows.
        kind = np.minimum(kind, max(AgentKind)).astype(np.uint8)
        shown = ((size > 0.0) & (size < LARGEST)).all(1)
        if own >= 0:
            shown[own] = False
        return cls(
            tuple(Lens.of(spec) for spec in cameras),
            shown,
            np.ascontiguousarray(size, dtype=np.float64),
            kind,
            agent_colours(kind, own),
            Street.of(roadmap),
            RoadPaint.of(roadmap),
            part_tables(),
            np.zeros((LEVELS, SIDE, SIDE, 3), dtype=np.uint8),
            np.full((LEVELS, TILES, TILES, 2), NOWHERE),
            np.zeros((TILE, TILE + 1)),
            np.zeros((TILE, TILE, 3)),
        )

    def shoot(self, which: int, pose: Floats, moment: Moment) -> Image:
        """The picture (height, width, 3) of camera number `which`, the rear axle at `pose` (x, y, heading).

        Raises InputError for a pose that is not finite or too far from the map's origin.
        """
        lens = self.lenses[which]
        x, y, heading = (float(v) for v in pose[:3])
        if not (abs(x) <= FARTHEST_PLACE and abs(y) <= FARTHEST_PLACE and abs(heading) < np.inf):
            raise InputError(f"no camera can be at x {x:g} m, y {y:g} m, heading {heading:g} rad")
        paint, street = self.paint, self.street
        paint_ground(
            x, y, self.cells, self.held, paint.keys, paint.bin_start, paint.bin_shape, paint.box,
            paint.edge_start, paint.edges, paint.layer, paint.colours, self.acc, self.patch,
        )  # fmt: skip
        ego = rotation(0.0, 0.0, heading)
        turn = ego @ lens.turn
        eye = ego @ np.asarray(lens.spec.pose[:3], dtype=np.float64) + (x, y, 0.0)
        image = np.empty((lens.spec.height, lens.spec.width, 3), dtype=np.uint8)
        centers = np.ascontiguousarray(moment.centers, dtype=np.float64)
        present = moment.present & self.shown & (np.abs(centers[:, :3]) < FARTHEST_PLACE).all(1)
        draw_picture(
            image, lens.depth, lens.column, lens.row, lens.numbers, turn, eye, x, y, self.cells, street.faces,
            street.paints, street.colours, street.bulbs, street.lit(moment.signals),
            centers, present, self.size, self.kind, moment.braking, self.colours, *self.bodies,
        )  # fmt: skip
        return image


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """The cameras of one driven agent during a run: pictures at their own rates, with their histories.

    A camera of `rate` Hz takes one at sample 0 and from then on every 1 / rate s, in whole steps, at least
    one. Pictures are drawn when they are first asked for, from what was recorded of that sample.
    """

    rig: CameraRig
    dt: float
    taken: list[dict[int, Image]] = field(default_factory=list)

    @classmethod
    def of(cls, scenario: Scenario, cameras: Sequence[CameraSpec], row: int, size: Floats) -> Cameras:
        """Cameras on the track `row`; `size (A, 3)` of everybody."""
        rig = CameraRig.of(cameras, scenario.roadmap, size, scenario.tracks.kind, row)
        return cls(rig, scenario.dt, [{} for _ in cameras])

    def images(self, sample: int, ego_past: Floats, record: Record) -> dict[str, Image]:
        """By name (frames, height, width, 3), oldest first, up to a sample; `ego_past (sample + 1, >= 3)`."""
        out = {}
        for which, (lens, taken) in enumerate(zip(self.rig.lenses, self.taken, strict=True)):
            spec = lens.spec
            period = max(round(1.0 / (spec.rate * self.dt)), 1)
            latest = sample - sample % period
            wanted = [max(latest - period * k, 0) for k in range(spec.frames - 1, -1, -1)]
            for old in [k for k in taken if k < wanted[0]]:
                del taken[old]
            for k in wanted:
                if k not in taken:
                    taken[k] = self.rig.shoot(which, ego_past[k], Moment.of(record, k, self.dt))
            out[spec.name] = np.stack([taken[k] for k in wanted])
        return out
