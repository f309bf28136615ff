"""Whether a planner repeats itself: under a seed, beside and after other sessions, and in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.check.report import Finding, Status
from drive.eval.check.witness import Call, Drive, copied, first_difference
from drive.planner import Plan
from drive.sim.asking import PlannerFailure, guarded
from drive.sim.observe import batch_observations

if TYPE_CHECKING:
    from drive.planner import Planner, Session

CLOSE = 1e-3
"""How far a batch's plans may be from those made one by one, m: sums in another order round differently."""
BATCHES = 10
UNEQUAL = "not compared: its plans do not repeat themselves"


def deterministic(first: Drive, again: Drive, elsewhere: list[Call] | str | None) -> Finding:
    """Two drives here, by two planners, and one in a fresh process, all with one seed.

    First drives of two processes that agree are determined by the seed; if the second drive here differs,
    something was kept from the first, which `sessions_apart` tells.
    """
    name, compared = "deterministic", isinstance(elsewhere, list)
    here = again.failure or parting(first.calls, again.calls)
    away = parting(first.calls, elsewhere) if isinstance(elsewhere, list) else None
    if away is None and (here is None or compared):
        count = "three" if compared else "two"
        text = f"{count} drives with one seed are bit-equal" if here is None else "as a process's first drive"
        return Finding(name, Status.PASS, text)
    advice = "draw all randomness from np.random.default_rng(task.seed)"
    if here is not None:
        return Finding(name, Status.FAIL, f"with one seed, {here}", advice)
    advice += ", and let nothing depend on the order of a set, the clock or the machine"
    return Finding(name, Status.FAIL, f"in another process, {away}", advice)


def sessions_apart(planner: Planner, first: Drive, again: Drive, beside: Drive | None) -> Finding:
    """Neither an earlier session nor one that is asked in turn may be felt."""
    name, advice = "sessions apart", "keep what changes in the session, not in planner, class or module"
    if bad := again.failure or parting(first.calls, again.calls):
        return Finding(name, Status.FAIL, f"after another session, {bad}", advice)
    drives = [drive for drive in (first, beside) if drive is not None]
    made: list[list[Call]] = [[] for _ in drives]
    try:
        sessions = _open(planner, drives)
    except PlannerFailure as failure:
        return Finding(name, Status.FAIL, f"a second session cannot start: {failure.reason}", advice)
    for k in range(min(len(drive.calls) for drive in drives)):
        for drive, session, calls in zip(drives, sessions, made, strict=True):
            given = drive.calls[k].observation
            try:
                plan = guarded(partial(session.plan, copied(given)), None)
            except PlannerFailure as failure:
                text = f"with a session beside it, it fails: {failure.reason}"
                return Finding(name, Status.FAIL, text, advice)
            calls.append(Call(given, plan, 0.0))
    for drive, calls in zip(drives, made, strict=True):
        if bad := parting(drive.calls, calls):
            return Finding(name, Status.FAIL, f"with a session beside it, {bad}", advice)
    return Finding(name, Status.PASS, "neither an earlier session nor one beside it is felt")


def batch_equals(planner: Planner, drives: Sequence[Drive]) -> Finding:
    """`plan_batch` over the observations of several drives gives the plans that `plan` gave in them."""
    name, plan_batch = "plan_batch", getattr(planner, "plan_batch", None)
    if plan_batch is None:
        return Finding(name, Status.SKIP, "it has none")
    advice = "plan_batch(sessions, observations) returns for each session what its plan() would"
    worst = 0.0
    try:
        sessions = _open(planner, drives)
    except PlannerFailure as failure:
        return Finding(name, Status.FAIL, f"sessions cannot start: {failure.reason}", advice)
    for k in range(min(BATCHES, *(len(drive.calls) for drive in drives))):
        batch = batch_observations([copied(drive.calls[k].observation) for drive in drives])
        try:
            plans = list(guarded(partial(plan_batch, sessions, batch), None))
        except PlannerFailure as failure:
            return Finding(name, Status.FAIL, f"it fails: {failure.reason}", advice)
        if len(plans) != len(drives):
            return Finding(
                name, Status.FAIL, f"it returns {len(plans)} plans for {len(drives)} sessions", advice
            )
        for drive, plan in zip(drives, plans, strict=True):
            gap = _gap(drive.calls[k].plan, plan)
            if not gap <= CLOSE:
                text = f"{drive.scene}, call {k + 1}: its plan is {gap:.2g} m from that of plan()"
                return Finding(name, Status.FAIL, text, advice)
            worst = max(worst, gap)
    text = "bit-equal to plan()" if worst == 0.0 else f"equal to plan() within {worst:.1g} m"
    return Finding(name, Status.PASS, f"{len(drives)} sessions, {text}")


def parting(one: list[Call], other: list[Call]) -> str | None:
    """Where plans part in the calls that both drives have: a slow planner is cut short at any call."""
    n = min(len(one), len(other))
    return first_difference(one[:n], other[:n])


def _open(planner: Planner, drives: Sequence[Drive]) -> list[Session]:
    tasks = [drive.task for drive in drives if drive.task is not None]
    return [guarded(partial(planner.start, task), None) for task in tasks]


def _gap(one: Plan, other: object) -> float:
    """The largest difference of two trajectories' states; infinite where they cannot be compared."""
    if not isinstance(other, Plan):
        return float("inf")
    a, b = one.trajectory, other.trajectory
    if a.states.shape != b.states.shape or not np.allclose(a.times, b.times, atol=1e-9, rtol=0.0):
        return float("inf")
    return float(np.nan_to_num(np.abs(a.states - b.states), nan=np.inf).max())
