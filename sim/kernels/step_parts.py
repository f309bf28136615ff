"""The parts of the step as kernels of their own, so that each can be timed: shells around `step`'s functions.

Each visits every world once, as a step does, so that neither the caches nor the branch predictor know it
better than they do there; and each places the crowd first, which all of them need.
"""

from __future__ import annotations

from drive.sim.kernels.compile import kernel
from drive.sim.kernels.follow import place_later
from drive.sim.kernels.scalar import ZERO
from drive.sim.kernels.step import collide, drive_on_path, follow_path, move
from drive.sim.kernels.survey import LATER, place_crowd


@kernel
def places(m, g, p, crowd):
    """Where everybody is, and will be in `LATER` s."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        place_crowd(w, m, g, crowd, count)
        place_later(w, count, LATER, m, g, p, crowd)


@kernel
def decisions(m, g, p, crowd, flags, words, dt, found):
    """What all drivers do for those around them."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        place_crowd(w, m, g, crowd, count)
        place_later(w, count, LATER, m, g, p, crowd)
        for i in range(count):
            if m.path[w, i] >= 0:
                found[i], _ = drive_on_path(
                    w, i, m.path[w, i], m.station[w, i], m, g, p, crowd, flags, words, dt, count, True
                )


@kernel
def steering(m, g, p, crowd, dt, found):
    """Where all drivers are on their paths, and how they steer."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        place_crowd(w, m, g, crowd, count)
        place_later(w, count, LATER, m, g, p, crowd)
        for i in range(count):
            if m.path[w, i] >= 0:
                found[i], _, _ = follow_path(
                    w, i, m.path[w, i], m.station[w, i], m.offset[w, i], m, g, p, crowd, dt
                )


@kernel
def moves(m, g, p, crowd, dt):
    """Everybody's bicycle."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        place_crowd(w, m, g, crowd, count)
        place_later(w, count, LATER, m, g, p, crowd)
        for i in range(count):
            move(w, i, ZERO, ZERO, True, m, g, p, crowd, dt)


@kernel
def collisions(m, g, p, crowd, flags, words):
    """Whose boxes overlap."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        place_crowd(w, m, g, crowd, count)
        place_later(w, count, LATER, m, g, p, crowd)
        collide(w, m, crowd, flags, words, count)
