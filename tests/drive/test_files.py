"""Zips of arrays: round trips, equal bytes, and everything that would hurt to unpack."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.files import file_stem, read_npz, write_npz, write_whole

ARRAYS = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "words": np.asarray(["straße", "b"]),
    "nothing": np.zeros((0, 3), dtype=np.int64),
    "one": np.asarray(7.5),
}


def npy(array: np.ndarray, pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=pickle)
    return buffer.getvalue()


def zipped(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def shaped(shape: str) -> bytes:
    """The head of an array that says it is of a shape, with eight bytes behind it."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(8)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    found = read_npz(write_npz(tmp_path / "new" / "a.npz", ARRAYS))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
    with np.load(tmp_path / "new" / "a.npz", allow_pickle=False) as theirs:
        np.testing.assert_array_equal(theirs["numbers"], ARRAYS["numbers"])


def test_equal_arrays_make_equal_bytes_and_no_half_file_stays(tmp_path: Path) -> None:
    a, b = (write_npz(tmp_path / name, ARRAYS) for name in ("a.npz", "b.npz"))
    assert a.read_bytes() == b.read_bytes()
    with pytest.raises(InputError, match="'bad' holds objects"):
        write_npz(tmp_path / "c.npz", {**ARRAYS, "bad": np.asarray([{}])})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"a": npy(np.asarray([{"x": 1}]), pickle=True)}, "needs a pickle"),
        ({"a": shaped("(1000000000000,)")}, "does not fill its shape"),
        ({"a": shaped("(0,)")}, "does not fill its shape"),
        ({"a": shaped("(-1,)")}, "does not fill its shape"),
        ({"a": shaped("(1, ")}, "."),
        ({"a": b"\x93NUMPY\x09\x00" + bytes(20)}, "unknown array format 9.0"),
        ({"a": b"no array"}, "magic"),
        ({"a": b""}, "expected 8 bytes"),
    ],
)
def test_entries_that_cannot_be_are_refused(tmp_path: Path, entries: dict[str, bytes], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_npz(zipped(tmp_path / "a.npz", **entries))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.npz", a=npy(np.zeros(4_000_000)))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="1 entries of 30 MiB are more"):
        read_npz(path, limit=1 << 20)
    assert read_npz(path)["a"].shape == (4_000_000,)


def test_an_entry_that_holds_more_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.npz", a=npy(np.zeros(100_000)))
    size = struct.pack("<I", len(npy(np.zeros(100_000))))
    data = path.read_bytes()
    assert data.count(size) == 2  # in the entry's own head and in the directory
    path.write_bytes(data.replace(size, struct.pack("<I", 1000)))
    with pytest.raises(InputError):
        read_npz(path)


def test_files_that_are_no_zips_or_not_there(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", ARRAYS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="not a zip"):
        read_npz(path)
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


def test_a_stem_has_nothing_that_a_path_could_mean() -> None:
    assert file_stem("gen/cut_in/17#a@b 1") == "gen_cut_in_17_a@b_1"
    assert "/" not in file_stem("../../etc/x")


def test_text_is_written_whole(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "deep" / "a.txt", "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
