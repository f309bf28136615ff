"""Where things are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from drive.cache import cache_folder
from drive.errors import InputError


def test_the_variable_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "here"))
    assert cache_folder("maps") == tmp_path / "here" / "maps"
    assert (tmp_path / "here" / "maps").is_dir()
    monkeypatch.delenv("DRIVE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_folder("maps") == tmp_path / "home" / "drive-toolkit" / "maps"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own among the temporary files, which is used because the cache cannot be made."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"drive-toolkit-{os.getuid()}"


def test_a_place_that_cannot_be_made_falls_back(temporary: Path) -> None:
    for _ in range(2):
        assert cache_folder("maps") == temporary / "maps"
    assert (temporary / "maps").is_dir()
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_a_place_that_is_there_and_cannot_be_written_falls_back(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared" / "maps").mkdir(parents=True)
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "shared"))
    # Root may write any folder.
    monkeypatch.setattr(os, "access", lambda path, mode: "shared" not in str(path))
    assert cache_folder("maps") == temporary / "maps"


def test_code_is_not_taken_from_where_others_may_write(temporary: Path, tmp_path: Path) -> None:
    temporary.mkdir(parents=True)
    temporary.chmod(0o777)
    with pytest.raises(InputError, match="DRIVE_CACHE_DIR"):
        cache_folder("maps")
    temporary.rmdir()
    temporary.symlink_to(tmp_path)
    with pytest.raises(InputError, match="DRIVE_CACHE_DIR"):
        cache_folder("maps")
