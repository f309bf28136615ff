"""The parts of the step as kernels of their own, so that each can be timed: shells around the same passes.

Each visits every world once, as a step does, so that neither the caches nor the branch predictor know it
better than they do there; and each begins the visit and places the crowd first, which all of them need.
"""

from __future__ import annotations

from drive.sim.kernels.compile import kernel_apart, scalar
from drive.sim.kernels.passes import (
    accelerate,
    act_all,
    begin,
    collide,
    foresee,
    look_at_leaders,
    look_at_others,
    steer_all,
)
from drive.sim.kernels.survey import place_rows


@scalar
def arrive(w, m, g, p, crowd, own, ids):
    """What every part needs first."""
    count = m.x.shape[1]
    begin(w, count, m, g, p, own, ids)
    place_rows(w, m, g, crowd, count)
    foresee(w, count, m, g, p, crowd, own, ids, True)


@kernel_apart
def places(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt):
    """Where everybody is on its path, and will be up to `LATER` s from now."""
    for w in range(m.x.shape[0]):
        arrive(w, m, g, p, crowd, own, ids)


@kernel_apart
def decisions(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt):
    """What all drivers do for those around them."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        arrive(w, m, g, p, crowd, own, ids)
        look_at_leaders(w, count, m, g, p, crowd, own, ids, True)
        look_at_others(w, count, m, g, p, crowd, flags, own, ids, True)
        accelerate(w, count, m, g, p, crowd, own, ids, wish, dt, True)


@kernel_apart
def steering(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt):
    """Where all drivers are on their paths, and how they steer."""
    for w in range(m.x.shape[0]):
        arrive(w, m, g, p, crowd, own, ids)
        steer_all(w, m.x.shape[1], m, g, p, crowd, own, ids, wish, lane, dt)


@kernel_apart
def moves(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt):
    """Everybody's bicycle; `wish` holds what all do, `lane` that nobody changes its own."""
    count = m.x.shape[1]
    for w in range(m.x.shape[0]):
        arrive(w, m, g, p, crowd, own, ids)
        for i in range(count):
            lane[i] = -1
            wish[2, i], wish[3, i] = m.station[w, i], m.offset[w, i]
        act_all(w, count, m.sample[w] + 1, m, g, p, control, pose, crowd, own, ids, wish, lane, dt)


@kernel_apart
def collisions(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt):
    """Whose boxes overlap."""
    for w in range(m.x.shape[0]):
        arrive(w, m, g, p, crowd, own, ids)
        collide(w, m, crowd, flags, m.x.shape[1])
