"""Learning without a network: the cross-entropy method searches a policy of 18 numbers in a vector world.

python examples/06_learn_to_drive.py
All policies of a generation drive at once: each in its own copies of the same scenes, in one batch.
"""

import numpy as np

from drive.sim import VectorWorld
from drive.sim.features import split
from drive.sim.vector import OUTCOMES

SCENES, POLICIES, GENERATIONS, ELITE = 6, 64, 20, 8


def senses(rows):
    """Nine numbers `(N, 9)` of feature rows; the columns are named in drive.sim.kernels.features."""
    seen = split(rows)
    x, y, speed = (seen.neighbours[..., k] for k in (0, 1, 4))
    ahead = (x > 2.0) & (np.abs(y) < 1.8)
    gap = np.where(ahead, x, 60.0).min(1)
    leader = np.take_along_axis(speed, np.argmin(np.where(ahead, x, 1e3), 1)[:, None], 1)[:, 0]
    closing = np.where(ahead.any(1), seen.ego[:, 0] - leader, 0.0)
    aside = seen.points[:, 2, 0, 1]  # m that the route lies to the left, 8 to 16 m ahead
    return np.stack(
        (np.ones(len(rows)), seen.ego[:, 0] / 10.0, seen.route[:, 3] / 10.0, np.minimum(gap, 60.0) / 30.0,
         closing / 10.0, np.minimum(seen.route[:, 7], 60.0) / 30.0, aside, 5.0 * seen.route[:, 2],
         5.0 * seen.ego[:, 2]),
        axis=1,
    )  # fmt: skip


def returns(world, policies):
    """Mean return of each policy `(P, 2, 9)`: acceleration and steering rate are linear in the senses."""
    count = len(world.scenarios)
    rows = world.reset(scenarios=np.tile(np.arange(count), len(policies)))
    mine = np.repeat(policies, count, axis=0)
    # A world that has ended stays still until it is reset, and earns nothing.
    for _ in range(max(s.num_steps for s in world.scenarios)):
        world.step(np.tanh(np.einsum("nij,nj->ni", mine, senses(rows))) * (4.0, 0.5))
    return world.total.reshape(len(policies), count).mean(1)


def main():
    train = VectorWorld.of(f"gen/lane_follow_curved/0:{SCENES}", SCENES * POLICIES, autoreset="off")
    generator = np.random.default_rng(0)
    mean, spread = np.zeros((2, 9)), np.full((2, 9), 0.5)
    for generation in range(GENERATIONS):
        policies = mean + spread * generator.normal(size=(POLICIES, 2, 9))
        found = returns(train, policies)
        best = policies[np.argsort(found)[-ELITE:]]
        mean, spread = best.mean(0), best.std(0) + 0.1 * 0.8**generation
        print(f"generation {generation + 1:2d}: mean {found.mean():6.2f}, best {found.max():6.2f}")
    # What counts are scenes that it has never seen.
    test = VectorWorld.of("gen/lane_follow_curved/100:140", 40, autoreset="off")
    for name, policy in (("no control", np.zeros((2, 9))), ("learned", mean)):
        print(f"{name} on 40 other scenes: {returns(test, policy[None])[0]:.2f}", end=", ")
        print({OUTCOMES[k]: int((test.outcome == k).sum()) for k in np.unique(test.outcome)})


if __name__ == "__main__":
    main()
