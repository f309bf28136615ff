"""The report in a browser: what a reader can do with it, and what it never does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import drive
from drive.eval.replay.browser import Browser, find_browser
from drive.eval.report import write_report

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine to open the page with")

MARKUP = "<img src=x onerror=\"document.title='owned'\">&</script>"
FAMILIES = ("cut_in", "merge", "park")
LEVELS = ("easy", "hard")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, 1400, 900, limit=30.0) as found:
        yield found


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real benchmark: three planners in two scenes."""
    out = tmp_path_factory.mktemp("driven")
    scenes = ["gen/cut_in/17", "gen/stop_for_lead/3"]
    drive.bench(["idm", "constant", "log"], scenarios=scenes, traffic="log", jobs=1, out=out)
    return out / "report.html"


def made(folder: Path, scenes: int, planners: tuple[str, ...], **more: Any) -> Path:
    """A report of results that are easy to reckon with: planner k has the score (scene + k) % 5 / 4.

    Scene s is of family s % 3 and of level s % 2; in scene 7 the last planner failed.
    """
    entries = []
    for k, name in enumerate(planners):
        rows = []
        for s in range(scenes):
            failed = s == 7 and k == len(planners) - 1
            score = 0.0 if failed else (s + k) % 5 / 4
            rows.append(
                {
                    "id": MARKUP if s == 3 else f"gen/{FAMILIES[s % 3]}/{s}",
                    "family": FAMILIES[s % 3],
                    "tags": [LEVELS[s % 2]],
                    "hash": f"{s:x}",
                    "valid": True,
                    "failure": "planner_error" if failed else None,
                    "reason": f"ValueError: {MARKUP}" if failed else None,
                    "metrics": {"nuplan_cls": score, "comfort": score, "mean_speed": 7.0 + k},
                    "latency_ms": {"p50": 1.0 + k, "p95": 2.0 + k},
                    "plan_status": {"ok": 100},
                    "run": None,
                }
            )
        entries.append(
            {
                "name": name,
                "config": {"gain": k},
                "defaults": {"gain": 0},
                "privileged": False,
                "scores": {},
                "latency_ms": {"p50": 1.0 + k, "p95": 2.0 + k, "p99": 10.0},
                "latency_histogram_ms": {"edges": [1.0, 3.0, 10.0], "counts": [90, 10]},
                "failures": {"planner_error": sum(r["failure"] is not None for r in rows)},
                "scenarios": rows,
            }
        )
    data = {
        "schema": "drive-bench/1",
        "suite": {"id": "made", "hash": "abc", "scenarios": scenes},
        "scores": {"nuplan_cls": "1"},
        "score_metrics": {"nuplan_cls": ["comfort"]},
        "planners": entries,
        "command": ["drive", "bench", "--suite", "made"],
    } | more
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(data))
    return write_report(folder)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made"), 30, ("idm", "pdm", MARKUP))


def opened(chromium: Browser, page: Path, fragment: str = "") -> Browser:
    chromium.open(page.resolve().as_uri() + fragment)
    return chromium


def complaints(chromium: Browser) -> list[str]:
    """What the page said on the console, and what it asked for besides itself."""
    kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    found = [json.dumps(e["params"]) for e in chromium.events if e.get("method") in kinds]
    asked = [
        e["params"]["request"]["url"]
        for e in chromium.events
        if e.get("method") == "Network.requestWillBeSent"
    ]
    return found + [url for url in asked if not url.startswith(("file:", "about:", "data:,"))]


def shown(chromium: Browser) -> list[str]:
    """The scenarios that the list shows, in order."""
    script = "[...document.querySelectorAll('#scenes > tbody > tr > th')].map((e) => e.textContent)"
    found: list[str] = chromium.evaluate(script)
    return found


def test_a_real_report_opens_quietly_and_every_replay_opens(chromium: Browser, driven: Path) -> None:
    opened(chromium, driven)
    assert len(shown(chromium)) == 2
    links = chromium.evaluate("[...document.querySelectorAll('a[href^=replays]')].map((a) => a.href)")
    # Three runs each in the list; worst and most different scenes point at the same pages.
    assert len({link.partition("#")[0] for link in links}) == 2
    assert {"run=0", "run=1", "run=2"} <= {link.partition("#")[2] for link in links}
    assert complaints(chromium) == []
    for link in sorted(set(links)):
        chromium.open(link)
        assert complaints(chromium) == [], link
        state = chromium.evaluate("drive.state()")
        assert state["faults"] == []
        assert state["run"] == int(re.search(r"run=(\d)", link).group(1))  # type: ignore[union-attr]
        assert state["scenario"].replace("/", "_") in link


def test_two_planners_of_many_are_shown_beside_each_other(chromium: Browser, driven: Path) -> None:
    opened(chromium, driven)
    order = chromium.evaluate("[...document.querySelectorAll('#first option')].map((o) => o.textContent)")
    first, second = order.index("constant"), order.index("log")
    chromium.evaluate(f"document.querySelector('#first').value = '{first}'")
    chromium.evaluate(
        f"document.querySelector('#second').value = '{second}';"
        "document.querySelector('#second').dispatchEvent(new Event('change'))"
    )
    link = chromium.evaluate("document.querySelector('#different a[href*=split]').href")
    chromium.open(link)
    # The page's own link says again what it shows.
    assert f"view=split&runs={first},{second}" in chromium.evaluate("drive.link()")


def test_tables_sort_by_a_click_on_their_heads(chromium: Browser, page: Path) -> None:
    opened(chromium, page)

    def names() -> list[str]:
        found: list[str] = chromium.evaluate(
            "[...document.querySelectorAll('#planners-table tbody th')].map((e) => e.textContent)"
        )
        return found

    def click(column: int) -> None:
        chromium.evaluate(f"document.querySelectorAll('#planners-table thead button')[{column}].click()")

    # The last planner lost what it had in scene 7, (7 + 2) % 5 / 4 = 1, of 30 scenes with a mean of 0.5.
    assert names() == ["idm", "pdm", MARKUP]
    click(2)
    click(3)  # failures: text beside a number to sort by, the most first
    assert names()[0] == MARKUP
    click(0)
    assert names() == [MARKUP, "idm", "pdm"]
    click(0)
    assert names() == ["pdm", "idm", MARKUP]
    assert chromium.evaluate("document.querySelector('#planners-table th').ariaSort") == "descending"

    chromium.evaluate("document.querySelector('#scenes [data-sort=\"1\"]').click()")
    # pdm has (s + 1) % 5 / 4, so 0 in 4, 9, …; then 0.25 in 0, 5, …
    assert [name.rpartition("/")[2] for name in shown(chromium)[:8]] == [
        "4", "9", "14", "19", "24", "29", "0", "5",
    ]  # fmt: skip
    chromium.evaluate("document.querySelector('#scenes [data-sort=\"1\"]').click()")
    assert shown(chromium)[0] == MARKUP
    chromium.evaluate("document.querySelector('#scenes [data-sort=scenario]').click()")
    numbers = [name for name in shown(chromium) if name.startswith("gen/cut_in/")]
    assert numbers[:4] == ["gen/cut_in/0", "gen/cut_in/6", "gen/cut_in/9", "gen/cut_in/12"]


def test_a_cell_of_the_heat_map_leads_to_its_scenes(chromium: Browser, page: Path) -> None:
    opened(chromium, page)
    chromium.evaluate("document.querySelector('button[data-family=merge][data-planner=\"0\"]').click()")
    # Family merge is scenes 1, 4, …, 28; idm scored s % 5 / 4 there: 0 in 10 and 25, 0.25 in 1 and 16.
    assert [int(name.rpartition("/")[2]) for name in shown(chromium)] == [10, 25, 1, 16, 7, 22, 13, 28, 4, 19]
    assert chromium.evaluate("document.querySelector('#shown').textContent") == "10 of 30 scenarios"
    means = chromium.evaluate("document.querySelector('#scenes tfoot').textContent")
    assert means.startswith("mean of these 100.500")
    assert chromium.evaluate("location.hash") == "#family=merge&sort=0"
    chromium.evaluate("document.querySelector('button[data-tag=hard]').click()")
    assert len(shown(chromium)) == 15
    chromium.evaluate("document.querySelector('#clear').click()")
    assert len(shown(chromium)) == 30
    # The address alone brings the same list back.
    opened(chromium, page, "#family=merge&sort=0")
    assert len(shown(chromium)) == 10
    assert complaints(chromium) == []


def test_scenes_are_found_by_text_outcome_and_metric(chromium: Browser, page: Path) -> None:
    opened(chromium, page)

    def enter(name: str, value: str) -> list[str]:
        chromium.evaluate(
            f"(() => {{ const e = document.querySelector('#{name}'); e.value = '{value}';"
            "e.dispatchEvent(new Event(e.tagName === 'INPUT' ? 'input' : 'change')); })()"
        )
        return shown(chromium)

    assert enter("find", "park easy") == [f"gen/park/{s}" for s in (2, 8, 14, 20, 26)]
    assert enter("find", "valueerror") == ["gen/merge/7"]
    assert enter("find", "no such thing") == []
    enter("find", "")
    assert enter("outcome", "failed") == ["gen/merge/7"]
    # idm has 0 in 0, 5, …, pdm in 4, 9, …, the third in 3, 8, … and where it failed.
    assert len(enter("outcome", "zero")) == 19
    enter("outcome", "")
    enter("column", "2")
    cells = "[...document.querySelectorAll('#scenes tbody tr:first-child td.n')].map((e) => e.textContent)"
    assert chromium.evaluate(cells) == ["7.00", "8.00", "9.00", "2.00"]
    chromium.evaluate("document.querySelector('#scenes button.open').click()")
    details = chromium.evaluate("document.querySelector('tr.details').textContent")
    assert "comfort0.0000.2500.500" in details
    assert complaints(chromium) == []


def test_markup_in_names_stays_text(chromium: Browser, page: Path) -> None:
    opened(chromium, page)
    chromium.evaluate("document.querySelectorAll('#scenes button.open').forEach((b) => b.click())")
    assert chromium.evaluate("document.querySelectorAll('img').length") == 0
    assert chromium.evaluate("document.title") == "Benchmark made"
    assert MARKUP in shown(chromium)
    assert complaints(chromium) == []


def test_the_page_can_be_used_by_keys(chromium: Browser, page: Path) -> None:
    opened(chromium, page)
    before = chromium.evaluate("document.documentElement.dataset.theme")
    chromium.press("d")
    assert {before, chromium.evaluate("document.documentElement.dataset.theme")} == {"light", "dark"}
    chromium.press("/")
    assert chromium.evaluate("document.activeElement.id") == "find"
    chromium.press("7")
    assert "gen/merge/7" in shown(chromium)
    opened(chromium, page)
    # Whatever reacts to a click is a control that the tab key reaches.
    unreachable = chromium.evaluate(
        "[...document.querySelectorAll('button, a[href], select, input, summary')]"
        ".filter((e) => e.tabIndex < 0).length"
    )
    assert unreachable == 0
    chromium.evaluate("document.querySelector('button[data-family=park]').focus()")
    chromium.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, text="\r")
    assert len(shown(chromium)) == 10


def test_paper_holds_everything(chromium: Browser, tmp_path: Path) -> None:
    opened(chromium, made(tmp_path, 150, ("idm", "pdm")))
    assert len(shown(chromium)) == 100
    data = base64.b64decode(chromium.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", data))
    assert data.startswith(b"%PDF")
    assert 4 <= pages <= 15
    assert len(shown(chromium)) == 100  # as before
    chromium.call("Emulation.setEmulatedMedia", media="print")
    try:
        chromium.resize(1020, 700)
        chromium.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert len(shown(chromium)) == 150
        # Nothing sticks out of its box or of the sheet.
        cut = chromium.evaluate(
            "[...document.querySelectorAll('section, table, pre, .cards > div')].filter((e) => e.offsetParent"
            " && (e.getBoundingClientRect().right > 1021 || e.scrollWidth > e.clientWidth + 1))"
            ".map((e) => e.id || e.className || e.tagName)"
        )
        assert cut == []
        visible = (
            "[...document.querySelectorAll('nav, .filters, #copy')].filter((e) => e.offsetParent).length"
        )
        assert chromium.evaluate(visible) == 0
    finally:
        chromium.call("Emulation.setEmulatedMedia", media="")
        chromium.resize(1400, 900)


def test_a_phone_shows_it_in_one_column(chromium: Browser, page: Path) -> None:
    chromium.resize(390, 844, phone=True)
    try:
        opened(chromium, page)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= 390
        lefts = chromium.evaluate(
            "[...document.querySelectorAll('section')].map((e) => e.getBoundingClientRect().left)"
        )
        assert len(set(lefts)) == 1
    finally:
        chromium.resize(1400, 900)


def test_a_thousand_scenes_and_a_dozen_planners_fit(chromium: Browser, tmp_path: Path) -> None:
    page = made(tmp_path, 1000, tuple(f"planner_{k}" for k in range(12)))
    assert page.stat().st_size < 1_500_000
    opened(chromium, page)
    assert len(shown(chromium)) == 100
    assert chromium.evaluate("document.querySelectorAll('*').length") < 12_000
    chromium.evaluate("document.querySelector('#every').click()")
    assert len(shown(chromium)) == 1000
    assert complaints(chromium) == []


@pytest.mark.parametrize(
    ("scenes", "planners", "more"),
    [
        (0, (), {}),
        (0, ("idm",), {}),
        (1, ("idm",), {}),
        (8, ("idm", "pdm"), {"scores": {}, "score_metrics": {}}),
        (8, ("a name that is much longer than a name of a planner should be", "pdm"), {}),
    ],
)
def test_pages_that_lack_something_open_as_quietly(
    chromium: Browser, tmp_path: Path, scenes: int, planners: tuple[str, ...], more: dict[str, Any]
) -> None:
    opened(chromium, made(tmp_path, scenes, planners, **more))
    assert complaints(chromium) == []
    assert chromium.evaluate("drive.shown().length") == scenes
