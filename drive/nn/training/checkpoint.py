"""Checkpoints of a training: two files each, the newest two kept, and whatever else the bits depend on.

`checkpoints/000001200.safetensors` holds every tensor, `000001200.json` the scalars and the hash of the
tensors. The JSON is written last, so a checkpoint is there when it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drive.errors import InputError
from drive.files import parse_json, write_whole
from drive.nn._torch import torch
from drive.nn.tensors import read_tensors, write_tensors

SCHEMA = "drive-checkpoint/1"
KEPT = 2
Tensor = Any


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read back, and a line for each newer checkpoint that is damaged."""

    path: Path
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    notes: tuple[str, ...] = ()


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]
) -> Path:
    """Write a checkpoint and delete all but the newest two. Returns the path of its tensors.

    At any moment of it, what was there before can still be read. Raises OSError when the disk is full.
    """
    path = folder / f"{step:09d}.safetensors"
    sha256 = write_tensors(path, tensors, lasting=True)
    text = json.dumps(
        {"schema": SCHEMA, "step": step, "sha256": sha256, "scalars": scalars}, indent=1, allow_nan=False
    )
    write_whole(path.with_suffix(".json"), text + "\n", lasting=True)
    paths = _paths(folder)
    past = [old for old in paths if old <= path]
    for old in {*paths} - {*past[:KEPT]}:  # later ones are damaged: this training went on from before them
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None where there is none.

    Raises InputError where all that are there are damaged.
    """
    notes: list[str] = []
    for path in _paths(folder):
        try:
            document = parse_json(path.with_suffix(".json").read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise InputError(f"'{path}' is of the version {document['schema']}")
            tensors, sha256 = read_tensors(path)
            if sha256 != document["sha256"]:
                raise InputError(f"'{path}' is not what was written: another SHA-256")
            return Checkpoint(path, tensors, document["scalars"], tuple(notes))
        except (InputError, OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"damaged checkpoint left out: {' '.join(str(error).split())}")
    if notes:
        raise InputError(f"no checkpoint in '{folder}' can be read: {notes[0]}")
    return None


def newest(folder: Path) -> Path | None:
    """The newest checkpoint by name."""
    return next(iter(_paths(folder)), None)


def _paths(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first."""
    found = sorted(folder.glob("[0-9]*.json"), reverse=True)
    return [path.with_suffix(".safetensors") for path in found]


def pack_optimiser(optimiser: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state as flat tensors and scalars, by parameter number and name."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for number, state in optimiser.state_dict()["state"].items():
        for name, value in state.items():
            (tensors if isinstance(value, torch.Tensor) else scalars)[f"{number}.{name}"] = value
    return tensors, scalars


def unpack_optimiser(optimiser: Any, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    """Put back what `pack_optimiser` took."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **scalars}.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def pack_random(device: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of the generators that everybody shares: torch's, NumPy's and Python's."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    _, words, next_gauss = random.getstate()
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "python": torch.tensor(words, dtype=torch.int64),
    }
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    return tensors, {"numpy": [int(position), int(has_gauss), float(gauss)], "python": next_gauss}


def unpack_random(device: Any, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    """Put back what `pack_random` took."""
    torch.set_rng_state(tensors["torch"])
    position, has_gauss, gauss = scalars["numpy"]
    np.random.set_state(("MT19937", tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    random.setstate((3, tuple(tensors["python"].tolist()), scalars["python"]))
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["cuda"], device)


@contextmanager
def own_random(device: Any) -> Iterator[None]:
    """Give the shared generators back as they were."""
    before = pack_random(device)
    try:
        yield
    finally:
        unpack_random(device, *before)


def seed_all(seed: int) -> None:
    """Seed the shared generators: torch's (on all devices), NumPy's and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


__all__ = [
    "Checkpoint",
    "load_checkpoint",
    "newest",
    "own_random",
    "pack_optimiser",
    "pack_random",
    "save_checkpoint",
    "seed_all",
    "unpack_optimiser",
    "unpack_random",
]
