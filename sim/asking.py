"""How planners are asked: a drive is a generator of questions, answered alone or together with others'.

`finish` answers one drive's questions one by one. `lockstep` advances several drives together and puts the
questions that come at once to `plan_batch`, where the planner has it. Nothing else tells the two apart.
"""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from drive.errors import PlanError, PlannerTimeoutError
from drive.planner import Plan, check_plan
from drive.sim.observe import batch_observations
from drive.sim.watchdog import watchdog

if TYPE_CHECKING:
    from drive.planner import Observation, Planner, Session

P = ParamSpec("P")
R = TypeVar("R")


class PlannerFailure(Exception):  # noqa: N818 - it is not an error of ours
    """A planner that raised, returned rubbish or did not answer; `kind` is the failure class."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A session that is to plan now; `limit` in s is the watchdog's."""

    planner: Planner
    session: Session
    observation: Observation
    limit: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A plan that can be driven, and the seconds that it took; of a batch each plan takes an equal share."""

    plan: Plan
    seconds: float


Steps = Generator[Question, Answer, R]
"""A drive in the making: it yields questions, is sent answers (or thrown a PlannerFailure), returns a run."""


def finish(steps: Steps[R]) -> R:
    """Drive to the end, asking one by one."""
    try:
        question = next(steps)
        while True:
            try:
                answer = ask(question)
            except PlannerFailure as failure:
                question = steps.throw(failure)
            else:
                question = steps.send(answer)
    except StopIteration as end:
        made: R = end.value
        return made
    finally:
        steps.close()


def one_by_one(drive: Callable[P, Steps[R]]) -> Callable[P, R]:
    """The function that drives to the end what `drive` begins, with its arguments and description."""

    @functools.wraps(drive)
    def whole(*args: P.args, **kwargs: P.kwargs) -> R:
        return finish(drive(*args, **kwargs))

    return whole


def lockstep(
    drives: Sequence[Steps[R]], note: Callable[[str], None] = lambda line: None
) -> list[R | Exception]:
    """Drive all to the end, each one call of its planner at a time; an error ends its own drive alone.

    Questions that come at once go to `plan_batch` together where they are of one planner and their arrays can
    be stacked. Where it raises, every one is asked alone from then on (`note` is told): whoever is at
    fault then fails by itself. A session whose answer in a batch is rubbish fails alone too.
    """
    outcomes: dict[int, R | Exception] = {}
    waiting: dict[int, Question] = {}
    alone: set[int] = set()

    def advance(row: int, move: Callable[[], Question]) -> None:
        try:
            waiting[row] = move()
        except StopIteration as end:
            outcomes[row] = end.value
        except KeyboardInterrupt:
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                raise
            # Nobody can have pressed Ctrl-C here: it is the planner's own.
            outcomes[row] = PlanError("the planner raised KeyboardInterrupt")
        except Exception as error:
            outcomes[row] = error

    try:
        for row, steps in enumerate(drives):
            advance(row, partial(next, steps))
        while waiting:
            asked = dict(waiting)
            waiting.clear()
            for rows in _groups(asked, alone):
                for row, answer in zip(rows, _answers([asked[r] for r in rows], alone, note), strict=True):
                    steps = drives[row]
                    if isinstance(answer, BaseException):
                        advance(row, partial(steps.throw, answer))
                    else:
                        advance(row, partial(steps.send, answer))
    finally:
        for steps in drives:
            steps.close()
    return [outcomes[row] for row in range(len(drives))]


def ask(question: Question) -> Answer:
    """One session's plan; raises PlannerFailure."""
    q = question
    begin = time.perf_counter()
    plan = guarded(lambda: check_plan(q.session.plan(q.observation), q.observation.time), q.limit)
    return Answer(plan, time.perf_counter() - begin)


def ask_together(questions: Sequence[Question]) -> list[Answer | PlannerFailure]:
    """The plans of several sessions of one planner, by its `plan_batch`; raises PlannerFailure where that
    fails as a whole."""
    first, seen = questions[0], [q.observation for q in questions]
    batch, sessions = batch_observations(seen), [q.session for q in questions]
    plan_batch: Any = first.planner.plan_batch  # type: ignore[attr-defined]
    begin = time.perf_counter()
    plans = guarded(lambda: list(plan_batch(sessions, batch)), first.limit)
    took = (time.perf_counter() - begin) / len(questions)
    if len(plans) != len(questions):
        raise PlannerFailure("planner_error", f"it returned {len(plans)} plans for {len(questions)} sessions")
    found: list[Answer | PlannerFailure] = []
    for plan, observation in zip(plans, seen, strict=True):
        try:
            found.append(Answer(guarded(partial(check_plan, plan, observation.time), None), took))
        except PlannerFailure as failure:
            found.append(failure)
    return found


def _answers(
    questions: Sequence[Question], alone: set[int], note: Callable[[str], None]
) -> list[Answer | BaseException]:
    planner = questions[0].planner
    if len(questions) > 1:
        try:
            return [*ask_together(questions)]
        except PlannerFailure as failure:
            alone.add(id(planner))
            note(f"plan_batch of '{planner.spec.name}' failed, it is asked one by one: {failure.reason}")
    found: list[Answer | BaseException] = []
    for question in questions:
        try:
            found.append(ask(question))
        except (PlannerFailure, KeyboardInterrupt) as failure:
            found.append(failure)
    return found


def _groups(asked: Mapping[int, Question], alone: set[int]) -> list[list[int]]:
    """Rows whose questions can be put together, in their order."""
    found: dict[tuple[object, ...], list[int]] = {}
    for row, question in asked.items():
        o, planner = question.observation, question.planner
        key: tuple[object, ...] = (row,)
        if hasattr(planner, "plan_batch") and id(planner) not in alone:
            images = tuple((name, image.shape) for name, image in sorted(o.images.items()))
            key = (id(planner), o.ego_history.shape, images, o.forecasts is None, o.time_budget)
        found.setdefault(key, []).append(row)
    return list(found.values())


def guarded(call: Callable[[], Any], limit: float | None) -> Any:
    """Call into a planner; whatever goes wrong becomes a PlannerFailure with one line of reason."""
    try:
        with watchdog(limit):
            return call()
    except PlannerTimeoutError as error:
        raise PlannerFailure("planner_timeout", str(error)) from error
    except SystemExit as error:
        raise PlannerFailure("planner_error", f"the planner called exit({error.code})") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # asyncio.CancelledError and its like are no Exception; one of ours ends the drive from inside.
        if not isinstance(error, Exception) and type(error).__module__.startswith("drive."):
            raise
        text = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        raise PlannerFailure("planner_error", reason[:300]) from error
