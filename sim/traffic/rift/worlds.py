"""Many scenarios at once whose vehicles the policy drives, in the batch world.

The ego of each keeps its route by IDM, so do vehicles that appear later and those that no line fits;
everybody else is driven by the policy, which decides twice a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError, ScenarioError
from drive.roadmap.drivable import DrivableArea
from drive.sim.kernels.areas import Areas, join_areas
from drive.sim.kernels.layout import ABSENT, GONE, Controller, copy_motion
from drive.sim.traffic.compile import cast
from drive.sim.traffic.model import IDM
from drive.sim.traffic.paths import concatenate_paths
from drive.sim.traffic.rift.fleet import EVERY, GROUPS, SAMPLES, Crowd, Fleet, crowd_states
from drive.sim.traffic.rift.lines import compile_lines
from drive.sim.traffic.rift.net import SIZES
from drive.sim.world import World, compile_world, step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.kernels.layout import Paths

    Choose = Callable[[Fleet, Crowd, Paths, int], NDArray[np.float32]]

DT = 0.1


@dataclass(eq=False)
class Worlds:
    """W scenarios of one time step of 0.1 s, made by `of`; `run` drives them, once.

    `fleet` are the vehicles of the policy; `world.motion` and `fleet.states` change as time goes.
    """

    scenarios: tuple[Scenario, ...]
    world: World
    fleet: Fleet
    paths: Paths
    leaves: NDArray[np.float32]  # (P,) where the lines leave the map
    areas: Areas
    body: NDArray[np.float32]
    steps: int
    crashed: NDArray[np.bool_]  # (N,)
    alive: NDArray[np.bool_]  # (N,)
    past: list[NDArray[np.float32]] = field(default_factory=list)

    @classmethod
    def of(cls, scenarios: Sequence[Scenario]) -> Worlds:
        """Raises ScenarioError for a scenario of another time step, InputError where nobody can be driven."""
        for s in scenarios:
            if abs(s.dt - DT) > 1e-6:
                raise ScenarioError(
                    f"scenario '{s.id}' has a step of {s.dt} s; worlds of the policy have {DT}"
                )
        lines = [compile_lines(s) for s in scenarios]
        casts, parts = [], []
        shift = np.cumsum([0] + [len(one.paths.step) for one in lines])
        for w, (s, one) in enumerate(zip(scenarios, lines, strict=True)):
            mine = one.drivable.copy()
            mine[s.ego] = False
            rows = np.flatnonzero(mine)
            who = dict.fromkeys(rows.tolist(), Controller.TRAJECTORY)
            casts.append(cast(s, IDM, who | {s.ego: Controller.IDM}))
            parts.append((np.full(len(rows), w), rows, one.path[rows, 0] + shift[w]))
        world = compile_world(casts, DT, IDM.anticipate)
        which, rows, path = (np.concatenate(a) for a in zip(*parts, strict=True))
        if len(rows) == 0:
            raise InputError("no vehicle of these scenarios drives on a lane from the start")
        g = world.agents
        own = np.stack([a[which, rows] for a in (g.length, g.width, g.rear_to_center, g.wheelbase)], 1)
        states = np.concatenate(
            [one.begin(rows[which == w], own[which == w, 3]) for w, one in enumerate(lines)]
        )
        kinds = np.zeros((len(scenarios), world.num_agents), dtype=np.float32)
        for w, s in enumerate(scenarios):
            kinds[w, : s.tracks.num_agents] = GROUPS[s.tracks.kind]
        body = np.stack((g.length, g.width, kinds), -1).astype(np.float32)
        maps = list({id(s.roadmap): s.roadmap for s in scenarios}.values())
        number = {id(m): k for k, m in enumerate(maps)}
        areas = join_areas([DrivableArea.of(m) for m in maps], [number[id(s.roadmap)] for s in scenarios])
        fleet = Fleet.of(which, rows, path, states, own)
        count = len(rows)
        return cls(
            tuple(scenarios), world, fleet, concatenate_paths([one.paths for one in lines]),
            np.concatenate([one.leaves for one in lines]), areas, body, min(s.num_steps for s in scenarios),
            np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_),
        )  # fmt: skip

    def fresh(self) -> Worlds:
        """A copy that can be driven while this one stays as it is: made once, driven often."""
        world = replace(self.world, motion=copy_motion(self.world.motion))
        return replace(
            self, world=world, fleet=self.fleet.take(np.arange(len(self.fleet))), past=list(self.past),
            crashed=self.crashed.copy(), alive=self.alive.copy(),
        )  # fmt: skip

    def crowd(self) -> Crowd:
        """Everybody now, and at the decisions before."""
        w = self.world
        now = crowd_states(w.centers(), w.present)
        self.past = [now, *self.past][: SIZES.history]
        held = self.past + [np.zeros_like(now)] * (SIZES.history - len(self.past))
        sample = np.minimum(w.motion.sample, w.agents.signals.shape[2] - 1)
        signals = w.agents.signals[np.arange(w.num_worlds), :, sample]
        return Crowd(np.stack(held), self.body, np.ascontiguousarray(signals))

    def run(
        self, choose: Choose, watch: Callable[[int, Worlds], None] = lambda sample, worlds: None,
        decisions: int | None = None,
    ) -> None:  # fmt: skip
        """Drive on: `choose(fleet, crowd, paths, decision)` gives the states `(N, T + 1, 7)` that come next.

        `watch(sample, worlds)` is called after each sample. Who has crashed or left the map is taken away.
        """
        f, w = self.fleet, self.world
        pose = np.zeros((w.num_worlds, w.num_agents, 5), dtype=np.float32)
        total = self.steps // SAMPLES if decisions is None else decisions
        watch(0, self)
        for number in range(total):
            driven = choose(f, self.crowd(), self.paths, number)
            for k in range(1, SAMPLES + 1):
                f.states = np.ascontiguousarray(driven[:, k])
                pose[f.world, f.row] = f.states[:, (0, 1, 2, 3, 6)]
                step(w, pose=pose, out=w)
                self._take_away()
                watch(number * SAMPLES + k, self)

    def _take_away(self) -> None:
        f, m = self.fleet, self.world.motion
        hit = self.alive & (m.collided[f.world, f.row] > 0)
        self.crashed |= hit
        gone = np.flatnonzero(hit | (self.alive & f.leaving(self.paths, self.leaves)))
        self.alive[gone] = False
        m.presence[f.world[gone], f.row[gone]] = GONE

    @property
    def seconds(self) -> float:
        return self.steps // SAMPLES * EVERY

    def absent(self) -> NDArray[Any]:
        """Who of the fleet is not there, `(N,)`."""
        p = self.world.motion.presence[self.fleet.world, self.fleet.row]
        return np.asarray((p == ABSENT) | (p == GONE))


def pools(scenarios: Sequence[Scenario], size: int = 19) -> list[Worlds]:
    """The scenarios in batches of `size` worlds: a batch's arrays stay in the processor's cache."""
    return [Worlds.of(scenarios[k : k + size]) for k in range(0, len(scenarios), size)]


__all__ = ["Worlds", "pools"]
