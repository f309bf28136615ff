"""The three ways to use a planner's plans: in closed loop, in a pseudo-closed one, and in open loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.runlog import MODES
from drive.sim import loop
from drive.sim.asking import one_by_one
from drive.sim.driven import Lead
from drive.sim.pseudo import driving_pseudo
from drive.sim.reference import ensure_expert
from drive.sim.trackers import check_tracker
from drive.terrain import Terrain

if TYPE_CHECKING:
    from drive.planner import Planner
    from drive.runlog import RunLog
    from drive.scenario import Scenario
    from drive.sim.asking import Steps

OPEN_SPAN = 8.0
"""Seconds that a plan is compared with in open loop, and that a scenario must last for one."""


def driving_mode(
    mode: str,
    scenario: Scenario,
    planner: Planner,
    *,
    stages: int = 1,
    realtime: bool = False,
    tracker: str = "lqr",
    **how: Any,
) -> Steps[RunLog]:
    """The run of a planner in one of `MODES`; `how` are arguments of `drive.sim.simulate`.

    "closed" drives each plan until the next one. "pseudo" drives one plan a frame for four seconds
    (`drive.sim.pseudo`), with follow-up starts where `stages` is 2. "open" drives none: the ego follows the
    recorded driver, the others are where the log has them whatever the traffic, and the planner is asked all
    the same.
    """
    if mode == "closed":
        return (yield from loop.driving(scenario, planner, realtime=realtime, tracker=tracker, **how))
    if mode not in MODES:
        raise UnknownNameError("mode", mode, MODES)
    if realtime:
        raise InputError(f"plans are late in closed loop only: no --realtime in mode '{mode}'")
    check_tracker(tracker, mode)
    if mode == "pseudo":
        return (yield from driving_pseudo(scenario, planner, stages=stages, **how))
    if isinstance(scenario.environment, Terrain):
        raise ScenarioError(f"scenario '{scenario.id}' is terrain: the open loop is for roads")
    scenario = ensure_expert(scenario)
    if scenario.expert is None:
        raise ScenarioError(f"scenario '{scenario.id}' has no driver whom the ego could follow")
    if scenario.duration < OPEN_SPAN - 1e-6:
        raise ScenarioError(
            f"scenario '{scenario.id}' lasts {scenario.duration:g} s: in open loop plans are compared with "
            f"{OPEN_SPAN:g} s of the recorded drive"
        )
    lead = Lead(scenario.expert.states[:, :7], ask=True, driver=scenario.expert.source)
    run = yield from loop.driving(scenario, planner, lead=lead, **{**how, "traffic": "log"})
    return run.with_header(mode="open")


simulate_mode = one_by_one(driving_mode)
