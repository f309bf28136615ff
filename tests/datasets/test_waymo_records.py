"""TFRecord framing and the wire reader, against published vectors and Google's own encoder."""

from __future__ import annotations

import struct
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.datasets.waymo.kernels.crc import TABLE, crc32c
from drive.datasets.waymo.records import masked_crc, read_record, read_records, starts_as_record
from drive.datasets.waymo.wire import Message
from drive.errors import InputError

pytest.importorskip("google.protobuf")
RECORDS = SimpleNamespace(**run_path(str(Path(__file__).with_name("waymo_records.py"))))


def message_of(data: bytes) -> Message:
    return Message.of(np.frombuffer(data, dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_of_the_published_vectors(data: bytes, crc: int) -> None:
    """RFC 3720, appendix B.4, and the check value of the catalogue of CRCs."""
    assert int(crc32c(np.frombuffer(data, dtype=np.uint8), TABLE)) == crc


@given(st.binary(max_size=200))
@settings(max_examples=30, deadline=None)
def test_masked_checksums_are_those_of_another_program(data: bytes) -> None:
    assert struct.pack("<I", masked_crc(data)) == RECORDS.masked(data)


def test_records_come_back_with_their_places(tmp_path: Path) -> None:
    parts = [b"one", b"", b"three" * 100]
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"".join(RECORDS.framed(part) for part in parts))
    assert starts_as_record(path)
    found = list(read_records(path))
    assert [data for _, data in found] == parts
    assert [at for at, _ in found] == [0, 19, 35]
    assert read_record(path, 35).tobytes() == parts[2]


def damaged(edit) -> bytes:
    data = bytearray(RECORDS.framed(b"hello") + RECORDS.framed(b"world, how are you"))
    edit(data)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (damaged(lambda d: d.__setitem__(14, 0)), "record 0: its checksum is wrong"),
        (damaged(lambda d: d.__setitem__(0, 9)), "record 0: the checksum of its length is wrong"),
        (damaged(lambda d: d.__setitem__(-1, d[-1] ^ 1)), "record 1: its checksum is wrong"),
        (damaged(lambda d: d.__delitem__(slice(-1, None))), "record 1 is truncated"),
        (damaged(lambda d: d.__delitem__(slice(25, None))), "record 1 is truncated"),
        (damaged(lambda d: d.extend(b"\0" * 5)), "record 2 is truncated"),
        (struct.pack("<Q", 2**40) + RECORDS.masked(struct.pack("<Q", 2**40)), "holds 1048576 MiB"),
        (struct.pack("<Q", 2**29) + RECORDS.masked(struct.pack("<Q", 2**29)), "record 0 is truncated"),
        (b"PK\3\4 this is no such file", "the checksum of its length is wrong: no TFRecord file"),
    ],
)
def test_damaged_files_are_refused_by_record(tmp_path: Path, data: bytes, fault: str) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(data)
    with pytest.raises(InputError, match=fault) as told:
        list(read_records(path))
    assert "x.tfrecord" in str(told.value)


numbers = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(numbers, max_size=8), st.lists(numbers, max_size=8))
@settings(max_examples=30, deadline=None)
def test_whole_numbers_packed_and_not(packed: list[int], single: list[int]) -> None:
    lane = message_of(RECORDS.encode({"entry_lanes": packed, "exit_lanes": packed}, "LaneCenter"))
    assert lane.numbers(9) == lane.numbers(10) == tuple(packed)
    sign = message_of(RECORDS.encode({"lane": single}, "StopSign"))
    assert sign.numbers(1) == tuple(single)
    feature = message_of(RECORDS.encode({"id": (single or [0])[-1]}, "MapFeature"))
    assert feature.number(1) == (single or [0])[-1]


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3), max_size=6))
@settings(max_examples=30, deadline=None)
def test_tables_of_points_are_exact(rows: list[tuple[float, float, float]]) -> None:
    walk = {"polygon": [dict(zip("xyz", row, strict=True)) for row in rows]}
    table = message_of(RECORDS.encode(walk, "Crosswalk")).table(1, 4)
    np.testing.assert_array_equal(table[:, 1:], np.asarray(rows).reshape(-1, 3))


def test_floats_are_single_and_missing_fields_zero() -> None:
    state = {"heading": 0.1, "velocity_y": -3.3, "valid": True}
    table = message_of(RECORDS.encode({"states": [state, {}]}, "Track")).table(3, 12)
    assert table[0, 8] == np.float32(0.1)
    assert table[0, 10] == np.float32(-3.3)
    assert table[0, 11] == 1.0
    assert not table[1].any()


def test_unknown_fields_are_passed_over_and_the_last_value_counts() -> None:
    more = b"\xfa\x07\x02hi" + b"\x80\x08\x05" + b"\xa5\x08abcd" + b"\xa1\x08abcdefgh"
    message = message_of(
        RECORDS.encode({"id": 7}, "MapFeature") + more + RECORDS.encode({"id": 8}, "MapFeature")
    )
    assert message.number(1) == 8
    assert message.text(127) == "hi"


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # a length is missing
        b"\x0a\x05abc",  # more bytes than there are
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a negative length
        b"\x08\xff",  # a varint that does not end
        b"\x08" + b"\xff" * 11,  # or is too long
        b"\x09\x01\x02",  # half a double
        b"\x0b\x0c",  # groups, which nobody writes
        b"\x00\x01",  # the field 0
    ],
)
def test_damaged_messages_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        message_of(data)


def test_damage_inside_of_lists_and_wrong_types_are_refused() -> None:
    with pytest.raises(InputError, match="damaged"):
        message_of(b"\x0a\x03\x09\x01\x02").table(1, 4)
    with pytest.raises(InputError, match="another type"):
        message_of(b"\x0a\x01a").number(1)
    with pytest.raises(InputError, match="another type"):
        list(message_of(b"\x08\x01").messages(1))
    with pytest.raises(InputError, match="damaged"):
        message_of(b"\x0a\x09abcdefghi").doubles(1)
    with pytest.raises(InputError, match="damaged"):
        message_of(b"\x0a\x01\xff").numbers(1)


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_rubbish_is_read_as_google_reads_it_or_refused(data: bytes) -> None:
    """Whatever the bytes are, nothing outside of them is touched, and what is read fits what Google reads."""
    from google.protobuf.message import DecodeError

    theirs = RECORDS.message_class("RoadEdge")()
    try:
        theirs.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        theirs = None
    try:
        message = message_of(data)
        kind, table = message.number(1), message.table(2, 4)
    except InputError:
        return
    if theirs is not None:
        assert len(table) == len(theirs.polyline)
        assert np.int32(np.uint32(kind & 0xFFFFFFFF).view(np.int32)) == theirs.type
