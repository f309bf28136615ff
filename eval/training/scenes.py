"""Which scenes a set is collected in, and that no suite holds any of them.

Training takes seeds of the generator from `TRAIN` on, validation those from `VALIDATION` up to there; the
suites' lie below. A recorded scene is known by its place, because its neighbours in the recording are the
same road and mostly the same drivers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drive.datasets import source
from drive.datasets.generate.source import FAMILIES, PREFIX, parse
from drive.errors import InputError, UnknownNameError
from drive.eval.bench.suites import load_suite, suite_names
from drive.nn.store import check_disjoint, scene_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drive.nn.store import DataRequest

VALIDATION, TRAIN = 9_000, 10_000
ROUND = 1_000_000
"""Seeds between two rounds of collection with a learner, so that each has scenes of its own."""


@dataclass(frozen=True, slots=True)
class SceneRef:
    """A scene by its reference, and the key that no two sets may share."""

    ref: str
    key: tuple[str, ...]


def scenes_of(request: DataRequest) -> tuple[list[SceneRef], tuple[tuple[str, str], ...]]:
    """The scenes of a request, one of each family after the other, then the recorded ones; and what of the
    files had to be left out, with the reason.

    Raises InputError where a suite holds any of them, or there are none.
    """
    for family in request.families:
        if family not in FAMILIES:
            raise UnknownNameError("scenario family", family, FAMILIES)
    found = [
        SceneRef(f"{PREFIX}{family}/{seed}", scene_key(family, seed, ""))
        for seed in range(request.first_seed, request.first_seed + request.scenes)
        for family in request.families
    ]
    expansion = source.expand_all(request.scenarios, "recorded")
    found += [SceneRef(ref, key_of(ref)) for ref in expansion.refs]
    if not found:
        raise InputError("a training set needs families with a number of scenes, or recorded scenarios")
    check_suites(scene.key for scene in found)
    return found, expansion.skipped


def key_of(ref: str) -> tuple[str, ...]:
    """The key of a reference: family and seed of a generated scene, else the place.

    The place is what stands before the first "-" of the file's name, which in CommonRoad's names
    (`USA_US101-3_1_T-1`) is country and road.
    """
    if ref.startswith(PREFIX):
        family, seed, _ = parse(ref)[0]
        return scene_key(family, seed, "")
    name = Path(ref.partition("#")[0]).name
    return scene_key("", None, name.partition("-")[0].partition(".")[0])


def check_suites(keys: Iterable[tuple[str, ...]]) -> None:
    """Raise InputError where a suite that is installed holds one of the scenes."""
    mine = frozenset(keys)
    for name in suite_names():
        refs = load_suite(name).refs
        check_disjoint(mine, frozenset(key_of(ref) for ref in refs), f"the request and the suite '{name}'")


def validation_of(request: DataRequest, scenes: int) -> DataRequest:
    """The request for held-out scenes of the same kind."""
    return replace(request, first_seed=VALIDATION, scenes=min(scenes, TRAIN - VALIDATION), scenarios=())


__all__ = ["ROUND", "TRAIN", "VALIDATION", "SceneRef", "check_suites", "key_of", "scenes_of", "validation_of"]
