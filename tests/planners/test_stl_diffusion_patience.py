"""Who stands for nothing: when patience ends, what that widens, and which samples it makes worth less."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import stl_toy as toy
import torch

from drive import load_scenario
from drive.errors import InputError
from drive.planners.stl_diffusion.config import STLDiffusionConfig
from drive.planners.stl_diffusion.patience import PatienceSettings, Stood, standing, stands_for_nothing
from drive.planners.stl_diffusion.policy import asked_of
from drive.planners.stl_diffusion.template import PARAMETERS
from drive.registry import load_planner
from drive.sim import simulate

SETTINGS = PatienceSettings()


def told(**lines: float) -> Any:
    """The ego's columns; without a line ahead but for `lines`."""
    return np.array(toy.road(0.0, **lines).ego, dtype=np.float32)


@pytest.mark.parametrize(
    ("others", "nothing"),
    [
        ((), True),
        # Its rear is 10 m ahead of the axle, 6.3 of the bumper.
        (((12.3, 0.0, 0.0, 0.0),), False),
        (((15.0, 0.0, 0.0, 0.0),), True),
        # Beside, and at an angle so that its corner reaches in.
        (((8.0, 3.5, 0.0, 0.0),), True),
        (((8.0, 3.5, 0.8, 0.0),), False),
        (((-6.0, 0.0, 0.0, 0.0),), True),
        # Who drives by is waited for, wherever to, unless it is past or far.
        (((10.0, 15.0, -1.57, 5.0),), False),
        (((10.0, 15.0, -1.57, 0.5),), True),
        (((-10.0, 15.0, -1.57, 5.0),), True),
        (((10.0, 24.0, -1.57, 5.0),), True),
    ],
)
def test_somebody_in_the_way_is_something(observed: Any, others: Any, nothing: bool) -> None:
    o = observed(0.0, 0.0, 0.0, others)
    assert stands_for_nothing(SETTINGS, o, told()) is nothing


def test_lines_are_waited_at_and_who_drives_does_not_stand(observed: Any) -> None:
    still = observed(0.0, 0.0, 0.0, ())
    assert not stands_for_nothing(SETTINGS, still, told(red=5.0))
    assert stands_for_nothing(SETTINGS, still, told(red=20.0))
    assert not stands_for_nothing(SETTINGS, observed(0.0, 0.0, 1.0, ()), told())


def test_patience_ends_after_a_time_and_what_is_wide_lasts_a_time(observed: Any) -> None:
    stood, wide = Stood(), []
    for step in range(150):
        time = 0.1 * step
        # It stands for 5 s, drives for 8, and stands again.
        speed = 0.0 if time < 4.95 or time > 12.95 else 2.0
        stood = stood.next(SETTINGS, observed(0.0, 0.0, speed, (), time=time), told())
        wide.append(stood.wide(time))
    assert wide.index(True) == 30
    assert wide[30:90] == [True] * 60
    assert not any(wide[90:])


def test_who_goes_on_standing_keeps_the_wider_bound_and_who_is_patient_never_has_it(observed: Any) -> None:
    for settings, count in ((SETTINGS, 121), (replace(SETTINGS, after=math.inf), 0)):
        stood = Stood()
        wide = 0
        for step in range(151):
            stood = stood.next(settings, observed(0.0, 0.0, 0.0, (), time=0.1 * step), told())
            wide += stood.wide(0.1 * step)
        assert wide == count


def test_the_bound_to_the_right_alone_is_wider() -> None:
    ego = torch.from_numpy(np.stack([told(), told()]))
    plain = asked_of(STLDiffusionConfig(), ego, 2)
    some = asked_of(STLDiffusionConfig(), ego, 2, torch.tensor([0.0, 1.0]))
    assert torch.equal(some[0], plain[0])
    change = (some - plain)[1]
    assert torch.allclose(change[:, PARAMETERS.index("dmin")], torch.tensor(-SETTINGS.wider))
    assert int((change != 0.0).sum()) == 2


def test_samples_that_end_where_they_begin_stand() -> None:
    states = torch.zeros(1, 1, 3, 41, 7)
    states[0, 0, 1, :, 0] = torch.linspace(0.0, 0.9, 41)
    states[0, 0, 2, :, 1] = torch.linspace(0.0, -1.1, 41)
    assert standing(states).tolist() == [[[True, True, False]]]


class Held:
    """A planner who is shown a road that is empty, and itself standing on it."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.planner = load_planner(
            "stl_diffusion", {"patience.after": "0.45", "patience.lasts": "0.4", **settings}
        )
        self.spec, self.plans = self.planner.spec, []

    def start(self, task: Any) -> Any:
        session, plans = self.planner.start(task), self.plans

        class Session:
            def plan(self, o: Any) -> Any:
                ego = np.array(o.ego)
                ego[3:] = 0.0
                plans.append(session.plan(replace(o, ego=ego, agent_valid=np.zeros_like(o.agent_valid))))
                return plans[-1]

        return Session()


def test_who_has_lost_its_patience_draws_anew_and_moves() -> None:
    scene = load_scenario("gen/lane_follow_curved/1")
    ends = {}
    for worth in ("0", "9"):
        # A choice that would rather stand: getting on is worth nothing, and starting is uncomfortable.
        tastes = {"vmax": "2", "choice.progress": "0", "choice.comfort": "50"}
        held = Held({**tastes, "patience.worth": worth})
        simulate(scene, held, stop=12)
        wide = [bool(plan.figures["wide"]) for plan in held.plans]
        warm = [bool(plan.figures["warm"]) for plan in held.plans]
        # 0.45 s are over with the sixth call; the bound is wide for four, and at once again.
        assert wide == [False] * 5 + [True] * 8
        assert not warm[5]
        assert any(warm[1:5])
        ends[worth] = [np.hypot(*(p.trajectory.states[-1] - p.trajectory.states[0])[:2]) for p in held.plans]
    assert max(ends["0"]) < 1.0
    assert max(ends["9"][:5]) < 1.0 < min(ends["9"][5:])


def test_settings_are_numbers() -> None:
    for bad in ({"after": -1.0}, {"room": math.inf}, {"worth": math.nan}):
        with pytest.raises(InputError, match=next(iter(bad))):
            PatienceSettings(**bad)
