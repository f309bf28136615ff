"""Columns of Parquet and Feather tables as checked arrays. Needs the extra `av2`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.source import file_key
from drive.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

MAX_FILE = 1 << 29
MAX_ROWS = 1_000_000
MAX_BYTES = 1 << 30
MAX_TEXT = 256
MAX_VALUE = 1e8
"""Metres that a position may lie from the source's zero; more is another unit or rubbish."""

FLOAT, INT, TEXT = "number", "whole number", "text"


def read_table(path: Path, columns: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The named columns of a `.parquet` or `.feather` file, each of type `FLOAT`, `INT` or `TEXT`.

    Raises InputError naming the file: for a damaged file, a missing column, one of another type, an empty
    table, and values that are missing, not finite or beyond 1e8.
    """
    file_key(path, MAX_FILE)
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", "av2") from None
    try:
        table = _parquet(path, columns) if path.suffix == ".parquet" else _feather(path, columns)
        # Offsets of a damaged file may point anywhere.
        table.validate(full=True)
        return {name: _values(path.name, table.column(name), name, kind) for name, kind in columns.items()}
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, pyarrow.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path.name}: truncated, or no {path.suffix[1:]} table ({reason})") from None


def _parquet(path: Path, columns: Mapping[str, str]) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        _check(path.name, file.schema_arrow.names, file.metadata.num_rows, columns)
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        if (size := sum(group.total_byte_size for group in groups)) > MAX_BYTES:
            raise InputError(f"{path.name}: the table unpacks to {size >> 20} MiB, more than is read")
        return file.read(columns=list(columns))


def _feather(path: Path, columns: Mapping[str, str]) -> Any:
    import pyarrow
    import pyarrow.ipc

    batches: list[Any] = []
    rows = 0
    with pyarrow.OSFile(str(path), "rb") as stream:
        reader = pyarrow.ipc.open_file(stream)
        _check(path.name, reader.schema.names, 1, columns)
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            rows += batch.num_rows
            _check(path.name, reader.schema.names, rows, columns)
            batches.append(batch.select(list(columns)))
    _check(path.name, reader.schema.names, rows, columns)
    return pyarrow.Table.from_batches(batches)


def _check(name: str, found: list[str], rows: int, columns: Mapping[str, str]) -> None:
    missing = [column for column in columns if column not in found]
    if missing:
        raise InputError(f"{name}: the table lacks the columns {', '.join(missing)}")
    if not 0 < rows <= MAX_ROWS:
        raise InputError(f"{name}: a table of {rows} rows cannot be used (1 to {MAX_ROWS})")


def _values(file: str, column: Any, name: str, kind: str) -> NDArray[Any]:
    from pyarrow import types

    found = column.type
    if types.is_dictionary(found):
        found = found.value_type
    right = {
        FLOAT: types.is_floating(found) or types.is_integer(found),
        INT: types.is_integer(found),
        TEXT: types.is_string(found) or types.is_large_string(found),
    }
    if not right[kind]:
        raise InputError(f"{file}: column '{name}' holds {found}, not a {kind}")
    if column.null_count:
        raise InputError(f"{file}: column '{name}' lacks {column.null_count} values")
    if kind == TEXT and (longest := _longest(column)) > MAX_TEXT:
        raise InputError(f"{file}: column '{name}' holds a text of {longest} bytes")
    values: NDArray[Any] = column.to_numpy()
    if kind == TEXT:
        return np.asarray(values, dtype=np.str_)
    if kind == INT:
        return np.asarray(values, dtype=np.int64)
    values = np.asarray(values, dtype=np.float64)
    bad = ~(np.abs(values) < MAX_VALUE)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{file}: row {row}: {name} is {values[row]:g}")
    return values


def _longest(column: Any) -> int:
    """Bytes of the longest text of a column; arrays of texts take as much for every row."""
    import pyarrow.compute
    from pyarrow import types

    plain = column.type.value_type if types.is_dictionary(column.type) else column.type
    return int(pyarrow.compute.max(pyarrow.compute.binary_length(column.cast(plain))).as_py() or 0)
