"""Pictures of cameras: the toolkit's own drawing of its truth, marked as such in the picture itself.

They let code run that reads images. They prove nothing about perception and resemble no Unreal picture. The
ground is drawn flat at the camera's own ground; the band at the foot of a colour picture says what it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.planner import CameraSpec
from drive.scenario import SignalState
from drive.sim.carla.frames import to_ours
from drive.sim.carla.kernels.layout import (
    C_BRAKE,
    GREEN,
    HALF_X,
    HALF_Z,
    KIND,
    L_STATE,
    PROP,
    RED,
    VEHICLE,
    WALKER,
    YAW,
    YELLOW,
)
from drive.sim.carla.world.blueprints import BY_NAME
from drive.sim.carla.world.lettering import letters
from drive.sim.carla.world.scans import labels, throw
from drive.sim.carla.world.studio import frame_of
from drive.sim.sensors.camera import CameraRig, Lens, Moment, rotation
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.sim.carla.world.actors import Actor
    from drive.sim.carla.world.world import CarlaWorld

    Floats = NDArray[np.float64]
    Picture = NDArray[np.uint8]

MOST_RAYS = 500_000
"""Of one pass over a labelled picture."""
BAND = "SYNTHETIC - DRIVE TOOLKIT - NOT CARLA"
DEEPEST = 1000.0
"""Metres that are white in a depth picture."""
KINDS = {
    "car": AgentKind.VEHICLE,
    "van": AgentKind.VEHICLE,
    "truck": AgentKind.TRUCK,
    "bus": AgentKind.BUS,
    "motorcycle": AgentKind.MOTORCYCLE,
    "bicycle": AgentKind.BICYCLE,
}
STATES = {RED: SignalState.RED, YELLOW: SignalState.YELLOW, GREEN: SignalState.GREEN}


def picture(world: CarlaWorld, fact: Actor, pose: Floats, parent: int) -> tuple[Picture, float]:
    """A camera's picture `(H, W, 4)`, blue, green, red, alpha, and its field of view in degrees."""
    width, height, fov = frame_of(fact)
    out = np.full((height, width, 4), 255, dtype=np.uint8)
    if fact.type_id in ("sensor.camera.semantic_segmentation", "sensor.camera.instance_segmentation"):
        out[..., :3] = _labelled(world, fact, pose, parent, width, height, fov)
        return out, fov
    shot, depth = _shoot(world, pose, parent, width, height, fov)
    if fact.type_id == "sensor.camera.depth":
        # 24 bits over DEEPEST metres, red the lowest, as CARLA's client decodes it.
        code = (np.clip(depth / DEEPEST, 0.0, 1.0) * (256**3 - 1)).astype(np.uint32)
        out[..., 2], out[..., 1], out[..., 0] = code & 255, code >> 8 & 255, code >> 16
        return out, fov
    out[..., :3] = shot[..., ::-1]
    _mark(out)
    return out, fov


def _mark(out: Picture) -> None:
    """Write what the picture is into a band at its foot, as large as fits; none below 16 pixels of height."""
    height, width = out.shape[:2]
    if height < 16:
        return
    text = letters(BAND)
    scale = max(min((width - 4) // text.shape[1], height // 90 + 1), 1)
    text = np.kron(text, np.ones((scale, scale), dtype=np.uint8))[:, : width - 2]
    rows = text.shape[0] + 4
    if rows > height // 2:
        return
    band = out[-rows:]
    band[..., :3] = 0
    # Yellow on black.
    band[2:-2, 2 : 2 + text.shape[1], 1:3][text > 0] = 255


def _shoot(
    world: CarlaWorld, pose: Floats, parent: int, width: int, height: int, fov: float
) -> tuple[Picture, Floats]:
    """The drawn picture `(H, W, 3)` red, green, blue, and the distance ahead of each pixel in m."""
    rig = _rig(world)
    ours = to_ours(pose)
    x, y, z, roll, pitch, yaw = (float(v) for v in ours)
    ground = world.ground_height(pose[:3])
    focal = 0.5 * width / float(np.tan(np.radians(fov) / 2.0))
    spec = CameraSpec(
        "camera", width, height, (focal, focal, 0.5 * width, 0.5 * height),
        # The drawing's ground is a plane that a camera has to be above.
        (0.0, 0.0, max(z - ground, 0.05), roll, pitch, 0.0),
    )  # fmt: skip
    studio = world.studio
    if len(studio.lenses) > 16:
        studio.lenses.clear()
    key = (width, height, fov)
    lens = studio.lenses.get(key)
    if lens is None:
        lens = studio.lenses[key] = Lens.of(spec)
    lens = replace(lens, spec=spec, turn=rotation(roll, pitch, 0.0))
    moment = _moment(world)
    if parent >= 0 and _inside(world, pose, parent):
        moment.present[parent] = False
    shot = replace(rig, lenses=(lens,)).shoot(0, np.array((x, y, yaw)), moment)
    return shot, np.minimum(lens.depth, 1e9)


def _inside(world: CarlaWorld, pose: Floats, row: int) -> bool:
    """Whether a camera is within its parent's box, or just above its roof, whose edge would hide the road."""
    body, half = world.actors.body[row], world.actors.param[row, HALF_X : HALF_Z + 1]
    c, s = np.cos(body[YAW]), np.sin(body[YAW])
    dx, dy = pose[0] - body[0], pose[1] - body[1]
    return bool(abs(dx * c + dy * s) < half[0] + 0.3 and abs(dy * c - dx * s) < half[1] + 0.3)


def _rig(world: CarlaWorld) -> CameraRig:
    """The rig for the present actors; its rasters live on when they change."""
    studio, facts = world.studio, world.actors.facts
    crowd = tuple(f.id for f in facts)
    if studio.rig is None or studio.crowd != crowd:
        size = 2.0 * world.actors.param[: world.actors.count, HALF_X : HALF_Z + 1]
        kind = np.array([_kind(f) for f in facts], dtype=np.uint8)
        fresh = CameraRig.of((), world.town.roadmap, size, kind, own=-1)
        for row, f in enumerate(facts):
            colour = f.value("color")
            if colour:
                fresh.colours[row] = [float(v) for v in colour.split(",")[:3]]
        if studio.rig is not None:
            old = studio.rig
            fresh = replace(fresh, cells=old.cells, held=old.held, acc=old.acc, patch=old.patch)
        studio.rig, studio.crowd = fresh, crowd
    return studio.rig


def _kind(fact: Actor) -> int:
    if fact.kind == "walker":
        return AgentKind.PEDESTRIAN
    blueprint = BY_NAME.get(fact.type_id)
    return KINDS.get(blueprint.base_type if blueprint else "", AgentKind.STATIC)


def _moment(world: CarlaWorld) -> Moment:
    a, n = world.actors, world.actors.count
    body, param = a.body[:n], a.param[:n]
    c, s = np.cos(body[:, YAW]), np.sin(body[:, YAW])
    x = body[:, 0] + param[:, 3] * c - param[:, 4] * s
    y = body[:, 1] + param[:, 3] * s + param[:, 4] * c
    centers = np.stack((x, -y, -body[:, YAW], body[:, 6], -body[:, 7]), axis=1)
    kinds = a.flag[:n, KIND]
    present = np.isin(kinds, (VEHICLE, WALKER, PROP))
    braking = (kinds == VEHICLE) & (a.control[:n, C_BRAKE] > 0.05)
    shown = {s.id: STATES.get(int(k), SignalState.UNKNOWN) for s, k in zip(
        world.lights.signs, world.lights.lamp[:, L_STATE], strict=True
    )}  # fmt: skip
    signals = [shown.get(name, SignalState.UNKNOWN) for name in world.town.roadmap.signal_ids]
    return Moment(centers, present, braking, np.array(signals, dtype=np.uint8))


def _labelled(
    world: CarlaWorld, fact: Actor, pose: Floats, parent: int, width: int, height: int, fov: float
) -> Any:
    """Blue, green, red of a labelled picture: the tag in red, in instance pictures the id in the others."""
    half = np.tan(np.radians(fov) / 2.0)
    u = (2.0 * (np.arange(width) + 0.5) / width - 1.0) * half
    v = (1.0 - 2.0 * (np.arange(height) + 0.5) / height) * half * height / width
    own = parent if parent >= 0 and _inside(world, pose, parent) else -1
    out = np.zeros((height, width, 3), dtype=np.uint8)
    rows = max(MOST_RAYS // width, 1)
    for top in range(0, height, rows):
        part = out[top : top + rows]
        ways = np.ones((len(part), width, 3))
        ways[..., 1], ways[..., 2] = u[None], v[top : top + rows, None]
        flat = ways.reshape(-1, 3)
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        hits = throw(world, pose, flat, DEEPEST, own, lanes=True)
        ids, tags = (a.reshape(part.shape[:2]) for a in labels(world, hits.what, hits.lane))
        part[..., 2] = tags
        if fact.type_id.endswith("instance_segmentation"):
            part[..., 0], part[..., 1] = ids & 255, ids >> 8 & 255
    return out
