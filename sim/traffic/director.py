"""Traffic from outside the kernels: a director places some agents at every step, and lets them come and go.

A traffic model names a director (`TrafficModel.director`): a program that steps beside ours (SUMO), or a
storyboard whose events wait for the ego. Its agents are under TRAJECTORY; everybody else is driven by the
model's controller and sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drive.errors import DriveError, SimulationError
from drive.geometry import wrap_angle
from drive.sim.kernels.layout import ABSENT, PRESENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.observe import Record
    from drive.sim.world import World

    Floats = NDArray[np.float64]

REACH = 1e6
"""m; farther from the origin float32 holds no place on a lane, and a director has lost its agent."""


@dataclass(frozen=True, slots=True, eq=False)
class Cue:
    """What a director knows when it moves its agents from `sample` to the next one.

    `record` holds everybody's centres and presence up to `sample`. `now` and `ahead` are the rear-axle
    states `(7,)` of the agents that planners drive, the ego's among them, by row: at `sample`, and where
    they will be after this step. Who decides as our traffic does, all at once, reads what is `now`.
    """

    sample: int
    time: float
    record: Record
    now: Mapping[int, Floats]
    ahead: Mapping[int, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Where a director's agents are after the step, in the order of its `rows`.

    `pose (R, 5)` rear-axle x, y, heading, speed and yaw rate (what it holds of the absent does not matter);
    `present (R,)`; `signals (S,)` of `SignalState` from the next sample on, None where the scenario's own
    hold; `events` one line each for the run log.
    """

    pose: Floats
    present: NDArray[np.bool_]
    signals: NDArray[np.uint8] | None = None
    events: Sequence[str] = ()


class Direction(Protocol):
    """A director at work in one run.

    `scenario` is the one to be run: the given one, or a copy whose tracks have more rows behind the given
    ones (agents that may appear) and whose validity at the first sample says who is there. `rows (R,)` are
    those that it drives from then on, none of which a planner drives.
    """

    scenario: Scenario
    rows: NDArray[np.intp]

    def step(self, cue: Cue) -> Moves: ...

    def close(self) -> None: ...


class Director(Protocol):
    """Begins directions; holds nothing that belongs to one run.

    `driven` are the rows that planners drive, the ego's first. Equal scenarios, seeds and cues give equal
    moves. Raises ScenarioError for a scenario that it cannot direct.
    """

    def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> Direction: ...


@dataclass(slots=True, eq=False)
class Stage:
    """A direction in the closed loop: asked, checked and put into the world.

    Whatever goes wrong in a director is a SimulationError, which drops the scenario for every planner.
    """

    direction: Direction
    name: str
    moves: Moves | None = None

    @classmethod
    def open(cls, director: Director, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> Stage:
        direction = _guard(scenario.id, "start", lambda: director.start(scenario, seed, driven))
        stage = cls(direction, scenario.id)
        try:
            _check_cast(scenario, direction, driven)
        except SimulationError:
            stage.close()
            raise
        return stage

    @property
    def scenario(self) -> Scenario:
        return self.direction.scenario

    @property
    def rows(self) -> NDArray[np.intp]:
        return self.direction.rows

    def ask(self, cue: Cue, world: World, pose: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Have the agents moved and write their poses `(1, A, 5)`; returns the events for the run log."""
        moves = _guard(self.name, f"step {cue.sample}", lambda: self.direction.step(cue))
        rows, lights = self.rows, len(self.scenario.signals)
        given, there = np.asarray(moves.pose, dtype=np.float64), np.asarray(moves.present, dtype=np.bool_)
        where = f"scenario '{self.name}', step {cue.sample}: its director"
        if given.shape != (len(rows), 5) or there.shape != (len(rows),):
            raise SimulationError(
                f"{where} placed {given.shape} and {there.shape}, not ({len(rows)}, 5) and ({len(rows)},)"
            )
        if not (np.isfinite(given[there]).all() and (np.abs(given[there, :2]) <= REACH).all()):
            raise SimulationError(f"{where} placed an agent where no road can be")
        if moves.signals is not None and np.shape(moves.signals) != (lights,):
            raise SimulationError(f"{where} gave {np.shape(moves.signals)} signals, not ({lights},)")
        m = world.motion
        stay = there[:, None]
        still = np.stack([a[0, rows] for a in (m.x, m.y, m.heading, m.speed)] + [np.zeros(len(rows))], axis=1)
        # Who leaves stands until the step is done: the others decide before anyone moves.
        pose[0, rows] = np.where(stay, given, still)
        pose[0, rows, 2] = wrap_angle(pose[0, rows, 2])
        self.moves = Moves(given, there, moves.signals)
        at = cue.time + self.scenario.dt
        return [{"time": at, "kind": "story", "detail": str(text)} for text in moves.events]

    def place(self, world: World, pose: NDArray[np.float32], record: Record, sample: int) -> None:
        """After the step to `sample`: who appears and who leaves, and what the signals show from then on."""
        moves = self.moves
        assert moves is not None
        m, rows = world.motion, self.rows
        before = m.presence[0, rows] == PRESENT
        m.presence[0, rows] = np.where(moves.present, PRESENT, ABSENT)
        new = rows[moves.present & ~before]
        x, y, heading, speed, yaw_rate = pose[0, new].T
        m.x[0, new], m.y[0, new], m.heading[0, new], m.speed[0, new] = x, y, heading, speed
        m.vx[0, new], m.vy[0, new] = speed * np.cos(heading), speed * np.sin(heading)
        m.acceleration[0, new], m.yaw_rate[0, new] = 0.0, yaw_rate
        if moves.signals is not None:
            record.signals[:, sample:] = moves.signals[:, None]
            world.agents.signals[0, : len(moves.signals), sample:] = moves.signals[:, None]

    def close(self) -> None:
        self.direction.close()


def director_of(asked: Director | None, scenario: Scenario) -> Director | None:
    """The director of a traffic model, or the one that a scenario brings along: a storyboard is played
    whatever drives the rest."""
    if asked is not None or "storyboard" not in scenario.live:
        return asked
    from drive.sim.traffic.story import DIRECTOR

    return DIRECTOR


def _check_cast(given: Scenario, direction: Direction, driven: tuple[int, ...]) -> None:
    run, rows = direction.scenario, np.asarray(direction.rows)
    same = (
        run.ego == given.ego
        and (run.dt, run.num_steps) == (given.dt, given.num_steps)
        and run.tracks.ids[: given.tracks.num_agents] == given.tracks.ids
        and run.environment is given.environment
    )
    fit = rows.ndim == 1 and len(set(rows.tolist())) == len(rows) and not set(rows.tolist()) & set(driven)
    if not (same and fit and all(0 <= r < run.tracks.num_agents for r in rows)):
        raise SimulationError(
            f"scenario '{given.id}': its director must keep the ego, clock, map and given tracks, "
            "and drive rows of its own"
        )


def _guard(name: str, when: str, call: Any) -> Any:
    try:
        return call()
    except DriveError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise SimulationError(
            f"scenario '{name}', {when}: its director failed: {type(error).__name__}: {text[:300]}"
        ) from error


__all__ = ["Cue", "Direction", "Director", "Moves", "Stage", "director_of"]
