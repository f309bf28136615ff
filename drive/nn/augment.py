"""The same moment seen otherwise: turned, mirrored, or measured anew. All exact but for rounding."""

from __future__ import annotations

import math

from drive.nn._torch import Tensor, constant, torch
from drive.nn.scene import (
    EGO_COLUMNS,
    ROUTE_COLUMNS,
    SceneArrays,
)

# Pairs of columns that are vectors of the plane.
_VECTORS = {
    "agents": ((0, 1), (2, 3), (4, 5)),
    "lanes": ((0, 1), (2, 3)),
    "edges": ((0, 1),),
    "route": ((0, 1), (2, 3)),
}
_SIDED = ("steering", "yaw_rate", "offset", "heading")  # what of the ego's own changes sign in a mirror
_HEADING = EGO_COLUMNS.index("heading")


def rotate_scene(scene: SceneArrays, angle: Tensor | float) -> SceneArrays:
    """Everything of `scene` (B, ...) turned by `angle` rad, a number or (B,), about the ego's rear axle.

    The ego is turned with it: its own columns are relative to the way and to itself, and stay. The frame's x
    then no longer points ahead: see `turn_ego` for that. Poses turn by `rotate_poses`.
    """
    angle = torch.zeros_like(scene.ego[:, 0]) + angle
    turned = {}
    for name, pairs in _VECTORS.items():
        array = getattr(scene, name)
        columns = list(array.unbind(-1))
        wide = angle.view(-1, *[1] * (array.ndim - 2))
        cosine, sine = torch.cos(wide), torch.sin(wide)
        for i, j in pairs:
            x, y = columns[i], columns[j]
            columns[i], columns[j] = cosine * x - sine * y, sine * x + cosine * y
        turned[name] = torch.stack(columns, -1)
    return scene._replace(**turned)


def turn_ego(scene: SceneArrays, angle: Tensor | float) -> SceneArrays:
    """`scene` (B, ...) as the ego would see it had it turned by `angle` rad where it stands.

    The frame turns with the ego, so that the scene turns the other way; the ego's heading on the way grows.
    Candidates stay as they are, and mean other motions: labels must be made anew.
    """
    seen = rotate_scene(scene, -angle)
    ego = scene.ego.clone()
    ego[:, _HEADING] = _wrapped(ego[:, _HEADING] + angle)
    return seen._replace(ego=ego)


def mirror_scene(scene: SceneArrays) -> SceneArrays:
    """`scene` (B, ...) with left and right exchanged. Twice gives the scene again, to the last bit."""
    found = {}
    for name, pairs in _VECTORS.items():
        array = getattr(scene, name).clone()
        for _, j in pairs:
            array[..., j] = _negated(array[..., j])
        found[name] = array
    # The road lies on the left of its edges: their points come in the other order.
    found["edges"] = found["edges"].flip(-2)
    route, columns = found["route"], {name: k for k, name in enumerate(ROUTE_COLUMNS)}
    left, right = columns["room_left"], columns["room_right"]
    route[..., columns["curvature"]] = _negated(route[..., columns["curvature"]])
    route[..., left], route[..., right] = scene.route[..., right], scene.route[..., left]
    ego = scene.ego.clone()
    for name in _SIDED:
        k = EGO_COLUMNS.index(name)
        ego[:, k] = _negated(ego[:, k])
    return scene._replace(ego=ego, **found)


def rotate_poses(poses: Tensor, angle: Tensor | float) -> Tensor:
    """Poses (B, ..., 3) or points (B, ..., 2) turned by `angle`, a number or (B,), about the origin."""
    angle = torch.zeros_like(poses.flatten(1)[:, 0]) + angle
    wide = angle.view(-1, *[1] * (poses.ndim - 2))
    x, y = poses[..., 0], poses[..., 1]
    cosine, sine = torch.cos(wide), torch.sin(wide)
    turned = [cosine * x - sine * y, sine * x + cosine * y]
    if poses.shape[-1] == 3:
        turned.append(_wrapped(poses[..., 2] + wide))
    return torch.stack(turned, -1)


def mirror_poses(poses: Tensor) -> Tensor:
    """Poses (..., 3) or points (..., 2) with left and right exchanged."""
    return poses * constant((1.0, -1.0, -1.0)[: poses.shape[-1]], poses.device, poses.dtype)


def measure_again(
    scene: SceneArrays,
    generator: torch.Generator,
    *,
    position: float = 0.1,
    heading: float = 0.02,
    velocity: float = 0.2,
    missed: float = 0.0,
) -> SceneArrays:
    """`scene` (B, ...) with other agents as a sensor might have seen them.

    Normal errors of `position` m, `heading` rad and `velocity` m/s, one for each agent and moment; a share
    `missed` of the agents is not seen at all. Rows that are not valid stay zero.
    """
    agents, valid = scene.agents, scene.agents_valid

    def drawn(*shape: int) -> Tensor:
        found = torch.randn(shape, generator=generator, device=generator.device)
        return found.to(device=agents.device, dtype=agents.dtype)

    places = position * drawn(*agents.shape[:-1], 2)
    angles = heading * drawn(*agents.shape[:-1])
    speeds = velocity * drawn(*agents.shape[:-1], 2)
    lost = (
        torch.rand(valid.shape[:2], generator=generator, device=generator.device).to(agents.device) < missed
    )
    x, y, c, s, vx, vy = agents.unbind(-1)
    cosine, sine = torch.cos(angles), torch.sin(angles)
    noisy = torch.stack(
        (
            x + places[..., 0], y + places[..., 1], cosine * c - sine * s, sine * c + cosine * s,
            vx + speeds[..., 0], vy + speeds[..., 1],
        ),
        -1,
    )  # fmt: skip
    seen = valid & ~lost[..., None]
    bodies = scene.bodies.masked_fill(lost[..., None], 0.0)
    return scene._replace(agents=noisy.masked_fill(~seen[..., None], 0.0), agents_valid=seen, bodies=bodies)


def _wrapped(angle: Tensor) -> Tensor:
    """Angles in (-pi, pi]; those that are in it stay to the last bit."""
    turns = torch.ceil((angle - math.pi) / (2.0 * math.pi))
    return angle - 2.0 * math.pi * turns


def _negated(values: Tensor) -> Tensor:
    """Without negative zeros: padding stays as it was."""
    return 0.0 - values


__all__ = ["measure_again", "mirror_poses", "mirror_scene", "rotate_poses", "rotate_scene", "turn_ego"]
