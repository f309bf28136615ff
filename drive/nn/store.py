"""A training set on disk: a folder of plain arrays with one header, read through memory maps.

header.json     schema, rows, fields, vocabulary, teacher, request, scenes, licences, content hash
FIELD.npy       one array a field, its first axis the samples; any program that reads `.npy` reads it
journal.jsonl   how many rows each scene gave; what a killed collection goes on from

A folder without header.json is not finished (`drive.nn.writer`). The fields: see docs/learned.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from drive.errors import InputError
from drive.files import BROKEN_ARRAY, parse_json
from drive.nn.scene import SceneArrays, SceneSizes, is_mask, scene_shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from drive.nn.vocabulary import Vocabulary

    Keys = frozenset[tuple[str, ...]]

SCHEMA = "drive-training/1"
HEADER, JOURNAL = "header.json", "journal.jsonl"
VISITED, PERTURBED, LEARNER = 0, 1, 2
"""Whose state a sample's is: the expert's own, one beside it, the learner's own."""
SENSORS = ("vector", "raster", "image", "past", "movers")
HORIZON, LABELS = 40, 9


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What a training set is to hold.

    `scenes` seeds of each of the generator's `families` from `first_seed` on, and recorded `scenarios`
    (files, folders) beside them; in each a sample every `every` s and, with the probability `twins`, another
    one beside it, at which the ego is displaced by up to `lateral` m, `heading` rad and `speed` m/s. A share
    `displaced` of the drives begins displaced. The `past` of a sample beside another is the other's, carried
    along, or "driven": at its own speed all along, so that what is seen to come nearer does so as fast as it
    will. The others of a sample are known for 4.9 s after it.

    `near` rows of the vocabulary by speed and `random` ones of the rest are labelled in each sample; all of
    it where `near` is 0. `sensors` of SENSORS; `cameras` by name (`drive.sim.sensors.camera_views`)
    for images, of `picture` (width, height), the last `frames` of them every `sizes.history_dt` s;
    `sizes` of the vector scene. The sensor "past" tells where the ego was at the scene's moments, "movers"
    what a forecaster learns from (`drive.sim.forecast.movers`). With `scored` the expert's own score is told
    without a vocabulary too. `expert` and `traffic` are names of the registry. Where the expert drives, the
    future that is `shown` is its "plan", which may misjudge others, or the "drive" that came of it; beside
    its own states it is always the plan.
    """

    families: tuple[str, ...] = (
        "lane_follow_curved", "stop_for_lead", "stop_and_go", "cut_in", "dense_merge", "dense_highway",
        "overtake_slow", "lane_change_for_route", "parked_vehicle", "parked_vehicle_two_way",
        "construction_narrowing", "occluded_pedestrian", "signalised_intersection", "t_junction_yield",
        "unprotected_left", "roundabout",
    )  # fmt: skip
    scenes: int = 72
    first_seed: int = 10_000
    scenarios: tuple[str, ...] = ()
    every: float = 1.0
    twins: float = 1.0
    lateral: float = 1.0
    heading: float = 0.15
    speed: float = 4.0
    displaced: float = 0.3
    past: str = "carried"
    near: int = 512
    random: int = 64
    sensors: tuple[str, ...] = ("vector",)
    cameras: tuple[str, ...] = ("front_left", "front", "front_right")
    picture: tuple[int, int] = (128, 96)
    frames: int = 1
    sizes: SceneSizes = field(default_factory=SceneSizes)
    expert: str = "pdm"
    shown: str = "plan"
    traffic: str = "idm"
    visibility: str = "line_of_sight"
    scored: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("families", "scenarios", "sensors", "cameras", "picture"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for sensor in self.sensors:
            if sensor not in SENSORS:
                raise InputError(f"a training set's sensors are of {', '.join(SENSORS)}, not '{sensor}'")
        if len(self.picture) != 2 or not 1 <= self.frames <= self.sizes.history:
            raise InputError(
                f"a training set's picture has a width and a height, and 1 to {self.sizes.history} frames, "
                f"not {self.picture} and {self.frames}"
            )
        if self.shown not in ("plan", "drive"):
            raise InputError(f"a training set shows an expert's plan or drive, not '{self.shown}'")
        if self.past not in ("carried", "driven"):
            raise InputError(f"a training set's past is carried or driven, not '{self.past}'")
        for name in ("lateral", "heading", "speed"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InputError(f"a training set's {name} must be 0 or more, got {getattr(self, name)}")
        for name in ("twins", "displaced"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(
                    f"a training set's {name} lies between 0 and 1, not at {getattr(self, name)}"
                )
        if not 0.1 <= self.every < np.inf:
            raise InputError(f"a sample every 0.1 s or more seldom, not every {self.every} s")
        if min(self.scenes, self.first_seed, self.near, self.random, self.seed) < 0:
            raise InputError("a training set's numbers of scenes and rows, and its seeds, are 0 or more")

    def labelled(self, size: int) -> int:
        """How many rows of a vocabulary of that size a sample labels."""
        return size if self.near == 0 else min(self.near + self.random, size)


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a training set: its type, and the shape of one row."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of one row."""
        return int(np.dtype(self.dtype).itemsize * np.prod(self.shape, dtype=np.int64))


def training_fields(
    request: DataRequest, size: int | None, extra: Mapping[str, Field] | None = None
) -> dict[str, Field]:
    """The fields of a set for a request and a vocabulary of `size` rows, None for no labels.

    `extra` are those of sensors whose shapes are theirs to know: raster, images.
    """
    out: dict[str, Field] = {}
    if "vector" in request.sensors:
        for name, shape in zip(SceneArrays._fields, scene_shapes(request.sizes), strict=True):
            out[f"scene.{name}"] = Field("|b1" if is_mask(name) else "<f4", tuple(shape))
    out |= extra or {}
    out |= {
        "start": Field("<f4", (7,)),
        "future": Field("<f4", (HORIZON, 3)),
        "future_valid": Field("|b1", (HORIZON,)),
        "controls": Field("<f4", (HORIZON, 2)),
    }
    if size is not None:
        count = request.labelled(size)
        out["label_rows"] = Field("<i4", (count,))
        out["labels"] = Field("<f2", (count, LABELS))
    if size is not None or request.scored:
        out["expert_score"] = Field("<f4", ())
    out |= {"scene_number": Field("<i4", ()), "time": Field("<f4", ()), "kind": Field("|u1", ())}
    return out


class TrainingSet:
    """A finished training set; its arrays stay on disk until rows are taken."""

    def __init__(self, folder: Path, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.folder, self.header, self.arrays = folder, header, arrays

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Raises InputError naming the folder and what is wrong with it."""
        place = Path(folder)
        header = _read_header(place)
        arrays: dict[str, NDArray[Any]] = {}
        try:
            rows = int(header["rows"])
            for name, about in header["fields"].items():
                one = Field(str(about["dtype"]), tuple(int(n) for n in about["shape"]))
                arrays[name] = _mapped(place / f"{name}.npy", one, rows)
            header["hash"], header["teacher"], header["vocabulary"]
            if not all(isinstance(part, str) for scene in header["scenes"] for part in scene["key"]):
                raise ValueError("a scene's key holds what is no text")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"the training set '{place}' has no sound header ({error})") from None
        return cls(place, header, arrays)

    def __len__(self) -> int:
        return int(self.header["rows"])

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self.arrays)

    @property
    def hash(self) -> str:
        """Digest of all arrays."""
        return str(self.header["hash"])

    @property
    def keys(self) -> Keys:
        """What its scenes are told apart by: see `scene_key`."""
        return frozenset(tuple(scene["key"]) for scene in self.header["scenes"])

    def take(self, rows: ArrayLike, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Copies of some rows `(n,)` of all fields, or of those named."""
        at = np.asarray(rows, dtype=np.int64)
        return {name: np.array(self._array(name)[at]) for name in names or self.arrays}

    def _array(self, name: str) -> NDArray[Any]:
        if name not in self.arrays:
            raise InputError(
                f"the training set '{self.folder}' has no field '{name}': {', '.join(self.arrays)}"
            )
        return self.arrays[name]

    def expect(
        self,
        vocabulary: Vocabulary | str | None = None,
        teacher: str | None = None,
        sizes: SceneSizes | None = None,
        sensors: Iterable[str] = (),
    ) -> Self:
        """Itself, if it was labelled for this vocabulary (or its hash) by this version of the teacher, and
        has scenes of these sizes and these sensors. Raises InputError with one line of what does not fit.
        """
        where = f"the training set '{self.folder}'"
        if vocabulary is not None:
            wanted = vocabulary if isinstance(vocabulary, str) else vocabulary.hash
            found = (self.header["vocabulary"] or {}).get("hash")
            if found != wanted:
                told = "has no labels" if found is None else f"has labels for the vocabulary {found[:12]}"
                raise InputError(f"{where} {told}, not for {wanted[:12]}: make it again with that vocabulary")
        if teacher is not None and self.header["teacher"]["version"] != teacher:
            found = self.header["teacher"]["version"]
            raise InputError(f"{where} was labelled by teacher {found}, not {teacher}: make it again")
        if sizes is not None and self.header["request"]["sizes"] != asdict(sizes):
            raise InputError(f"{where} has scenes of other sizes: make it again with {sizes}")
        for sensor in sensors:
            if sensor not in self.header["request"]["sensors"]:
                raise InputError(f"{where} was collected without the sensor '{sensor}'")
        return self


class JoinedSet:
    """Several sets as one, as rounds of collection leave them: the fields that all of them hold.

    Sets that are labelled are of one vocabulary and one teacher. Raises InputError for others.
    """

    def __init__(self, sets: Sequence[TrainingSet]) -> None:
        if not sets:
            raise InputError("no training set was given")
        first = sets[0]
        shared = set(first.fields).intersection(*(other.fields for other in sets[1:]))
        for other in sets[1:]:
            for name in sorted(shared):
                if other.header["fields"][name] != first.header["fields"][name]:
                    raise InputError(
                        f"'{name}' has another shape in '{other.folder}' than in '{first.folder}'"
                    )
            for what, told in (("vocabulary", "of two vocabularies"), ("teacher", "of two teachers")):
                mine, theirs = first.header[what], other.header[what]
                if mine and theirs and mine != theirs:
                    raise InputError(f"'{first.folder}' and '{other.folder}' are {told}")
        self.sets = tuple(sets)
        self._fields = tuple(name for name in first.fields if name in shared)
        self._ends = np.cumsum([len(one) for one in sets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return self._fields

    @property
    def hash(self) -> str:
        """Digest of the digests."""
        return hashlib.blake2b("".join(s.hash for s in self.sets).encode(), digest_size=16).hexdigest()

    @property
    def header(self) -> dict[str, Any]:
        """The first one's; what is of one set alone is there all the same."""
        return self.sets[0].header

    @property
    def keys(self) -> Keys:
        """Of all sets."""
        return frozenset().union(*(one.keys for one in self.sets))

    def take(self, rows: ArrayLike, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `TrainingSet.take`; rows count through all sets."""
        at = np.asarray(rows, dtype=np.int64)
        if at.size and not (-len(self) <= at.min() and at.max() < len(self)):
            raise InputError(f"rows lie between 0 and {len(self) - 1}, got {at.min()} to {at.max()}")
        at = at % len(self)
        which = np.searchsorted(self._ends, at, side="right")
        wanted = tuple(names or self.fields)
        parts = []
        for number, one in enumerate(self.sets):
            begin = int(self._ends[number]) - len(one)
            parts.append(one.take(at[which == number] - begin, wanted))
        order = np.argsort(np.argsort(which, kind="stable"), kind="stable")
        return {name: np.concatenate([part[name] for part in parts])[order] for name in wanted}

    def expect(self, **wanted: Any) -> Self:
        """As `TrainingSet.expect`, of each."""
        for one in self.sets:
            one.expect(**wanted)
        return self


def scene_key(family: str, seed: int | None, place: str) -> tuple[str, ...]:
    """What two sets may not share: a generated scene's family and seed, a recorded one's place."""
    return ("gen", family, str(seed)) if family and seed is not None else ("place", place)


def check_disjoint(
    one: TrainingSet | JoinedSet | Keys, other: TrainingSet | JoinedSet | Keys, names: str = "two sets"
) -> None:
    """Raise InputError where two sets (or keys) share a generated scene or a recorded place."""
    a, b = (keys if isinstance(keys, frozenset) else keys.keys for keys in (one, other))
    both = sorted(a & b)
    if both:
        told = "/".join(both[0])
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        raise InputError(f"{names} share {told}{more}: what is trained on must not be tested on")


def _mapped(path: Path, one: Field, rows: int) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"the training set lacks '{path}'") from None
    except BROKEN_ARRAY as error:
        raise InputError(f"'{path}' is truncated or is no array ({error})") from None
    if found.dtype.str != one.dtype or found.shape != (rows, *one.shape):
        raise InputError(f"'{path}' is {found.dtype.str} {found.shape}, its header says {one} of {rows} rows")
    return found


def _read_header(place: Path) -> dict[str, Any]:
    try:
        header = parse_json((place / HEADER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (place / JOURNAL).exists():
            raise InputError(f"the training set '{place}' is not finished: go on with --resume") from None
        raise InputError(f"there is no training set '{place}'") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the training set '{place}' has no readable header ({error})") from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        found = header.get("schema") if isinstance(header, dict) else None
        raise InputError(f"the training set '{place}' has version '{found}', this toolkit reads '{SCHEMA}'")
    return header


__all__ = [
    "HORIZON", "LABELS", "LEARNER", "PERTURBED", "SCHEMA", "SENSORS", "VISITED", "DataRequest", "Field",
    "JoinedSet", "TrainingSet", "check_disjoint", "scene_key", "training_fields",
]  # fmt: skip
