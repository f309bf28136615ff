"""The replay page: what it holds, what a browser makes of it, and what it refuses."""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive.cli.main import run as drive_command
from drive.errors import InputError
from drive.eval.replay import find_runs, write_replay
from drive.eval.replay.mapdata import pack_map
from drive.eval.replay.pack import Packer, filled
from drive.eval.replay.page import build_page, json_block
from drive.eval.replay.rundata import CONTROLLERS, MAX_AGENTS, events_of
from drive.roadmap import AreaKind, LaneSpec, Marking, RoadMap, RoadMapBuilder
from drive.runlog import RunLog
from drive.scenario import SignalState
from drive.vehicle import AgentKind

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the page with")

N, DT, ORIGIN, RADIUS = 151, 0.1, np.array([1200.0, -340.0]), 120.0
MARKUP = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b> & \u2028"


def arc(angle: np.ndarray, offset: float) -> np.ndarray:
    """Points left of the circle that the road follows (it turns left, centre above the origin)."""
    r = RADIUS - offset
    return np.stack((r * np.sin(angle), RADIUS - r * np.cos(angle)), -1) + ORIGIN


def road() -> RoadMap:
    """A curved road with two lanes one way, one the other way; a crosswalk and a signal half-way."""
    builder = RoadMapBuilder()
    angle = np.linspace(-0.2, 2.0, 90)
    for name, right, left in (("r", -1.75, 1.75), ("l", 1.75, 5.25)):
        builder.add(
            LaneSpec(
                name,
                arc(angle, left),
                arc(angle, right),
                speed_limit=13.9,
                left_lane="l" if name == "r" else None,
                right_lane="r" if name == "l" else None,
                left_opposite="o" if name == "l" else None,
                left_marking=Marking.DASHED if name == "r" else Marking.DOUBLE_SOLID,
                right_marking=Marking.SOLID if name == "r" else Marking.DASHED,
                signal="s1",
                stop_station=150.0,
            )
        )
    builder.add(
        LaneSpec(
            "o",
            arc(angle[::-1], 5.25),
            arc(angle[::-1], 8.75),
            left_opposite="l",
            left_marking=Marking.DOUBLE_SOLID,
            right_marking=Marking.CURB,
        )
    )
    band = np.array([1.10, 1.13])
    builder.add_area(np.concatenate((arc(band, -2.0), arc(band[::-1], 9.0))), AreaKind.CROSSWALK)
    builder.add_area(np.array([[40.0, -25.0], [60, -25], [60, -12], [40, -12]]) + ORIGIN, AreaKind.OCCLUDER)
    return builder.build()


def moving(start: float, speed: np.ndarray, offset: float) -> np.ndarray:
    """States (N, 5) of a box along the road, from an angle on at speeds (N,) (negative: oncoming)."""
    r = RADIUS - offset
    angle = start + np.concatenate(([0.0], np.cumsum(speed[:-1]))) * DT / r
    xy = arc(angle, offset)
    heading = angle + np.where(speed < 0, np.pi, 0.0)
    return np.column_stack((xy, heading, abs(speed) * np.cos(heading), abs(speed) * np.sin(heading)))


def make_run(agents: int = 32, name: str = "pdm", shift: float = 0.0, seed: int = 3) -> RunLog:
    """15 s on the curved road: an ego that brakes behind traffic, its plans and candidates, and a crowd."""
    rng = np.random.default_rng(seed)
    times = DT * np.arange(N)
    speed = 9.0 + shift - 3.0 * np.sin(0.35 * times) ** 2
    box = moving(0.0, speed, 0.0)
    ego = np.zeros((N, 7))
    ego[:, :3] = box[:, :3]
    ego[:, 3], ego[:, 4], ego[:, 5], ego[:, 6] = speed, np.gradient(speed, DT), 0.026, speed / RADIUS
    rows, sizes, kinds, drivers = [], [], [], []
    for k in range(agents):
        lane = (0.0, 3.5, 7.0)[k % 3]
        pace = (7.0 + 2.0 * rng.random() + np.sin(0.2 * times + k)) * (-1 if lane == 7.0 else 1)
        rows.append(moving(0.12 + 0.11 * (k // 3) + 0.02 * (k % 3), pace, lane))
        kinds.append(AgentKind.VEHICLE)
        sizes.append((4.6, 1.9, 1.5))
        drivers.append(1 if k % 2 else 0)
    if agents >= 8:
        rows[4] = moving(1.115, np.zeros(N), 1.0)
        rows[4][:, 0] += 0.6 * times
        kinds[4], sizes[4], drivers[4] = AgentKind.PEDESTRIAN, (0.6, 0.6, 1.7), 0
        rows[5] = moving(0.5, np.zeros(N), -3.2)
        kinds[5], sizes[5], drivers[5] = AgentKind.STATIC, (4.5, 1.9, 1.5), 0
        kinds[6], sizes[6], drivers[6] = AgentKind.BICYCLE, (1.8, 0.6, 1.7), 2
    valid = np.ones((agents, N), dtype=bool)
    if agents >= 3:
        valid[2, 60:90] = False
        rows[2][60:90] = 0.0
    calls = np.arange(0, N - 1)
    ahead = DT * np.arange(41)
    plans = np.zeros((len(calls), 41, 7))
    for c in calls:
        plans[c, :, 3] = np.maximum(speed[c] - 0.4 * ahead, 0.0)
        way = np.concatenate(([0.0], np.cumsum(plans[c, :-1, 3]))) * DT
        at = box[c, 2] + way / RADIUS
        plans[c, :, :2], plans[c, :, 2] = arc(at, 0.0), at
    fans = np.stack([plans[:, :, :3] for _ in range(8)], 1).astype(np.float32)
    for k in range(8):
        fans[:, k, :, :2] += ((k - 3.5) * 0.3 * (ahead[:, None] / 4.0) ** 2)[None]
    status = ["ok"] * len(calls)
    status[70:75] = ["fallback"] * 5
    ttc = np.where(times < 4.0, np.nan, 6.0 - 4.5 * np.exp(-((times - 9.0) ** 2) / 4.0))
    ttc[100:110] = np.inf
    expert = ego.copy()
    expert[:, :2] = arc(box[:, 2] * 1.04, 0.0)
    header = {
        "scenario": {"id": f"gen/lane_follow_curved/{seed}", "family": "lane_follow_curved", "hash": "a1",
                     "dt": DT, "duration": 15.0, "expert_source": "idm", "tags": ["curved"],
                     "goal": {"position": (arc(np.array([1.9]), 0.0)[0]).tolist()}},
        "planner": {"name": name, "config": {"proposals": 15}, "privileged": False},
        "vehicle": {}, "traffic": "idm", "seed": 0, "versions": {"drive-toolkit": "0.1.0"},
        "plan_status": status, "plan_reason": {"70": "no proposal kept clear"},
        "events": [{"time": 9.3, "kind": "collision", "agent": "a7"}], "failure": None,
        "scores": {"nuplan_cls": {"score": 0.871, "metrics": {"no_at_fault_collisions": 1.0, "comfort": 0.0,
                                                              "speed_limit": None}}},
    }  # fmt: skip
    signals = np.full((1, N), SignalState.RED, dtype=np.uint8)
    signals[0, 60:120], signals[0, 120:] = SignalState.GREEN, SignalState.YELLOW
    return RunLog(
        header=header,
        times=times,
        ego=ego,
        ego_control=np.zeros((N - 1, 2)),
        ego_yaw_acceleration=np.zeros(N),
        agents=np.asarray(rows).reshape(agents, N, 5),
        agent_valid=valid,
        agent_size=np.asarray(sizes).reshape(agents, 3),
        agent_kind=np.asarray(kinds, dtype=np.uint8),
        agent_controller=np.asarray(drivers, dtype=np.uint8),
        agent_ids=tuple(f"a{k}" for k in range(agents)),
        signals=signals,
        plan_step=calls.astype(np.int32),
        plan_latency=0.0003 + 0.0001 * rng.random(len(calls)),
        plan_start=(41 * np.arange(len(calls) + 1)).astype(np.int32),
        plan_times=(times[calls][:, None] + ahead).reshape(-1),
        plan_states=plans.reshape(-1, 7),
        expert=expert,
        route_line=arc(np.linspace(-0.1, 1.95, 60), 0.0),
        route_lanes=np.zeros(1, dtype=np.int32),
        logged_ego=np.full((N, 3), np.nan),
        roadmap=road(),
        cand_start=(8 * np.arange(len(calls) + 1)).astype(np.int32),
        cand_poses=fans.reshape(-1, 41, 3),
        cand_score=np.tile(np.linspace(0.2, 0.9, 8), len(calls)),
        series={
            "time_to_collision": ttc,
            "jerk": np.gradient(ego[:, 4], DT),
            "iterations": np.full(150, 4.0),
        },
    )


def open_page(page: Path, fragment: str = "") -> tuple[str, str]:
    """(DOM after the script ran, what the browser said on its console) for a page in headless Chromium."""
    profile = page.parent / "profile"
    url = f"{page.resolve().as_uri()}#{fragment}"
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-extensions", "--mute-audio", "--enable-logging=stderr", f"--user-data-dir={profile}",
            "--window-size=1200,800", "--virtual-time-budget=4000", "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, said


def selftest(page: Path, fragment: str) -> dict:
    """The state that the page's own handle reports, and no word on the console."""
    dom, said = open_page(page, f"{fragment}&selftest")
    assert said == ""
    found = re.search(r'<pre id="selftest">(.*?)</pre>', dom, re.S)
    assert found, dom[-2000:]
    return json.loads(html.unescape(found.group(1)))


@pytest.fixture(scope="module")
def run() -> RunLog:
    return make_run()


@pytest.fixture(scope="module")
def page(run: RunLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_replay(run, tmp_path_factory.mktemp("replay") / "run.html")


def unpacked(values: np.ndarray, step: float, order: int) -> np.ndarray:
    """What a page reads back, by this test's own decoder."""
    packer = Packer()
    packer.steps("a", values, step, order)
    out = packer.finish()
    raw = zlib.decompress(base64.b64decode(out["blob"]), -15)
    kind, shape, width, *_ = out["arrays"]["a"]
    assert kind == "i"
    count = int(np.prod(shape))
    folded = np.zeros(count, dtype=np.int64)
    for k in range(width):
        folded += np.frombuffer(raw, np.uint8, count, k * count).astype(np.int64) << (8 * k)
    whole = np.where(folded % 2 == 1, -(folded + 1) // 2, folded // 2).reshape(shape)
    for _ in range(order):
        whole = np.cumsum(whole, axis=-1)
    return whole * step


@pytest.mark.parametrize("order", [0, 1, 2])
def test_packed_numbers_come_back_to_half_a_step(order: int) -> None:
    rng = np.random.default_rng(0)
    for values in (
        rng.normal(0, 300, (3, 4, 50)),
        np.cumsum(rng.normal(0, 1, 200)),
        np.zeros((2, 0)),
        np.array([-1e6, 1e6]),
    ):
        assert np.abs(unpacked(values, 0.01, order) - values).max(initial=0.0) <= 0.005 + 1e-9


def test_packed_known_bytes() -> None:
    # 1.00, 1.01, 0.98 m in steps of 1 cm: differences 100, 1, -3 fold to 200, 2, 5.
    packer = Packer()
    packer.steps("a", [1.0, 1.01, 0.98], 0.01, 1)
    out = packer.finish(compress=False)
    assert base64.b64decode(out["blob"]) == bytes([200, 2, 5])
    assert out["arrays"]["a"][:3] == ["i", [3], 1]


def test_values_too_wide_for_whole_steps_are_kept_in_single_precision() -> None:
    packer = Packer()
    packer.steps("a", [0.0, 1e12], 0.001)
    assert packer.finish()["arrays"]["a"][0] == "f"


def test_drivers_have_the_names_of_the_simulator_s_codes() -> None:
    from drive.sim import Controller

    assert [name.upper() for name in CONTROLLERS] == [c.name for c in sorted(Controller)]


def test_gaps_are_held() -> None:
    got = filled(np.array([[9.0, 1, 2, 9, 9, 3], [9, 9, 9, 9, 9, 9]]), [[0, 1, 1, 0, 0, 1], [0] * 6])
    assert got.tolist() == [[1, 1, 2, 2, 2, 3], [0] * 6]


def test_page_is_small_deterministic_and_asks_for_nothing(page: Path, run: RunLog, tmp_path: Path) -> None:
    text = page.read_text()
    assert len(text) < 300_000
    again = write_replay(make_run(), tmp_path / "other-name.html")
    assert again.read_bytes() == page.read_bytes()
    assert not re.findall(r"""(?:src|href)=["'](?!data:,)""", text)
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_policy_allows_exactly_the_page_s_own_script_and_style(page: Path) -> None:
    text = page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_markup_from_data_stays_inside_the_data_block(run: RunLog, tmp_path: Path) -> None:
    bad = run.with_header(
        scenario={**run.header["scenario"], "id": MARKUP}, planner={"name": "<i>p</i>", "config": {}}
    )
    text = write_replay(bad, tmp_path / "bad.html").read_text()
    assert "<img" not in text
    assert "<b>bold" not in text
    assert text.count("</script>") == 2
    block = re.search(r'id="data">(.*?)</script>', text, re.S).group(1)
    assert "\u2028" not in block
    assert json.loads(block)["runs"][0]["scenario"]["id"] == MARKUP
    assert json_block({"a": "<!--</script>"}) == '{"a":"\\u003c!--\\u003c/script\\u003e"}'


def test_map_is_clipped_to_the_box_and_lines_are_drawn_once() -> None:
    whole, part = Packer(), Packer()
    roadmap = road()
    everything = pack_map(whole, "m", roadmap, (-1e4, -1e4, 1e4, 1e4), ORIGIN)
    x, y = ORIGIN
    pack_map(part, "m", roadmap, (x - 20, y - 20, x + 20, y + 20), ORIGIN)
    assert everything["lanes"] == 3
    assert part.finish()["arrays"]["m.points"][1][1] < whole.finish()["arrays"]["m.points"][1][1]
    left = base64.b64decode(whole.finish(compress=False)["blob"])
    kind, shape, _, _, _, at = whole.finish()["arrays"]["m.left_marking"]
    # r's left line is l's right line; the line against oncoming traffic is l's, o does not repeat it.
    assert (kind, shape) == ("u", [3])
    assert list(left[at : at + 3]) == [Marking.NONE, Marking.DOUBLE_SOLID, Marking.NONE]


def test_events_are_gathered_in_order(run: RunLog) -> None:
    failed = run.with_header(failure={"class": "planner_error", "reason": "ValueError: no"})
    got = [(e["time"], e["kind"], e["text"]) for e in events_of(failed)]
    assert got == [
        (pytest.approx(7.0), "status", "fallback: no proposal kept clear"),
        (pytest.approx(7.5), "status", "ok"),
        (9.3, "collision", "agent a7"),
        (pytest.approx(15.0), "planner_error", "ValueError: no"),
    ]
    told = [
        {"time": 3.0, "kind": "status", "detail": "degraded"},
        {"time": 9.0, "kind": "planner_error", "detail": "x"},
    ]
    kinds = [e["kind"] for e in events_of(failed.with_header(events=told))]
    assert kinds == ["status", "planner_error"]  # what the log tells itself is not told twice
    assert (
        events_of(run.with_header(events=[{"time": float("nan")}, 3, {"kind": "x"}], plan_status=None)) == []
    )


def test_command_writes_pages_of_files_and_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(agents=2)
    for name in ("idm", "pdm"):
        run.with_header(planner={"name": name, "config": {}}).save(tmp_path / "runs" / f"{name}.drive.npz")
    assert drive_command(["replay", str(tmp_path / "runs" / "pdm.drive.npz")]) == 0
    assert (tmp_path / "runs" / "pdm.html").read_text().startswith("<!doctype html>")
    assert drive_command(["replay", str(tmp_path), "-o", str(tmp_path / "both.html")]) == 0
    both = json.loads(
        re.search(r'id="data">(.*?)</script>', (tmp_path / "both.html").read_text(), re.S).group(1)
    )
    assert [r["planner"]["name"] for r in both["runs"]] == ["idm", "pdm"]
    assert len(both["maps"]) == 1  # one scenario, one map
    assert [p.name for p in find_runs(tmp_path, "idm")] == ["idm.drive.npz"]
    capsys.readouterr()
    for arguments, word in (
        ([str(tmp_path), "--filter", "nothing"], "holds no run log"),
        ([str(tmp_path / "absent")], "no such file"),
        ([str(tmp_path), "-o", "film.mp4"], "ends in .html"),
    ):
        assert drive_command(["replay", *arguments]) == 1
        assert word in capsys.readouterr().err
    with pytest.raises(InputError, match="at least one"):
        write_replay([], tmp_path / "none.html")


@browser
@pytest.mark.parametrize("time", [0.0, 7.25, 15.0])
def test_browser_draws_the_log_s_poses(page: Path, run: RunLog, time: float) -> None:
    got = selftest(page, f"t={time}")
    assert got["faults"] == []
    k = round(time / DT)
    low, w = int(time / DT + 1e-9), time / DT - int(time / DT + 1e-9)
    high = min(low + 1, N - 1)
    want = run.ego[low] * (1 - w) + run.ego[high] * w
    assert [got["ego"][c] for c in ("x", "y", "heading", "speed")] == pytest.approx(want[:4], abs=2e-3)
    assert got["plan"]["call"] == min(low, 149)
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
    assert np.abs(plan[:, 1:] - run.plan_states_of(got["plan"]["call"])[:, :2]).max() <= 0.01
    assert got["candidates"] == 8
    assert got["signals"] == [int(run.signals[0, k])] * 2 if w == 0 else got["signals"]
    assert got["charts"] == ["Speed", "Acceleration", "Time to collision", "Planning time"]


@browser
def test_browser_tells_scored_metrics_from_figures(run: RunLog, tmp_path: Path) -> None:
    scores = {
        "nuplan_cls": {
            "score": 0.5,
            "metrics": {
                "mean_speed": 0.0,
                "comfort": 0.0,
                "goal_reached": 1.0,
                "progress": 0.75,
                "ttc": None,
            },
            "scored": ["progress", "ttc", "comfort"],
        }
    }
    dom, said = open_page(write_replay(run.with_header(scores=scores), tmp_path / "scored.html"))
    assert said == ""
    section = dom[dom.index('<section id="scores">') :].partition("</section>")[0]
    scored, _, figures = section.partition("Figures, not scored")
    cells = [re.findall(r"<td[^>]*>([^<]*)</td>", part) for part in (scored, figures)]
    wanted = ["nuplan_cls", "0.500", "progress", "0.750", "ttc", "not applicable", "comfort", "0.000"]
    assert cells[0] == wanted
    assert sorted(zip(cells[1][::2], cells[1][1::2], strict=True)) == [
        ("goal reached", "yes"),
        ("mean speed", "0.000"),
    ]
    assert 'class="number bad">0.000' in scored
    assert "bad" not in figures


@browser
def test_browser_shows_markup_as_text_and_reaches_no_network(run: RunLog, tmp_path: Path) -> None:
    bad = run.with_header(
        scenario={**run.header["scenario"], "id": MARKUP},
        events=[{"time": 2.0, "kind": MARKUP, "note": MARKUP}],
    )
    page = write_replay(bad, tmp_path / "bad.html")
    dom, said = open_page(page, "selftest")
    assert said == ""
    assert "<img" not in dom
    assert "<b>bold" not in dom
    assert '<h1 id="title">&lt;/script&gt;&lt;img' in dom

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
        dom, said = open_page(page)
        server.shutdown()
    assert hits == []
    assert "Content Security Policy" in said
    assert "<title>owned" not in dom


@browser
def test_browser_opens_odd_runs_with_a_note(run: RunLog, tmp_path: Path) -> None:
    first = {
        name: getattr(run, name)[:1]
        for name in ("times", "ego", "logged_ego", "expert", "ego_yaw_acceleration")
    }
    none = replace(
        make_run(agents=0),
        **first,
        roadmap=None,
        agents=np.zeros((0, 1, 5)),
        agent_valid=np.zeros((0, 1), dtype=bool),
        signals=np.zeros((0, 1), dtype=np.uint8),
        ego_control=np.zeros((0, 2)),
        plan_step=np.zeros(0, dtype=np.int32),
        plan_latency=np.zeros(0),
        plan_start=np.zeros(1, dtype=np.int32),
        plan_times=np.zeros(0),
        plan_states=np.zeros((0, 7)),
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
    got = selftest(write_replay(none, tmp_path / "none.html"), "t=0")
    assert got["faults"] == []
    assert len(got["notes"]) == 3
    assert got["plan"] is None
    assert got["ego"]["x"] == pytest.approx(run.ego[0, 0], abs=2e-3)

    many = 1000
    crowd = make_run(agents=1)
    spread = np.zeros((many, N, 5))
    spread[..., 0] = ORIGIN[0] + np.arange(many)[:, None]
    spread[..., 1] = ORIGIN[1] - 30.0
    spread[7] = np.nan
    gappy = crowd.ego.copy()
    gappy[40:50] = np.nan
    crowd = replace(
        crowd,
        ego=gappy,
        agents=spread,
        agent_valid=np.ones((many, N), dtype=bool),
        agent_size=np.ones((many, 3)),
        agent_kind=np.full(many, 99, dtype=np.uint8),
        agent_controller=np.full(many, 9, dtype=np.uint8),
        agent_ids=(),
    )
    got = selftest(write_replay(crowd, tmp_path / "crowd.html", compress=False), "t=4.2")
    assert got["faults"] == []
    assert len(got["agents"]) == MAX_AGENTS
    assert got["ego"] is None
    assert any("999 road users" in note for note in got["notes"])


@browser
def test_browser_shows_runs_of_one_scenario_side_by_side(run: RunLog, tmp_path: Path) -> None:
    page = write_replay([run, make_run(name="idm", shift=1.0)], tmp_path / "two.html")
    got = selftest(page, "t=6&run=1")
    assert (got["run"], got["planner"]) == (1, "idm")
    assert got["ego"]["speed"] == pytest.approx(7.761, abs=0.02)  # 10 - 3 sin(2.1)^2
    assert selftest(page, "t=6")["planner"] == "pdm"


def test_page_builder_escapes_the_title() -> None:
    assert "<title>&lt;b&gt;</title>" in build_page("<b>", "<p>x</p>", "", "")
