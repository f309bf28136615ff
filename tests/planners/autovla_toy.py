"""A very small AutoVLA: a few actions, two narrow blocks, prompts of drawn pictures."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from drive.nn.scene import SceneArrays, SceneSizes, empty_scene
from drive.planners.autovla.codebook import Codebook
from drive.planners.autovla.decode import Grammar
from drive.planners.autovla.model import VLA, TextSettings, VisionSettings, VLASettings, tiny
from drive.planners.autovla.product import Product, Setup
from drive.planners.autovla.prompt import (
    CLOSE,
    FINISH,
    PAPER_CAMERAS,
    SYSTEM,
    THINK,
    Phrases,
    Prompt,
    make_prompt,
)
from drive.planners.autovla.rationale import FAST, SLOW
from drive.planners.autovla.tokenizer import Words, train_words

ACTIONS = 8
SMALL = VLASettings(TextSettings(32, 2, 4, 2, 64), VisionSettings(32, 1, 2, 32))
TEXTS = [
    SYSTEM, THINK, f" {FAST}", f" {SLOW}", CLOSE, FINISH, "left front right assistant user system",
    "speed 8.0 acceleration 0.4 limit 8.3 past -11.4 1.1 way 6 -0.3 12 0.2 go straight",
    " Critical: person from the left in 8 m. It may step onto my way. I give way.",
] * 20  # fmt: skip


def motions(count: int = 40) -> Any:
    """Motions of half a second: standing still, and speeds up to 15 m/s with bends."""
    speed = np.linspace(0.0, 7.5, count // 4)
    turn = np.array([0.0, 0.1, -0.1, 0.05])
    grid = np.stack(np.meshgrid(speed, turn, indexing="ij"), -1).reshape(-1, 2)
    found = np.stack((grid[:, 0], 0.5 * grid[:, 0] * grid[:, 1], grid[:, 1]), axis=1)
    found[0] = 0.0
    return found


@cache
def words() -> Words:
    """The tokenizer, made once."""
    return train_words(TEXTS, len(motions()), 320)


@cache
def phrases() -> Phrases:
    """The fixed parts of prompts and answers."""
    return Phrases.of(words())


def grammar(longest: int = 24) -> Grammar:
    """Answers of `ACTIONS` actions."""
    return Grammar(phrases(), ACTIONS, longest)


def network(seed: int = 0) -> VLA:
    """Random weights."""
    torch.manual_seed(seed)
    return tiny(SMALL, words()).eval()


def product(seed: int = 0, longest: int = 24) -> Product:
    """A network with its tokenizer and codebook."""
    setup = Setup(actions=ACTIONS, thought=longest, picture=(56, 28), frames=2, cameras=PAPER_CAMERAS)
    return Product(network(seed), words(), Codebook(motions()), setup, phrases())


def prompts(count: int, seed: int = 0) -> list[Prompt]:
    """Prompts of different lengths with clips of noise."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        clips = rng.integers(0, 256, (3, 2, 28, 56, 3), dtype=np.uint8)
        state = f"speed {rng.integers(0, 20)}.{k % 10} " + "past -1.0 0.0 " * (k % 3) + "go straight"
        made.append(make_prompt(phrases(), state, clips))
    return made


def scene(agents: Any = (), kind: int = 0, bend: float = 0.0, **ego: float) -> Any:
    """A straight or bent way ahead at 8 m/s, and others `(x, y, heading, speed)` of one kind."""
    made: SceneArrays = empty_scene(SceneSizes())
    s = np.arange(64) * 2.0 - 8.0
    angle = np.where(s > 0.0, bend * s, 0.0)
    step = np.diff(s, prepend=s[0])
    x, y = -8.0 + np.cumsum(step * np.cos(angle)), np.cumsum(step * np.sin(angle))
    made.route[:, :4] = np.stack((x, y, np.cos(angle), np.sin(angle)), 1)
    made.route[:, 8] = s
    made.route_valid[:] = True
    made.ego[:] = 0.0
    made.ego[[0, 4, 7, 8, 9]] = 8.0, 13.9, 200.0, 200.0, 200.0
    for name, value in ego.items():
        made.ego[{"speed": 0, "stop": 7, "red": 8}[name]] = value
    for k, (ax, ay, heading, speed) in enumerate(agents):
        c, n = np.cos(heading), np.sin(heading)
        made.agents[k, :] = ax, ay, c, n, speed * c, speed * n
        made.agents_valid[k] = True
        made.bodies[k, [0, 1, 2, 3 + kind]] = 4.5, 1.9, 1.0, 1.0
    return made
