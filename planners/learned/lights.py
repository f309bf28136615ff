"""Red lights for scorers: what is known for certain is not left to a head that has seen few of them.

In training sets of all families one moment in eighty has a red light near. The heads learnt from that obey in
the junctions that they know and not in others, though they are told how far the line is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drive.nn.geometry import GEOMETRY_COLUMNS, candidate_geometry
from drive.nn.scene import EGO_COLUMNS

if TYPE_CHECKING:
    from drive.nn._torch import Tensor
    from drive.nn.scene import SceneArrays

SPEED, RED = EGO_COLUMNS.index("speed"), EGO_COLUMNS.index("red_distance")
PAST = GEOMETRY_COLUMNS.index("red_past")
BRAKING = 4.0
"""m/s^2 that a stop at the line may ask for; whom the light surprises drives on as the heads say."""
MARGIN = 0.3
"""m past the line that are let be."""


def held_at_red(scene: SceneArrays, within: float | None = None) -> Tensor:
    """Whether a line whose signal is red lies ahead and the ego can stop before it: (B,).

    With `within`, it is no farther than 10 m and what is driven in so many s.
    """
    speed, red = scene.ego[:, SPEED].clamp(min=0.0), scene.ego[:, RED]
    held: Tensor = (red > 0.0) & (speed * speed <= 2.0 * BRAKING * red)
    return held if within is None else held & (red < 10.0 + within * speed)


def red_light_cost(scene: SceneArrays | None, poses: Tensor, cost: float, dt: float = 0.1) -> Tensor:
    """`-cost` for candidates `poses (B, K, T, 3)` that end past a line whose signal is red, else 0, (B, K).

    Nothing where the front bumper is past the line or cannot stop before it, nor without a scene in vectors.
    """
    if scene is None or not bool((held := held_at_red(scene)).any()):
        return poses.new_zeros(poses.shape[:2])
    past = candidate_geometry(scene, poses, dt, every=poses.shape[2])[:, :, -1, PAST]
    return -cost * ((past > MARGIN) & held[:, None]).to(poses.dtype)


__all__ = ["held_at_red", "red_light_cost"]
