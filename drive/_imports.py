"""Importing by name, with errors that say in one line what is missing and what brings it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any
from zlib import crc32

from drive.errors import DriveError, InputError, MissingExtraError

# Which extra of pyproject.toml brings which module.
EXTRAS = {
    "torch": "learn",
    "safetensors": "learn",
    "transformers": "vla",
    "tokenizers": "vla",
    "peft": "vla",
    "carla": "carla",
    "msgpack": "carla",
    "pyogrio": "nuplan",
    "libsumo": "sumo",
    "sumolib": "sumo",
    "pyarrow": "av2",
    "rasterio": "raster",
    "ray": "ray",
    "gymnasium": "rl",
    "numba_cuda": "cuda",
    "pandas": "pandas",
}


def import_target(target: str, owner: str) -> Any:
    """The object that `module` or `module:attribute` or `path/to/file.py:attribute` names.

    `owner` begins the error message: who wanted it, and which distribution promised it.

    Raises `MissingExtraError` when a dependency of one of our extras is missing, and `DriveError` when the
    module is broken or lacks the attribute.
    """
    place, _, attributes = target.partition(":") if not is_file(target) else target.rpartition(":")
    try:
        found: Any = _module_of_file(place) if is_file(target) else importlib.import_module(place)
    except DriveError:
        raise
    except ModuleNotFoundError as error:
        raise _missing(error, place, owner) from error
    except (Exception, SystemExit) as error:  # a plug-in may raise anything at import; tell whose it is
        raise DriveError(f"{owner} cannot be loaded from '{place}': {one_line(error)}") from error
    for name in attributes.split(".") if attributes else ():
        try:
            found = getattr(found, name)
        except AttributeError:
            raise DriveError(f"{owner} cannot be loaded: '{place}' has no '{attributes}'") from None
    return found


def is_file(target: str) -> bool:
    """Whether `target` names a Python file rather than a module (a drive letter has a colon too)."""
    place, colon, _ = target.rpartition(":")
    return (place if colon else target).endswith(".py")


def one_line(error: BaseException) -> str:
    """The error's class and message without line breaks."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _missing(error: ModuleNotFoundError, place: str, owner: str) -> DriveError:
    missing = error.name or ""
    root = missing.partition(".")[0]
    if root in EXTRAS:
        return MissingExtraError(root, EXTRAS[root])
    if missing and (place == missing or place.startswith(missing + ".")):
        return DriveError(f"{owner} cannot be loaded: there is no module '{missing}'")
    return DriveError(f"{owner} needs the module '{missing}', which is not installed")


def _module_of_file(path: str) -> Any:
    """Load a Python file that belongs to no package.

    The module enters `sys.modules` (dataclasses and pickle look there) under a name made of its path and
    its time of change, so that an edited file is read anew and an unchanged one is not.
    The name is the same in every process.
    """
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        raise InputError(f"there is no file '{path}'")
    name = f"_drive_file_{crc32(full.encode()):x}_{os.stat(full).st_mtime_ns:x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise InputError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
