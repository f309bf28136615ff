"""Making a training set: scene after scene, in several processes if asked, resumable."""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.generate.source import VERSION
from drive.errors import InputError
from drive.eval.training.collect import Collection, collect_scene
from drive.eval.training.scenes import ROUND, TRAIN, scenes_of
from drive.eval.training.sense import sensor_fields
from drive.nn.store import TrainingSet, training_fields
from drive.nn.vocabulary import Vocabulary
from drive.nn.writer import Writer, plain
from drive.sim.teacher import TEACHER_NAMES, TEACHER_VERSION, TeacherSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from drive.eval.training.scenes import SceneRef
    from drive.nn.store import DataRequest
    from drive.planner import Planner

    Progress = Callable[[str, int, int], None]
    Note = Callable[[str], None]


def make_data(
    request: DataRequest,
    folder: str | Path,
    *,
    vocabulary: Vocabulary | str | Path | None = None,
    teacher: TeacherSettings | None = None,
    jobs: int = 1,
    resume: bool = False,
    progress: Progress = lambda what, done, total: None,
    note: Note = lambda line: None,
) -> TrainingSet:
    """Collect a training set into a folder; `vocabulary`, one or its file, None for a set without labels.

    The set is the same whatever the number of `jobs`. `note` is told each scene that is skipped. With
    `resume` a collection that was killed goes on after its last whole scene; a set that is finished for the
    same request is opened. Raises InputError: see `Writer`, `scenes_of`.
    """
    collection = Collection(request, _loaded(vocabulary), teacher or TeacherSettings())
    return _make(collection, Path(folder), None, jobs, resume, progress, note)


def collector(
    request: DataRequest,
    folder: str | Path,
    *,
    vocabulary: Vocabulary | str | Path | None = None,
    teacher: TeacherSettings | None = None,
    scenes: int | None = None,
    progress: Progress = lambda what, done, total: None,
    note: Note = lambda line: None,
) -> Callable[[Planner, int], Path]:
    """A function `(planner, round) -> folder` that lets a learner drive and labels its own states.

    Each round has fresh scenes of the request's families (`scenes` of each), driven in this process, and a
    folder `round-N` of its own below `folder`; a round that is finished is not driven again.
    """
    words = _loaded(vocabulary)

    def collect(planner: Planner, number: int) -> Path:
        if number < 1:
            raise InputError(f"rounds with a learner are numbered from 1 on, not {number}")
        asked = replace(
            request,
            first_seed=TRAIN + number * ROUND,
            scenes=request.scenes if scenes is None else scenes,
            scenarios=(),
        )
        place = Path(folder) / f"round-{number}"
        collection = Collection(asked, words, teacher or TeacherSettings())
        _make(collection, place, planner, 1, True, progress, note)
        return place

    return collect


def _loaded(vocabulary: Vocabulary | str | Path | None) -> Vocabulary | None:
    return Vocabulary.load(vocabulary) if isinstance(vocabulary, str | Path) else vocabulary


def _make(
    collection: Collection,
    folder: Path,
    learner: Planner | None,
    jobs: int,
    resume: bool,
    progress: Progress,
    note: Note,
) -> TrainingSet:
    about = plain(about_of(collection, learner))
    if resume and (folder / "header.json").exists():
        found = TrainingSet.open(folder)
        if any(found.header.get(name) != value for name, value in plain(about).items()):
            raise InputError(f"'{folder}' holds a finished set of another request; give another folder")
        return found
    scenes, skipped = scenes_of(collection.request)
    for file, reason in skipped:
        note(f"{file}: {reason}")
    words = collection.vocabulary
    fields = training_fields(
        collection.request, None if words is None else len(words), sensor_fields(collection.request)
    )
    writer = Writer(folder, fields, about, resume)
    try:
        done = len(writer.entries)
        progress("collecting", done, len(scenes))
        for entry, rows in _collected(scenes[done:], collection, learner, jobs):
            if rows is None:
                note(f"{entry['ref']}: {entry['skipped']}")
            else:
                rows["scene_number"] = np.full(len(rows["time"]), writer.scenes, dtype=np.int32)
            writer.add(entry, rows)
            done += 1
            progress("collecting", done, len(scenes))
        return writer.finish()
    finally:
        writer.close()


def about_of(collection: Collection, learner: Planner | None = None) -> dict[str, Any]:
    """What the header of a set says beside its arrays and scenes."""
    words, request = collection.vocabulary, collection.request
    return {
        "request": asdict(request) | {"scenarios": [Path(name).name for name in request.scenarios]},
        "vocabulary": None if words is None else {"hash": words.hash, "size": len(words), "dt": words.dt},
        "teacher": {
            "version": TEACHER_VERSION,
            "names": list(TEACHER_NAMES),
            "settings": asdict(collection.teacher),
        },
        "generator": VERSION,
        "learner": None if learner is None else learner.spec.name,
    }


def _collected(
    scenes: list[SceneRef], collection: Collection, learner: Planner | None, jobs: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    """The samples of scenes, in their order."""
    if jobs <= 1 or learner is not None or len(scenes) < 2:
        for scene in scenes:
            yield collect_scene(scene, collection, learner)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(jobs, context, _begin, (collection,)) as pool:
            yield from _ordered(pool, scenes, 4 * jobs)
    except BrokenProcessPool:
        raise InputError("a process of the collection died (out of memory?); --resume goes on") from None


def _ordered(
    pool: ProcessPoolExecutor, scenes: Iterable[SceneRef], ahead: int
) -> Iterator[tuple[dict[str, Any], Any]]:
    """Answers in the scenes' order, with no more than `ahead` of them waiting."""
    waiting: deque[Any] = deque()
    for scene in scenes:
        waiting.append(pool.submit(_work, scene))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_shared: list[Collection] = []


def _begin(collection: Collection) -> None:
    _shared[:] = [collection]


def _work(scene: SceneRef) -> tuple[dict[str, Any], Any]:
    return collect_scene(scene, _shared[0])
