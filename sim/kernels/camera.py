"""One picture: ground and sky, shadows, what stands still, road users, lit bulbs."""

from __future__ import annotations

from drive.sim.kernels.camera_agents import draw_agents, draw_shadows
from drive.sim.kernels.camera_faces import draw_bulbs, draw_walls
from drive.sim.kernels.camera_ground import draw_ground
from drive.sim.kernels.compile import kernel


@kernel
def draw_picture(
    image, depth, column, row, lens, turn, eye, x, y, cells, faces, paints, wall_colours, bulbs, bulb_colours,
    centers, present, size, kind, braking, colours, part_start, parts, skins, tints,
):  # fmt: skip
    """Fill `image (H, W, 3)`; the arrays are those of the parts, which are compiled together."""
    draw_ground(image, depth, column, row, turn, eye, x, y, cells)
    draw_shadows(image, depth, column, row, lens, turn, eye, centers, present, size)
    draw_walls(image, depth, column, row, lens, turn, eye, faces, paints, wall_colours)
    draw_agents(
        image, depth, column, row, lens, turn, eye, centers, present, size, kind, braking, colours,
        part_start, parts, skins, tints,
    )  # fmt: skip
    draw_bulbs(image, depth, column, row, lens, turn, eye, bulbs, bulb_colours)
