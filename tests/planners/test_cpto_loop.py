"""The consensus planner's loop: consensus, barrier, and the optimum that other programs find."""

import numpy as np
import pytest

from drive.planners.cpto.arrays import make_factors, make_iterate, make_scratch, model_of
from drive.planners.cpto.basis import TRUNK, make_basis, sample_basis
from drive.planners.cpto.kernels.admm import ADMM, EXACT, NONE, Problem, Weights, iterate
from drive.planners.cpto.model import convex_model
from drive.planners.cpto.planner import CPTO
from drive.planners.cpto.qp import OSQP, control_points, convexify, flat
from drive.planners.cpto.warm import Memory, warm

BASIS = make_basis(50, 0.1, 1.0)
MODEL = model_of(BASIS)
WEIGHTS = Weights(0.1, 0.05, 2.0, 2.0, 5.0, 0.02, 3.0, 50.0, 1.6, 2.0, 6.0, 2.5, 0.2, 10.0)
STEPS = len(BASIS.times)


def make_problem(goals, speed=10.0, wanted=10.0, obstacles=(), gamma=1.0, active=None, hold=1e6):
    """Branches with lateral `goals (Z,)`; obstacles (x, y, vx, vy) are ellipses of 5 m by 2 m."""
    count, pairs = len(goals), len(obstacles)
    t = BASIS.times
    goals = np.asarray(goals, dtype=np.float64)
    u = np.clip(t / 4.0, 0.0, 1.0)
    place, shape = np.zeros((pairs, 2, STEPS)), np.zeros((pairs, 4, STEPS))
    for i, (x, y, vx, vy) in enumerate(obstacles):
        place[i] = x + vx * t, y + vy * t
        shape[i, 0], shape[i, 3] = 1.0 / 5.0, 1.0 / 2.0
    mean = np.full((count, STEPS), wanted)
    return Problem(
        start=np.array([[0.0, speed, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        probability=np.full(count, 1.0 / count),
        v_ref=mean,
        x_ref=np.minimum(wanted * t, hold) + np.zeros((count, 1)),
        y_ref=goals[:, None] * (3.0 * u**2 - 2.0 * u**3),
        psi_ref=np.zeros((count, STEPS)),
        v_max=np.full((count, STEPS), 14.0),
        x_hi=np.full((count, STEPS), hold),
        y_lo=np.full((count, STEPS), -6.0),
        y_hi=np.full((count, STEPS), 6.0),
        place=place,
        shape=shape,
        lead=np.zeros(pairs),
        active=np.ones((count, pairs), dtype=np.uint8) if active is None else active,
        gamma=np.linspace(gamma, 1.0, STEPS),
        side=np.ones(count),
    )


def run(problem, mode=EXACT, iterations=20, square=False, weights=WEIGHTS, over_time=True):
    count = len(problem.probability)
    it = make_iterate(count, len(problem.lead), STEPS)
    it.path[:, 0, 0], it.path[:, 0, 1] = problem.x_ref, problem.y_ref
    it.path[:, 1, 0] = problem.v_ref
    factors, scratch = factors_of(problem, mode, weights), make_scratch(count, STEPS)
    iterate(MODEL, weights, factors, problem, it, mode, True, square, over_time, iterations, scratch)
    return it


def factors_of(problem, mode, weights=WEIGHTS):
    pairs = problem.active.sum(1, dtype=np.int64)
    return make_factors(MODEL, weights, problem.probability, pairs, mode)


def test_a_branch_joins_the_trunk_in_three_derivatives():
    rng = np.random.default_rng(0)
    joint = np.array([1.0 - 1e-7, 1.0 + 1e-7])
    start, free = sample_basis(joint, 1.0, 4.9)
    begin, w = rng.normal(size=3), rng.normal(size=10)
    for r in range(4):
        before, after = begin @ start[r] + w @ free[r]
        assert after == pytest.approx(before, rel=1e-5, abs=1e-4)


def test_the_basis_begins_with_the_state_that_it_is_given():
    for r in range(3):
        wanted = np.zeros(3)
        wanted[r] = 1.0
        np.testing.assert_allclose(BASIS.start[r][:, 0], wanted, atol=1e-12)
        np.testing.assert_allclose(BASIS.free[r][:, 0], 0.0, atol=1e-12)


@pytest.mark.parametrize("iterations", [1, 20, 60])
def test_exact_branches_share_their_trunk_after_every_iteration(iterations):
    problem = make_problem([0.0, 3.5, -3.5], obstacles=[(25.0, 0.2, 4.0, 0.0), (30.0, -8.0, 0.0, 4.0)])
    it = run(problem, EXACT, iterations)
    shared = it.path[:, :, :, : BASIS.shared]
    assert np.ptp(shared, axis=0).max() == 0.0
    assert it.residual[4] == 0.0
    assert np.ptp(it.path[:, 0, 1, -1]) > 2.0


def test_copies_of_the_trunk_agree_the_better_the_longer_the_loop_runs():
    problem = make_problem([0.0, 3.5, -3.5], obstacles=[(25.0, 0.2, 4.0, 0.0)])
    gaps = []
    for iterations in (5, 20, 80):
        it = run(problem, ADMM, iterations)
        trunks = it.w[:2, :, :TRUNK]
        measured = np.abs(trunks - it.mean[:2, None]).max()
        assert it.residual[4] == pytest.approx(measured, abs=1e-9)
        gaps.append(it.residual[4])
    assert gaps[0] > gaps[1] > gaps[2] > 0.0
    assert gaps[2] < 0.02


def test_without_consensus_branches_part_at_once():
    it = run(make_problem([3.5, -3.5]), NONE, 40)
    first = it.path[:, 0, 1, : BASIS.shared]
    together = run(make_problem([3.5, -3.5]), EXACT, 40).path[:, 0, 1, : BASIS.shared]
    assert np.ptp(first, axis=0).max() > 0.1
    assert np.ptp(together, axis=0).max() == 0.0


def pass_by(gamma):
    """Past a slower car that stands a little into the way: gauges along what is returned."""
    problem = make_problem([1.6], obstacles=[(20.0, 0.0, 5.0, 0.0)])
    problem = problem._replace(gamma=np.full(STEPS, gamma), y_ref=np.full((1, STEPS), 1.6))
    problem.start[1, 0] = 1.6
    it = run(problem, EXACT, 3000, weights=WEIGHTS._replace(dual=1e4, heading=0.0))
    dx, dy = it.path[0, 0] - problem.place[0]
    return np.hypot(dx / 5.0, dy / 2.0)


def test_the_barrier_holds_on_the_returned_samples():
    closest = []
    for gamma in (1.0, 0.3, 0.1):
        h = pass_by(gamma) - 1.0
        assert (h[1:] - (1.0 - gamma) * h[:-1]).min() > -1e-3
        assert h.min() > -1e-3
        closest.append(h.min())
    # The stricter the barrier, the farther away.
    assert closest[0] < closest[1] < closest[2]


@pytest.fixture(scope="module")
def braking():
    """Straight ahead, faster wanted than allowed, and a place to halt before: convex, no heading turns."""
    return make_problem([0.0, 0.0], speed=10.0, wanted=13.0, hold=30.0)


def test_the_loop_converges_to_the_optimum_of_the_convex_problem(braking):
    it = run(braking, EXACT, 3000, weights=WEIGHTS._replace(dual=1e4))
    program = convexify(MODEL, WEIGHTS, braking, it)
    found = OSQP(1e-8, 100_000).solve(program)
    assert found is not None
    w = control_points(found, 2)
    assert np.abs(it.path[:, 0, 0] - (braking.start[0] @ MODEL.start[0] + w[0] @ MODEL.free[0])).max() < 0.02
    assert it.path[:, 0, 0].max() < 30.01


def test_the_programme_and_its_model_in_cvxpy_agree():
    problem = make_problem([0.0, 2.0], obstacles=[(25.0, 0.5, 6.0, 0.0), (40.0, 3.0, 8.0, 0.0)])
    it = run(problem, EXACT, 20, square=True)
    program = convexify(MODEL, WEIGHTS, problem, it)
    found = OSQP(1e-7, 200_000).solve(program, flat(it.w))
    assert found is not None
    documented, trunk, branches = convex_model(MODEL, WEIGHTS, problem, it)
    best = documented.solve(solver="CLARABEL")
    assert documented.status == "optimal"
    other = np.concatenate([np.concatenate((trunk.value[a], branches.value[a])) for a in range(2)])

    def cost(x):
        return 0.5 * x @ program.P @ x + program.q @ x

    assert cost(found) == pytest.approx(cost(other), rel=1e-4)
    assert (program.A @ other >= program.low - 1e-5).all()
    assert (program.A @ other <= program.high + 1e-5).all()
    assert best > 0.0


def test_who_keeps_the_programmes_half_spaces_keeps_clear():
    problem = make_problem([1.6], speed=12.0, wanted=12.0, obstacles=[(22.0, 0.0, 5.0, 0.0)])
    it = run(problem, EXACT, 60, square=True)
    found = OSQP(1e-7, 200_000).solve(convexify(MODEL, WEIGHTS, problem, it))
    assert found is not None
    w = control_points(found, 1)[:, 0]
    x, y = (problem.start[a] @ MODEL.start[0] + w[a] @ MODEL.free[0] for a in range(2))
    dx, dy = x - problem.place[0, 0], y - problem.place[0, 1]
    assert ((dx / 5.0) ** 4 + (dy / 2.0) ** 4).min() > 1.0 - 1e-3


def test_stopping_and_going_on_gives_the_same(braking):
    whole = run(braking, EXACT, 20)
    parts = make_iterate(2, 0, STEPS)
    parts.path[:, 0, 0], parts.path[:, 1, 0] = braking.x_ref, braking.v_ref
    factors = factors_of(braking, EXACT)
    for fresh in (True, False):
        iterate(
            MODEL, WEIGHTS, factors, braking, parts, EXACT, fresh, False, True, 10, make_scratch(2, STEPS)
        )
    np.testing.assert_array_equal(parts.w, whole.w)


def test_limits_of_speed_and_acceleration_are_kept_up_to_what_is_left():
    it = run(make_problem([0.0], speed=10.0, wanted=15.0), EXACT, 400, weights=WEIGHTS._replace(dual=1e3))
    assert it.path[0, 1, 0].max() < 14.0 + it.residual[0] + 1e-9
    assert it.path[0, 2, 0].max() < WEIGHTS.speed_up + it.residual[1] + 1e-9
    assert it.residual[:2].max() < 0.1


def test_inverted_systems_are_kept_for_problems_that_have_the_same():
    planner = CPTO()
    one = make_problem([0.0, 2.0], obstacles=[(20.0, 0.0, 5.0, 0.0), (30.0, 3.0, 0.0, 0.0)])
    two = one._replace(active=np.array([[1, 1], [0, 1]], dtype=np.uint8))
    kept = planner.factors(WEIGHTS, one, EXACT)
    assert planner.factors(WEIGHTS, one._replace(y_ref=one.y_ref + 1.0), EXACT) is kept
    assert planner.factors(WEIGHTS, one, ADMM) is not kept
    other = planner.factors(WEIGHTS, two, EXACT)
    assert not np.array_equal(other.bb[0], kept.bb[0])
    for planned, problem in ((kept, one), (other, two)):
        for a, b in zip(planned, factors_of(problem, EXACT), strict=True):
            np.testing.assert_array_equal(a, b)


def test_duals_of_the_last_call_go_to_the_same_branches_and_road_users():
    rng = np.random.default_rng(3)
    last = make_iterate(2, 2, STEPS)
    last.dual[:], last.press[:] = rng.normal(size=last.dual.shape), rng.normal(size=last.press.shape)
    memory = Memory(5.0, "line", ["likely", "brake"], [(7, 0), (9, 0)], last.dual, last.press)
    it = make_iterate(3, 2, STEPS)
    # 0.2 s later: 9 comes first, 7 is gone, 11 is new, and so is a hypothesis.
    assert warm(it, memory, 5.2, 0.1, "line", ["likely", "new", "brake"], [(9, 0), (11, 0)])
    np.testing.assert_array_equal(it.dual[0, ..., :-2], last.dual[0, ..., 2:])
    np.testing.assert_array_equal(it.press[2, 0, :-2], last.press[1, 1, 2:])
    assert not it.dual[1].any()
    assert not it.press[:, 1].any()
    assert not it.dual[..., -2:].any()
    fresh = make_iterate(3, 2, STEPS)
    assert not warm(fresh, memory, 5.2, 0.1, "another line", ["likely"], [(9, 0)])
    assert not warm(fresh, memory, 5.25, 0.1, "line", ["likely"], [(9, 0)])
    assert not fresh.dual.any()
