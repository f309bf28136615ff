"""The step of a batch of worlds: log, IDM and MOBIL drivers, controls, trajectories, collisions."""

from __future__ import annotations

from drive.sim.kernels.compile import kernel_apart
from drive.sim.kernels.moves import awaited, enter
from drive.sim.kernels.passes import act_all, begin, collide, decide_all
from drive.sim.kernels.survey import place_rows


@kernel_apart
def step_kernel(m, g, p, control, pose, wish, lane, crowd, flags, own, ids, dt, steps, anticipate, w0, w1):
    """Advance the worlds `w0..w1` in place by `steps` steps of `dt` seconds.

    `control (W, A, 2)` acceleration and steering rate; `pose (W, A, 5)` rear-axle x, y, heading,
    speed, yaw rate after the step. Scratch: `wish (4, A)`, `lane (A,)`, `crowd (CROWD_ROWS, P)`, `flags
    (P,)`, `own (OWN_ROWS, P)`, `ids (ID_ROWS, P)`.
    """
    count = m.x.shape[1]
    for w in range(w0, w1):
        begin(w, count, m, g, p, own, ids)
        for _ in range(steps):
            place_rows(w, m, g, crowd, count)
            # Everyone decides before anyone moves, and moves before anyone enters.
            decide_all(w, count, m, g, p, crowd, flags, own, ids, wish, lane, dt, anticipate)
            sample = m.sample[w] + 1
            act_all(w, count, sample, m, g, p, control, pose, crowd, own, ids, wish, lane, dt)
            for i in range(count):
                if awaited(w, i, sample, m, g):
                    enter(w, i, sample, m, g, p, count)
            m.sample[w] = sample
        place_rows(w, m, g, crowd, count)
        collide(w, m, crowd, flags, count)
