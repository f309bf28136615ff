"""A reflex: whatever is answered, the ego brakes for whom the network sees ahead.

A small network knows who is ahead and goes on all the same: at the prompt's end its hidden state tells how
hard somebody ahead makes one brake, and where actions are decided, dictated words further on, little of that
is left. So the state is read there by a head of its own, and the plan is slowed down along its own path.
This is ours; the published model has none. The measure is the intelligent driver model's (Treiber, Hennecke
and Helbing 2000): the gap s* that one would want, against the gap s that there is.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.geometry import unwrap_angle, wrap_angle
from drive.nn._torch import Tensor, nn, torch
from drive.nn.weights import load_weights, read_card, save_weights
from drive.planners.autovla.prompt import batch_arrays
from drive.planners.autovla.rationale import AHEAD, AXLE_TO_FRONT, HALF_LANE
from drive.planners.autovla.scene_words import LENGTH, SPEED, VX, VY, Way, X, Y, agent_rows
from drive.registry import configure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.nn.scene import SceneArrays
    from drive.nn.weights import Card
    from drive.planners.autovla.model import VLA
    from drive.planners.autovla.prompt import Phrases, Prompt

    Floats = NDArray[np.float64]

ARCHITECTURE = "autovla-reflex-1"
SUFFIX = ".reflex.safetensors"
GAP, HEADWAY, ACCELERATION, BRAKING = 2.0, 0.7, 1.5, 3.0
"""Of the driver model: m at rest, s, m/s^2 that it would speed up by and brake by at ease."""
HARDEST = 6.0
"""m/s^2 at which the reflex brakes at most."""
BRAKES = 0.5
"""The pressure from which on it brakes: below, the driver model would still speed up."""
NEAREST = 0.3
"""m of a gap at least."""
SPEED_SCALE = 20.0


def pressure(speed: float, other: float, gap: float) -> float:
    """How hard somebody ahead makes one brake, from 0 to 1: s*^2 / (s*^2 + s^2) for the ego's `speed`, theirs
    along the way (m/s), and the free `gap` s in m. At 1/2 the model neither speeds up nor brakes."""
    closing = speed * (speed - other) / (2.0 * math.sqrt(ACCELERATION * BRAKING))
    wanted = GAP + max(HEADWAY * speed + closing, 0.0)
    return wanted**2 / (wanted**2 + max(gap, NEAREST) ** 2)


def pressure_of(scene: SceneArrays) -> float:
    """The largest pressure of those who are on the way ahead; 0 where nobody is."""
    way, most = Way(scene), 0.0
    if len(way) < 2:
        return most
    speed = max(float(np.asarray(scene.ego)[SPEED]), 0.0)
    for row in agent_rows(scene):
        agent = np.asarray(scene.agents, dtype=np.float64)[row, -1]
        (station,), (offset,), (foot,) = way.feet(agent[None, [X, Y]])
        if 0.0 < station < AHEAD and abs(offset) < HALF_LANE:
            along = float(way.direction[foot] @ agent[[VX, VY]])
            room = float(station) - 0.5 * float(np.asarray(scene.bodies)[row, LENGTH]) - AXLE_TO_FRONT
            most = max(most, pressure(speed, along, room))
    return most


def slowed(poses: Floats, dt: float, speed: float, felt: float) -> Floats:
    """Poses `(T, 3)` every `dt` s from the origin on, as they are driven by who begins at `speed` and may
    speed up by no more than the driver model under the pressure `felt`: the same path, less of it."""
    felt = min(max(felt, 0.0), 1.0 - 1e-6)
    most = max(ACCELERATION * (1.0 - felt / (1.0 - felt)), -HARDEST)
    whole = np.concatenate((np.zeros((1, 3)), np.asarray(poses, dtype=np.float64)))
    way = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(whole[:, :2], axis=0).T))))
    times = dt * np.arange(len(whole))
    until = np.minimum(times, speed / -most) if most < 0.0 else times
    reach = np.minimum(way, speed * until + 0.5 * most * until**2)
    # Each pose lies where the path is so long; standing still has no length, and keeps the first heading.
    moves = np.concatenate(([True], np.diff(way) > 1e-9))
    x, y, heading = (
        np.interp(reach, way[moves], value[moves])
        for value in (whole[:, 0], whole[:, 1], unwrap_angle(whole[:, 2]))
    )
    return np.column_stack((x, y, wrap_angle(heading)))[1:]


@dataclass(frozen=True, slots=True)
class ReflexSettings:
    """Widths of the hidden states that are read, and of the head."""

    inner: int = 128
    width: int = 128

    def __post_init__(self) -> None:
        if min(self.inner, self.width) < 1:
            raise InputError("a reflex's widths are 1 or more")


class Reflex(nn.Module):
    """What a network's hidden state `(N, D)` at the prompt's end, and the speed `(N,)` in m/s, say of the
    pressure `(N,)`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, settings: ReflexSettings) -> None:
        super().__init__()
        self.settings, inner, width = settings, settings.inner, settings.width
        self.register_buffer("mean", torch.zeros(inner))
        self.register_buffer("scale", torch.ones(inner))
        self.head = nn.Sequential(
            nn.Linear(inner + 1, width), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(width, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, 1),
        )  # fmt: skip

    def of_states(self, states: Tensor) -> None:
        """Take the mean and the deviation of hidden states as they are."""
        self.mean.copy_(states.mean(0))
        self.scale.copy_(states.std(0).clamp(min=1e-3))

    def forward(self, states: Tensor, speed: Tensor) -> Tensor:
        """The pressure; a little below 0 or above 1 at times."""
        known = (states - self.mean) / self.scale
        found: Tensor = self.head(torch.cat((known, speed[:, None] / SPEED_SCALE), dim=1))[:, 0]
        return found

    def felt(self, state: NDArray[np.float32], speed: float) -> float:
        """The pressure at one moment."""
        with torch.no_grad():
            found = self(torch.from_numpy(state)[None], torch.tensor([speed], dtype=torch.float32))
        return float(found[0])


def prompt_states(vla: VLA, phrases: Phrases, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
    """The hidden states `(N, D)` at prompts' ends."""
    arrays = batch_arrays(phrases, prompts, [phrases.think for _ in prompts])
    device = next(vla.parameters()).device
    batch = {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()}
    with torch.no_grad():
        hidden = vla.seen(batch)
    end = (batch["labels"] >= 0).long().argmax(1) - 1
    return hidden[torch.arange(len(prompts), device=device), end].float().cpu().numpy()


def reflex_file(weights: Path) -> Path:
    """Where the reflex of a network lies: beside its weights."""
    return weights.with_name(weights.name.removesuffix(".safetensors") + SUFFIX)


def save_reflex(weights: Path, reflex: Reflex, card: Card) -> Card:
    """Write the reflex beside the weights that it reads; its card says which they are."""
    config = {**card.config, "reflex": asdict(reflex.settings), "reads": read_card(weights).sha256}
    return save_weights(reflex_file(weights), reflex, replace(card, architecture=ARCHITECTURE, config=config))


def load_reflex(weights: Path) -> Reflex | None:
    """The reflex beside weights, None where there is none. Raises InputError for one that reads others."""
    path = reflex_file(weights)
    if not path.is_file():
        return None
    made: Any = lambda card: Reflex(configure(ReflexSettings, card.config.get("reflex", {})))  # noqa: E731
    reflex: Reflex
    reflex, card = load_weights(path, made, {"architecture": ARCHITECTURE})
    if card.config.get("reads") != read_card(weights).sha256:
        raise InputError(f"'{path}' reads other weights than '{weights.name}': train it anew")
    return reflex


__all__ = [
    "ARCHITECTURE", "BRAKES", "Reflex", "ReflexSettings", "load_reflex", "pressure", "pressure_of",
    "prompt_states", "reflex_file", "save_reflex", "slowed",
]  # fmt: skip
