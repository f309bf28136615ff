"""Moments whose answers can be scored while a policy learns: what it is shown, and the teacher's lesson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets import source
from drive.datasets.generate.source import VERSION
from drive.errors import InputError, ScenarioError
from drive.eval.training.collect import Collection, driven_moments
from drive.eval.training.scenes import scenes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import ArrayLike, NDArray

    from drive.eval.training.collect import Shown
    from drive.nn.store import DataRequest


@dataclass(frozen=True, slots=True, eq=False)
class JudgedMoments:
    """Moments in memory, with `take` as a training set has it, and a judge for each.

    `scene (N,)` numbers the scenes that they are of, `family` names those of each moment.
    """

    arrays: dict[str, NDArray[Any]]
    shown: list[Shown]
    scene: NDArray[np.int64]
    family: list[str]
    header: dict[str, Any]

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self.arrays)

    def take(self, rows: ArrayLike, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Copies of some rows `(n,)` of all fields, or of those named."""
        at = np.asarray(rows, dtype=np.int64)
        return {name: self.arrays[name][at] for name in names or self.arrays}

    def judge(self, row: int, poses: NDArray[Any]) -> NDArray[np.float32]:
        """The teacher's labels `(K, 9)` of trajectories `(K, 40, 3)` every 0.1 s in a moment's ego frame."""
        shown = self.shown[row]
        return shown.lesson.label(poses, shown.reference).values


def judged_moments(
    request: DataRequest,
    count: int,
    progress: Callable[[str, int, int], None] = lambda what, done, all_: None,
) -> JudgedMoments:
    """The first `count` moments of a request's scenes, at most a few of each. Raises InputError for none."""
    scenes, _ = scenes_of(request)
    each = max(-(-count // len(scenes)), 1)
    shown: list[Shown] = []
    rows: list[dict[str, NDArray[Any]]] = []
    number: list[int] = []
    family: list[str] = []
    rng = np.random.default_rng(request.seed)
    for k, scene in enumerate(scenes):
        if len(shown) >= count:
            break
        progress("moments to be judged", k, len(scenes))
        try:
            scenario = source.load(scene.ref)
            pupil, moments = driven_moments(scenario, Collection(request), rng)
        except ScenarioError:
            continue
        some = np.sort(rng.choice(len(moments), min(each, len(moments)), replace=False)).tolist()
        for chosen in some:
            lesson = pupil.lesson(moments[chosen])
            sample = pupil.sample(moments[chosen], rng)
            if lesson is None or not sample or len(shown) >= count:
                continue
            shown.append(lesson)
            rows += sample
            number.append(k)
            family.append(scene.key[1])
    progress("moments to be judged", len(scenes), len(scenes))
    if not shown:
        raise InputError("no scene gave a moment whose answers can be judged")
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    header = {"rows": len(rows), "request": {"expert": request.expert}, "generator": VERSION}
    return JudgedMoments(arrays, shown, np.array(number), family, header)


__all__ = ["JudgedMoments", "judged_moments"]
