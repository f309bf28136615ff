"""Many worlds at once for learning: reset, step, rewards, and the next scenario when one ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, ScenarioError, SimulationError
from drive.sim.features import features, new_memory, series
from drive.sim.ground import compile_ground
from drive.sim.kernels.controls import choice_controls, roll_choices
from drive.sim.kernels.features import ROW
from drive.sim.kernels.follow import MAX_STEERING
from drive.sim.kernels.layout import Controller
from drive.sim.kernels.series import MEMORY_COLUMNS, SERIES_COLUMNS, WIDTH
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import load_traffic
from drive.sim.world import World, compile_world, step
from drive.vehicle import STATE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.traffic.model import TrafficModel

    Array = NDArray[np.float32]
    Bools = NDArray[np.bool_]

RUNNING, COLLISION, OFF_ROAD, GOAL, TIME = range(5)
OUTCOMES = ("running", "collision", "off_road", "goal", "time")
GOAL_REACH = 3.0
"""m before the end of its route at which the ego has arrived."""
AUTORESETS = ("same_step", "next_step", "off")
_COLUMN = {name: k for k, name in enumerate(SERIES_COLUMNS)}


@dataclass(frozen=True, slots=True)
class Rewards:
    """What a sample is worth: `progress` a metre, `over_limit` a m/s above the limit; the rest an event.

    `near` counts while the time to collision is below `near_time` s, `uncomfortable` while a bound of
    comfort is broken.
    """

    progress: float = 0.05
    goal: float = 2.0
    collision: float = -10.0
    off_road: float = -10.0
    red: float = -5.0
    near: float = -0.1
    near_time: float = 1.0
    uncomfortable: float = -0.02
    over_limit: float = -0.02


@dataclass(frozen=True, slots=True)
class Candidates:
    """A small set of manoeuvres: every offset (m, left of the route) at every share of the allowed speed.

    Candidate c is `offsets[c // len(shares)]` at `shares[c % len(shares)]`. The allowed speed is what the
    limit and the bends ahead permit; nobody else is minded: that is for the learner.
    """

    offsets: tuple[float, ...] = (-1.5, 0.0, 1.5)
    shares: tuple[float, ...] = (0.0, 0.4, 0.7, 1.0)

    def __post_init__(self) -> None:
        if not self.offsets or not self.shares or min(self.shares) < 0.0:
            raise InputError("candidates need offsets, and shares of the speed that are not negative")

    def __len__(self) -> int:
        return len(self.offsets) * len(self.shares)


@dataclass(eq=False)
class VectorWorld:
    """`num_envs` worlds in step, each driving one ego; made by `VectorWorld.of`.

    Arrays are owned by this object and written over at each step: `observation (N, ROW)`,
    `series (N, WIDTH)`, `reward`, `terminated`, `truncated`, `outcome`, `scenario (N,)`. Equal seeds and
    actions give equal bits, whatever the number of threads. Environment i takes the scenarios in a seeded
    order, its own after one another.
    """

    scenarios: tuple[Scenario, ...]
    bank: World
    world: World
    ground: Any
    actions: Candidates | None
    repeat: int
    rewards: Rewards
    autoreset: str
    threads: int
    low: Array
    high: Array
    ego: NDArray[np.int32]
    last: NDArray[np.int32]
    rows: NDArray[np.int32]
    scenario: NDArray[np.int64]
    episode: NDArray[np.int64]
    memory: Array
    series: Array
    observation: Array
    reward: Array
    total: Array
    terminated: Bools
    truncated: Bools
    outcome: NDArray[np.uint8]
    control: Array
    area: NDArray[np.int32]
    order: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        scenarios: str | Path | Sequence[str | Path | Scenario],
        num_envs: int | None = None,
        *,
        actions: Candidates | str = "control",
        repeat: int = 1,
        traffic: str | TrafficModel = "idm",
        rewards: Rewards | None = None,
        autoreset: str = "same_step",
        seed: int = 0,
        threads: int = 1,
        spacing: int = 4,
    ) -> VectorWorld:
        """Compile scenarios, given as references (`gen/cut_in/0:64`) or as objects.

        `actions` are "control" or a set of candidates; each holds for `repeat` samples. `autoreset`
        "same_step" answers the last step of an episode with the next one's first observation, "next_step"
        with its own, and "off" leaves resetting to the caller. Without `num_envs` there is one a scenario.

        Raises InputError or one of its kinds.
        """
        many = _loaded(scenarios)
        n = len(many) if num_envs is None else num_envs
        if n < 1 or repeat < 1 or autoreset not in AUTORESETS:
            raise InputError(
                f"it takes num_envs and repeat of at least 1 and autoreset of {', '.join(AUTORESETS)}, "
                f"got {n}, {repeat} and '{autoreset}'"
            )
        if isinstance(actions, str) and actions != "control":
            raise InputError(f"actions are 'control' or a drive.sim.Candidates, got '{actions}'")
        model = load_traffic(traffic)
        casts = [cast(s, model, {s.ego: Controller.CONTROL}) for s in many]
        bank = compile_world(casts, many[0].dt, model.anticipate)
        ground = compile_ground(casts, [s.roadmap for s in many], spacing)
        world = _room_for(bank, n)
        limits = np.array(
            [(s.vehicle.max_braking, s.vehicle.max_acceleration, s.vehicle.max_steering_rate) for s in many]
        ).max(0)
        made = cls(
            scenarios=tuple(many),
            bank=bank,
            world=world,
            ground=ground.of_worlds(np.zeros(n, dtype=np.int32)),
            actions=None if isinstance(actions, str) else actions,
            repeat=repeat,
            rewards=rewards or Rewards(),
            autoreset=autoreset,
            threads=threads,
            low=np.array([-limits[0], -limits[2]], dtype=np.float32),
            high=np.array([limits[1], limits[2]], dtype=np.float32),
            ego=np.array([s.ego for s in many], dtype=np.int32),
            last=np.array([s.num_steps for s in many], dtype=np.int32),
            rows=np.zeros((n, 1), dtype=np.int32),
            scenario=np.zeros(n, dtype=np.int64),
            episode=np.zeros(n, dtype=np.int64),
            memory=new_memory(n, 1),
            series=np.zeros((n, WIDTH), dtype=np.float32),
            observation=np.zeros((n, ROW), dtype=np.float32),
            reward=np.zeros(n, dtype=np.float32),
            total=np.zeros(n, dtype=np.float32),
            terminated=np.zeros(n, dtype=np.bool_),
            truncated=np.zeros(n, dtype=np.bool_),
            outcome=np.zeros(n, dtype=np.uint8),
            control=np.zeros((n, world.num_agents, 2), dtype=np.float32),
            area=ground.areas.of,
            order=np.arange(len(many)),
        )
        made.reset(seed)
        return made

    @property
    def num_envs(self) -> int:
        return len(self.rows)

    def reset(self, seed: int | None = None, envs: NDArray[Any] | None = None) -> Array:
        """Begin anew, all environments or those of a mask or of indices; returns the observations.

        A `seed` draws a new order of the scenarios, which begins with its first; without one, each
        environment goes on to its next scenario.
        """
        chosen = np.arange(self.num_envs) if envs is None else np.arange(self.num_envs)[np.asarray(envs)]
        if seed is not None:
            self.order = np.random.default_rng(seed).permutation(len(self.scenarios))
            self.episode[:] = 0
        else:
            self.episode[chosen] += 1
        self._place(chosen)
        self._observe(chosen)
        return self.observation

    def step(self, actions: Any) -> tuple[Array, Array, Bools, Bools, dict[str, Any]]:
        """Drive `repeat` samples; observations, rewards, terminated, truncated and what else there is to tell.

        `actions (N, 2)`: acceleration in m/s^2 and steering rate in rad/s, cut to what the vehicles can do, or
        `(N,)` numbers of candidates. What is told: `scenario (N,)`, `outcome (N,)` (see `OUTCOMES`),
        `episode_return (N,)`, and with "same_step" in the rows of what ended `final_obs (N, ROW)`.
        """
        acts = self._checked(actions)
        waiting = self.outcome != RUNNING
        self.reward[:] = 0.0
        alive = ~waiting
        for _ in range(self.repeat):
            self._advance(acts)
            self._judge(alive)
            alive &= self.outcome == RUNNING
            if not alive.any():
                break
        info: dict[str, Any] = {}
        if self.autoreset == "next_step" and waiting.any():
            # The action of the step after an end is not driven.
            self.episode[waiting] += 1
            self._place(np.flatnonzero(waiting))
        self.terminated[:] = (self.outcome != RUNNING) & (self.outcome != TIME)
        self.truncated[:] = self.outcome == TIME
        self._observe(None)
        info["scenario"], info["outcome"] = self.scenario.copy(), self.outcome.copy()
        info["episode_return"] = self.total.copy()
        ended = self.outcome != RUNNING
        if self.autoreset == "same_step" and ended.any():
            info["final_obs"], info["_final_obs"] = self.observation.copy(), ended
            chosen = np.flatnonzero(ended)
            self.episode[chosen] += 1
            self._place(chosen)
            self._observe(chosen)
        return self.observation, self.reward, self.terminated, self.truncated, info

    def candidates(self, steps: int = 20, out: Array | None = None) -> Array:
        """States `(N, C, steps + 1, 7)` of all candidates rolled out from now, as `step` would drive them."""
        if self.actions is None:
            raise InputError("this vector world is driven by controls: it has no candidates")
        shape = (self.num_envs, len(self.actions), steps + 1, STATE_SIZE)
        states = np.empty(shape, dtype=np.float32) if out is None else out
        if states.shape != shape or states.dtype != np.float32:
            raise SimulationError(f"out must be a float32 array of the shape {shape}, got {states.shape}")
        w, sides = self.world, self._laws()
        roll_choices(
            w.motion, w.agents, w.paths, self.ground.table, self.rows[:, 0], *sides, MAX_STEERING, states,
            np.float32(w.dt), 0, self.num_envs,
        )  # fmt: skip
        return states

    def _laws(self) -> tuple[Array, Array]:
        assert self.actions is not None
        offsets, shares = self.actions.offsets, self.actions.shares
        return (
            np.repeat(np.asarray(offsets, dtype=np.float32), len(shares)),
            np.tile(np.asarray(shares, dtype=np.float32), len(offsets)),
        )

    def _checked(self, actions: Any) -> NDArray[Any]:
        a = np.asarray(actions)
        if self.actions is None:
            a = np.asarray(a, dtype=np.float32)
            if a.shape != (self.num_envs, 2) or not np.isfinite(a).all():
                raise SimulationError(f"controls must be finite and ({self.num_envs}, 2), got {a.shape}")
            return np.clip(a, self.low, self.high)
        if a.shape != (self.num_envs,) or a.dtype.kind not in "iu":
            raise SimulationError(f"candidates are chosen by integers ({self.num_envs},), got {a.shape} {a.dtype}")
        if a.min() < 0 or a.max() >= len(self.actions):
            raise SimulationError(f"there are candidates 0 to {len(self.actions) - 1}, got {a.min()} to {a.max()}")
        return a.astype(np.int32)

    def _advance(self, acts: NDArray[Any]) -> None:
        w = self.world
        every, row = np.arange(self.num_envs), self.rows[:, 0]
        self.control[:] = 0.0
        if self.actions is None:
            floor = -w.motion.speed[every, row] / np.float32(w.dt)
            self.control[every, row, 0] = np.maximum(acts[:, 0], floor)
            self.control[every, row, 1] = acts[:, 1]
        else:
            choice_controls(
                w.motion, w.agents, w.paths, self.ground.table, row, *self._laws(), acts, self.control,
                np.float32(w.dt),
            )  # fmt: skip
        step(w, control=self.control, out=w, threads=self.threads)
        series(
            w, self.ground, self.memory, self.rows, self.series[:, None], threads=self.threads
        )
        # Others expect the ego where its station says; a step under controls does not move it.
        station = self.memory[:, 0, MEMORY_COLUMNS.index("station")]
        w.motion.station[every, row] = np.where(np.isfinite(station), station, w.motion.station[every, row])

    def _judge(self, alive: Bools) -> None:
        """Add the rewards of one sample, and tell of those still `alive` who has ended, and how."""
        r, s = self.rewards, {name: self.series[:, k] for name, k in _COLUMN.items()}
        collided, off_road = s["collided"] > 0.0, s["off_road"] > 0.0
        arrived = (s["remaining"] < GOAL_REACH) & (s["present"] > 0.0)
        gained = (
            r.progress * s["progress"]
            + r.red * s["red"]
            + r.near * (s["time_to_collision"] < r.near_time)
            + r.uncomfortable * (s["comfortable"] == 0.0)
            + r.over_limit * s["over_limit"]
            + np.select([collided, off_road, arrived], [r.collision, r.off_road, r.goal])
        )
        gained = np.where(alive, gained, 0.0)
        self.reward += gained
        self.total += gained
        late = self.world.motion.sample >= self.last[self.scenario]
        outcome = np.select(
            [collided, off_road, arrived, late], [COLLISION, OFF_ROAD, GOAL, TIME], RUNNING
        )
        self.outcome[alive] = outcome[alive]

    def _place(self, chosen: NDArray[np.int64]) -> None:
        """Put environments at the start of their next scenario."""
        count = len(self.scenarios)
        # Without a common divisor every environment meets all scenarios before one comes again.
        stride = next(k for k in range(self.num_envs, self.num_envs + count) if gcd(k, count) == 1)
        which = self.order[(chosen + self.episode[chosen] * stride) % count]
        self.scenario[chosen] = which
        for live, source in ((self.world.motion, self.bank.motion), (self.world.agents, self.bank.agents)):
            for a, b in zip(live, source, strict=True):
                a[chosen] = b[which]
        self.rows[chosen, 0] = self.ego[which]
        self.ground.areas.of[chosen] = self.area[which]
        self.memory[chosen] = np.nan
        self.total[chosen] = 0.0
        self.outcome[chosen] = RUNNING
        series(
            self.world, self.ground, self.memory, self.rows, self.series[:, None], chosen.astype(np.int32)
        )

    def _observe(self, chosen: NDArray[np.int64] | None) -> None:
        worlds = None if chosen is None else chosen.astype(np.int32)
        features(
            self.world, self.ground, self.rows, self.observation[:, None], worlds, threads=self.threads
        )


def _loaded(scenarios: str | Path | Sequence[str | Path | Scenario]) -> list[Scenario]:
    from drive.api import load_scenarios
    from drive.scenario import Scenario

    many: list[Scenario] = []
    for one in [scenarios] if isinstance(scenarios, str) or not hasattr(scenarios, "__iter__") else scenarios:
        many += [one] if isinstance(one, Scenario) else load_scenarios(one)
    if not many:
        raise InputError("a vector world needs at least one scenario")
    for s in many:
        if s.dt != many[0].dt:
            raise ScenarioError(f"scenario '{s.id}' has a step of {s.dt} s, '{many[0].id}' one of {many[0].dt}")
        if not s.route.known:
            raise ScenarioError(f"scenario '{s.id}' has no route to follow")
    return many


def _room_for(bank: World, worlds: int) -> World:
    """A world of as many scenarios, whose paths are those of the bank: it holds them all."""
    motion = type(bank.motion)(*(np.zeros((worlds, *a.shape[1:]), dtype=a.dtype) for a in bank.motion))
    agents = type(bank.agents)(*(np.zeros((worlds, *a.shape[1:]), dtype=a.dtype) for a in bank.agents))
    return replace(bank, motion=motion, agents=agents)


__all__ = ["OUTCOMES", "Candidates", "Rewards", "VectorWorld"]
