"""The bends of `curved_overtake`, the target lane full of cars as slow as the leader: one stays behind it."""

from __future__ import annotations

from functools import partial

from drive.datasets.generate.families.curved_overtake import draw_overtake

draw = partial(draw_overtake, blocked=True)
