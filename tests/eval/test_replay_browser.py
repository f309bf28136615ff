"""The replay page in a real browser: what is drawn where, what it says, and that it asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.eval.replay import write_replay
from drive.eval.replay.browser import Browser, find_browser
from drive.runlog import RunLog

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine to open the page with")

RUNS = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_runs.py"))))
PAGES = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_pages.py"))))
DT, N, ORIGIN, make_run = RUNS.DT, RUNS.N, RUNS.ORIGIN, RUNS.make_run
show, settled, said_by = PAGES.show, PAGES.settled, PAGES.said_by
stage_size, colour_at, pose_at = PAGES.stage_size, PAGES.colour_at, PAGES.pose_at
WIDTH, HEIGHT, REAR_TO_CENTER, RUN_COLOURS = (
    PAGES.WIDTH,
    PAGES.HEIGHT,
    PAGES.REAR_TO_CENTER,
    PAGES.RUN_COLOURS,
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser(str(PROGRAM), WIDTH, HEIGHT) as opened:
        yield opened


@pytest.fixture(scope="module")
def run() -> RunLog:
    return make_run()


@pytest.fixture(scope="module")
def page(run: RunLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_replay(run, tmp_path_factory.mktemp("one") / "run.html")


@pytest.fixture(scope="module")
def two(run: RunLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_replay([run, make_run(name="idm", shift=1.0)], tmp_path_factory.mktemp("two") / "two.html")


@pytest.mark.parametrize("time", [0.0, 7.25, 15.0])
def test_poses_are_those_of_the_log(browser: Browser, page: Path, run: RunLog, time: float) -> None:
    got = show(browser, page, f"t={time}")
    low, high = int(time / DT + 1e-9), min(int(time / DT + 1e-9) + 1, N - 1)
    w = time / DT - low
    want = pose_at(run, time)
    assert [got["ego"][c] for c in ("x", "y", "heading", "speed")] == pytest.approx(want[:4], abs=2e-3)
    seen = {a["id"]: a for a in got["agents"]}
    assert set(seen) == {run.agent_ids[i] for i in np.flatnonzero(run.agent_valid[:, low])}
    for i, name in enumerate(run.agent_ids):
        if name in seen and run.agent_valid[i, high]:
            state = run.agents[i, low] * (1 - w) + run.agents[i, high] * w
            assert abs(seen[name]["x"] - state[0]) <= 0.01
            assert abs(seen[name]["y"] - state[1]) <= 0.01
    assert seen["a4"]["kind"] == "pedestrian"
    assert seen["a1"]["controller"] == "IDM"
    plan = np.asarray(got["plan"]["points"])
    assert got["plan"]["call"] == min(low, 149)
    assert np.abs(plan[:, 1:] - run.plan_states_of(got["plan"]["call"])[:, :2]).max() <= 0.01
    assert got["candidates"] == 8
    assert got["signals"] == [int(run.signals[0, round(time / DT)])] * 2 if w == 0 else got["signals"]
    assert got["charts"] == [
        *("Speed", "Acceleration", "Jerk", "Lateral error", "Time to collision", "Planning time"),
    ]


@pytest.mark.parametrize("time", [0.5, 5.0, 11.3, 15.0])
def test_the_ego_is_drawn_where_the_log_has_it(
    browser: Browser, page: Path, run: RunLog, time: float
) -> None:
    x, y = ORIGIN + np.array([40.0, 15.0])
    show(browser, page, f"t={time}&scale=7&at={x},{y}")
    width, height = stage_size(browser)
    pose = pose_at(run, time)
    for along, wanted in (
        (REAR_TO_CENTER, True),
        (REAR_TO_CENTER - 2.0, True),
        (REAR_TO_CENTER - 3.2, False),
    ):
        # Metres to pixels by hand: the view's middle is the place asked for, and y points up.
        px = width / 2 + 7 * (pose[0] + along * np.cos(pose[2]) - x)
        py = height / 2 - 7 * (pose[1] + along * np.sin(pose[2]) - y)
        assert (colour_at(browser, px, py) == RUN_COLOURS[0]) is wanted


def test_side_by_side_each_run_has_its_own_view_of_one_clock(browser: Browser, two: Path) -> None:
    runs = [make_run(), make_run(name="idm", shift=1.0)]
    got = show(browser, two, "view=split&scale=5")
    assert got["view"]["split"] is True
    width, height = stage_size(browser)
    half = (height - 2) / 2  # this way runs across the picture: one view above the other, two pixels between
    for time in (0.0, 6.0, 12.5):
        browser.evaluate(f"window.drive.seek({time})")
        settled(browser)
        for k, middle in enumerate((half / 2, half + 2 + half / 2)):
            heading = pose_at(runs[k], time)[2]
            # Both follow their own ego: its rear axle is in the middle of its view.
            px = width / 2 + 5 * REAR_TO_CENTER * np.cos(heading)
            py = middle - 5 * REAR_TO_CENTER * np.sin(heading)
            assert colour_at(browser, px, py) == RUN_COLOURS[k]
    browser.evaluate("window.drive.split(false)")
    assert settled(browser)["view"]["split"] is False
    # A click on the other run's view brings that run into focus.
    browser.evaluate("window.drive.split(true)")
    box = browser.evaluate("(({x, y}) => [x, y])(document.getElementById('map').getBoundingClientRect())")
    browser.click(box[0] + width - 60, box[1] + height - 120)
    got = settled(browser)
    assert (got["run"], got["planner"]) == (1, "idm")
    assert got["ego"]["speed"] == pytest.approx(10 - 3 * np.sin(0.35 * 12.5) ** 2, abs=0.02)


def test_a_link_leads_back_to_what_was_shown(browser: Browser, two: Path) -> None:
    show(browser, two, "t=7.3&run=1&view=split&up=1")
    link = browser.evaluate("window.drive.link()")
    assert link == "#t=7.3&run=1&view=split&up=1"
    browser.evaluate(f"location.hash = '{link.replace('7.3', '3.1')}'")
    got = settled(browser)
    assert (got["t"], got["run"]) == (3.1, 1)
    for odd in ("t=NaN&run=99&scale=-5", "t=1e999&run=-3", "run=x&t=&at=1,b&view=", "t=-4"):
        got = show(browser, two, odd)
        assert 0.0 <= got["t"] <= 15.0
        assert got["run"] in (0, 1)


def test_a_view_zoomed_by_the_wheel_stays_and_is_linked_to(browser: Browser, two: Path) -> None:
    before = show(browser, two, "t=5")["view"]["scale"]
    browser.mouse("mouseWheel", 400, 400, deltaX=0, deltaY=-400)
    scale = settled(browser)["view"]["scale"]
    assert scale > 1.2 * before
    for key in ("d", "]"):
        browser.press(key)
        assert settled(browser)["view"]["scale"] == scale
    assert f"scale={scale:.3f}".rstrip("0") in browser.evaluate("window.drive.link()")


def test_four_runs_fit_in_the_table_of_metrics(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    scores = {
        "nuplan_cls": {
            "score": 0.0,
            "metrics": {"ego_progress_along_expert_route": 0.123},
            "moments": {"ego_progress_along_expert_route": 12.3},
        }
    }
    runs = [make_run(name=name).with_header(scores=scores) for name in ("log", "pdm", "idm", "constant")]
    show(browser, write_replay(runs, tmp_path / "four.html"))
    wide = browser.evaluate(
        "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])"
        "(document.querySelector('#scores .scroll'))"
    )
    assert wide[0] <= wide[1]
    assert browser.evaluate("document.querySelectorAll('#scores .jump').length") == 4


def test_who_must_give_way_meets_teeth(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    assert run.roadmap is not None
    lane = int(np.argmax(run.roadmap.stop_station > 0.0))
    signal = run.roadmap.signal.copy()
    signal[lane] = -1
    told = replace(run, roadmap=replace(run.roadmap, signal=signal))
    own = run.roadmap.rows(lane)
    at, station = float(run.roadmap.stop_station[lane]), run.roadmap.station[own]
    left, right = (
        np.array([np.interp(at, station, side[own][:, k]) for k in (0, 1)])
        for side in (run.roadmap.left, run.roadmap.right)
    )
    x, y = 0.5 * (left + right)
    show(browser, write_replay(told, tmp_path / "teeth.html"), f"t=15&scale=40&at={x},{y}")
    across = (left - right) / np.hypot(*(left - right))
    width, height = stage_size(browser)
    along = np.linspace(-1.5, 1.5, 60)
    spots = [(width / 2 + 40 * s * across[0], height / 2 - 40 * s * across[1]) for s in along]
    white = [sum(colour_at(browser, *spot)) > 740 for spot in spots]
    assert np.count_nonzero(np.diff(white)) >= 4  # a stop line would be one bar


def test_keys(browser: Browser, two: Path) -> None:
    show(browser, two, "t=5")
    told = []
    for key, shift in (
        *(("ArrowRight", False), ("ArrowRight", True), ("ArrowLeft", False), ("n", False), ("n", False)),
        *(("p", False), ("End", False), ("Home", False)),
    ):
        browser.press(key, shift)
        told.append(round(settled(browser)["t"], 6))
    # The log's events: the status at 7.0 and 7.5, the collision at 9.3.
    assert told == [5.1, 6.1, 6.0, 7.0, 7.5, 7.0, 15.0, 0.0]
    browser.press("2")
    assert settled(browser)["planner"] == "idm"
    browser.press("[")
    assert settled(browser)["planner"] == "pdm"
    for key, where, wanted in (
        *(("s", "split", True), ("s", "split", False), ("h", "headingUp", True), ("f", "follow", False)),
    ):
        browser.press(key)
        assert settled(browser)["view"][where] is wanted
    before = settled(browser)["view"]["scale"]
    browser.press("+")
    assert settled(browser)["view"]["scale"] == pytest.approx(1.3 * before)
    browser.press("d")
    assert settled(browser)["theme"] == "dark"
    browser.press("?", shift=True)
    assert browser.evaluate("document.getElementById('help').open") is True
    browser.press("n")  # keys wait while their list is open
    assert settled(browser)["t"] == 0.0
    browser.press("?", shift=True)
    assert browser.evaluate("document.getElementById('help').open") is False
    browser.press(" ")
    assert settled(browser)["playing"] is True
    browser.press(" ")
    assert settled(browser)["playing"] is False


def test_a_pointer_on_a_chart_shows_on_the_map_and_a_click_seeks(browser: Browser, page: Path) -> None:
    show(browser, page, "t=2")
    x, y, width = browser.evaluate(
        "(({x, y, width}) => [x, y, width])(document.querySelector('.chart canvas').getBoundingClientRect())"
    )
    at = x + 34 + (width - 34 - 8) * 10.0 / 15.0  # where the axis has 10 s
    browser.mouse("mouseMoved", at, y + 20)
    got = settled(browser)
    assert got["pointed"] == pytest.approx(10.0, abs=0.05)
    assert got["t"] == 2.0
    value = browser.evaluate("document.querySelector('.chart .value').textContent")
    assert f"ego {9.0 - 3.0 * np.sin(0.35 * 10.0) ** 2:.2f}"[:7] in value
    browser.click(at, y + 20)
    assert settled(browser)["t"] == pytest.approx(10.0, abs=0.05)
    browser.mouse("mouseMoved", x - 200, y + 20)
    assert settled(browser)["pointed"] is None


def test_the_ego_s_way_on_the_map_leads_to_its_times(browser: Browser, page: Path, run: RunLog) -> None:
    # At 14 s nobody is on the way there, and the ego is still to come.
    x, y = pose_at(run, 14.0)[:2]
    show(browser, page, f"t=4&scale=6&at={x - 20.0},{y + 10.0}")
    width, height = stage_size(browser)
    left, top = browser.evaluate(
        "(({x, y}) => [x, y])(document.getElementById('map').getBoundingClientRect())"
    )
    px, py = left + width / 2 + 6 * 20.0, top + height / 2 + 6 * 10.0
    browser.mouse("mouseMoved", px, py)
    got = settled(browser)
    assert got["pointed"] == pytest.approx(14.0, abs=0.1)
    assert browser.evaluate("document.getElementById('tip').textContent").startswith("ego at 14.")
    browser.click(px, py)
    assert settled(browser)["t"] == pytest.approx(14.0, abs=0.1)


def test_events_are_ticks_with_words_that_lead_to_them(browser: Browser, page: Path) -> None:
    show(browser, page, "t=0")
    ticks = browser.evaluate(
        "[...document.querySelectorAll('.tick')].map((t) => t.getAttribute('aria-label'))"
    )
    assert ticks == [
        "plan status: fallback: no proposal kept clear, at 7.0 s",
        "plan status: ok, at 7.5 s",
        "collision: agent a7, at 9.3 s",
    ]
    box = "document.querySelectorAll('.tick')[2].getBoundingClientRect()"
    x, y = browser.evaluate(f"(({{x, y, width}}) => [x + width / 2, y + 5])({box})")
    browser.mouse("mouseMoved", x, y)
    assert browser.evaluate("document.getElementById('tick-tip').textContent") == "9.3 s  collision: agent a7"
    browser.click(x, y)
    assert settled(browser)["t"] == pytest.approx(9.3)


def test_metrics_lead_to_the_moment_where_they_went_wrong(
    browser: Browser, run: RunLog, tmp_path: Path
) -> None:
    metrics = {
        "mean_speed": 0.0,
        "ego_is_comfortable": 0.0,
        "goal_reached": 1.0,
        "progress": 0.75,
        "ttc": None,
    }
    scored = ["progress", "ttc", "ego_is_comfortable"]
    jerk = np.zeros(N)
    jerk[120] = 20.0
    told = run.with_series(jerk=jerk).with_header(
        scores={
            "nuplan_cls": {"score": 0.5, "metrics": metrics, "scored": scored, "moments": {"progress": 4.2}}
        }
    )
    show(browser, write_replay(told, tmp_path / "scored.html"))
    rows = browser.evaluate(
        "[...document.querySelectorAll('#scores tr')]"
        ".map((r) => [...r.cells].map((c) => c.innerText.replace(/\\s+/g, ' ').trim()))"
    )
    assert rows == [
        ["nuplan_cls", "0.500"],
        ["progress", "0.750 4.2 s"],
        ["ttc", "n/a"],
        ["ego is comfortable", "0.000 12.0 s"],
        ["goal reached", "yes"],
        ["mean speed", "0.000"],
    ]
    assert browser.evaluate("document.querySelectorAll('#scores td.bad').length") == 1  # no bare figure
    browser.evaluate("document.querySelectorAll('#scores .jump')[1].click()")
    assert settled(browser)["t"] == pytest.approx(12.0)


def test_branches_show_their_probability(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    count = len(run.cand_score)
    told = replace(
        run,
        cand_probability=np.tile(np.full(8, 0.125), count // 8),
        cand_shared=np.full(len(run.plan_step), 1.0),
    )
    show(browser, write_replay(told, tmp_path / "branches.html"), "t=3")
    legend = browser.evaluate("document.getElementById('legend').innerText")
    assert "branches, with probability" in legend
    assert "score 0.20" in legend
    assert "0.90" in legend


def test_a_table_holds_every_score_of_the_candidates(browser: Browser, run: RunLog, tmp_path: Path) -> None:
    calls, count = len(run.plan_step), len(run.cand_score)
    terms = np.stack((np.tile(np.arange(8) / 8.0, calls), np.full(count, np.nan), run.cand_score), axis=1)
    terms[:, 1].reshape(calls, 8)[:, 2] = 12.34
    told = replace(
        run,
        cand_terms=terms.astype(np.float32),
        cand_chosen=np.where(np.arange(calls) < calls // 2, 3, -1).astype(np.int32),
    ).with_header(cand_names=["nc", "time<b>left", "score"])
    show(browser, write_replay(told, tmp_path / "terms.html"), "t=3")
    table = "document.getElementById('candidates')"
    browser.evaluate(f"{table}.open = true")
    settled(browser)
    rows = browser.evaluate(
        f"[...{table}.querySelectorAll('tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    assert [row[0] for row in rows] == ["nc", "time<b>left", "score"]
    assert rows[0][1:] == ["0.00", "0.13", "0.25", "0.38", "0.50", "0.63", "0.75", "0.88"]
    assert rows[1][1:] == ["–", "–", "12.3", "–", "–", "–", "–", "–"]
    assert rows[2][1] == "0.20"
    bold = (
        f"[...{table}.querySelectorAll('tbody tr:first-child td')].map((c) => c.classList.contains('chosen'))"
    )
    assert browser.evaluate(bold).index(True) == 4
    assert "Number 4" in browser.evaluate(f"{table}.innerText")
    browser.evaluate(f"{table}.querySelectorAll('th button')[6].click()")
    assert settled(browser)["candidate"] == 6
    browser.evaluate(f"{table}.querySelectorAll('th button')[6].click()")
    assert settled(browser)["candidate"] is None
    browser.evaluate("window.drive.seek(window.drive.end())")
    settled(browser)
    assert "none was chosen" in browser.evaluate(f"{table}.innerText")


def test_a_log_without_the_candidates_scores_has_one_row(
    browser: Browser, run: RunLog, tmp_path: Path
) -> None:
    show(browser, write_replay(run, tmp_path / "plain.html"), "t=3")
    table = "document.getElementById('candidates')"
    browser.evaluate(f"{table}.open = true")
    settled(browser)
    rows = browser.evaluate(f"[...{table}.querySelectorAll('tbody tr')].map((r) => r.cells[0].textContent)")
    assert rows == ["score"]


def test_who_is_hidden_is_hollow_and_the_ground_behind_a_truck_is_shaded(
    browser: Browser, run: RunLog, tmp_path: Path
) -> None:
    seen = run.agent_valid.copy()
    seen[9] = False
    size = run.agent_size.copy()
    size[9, 2] = 3.4  # it is the truck that nobody sees past
    hidden = replace(run, agent_seen=seen, agent_size=size)
    x, y = run.agents[9, 50, :2]
    fragment = f"t=5&scale=8&at={x},{y}"
    got = show(browser, write_replay(hidden, tmp_path / "hidden.html"), fragment)
    assert [a["id"] for a in got["agents"] if a["hidden"]] == ["a9"]
    assert "out of the ego's sight" in browser.evaluate("document.getElementById('legend').innerText")
    width, height = stage_size(browser)
    heading = run.agents[9, 50, 2]
    # Behind its middle, where no window is drawn: its colour where it is seen, else the road.
    spot = (width / 2 - 8 * np.cos(heading), height / 2 + 8 * np.sin(heading))
    hollow = colour_at(browser, *spot)
    away = run.agents[9, 50, :2] - pose_at(run, 5.0)[:2]
    away = 12.0 * away / np.hypot(*away)
    behind = (width / 2 + 8 * away[0], height / 2 - 8 * away[1])
    shaded = colour_at(browser, *behind)
    show(browser, write_replay(run, tmp_path / "open.html"), fragment)
    assert colour_at(browser, *spot) != hollow
    assert sum(shaded) < sum(colour_at(browser, *behind)) - 20


def test_a_phone_gets_one_column_without_sideways_scrolling(browser: Browser, two: Path) -> None:
    show(browser, two, "t=5")
    browser.resize(390, 844, ratio=2.0, phone=True)
    browser.open(f"{two.as_uri()}#theme=dark&t=5")
    settled(browser)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert browser.evaluate("document.getElementById('legend').open") is False
    stage, side = (
        browser.evaluate(
            f"(({{top, bottom}}) => [top, bottom])(document.getElementById('{name}').getBoundingClientRect())"
        )
        for name in ("stage", "side")
    )
    assert side[0] >= stage[1]
    small = browser.evaluate(
        "[...document.querySelectorAll('#bar > .buttons button, .tools button, #view button, #chips button')]"
        ".filter((b) => b.offsetParent && (b.offsetHeight < 40 || b.offsetWidth < 34)).map((b) => b.id)"
    )
    assert small == []
    before = settled(browser)["view"]["scale"]
    x, y = 195.0, (stage[0] + stage[1]) / 2
    browser.call(
        "Input.synthesizePinchGesture",
        x=x,
        y=y,
        scaleFactor=2.0,
        relativeSpeed=2000,
        gestureSourceType="touch",
    )
    assert settled(browser)["view"]["scale"] > 1.5 * before


def test_the_strip_of_rules_names_what_broke_one_at_the_cursor(browser: Browser, tmp_path: Path) -> None:
    trace, which = np.full(N, 0.5), np.zeros(N)
    trace[60:90], which[60:90] = -0.4, 1.0
    trace[:10] = np.inf
    book = {
        "score": 0.5,
        "metrics": {"headway": 0.0, "goal": 1.0},
        "rules": {
            "headway": {
                "text": "stay behind", "unit": "s", "robustness": -0.4, "broken_at": 6.0,
                "predicates": ["slow", "headway >= <b>0.9"],
            },
        },
    }  # fmt: skip
    run = make_run()
    run = run.with_header(scores={**run.header["scores"], "rules": book})
    run = run.with_series(**{"rule.headway": trace, "rule.headway.predicate": which})
    page = write_replay(run, tmp_path / "rules.html")
    got = show(browser, page, "t=7")
    assert got["rules"] == [{"name": "headway", "said": "\u22120.40 s   headway >= <b>0.9", "bad": True}]
    assert browser.evaluate("document.querySelectorAll('#rules b').length") == 0
    assert browser.evaluate("document.getElementById('rules-told').textContent") == "1 of 1 broken"
    # Its name leads to the moment.
    browser.evaluate("document.querySelector('#rules .rule-name').click()")
    assert settled(browser)["t"] == pytest.approx(6.0)
    # Red below the middle at 7 s, green above it at 3 s.
    paint = """[[7.05, 0.6], [7.05, 0.4], [3.05, 0.4], [3.05, 0.7]].map(([t, y]) => {
        const one = new OffscreenCanvas(1, 1).getContext("2d");
        const strip = document.querySelector("#rules canvas"), [w, h] = [strip.width, strip.height];
        one.drawImage(strip, Math.round(t / 15 * w), Math.round(y * h), 1, 1, 0, 0, 1, 1);
        return [...one.getImageData(0, 0, 1, 1).data];
    })"""
    red, above, green, below = browser.evaluate(paint)
    assert red[0] > 150 > red[1]
    assert green[1] > 120 > green[0]
    assert above[3] == below[3] == 0
    browser.evaluate("window.drive.seek(3)")
    assert settled(browser)["rules"][0] == {"name": "headway", "said": "0.50 s   slow", "bad": False}
    browser.evaluate("window.drive.seek(0.5)")
    assert settled(browser)["rules"][0]["said"] == "kept   slow"
    # Beside the strip there is no chart of the same.
    offered = browser.evaluate(
        "[...document.querySelectorAll('#chart-names button')].map((b) => b.textContent)"
    )
    assert "Iterations" in offered
    assert not any("rule" in name.lower() for name in offered)


def test_runs_without_rules_have_no_strip(browser: Browser, page: Path) -> None:
    assert show(browser, page)["rules"] == []
    assert browser.evaluate("document.getElementById('rules').offsetHeight") == 0
