"""Films as mp4 or gif: of the replay, drawn by a headless Chromium, and of what a camera would have seen."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import DriveError, InputError
from drive.eval.replay.browser import Browser, find_browser
from drive.eval.replay.write import write_replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drive.planner import CameraSpec
    from drive.runlog import RunLog

SUFFIXES = (".mp4", ".gif")
MAX_FRAMES = 3000


def write_film(
    runs: Sequence[RunLog],
    output: str | Path,
    *,
    size: tuple[int, int] = (1280, 720),
    rate: float = 20.0,
    speed: float = 1.0,
    split: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a film of the runs' first scene; returns its path.

    `size` in pixels, `rate` in frames a second, `speed` in simulated seconds a second, `split` shows the
    runs side by side. `progress` is told the frames done and their number. Raises InputError for an
    ending that is none of `SUFFIXES`, and DriveError where there is no browser or no encoder.
    """
    target = _target(output, size, rate, speed)
    program = find_browser()
    if program is None:
        raise DriveError("a film is drawn by a browser: install Chromium or Chrome, or write an .html page")
    gif, encoder = _encoder(target)
    # Encoders of mp4 want even sides.
    width, height = (side - side % 2 for side in size)
    with _whole(target) as part, tempfile.TemporaryDirectory(prefix="drive-film-") as folder:
        page = write_replay(list(runs), Path(folder) / "film.html")
        with Browser(program, width, height) as browser:
            browser.open(f"{page.as_uri()}#theme=light" + ("&view=split" if split else ""))
            count = _count(float(browser.evaluate("window.drive.end()")), rate, speed)
            # A gif keeps equal pixels between frames, which a lossy picture would blur.
            kind = "png" if gif else "jpeg"
            frames = _frames(browser, count, speed / rate, (width, height), kind, progress)
            if gif:
                _gif(encoder, frames, rate, part)
            else:
                _mp4(encoder, frames, rate, part, "mjpeg")
    return target


def write_camera_film(
    run: RunLog,
    output: str | Path,
    camera: CameraSpec,
    *,
    rate: float = 20.0,
    speed: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a film of what a camera on the ego would have seen of a run; returns its path.

    A frame shows the sample at or before its time. Arguments and errors as of `write_film`.
    """
    from drive.sim.sensors.camera_run import png, render_run

    target = _target(output, (camera.width, camera.height), rate, speed, least=16)
    gif, encoder = _encoder(target)
    count = _count(float(run.times[-1]), rate, speed)
    samples = [min(int(k * speed / rate / run.dt + 1e-6), len(run.times) - 1) for k in range(count)]

    def frames() -> Iterator[bytes]:
        for k, image in enumerate(render_run(run, camera, samples)):
            yield png(image)
            if progress is not None:
                progress(k + 1, count)

    with _whole(target) as part:
        if gif:
            _gif(encoder, frames(), rate, part, rare=True)
        else:
            _mp4(encoder, frames(), rate, part, "png")
    return target


def _target(output: str | Path, size: tuple[int, int], rate: float, speed: float, least: int = 160) -> Path:
    target = Path(output)
    if target.suffix.lower() not in SUFFIXES:
        raise InputError(f"{target.name}: a film's name ends in {' or '.join(SUFFIXES)}")
    if not (rate > 0.0 and speed > 0.0 and min(size) >= least and max(size) <= 4096):
        raise InputError(f"a film needs a positive rate and speed, and {least} to 4096 pixels a side")
    return target


def _encoder(target: Path) -> tuple[bool, Any]:
    """Whether it is a gif, and what writes it."""
    gif = target.suffix.lower() == ".gif"
    return gif, _pillow() if gif else _ffmpeg()


def _count(end: float, rate: float, speed: float) -> int:
    count = int(end / speed * rate) + 1
    if count > MAX_FRAMES:
        raise InputError(f"{count} frames are too many (at most {MAX_FRAMES}): raise the speed")
    return count


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A file beside the target that takes its name once it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _frames(
    browser: Browser,
    count: int,
    step: float,
    size: tuple[int, int],
    kind: str,
    progress: Callable[[int, int], None] | None,
) -> Iterator[bytes]:
    """The frames as files of `kind`, png or jpeg."""
    for k in range(count):
        call = f"window.drive.frame({k * step:.6f}, {size[0]}, {size[1]}, 'image/{kind}')"
        yield base64.b64decode(browser.evaluate(call))
        if progress is not None:
            progress(k + 1, count)


def _ffmpeg() -> str:
    """The encoder for mp4: on the path, or the one that the package imageio-ffmpeg brings."""
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        found = str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    if found is None:
        raise DriveError("an mp4 needs ffmpeg: install it, or pip install imageio-ffmpeg, or write a .gif")
    return found


def _pillow() -> Any:
    if importlib.util.find_spec("PIL") is None:
        raise DriveError("a gif needs Pillow: pip install pillow, or write an .mp4")
    return importlib.import_module("PIL.Image")


def _mp4(ffmpeg: str, frames: Iterator[bytes], rate: float, target: Path, kind: str) -> None:
    command = [
        *(ffmpeg, "-y", "-loglevel", "error", "-f", "image2pipe", "-c:v", kind, "-framerate", f"{rate:g}"),
        *("-i", "-", "-c:v", "libx264", "-preset", "fast", "-crf", "23"),
        *("-vf", "scale=in_range=full:out_range=tv,format=yuv420p"),
        *("-movflags", "+faststart", "-f", "mp4", str(target)),
    ]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said)
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(frame)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why on its standard error
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.wait():
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise DriveError(f"ffmpeg could not write the film: {lines[0] if lines else 'no word why'}")


def _gif(image: Any, frames: Iterator[bytes], rate: float, target: Path, rare: bool = False) -> None:
    """One palette for all frames, that of the first and the middle: colours then do not flicker.

    With `rare` a colour counts once, however seldom it is: a lit lamp is a few pixels.
    """
    pictures = [image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]
    first, middle = pictures[0], pictures[len(pictures) // 2]
    both = image.new("RGB", (first.width, 2 * first.height))
    both.paste(first, (0, 0))
    both.paste(middle, (0, first.height))
    if rare:
        few = pictures[:: max(len(pictures) // 16, 1)]
        colours = np.unique(np.concatenate([np.asarray(p).reshape(-1, 3) for p in few]), axis=0)
        both = image.fromarray(colours[None])
    palette = both.quantize(256 if rare else 128)
    plain = [p.quantize(palette=palette, dither=image.Dither.NONE) for p in pictures]
    plain[0].save(
        target,
        format="GIF",
        save_all=True,
        append_images=plain[1:],
        duration=max(round(1000.0 / rate), 20),
        loop=0,
        optimize=False,
    )
