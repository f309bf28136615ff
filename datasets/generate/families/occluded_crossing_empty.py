"""The crossing of `occluded_crossing` with nobody on the other road: who waits there waits for phantoms."""

from __future__ import annotations

from functools import partial

from drive.datasets.generate.families.occluded_crossing import draw_crossing

draw = partial(draw_crossing, busy=False)
