"""The protocol's bytes: by hand, by msgpack's own specification, and by what the installed client says."""

import importlib.util
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from drive.errors import UnknownNameError
from drive.sim.carla.kernels.layout import ACTOR_STATE, LEAD
from drive.sim.carla.wire import messages, records, shapes, values
from drive.sim.carla.wire.messages import CHUNK, BrokenStreamError, Reader, Request, WireError
from drive.sim.carla.wire.versions import COMMANDS, VERSIONS, version
from drive.sim.carla.world.scans import SEMANTIC_POINT

# [0, 7, "tick_cue", [[false]]] written by hand from the msgpack specification.
TICK = bytes.fromhex("94 00 07 a8 7469636b5f637565 91 91 c2".replace(" ", ""))


def read_all(data: bytes, piece: int, limit: int = messages.MAX_MESSAGE) -> list[Request]:
    reader, out = Reader(limit), []
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while (request := reader.next()) is not None:
            out.append(request)
    return out


@pytest.mark.parametrize("piece", [1, 3, 17, 1000])
def test_requests_are_cut_from_a_stream_wherever_it_breaks(piece: int) -> None:
    found = read_all(TICK * 5, piece)
    assert found == [Request(7, "tick_cue", [[False]])] * 5


def test_answers_byte_by_byte() -> None:
    # [1, 7, nil, [[1, 300]]]: a uint16; the void answer [[false]]; and both errors.
    assert messages.reply(7, messages.good(300)).hex() == "940107c0" + "919201cd012c"
    assert messages.reply(7, messages.VOID).hex() == "940107c0" + "9191c2"
    assert messages.reply(1, messages.bad("no")).hex() == "940101c0" + "91920091a26e6f"
    assert messages.reply(1, messages.bad_void("no")).hex() == "940101c0" + "9192c391a26e6f"
    assert messages.refusal(2, "no").hex() == "940102a26e6f" + "c0"
    # A vector of bytes is `bin`, never text: the client refuses anything else.
    assert messages.pack(bytes([20, 7])).hex() == "c4021407"


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("c1"),  # a byte that msgpack does not have
        bytes.fromhex("93c0c0c0"),  # an array that is no request
        bytes.fromhex("940007a0c0"),  # parameters that are no array
        bytes.fromhex("94000700"),  # a name that is no text
        bytes.fromhex("81 90 01".replace(" ", "")),  # a map with an array for a key
        bytes.fromhex("dd ffffffff".replace(" ", "")),  # a claim of four thousand million items
        bytes.fromhex("94 ff 07 a0 90".replace(" ", "")),  # a message of no known type
        bytes([0x91]) * 3000,  # arrays in arrays without end
    ],
)
def test_bytes_that_are_no_requests_break_the_connection(data: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        read_all(data + TICK, CHUNK)


def test_a_message_has_a_longest_length() -> None:
    text = b"\xdb" + struct.pack(">I", 5000) + b"x" * 5000
    assert len(read_all(b"\x94\x00\x01\xa1a\x92\x91\xc2" + text, 700, limit=6000)) == 1
    with pytest.raises(BrokenStreamError, match="longer than 4000"):
        read_all(b"\x94\x00\x01\xa1a\x92\x91\xc2" + text, 700, limit=4000)


def test_items_are_bounded_before_they_fill_the_memory() -> None:
    """One byte of an empty array is an object of 56: 40 MB of them would be 2 GB."""
    reader = Reader()
    array = b"\xdc\xff\xff" + b"\x90" * 65535
    data = b"\x94\x00\x01\xa1a\xdc\xff\xff" + array * 100

    def read() -> None:
        for at in range(0, len(data), CHUNK):
            reader.feed(data[at : at + CHUNK])
            while reader.next() is not None:
                pass

    tracemalloc.start()
    try:
        with pytest.raises(BrokenStreamError, match="too many items"):
            read()
        assert tracemalloc.get_traced_memory()[1] < 500 << 20
    finally:
        tracemalloc.stop()


def test_headers_and_tokens_by_hand() -> None:
    head = records.header(17, 258, 1.5, (1.0, -2.0, 0.0, 0.0, 90.0, 0.0))
    assert head.hex() == (
        "1100000000000000" + "0201000000000000" + "000000000000f83f"
        "0000803f" + "000000c0" + "00000000" + "00000000" + "0000b442" + "00000000"
    )
    assert len(head) == 48
    assert records.framed(b"abc").hex() == "03000000" + "616263"
    token = records.token(65541, 2001, (127, 0, 0, 1))
    assert token.hex() == "05000100" + "d107" + "01" + "01" + "7f000001" + "00" * 12
    assert records.stream_of(token) == 65541


def test_what_heads_a_snapshot_by_hand() -> None:
    message = bytearray(b"\xff" * (LEAD + 3))
    records.observed(memoryview(message), 17, 258, 1.5, 2, 0.5, 0.05, records.MAP_CHANGED)
    assert message[:4].hex() == "57000000", "87 bytes follow"
    assert message[4:52] == records.header(17, 258, 1.5, (0.0,) * 6)
    assert message[52:LEAD].hex() == (
        "0200000000000000" + "000000000000e03f" + "cdcc4c3d" + "00000000" * 3 + "01000000"
    )
    assert message[LEAD:] == b"\xff" * 3, "and the actors are left alone"


def test_an_actor_is_119_bytes() -> None:
    assert ACTOR_STATE.itemsize == 119
    row = np.zeros(1, ACTOR_STATE)
    row["id"], row["active"], row["x"], row["az"] = 7, 1, 1.0, -2.0
    row["throttle"], row["gear"], row["speed_limit"], row["has_light"] = 1.0, -1, 2.0, 1
    data = row.tobytes()
    assert struct.unpack_from("<IBf", data) == (7, 1, 1.0)
    assert struct.unpack_from("<f", data, 61) == (-2.0,)
    assert struct.unpack_from("<f", data, 65) == (1.0,)
    assert struct.unpack_from("<if", data, 80) == (-1, 2.0)
    assert data[89] == 1
    light = np.zeros(1, ACTOR_STATE)
    light["sign_id"], light["green"], light["frozen"], light["state"] = b"700", 1.0, 1, 2
    assert light.tobytes()[65:68] == b"700"
    assert struct.unpack_from("<f", light.tobytes(), 97) == (1.0,)
    assert light.tobytes()[117:] == b"\x01\x02"


def test_sensor_payloads_by_hand() -> None:
    picture = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert records.image(picture, 1.0) == struct.pack("<IIf", 3, 2, 1.0) + bytes(range(24))
    points = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float64)
    assert records.lidar(points, np.array([2, 0]), 0.5) == struct.pack("<fIII8f", 0.5, 2, 2, 0, *range(1, 9))
    hits = np.zeros(1, SEMANTIC_POINT)
    hits[:] = (1, 2, 3, 0.25, 9, 14)
    assert records.lidar(hits, np.array([1]), 0.0) == struct.pack("<fII4fII", 0, 1, 1, 1, 2, 3, 0.25, 9, 14)
    assert records.radar(np.array([[1.0, 2.0, 3.0, 4.0]])) == struct.pack("<4f", 1, 2, 3, 4)


def test_settings_there_and_back() -> None:
    # As a 0.9.16 client sent them for WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05).
    sent = [True, False, [True, 0.05], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True]
    assert shapes.Settings.unpacked(sent).packed() == sent
    assert shapes.Settings().packed()[:3] == [False, False, [False]]
    for wrong in (
        [],
        [True, False, [True, float("nan")]],
        [True, False, [True, -1.0]],
        "x",
        [1, False, [False]],
    ):
        with pytest.raises(WireError):
            shapes.Settings.unpacked(wrong)


def test_controls_are_clamped_and_nan_is_refused() -> None:
    assert values.vehicle_control([2, -3.0, float("inf"), False, True, False, 1]) == (
        1.0, -1.0, 1.0, False, True, False, 1,
    )  # fmt: skip
    for wrong in (
        [float("nan"), 0, 0, False, False, False, 0],
        [0, 0, 0, 0, False, False, 0],
        [0, "0", 0, False, False, False, 0],
        [0, 0],
        None,
    ):
        with pytest.raises(WireError):
            values.vehicle_control(wrong)


def test_versions_differ_as_the_clients_do() -> None:
    old, new = version("0.9.15"), version("0.9.16")
    assert [old.attribute_type(t) for t in ("bool", "color")] == [0, 4]
    assert [new.attribute_type(t) for t in ("bool", "color")] == [1, 5]
    assert (old.sensor_type("world_observer"), new.sensor_type("world_observer")) == (16, 17)
    for release in (old, new):
        kinds = ("collision", "gnss", "imu", "lane_invasion", "obstacle")
        assert [release.sensor_type(kind) for kind in kinds] == [0, 4, 5, 6, 7]
    assert COMMANDS.index("light_state") == 18
    with pytest.raises(UnknownNameError, match=r"0\.9\.16"):
        version("0.9.1")


NAMES = {
    "SceneCaptureCamera": "camera.rgb", "CollisionSensor": "collision", "DVSCamera": "camera.dvs",
    "DepthCamera": "camera.depth", "NormalsCamera": "camera.normals", "GnssSensor": "gnss",
    "InertialMeasurementUnit": "imu", "LaneInvasionSensor": "lane_invasion", "Radar": "radar",
    "ObstacleDetectionSensor": "obstacle", "OpticalFlowCamera": "camera.optical_flow",
    "RayCastSemanticLidar": "lidar.ray_cast_semantic", "RayCastLidar": "lidar.ray_cast", "RssSensor": "rss",
    "SemanticSegmentationCamera": "camera.semantic_segmentation", "WorldObserver": "world_observer",
    "InstanceSegmentationCamera": "camera.instance_segmentation", "CameraGBufferUint8": "gbuffer_uint8",
    "CosmosControlSensor": "camera.cosmos_visualization", "CameraGBufferFloat": "gbuffer_float",
    "V2XSensor": "v2x", "CustomV2XSensor": "v2x_custom",
}  # fmt: skip


def test_the_installed_client_has_its_sensors_in_our_order() -> None:
    spec = importlib.util.find_spec("carla")
    if spec is None or spec.origin is None:
        pytest.skip("the package carla is not installed")
    (library,) = Path(spec.origin).parent.glob("libcarla*.so")
    data = library.read_bytes()
    at = data.index(b"CompositeSerializerIJSt4pairIP")
    text = data[at : at + 2000].decode("latin-1")
    # Mangled names: `P16ACollisionSensor`, a pointer to a class whose name has 16 letters.
    found = [m[2][: int(m[1])][1:] for m in re.finditer(r"IP(\d+)(?=([AF]\w+))", text)]
    release = next(v for name, v in VERSIONS.items() if name.encode() + b"\0" in data)
    first = found[: found.index("CollisionSensor", 1)] if found.count("CollisionSensor") > 1 else found
    assert [NAMES[name] for name in first] == list(release.sensors)
