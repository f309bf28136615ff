"""Replay pages of odd runs in a real browser: markup, gaps, crowds, hours; and a page inside a notebook."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.eval.replay import write_replay
from drive.eval.replay.browser import Browser, find_browser
from drive.eval.replay.thin import MAX_AGENTS
from drive.runlog import RunLog

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine to open the page with")

RUNS = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_runs.py"))))
PAGES = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_pages.py"))))
DT, N, ORIGIN, make_run = RUNS.DT, RUNS.N, RUNS.ORIGIN, RUNS.make_run
show, settled, said_by = PAGES.show, PAGES.settled, PAGES.said_by
MARKUP = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b> & \u2028"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(str(PROGRAM), PAGES.WIDTH, PAGES.HEIGHT) as opened:
        yield opened


@pytest.fixture(scope="module")
def run() -> RunLog:
    return make_run()


def test_markup_stays_text_and_nothing_is_asked_of_a_network(
    browser: Browser, run: RunLog, tmp_path: Path
) -> None:
    about = {**run.header["scenario"], "id": MARKUP, "tags": [MARKUP], "expert_source": MARKUP}
    bad = run.with_header(
        scenario=about,
        planner={"name": MARKUP, "config": {MARKUP: MARKUP}},
        events=[{"time": 2.0, "kind": MARKUP, "note": MARKUP}],
        scores={MARKUP: {"score": 0.5, "metrics": {MARKUP: 0.5}}},
    )
    bad = replace(bad, agent_ids=(MARKUP,) * 32).with_series(**{MARKUP: np.zeros(N)})
    page = write_replay([bad, bad.with_header(seed=1)], tmp_path / "bad.html")
    show(browser, page, "t=2")
    assert browser.evaluate("document.getElementById('title').textContent") == MARKUP
    assert browser.evaluate("document.querySelectorAll('img, b:not(.tile b)').length") == 0
    assert browser.evaluate("document.title").startswith("</script>")

    # Even markup that somebody writes into the file itself neither runs nor loads.
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        attack = (
            f"<img src='{base}/img'><link rel=stylesheet href='{base}/css'><script src='{base}/js'></script>"
            f"<script>fetch('{base}/fetch');document.title='owned'</script>"
            f"<iframe src='{base}/frame'></iframe>"
        )
        page.write_text(page.read_text().replace("<main>", attack + "<main>"))
        browser.open(page.as_uri())
        browser.evaluate("new Promise((done) => setTimeout(() => done(1), 200))")
        title = browser.evaluate("document.title")
        server.shutdown()
    assert hits == []
    assert title != "owned"
    assert any("Content Security Policy" in said for said in said_by(browser))


def nearly_nothing() -> RunLog:
    """One sample, no map, nobody else, a planner that failed before its first plan."""
    run = make_run(agents=0)
    names = ("times", "ego", "logged_ego", "expert", "ego_yaw_acceleration")
    return replace(
        run,
        **{name: getattr(run, name)[:1] for name in names},
        roadmap=None,
        agents=np.zeros((0, 1, 5)),
        agent_valid=np.zeros((0, 1), dtype=bool),
        signals=np.zeros((0, 1), dtype=np.uint8),
        ego_control=np.zeros((0, 2)),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=np.zeros(0),
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=np.zeros(0),
        plan_states=np.zeros((0, 7), dtype=np.float32),
        route_line=np.zeros((0, 2)),
        cand_start=np.zeros(1, dtype=np.int32),
        cand_poses=np.zeros((0, 0, 3), dtype=np.float32),
        cand_score=np.zeros(0),
        series={},
        header={
            "scenario": {"dt": DT},
            "vehicle": {},
            "failure": {"class": "planner_error", "reason": "boom"},
        },
    )


def test_a_run_of_nearly_nothing_says_what_it_lacks(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    got = show(browser, write_replay(nearly_nothing(), tmp_path / "none.html"), "t=0")
    assert got["plan"] is None
    assert got["ego"]["x"] == pytest.approx(run.ego[0, 0], abs=2e-3)
    notes = browser.evaluate("document.getElementById('notes-text').innerText").splitlines()
    told = " ".join(notes)
    for word in ("no road map", "No other road user", "before its first step", "never called"):
        assert word in told
    assert browser.evaluate("document.getElementById('badges').innerText") == "planner error"


def test_ten_thousand_agents_and_gaps(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    many, steps = 10_000, 31
    spread = np.zeros((many, steps, 5))
    spread[..., 0] = ORIGIN[0] + np.arange(many)[:, None]
    spread[..., 1] = ORIGIN[1] - 30.0
    spread[7] = np.nan
    small = make_run(agents=1)
    ego = small.ego[:steps].copy()
    ego[10:20] = np.nan
    calls = int(np.searchsorted(small.plan_step, steps))
    crowd = replace(
        nearly_nothing(),
        times=small.times[:steps],
        ego=ego,
        expert=np.zeros((0, 7)),
        logged_ego=np.full((steps, 3), np.nan),
        ego_yaw_acceleration=np.zeros(steps),
        signals=np.zeros((0, steps), dtype=np.uint8),
        agents=spread,
        agent_valid=np.ones((many, steps), dtype=bool),
        agent_size=np.ones((many, 3)),
        agent_kind=np.full(many, 99, dtype=np.uint8),
        agent_controller=np.full(many, 9, dtype=np.uint8),
        agent_ids=(),
        plan_step=small.plan_step[:calls],
        plan_latency=small.plan_latency[:calls],
        plan_start=np.zeros(calls + 1, dtype=np.int32),  # plans without a point
        header={"scenario": {"dt": DT}, "vehicle": {}},
    )
    page = write_replay(crowd, tmp_path / "crowd.html", compress=False)
    assert page.stat().st_size < 1_000_000
    got = show(browser, page, "t=1.5")
    assert len(got["agents"]) == MAX_AGENTS
    assert got["ego"] is None
    assert any("9999 road users" in note for note in got["notes"])
    assert any("not known at 10 of 31" in note for note in got["notes"])
    tiles = browser.evaluate("[...document.querySelectorAll('.tile b')].map((b) => b.innerText)")
    assert tiles[:2] == ["\u2013 m/s", "\u2013 m/s²"]
    browser.evaluate("window.drive.seek(2.5)")
    assert settled(browser)["ego"]["x"] == pytest.approx(ego[25, 0], abs=2e-3)


def test_a_hundred_thousand_steps(browser: Browser, tmp_path: Path) -> None:
    n, run = 100_000, make_run(agents=2)
    copies = -(-n // N)
    long = replace(
        run,
        times=DT * np.arange(n),
        **{name: np.tile(getattr(run, name), (copies, 1))[:n] for name in ("ego", "expert", "logged_ego")},
        agents=np.tile(run.agents, (1, copies, 1))[:, :n],
        agent_valid=np.tile(run.agent_valid, (1, copies))[:, :n],
        signals=np.tile(run.signals, (1, copies))[:, :n],
        series={},
    )
    page = write_replay(long, tmp_path / "long.html")
    assert page.stat().st_size < 2_000_000
    got = show(browser, page, f"t={DT * 51_000}")
    assert got["sample"] == 3000  # one in 17
    assert got["ego"]["x"] == pytest.approx(long.ego[51_000, 0], abs=2e-3)
    assert any("100000 samples" in note for note in got["notes"])


def test_a_notebook_shows_the_page_in_its_frame(browser: Browser, tmp_path: Path) -> None:
    host = tmp_path / "notebook.html"
    host.write_text(f"<!doctype html><meta charset=utf-8><body>{make_run(agents=2)._repr_html_()}</body>")
    browser.resize(PAGES.WIDTH, PAGES.HEIGHT)
    browser.open(host.as_uri(), ready="document.querySelector('iframe')")
    browser.evaluate("new Promise((done) => setTimeout(() => done(1), 500))")
    assert said_by(browser) == []
    picture = base64.b64encode(browser.screenshot()).decode()
    browser.open("about:blank", ready="true")
    # The frame lets nobody look inside, so the screen is looked at: the ego's box, its chip and its curve.
    script = """(async () => {
        const shot = await createImageBitmap(await (await fetch("data:image/png;base64,PICTURE")).blob());
        const board = new OffscreenCanvas(shot.width, shot.height).getContext("2d");
        board.drawImage(shot, 0, 0);
        const { data } = board.getImageData(0, 0, shot.width, 640), wanted = [200, 80, 10];
        let count = 0;
        for (let k = 0; k < data.length; k += 4) count += wanted.every((c, n) => data[k + n] === c);
        return count;
    })()"""
    found = browser.evaluate(script.replace("PICTURE", picture))
    assert found > 300
