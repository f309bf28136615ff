"""The replay of a rover: what the page holds of a terrain, and what a real browser draws of it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drive.eval.check.terrain_scenes import hills_scene
from drive.eval.metrics.rover import ROVER
from drive.eval.replay import write_replay
from drive.eval.replay.browser import Browser, find_browser
from drive.eval.replay.events import events_of, moments_of
from drive.eval.replay.terraindata import hillshade
from drive.eval.replay.write import page_data
from drive.planners.constant import Constant
from drive.runlog import RunLog
from drive.sim.rover import simulate_rover
from drive.terrain import Terrain

PROGRAM = find_browser()
PAGES = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_pages.py"))))
show, settled, stage_size, colour_at = PAGES.show, PAGES.settled, PAGES.stage_size, PAGES.colour_at
DARK_FROM, DARK_TO = 30.0, 45.0
"""x in m between which it is dark from 10 s on."""


@pytest.fixture(scope="module")
def run() -> RunLog:
    scene = hills_scene()
    t = scene.environment
    assert isinstance(t, Terrain)
    shadow = np.zeros((3, *t.height.shape), dtype=np.float32)
    columns = np.arange(t.height.shape[1]) * t.resolution
    shadow[1:, :, (columns >= DARK_FROM) & (columns <= DARK_TO)] = 1.0
    times = np.array([0.0, 10.0, 20.0])
    terrain = Terrain(t.height, t.resolution, t.gravity, times, np.tile(t.sun, (3, 1)), shadow)
    log = simulate_rover(scene.with_(environment=terrain), Constant())
    load = np.linspace(100.0, 220.0, len(log.times))
    log = log.with_series(power_peak=load, power_share=load / 200.0, power_limit=np.full(len(load), 200.0))
    found = ROVER.evaluate(log)
    return log.with_header(scores={"rover": found.to_header()}).with_series(**found.series)


@pytest.fixture(scope="module")
def page(run: RunLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_replay(run, tmp_path_factory.mktemp("rover") / "run.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium on this machine to open the page with")
    with Browser(str(PROGRAM), PAGES.WIDTH, PAGES.HEIGHT) as opened:
        yield opened


def held(data: dict[str, Any], name: str) -> np.ndarray:
    """Small codes of the page's data."""
    raw = zlib.decompress(base64.b64decode(data["blob"]), -15)
    kind, shape, _, _, _, offset = data["arrays"][name]
    assert kind == "u"
    return np.frombuffer(raw, dtype=np.uint8, count=int(np.prod(shape)), offset=offset).reshape(shape)


def test_the_page_holds_relief_shadow_and_rover(run: RunLog) -> None:
    data = page_data([run])
    (ground,), (entry,) = data["maps"], data["runs"]
    assert ground["terrain"]
    assert (ground["low"], ground["high"]) == pytest.approx(
        (run.terrain.height.min(), run.terrain.height.max())
    )
    height = held(data, "map0.height").astype(float) / 255.0
    span = ground["high"] - ground["low"]
    assert height * span + ground["low"] == pytest.approx(run.terrain.height, abs=span / 500.0)
    assert ground["dark_times"] == [0.0, 10.0, 20.0]
    dark = held(data, "map0.dark")
    assert dark[0].max() == 0
    assert set(np.unique(dark[1])) == {0, 255}
    assert entry["rover"]["power_limit"] == 200.0
    assert entry["notes"] == []
    assert {"power_peak", "power_limit", "battery", "tilt"} <= {s["name"] for s in entry["series"]}


def test_relief_is_bright_towards_the_north_west() -> None:
    y, x = np.meshgrid(np.arange(40.0), np.arange(40.0), indexing="ij")
    flat, facing, away = (hillshade(h, 1.0) for h in (0.0 * x, 0.1 * (x - y), 0.1 * (y - x)))
    assert flat == pytest.approx(np.full((40, 40), np.sqrt(0.5)))
    assert facing.min() > flat.max() > away.max()


def test_a_load_over_the_limit_is_an_event_and_a_moment(run: RunLog) -> None:
    (event,) = (e for e in events_of(run) if e["kind"] == "over_the_limit")
    # 206 W are 1.03 of the limit: reached after 106 / 120 of 20 s.
    assert event["time"] == pytest.approx(20.0 * 106.0 / 120.0, abs=0.21)
    assert event["grave"]
    assert "1.100" in event["text"]
    assert moments_of(run)["load_within_limit"] == pytest.approx(20.0)


def test_the_page_draws_the_ground_the_shadow_and_the_charts(browser: Browser, page: Path) -> None:
    before = show(browser, page, "t=0&scale=12&at=37,12")
    assert before["charts"][:4] == ["Speed", "Power", "Battery", "Tilt"]
    assert before["ego"]["x"] == pytest.approx(8.0, abs=0.5)
    width, height = stage_size(browser)
    middle = width / 2.0, height / 2.0
    lit = np.array(colour_at(browser, *middle), dtype=float)
    show(browser, page, "t=15&scale=12&at=37,12")
    dark = np.array(colour_at(browser, *middle), dtype=float)
    assert dark.sum() < 0.7 * lit.sum()
    # Twelve metres further east it is light at both times.
    outside = middle[0] + 12.0 * 12.0, middle[1]
    light = np.array(colour_at(browser, *outside), dtype=float)
    assert light.sum() > 1.3 * dark.sum()
    # Without the layer the ground is as it was.
    switch = "[...document.querySelectorAll('#legend-rows button')].find((b) => b.textContent === 'shadow')"
    browser.evaluate(f"{switch}.click()")
    settled(browser)
    assert np.array(colour_at(browser, *middle), dtype=float) == pytest.approx(lit, abs=6.0)
    browser.evaluate(f"{switch}.click()")


def test_tiles_and_limit_tell_the_load(browser: Browser, page: Path) -> None:
    show(browser, page, "t=20")
    tiles = browser.evaluate("document.getElementById('tiles').innerText")
    assert "220.0 W" in tiles
    assert "200.0 W" in tiles
    assert browser.evaluate("document.querySelectorAll('.tile')[1].classList.contains('bad')")
    words = browser.evaluate("document.querySelectorAll('#charts .chart')[1].innerText")
    assert "load 220.00" in words
    assert "limit 200.00" in words
    show(browser, page, "t=5")
    assert not browser.evaluate("document.querySelectorAll('.tile')[1].classList.contains('bad')")
    scores = browser.evaluate("document.getElementById('scores').innerText")
    assert "load within limit" in scores
