"""Films of a replay: frames by a real browser, files that others read; what is said without them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.cli.main import run as drive_command
from drive.errors import DriveError, InputError
from drive.eval.check.scenes import bend_scene
from drive.eval.replay import film, write_camera_film, write_film
from drive.eval.replay.browser import Browser, BrowserError, find_browser
from drive.registry import load_planner
from drive.sim.loop import simulate
from drive.sim.sensors.camera_run import render_run
from drive.sim.sensors.camera_views import named

RUNS = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_runs.py"))))
browser = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine to draw frames with")
FFMPEG = shutil.which("ffmpeg")
if FFMPEG is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
    import imageio_ffmpeg

    FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
EGO = np.array([0xC8, 0x50, 0x0A])


def ego_columns(picture: np.ndarray) -> np.ndarray:
    """Columns of the map's part of a picture `(H, W, 3)` that hold the ego's colour, to a few shades."""
    near = np.abs(picture[46:-50].astype(int) - EGO).max(-1) < 24
    return np.flatnonzero(near.any(0))


@browser
def test_a_gif_shows_the_ego_in_the_middle_of_every_frame(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from PIL import Image

    told: list[tuple[int, int]] = []
    made = write_film(
        [RUNS.make_run(agents=3)],
        tmp_path / "film.gif",
        size=(480, 320),
        rate=2.0,
        speed=3.0,
        progress=lambda done, total: told.append((done, total)),
    )
    # 15 s at three times real time and two frames a second, both ends among them.
    assert told[-1] == (11, 11)
    with Image.open(made) as picture:
        assert picture.n_frames == 11
        assert picture.size == (480, 320)
        assert picture.info["duration"] == 500
        frames = []
        for k in range(11):
            picture.seek(k)
            frames.append(np.asarray(picture.convert("RGB")))
    for frame in frames:
        columns = ego_columns(frame)
        assert columns.min() < 240 < columns.max()
    # The time line's bar grows from the left edge to the right one.
    bars = [int((np.abs(f[-36].astype(int) - EGO).max(-1) < 24).sum()) for f in frames]
    assert bars[0] < 20
    assert bars[-1] > 400
    assert bars == sorted(bars)


@browser
@pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg on this machine, nor imageio-ffmpeg")
def test_an_mp4_has_the_frames_that_were_asked_for(tmp_path: Path) -> None:
    runs = [RUNS.make_run(agents=3), RUNS.make_run(agents=3, name="idm", shift=1.0)]
    made = write_film(runs, tmp_path / "film.mp4", size=(641, 361), rate=4.0, speed=5.0, split=True)
    done = subprocess.run(
        [str(FFMPEG), "-loglevel", "error", "-i", str(made), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, 360, 640, 3)
    assert len(frames) == 13
    assert len(ego_columns(frames[5])) > 3


def test_a_camera_film_shows_the_log_sample_by_sample_without_a_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    from PIL import Image

    monkeypatch.setattr(film, "find_browser", lambda: None)
    run = simulate(bend_scene(), load_planner("constant"), stop=30)
    camera = named("front", (160, 96))
    told: list[tuple[int, int]] = []
    made = write_camera_film(
        run, tmp_path / "seen.gif", camera, rate=5.0, progress=lambda *done: told.append(done)
    )
    assert told[-1] == (16, 16)
    frames = list(render_run(run, camera))
    with Image.open(made) as picture:
        assert (picture.n_frames, picture.size, picture.info["duration"]) == (16, (160, 96), 200)
        for k in range(16):
            picture.seek(k)
            shown = np.asarray(picture.convert("RGB")).astype(int)
            # A palette of 256 colours.
            assert np.abs(shown - frames[2 * k]).mean() < 6.0
    saved = run.save(tmp_path / "a.drive.npz")
    for name, more, says in (
        ("a.html", ["--camera", "front"], "what a camera saw is a film"),
        ("a.gif", ["--camera", "roof"], "unknown camera 'roof'"),
        ("a.gif", ["--camera", "front", "--size", "10x10"], "pixels a side"),
    ):
        assert drive_command(["replay", str(saved), "-o", str(tmp_path / name), *more]) == 1
        assert says in capsys.readouterr().err
    made = tmp_path / "b.gif"
    assert drive_command(["replay", str(saved), "-o", str(made), "--camera", "back", "--size", "161x97"]) == 0
    with Image.open(made) as picture:
        assert picture.size == (160, 96)


@browser
def test_a_page_that_fails_and_a_browser_that_does_not_start_are_told() -> None:
    with (
        Browser(str(find_browser()), 400, 300) as opened,
        pytest.raises(BrowserError, match="the page's script failed: ReferenceError"),
    ):
        opened.evaluate("nobody.knows")
    with pytest.raises(BrowserError, match="does it start by itself"):
        Browser("/bin/true")


def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RUNS.make_run(agents=1)
    with pytest.raises(InputError, match=r"ends in \.mp4 or \.gif"):
        write_film([run], tmp_path / "film.avi")
    with pytest.raises(InputError, match="positive rate"):
        write_film([run], tmp_path / "film.gif", rate=0.0)
    monkeypatch.setattr(film, "find_browser", lambda: "/bin/true")
    monkeypatch.setattr(film.shutil, "which", lambda name: None)
    monkeypatch.setattr(film.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DriveError, match="ffmpeg: install it, or pip install imageio-ffmpeg"):
        write_film([run], tmp_path / "film.mp4")
    with pytest.raises(DriveError, match="pip install pillow"):
        write_film([run], tmp_path / "film.gif")
    monkeypatch.setattr(film, "find_browser", lambda: None)
    saved = run.save(tmp_path / "a.drive.npz")
    assert drive_command(["replay", str(saved), "-o", str(tmp_path / "film.mp4")]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "install Chromium or Chrome, or write an .html page" in said[0]
    assert not (tmp_path / "film.mp4").exists()
