"""`drive carla`: as a person and as an evaluator starts it, and maps out of a running server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import msgpack
import pytest

from drive.cli.main import run
from drive.errors import InputError, UnknownNameError
from drive.sim.carla.launcher import Launch, parse
from drive.sim.carla.maps import bare_name, find_maps

OURS = SimpleNamespace(**run_path(str(Path(__file__).with_name("carla_server.py"))))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("", Launch()),
        ("-RenderOffScreen -carla-rpc-port=30000", Launch(30000, None, None, ("-RenderOffScreen",))),
        ("-carla-rpc-port 2100 -carla-streaming-port=2200", Launch(2100, 2200)),
        (
            "-carla-streaming-port=0 /Game/Carla/Maps/Town01?x=y",
            Launch(2000, None, "/Game/Carla/Maps/Town01"),
        ),
        ("Town10HD_Opt -nosound -fps=20", Launch(2000, None, "Town10HD_Opt", ("-nosound", "-fps=20"))),
    ],
)
def test_what_evaluators_ask_of_carlas_executable(words: str, asked: Launch) -> None:
    assert parse(words.split()) == asked


@pytest.mark.parametrize("words", [["-carla-rpc-port=x"], ["-carla-rpc-port=70000"], ["-carla-rpc-port"]])
def test_a_port_that_is_none_is_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match="no port"):
        parse(words)


def test_maps_are_found_by_the_names_of_clients(tmp_path: Path) -> None:
    inside = tmp_path / "Content" / "Carla" / "Maps" / "OpenDrive"
    inside.mkdir(parents=True)
    for path in (tmp_path / "Town07.xodr", inside / "Town12.xodr"):
        shutil.copy(OURS.maps()["small"], path)
    maps, first = find_maps(None, tmp_path)
    assert maps.names == ["/Game/Carla/Maps/Town07", "/Game/Carla/Maps/Town12"]
    assert first == "Town07"
    assert maps.find("Carla/Maps/Town12_Opt")[1] == inside / "Town12.xodr"
    assert bare_name("/Game/Carla/Maps/Town01_Opt") == "Town01"
    with pytest.raises(UnknownNameError, match="Town07"):
        maps.find("../../etc/passwd")
    with pytest.raises(UnknownNameError):
        find_maps("Town99", tmp_path)
    with pytest.raises(InputError, match="--maps"):
        find_maps("Town01", None)
    with pytest.raises(InputError, match="no folder"):
        find_maps(None, tmp_path / "nowhere")


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.xodr"
    bad.write_text("<OpenDRIVE><road/></OpenDRIVE>")
    small = str(OURS.maps()["small"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, says in (
            (["--map", str(tmp_path / "none.xodr")], "there is no file"),
            (["--map", str(bad)], "bad.xodr"),
            (["--map", small, "--client", "0.9.10"], "0.9.16"),
            (["--map", small, "--port", port], "cannot listen"),
            (["--map", small, "--port", "99999"], "is no port"),
            ([], "no map"),
        ):
            assert run(["carla", "serve", *words]) == 1
            told = capsys.readouterr().err
            assert says in told
            assert len(told.splitlines()) == 1


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def _started(script: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    words = [str(script), "small", "-RenderOffScreen", "-nosound", f"-carla-rpc-port={port}"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_launcher_of_carlas_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maps = tmp_path / "my maps"
    maps.mkdir()
    shutil.copy(OURS.maps()["small"], maps / "small.xodr")
    assert run(["carla", "launcher", str(tmp_path / "root"), "--maps", str(maps)]) == 0
    assert "CARLA_ROOT" in capsys.readouterr().out
    script = tmp_path / "root" / "CarlaUE4.sh"
    assert os.access(script, os.X_OK)
    assert sys.executable in script.read_text()
    port = _free_port()
    with _started(script, port) as process:
        line = process.stdout.readline() if process.stdout else ""
        assert f"127.0.0.1:{port}" in line, line
        with socket.create_connection(("127.0.0.1", port), timeout=10.0) as sock:
            sock.sendall(msgpack.packb([0, 1, "get_available_maps", [[False]]]))
            assert msgpack.unpackb(sock.recv(1000)) == [1, 1, None, [[1, ["/Game/Carla/Maps/small"]]]]
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(20.0) == 0
        assert time.monotonic() - began < 10.0
        assert "-RenderOffScreen" in (process.stderr.read() if process.stderr else "")


def test_maps_come_out_of_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("carla", reason="the package carla, which has CARLA's client, is not installed")
    with OURS.serving("small") as (server, _):
        # In a process of its own: the client's threads do not always end well.
        script = "import os, sys; from drive.cli.main import run; os._exit(run(sys.argv[1:]))"
        command = ["carla", "extract-maps", str(tmp_path), "--port", str(server.port), "--timeout", "20"]
        for only, status in ((["--only", "small"], 0), (["--only", "Town99"], 1)):
            done = subprocess.run(
                [sys.executable, "-c", script, *command, *only], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == status, done.stderr
            assert "Traceback" not in done.stderr
    assert (tmp_path / "small.xodr").read_text() == OURS.maps()["small"].read_text()
