"""The lane-change automaton alone: what it takes to begin, to go on and to come back."""

from __future__ import annotations

import itertools

import numpy as np

from drive.planners.field.config import FieldConfig
from drive.planners.field.intention import Intention, Lane, Stage

DT = 0.1


def run(intention, seconds, begin=0.0, offset=0.0, **lanes):
    """Hold the lanes for some seconds; the stages gone through, one a cycle."""
    named = {{"right": -1, "own": 0, "left": 1}[name]: lane for name, lane in lanes.items()}
    stages = []
    for k in range(round(seconds / DT)):
        intention.update(begin + DT * k, offset, named)
        stages.append(intention.stage)
    return stages


def left(risk=0.0, deficit=0.0):
    return Lane(3.5, risk, deficit)


def own(risk):
    return Lane(0.0, risk, 0.0)


def test_a_better_lane_is_gone_for_after_half_a_second_and_not_before() -> None:
    intention = Intention(FieldConfig())
    stages = run(intention, 1.0, own=own(0.5), left=left(0.1))
    assert stages[:5] == [Stage.KEEP] * 5
    assert stages[5:7] == [Stage.PREPARE, Stage.CHANGE]
    assert intention.aim == 1


def test_a_little_better_is_not_enough_and_a_flicker_is_not() -> None:
    assert set(run(Intention(FieldConfig()), 5.0, own=own(0.3), left=left(0.1))) == {Stage.KEEP}
    intention = Intention(FieldConfig())
    for k in range(30):
        worse = own(0.8 if k % 8 < 4 else 0.2)
        assert run(intention, DT, DT * k, own=worse, left=left(0.1)) == [Stage.KEEP]


def test_a_lane_without_room_is_prepared_for_and_let_go() -> None:
    intention = Intention(FieldConfig())
    stages = run(intention, 20.0, own=own(0.6), left=left(0.1, deficit=1.0))
    assert Stage.CHANGE not in stages
    assert Stage.PREPARE in stages
    turns = sum(a != b for a, b in itertools.pairwise(stages))
    assert turns <= 20.0 / 3.0


def test_it_comes_back_where_the_gap_closes_before_half_the_way() -> None:
    intention = Intention(FieldConfig())
    run(intention, 1.0, own=own(0.6), left=left(0.1))
    assert intention.stage is Stage.CHANGE
    run(intention, DT, 1.0, offset=1.0, own=own(0.6), left=left(0.1, deficit=2.0))
    assert (intention.stage, intention.aim) == (Stage.ABORT, 0)
    run(intention, DT, 1.5, offset=0.2, own=own(0.6), left=left(0.1))
    assert intention.stage is Stage.KEEP
    # And rests a while before it tries again.
    assert set(run(intention, 2.5, 1.6, own=own(0.6), left=left(0.1))) == {Stage.KEEP}


def test_beyond_half_the_way_it_goes_on() -> None:
    intention = Intention(FieldConfig())
    run(intention, 1.0, own=own(0.6), left=left(0.1))
    run(intention, DT, 1.0, offset=2.2, own=own(0.6), left=left(0.1, deficit=2.0))
    assert intention.stage is Stage.CHANGE
    run(intention, DT, 1.1, offset=3.4, own=own(0.6), left=left(0.1))
    assert (intention.stage, intention.lane) == (Stage.KEEP, 1)


def test_the_route_s_lane_is_taken_again_where_it_is_free() -> None:
    intention = Intention(FieldConfig(), lane=1)
    stages = run(intention, 2.0, offset=3.5, own=own(0.02), left=left(0.02))
    assert stages[-1] is Stage.CHANGE
    assert intention.aim == 0
    blocked = Intention(FieldConfig(), lane=1)
    assert set(run(blocked, 2.0, offset=3.5, own=own(0.3), left=left(0.02))) == {Stage.KEEP}


def test_a_lane_that_ends_is_left() -> None:
    intention = Intention(FieldConfig(), lane=1)
    run(intention, DT, offset=3.5, own=own(0.4))
    assert (intention.lane, intention.aim) == (0, 0)


def test_f5_it_never_changes_its_mind_more_than_once_in_three_seconds() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        intention, aims, offset = Intention(FieldConfig()), [], 0.0
        lanes = {}
        for k in range(600):
            if k % 7 == 0:
                lanes = {0: own(rng.uniform()), 1: left(rng.uniform(), rng.choice([0.0, 0.1, 3.0]))}
            intention.update(DT * k, offset, lanes)
            offset += np.clip(lanes[intention.aim].offset - offset, -0.12, 0.12)
            aims.append(intention.aim)
        begun = np.flatnonzero(np.diff(aims) != 0)
        # A change and its abort are one change of mind and its taking back.
        assert all(np.diff(begun)[1::1][np.diff(begun)[:-1] < 30] >= 30) if len(begun) > 2 else True
        assert len(begun) <= 2 * 60.0 / 3.0
