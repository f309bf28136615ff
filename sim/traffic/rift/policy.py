"""The policy at work: decisions for a fleet, from weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drive.errors import InputError
from drive.nn._torch import torch
from drive.nn.encoders import EncoderSettings
from drive.nn.scene import SceneArrays
from drive.nn.tokens import scene_tensors
from drive.nn.weights import load_weights
from drive.sim.traffic.rift.fleet import Crowd, Drawn, Fleet, Sight
from drive.sim.traffic.rift.kernels.base import MODES
from drive.sim.traffic.rift.net import ARCHITECTURE, SIZES, RiftPolicy, RiftSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.weights import Card
    from drive.sim.kernels.layout import Paths

WEIGHTS = Path(__file__).parent / "weights"
BATCH = 128
"""Vehicles that the network sees at once: what it computes with stays in the processor's cache."""


class Candidates(NamedTuple):
    """RIFT's layout: trajectories `(R, M, T, 6)` of x, y, cosine, sine, vx, vy each 0.1 s, logits `(R, M)`,
    which lines there are `(R,)`."""

    traj: NDArray[np.float32]
    logits: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Decision(NamedTuple):
    """One decision of N vehicles: what was seen and drawn, the head's features `(N, C, F)`, logits `(N, C)`
    (-1e8 where there is no line) and the chosen candidates `(N,)`."""

    sight: Sight
    drawn: Drawn
    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    choice: NDArray[np.int64]

    def candidates(self, n: int) -> Candidates:
        """Those of vehicle `n`."""
        poses = self.drawn.poses[n].reshape(-1, MODES, *self.drawn.poses.shape[2:])
        h, v = poses[..., 2], poses[..., 3]
        c, s = np.cos(h), np.sin(h)
        traj = np.stack((poses[..., 0], poses[..., 1], c, s, v * c, v * s), -1)
        return Candidates(traj, self.logits[n].reshape(-1, MODES), self.sight.lines_valid[n])


@dataclass(frozen=True, slots=True, eq=False)
class Driver:
    """A network that decides: by the most probable candidate, or by a draw where `generator` is given.

    `heads`, of the same trunk, score for the vehicles to which `which (N,)` assigns them.
    """

    net: Any

    def decide(
        self, fleet: Fleet, crowd: Crowd, paths: Paths, rng: np.random.Generator | None = None,
        other: Any = None, chosen: NDArray[np.bool_] | None = None,
    ) -> Decision:  # fmt: skip
        """Decide for all. Who is `chosen (N,)` is scored by the head of the net `other` instead."""
        sight = fleet.look(crowd, paths)
        queries, accelerations, lengths = self._propose(sight)
        drawn = fleet.draw(sight, accelerations, lengths, crowd, paths)
        with torch.inference_mode():
            features = self.net.features(torch.from_numpy(queries), torch.from_numpy(drawn.probes))
            logits = self.net.score(features).numpy().copy()
            if other is not None and chosen is not None and chosen.any():
                logits[chosen] = other.score(features[torch.from_numpy(chosen)]).numpy()
        logits[~np.repeat(sight.lines_valid, MODES, 1)] = -1e8
        if not np.isfinite(logits).all():
            raise InputError("the traffic policy scores with what is not a number: its weights are damaged")
        if rng is None:
            choice = logits.argmax(1)
        else:
            choice = (logits - np.log(-np.log(rng.random(logits.shape).clip(1e-12, 1 - 1e-12)))).argmax(1)
        return Decision(sight, drawn, features.numpy(), logits, choice)

    def _propose(self, sight: Sight) -> list[NDArray[np.float32]]:
        """What the network proposes. Vehicles with equally much around them go through it together, for rows
        that none of them has need not be looked at."""
        scene, count = sight.scene, len(sight.lines)
        order = np.arange(count)
        if count > BATCH:
            order = np.lexsort((scene.agents_valid[..., -1].sum(1), sight.lines_valid @ (1, 2, 4)))
        out: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            for low in range(0, max(count, 1), BATCH):
                rows = order[low : low + BATCH]
                some = _trimmed(SceneArrays(*(a[rows] for a in scene)))
                found = self.net.propose(
                    scene_tensors(some), torch.from_numpy(sight.lines[rows]),
                    torch.from_numpy(sight.lines_valid[rows]),
                )  # fmt: skip
                out = out or [np.empty((count, *t.shape[1:]), dtype=np.float32) for t in found]
                for whole, part in zip(out, found, strict=True):
                    whole[rows] = part.numpy()
        return out


def _trimmed(scene: SceneArrays) -> SceneArrays:
    """Without the others, pieces of lane and edges that nobody of the batch has: they are told by masks, and
    what is in them never matters."""
    who = np.flatnonzero(scene.agents_valid[..., -1].any(0))
    lanes = np.flatnonzero(scene.lanes_valid.any(0))
    edges = np.flatnonzero(scene.edges_valid.any(0))
    return scene._replace(
        agents=scene.agents[:, who], agents_valid=scene.agents_valid[:, who], bodies=scene.bodies[:, who],
        lanes=scene.lanes[:, lanes], lane_info=scene.lane_info[:, lanes],
        lanes_valid=scene.lanes_valid[:, lanes], edges=scene.edges[:, edges],
        edges_valid=scene.edges_valid[:, edges],
    )  # fmt: skip


def drive_on(fleet: Fleet, decision: Decision) -> NDArray[np.float32]:
    """Take the chosen candidates: their lines become the vehicles' own; returns the states `(N, T + 1, 7)`
    that the tracker drives."""
    every = np.arange(len(fleet))
    poses = decision.drawn.poses[every, decision.choice][:, None]
    states = fleet.drive(poses)[:, 0]
    fleet.follow(decision.sight, decision.choice)
    return states


def build(card: Card) -> RiftPolicy:
    """The network that a card describes."""
    config = dict(card.config["model"])
    encoder = {k: v for k, v in config.pop("encoder").items() if k != "sizes"}
    return RiftPolicy(RiftSettings(encoder=EncoderSettings(**encoder, sizes=SIZES), **config))


def load_policy(name: str | Path) -> tuple[RiftPolicy, Card]:
    """The network of shipped weights by their name (`base`, or a style's), or of a file.

    Raises InputError for weights that do not exist or are of another architecture.
    """
    path = Path(name) if str(name).endswith(".safetensors") else WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        own = ", ".join(sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))) or "none"
        raise InputError(f"there are no weights '{name}' of the traffic policy (shipped: {own})")
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _loaded(path: Path, modified: int) -> tuple[RiftPolicy, Card]:
    net, card = load_weights(path, build, expect={"architecture": ARCHITECTURE})
    return net, card


__all__ = ["Candidates", "Decision", "Driver", "build", "drive_on", "load_policy"]
