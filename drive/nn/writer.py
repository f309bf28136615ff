"""Writes training sets (`drive.nn.store`) scene by scene, so that a kill costs one scene."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from drive.errors import InputError
from drive.files import locked, parse_json, write_whole
from drive.nn.store import HEADER, JOURNAL, SCHEMA, Field, TrainingSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_HEAD = 256
"""Bytes of each file before its rows: room for a header whose number of rows is known last."""


class Writer:
    """Appends samples scene by scene; what a kill leaves is cut back to the last whole scene.

    With `resume` a folder that was begun for the same request is gone on with; InputError for another one,
    for a finished set, for one that was begun where nothing is to be resumed, and for one that another
    process is writing.
    """

    def __init__(
        self, folder: str | Path, fields_: Mapping[str, Field], about: Mapping[str, Any], resume: bool = False
    ) -> None:
        self.folder, self.fields, self.about = Path(folder), dict(fields_), plain(about)
        if (self.folder / HEADER).exists():
            raise InputError(f"'{self.folder}' holds a finished training set; give another folder")
        journal = self.folder / JOURNAL
        if journal.exists() and not resume:
            raise InputError(f"a training set was begun in '{self.folder}': give --resume, or remove it")
        begin = {"fields": {n: asdict(f) for n, f in self.fields.items()}, "about": self.about}
        self.entries: list[dict[str, Any]] = []
        self._files: dict[str, IO[bytes]] = {}
        with _told(self):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self._files[JOURNAL] = journal.open("ab")
            if not locked(file):
                raise InputError(f"another process writes the training set '{self.folder}'")
            fresh = journal.stat().st_size == 0
            self.entries = [] if fresh else self._begun(journal, json.loads(json.dumps(begin)))
            self.rows = sum(int(entry["rows"]) for entry in self.entries)
            for name in self.fields:
                self._open(name)
            if fresh:
                self._write_line(begin)

    @property
    def done(self) -> frozenset[str]:
        """References of the scenes that are in it already, those that were skipped among them."""
        return frozenset(str(entry["ref"]) for entry in self.entries)

    @property
    def scenes(self) -> int:
        """How many scenes gave samples so far: the number of the next one."""
        return sum(entry["rows"] > 0 for entry in self.entries)

    def add(self, scene: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None) -> None:
        """Append a scene's samples, `arrays` by field with a leading axis; None for one that was skipped.

        `scene` goes to the header: "ref", "key", "licence", or "ref" and "skipped", the reason.
        """
        count = 0 if arrays is None else len(arrays["time"])
        with _told(self):
            if arrays is not None and count:
                if arrays.keys() != self.fields.keys():
                    raise InputError(f"a scene's samples hold {sorted(arrays)}, not {sorted(self.fields)}")
                for name, one in self.fields.items():
                    values = np.ascontiguousarray(arrays[name], dtype=one.dtype)
                    if values.shape != (count, *one.shape):
                        raise InputError(f"'{name}' has the shape {values.shape}, not {(count, *one.shape)}")
                    self._files[name].write(values.tobytes())
                for file in self._files.values():
                    file.flush()
            entry = {**plain(scene), "rows": count}
            self._write_line(entry)
        self.entries.append(entry)
        self.rows += count

    def finish(self) -> TrainingSet:
        """Close the arrays, take their digest, write the header and open the set.

        Raises InputError where no scene gave a sample.
        """
        if self.rows == 0:
            self.close()
            reasons = [str(entry["skipped"]) for entry in self.entries if "skipped" in entry]
            hint = f"; the first was skipped: {reasons[0]}" if reasons else ""
            raise InputError(f"no scene gave a sample for '{self.folder}'{hint}")
        digest = hashlib.blake2b(digest_size=16)
        with _told(self):
            self.close()
            for name in sorted(self.fields):
                path = self.folder / f"{name}.npy"
                with path.open("r+b") as file:
                    file.write(_npy_head(self.fields[name], self.rows))
                    digest.update(name.encode())
                    while block := file.read(1 << 22):
                        digest.update(block)
            scenes = [entry for entry in self.entries if entry["rows"]]
            header = {
                **self.about,
                "schema": SCHEMA,
                "rows": self.rows,
                "fields": {n: asdict(f) for n, f in self.fields.items()},
                "scenes": scenes,
                "skipped": [entry for entry in self.entries if not entry["rows"]],
                "licences": sorted({str(scene.get("licence") or "unknown") for scene in scenes}),
                "hash": digest.hexdigest(),
            }
            write_whole(self.folder / HEADER, json.dumps(header, sort_keys=True, indent=1) + "\n")
        return TrainingSet.open(self.folder)

    def close(self) -> None:
        """Close the files; a set that is not finished stays to be resumed."""
        for file in self._files.values():
            # What a full disk did not take is lost, and cut off by who resumes.
            with contextlib.suppress(OSError):
                file.close()

    def _begun(self, journal: Path, begin: dict[str, Any]) -> list[dict[str, Any]]:
        lines = journal.read_bytes().split(b"\n")
        whole, torn = lines[:-1], lines[-1]
        try:
            entries = [parse_json(line) for line in whole]
        except ValueError:
            raise InputError(f"'{journal}' is damaged: remove the folder and begin again") from None
        if torn:
            os.truncate(journal, sum(len(line) + 1 for line in whole))
        if not entries or entries[0] != begin:
            raise InputError(f"'{self.folder}' was begun for another request: give another folder")
        return entries[1:]

    def _open(self, name: str) -> None:
        path, size = self.folder / f"{name}.npy", _HEAD + self.rows * self.fields[name].bytes
        if path.exists() and path.stat().st_size < size:
            raise InputError(f"'{path}' is shorter than its journal says: remove the folder and begin again")
        if not path.exists():
            if self.rows:
                raise InputError(f"'{path}' is missing: remove the folder and begin again")
            path.write_bytes(_npy_head(self.fields[name], 0))
        os.truncate(path, size)
        self._files[name] = path.open("ab")

    def _write_line(self, entry: Mapping[str, Any]) -> None:
        self._files[JOURNAL].write(json.dumps(entry, sort_keys=True).encode() + b"\n")
        self._files[JOURNAL].flush()


class _told:  # noqa: N801 - used like a function
    """Closes the files where anything goes wrong, and turns a full disk and its like into one line."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.writer.close()
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise InputError(f"the training set '{self.writer.folder}' cannot be written: {why}") from None


def plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _npy_head(one: Field, rows: int) -> bytes:
    text = {"descr": one.dtype, "fortran_order": False, "shape": (rows, *one.shape)}
    body = repr(text).encode()
    return b"\x93NUMPY\x01\x00" + (_HEAD - 10).to_bytes(2, "little") + body.ljust(_HEAD - 11) + b"\n"
