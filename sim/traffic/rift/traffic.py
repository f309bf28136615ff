"""Traffic `rift:STYLE`: the policy drives everybody on a lane, live, in the single closed loop.

With `:critical` behind the style only the vehicles that may conflict with the ego have it; the rest are
driven as people drive, by the base policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError, UnknownNameError
from drive.geometry import wrap_angle
from drive.sim.kernels.layout import Controller
from drive.sim.traffic.director import Cue, Moves
from drive.sim.traffic.model import TrafficModel
from drive.sim.traffic.rift.critical import Critical
from drive.sim.traffic.rift.fleet import EVERY, Crowd, Fleet, bodies_of, crowd_states
from drive.sim.traffic.rift.kernels.base import HORIZON
from drive.sim.traffic.rift.lines import Lines, compile_lines
from drive.sim.traffic.rift.net import SIZES
from drive.sim.traffic.rift.style import STYLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.scenario import Scenario
    from drive.sim.traffic.rift.policy import Driver

    Floats = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class RiftDirection:
    """One run: the fleet, its plan (states `(N, T + 1, 7)` each 0.1 s from `since` on), who is critical."""

    scenario: Scenario
    rows: NDArray[np.intp]
    lines: Lines
    fleet: Fleet
    driver: Driver
    tuned: object | None
    critical: Critical | None
    body: NDArray[np.float32]
    plan: NDArray[np.float32]
    present: NDArray[np.bool_]
    since: int = -1
    told: set[int] = field(default_factory=set)

    def step(self, cue: Cue) -> Moves:
        dt, k = self.scenario.dt, cue.sample
        events: list[str] = []
        if len(self.rows) == 0:
            return Moves(np.zeros((0, 5)), np.zeros(0, dtype=np.bool_))
        if self.since < 0 or (k - self.since) * dt > EVERY - 0.5 * dt:
            events = self._decide(cue)
            self.since = k
        at = (k + 1 - self.since) * dt / 0.1
        low = min(int(at + 1e-6), HORIZON - 1)
        share = np.float32(min(max(at - low, 0.0), 1.0))
        a, b = self.plan[:, low], self.plan[:, low + 1]
        states = a + share * (b - a)
        states[:, 2] = a[:, 2] + share * wrap_angle(b[:, 2] - a[:, 2])
        self.fleet.states = np.ascontiguousarray(states, dtype=np.float32)
        pose = states[:, (0, 1, 2, 3, 6)].astype(np.float64)
        self.present &= ~self.fleet.leaving(self.lines.paths, self.lines.leaves)
        return Moves(pose, self.present.copy(), events=events)

    def _decide(self, cue: Cue) -> list[str]:
        from drive.sim.traffic.rift.policy import drive_on

        k, record = cue.sample, cue.record
        every = round(EVERY / self.scenario.dt)
        history = []
        for back in range(SIZES.history):
            at = k - back * every
            there = record.presence[max(at, 0)] & (at >= 0)
            history.append(crowd_states(record.centers[max(at, 0)], there)[None])
        lights = record.signals[None, :, k] if len(record.signals) else np.zeros((1, 1), dtype=np.uint8)
        crowd = Crowd(np.stack(history), self.body, np.ascontiguousarray(lights, dtype=np.uint8))
        if self.critical is None:
            decision = self.driver.decide(self.fleet, crowd, self.lines.paths)
            events = []
        else:
            ego = cue.now[self.scenario.ego]
            chosen = self.critical.choose(ego, self.fleet, self.lines.paths)
            decision = self.driver.decide(self.fleet, crowd, self.lines.paths, None, self.tuned, chosen)
            new = set(np.flatnonzero(chosen).tolist()) - self.told
            self.told |= new
            ids = self.scenario.tracks.ids
            events = [f"vehicle '{ids[self.rows[n]]}' is critical" for n in sorted(new)]
        self.plan = drive_on(self.fleet, decision)
        return events

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class RiftDirector:
    """Begins runs of one style; `weights` of a file stand for the shipped ones. `only_critical` vehicles have
    the style, at most `most` of them."""

    style: str
    only_critical: bool = False
    weights: str = ""
    most: int = 3

    def start(self, scenario: Scenario, seed: int, driven: tuple[int, ...]) -> RiftDirection:
        from drive.sim.traffic.rift.policy import Driver, load_policy

        tuned, _ = load_policy(self.weights or self.style)
        base = load_policy("base")[0] if self.only_critical else tuned
        lines = compile_lines(scenario)
        mine = lines.drivable & scenario.tracks.valid[:, 0]
        mine[list(driven)] = False
        rows = np.flatnonzero(mine)
        tracks = scenario.tracks
        size = tracks.size[rows]
        states = lines.begin(rows, 0.6 * size[:, 0])
        own = np.stack((size[:, 0], size[:, 1], tracks.rear_to_centre[rows], 0.6 * size[:, 0]), 1)
        fleet = Fleet.of(np.zeros(len(rows)), rows, lines.path[rows, 0], states, own)
        body = bodies_of(tracks.size, tracks.kind)[None].copy()
        body[0, scenario.ego, :2] = scenario.vehicle.length, scenario.vehicle.width
        critical = Critical.of(scenario, len(rows), self.most) if self.only_critical else None
        plan = np.repeat(states[:, None], HORIZON + 1, 1)
        return RiftDirection(
            scenario,
            rows,
            lines,
            fleet,
            Driver(base),
            tuned if self.only_critical else None,
            critical,
            body,
            plan,
            np.ones(len(rows), dtype=np.bool_),
        )


def rift_traffic(style: str, only_critical: bool = False, weights: str = "") -> TrafficModel:
    """The traffic model of a style; those whom the policy cannot drive are under IDM."""
    name = f"rift:{style}" + (":critical" if only_critical else "")
    return TrafficModel(name, Controller.IDM, director=RiftDirector(style, only_critical, weights))


@dataclass(frozen=True, slots=True)
class RiftFamily:
    """Live traffic by a learned policy in a style: rift:safe, :default, :interactive, :aggressive,
    or people's own way, rift:base."""

    def variant(self, name: str) -> TrafficModel:
        """The model of `STYLE`, `STYLE:critical`, or of a weights' file in place of a style.

        Raises UnknownNameError for another style and InputError for another word behind it.
        """
        style, _, who = name.partition(":")
        if who not in ("", "critical"):
            raise InputError(f"traffic 'rift:{name}': behind the style may stand 'critical', not '{who}'")
        if style.endswith(".safetensors"):
            return rift_traffic(Path(style).stem, who == "critical", style)
        if style and style not in (*STYLES, BASE):
            raise UnknownNameError("traffic style", style, (*STYLES, BASE))
        return rift_traffic(style or "default", who == "critical")


BASE = "base"
RIFT = RiftFamily()
"""Live traffic by a learned policy in a style, as rift:safe."""

__all__ = ["RIFT", "RiftDirection", "RiftDirector", "RiftFamily", "rift_traffic"]
