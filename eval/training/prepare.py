"""Everything that a training needs in one folder: vocabulary, training set, validation set.

FOLDER/vocabulary.npz   the vocabulary, where the sets are labelled; FOLDER/futures what it was made of
FOLDER/train            what is trained on
FOLDER/validation       held-out scenes
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive.cache import cache_folder
from drive.datasets.generate.source import VERSION
from drive.errors import InputError
from drive.eval.training.make import collector, make_data
from drive.eval.training.scenes import validation_of
from drive.eval.training.vocabulary import make_vocabulary
from drive.files import locked
from drive.nn.recipe import DataPlan, VocabularyRequest
from drive.nn.store import HEADER, DataRequest, TrainingSet, check_disjoint
from drive.nn.vocabulary import Vocabulary
from drive.progress import Listener
from drive.sim.teacher import TEACHER_VERSION

if TYPE_CHECKING:
    from drive.planner import Planner

VOCABULARY, FUTURES, TRAIN, VALIDATION = "vocabulary.npz", "futures", "train", "validation"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The sets of a training, open, and the vocabulary that they are labelled for."""

    folder: Path
    train: TrainingSet
    validation: TrainingSet
    vocabulary: Vocabulary | None


def plan_of(wanted: DataPlan | DataRequest) -> DataPlan:
    """A recipe's answer with its validation spelled out."""
    plan = wanted if isinstance(wanted, DataPlan) else DataPlan(wanted)
    if plan.validation is not None:
        return plan
    held_out = validation_of(plan.train, max(plan.train.scenes // 8, 2))
    return DataPlan(plan.train, held_out, plan.vocabulary)


def cached_folder(plan: DataPlan) -> Path:
    """Where a plan's sets lie in the cache; other versions of generator and teacher have their own folders.

    Recorded scenes count by the names and sizes of their files, a vocabulary's file by its content.
    """
    about: dict[str, Any] = {"plan": asdict(plan), "teacher": TEACHER_VERSION, "generator": VERSION}
    about["files"] = [_files(Path(ref.partition("#")[0])) for ref in plan.train.scenarios]
    if isinstance(plan.vocabulary, Path):
        about["plan"]["vocabulary"] = Vocabulary.load(plan.vocabulary).hash
    text = json.dumps(about, sort_keys=True, default=str)
    return cache_folder("training", hashlib.blake2b(text.encode(), digest_size=8).hexdigest())


def prepare(plan: DataPlan, folder: Path, *, jobs: int = 1, listener: Listener | None = None) -> Prepared:
    """Make what of the plan is not in the folder yet; a collection that was killed goes on.

    Where another process makes it already, this one waits. Raises InputError, see `make_data`.
    """
    told = listener or Listener()
    if plan.validation is None:
        plan = plan_of(plan)
    assert plan.validation is not None
    more: dict[str, Any] = {"jobs": jobs, "resume": True, "note": told.note}
    with _alone(folder, told):
        words = _vocabulary(plan.vocabulary, folder, told, more)
        sets = [
            make_data(request, folder / name, vocabulary=words, progress=_named(told, title), **more)
            for name, title, request in (
                (TRAIN, "training set", plan.train),
                (VALIDATION, "validation set", plan.validation),
            )
        ]
    return _checked(Prepared(folder, sets[0], sets[1], words))


def prepared(folder: Path, plan: DataPlan) -> Prepared:
    """Sets that were made before, by `prepare` or one by one; they may be of other scenes than the plan's.

    Raises InputError where one is missing, unfinished, of another vocabulary or version of the teacher, or
    lacks what the plan's requests ask of each moment.
    """
    for name in (TRAIN, VALIDATION):
        if not (folder / name).is_dir():
            raise InputError(
                f"'{folder}' is not the data of a training: it lacks '{name}'; "
                f"drive train data --for NAME --out {folder} makes it"
            )
    words = None
    if plan.vocabulary is not None:
        if not (folder / VOCABULARY).exists():
            raise InputError(f"'{folder}' lacks the vocabulary '{VOCABULARY}', which this recipe needs")
        words = Vocabulary.load(folder / VOCABULARY)
    sets = [
        TrainingSet.open(folder / name).expect(
            vocabulary=words,
            teacher=None if words is None else TEACHER_VERSION,
            sizes=plan.train.sizes,
            sensors=plan.train.sensors,
        )
        for name in (TRAIN, VALIDATION)
    ]
    return _checked(Prepared(folder, sets[0], sets[1], words))


def rounds(found: Prepared, plan: DataPlan, folder: Path, listener: Listener) -> Any:
    """`collect` of a `TrainingRun`; its sets lie below `folder`."""

    def collect(
        planner: Planner, number: int, scenes: int | None = None, request: DataRequest | None = None
    ) -> TrainingSet:
        drive = collector(
            request or plan.train,
            folder,
            vocabulary=found.vocabulary,
            scenes=scenes,
            progress=_named(listener, f"round {number} with the learner"),
            note=listener.note,
        )
        made = TrainingSet.open(drive(planner, number))
        check_disjoint(made, found.validation, f"round {number} and the validation set")
        return made

    return collect


def _vocabulary(
    wanted: Path | VocabularyRequest | None, folder: Path, told: Listener, more: dict[str, Any]
) -> Vocabulary | None:
    if wanted is None:
        return None
    place = folder / VOCABULARY
    if isinstance(wanted, Path):
        words = Vocabulary.load(wanted)
        if place.exists() and Vocabulary.load(place).hash != words.hash:
            raise InputError(
                f"'{folder}' was made for another vocabulary than '{wanted}': give another folder"
            )
        words.save(place)
        return words
    futures = make_data(
        wanted.data, folder / FUTURES, progress=_named(told, "futures for the vocabulary"), **more
    )
    how = {name: getattr(wanted, name) for name in ("size", "grid", "method", "seed", "iterations")}
    if place.exists():
        words = Vocabulary.load(place)
        if any(words.provenance.get(k) != v for k, v in (*how.items(), ("data", futures.hash))):
            raise InputError(f"'{place}' was made in another way than asked for: give another folder")
        return words
    return make_vocabulary(place, folder / FUTURES, progress=_named(told, "vocabulary"), **how)


def _checked(found: Prepared) -> Prepared:
    check_disjoint(found.train, found.validation, "the training and the validation set")
    if (found.folder / FUTURES / HEADER).exists():
        futures = TrainingSet.open(found.folder / FUTURES)
        check_disjoint(futures, found.validation, "the vocabulary's futures and the validation set")
    return found


def _files(path: Path) -> list[tuple[str, int]]:
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(file.name, file.stat().st_size) for file in found if file.is_file()]


def _named(told: Listener, title: str) -> Any:
    """The listener's progress under a name that says which of the sets it is."""
    return lambda what, done, total: told.progress(title, done, total)


@contextmanager
def _alone(folder: Path, told: Listener) -> Iterator[None]:
    """Let only one process make what is in the folder; the lock goes with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        if not locked(lock):
            told.note(f"waits for another process that makes '{folder}'")
            locked(lock, wait=True)
        yield


__all__ = ["Prepared", "cached_folder", "plan_of", "prepare", "prepared", "rounds"]
