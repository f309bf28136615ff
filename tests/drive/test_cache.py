"""Where things are kept between runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from drive.cache import cache_folder


def test_the_variable_moves_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "here"))
    assert cache_folder("maps") == tmp_path / "here" / "maps"
    assert (tmp_path / "here" / "maps").is_dir()
    monkeypatch.delenv("DRIVE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_folder("maps") == tmp_path / "home" / "drive-toolkit" / "maps"


def test_a_place_that_cannot_be_made_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DRIVE_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    folder = cache_folder("maps")
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path / "tmp")
