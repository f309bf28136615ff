"""Directors: agents placed from outside, who come and go, in the closed loop and in its log."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from drive.errors import InputError, SimulationError
from drive.planner import Plan, PlannerSpec, planner
from drive.planners import idm
from drive.planners.constant import Constant
from drive.scenario import Scenario, Tracks
from drive.sim import Controller, simulate
from drive.sim.traffic.director import Cue, Moves
from drive.sim.traffic.model import IDM, LOG
from drive.sim.vector import VectorWorld
from drive.trajectory import Trajectory

APPEARS, LEAVES = 20, 60


@dataclass
class Following:
    """One added car that keeps 30 m ahead of the ego, from sample 20 to sample 60; track 1 stays in place."""

    scenario: Scenario
    rows: np.ndarray
    broken: str = ""
    closed: list[bool] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)

    def step(self, cue: Cue) -> Moves:
        self.cues.append(cue)
        ego = cue.ahead[self.scenario.ego]
        pose = np.array([[ego[0] + 30.0, ego[1], ego[2], ego[3], 0.0]])
        here = APPEARS <= cue.sample + 1 < LEAVES
        signals = np.full(len(self.scenario.signals), 3 if cue.sample >= 50 else 1, dtype=np.uint8)
        events = ["it appears"] if cue.sample + 1 == APPEARS else []
        if self.broken == "raises" and cue.sample == 3:
            raise ValueError("no such vehicle")
        if self.broken == "nan":
            return Moves(pose * np.nan, np.array([True]))
        if self.broken == "shape":
            return Moves(pose[0], np.array([True]))
        return Moves(pose if here else pose * np.nan, np.array([here]), signals, events)

    def close(self) -> None:
        self.closed.append(True)


@dataclass(frozen=True)
class FollowingDirector:
    broken: str = ""
    made: list[Following] = field(default_factory=list)

    def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> Following:
        t = scenario.tracks
        more = Tracks(
            np.concatenate((t.states, np.zeros((1, t.num_steps, 5)))),
            np.concatenate((t.valid, np.zeros((1, t.num_steps), dtype=bool))),
            np.concatenate((t.size, [[4.5, 1.8, 1.5]])),
            np.append(t.kind, t.kind[0]),
            np.append(t.rear_to_centre, 1.2),
            (*t.ids, "added"),
        )
        rows = np.array([scenario.ego if self.broken == "ego" else t.num_agents])
        self.made.append(Following(scenario.with_(tracks=more), rows, self.broken))
        return self.made[-1]


def directed(broken: str = "") -> Any:
    return replace(LOG, name="following", director=FollowingDirector(broken))


def test_an_added_agent_comes_and_goes_where_the_director_says(straight: Any, scenario: Any) -> None:
    s = scenario(straight(stop_at=300.0), [(60.0, 3.5, 8.0)], signals=np.ones((1, 151), dtype=np.uint8))
    model = directed()
    run = simulate(s, Constant(), traffic=model)
    assert run.header["failure"] is None
    assert run.agent_ids == ("car1", "added")
    assert run.agent_controller.tolist() == [Controller.LOG, Controller.TRAJECTORY]
    t = np.arange(151)
    np.testing.assert_array_equal(run.agent_valid[1], (t >= APPEARS) & (t < LEAVES))
    seen = run.agents[1, APPEARS:LEAVES]
    # The box's centre is 1.2 m before the rear axle that the director places.
    np.testing.assert_allclose(seen[:, 0], run.ego[APPEARS:LEAVES, 0] + 31.2, atol=1e-4)
    np.testing.assert_allclose(seen[:, 3], run.ego[APPEARS:LEAVES, 3], atol=1e-5)
    # Switched at sample 50, shown from the next one on.
    np.testing.assert_array_equal(run.signals[0], np.where(t > 50, 3, 1))
    assert [e for e in run.header["events"] if e["kind"] == "story"] == [
        {"time": pytest.approx(2.0), "kind": "story", "detail": "it appears"}
    ]
    assert run.header["scenario"]["hash"] == s.content_hash
    (session,) = model.director.made
    assert session.closed == [True]
    cue = session.cues[7]
    np.testing.assert_array_equal(cue.now[s.ego], run.ego[7])
    np.testing.assert_array_equal(cue.ahead[s.ego], run.ego[8])
    np.testing.assert_allclose(cue.record.centers[7, 1], run.agents[0, 7], atol=1e-12)


def test_planners_and_other_traffic_mind_the_directed_agent(straight: Any, scenario: Any) -> None:
    """The car cuts in 20 m ahead and stands: who follows has to stop behind it."""

    @dataclass
    class Standing(Following):
        def step(self, cue: Cue) -> Moves:
            return Moves(np.array([[110.0, 0.0, 0.0, 0.0, 0.0]]), np.array([True]))

    class StandingDirector(FollowingDirector):
        def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> Following:
            made = super().start(scenario, seed, driven)
            return Standing(made.scenario, made.rows)

    s = scenario(straight(), [(60.0, 0.0, 8.0)])
    run = simulate(s, idm.IDM(), traffic=replace(IDM, name="standing", director=StandingDirector()))
    back = 110.0 + 1.2 - 2.25
    front_of_ego = run.ego[-1, 0] + 1.461 + 0.5 * 5.176
    front_of_car = run.agents[0, -1, 0] + 0.5 * run.agent_size[0, 0]
    assert front_of_ego < front_of_car < back
    assert run.agents[0, -1, 3] < 0.2
    assert not [e for e in run.header["events"] if e["kind"] == "collision"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("raises", "step 3: its director failed: ValueError: no such vehicle"),
        ("nan", "placed an agent where no road can be"),
        ("shape", r"placed \(5,\) and \(1,\), not \(1, 5\)"),
        ("ego", "rows of its own"),
    ],
)
def test_a_broken_director_is_a_fault_of_the_simulator(
    straight: Any, scenario: Any, broken: str, message: str
) -> None:
    model = directed(broken)
    with pytest.raises(SimulationError, match=message):
        simulate(scenario(straight(), []), Constant(), traffic=model)
    assert model.director.made[0].closed == [True]


def test_a_failing_planner_ends_the_direction_as_well(straight: Any, scenario: Any) -> None:
    @planner(PlannerSpec("gives_up", horizon=4.0, rate=10.0))
    def gives_up(observation: Any, task: Any) -> Plan:
        if observation.step == 5:
            raise RuntimeError("enough")
        states = np.tile(observation.ego, (2, 1))
        return Plan(Trajectory(observation.time + np.array([0.0, 1.0]), states))

    model = directed()
    run = simulate(scenario(straight(), []), gives_up, traffic=model)
    assert run.header["failure"]["class"] == "planner_error"
    assert len(run.times) == 6
    assert model.director.made[0].closed == [True]


def test_batches_refuse_a_directed_traffic(straight: Any, scenario: Any) -> None:
    with pytest.raises(InputError, match="drives single runs"):
        VectorWorld.of([scenario(straight(), [])], traffic=directed())
