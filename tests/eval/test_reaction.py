"""The cut-in experiment: its scenes are as they say, and planners whose answer is known get it."""

from __future__ import annotations

import numpy as np
import pytest

from drive import registry
from drive.errors import InputError
from drive.eval.training.reaction import AFTER, LED, Reactions, compare_reactions, make_cut_in, reactions
from drive.planner import Control, ControlKind, Plan, planner
from drive.roadmap.frenet import FrenetFrame


@pytest.mark.parametrize("seed", range(70_000, 70_004))
def test_the_other_enters_when_it_should(seed: int) -> None:
    pair = make_cut_in(seed), make_cut_in(seed, cuts=False)
    taken = round(LED / 0.1)
    entry = int(np.floor(pair[0].entry / 0.1 + 1e-9))
    assert taken < entry < len(pair[0].scenario.tracks.states[0]) - 10
    for cuts, made in zip((True, False), pair, strict=True):
        s = made.scenario
        frame = FrenetFrame.from_line(s.route.line)
        other = s.tracks.states[1]
        lane = s.route.lanes[0]
        half = float(np.median(s.roadmap.half_width[s.roadmap.rows(lane)]))
        inside = np.abs(frame.to_frenet(other[:, :2])[:, 1]) - 0.5 * s.tracks.size[1, 1] < half
        if not cuts:
            assert not inside.any()
            continue
        assert np.flatnonzero(inside)[0] in (entry, entry + 1)
        assert inside[entry + 1 :].all()
        offsets = frame.to_frenet(other[:, :2])[:, 1]
        assert np.ptp(offsets[: taken + 1]) < 1e-6 < abs(offsets[taken + 4] - offsets[taken])
        ego = s.tracks.states[0, entry]  # of who goes on as before
        along = frame.to_frenet(other[entry, :2])[0] - frame.to_frenet(ego[:2])[0]
        gap = along - 0.5 * (s.vehicle.length + s.tracks.size[1, 0])
        stations = frame.to_frenet(other[[entry - 1, entry + 1], :2])[:, 0]
        speed = float(stations[1] - stations[0]) / 0.2
        assert gap / (float(np.hypot(*ego[3:5])) - speed) == pytest.approx(made.ttc, rel=0.1)
        assert 1.5 <= made.ttc <= 2.5
    assert np.array_equal(pair[0].lead.states, pair[1].lead.states)


@planner("late", needs=())
def late(observation, task):  # type: ignore[no-untyped-def]
    """Brakes, whatever it sees, 0.7 s after it was let go."""
    braking = -2.0 if observation.time > LED + 0.65 else 0.0
    plan = registry.load_planner("constant").start(task).plan(observation)
    return Plan(plan.trajectory, Control(ControlKind.ACCELERATION_STEERING, np.array([[braking, 0.0]]), 0.1))


def test_known_answers_are_measured() -> None:
    never = reactions(registry.load_planner("constant"), 2)
    slow = reactions(late, 2)
    quick = reactions(registry.load_planner("idm"), 2)
    assert (never.time == AFTER).all()
    assert not never.false_brake.any()
    np.testing.assert_allclose(slow.time, 0.7, atol=1e-9)
    assert slow.false_brake.all()
    assert 0.5 < quick.median < 1.5  # it brakes for who is in its lane, not for who comes
    assert not quick.false_brake.any()
    with pytest.raises(InputError, match="at least one scene"):
        reactions(late, 0)


def test_the_interval_is_of_pairs_that_reacted() -> None:
    times = np.linspace(0.1, 2.0, 60)
    none = np.zeros(60, dtype=np.bool_)
    found = compare_reactions(Reactions(times, none), Reactions(times + 0.5, none))
    assert found.scenes == 60
    assert (found.mean, found.median) == pytest.approx((-0.5, -0.5))
    assert (*found.mean_ci95, *found.median_ci95) == pytest.approx((-0.5,) * 4)

    # Who brakes for nobody is soon there for somebody, and is left out.
    always = np.arange(60) < 20
    eager = Reactions(np.where(always, 0.0, times + 0.2), always)
    found = compare_reactions(eager, Reactions(times, none))
    assert found.scenes == 40
    assert found.mean == pytest.approx(0.2)
    assert eager.median == pytest.approx(float(np.median(times[20:] + 0.2)))
    with pytest.raises(InputError, match="no two scenes"):
        compare_reactions(Reactions(times, ~none), Reactions(times, none))
