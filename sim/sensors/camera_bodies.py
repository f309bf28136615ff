"""What road users look like: a few boxes for each kind, in shares of their length, width and height."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.sim.kernels.camera_faces import CAB, FRONT, GLASS, PERSON, PLAIN, REAR, SIDE, STRIPES
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Part = tuple[
        tuple[float, float, float, float, float, float],
        tuple[int, int, int, int],
        tuple[float, float, float] | None,
    ]

SKIN, DARK, LOAD = (222.0, 184.0, 158.0), (46.0, 46.0, 50.0), (206.0, 206.0, 200.0)
_PLAIN = (PLAIN, PLAIN, PLAIN, PLAIN)
# From and to along x and y in half lengths and half widths and along z in heights; the paints of front,
# rear, sides and top; a colour of its own.
BODIES: dict[AgentKind, tuple[Part, ...]] = {
    AgentKind.VEHICLE: (
        ((-1.0, 1.0, -1.0, 1.0, 0.0, 0.56), (FRONT, REAR, SIDE, PLAIN), None),
        ((-0.84, 0.45, -0.88, 0.88, 0.56, 1.0), (GLASS, GLASS, GLASS, PLAIN), None),
    ),
    AgentKind.BICYCLE: (
        ((-1.0, 1.0, -0.25, 0.25, 0.0, 0.5), _PLAIN, DARK),
        ((-0.4, 0.35, -1.0, 1.0, 0.35, 0.84), _PLAIN, None),
        ((-0.1, 0.25, -0.45, 0.45, 0.84, 1.0), _PLAIN, SKIN),
    ),
    AgentKind.PEDESTRIAN: (
        ((-1.0, 1.0, -1.0, 1.0, 0.0, 0.85), (PERSON, PERSON, PERSON, PLAIN), None),
        ((-0.5, 0.5, -0.5, 0.5, 0.85, 1.0), _PLAIN, SKIN),
    ),
    AgentKind.STATIC: (((-1.0, 1.0, -1.0, 1.0, 0.0, 1.0), (STRIPES, STRIPES, STRIPES, PLAIN), None),),
    AgentKind.MOTORCYCLE: (
        ((-1.0, 1.0, -0.4, 0.4, 0.0, 0.55), (FRONT, REAR, PLAIN, PLAIN), DARK),
        ((-0.4, 0.3, -1.0, 1.0, 0.4, 0.84), _PLAIN, None),
        ((-0.1, 0.25, -0.4, 0.4, 0.84, 1.0), _PLAIN, DARK),
    ),
    AgentKind.TRUCK: (
        ((-1.0, 0.6, -1.0, 1.0, 0.0, 1.0), (PLAIN, REAR, SIDE, PLAIN), LOAD),
        ((0.62, 1.0, -0.96, 0.96, 0.0, 0.86), (CAB, PLAIN, CAB, PLAIN), None),
    ),
    AgentKind.BUS: (((-1.0, 1.0, -1.0, 1.0, 0.0, 1.0), (CAB, REAR, CAB, PLAIN), None),),
    AgentKind.UNKNOWN: (((-1.0, 1.0, -1.0, 1.0, 0.0, 1.0), _PLAIN, None),),
}
_CARS = (
    (186.0, 188.0, 192.0), (226.0, 226.0, 224.0), (44.0, 46.0, 50.0), (48.0, 80.0, 150.0),
    (150.0, 34.0, 38.0), (96.0, 102.0, 108.0), (44.0, 92.0, 70.0),
)  # fmt: skip
COLOURS: dict[AgentKind, tuple[tuple[float, float, float], ...]] = {
    AgentKind.VEHICLE: _CARS,
    AgentKind.BICYCLE: ((206.0, 90.0, 160.0), (186.0, 60.0, 190.0)),
    AgentKind.PEDESTRIAN: ((238.0, 150.0, 20.0), (244.0, 190.0, 40.0)),
    AgentKind.STATIC: ((234.0, 104.0, 24.0),),
    AgentKind.MOTORCYCLE: ((66.0, 160.0, 220.0), (60.0, 190.0, 190.0)),
    AgentKind.TRUCK: ((40.0, 88.0, 132.0), (140.0, 52.0, 40.0)),
    AgentKind.BUS: ((216.0, 172.0, 40.0),),
    AgentKind.UNKNOWN: ((150.0, 112.0, 172.0),),
}


def part_tables() -> tuple[NDArray[np.int32], Floats, NDArray[np.int64], Floats]:
    """`part_start`, `parts`, `skins` and `tints` of `drive.sim.kernels.camera_agents.draw_agents`."""
    rows = [part for kind in AgentKind for part in BODIES[kind]]
    start = np.concatenate(([0], np.cumsum([len(BODIES[kind]) for kind in AgentKind]))).astype(np.int32)
    return (
        start,
        np.array([box for box, _, _ in rows]),
        np.array([paints for _, paints, _ in rows], dtype=np.int64),
        np.array([(-1.0, -1.0, -1.0) if tint is None else tint for _, _, tint in rows]),
    )


def agent_colours(kind: NDArray[np.uint8], own: int = -1) -> Floats:
    """A colour `(A, 3)` for each agent, by its kind and its number among those beside the row `own`."""
    out = np.zeros((len(kind), 3))
    for row, k in enumerate(kind.tolist()):
        choice = COLOURS[AgentKind(k)]
        out[row] = choice[(row - (0 <= own < row)) % len(choice)]
    return out
