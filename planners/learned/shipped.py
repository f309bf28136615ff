"""Where a learned planner's weights lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from drive.errors import InputError, MissingWeightsError

SUFFIX = ".safetensors"


def find_weights(planner: str, given: str, folder: Path, recipe: str = "") -> tuple[Path, ...]:
    """The weights' files: those that `given` names, with commas between them, or the planner's own.

    A name without a suffix is one of the planner's own, `folder/NAME.safetensors`; of those, "" means the one
    that bears the planner's name, or else the first. `recipe` makes them, where it has another name. Raises
    MissingWeightsError where there are none, and InputError for a file that does not exist.
    """
    own = sorted(folder.glob(f"*{SUFFIX}"))
    if not given.strip():
        if not own:
            raise MissingWeightsError(planner, recipe)
        return (next((path for path in own if path.stem == planner), own[0]),)
    found = []
    for name in (part.strip() for part in given.split(",")):
        path = Path(name) if name.endswith(SUFFIX) else folder / f"{name}{SUFFIX}"
        if not path.is_file():
            hint = f"a file {SUFFIX}" + "".join(f", or {p.stem}" for p in own)
            raise InputError(f"planner '{planner}': there are no weights '{name}'; give {hint}")
        found.append(path)
    return tuple(found)


def digest_of(paths: tuple[Path, ...]) -> str:
    """A digest of the files, so that results made with other weights are not mistaken for these."""
    found = hashlib.blake2b(digest_size=8)
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()
