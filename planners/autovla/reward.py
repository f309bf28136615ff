"""What an answer is worth: the teacher's score of its motions, less what long thoughts cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.errors import InputError
from drive.planners.autovla.codebook import DT, Codebook
from drive.planners.autovla.decode import Answer, Grammar, InvalidAnswer, Sampled
from drive.planners.learned.plans import densified
from drive.planners.learned.scores import NC, SCORE, pdms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.nn.recipe import JudgedMoments

SPEED = 3
STEPS = 40
LENGTH_SCALE, LENGTH_MIDDLE = 0.002, 400.0
"""AutoVLA's: one in 500 characters, and the length at which half of the penalty is due."""


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """`score` "pdms", NAVSIM's first score, or "teacher", its second one's terms with lights. A slow answer
    costs `penalty` times a sigmoid of its thought's length in characters; malformed answers are worth 0."""

    score: str = "pdms"
    penalty: float = 0.3

    def __post_init__(self) -> None:
        if self.score not in ("pdms", "teacher") or not 0.0 <= self.penalty < math.inf:
            raise InputError(
                f"a reward is pdms or teacher, its penalty 0 or more: {self.score}, {self.penalty}"
            )


def length_penalty(answer: Answer, settings: RewardSettings) -> float:
    """What a thought costs: 0 for fast answers, more for longer ones."""
    if not answer.slow:
        return 0.0
    return settings.penalty / (1.0 + math.exp(-LENGTH_SCALE * (len(answer.thought) - LENGTH_MIDDLE)))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What a moment's answers are worth, `(G,)` each: `reward`, `score`, whether they are sound, and whether
    they collide at fault (malformed ones do not)."""

    reward: NDArray[np.float64]
    score: NDArray[np.float64]
    sound: NDArray[np.bool_]
    hit: NDArray[np.bool_]


def rewards_of(
    sampled: Sequence[Sampled],
    row: int,
    moments: JudgedMoments,
    grammar: Grammar,
    codebook: Codebook,
    settings: RewardSettings,
) -> Judged:
    """What a moment's answers are worth, all driven at once by the teacher.

    Raises InputError where answers do not reach as far as the teacher looks.
    """
    if grammar.count * DT < STEPS * 0.1 - 1e-9:
        raise InputError(
            f"the teacher scores {STEPS * 0.1:g} s: answers need {round(STEPS * 0.1 / DT)} actions"
        )
    reward, scores = np.zeros(len(sampled)), np.zeros(len(sampled))
    sound, hit = np.zeros(len(sampled), dtype=np.bool_), np.zeros(len(sampled), dtype=np.bool_)
    speed = float(moments.take([row], ["start"])["start"][0, SPEED])
    paths, costs = [], []
    for k, one in enumerate(sampled):
        try:
            answer = grammar.parse(one.ids)
        except InvalidAnswer:
            continue
        sound[k] = True
        poses = codebook.decode(np.array(answer.actions))
        paths.append(densified(poses, DT, speed)[0][:STEPS])
        costs.append(length_penalty(answer, settings))
    if paths:
        labels = moments.judge(row, np.stack(paths).astype(np.float32))
        scores[sound] = pdms(labels) if settings.score == "pdms" else labels[:, SCORE]
        reward[sound] = scores[sound] - np.array(costs)
        hit[sound] = labels[:, NC] < 1.0
    return Judged(reward, scores, sound, hit)


__all__ = ["Judged", "RewardSettings", "length_penalty", "rewards_of"]
