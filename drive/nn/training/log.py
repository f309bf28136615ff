"""The figures of a training as they come: CSV always, TensorBoard's events where it is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from drive.errors import InputError
from drive.files import write_whole


class TrainLog:
    """`log.csv` and `validation.csv` in a folder, one row a moment of the training, beginning with `step`.

    A log that is there is gone on with from `step` (0 begins anew): later rows and half a line at the end
    are dropped, so that it reads as if the training had never been interrupted.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder = folder
        self.columns: dict[str, list[str]] = {}
        self.files: dict[str, TextIO] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("log", "validation"):
            kept = _rows_until(self._path(name), step)
            if kept:
                self.columns[name] = kept[0]
                write_whole(self._path(name), _text(kept))
            else:
                self._path(name).unlink(missing_ok=True)
        self.events = _event_writer(folder, step)

    def write(self, name: str, step: int, values: Mapping[str, float]) -> None:
        """Add a row. Raises InputError when its columns are not those of the rows before."""
        columns = ["step", *values]
        if self.columns.setdefault(name, columns) != columns:
            strange = set(columns) ^ set(self.columns[name])
            raise InputError(
                f"figures of a training keep their names; these come and go: {', '.join(sorted(strange))}"
            )
        if name not in self.files:
            new = not self._path(name).exists()
            self.files[name] = open(self._path(name), "a", encoding="utf-8", newline="")  # noqa: SIM115
            if new:
                self.files[name].write(_text([columns]))
        self.files[name].write(_text([[str(step), *(f"{value:.7g}" for value in values.values())]]))
        self.files[name].flush()
        if self.events is not None:
            for key, value in values.items():
                self.events.add_scalar(f"{name}/{key}", value, step)

    def close(self) -> None:
        for file in self.files.values():
            file.close()
        if self.events is not None:
            self.events.close()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.csv"


def read_log(path: Path) -> dict[str, list[float]]:
    """The columns of a log by name."""
    rows = _rows_until(path, None)
    return {name: [float(row[k]) for row in rows[1:]] for k, name in enumerate(rows[0])} if rows else {}


def _rows_until(path: Path, step: int | None) -> list[list[str]]:
    """The header and the whole rows up to `step`; nothing where there is no such row."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole)))
    kept = [row for row in rows[1:] if _is_row(row, len(rows[0])) and (step is None or int(row[0]) <= step)]
    return [rows[0], *kept] if kept else []


def _is_row(row: list[str], width: int) -> bool:
    return len(row) == width and row[0].isdigit()


def _text(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _event_writer(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter

        # Events after this step were of the run that was interrupted.
        return SummaryWriter(str(folder / "events"), purge_step=step + 1)
    except ImportError:
        return None


__all__ = ["TrainLog", "read_log"]
