"""Maps the top-level rooms to one import package; everything else is in pyproject.toml.

The rooms are walked rather than listed, so that a new subpackage cannot be forgotten, and links are
never followed, so that `drive/sim` (a link, for editors and type checkers) is not packed beside `sim`.
"""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup

ROOMS = {
    "drive": "drive",
    "sim": "drive.sim",
    "datasets": "drive.datasets",
    "planners": "drive.planners",
    "eval": "drive.eval",
}
DATA = {".toml", ".yaml", ".html", ".css", ".js", ".json", ".npz", ".safetensors"}


def is_data(name: str) -> bool:
    return name == "py.typed" or Path(name).suffix in DATA


def layout() -> tuple[dict[str, str], dict[str, list[str]]]:
    """The folder and the data files of each package.

    A folder without `__init__.py` is no package: its data files belong to the package above it.
    """
    folders: dict[str, str] = {}
    data: dict[str, list[str]] = {}
    for room, package in ROOMS.items():
        for folder, subfolders, files in os.walk(room):
            # A copy made through the links has the rooms inside `drive` as well: they would be packed twice.
            hidden = set(ROOMS) if folder == "drive" else set()
            subfolders[:] = sorted(
                name
                for name in subfolders
                if name not in hidden
                and name != "__pycache__"
                and not os.path.islink(os.path.join(folder, name))
            )
            here = Path(folder)
            inside = here.relative_to(room).parts
            if "__init__.py" in files and (not inside or ".".join((package, *inside[:-1])) in folders):
                folders[".".join((package, *inside))] = here.as_posix()
            owner = inside
            while ".".join((package, *owner)) not in folders and owner:
                owner = owner[:-1]
            found = [
                (here / name).relative_to(Path(room, *owner)).as_posix() for name in files if is_data(name)
            ]
            if found:
                data.setdefault(".".join((package, *owner)), []).extend(sorted(found))
    return folders, data


if __name__ == "__main__":  # build backends run this file as a script
    package_dir, package_data = layout()
    setup(packages=list(package_dir), package_dir=package_dir, package_data=package_data)
