"""Finding the devkit: it is on no package index, so a user's own checkout is what is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from drive.errors import DriveError, InputError

STUDIED = "e924167"
"""The commit of motional/nuplan-devkit that this bridge was written and checked against."""


def find_devkit(folder: str | Path | None = None) -> None:
    """Make `nuplan` importable, from `folder` (a checkout of motional/nuplan-devkit) if one is given.

    Also tells the devkit to read local files, which it does not by default. Raises InputError for a folder
    without the devkit, DriveError where none can be imported.
    """
    if folder is not None:
        place = Path(folder).expanduser().resolve()
        if not (place / "nuplan" / "planning").is_dir():
            raise InputError(f"'{folder}' holds no nuPlan devkit: it has no folder nuplan/planning")
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
    if importlib.util.find_spec("nuplan") is None:
        raise DriveError(
            "the nuPlan devkit is not installed; get a checkout of github.com/motional/nuplan-devkit "
            "and name it: --devkit FOLDER (docs/nuplan_devkit.md says what else it needs)"
        )
    os.environ.setdefault("NUPLAN_DATA_STORE", "local")


def versions() -> dict[str, str]:
    """Versions of what the devkit's results depend on."""
    found = {"nuplan-devkit": STUDIED, "python": sys.version.split()[0]}
    for name in ("numpy", "scipy", "shapely", "geopandas", "pandas", "pyogrio", "SQLAlchemy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
