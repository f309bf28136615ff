"""Drives a headless Chromium through its debugging pipe: for films, and for tests of pages.

The protocol is JSON between zero bytes on file descriptors 3 and 4 of the browser
(https://chromedevtools.github.io/devtools-protocol, `--remote-debugging-pipe`): no port is opened and no
package is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from drive.errors import DriveError

if TYPE_CHECKING:
    from types import TracebackType

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
READY = "window.drive || document.querySelector('.fault')"
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--headless",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-default-browser-check",
    "--no-first-run",
)


class BrowserError(DriveError):
    """The browser did not start, went away, or refused what was asked."""


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on this machine, None without one."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or (MAC if Path(MAC).exists() else None)


class Browser:
    """A headless browser with one page; a context manager. `events` are what the page reported so far."""

    def __init__(self, program: str, width: int = 1280, height: int = 800, limit: float = 60.0) -> None:
        if sys.platform == "win32":
            raise BrowserError("the browser is driven through a pipe, which needs Linux or macOS")
        self.limit = limit
        self.events: list[dict[str, Any]] = []
        self._count = 0
        self._buffer = b""
        self._session: str | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="drive-browser-", ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        flags = [*QUIET, "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # the browser refuses to run its sandbox as root
        # Both ends move out of the way first: a pipe may itself have got the numbers 3 or 4.
        plumb = (
            "import os, sys; r, w = os.dup(int(sys.argv[1])), os.dup(int(sys.argv[2])); "
            "a, b = os.dup2(r, 30), os.dup2(w, 31); os.dup2(a, 3); os.dup2(b, 4); "
            "os.closerange(5, 64); os.execv(sys.argv[3], sys.argv[3:])"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", plumb, str(to_read), str(to_write), program, *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_read, to_write),
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove what it wrote."""
        for end in (self._write, self._read):
            with suppress(OSError):
                os.close(end)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        self._folder.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; returns its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        try:
            data = memoryview(json.dumps(message).encode() + b"\0")
            while data:
                data = data[os.write(self._write, data) :]
        except OSError:
            raise BrowserError("the browser went away; does it start by itself?") from None
        deadline = time.monotonic() + self.limit
        while True:
            answer = self._next(deadline)
            if answer.get("id") != self._count:
                self.events.append(answer)
            elif "error" in answer:
                raise BrowserError(f"the browser refused {method}: {answer['error'].get('message', '')}")
            else:
                return dict(answer["result"])

    def _next(self, deadline: float) -> dict[str, Any]:
        chunks = [self._buffer]
        while b"\0" not in chunks[-1]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise BrowserError(f"the browser did not answer within {self.limit:g} s")
            got = os.read(self._read, 1 << 20)
            if not got:
                raise BrowserError("the browser ended at once; does it start by itself?")
            chunks.append(got)
        message, _, self._buffer = b"".join(chunks).partition(b"\0")
        return dict(json.loads(message))

    def resize(self, width: int, height: int, ratio: float = 1.0, phone: bool = False) -> None:
        """The size of the page in CSS pixels; `phone` also gives it a touch screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=ratio,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def open(self, address: str, ready: str = READY) -> None:
        """Load a page and wait until `ready` holds: its script is set up, or has said why it cannot be."""
        self.events.clear()
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + self.limit
        while not self.evaluate(f"document.readyState === 'complete' && !!({ready})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"the page was not ready within {self.limit:g} s")
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """The value of a script's expression (awaited where it is a promise)."""
        got = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in got:
            about = got["exceptionDetails"].get("exception", {}).get("description", "")
            raise BrowserError(f"the page's script failed: {about.splitlines()[0] if about else 'unknown'}")
        return got["result"].get("value")

    def press(self, key: str, shift: bool = False) -> None:
        """One stroke of a key, by its name in the DOM."""
        known: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0}
        if len(key) == 1:
            known["text"] = key
        self.call("Input.dispatchKeyEvent", type="keyDown", **known)
        self.call("Input.dispatchKeyEvent", type="keyUp", **known)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event: mouseMoved, mousePressed, mouseReleased or mouseWheel."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
