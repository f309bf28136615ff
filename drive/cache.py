"""Where things that are dear to make are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """The folder `parts` of the user's cache, made if need be; `DRIVE_CACHE_DIR` moves it.

    Where it cannot be written it lies among the temporary files.
    """
    root = os.environ.get("DRIVE_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drive-toolkit"
    folder = Path(root or base, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir(), f"drive-toolkit-{os.getuid()}", *parts)
        folder.mkdir(parents=True, exist_ok=True)
    return folder
