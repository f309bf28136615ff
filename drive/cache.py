"""Where things that are dear to make are kept between runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from drive.errors import InputError


def cache_folder(*parts: str) -> Path:
    """The folder `parts` of the user's cache, made if need be; `DRIVE_CACHE_DIR` moves it.

    Where it cannot be written it lies among the temporary files. Raises InputError where that place is not
    the user's alone: what is kept is code, among other things.
    """
    root = os.environ.get("DRIVE_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drive-toolkit"
    folder = Path(root or base, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    own = Path(tempfile.gettempdir(), f"drive-toolkit-{os.getuid()}")
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise InputError(
            f"'{folder}' cannot be written, and others may write '{own}': set DRIVE_CACHE_DIR to your own"
        )
    folder = own.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
