"""One read-only connection to somebody else's SQLite file, with errors that name the file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from drive.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"SQLite format 3\x00"
MAX_ROWS = 2_000_000
MAX_VALUE = 64_000_000
"""Bytes in one value of a row; a whole polygon of a city takes less than a hundredth of it."""


def open_database(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, locks nothing and trusts nothing in the file's schema."""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    if head != MAGIC:
        raise InputError(f"{path.name}: it is no SQLite database (empty, truncated, or another format)")
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    try:
        db = sqlite3.connect(uri, uri=True)
    except sqlite3.Error as error:
        raise InputError(f"{path.name}: cannot be opened ({error})") from None
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
        run(db, path, f"PRAGMA {pragma}")
    # Broken text in one cell must not stop the reading of the rest.
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return db


def run(
    db: sqlite3.Connection, path: Path, query: str, values: tuple[Any, ...] = ()
) -> list[tuple[Any, ...]]:
    """All rows of a query; raises InputError naming the file where it is damaged."""
    try:
        return db.execute(query, values).fetchall()
    except (sqlite3.Error, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: the database is damaged or truncated ({error})") from None


def columns_of(db: sqlite3.Connection, path: Path, table: str) -> dict[str, bool]:
    """Columns of a table, and whether each is the primary key; empty where there is no such table."""
    return {row[1]: bool(row[5]) for row in run(db, path, f'PRAGMA table_info("{table}")')}
