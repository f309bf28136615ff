"""A storyboard in play: its acts and events as machines of states, and its entities moved step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from drive.errors import ScenarioError
from drive.sim.traffic.director import Moves
from drive.sim.traffic.story.asked import RULES, entity_test
from drive.sim.traffic.story.control import Controls
from drive.sim.traffic.story.lanes import Lanes
from drive.sim.traffic.story.model import Act, Action, Event, Storyboard, Test, Trigger
from drive.sim.traffic.story.people import Cast, Person

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap
    from drive.scenario import Scenario
    from drive.sim.traffic.director import Cue

    Floats = NDArray[np.float64]

KEY = "storyboard"
"""The name in `Scenario.live`."""


@dataclass(slots=True)
class _Element:
    """State of a storyboard's element, and the transition that it made last, with the step at which."""

    state: str = "standbyState"
    transition: str = ""
    step: int = -1


@dataclass(slots=True)
class _Running:
    """An event with its actions; `acting` are the names of those whose actors are not done."""

    event: Event
    actors: tuple[str, ...]
    group: str
    maneuver: object = None
    runs: int = 0
    active: bool = False
    waiting: list[tuple[Action, str]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Play:
    """A storyboard being played; `cast` holds everybody, `time` in s."""

    board: Storyboard
    cast: Cast
    controls: Controls
    time: float = 0.0
    step: int = 0
    over: bool = False
    said: list[str] = field(default_factory=list)
    _acts: list[str] = field(default_factory=list)
    _events: list[list[_Running]] = field(default_factory=list)
    _elements: dict[tuple[str, str], _Element] = field(default_factory=dict)
    _memory: dict[int, tuple[bool | None, list[float]]] = field(default_factory=dict)
    _scope: str = ""

    @classmethod
    def of(cls, board: Storyboard, roadmap: RoadMap, outside: frozenset[str] = frozenset()) -> Play:
        """The play at time 0: everybody is where the init actions put them."""
        lanes = Lanes.of(roadmap, board)
        stage = Cast(lanes, {e.name: Person(e, e.name in outside) for e in board.entities})
        play = cls(board, stage, Controls(stage))
        for name, doing in board.init:
            play.controls.begin(name, doing, init=True)
        for act in board.acts:
            play._acts.append("standbyState")
            rows = [
                _Running(event, group.actors, group.name, maneuver)
                for group in act.groups
                for maneuver in group.maneuvers
                for event in maneuver.events
            ]
            play._events.append(rows)
        return play

    def advance(self, dt: float, states: dict[str, Floats]) -> list[str]:
        """Ask all conditions at the present moment, begin what they start, and move everybody on by a step.

        `states` are the rear-axle states `(7,)` after the step of those driven from outside. Returns what
        happened, in words.
        """
        self.said = []
        self._ask()
        self.controls.move(dt)
        for name, state in states.items():
            self.cast.people[name].see(state, dt, self.cast.lanes)
        self._finish_actions()
        self.time += dt
        self.step += 1
        self.said += self.controls.failed
        self.controls.failed.clear()
        return self.said

    # -- the machine ----------------------------------------------------------------------------------

    def _ask(self) -> None:
        if not self.over and self.board.stop and self._triggered(self.board.stop):
            self.over = True
            self._say("the storyboard ends")
        if self.over:
            return
        for k, act in enumerate(self.board.acts):
            self._ask_act(k, act)

    def _ask_act(self, k: int, act: Act) -> None:
        # By their number: acts of two stories may have one name.
        state = self._acts[k]
        if state == "standbyState" and (act.start is None or self._triggered(act.start)):
            self._acts[k] = state = "runningState"
            self._mark("act", act.name, "runningState", "startTransition")
        if state != "runningState":
            return
        rows = self._events[k]
        if act.stop and self._triggered(act.stop):
            for row in rows:
                self._stop(row)
            self._acts[k] = "completeState"
            self._mark("act", act.name, "completeState", "stopTransition")
            return
        for row in rows:
            done = row.runs >= row.event.count
            if row.active or done:
                continue
            # A catalog's manoeuvre may be there many times: names mean those of the own group first.
            self._scope = row.group
            if row.event.start is None or self._triggered(row.event.start):
                self._start(row, rows)
            self._scope = ""
        if all(r.runs >= r.event.count and not r.active for r in rows):
            self._acts[k] = "completeState"
            self._mark("act", act.name, "completeState", "endTransition")

    def _start(self, row: _Running, rows: list[_Running]) -> None:
        others = [r for r in rows if r is not row and r.active and r.maneuver is row.maneuver]
        if row.event.priority == "skip" and others:
            row.runs += 1
            self._mark("event", row.event.name, "standbyState", "skipTransition", row.group)
            return
        if row.event.priority in ("overwrite", "override"):
            for other in others:
                self._stop(other)
        row.active, row.runs, row.waiting = True, row.runs + 1, []
        self._mark("event", row.event.name, "runningState", "startTransition", row.group)
        self._say(f"{row.event.name} begins")
        for action in row.event.actions:
            self._mark("action", action.name, "runningState", "startTransition", row.group)
            actors = action.actors or row.actors
            for actor in actors or ("",):
                self.controls.begin(actor, action.doing, self.time)
                row.waiting.append((action, actor))

    def _stop(self, row: _Running) -> None:
        if not row.active:
            return
        for action, actor in row.waiting:
            self.controls.drop(actor, action.doing)
            self._mark("action", action.name, "completeState", "stopTransition", row.group)
        row.active, row.waiting = False, []
        self._mark("event", row.event.name, "completeState", "stopTransition", row.group)

    def _finish_actions(self) -> None:
        for rows in self._events:
            for row in rows:
                if not row.active:
                    continue
                left = [(a, who) for a, who in row.waiting if self.controls.busy(who, a.doing)]
                gone = {a.name for a, _ in row.waiting} - {a.name for a, _ in left}
                for name in sorted(gone):
                    self._mark("action", name, "completeState", "endTransition", row.group, 1)
                row.waiting = left
                if not left:
                    row.active = False
                    state = "completeState" if row.runs >= row.event.count else "standbyState"
                    self._mark("event", row.event.name, state, "endTransition", row.group, 1)
                    self._say(f"{row.event.name} ends")

    def _mark(
        self, kind: str, name: str, state: str, transition: str, group: str = "", late: int = 0
    ) -> None:
        for key in (name, f"{group}::{name}"):
            self._elements[kind, key] = _Element(state, transition, self.step + late)

    def _say(self, text: str) -> None:
        self.said.append(text)

    # -- conditions -----------------------------------------------------------------------------------

    def _triggered(self, trigger: Trigger) -> bool:
        # All are asked, also behind one that holds: edges must not be missed.
        return any([all([self._holds(test) for test in group]) for group in trigger if group])

    def _holds(self, test: Test) -> bool:
        value = self._value(test)
        before, since = self._memory.get(id(test), (None, []))
        now = value
        if test.edge != "none":
            rising, falling = value and before is False, not value and before is True
            now = bool({"rising": rising, "falling": falling}.get(test.edge, rising or falling))
        if now:
            since = [*since, self.time]
        ready = [t for t in since if self.time - t >= test.delay - 1e-9]
        since = [t for t in since if self.time - t < test.delay - 1e-9]
        self._memory[id(test)] = value, since
        return bool(ready) if test.delay > 0.0 else now

    def _value(self, test: Test) -> bool:
        if test.kind == "SimulationTime":
            return RULES[test.rule](self.time, test.value)
        if test.kind == "Constant":
            return test.value != 0.0
        if test.kind == "StoryboardElementState":
            name = test.element.split("::")[-1]
            found = self._elements.get((test.along, f"{self._scope}::{name}"))
            found = found or self._elements.get((test.along, name))
            if found is None:
                return test.state == "standbyState"
            if test.state.endswith("Transition"):
                # Also one step later: it may have come after this condition was asked.
                return found.transition == test.state and self.step - found.step <= 1
            return found.state == test.state
        return entity_test(test, self.cast)


@dataclass(slots=True, eq=False)
class StoryDirection:
    """A storyboard in one run of the closed loop: it drives every entity that no planner does."""

    scenario: Scenario
    play: Play
    rows: NDArray[np.intp]
    outside: dict[int, str]

    def step(self, cue: Cue) -> Moves:
        if cue.sample == 0:
            for row, name in self.outside.items():
                self.play.cast.people[name].see(cue.now[row], 0.0, self.play.cast.lanes)
        ahead = {name: cue.ahead[row] for row, name in self.outside.items()}
        events = self.play.advance(self.scenario.dt, ahead)
        people = [self.play.cast.people[self.scenario.tracks.ids[row]] for row in self.rows]
        pose = np.array([(p.x, p.y, p.heading, p.speed, p.yaw_rate) for p in people]).reshape(-1, 5)
        return Moves(pose, np.array([p.there for p in people], dtype=np.bool_), None, events)

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class StoryDirector:
    """Plays the storyboard that a scenario carries under `Scenario.live["storyboard"]`."""

    def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> StoryDirection:
        board = scenario.live.get(KEY)
        if not isinstance(board, Storyboard):
            raise ScenarioError(f"scenario '{scenario.id}' has no storyboard to be played")
        ids = scenario.tracks.ids
        outside = {row: ids[row] for row in driven}
        play = Play.of(board, scenario.roadmap, frozenset(outside.values()))
        rows = np.array([k for k in range(len(ids)) if k not in outside], dtype=np.intp)
        return StoryDirection(scenario, play, rows, outside)


DIRECTOR = StoryDirector()


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """A play without planners: rear-axle states `(A, N, 7)`, who was `there (A, N)`, when it ended, in s."""

    states: Floats
    there: NDArray[np.bool_]
    end: float | None


def rehearse(board: Storyboard, roadmap: RoadMap, dt: float, longest: float) -> Rehearsal:
    """Play a storyboard for at most `longest` s, the ego acting as the file says."""
    play = Play.of(board, roadmap)
    people = [play.cast.people[e.name] for e in board.entities]
    states: list[list[tuple[float, ...]]] = []
    there: list[list[bool]] = []
    end = None
    for _ in range(math.ceil(longest / dt - 1e-9) + 1):
        states.append([(p.x, p.y, p.heading, p.speed, p.acceleration, 0.0, p.yaw_rate) for p in people])
        there.append([p.there for p in people])
        if play.over:
            end = play.time
            break
        play.advance(dt, {})
    return Rehearsal(cast("Floats", np.array(states).swapaxes(0, 1)), np.array(there, dtype=np.bool_).T, end)
