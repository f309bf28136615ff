"""The replay page's making: what it holds, how it is packed, which events it tells, what the command says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from drive.cli.main import run as drive_command
from drive.errors import InputError
from drive.eval.replay import find_runs, load_runs, write_replay
from drive.eval.replay.events import along_route, events_of, moments_of
from drive.eval.replay.mapdata import pack_map
from drive.eval.replay.pack import Packer, filled
from drive.eval.replay.page import build_page, json_block
from drive.eval.replay.rundata import CONTROLLERS, pack_run
from drive.eval.replay.thin import MAX_SAMPLES, thinned
from drive.roadmap import Marking
from drive.runlog import RunLog
from drive.sim import Controller

RUNS = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_runs.py"))))
DT, N, ORIGIN, make_run, road = RUNS.DT, RUNS.N, RUNS.ORIGIN, RUNS.make_run, RUNS.road
MARKUP = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b> & \u2028"


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
    assert [name.upper() for name in CONTROLLERS] == [c.name for c in sorted(Controller)]


@pytest.mark.parametrize(
    ("traffic", "by"),
    [("rift:safe", "rift:safe"), ("idm_brisk", "a storyboard"), ("<b>", "<b>"), (None, "trajectory")],
)
def test_who_is_moved_along_trajectories_is_driven_by_the_traffic(
    run: RunLog, traffic: str | None, by: str
) -> None:
    moved = replace(
        run,
        agent_controller=np.full(len(run.agent_controller), Controller.TRAJECTORY, dtype=np.uint8),
        header={**run.header, "traffic": traffic},
    )
    told = pack_run(Packer(), "run", moved, np.zeros(2))
    assert {agent["controller"] for agent in told["agents"]} == {by}


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
    run.save(tmp_path / "runs" / "gen_cut_in_3.drive.npz")
    assert [p.name for p in find_runs(tmp_path, "gen/cut_in/3")] == ["gen_cut_in_3.drive.npz"]
    capsys.readouterr()
    for arguments, word in (
        ([str(tmp_path), "--filter", "nothing"], "holds no run log"),
        ([str(tmp_path / "absent")], "no such file"),
        ([str(tmp_path), "-o", "film.avi"], "ends in .html"),
        ([str(tmp_path), "--size", "big", "-o", "film.mp4"], "--size big: give width and height"),
    ):
        assert drive_command(["replay", *arguments]) == 1
        assert word in capsys.readouterr().err
    with pytest.raises(InputError, match="at least one"):
        write_replay([], tmp_path / "none.html")


def test_spells_become_events_and_metrics_know_their_moments(run: RunLog) -> None:
    edge, ttc, over = np.full(N, 1.0), np.full(N, np.inf), np.zeros(N)
    edge[20:25], edge[27] = -0.5, -0.8  # two spells 0.2 s apart are one
    edge[90] = -0.2  # less than what counts as off the road
    ttc[40:44] = [0.9, 0.5, 0.7, 1.2]
    over[60:70], over[65] = 1.0, 3.0
    ego = run.ego.copy()
    ego[:, 4] = 0.0
    ego[100:103, 4] = -4.5
    told = replace(run, ego=ego).with_series(
        road_edge_distance=edge, time_to_collision=ttc, overspeed=over, jerk=np.zeros(N)
    )
    told = told.with_header(events=[], plan_status=[])
    assert [(round(e["time"], 6), e["kind"], e["text"]) for e in events_of(told)] == [
        (2.0, "off_road", "0.8 m beyond the edge, until 2.7 s"),
        (4.0, "low_time_to_collision", "0.50 s, until 4.2 s"),
        (10.0, "hard_braking", "-4.5 m/s², until 10.2 s"),
    ]
    jerk = np.zeros(N)
    jerk[33] = -9.0
    moments = moments_of(told.with_series(longitudinal_jerk=jerk), (np.zeros(N), np.linspace(0.0, 4.0, N)))
    assert {k: round(v, 6) for k, v in moments.items()} == {
        "drivable_area_compliance": 2.0,
        "time_to_collision_within_bound": 4.1,
        "min_time_to_collision": 4.1,
        "speed_limit_compliance": 6.5,
        "ego_is_comfortable": 3.3,
        "ego_progress_along_expert_route": 15.0,
        "ego_is_making_progress": 15.0,
    }


def test_a_collision_says_whose_fault_it_was(run: RunLog) -> None:
    fault = np.zeros(N)
    fault[93] = 1.0
    collision = [{"time": 9.3, "kind": "collision", "agent": "a7"}, {"time": 5.0, "kind": "collision"}]
    told = run.with_header(events=collision, plan_status=[]).with_series(
        at_fault_collisions=fault, time_to_collision=np.full(N, 9.0)
    )
    assert [e["text"] for e in events_of(told)] == ["not at fault", "agent a7, at fault"]


def test_station_and_offset_on_a_route_with_a_corner(run: RunLog) -> None:
    # East for 10 m, then north: a metre left and right of either part, and one pose that is not known.
    cornered = replace(run, route_line=np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]))
    poses = np.array([[4.0, 1.0, 0], [4.0, -1.0, 0], [9.0, 6.0, 0], [12.0, 6.0, 0], [np.nan, 0, 0]])
    station, offset = along_route(cornered, poses)
    assert station.tolist() == pytest.approx([4.0, 4.0, 16.0, 16.0, np.nan], nan_ok=True)
    assert offset.tolist() == pytest.approx([1.0, -1.0, 1.0, -2.0, np.nan], nan_ok=True)
    assert along_route(replace(run, route_line=np.zeros((0, 2))), poses)[0].size == 0


def test_a_long_run_is_thinned_with_its_calls(run: RunLog) -> None:
    notes: list[str] = []
    assert thinned(run, notes) is run
    times = DT * np.arange(2 * MAX_SAMPLES)
    n = len(times)
    calls = np.arange(0, n, 3)
    long = replace(
        make_run(agents=0),
        times=times,
        ego=np.tile(run.ego[:1], (n, 1)),
        agents=np.zeros((0, n, 5)),
        agent_valid=np.zeros((0, n), dtype=bool),
        signals=np.zeros((1, n), dtype=np.uint8),
        plan_step=calls.astype(np.int32),
        plan_latency=0.001 * calls,
        plan_start=(2 * np.arange(len(calls) + 1)).astype(np.int32),
        plan_times=np.repeat(times[calls], 2),
        plan_states=np.zeros((2 * len(calls), 7), dtype=np.float32),
        cand_start=np.zeros(len(calls) + 1, dtype=np.int32),
        cand_poses=np.zeros((0, 9, 3), dtype=np.float32),
        cand_score=np.zeros(0),
        expert=np.zeros((0, 7)),
        logged_ego=np.zeros((n, 3)),
        series={"by_sample": times, "by_call": calls.astype(float), "neither": np.zeros(5)},
        header={**run.header, "plan_status": ["ok"] * (len(calls) - 1) + ["fallback"], "plan_reason": {}},
    )
    got = thinned(long, notes)
    assert len(notes) == 1
    assert "one in 2" in notes[0]
    assert np.array_equal(got.times, times[::2])
    # Each call that is kept is still at its sample, with its own plan and figures.
    assert np.array_equal(got.plan_step[:4], [0, 1, 3, 4])
    assert np.array_equal(got.series["by_call"][:4], [0, 3, 6, 9])
    assert np.allclose(got.plan_times[::2], got.plan_latency / 0.001 * DT)
    assert got.header["plan_status"][-1] == "fallback"
    assert len(got.header["plan_status"]) == len(got.plan_step)
    got.check()


def test_unreadable_runs_are_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = make_run(agents=1).save(tmp_path / "good.drive.npz")
    (tmp_path / "cut.drive.npz").write_bytes(good.read_bytes()[:-2000])
    old = tmp_path / "old.drive.npz"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b"drive-run/1", b"drive-run/0"))
    assert drive_command(["replay", str(tmp_path), "-o", str(tmp_path / "x.html")]) == 1
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "x.html")
    lines = said.err.strip().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("left out: cut.drive.npz is truncated")
    assert "old.drive.npz has version 'drive-run/0'" in lines[1]
    assert "2 of 3 runs could not be read" in lines[2]
    data = json.loads(
        re.search(r'id="data">(.*?)</script>', (tmp_path / "x.html").read_text(), re.S).group(1)
    )
    assert [note for note in data["runs"][0]["notes"] if "cut.drive.npz" in note]
    logs, problems = load_runs([tmp_path / "cut.drive.npz", old])
    assert not logs
    assert len(problems) == 2


def test_a_page_opens_even_where_no_run_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "<b>bad.drive.npz"
    bad.write_bytes(b"PK")
    page = tmp_path / "y.html"
    assert drive_command(["replay", str(bad), "-o", str(page)]) == 1
    said = capsys.readouterr()
    assert said.out.strip() == str(page)
    assert "bad.drive.npz" in said.err
    text = page.read_text()
    assert "No run to replay" in text
    assert "&lt;b&gt;bad.drive.npz" in text
    # A page of better times beside the run is not written over unasked.
    beside = tmp_path / "<b>bad.html"
    beside.write_text("mine")
    assert drive_command(["replay", str(bad)]) == 1
    assert beside.read_text() == "mine"
    # A film of nothing is none.
    assert drive_command(["replay", str(bad), "-o", str(tmp_path / "z.gif")]) == 1
    assert not (tmp_path / "z.gif").exists()


def test_a_run_of_thirty_two_agents_with_candidates_stays_small(tmp_path: Path) -> None:
    # Noise of a centimetre in every pose, more than a simulator makes: smooth motion packs better.
    rng = np.random.default_rng(0)
    run = make_run(agents=32)
    rough = replace(run, agents=run.agents + rng.normal(0.0, 0.01, run.agents.shape))
    assert write_replay(rough, tmp_path / "rough.html").stat().st_size < 300_000


def test_notebooks_get_a_frame_without_access_to_them() -> None:
    frame = make_run(agents=1)._repr_html_()
    assert frame.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert frame.count("<") == 2  # the frame's own two tags
    assert 'sandbox="allow-scripts allow-downloads"' in frame


def test_page_builder_escapes_the_title() -> None:
    assert "<title>&lt;b&gt;</title>" in build_page("<b>", "<p>x</p>", "", "")
