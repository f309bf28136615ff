"""The ground near the ego as nested rasters of one size, each twice as coarse as the one before.

Cell (i, j) of level l covers the square of `CELL` 2^l m whose indices in the plane are congruent to (i, j)
modulo `SIDE`: when the ego moves, only the tiles that come into the window are painted anew (the
clipmap of Tanner, Migdal and Jones, 1998). A cell's colour is exact in area: edges leave their signed areas
in an accumulation buffer, whose running sums along the rows are coverages. What a cell holds depends on its
place alone, never on how the window came there.

Shapes are polygons of one orientation (counter-clockwise) as edges in compressed rows; those of one layer add
up, so that polygons that share an edge leave no seam. They are listed by square bins of the coarsest tile's
size, and in a bin by layer.
"""

from __future__ import annotations

import math

from drive.sim.kernels.compile import kernel, routine, scalar

CELL = 0.1
"""Side of the finest cells, m."""
LEVELS, TILES, TILE = 6, 16, 32
SIDE = TILES * TILE
BIN = CELL * TILE * 2 ** (LEVELS - 1)
"""Side of a bin, m."""
KEY, HALF_KEY = 2**21, 2**20
NOWHERE = 2**62


@scalar
def add_piece(acc, x0, y0, x1, y1):
    """Add the edge from (x0, y0) to (x1, y1), in cells of a tile, 0 <= x <= TILE; rows are clipped."""
    sign = -1.0
    if y0 > y1:
        x0, y0, x1, y1, sign = x1, y1, x0, y0, 1.0
    if y1 > 0.0 and y0 < TILE and y1 > y0:
        slope = (x1 - x0) / (y1 - y0)
        low, high = max(y0, 0.0), min(y1, float(TILE))
        for row in range(int(low), min(int(math.ceil(high)), TILE)):
            top, bottom = min(high, row + 1.0), max(low, float(row))
            height = sign * (top - bottom)
            xa, xb = x0 + slope * (bottom - y0), x0 + slope * (top - y0)
            if xa > xb:
                xa, xb = xb, xa
            xa, xb = max(xa, 0.0), min(xb, float(TILE))
            first, last = min(int(xa), TILE - 1), min(int(math.ceil(xb)), TILE)
            if last <= first + 1:
                share = height * (0.5 * (xa + xb) - first)
                acc[row, first] += height - share
                acc[row, first + 1] += share
            else:
                per = height / (xb - xa)
                for column in range(first, last):
                    left, right = max(xa, float(column)), min(xb, column + 1.0)
                    part = per * (right - left)
                    share = part * (0.5 * (left + right) - column)
                    acc[row, column] += part - share
                    acc[row, column + 1] += share


@routine
def add_edge(acc, x0, y0, x1, y1):
    """`add_piece` for any edge: what lies left of the tile counts at its side, what lies right not at all."""
    wide = float(TILE)
    if x0 >= wide and x1 >= wide:
        return
    if x0 <= 0.0 and x1 <= 0.0:
        add_piece(acc, 0.0, y0, 0.0, y1)
        return
    if (x0 < 0.0) != (x1 < 0.0):
        y = y0 + (y1 - y0) * (-x0) / (x1 - x0)
        if x0 < 0.0:
            add_piece(acc, 0.0, y0, 0.0, y)
            x0, y0 = 0.0, y
        else:
            add_piece(acc, 0.0, y, 0.0, y1)
            x1, y1 = 0.0, y
    if (x0 > wide) != (x1 > wide):
        y = y0 + (y1 - y0) * (wide - x0) / (x1 - x0)
        if x0 > wide:
            x0, y0 = wide, y
        else:
            x1, y1 = wide, y
    add_piece(acc, x0, y0, x1, y1)


@scalar
def flush(acc, patch, colours, layer):
    """Lay one layer's colour over the tile, as far as it covers each cell, and clear the buffer."""
    red, green, blue = colours[layer, 0], colours[layer, 1], colours[layer, 2]
    for row in range(TILE):
        total = 0.0
        for column in range(TILE):
            total += acc[row, column]
            acc[row, column] = 0.0
            if total > 1e-6:
                cover = min(total, 1.0)
                patch[row, column, 0] += cover * (red - patch[row, column, 0])
                patch[row, column, 1] += cover * (green - patch[row, column, 1])
                patch[row, column, 2] += cover * (blue - patch[row, column, 2])
        acc[row, TILE] = 0.0


@scalar
def bin_of(keys, key):
    """Row of a sorted array that holds a key, -1 where none does."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < len(keys) and keys[low] == key else -1


@kernel
def paint_ground(
    x, y, cells, held, keys, bin_start, bin_shape, box, edge_start, edges, layer, colours, acc, patch
):
    """Bring the rasters `cells (LEVELS, SIDE, SIDE, 3)` around (x, y) up to date; `held` says what they hold.

    `keys (B,)` of bins, sorted, `bin_start (B + 1,)`, `bin_shape`; `box (S, 4)` x and y from and to,
    `edge_start (S + 1,)`, `edges (E, 4)`, `layer (S,)`, `colours (layers, 3)`, the bare ground's first.
    `held (LEVELS, TILES, TILES, 2)`, `acc (TILE, TILE + 1)` zeros and `patch (TILE, TILE, 3)` are scratch.
    """
    for level in range(LEVELS):
        size = CELL * 2.0**level
        inverse, wide = 1.0 / size, size * TILE
        first_x = int(math.floor(x / wide + 0.5)) - TILES // 2
        first_y = int(math.floor(y / wide + 0.5)) - TILES // 2
        shift = LEVELS - 1 - level
        for ty in range(first_y, first_y + TILES):
            slot_y = ty % TILES
            for tx in range(first_x, first_x + TILES):
                slot_x = tx % TILES
                if held[level, slot_y, slot_x, 0] == tx and held[level, slot_y, slot_x, 1] == ty:
                    continue
                held[level, slot_y, slot_x, 0] = tx
                held[level, slot_y, slot_x, 1] = ty
                for row in range(TILE):
                    for column in range(TILE):
                        for k in range(3):
                            patch[row, column, k] = colours[0, k]
                x0, y0 = tx * wide, ty * wide
                found = bin_of(keys, ((tx >> shift) + HALF_KEY) * KEY + (ty >> shift) + HALF_KEY)
                if found >= 0:
                    open_layer = 0
                    for k in range(bin_start[found], bin_start[found + 1]):
                        s = bin_shape[k]
                        if (
                            box[s, 0] >= x0 + wide
                            or box[s, 2] <= x0
                            or box[s, 1] >= y0 + wide
                            or box[s, 3] <= y0
                        ):
                            continue
                        if layer[s] != open_layer:
                            if open_layer > 0:
                                flush(acc, patch, colours, open_layer)
                            open_layer = layer[s]
                        for e in range(edge_start[s], edge_start[s + 1]):
                            add_edge(
                                acc, (edges[e, 0] - x0) * inverse, (edges[e, 1] - y0) * inverse,
                                (edges[e, 2] - x0) * inverse, (edges[e, 3] - y0) * inverse,
                            )  # fmt: skip
                    if open_layer > 0:
                        flush(acc, patch, colours, open_layer)
                for row in range(TILE):
                    for column in range(TILE):
                        for k in range(3):
                            cells[level, slot_y * TILE + row, slot_x * TILE + column, k] = int(
                                patch[row, column, k] + 0.5
                            )
