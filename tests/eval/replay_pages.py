"""Opens replay pages in a real browser, and reads what they drew, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from drive.eval.replay.browser import Browser
from drive.runlog import RunLog

WIDTH, HEIGHT = 1200, 800
REAR_TO_CENTER = 1.3
"""m, of a run whose header tells no vehicle."""
RUN_COLOURS = [(0xC8, 0x50, 0x0A), (0x6A, 0x35, 0xB0)]
"""Light theme, as the legend shows them."""


def show(browser: Browser, page: Path, fragment: str = "") -> dict[str, Any]:
    """Open the page at a fragment; its state after it was drawn."""
    browser.resize(WIDTH, HEIGHT)
    browser.open(f"{page.as_uri()}#theme=light&{fragment}")
    return settled(browser)


def settled(browser: Browser) -> dict[str, Any]:
    """The page's state after two frames, and no word on the console nor a request but for the file itself."""
    browser.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
    )
    state = dict(browser.evaluate("window.drive.state()"))
    assert state["faults"] == []
    assert said_by(browser) == []
    return state


def said_by(browser: Browser) -> list[str]:
    """Console words, exceptions, and requests other than for the page's file."""
    spoke = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    said = [str(e["params"]) for e in browser.events if e["method"] in spoke]
    asked = [
        e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"
    ]
    return said + [url for url in asked if not url.startswith(("file:", "data:", "about:"))]


def stage_size(browser: Browser) -> tuple[float, float]:
    box = "document.getElementById('map').getBoundingClientRect()"
    return browser.evaluate(f"{box}.width"), browser.evaluate(f"{box}.height")


def colour_at(browser: Browser, x: float, y: float) -> tuple[int, ...]:
    """The stage's pixel at CSS pixels from its top left (one device pixel each)."""
    script = """(() => {
        const one = new OffscreenCanvas(1, 1).getContext("2d");
        one.drawImage(document.getElementById("map"), %d, %d, 1, 1, 0, 0, 1, 1);
        return [...one.getImageData(0, 0, 1, 1).data].slice(0, 3);
    })()"""
    return tuple(browser.evaluate(script % (round(x), round(y))))


def pose_at(run: RunLog, time: float) -> np.ndarray:
    """The ego's rear-axle state between samples."""
    return np.array([np.interp(time, run.times, column) for column in run.ego.T])
