"""Where what was worked out once is kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache(name: str) -> Path:
    """The folder `name` in the toolkit's cache: `DRIVE_CACHE_DIR`, else the user's cache folder.

    It is made; where that cannot be, a temporary folder of this user stands in.
    """
    root = os.environ.get("DRIVE_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (Path(root) if root is not None else base / "drive-toolkit") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"drive-toolkit-{os.getuid()}" / name
        folder.mkdir(parents=True, exist_ok=True)
    return folder
