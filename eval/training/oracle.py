"""How good a vocabulary can be: the best label that any of its rows gets, moment for moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets import source
from drive.errors import ScenarioError
from drive.eval.training.collect import Collection, driven_moments
from drive.eval.training.scenes import scenes_of
from drive.scenario import Task
from drive.vehicle import SPEED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drive.eval.training.collect import Shown
    from drive.nn.store import DataRequest
    from drive.nn.vocabulary import Vocabulary
    from drive.planner import Observation


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Moments that are ready for labels: the family of each, what is observed, the task, and whether it is
    perturbed."""

    shown: list[Shown]
    observations: list[Observation]
    tasks: list[Task]
    kind: list[int]
    family: list[str]

    def __len__(self) -> int:
        return len(self.shown)


def moments_of(request: DataRequest, count: int) -> Asked:
    """The first `count` moments of a request's scenes, evenly over them: at most a few of each scene."""
    scenes, _ = scenes_of(request)
    each = max(-(-count // len(scenes)), 1)
    asked = Asked([], [], [], [], [])
    rng = np.random.default_rng(request.seed)
    for scene in scenes:
        try:
            scenario = source.load(scene.ref)
            pupil, moments = driven_moments(scenario, Collection(request), rng)
        except ScenarioError:
            continue
        some = np.sort(rng.choice(len(moments), min(each, len(moments)), replace=False))
        for k in some.tolist():
            shown = pupil.lesson(moments[k])
            if shown is not None and len(asked.shown) < count:
                asked.shown.append(shown)
                asked.observations.append(moments[k].observation)
                asked.tasks.append(Task.of(scenario, request.seed))
                asked.kind.append(moments[k].kind)
                asked.family.append(scene.key[1])
    return asked


def oracle(asked: Asked, vocabularies: Mapping[str, Vocabulary], near: int) -> dict[str, dict[str, Any]]:
    """By name: the best score `(N,)` in each moment among the rows near in speed and among all, and the
    expert's own score under "expert"."""
    own = [shown.lesson.judge(shown.reference[None], shown.reference).values[0, -1] for shown in asked.shown]
    out: dict[str, dict[str, Any]] = {"expert": {"near": np.array(own), "all": np.array(own)}}
    for name, words in vocabularies.items():
        few, every = [], []
        for shown, o in zip(asked.shown, asked.observations, strict=True):
            labels = shown.lesson.label(words.poses, shown.reference).values[:, -1]
            few.append(labels[words.near(float(o.ego[SPEED]), near)].max())
            every.append(labels.max())
        out[name] = {"near": np.array(few), "all": np.array(every)}
    return out
