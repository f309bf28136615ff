"""What a recipe is: how one learned planner is trained, from its data to its weights, run by `drive train`.

Recipes are registered in the entry-point group `drive.recipes` (`gtrs = "drive.planners.gtrs.train:RECIPE"`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from drive.errors import InputError, UnknownNameError
from drive.nn.store import DataRequest
from drive.nn.weights import Card
from drive.progress import Listener
from drive.registry import configure

if TYPE_CHECKING:
    from drive.nn.fit import Fitted
    from drive.nn.store import JoinedSet, TrainingSet
    from drive.nn.vocabulary import Vocabulary
    from drive.planner import Planner

    Data = TrainingSet | JoinedSet

KNOWN_PRESETS = ("cpu", "gpu")
SCENES_A_ROW = 960 / 4096
"""Scenes driven for a row of a vocabulary: each gives some 20 futures, a cluster of k-means wants several."""


@dataclass(frozen=True, slots=True)
class VocabularyRequest:
    """A vocabulary that is made for a training: `size` rows, as `drive train vocab` makes them of the futures
    in a set of its own, `data` (no sensors and no labels are needed there)."""

    size: int
    data: DataRequest
    grid: float = 0.25
    method: str = "kmeans"
    seed: int = 0
    iterations: int = 10


@dataclass(frozen=True, slots=True)
class DataPlan:
    """What a training is made of: the sets, and the vocabulary that they are labelled for.

    Without a request of its own the validation set has an eighth as many scenes of the same kind.
    `vocabulary` is a file, the request for one, or None where nothing is labelled.
    """

    train: DataRequest
    validation: DataRequest | None = None
    vocabulary: Path | VocabularyRequest | None = None


def labelled(data: DataRequest, size: int) -> DataPlan:
    """The plan of a training on `data`, labelled for a vocabulary of `size` rows that is made for it."""
    scenes = max(1, math.ceil(size * SCENES_A_ROW / max(1, len(data.families))))
    return DataPlan(data, vocabulary=VocabularyRequest(size, replace(data, scenes=scenes, sensors=())))


class JudgedMoments(Protocol):
    """Moments with the fields of a training set, and a teacher for each."""

    header: dict[str, Any]
    family: list[str]
    scene: Any
    """Numbers `(N,)` of the scenes that the moments are of."""

    def __len__(self) -> int: ...

    def take(self, rows: Any, names: Any = None) -> dict[str, Any]: ...

    def judge(self, row: int, poses: Any) -> Any:
        """The teacher's labels `(K, 9)` of trajectories `(K, 40, 3)` in a moment's ego frame."""
        ...


class Collect(Protocol):
    """Lets a learner drive in `scenes` fresh scenes of each family and gives its own states, labelled, as a
    set: of the training's own request, or of another. Rounds count from 1; one that is finished is not driven
    again."""

    def __call__(
        self, planner: Planner, number: int, scenes: int | None = None, request: DataRequest | None = None, /
    ) -> TrainingSet: ...


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One training, as `drive train` hands it to a recipe: everything below `folder` is its own.

    `collect` lets the learner drive; `progress` goes on to `fit`. `moments(request, count)` drives fresh
    scenes and gives moments of them whose answers can be scored while a policy learns.
    """

    folder: Path
    recipe: str
    preset: str
    seed: int
    resume: bool
    train: TrainingSet
    validation: TrainingSet
    vocabulary: Vocabulary | None
    collect: Collect
    device: str = "cpu"
    progress: Listener = field(default_factory=Listener)
    moments: Callable[[DataRequest, int], JudgedMoments] | None = None

    def card(
        self,
        architecture: str,
        config: Mapping[str, Any],
        fitted: Fitted | Sequence[Fitted],
        data: Data | None = None,
        **more: Any,
    ) -> Card:
        """The card of weights that this run made by one fit or by several in turn, whose steps and seconds
        are added up; `data` where they learnt from more than `train`.
        """
        fits = fitted if isinstance(fitted, Sequence) else [fitted]
        data = data or self.train
        card = Card(
            recipe=self.recipe,
            preset=self.preset,
            seed=self.seed,
            architecture=architecture,
            config=_plain(config),
            vocabulary="" if self.vocabulary is None else self.vocabulary.hash,
            data=data.hash,
            licences=tuple(data.header["licences"]),
            steps=sum(one.steps for one in fits),
            seconds=round(sum(one.seconds for one in fits), 1),
            device=device_name(self.device),
            training=fits[-1].figures,
            versions=_versions(),
        )
        return replace(card, **more)


class Recipe(Protocol):
    """How one planner is trained.

    `presets` are frozen dataclasses by name, `cpu` and `gpu` among them; `--set K=V` changes their fields.
    `data` says what sets and what vocabulary a configuration needs. `train` writes weights and their card
    somewhere below `run.folder` and returns the path of the weights; called again after an interruption,
    with `run.resume`, it gives the same weights as if there had been none. A recipe that makes its own data
    gives None for `data`: then the run's sets, vocabulary and `collect` are None.
    """

    name: str
    help: str
    presets: Mapping[str, Any]

    def data(self, config: Any) -> DataPlan | DataRequest | None: ...

    def train(self, run: TrainingRun, config: Any) -> Path: ...


def configured(recipe: Recipe, preset: str, settings: Mapping[str, object]) -> Any:
    """The preset's configuration with some of its fields changed, all named `FIELD` or `NAME.FIELD`.

    Raises UnknownNameError for a preset or field that does not exist, InputError for a value that does not
    fit.
    """
    if preset not in recipe.presets:
        raise UnknownNameError(f"preset of {recipe.name}", preset, recipe.presets)
    base = recipe.presets[preset]
    if not is_dataclass(base) or isinstance(base, type):
        raise InputError(f"recipe '{recipe.name}': its preset '{preset}' is no dataclass")
    own = {key.removeprefix(f"{recipe.name}."): value for key, value in settings.items()}
    return configure(type(base), own, base)


def device_name(device: str) -> str:
    """What computes, in words: the GPU's name, or how many threads of what processor."""
    import platform

    from drive.nn._torch import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' if threads > 1 else ''} of {platform.machine()}"


def _versions() -> dict[str, str]:
    import numpy as np

    from drive import __version__
    from drive.nn._torch import torch

    return {"drive-toolkit": __version__, "torch": str(torch.__version__), "numpy": np.__version__}


def _plain(value: Any) -> Any:
    """Paths as text and tuples as lists, as JSON gives them back."""
    return json.loads(json.dumps(value, default=_text))


def _text(value: object) -> object:
    if isinstance(value, Path):
        return value.as_posix()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise InputError(f"a configuration holds plain values, not {type(value).__name__}")


__all__ = [
    "KNOWN_PRESETS",
    "DataPlan",
    "JudgedMoments",
    "Recipe",
    "TrainingRun",
    "VocabularyRequest",
    "configured",
    "device_name",
]
