"""Which reader takes a reference, and what folders expand to."""

from __future__ import annotations

from pathlib import Path

import pytest

from drive.datasets import source
from drive.errors import InputError


class Lines:
    """A format for the tests: each line of a `.pb` file is a scenario's id; `bad` spoils the file."""

    name = "lines"

    def matches(self, ref: str) -> bool:
        return ref.partition("#")[0].endswith(".pb") and Path(ref.partition("#")[0]).is_file()

    def ids(self, ref: str, ego: str = "planned") -> list[str]:
        text = Path(ref).read_text()
        if "bad" in text:
            raise InputError(f"{Path(ref).name}: line 1 is bad")
        return [f"{ref}#{line}" for line in text.split() if ego == "planned"]

    def load(self, ref: str) -> object:
        return ref


class Everything(Lines):
    name = "everything"

    def matches(self, ref: str) -> bool:
        return Path(ref).suffix in (".pb", ".parquet")


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_installed", lambda: ((Lines(), Everything()), ("reader 'x' needs y",)))


@pytest.fixture
def folder(tmp_path: Path, readers: None) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.pb").write_text("one two")
    (tmp_path / "inner" / "a.pb").write_text("three")
    (tmp_path / "README.md").write_text("no data")
    return tmp_path


def test_the_first_reader_that_matches_is_asked(folder: Path) -> None:
    assert source.source_of(str(folder / "b.pb")).name == "lines"
    assert source.load(f"{folder / 'b.pb'}#one") == f"{folder / 'b.pb'}#one"


def test_a_folder_expands_in_the_order_of_names(folder: Path) -> None:
    b, a = str(folder / "b.pb"), str(folder / "inner" / "a.pb")
    assert source.expand([str(folder)]) == [f"{b}#one", f"{b}#two", f"{a}#three"]


def test_a_reference_that_comes_twice_counts_once(folder: Path) -> None:
    b = str(folder / "b.pb")
    assert source.expand([b, b]) == [f"{b}#one", f"{b}#two"]


def test_a_bad_file_in_a_folder_is_skipped_and_told(folder: Path) -> None:
    (folder / "c.pb").write_text("bad")
    (folder / "d.db").write_text("of a format that nobody reads")
    found = source.expand_all([str(folder)])
    assert len(found.refs) == 3
    assert found.skipped == (
        (str(folder / "c.pb"), "line 1 is bad"),
        (str(folder / "d.db"), "no reader takes it"),
    )
    with pytest.raises(InputError, match=r"c\.pb.*line 1 is bad"):
        source.expand([str(folder)])


def test_a_bad_file_that_was_named_is_an_error(folder: Path) -> None:
    (folder / "c.pb").write_text("bad")
    with pytest.raises(InputError, match="line 1 is bad"):
        source.expand_all([str(folder / "c.pb")])


def test_a_folder_without_scenarios_is_an_error(tmp_path: Path, readers: None) -> None:
    with pytest.raises(InputError, match="holds no scenario"):
        source.expand_all([str(tmp_path)])


def test_a_file_without_such_an_ego_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match="no scenario with a recorded ego"):
        source.expand_all([str(folder / "b.pb")], "recorded")


def test_a_file_that_is_not_there_and_one_that_nobody_reads(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no such file.*known: lines, everything.*reader 'x' needs y"):
        source.load(str(folder / "nowhere.xml"))
    with pytest.raises(InputError, match="no reader takes"):
        source.load(str(folder / "README.md"))
