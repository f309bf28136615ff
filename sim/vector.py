"""Many worlds at once for learning: reset, step, rewards, and the next scenario when one ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, ScenarioError, UnknownNameError
from drive.sim._batch import checked, finite, whole
from drive.sim.candidates import rollout
from drive.sim.features import features, new_memory, series
from drive.sim.ground import compile_ground
from drive.sim.kernels.features import ROW
from drive.sim.kernels.layout import Controller
from drive.sim.kernels.series import MEMORY_COLUMNS, SERIES_COLUMNS, WIDTH
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import load_traffic
from drive.sim.world import World, compile_world, step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.ground import Ground
    from drive.sim.traffic.model import TrafficModel
    from drive.vehicle import VehicleParams

    Array = NDArray[np.float32]
    Bools = NDArray[np.bool_]

RUNNING, COLLISION, OFF_ROAD, GOAL, TIME = range(5)
OUTCOMES = ("running", "collision", "off_road", "goal", "time")
GOAL_REACH = 3.0
"""m before the end of its route at which the front of the ego has arrived."""
AUTORESETS = ("next_step", "same_step", "off")
_STATION = MEMORY_COLUMNS.index("station")


@dataclass(frozen=True, slots=True)
class Rewards:
    """The plain default: so much a metre along the route, less a sum for a collision or for leaving the road.

    A hook of one's own is any function of the `VectorWorld` after a sample that gives `(N,)`; it finds there
    `column(name)` of `drive.sim.kernels.series.SERIES_COLUMNS`, `outcome` and the whole `world`.
    """

    progress: float = 0.1
    collision: float = -10.0
    off_road: float = -10.0

    def __call__(self, vector: VectorWorld) -> NDArray[Any]:
        out = self.progress * vector.column("progress")
        out = out + self.collision * (vector.outcome == COLLISION)
        return np.asarray(out + self.off_road * (vector.outcome == OFF_ROAD))


@dataclass(eq=False, repr=False)
class VectorWorld:
    """`num_envs` worlds in step, each driving one ego; made by `VectorWorld.of`.

    Arrays are owned by this object and written over at each step: `observation (N, ROW)`,
    `series (N, WIDTH)`, `reward`, `total` (of the episode), `terminated`, `truncated`, `outcome` (a number of
    `OUTCOMES`) and `scenario (N,)`. Equal seeds and actions give equal bits, whatever the number of threads.
    Environments go through the scenarios in a seeded order: all meet every one before one comes again.
    """

    scenarios: tuple[Scenario, ...]
    bank: World
    world: World
    ground: Ground
    area: NDArray[np.int32]
    vocabulary: Array | None
    repeat: int
    hook: Callable[[VectorWorld], NDArray[Any]]
    autoreset: str
    threads: int
    low: Array
    high: Array
    order: NDArray[np.int64]

    def __post_init__(self) -> None:
        n, many = self.world.num_worlds, self.scenarios
        self.rows = np.zeros((n, 1), dtype=np.int32)
        self.scenario, self.episode = np.zeros((2, n), dtype=np.int64)
        self.memory = new_memory(n, 1)
        self.series = np.zeros((n, WIDTH), dtype=np.float32)
        self.observation = np.zeros((n, ROW), dtype=np.float32)
        self.reward, self.total = np.zeros((2, n), dtype=np.float32)
        self.terminated, self.truncated = np.zeros((2, n), dtype=np.bool_)
        self.outcome = np.zeros(n, dtype=np.uint8)
        self._limits = _limits(many)
        self._ego = np.array([s.ego for s in many], dtype=np.int32)
        self._last = np.array([s.num_steps for s in many])
        self._front = np.array([s.vehicle.rear_axle_to_center + 0.5 * s.vehicle.length for s in many])
        vehicles = list(dict.fromkeys(s.vehicle for s in many))
        self._vehicles: list[VehicleParams] = vehicles
        self._vehicle = np.array([vehicles.index(s.vehicle) for s in many])
        size = self.world.num_agents
        self._control = np.zeros((n, size, 2), dtype=np.float32)
        self._pose = np.zeros((n, size, 5), dtype=np.float32)

    @classmethod
    def of(
        cls,
        scenarios: str | Path | Sequence[str | Path | Scenario],
        num_envs: int | None = None,
        *,
        actions: str | Array = "control",
        repeat: int = 1,
        traffic: str | TrafficModel = "idm",
        reward: Callable[[VectorWorld], NDArray[Any]] | None = None,
        autoreset: str = "next_step",
        seed: int = 0,
        threads: int = 1,
        spacing: int = 4,
    ) -> VectorWorld:
        """Compile scenarios, given as references (`gen/cut_in/0:64`) or as objects, and reset.

        `actions` are "control", or a vocabulary: trajectories `(C, T, 3)` of the rear axle, float32, in the
        frame of where the ego is now, x ahead, a row every `dt` of the scenarios, the first one now. Each
        action holds for `repeat` samples. `reward` is the hook (`Rewards` without one). `autoreset` as
        Gymnasium names it: "next_step" answers the step after an end, whose action is not driven, with the
        next episode's first observation and no reward; "same_step" does so at once, the last observation
        being in the info; "off" leaves resetting to the caller. Without `num_envs` there is one a scenario;
        `spacing` is that of the road points, in m.

        Raises InputError or one of its kinds.
        """
        many = _loaded(scenarios)
        n = len(many) if num_envs is None else num_envs
        for name, given in {"num_envs": n, "repeat": repeat, "threads": threads}.items():
            whole(given, name, 1)
        if autoreset not in AUTORESETS:
            raise InputError(f"autoreset must be one of {', '.join(AUTORESETS)}, got '{autoreset}'")
        if reward is not None and not callable(reward):
            raise InputError(f"a reward is a function of the vector world, got {type(reward).__name__}")
        vocabulary = _vocabulary(actions, repeat)
        model = load_traffic(traffic)
        if model.director is not None:
            raise InputError(
                f"traffic '{model.name}' drives single runs, no batches; choose idm, mobil or log"
            )
        who = Controller.CONTROL if vocabulary is None else Controller.TRAJECTORY
        casts = [cast(s, model, {s.ego: who}) for s in many]
        bank = compile_world(casts, many[0].dt, model.anticipate)
        ground = compile_ground(casts, [s.roadmap for s in many], spacing)
        limits = _limits(many)
        made = cls(
            tuple(many), bank, _room_for(bank, n), ground.of_worlds(np.zeros(n, dtype=np.int32)),
            ground.areas.of, vocabulary, repeat, reward or Rewards(), autoreset, threads,
            limits[0].min(0), limits[1].max(0),
            np.arange(len(many)),
        )  # fmt: skip
        made.reset(seed)
        return made

    @property
    def num_envs(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Array:
        """One of `SERIES_COLUMNS` of the last sample, `(N,)`; raises UnknownNameError for another."""
        if name not in SERIES_COLUMNS:
            raise UnknownNameError("column", name, SERIES_COLUMNS)
        return np.asarray(self.series[:, SERIES_COLUMNS.index(name)])

    def ego_states(self) -> Array:
        """States `(N, 7)` of the egos at their rear axles, columns as in `drive.vehicle`."""
        m = self.world.motion
        columns = (m.x, m.y, m.heading, m.speed, m.acceleration, m.steering, m.yaw_rate)
        return np.stack([np.take_along_axis(a, self.rows, 1)[:, 0] for a in columns], axis=1)

    def reset(
        self,
        seed: int | None = None,
        envs: NDArray[Any] | None = None,
        scenarios: NDArray[Any] | None = None,
    ) -> Array:
        """Begin anew, all environments or those of `envs` (a mask or indices); returns the observations.

        A `seed` draws a new order of the scenarios, which begins with its first; without one, each
        environment goes on to its next scenario, or to that of `scenarios`, one for each of `envs`.
        """
        chosen = self._chosen(envs)
        which = None if scenarios is None else np.asarray(scenarios)
        if which is not None and (
            which.shape != chosen.shape
            or which.dtype.kind not in "iu"
            or (which.size and not 0 <= which.min() <= which.max() < len(self.scenarios))
        ):
            raise InputError(f"scenarios must be {len(chosen)} numbers from 0 to {len(self.scenarios) - 1}")
        if seed is not None:
            self.order = np.random.default_rng(whole(seed, "a seed", 0)).permutation(len(self.scenarios))
            self.episode[:] = 0
        else:
            self.episode[chosen] += 1
        self._place(chosen, which)
        self._observe(chosen)
        return self.observation

    def step(self, actions: Any) -> tuple[Array, Array, Bools, Bools, dict[str, Any]]:
        """Drive `repeat` samples: observations, rewards, terminated, truncated, and what else there is.

        `actions (N, 2)`: acceleration in m/s^2 and steering rate in rad/s, cut to the limits of its
        vehicle, or `(N,)` numbers of trajectories of the vocabulary, which the LQR tracker follows. Braking
        ends at standstill. Collisions (whoever's fault), leaving the road and arriving terminate, the end of
        the recording truncates. Told are `scenario (N,)`, `outcome (N,)`, `episode_return (N,)`, and with
        "same_step" in the rows `_final_obs (N,)` the last `final_obs (N, ROW)`.
        """
        acts = self._checked(actions)
        waiting = self.outcome != RUNNING
        alive = ~waiting
        self.reward[:] = 0.0
        if alive.any():
            driven = None if self.vocabulary is None else self._tracked(acts)
            kept: list[tuple[Any, list[NDArray[Any]]]] = []
            for k in range(self.repeat):
                self._advance(acts, None if driven is None else driven[:, k + 1], waiting)
                self._judge(alive)
                ended = np.flatnonzero(alive & (self.outcome != RUNNING))
                alive[ended] = False
                if not alive.any():
                    break
                # The others have samples to go; who has ended must be told as it was at its end.
                if len(ended) and k + 1 < self.repeat:
                    kept.append((ended, [a[ended] for a in self._state()]))
            for rows, then in kept:
                for a, b in zip(self._state(), then, strict=True):
                    a[rows] = b
        if self.autoreset == "next_step" and waiting.any():
            chosen = np.flatnonzero(waiting)
            self.episode[chosen] += 1
            self._place(chosen)
        ended = self.outcome != RUNNING
        self.truncated[:] = self.outcome == TIME
        self.terminated[:] = ended & ~self.truncated
        self._observe(None)
        info: dict[str, Any] = {
            "scenario": self.scenario.copy(),
            "outcome": self.outcome.copy(),
            "episode_return": self.total.copy(),
        }
        if self.autoreset == "same_step" and ended.any():
            info["final_obs"], info["_final_obs"] = self.observation.copy(), ended
            chosen = np.flatnonzero(ended)
            self.episode[chosen] += 1
            self._place(chosen)
            self._observe(chosen)
        return self.observation, self.reward, self.terminated, self.truncated, info

    def _state(self) -> tuple[NDArray[Any], ...]:
        """All arrays that a sample changes, one row an environment."""
        return (*self.world.motion, self.memory, self.series)

    def _chosen(self, envs: NDArray[Any] | None) -> NDArray[np.int64]:
        every = np.arange(self.num_envs)
        if envs is None:
            return every
        try:
            chosen = np.atleast_1d(every[np.asarray(envs)])
        except IndexError:
            raise InputError(f"envs must be a mask ({self.num_envs},) or indices below it") from None
        # In the order in which they are named: `scenarios` go with them.
        if chosen.ndim != 1 or len(np.unique(chosen)) != len(chosen):
            raise InputError("envs must name each environment once, in one row")
        return np.asarray(chosen)

    def _checked(self, actions: Any) -> NDArray[Any]:
        n = self.num_envs
        try:
            a = np.asarray(actions)
        except ValueError:
            raise InputError(
                f"actions must be one array for {n} environments, rows of equal length"
            ) from None
        if self.vocabulary is None:
            if a.shape != (n, 2) or a.dtype.kind not in "fiu":
                raise InputError(f"controls must be numbers of the shape ({n}, 2), got {a.dtype} {a.shape}")
            finite(np.ascontiguousarray(a, dtype=np.float64), "controls", "environment", np.inf)
            # Its own limits: those of others in the batch must change nothing.
            low, high = self._limits[:, self.scenario]
            return np.asarray(np.clip(a, low, high), dtype=np.float32)
        if a.shape != (n,) or a.dtype.kind not in "iu":
            raise InputError(f"trajectories are chosen by integers ({n},), got {a.dtype} {a.shape}")
        if a.min() < 0 or a.max() >= len(self.vocabulary):
            raise InputError(
                f"there are trajectories 0 to {len(self.vocabulary) - 1}, got {a.min()} to {a.max()}"
            )
        return a

    def _tracked(self, choice: NDArray[Any]) -> Array:
        """States `(N, repeat + 1, 7)` of the egos on the trajectories that they chose, in the world."""
        assert self.vocabulary is not None
        now = self.ego_states()
        # Tracking knows no place: it is done in the ego's frame, where float32 has digits to spare.
        start = now.copy()
        start[:, :3] = 0.0
        out = np.empty((self.num_envs, self.repeat + 1, 7), dtype=np.float32)
        for number, vehicle in enumerate(self._vehicles):
            which = np.flatnonzero(self._vehicle[self.scenario] == number)
            if len(which):
                driven = rollout(
                    vehicle, start[which], self.vocabulary[choice[which]], dt=self.world.dt,
                    compat="fixed", threads=self.threads,
                )  # fmt: skip
                out[which] = driven[:, : self.repeat + 1]
        x, y, h = now[:, 0, None], now[:, 1, None], now[:, 2, None]
        along, across = out[..., 0].copy(), out[..., 1].copy()
        out[..., 0] = x + np.cos(h) * along - np.sin(h) * across
        out[..., 1] = y + np.sin(h) * along + np.cos(h) * across
        out[..., 2] += h
        out[..., 3] = np.maximum(out[..., 3], 0.0)
        return out

    def _advance(self, acts: NDArray[Any], state: Array | None, waiting: Bools) -> None:
        """One sample of all worlds; the egos of those that are `waiting` for a reset stand still."""
        w = self.world
        every, row = np.arange(self.num_envs), self.rows[:, 0]
        if state is None:
            self._control[:] = 0.0
            stop = -w.motion.speed[every, row] / np.float32(w.dt)
            self._control[every, row, 0] = np.where(waiting, stop, np.maximum(acts[:, 0], stop))
            self._control[every, row, 1] = np.where(waiting, 0.0, acts[:, 1])
            step(w, control=self._control, out=w, threads=self.threads)
        else:
            if waiting.any():
                state = np.where(waiting[:, None], self.ego_states() * (1, 1, 1, 0, 0, 1, 0), state)
            self._pose[every, row] = state[:, (0, 1, 2, 3, 6)]
            step(w, pose=self._pose, out=w, threads=self.threads)
            w.motion.acceleration[every, row], w.motion.steering[every, row] = state[:, 4], state[:, 5]
        series(w, self.ground, self.memory, self.rows, self.series[:, None], threads=self.threads)
        # Others expect the ego where its station says; a step under controls does not move it.
        station = self.memory[:, 0, _STATION]
        w.motion.station[every, row] = np.where(np.isfinite(station), station, w.motion.station[every, row])

    def _judge(self, alive: Bools) -> None:
        """Tell of those still `alive` who has ended, and how, and add the rewards of one sample."""
        front = self._front[self.scenario]
        arrived = (self.column("remaining") - front < GOAL_REACH) & (self.column("present") > 0.0)
        late = self.world.motion.sample >= self._last[self.scenario]
        how = (self.column("collided") > 0.0, self.column("off_road") > 0.0, arrived, late)
        outcome = np.select(how, [COLLISION, OFF_ROAD, GOAL, TIME], RUNNING)
        self.outcome[alive] = outcome[alive]
        gained = np.asarray(self.hook(self))
        if gained.shape != alive.shape:
            raise InputError(f"the reward must give ({self.num_envs},) numbers, got {gained.shape}")
        if gained.dtype.kind not in "biuf" or not np.isfinite(gained[alive]).all():
            raise InputError(f"the reward must give finite numbers, got {gained}")
        self.reward[alive] += gained[alive]
        self.total[alive] += gained[alive]

    def _place(self, chosen: NDArray[np.int64], which: NDArray[Any] | None = None) -> None:
        """Put environments at the start of their next scenario, or of `which`."""
        count = len(self.scenarios)
        if which is None:
            # Without a common divisor every environment meets all scenarios before one comes again.
            stride = next(k for k in range(self.num_envs, self.num_envs + count) if gcd(k, count) == 1)
            which = self.order[(chosen + self.episode[chosen] * stride) % count]
        self.scenario[chosen] = which
        for live, source in ((self.world.motion, self.bank.motion), (self.world.agents, self.bank.agents)):
            for a, b in zip(live, source, strict=True):
                a[chosen] = b[which]
        self.rows[chosen, 0] = self._ego[which]
        self.ground.areas.of[chosen] = self.area[which]
        self.memory[chosen] = np.nan
        self.total[chosen] = 0.0
        self.outcome[chosen] = RUNNING
        series(self.world, self.ground, self.memory, self.rows, self.series[:, None], chosen.astype(np.int32))

    def _observe(self, chosen: NDArray[np.int64] | None) -> None:
        worlds = None if chosen is None else chosen.astype(np.int32)
        features(self.world, self.ground, self.rows, self.observation[:, None], worlds, threads=self.threads)


def _vocabulary(actions: Any, repeat: int) -> Array | None:
    if isinstance(actions, str):
        if actions != "control":
            raise InputError(f"actions are 'control' or trajectories (C, T, 3), got '{actions}'")
        return None
    checked(actions, "actions", np.float32, (None, None, 3))
    count, samples = actions.shape[:2]
    if count < 1 or samples < max(repeat + 1, 3):
        raise InputError(
            f"actions need a trajectory and {max(repeat + 1, 3)} samples of each, got {actions.shape}"
        )
    finite(actions, "actions", "trajectory", 1e4)
    if np.abs(actions[:, 0]).max() > 1e-3:
        raise InputError("each trajectory begins at the ego: its first row must be 0, 0, 0")
    return np.asarray(actions)


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
            raise ScenarioError(
                f"scenario '{s.id}' has a step of {s.dt} s, '{many[0].id}' one of {many[0].dt} s"
            )
        if not s.route.known:
            raise ScenarioError(f"scenario '{s.id}' has no route to follow")
    return many


def _limits(scenarios: Sequence[Scenario]) -> Array:
    """Least and greatest controls of each scenario's vehicle `(2, S, 2)`."""
    cars = [s.vehicle for s in scenarios]
    low = [(-v.max_braking, -v.max_steering_rate) for v in cars]
    return np.array((low, [(v.max_acceleration, v.max_steering_rate) for v in cars]), dtype=np.float32)


def _room_for(bank: World, worlds: int) -> World:
    """A world of as many scenarios, whose paths are those of the bank: it holds them all."""
    motion = type(bank.motion)(*(np.zeros((worlds, *a.shape[1:]), dtype=a.dtype) for a in bank.motion))
    agents = type(bank.agents)(*(np.zeros((worlds, *a.shape[1:]), dtype=a.dtype) for a in bank.agents))
    return replace(bank, motion=motion, agents=agents)


__all__ = ["OUTCOMES", "Rewards", "VectorWorld"]
