"""Rules of the road on drives made by hand, on generated ones, and on recorded ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drive import stl
from drive.api import load_scenario
from drive.cli import main
from drive.errors import InputError, UnknownNameError
from drive.eval.metrics.base import judge, load_score
from drive.eval.metrics.carla import CARLA_2_1
from drive.eval.metrics.rules import RulesScore, judged
from drive.eval.metrics.rules.listing import everyone, listed, recorded_drive
from drive.eval.metrics.rules.signals import SIGNALS
from drive.eval.metrics.rules.way import Drive
from drive.roadmap import AreaKind, LaneSpec, RoadMapBuilder
from drive.runlog import RunLog
from drive.stl.book import load_book, read_book
from drive.vehicle import AgentKind

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "commonroad" / "recorded"
BOOK = load_book()


def signal(run, name):
    return SIGNALS[name][0](Drive(run))


def crossing(give_way: bool = False, light: bool = False):
    """A road along +x with a line at x = 40, and one across it from south to north at x = 50."""
    builder = RoadMapBuilder()
    x = np.linspace(-50.0, 40.0, 30)
    line = {"stop_station": 90.0} if give_way or light else {}
    line |= {"signal": "s"} if light else {}
    sides = np.stack((x, 0 * x + 2), 1), np.stack((x, 0 * x - 2), 1)
    builder.add(LaneSpec("in", *sides, successors=("out",), **line))
    x = np.linspace(40.0, 200.0, 50)
    builder.add(LaneSpec("out", np.stack((x, 0 * x + 2), 1), np.stack((x, 0 * x - 2), 1)))
    y = np.linspace(-100.0, 100.0, 60)
    builder.add(LaneSpec("across", np.stack((0 * y + 48, y), 1), np.stack((0 * y + 52, y), 1)))
    return builder.build()


def northbound(hand, at: float, samples: int):
    """A car at 10 m/s along x = 50 whose centre is at y = 0 at time `at`."""
    y = 10.0 * (0.1 * np.arange(samples) - at)
    pose = np.stack((np.full(samples, 50.0), y, np.full(samples, math.pi / 2)), 1)
    return hand.agent(pose, (0.0, 10.0))


# --- The book ---


def test_the_own_book_reads_signals_that_exist() -> None:
    assert set(BOOK.signals) <= set(SIGNALS)
    assert {
        "speed_limit",
        "headway",
        "side_vehicle",
        "lane_keeping",
        "red_light",
        "stop_sign",
        "yield",
        "goal",
    } <= {rule.name for rule in BOOK.rules}
    assert "0.9 s behind" in BOOK.rule("headway").sentence
    changed = BOOK.with_parameters({"headway": {"time": 2.0}})
    assert "headway >= 2" in str(changed.rule("headway").bound)
    assert BOOK.rule("headway").parameters["time"] == 0.9
    with pytest.raises(UnknownNameError, match="'tim'; did you mean 'time'"):
        BOOK.with_parameters({"headway": {"tim": 2.0}})


def test_thresholds_may_be_given_one_a_trace() -> None:
    template = BOOK.rule("speed_limit").template
    assert str(template) == "always once[0, 1] (speed <= limit + over)"
    speed = np.array([[10.0, 14.0, 14.0], [10.0, 14.0, 14.0]])
    found = stl.compile(template, 1.0)({"speed": speed}, {"limit": np.array([10.0, 15.0]), "over": 1.0})
    assert found.tolist() == [-3.0, 2.0]
    faster = BOOK.with_parameters({"speed_limit": {"over": 2.0}})
    assert faster.digest != BOOK.digest == load_book().digest


HEAD = 'schema = "drive-rules/1"\n'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = ", "is not TOML"),
        ("[rules.a]\nformula = 'x'", "is no rule book"),
        (HEAD, "has no rules"),
        (HEAD + "[rules.a]\ntext = 'x'", "rule 'a' has no formula"),
        (HEAD + "[rules.a]\nformula = 'always ('", "rule 'a': formula, column 9"),
        (HEAD + "[rules.a]\nformula = 'x'\nformla = 'y'", "did you mean 'formula'"),
        (HEAD + "[rules.a]\nformula = 'x > 1'\nparameters = { t = 1 }", "does not use the parameter 't'"),
        (HEAD + "[rules.a]\nformula = 'x > t'\nparameters = { t = nan }", "finite numbers"),
        (HEAD + "[rules.a]\nformula = 'x'\nend = 'hold'", "hold_last"),
        (HEAD + "[rules.a]\nformula = 'once[3, t] x'\nparameters = { t = 1 }", "ends before"),
        (HEAD + "[rules.a]\nformula = 'always true'", "reads no signal"),
    ],
)
def test_bad_books_are_named(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as told:
        read_book(text, "mine.toml")
    assert "mine.toml" in str(told.value)


def test_a_book_of_ones_own(tmp_path: Path, hand) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + 'name = "mine"\n[rules.crawl]\ntext = "at most {top} m/s"\nformula = "always (speed <= top)"\n'
        'unit = "m/s"\nparameters = { top = 8 }\n'
        '[rules.own]\nformula = "always (series_jerk <= 1)"\n'
    )
    label, _ = load_score(str(path))
    run = hand.run(hand.drive(0.0, 10.0, 21), roadmap=hand.road())
    found = judge(str(path), run)
    assert (label, found.score, found.metrics["crawl"].score) == ("mine", 0.0, 0.0)
    assert found.metrics["robustness_crawl"].score == pytest.approx(-2.0)
    assert found.metrics["own"].score is None
    with_series = judge(str(path), run.with_series(jerk=np.zeros(21)))
    assert (with_series.score, with_series.metrics["own"].score) == (0.5, 1.0)
    path.write_text(HEAD + '[rules.a]\nformula = "always (sped <= 8)"\n')
    with pytest.raises(UnknownNameError, match="'sped'; did you mean 'speed'"):
        load_score(str(path))


# --- Rules on drives made by hand: a car of 4 m by 2 m ---


def test_speed_limit(hand) -> None:
    speed = np.where(np.arange(61) < 20, 9.0, np.where(np.arange(61) < 45, 12.5, 9.0))
    x = np.concatenate(([0.0], np.cumsum(speed[:-1]) * 0.1))
    run = hand.run(hand.states(np.stack((x, 0 * x), 1), speed=speed), roadmap=hand.road(limit=10.0))
    verdict = judged(BOOK, run)["speed_limit"]
    # 1 m/s over is borne, and for 1 s more: from 2.0 s on it is 1.5 m/s too fast, and so broken at 3.0 s.
    assert verdict.robustness == pytest.approx(-1.5)
    assert verdict.broken_at == pytest.approx(3.0)
    assert verdict.predicate == "speed <= limit + 1"
    free = hand.run(hand.drive(0.0, 30.0, 30), roadmap=hand.road(limit=None))
    assert "speed_limit" not in judged(BOOK, free)


def test_headway(hand) -> None:
    def follow(gap: float):
        x = 4.0 + gap + np.arange(51) * 1.0
        lead = hand.agent(np.stack((x, 0 * x, 0 * x), 1), (10.0, 0.0))
        return hand.run(hand.drive(0.0, 10.0, 51), [lead], hand.road())

    run = follow(6.0)
    assert signal(run, "lead_gap") == pytest.approx(np.full(51, 6.0), abs=0.02)
    verdict = judged(BOOK, run)["headway"]
    assert verdict.robustness == pytest.approx(-0.3, abs=0.01)
    assert verdict.broken_at == pytest.approx(3.0)
    assert judged(BOOK, follow(12.0))["headway"].robustness == pytest.approx(0.3, abs=0.01)
    assert "headway" not in judged(BOOK, hand.run(hand.drive(0.0, 10.0, 51), [], hand.road()))
    beside = hand.agent(np.stack((20 + np.arange(51.0), np.full(51, 4.0), np.zeros(51)), 1), (10.0, 0.0))
    assert np.isinf(signal(hand.run(hand.drive(0.0, 10.0, 51), [beside], hand.road()), "lead_gap")).all()


def test_sideways_room(hand) -> None:
    parked = hand.agent((20.0, 2.2, 0.0), kind=AgentKind.STATIC)
    person = hand.agent((30.0, -2.2, 0.0), size=(0.6, 0.6), kind=AgentKind.PEDESTRIAN)
    run = hand.run(hand.drive(0.0, 10.0, 51), [parked, person], hand.road([(-6.0, 6.0)]))
    found = judged(BOOK, run)
    assert found["side_vehicle"].robustness == pytest.approx(0.2 - 0.3)
    # The boxes lie beside each other while the centres are less than 4 m apart: from x = 16.
    assert found["side_vehicle"].broken_at == pytest.approx(1.7, abs=0.05)
    assert found["side_person"].robustness == pytest.approx(2.2 - 1.0 - 0.3 - 1.0)
    assert found["no_contact"].robustness == pytest.approx(0.2)


def test_contact_counts_while_moving(hand) -> None:
    wall = hand.agent((20.0, 0.0, 0.0), kind=AgentKind.STATIC)
    run = hand.run(hand.drive(0.0, 10.0, 31), [wall], hand.road())
    verdict = judged(BOOK, run)["no_contact"]
    assert verdict.broken_at == pytest.approx(1.7, abs=0.05)
    hit = hand.agent(np.stack((np.linspace(-30, 0, 31), np.zeros(31), np.zeros(31)), 1), (10.0, 0.0))
    assert judged(BOOK, hand.run(hand.drive(0.0, 0.0, 31), [hit], hand.road()))["no_contact"].kept


def test_road_and_lane(hand) -> None:
    y = np.concatenate((np.zeros(20), np.linspace(0.0, 1.9, 11), np.full(60, 1.9)))
    center = np.stack((np.arange(91.0), y), 1)
    run = hand.run(hand.states(center, speed=10.0), roadmap=hand.road([(-2.0, 2.0), (2.0, 6.0)]))
    found = judged(BOOK, run)
    # From 2.7 s on (y = 1.33) a corner is 0.2 m over the marking; 5 s later it has not come back.
    assert found["lane_keeping"].broken_at == pytest.approx(7.7, abs=0.11)
    assert found["lane_keeping"].robustness == pytest.approx(-0.9 + 0.2, abs=0.01)
    assert found["on_road"].robustness == pytest.approx(1.0 + 0.3, abs=0.01)
    off = judged(BOOK, hand.run(hand.states(center, speed=10.0), roadmap=hand.road([(-2.0, 2.0)])))
    assert off["on_road"].robustness == pytest.approx(-0.9 + 0.3, abs=0.01)


def test_the_end_of_the_map_is_no_edge_of_the_road(hand) -> None:
    run = hand.run(hand.drive(380.0, 10.0, 21), roadmap=hand.road(ends=(-100.0, 400.0)))
    assert judged(BOOK, run)["on_road"].kept


@pytest.mark.parametrize(
    ("red_from", "red_to", "kept"),
    [
        (0, 101, False),
        (0, 20, True),  # it is green when the front passes the line, at 3.8 s
        (39, 101, True),  # it turns red when the front is past
        (37, 101, False),
    ],
)
def test_red_light(hand, red_from: int, red_to: int, kept: bool) -> None:
    run = hand.run(hand.drive(0.0, 10.0, 101), roadmap=crossing(light=True))
    signals = np.ones((1, 101), dtype=np.uint8)
    signals[0, red_from:red_to] = 3
    verdict = judged(BOOK, replace(run, signals=signals))["red_light"]
    assert verdict.kept is kept
    if not kept:
        assert verdict.broken_at == pytest.approx(3.9, abs=0.01)
        assert verdict.predicate == "light_line >= 0"


def test_who_stops_at_the_light_keeps_the_rule(hand) -> None:
    x = np.minimum(10.0 * 0.1 * np.arange(101), 37.5)
    run = hand.run(
        hand.states(np.stack((x, 0 * x), 1), speed=np.gradient(x, 0.1)), roadmap=crossing(light=True)
    )
    verdict = judged(BOOK, replace(run, signals=np.full((1, 101), 3, dtype=np.uint8)))["red_light"]
    assert verdict.robustness == pytest.approx(0.5)


@pytest.mark.parametrize(("least", "kept"), [(0.0, True), (2.0, False)])
def test_stop_sign(hand, least: float, kept: bool) -> None:
    builder = RoadMapBuilder()
    x = np.linspace(-50.0, 200.0, 80)
    builder.add(LaneSpec("a", np.stack((x, 0 * x + 2), 1), np.stack((x, 0 * x - 2), 1)))
    builder.add_area([(40.0, -2.0), (44.0, -2.0), (44.0, 2.0), (40.0, 2.0)], AreaKind.STOP, "stop_sign 7")
    t = 0.1 * np.arange(101)
    speed = np.maximum(np.abs(t - 5.0) * 3.0, least)
    at = np.concatenate(([0.0], np.cumsum(speed[:-1]) * 0.1))
    run = hand.run(hand.states(np.stack((at, 0 * at), 1), speed=speed), roadmap=builder.build())
    verdict = judged(BOOK, run)["stop_sign"]
    assert verdict.kept is kept
    assert verdict.robustness == pytest.approx(0.3 - least, abs=1e-6)
    assert verdict.predicate == "speed <= 0.3"


@pytest.mark.parametrize(("late", "kept"), [(0.6, False), (3.0, True), (-2.0, True)])
def test_yield(hand, late: float, kept: bool) -> None:
    """The ego is at x = 50 at 5 s; somebody with right of way `late` s later (or earlier)."""
    run = hand.run(hand.drive(0.0, 10.0, 121), [northbound(hand, 5.0 + late, 121)], crossing(give_way=True))
    verdict = judged(BOOK, run)["yield"]
    assert verdict.kept is kept
    if late == 3.0:
        # Boxes 4 m by 2 m: one's place is free 0.3 s after its middle, the other's begins 0.3 s before.
        assert verdict.robustness == pytest.approx(late - 0.6 - 1.0, abs=0.21)
    alone = judged(BOOK, hand.run(hand.drive(0.0, 10.0, 121), [], crossing(give_way=True)))
    assert alone["yield"].robustness == math.inf


def test_goal(hand) -> None:
    def drive(speed: float):
        ego = hand.drive(0.0, speed, 101)
        return hand.run(ego, [], hand.road(), goal={"position": [60.0, 0.0], "time": [0.0, 10.0]})

    assert judged(BOOK, drive(8.0))["goal"].kept
    missed = judged(BOOK, drive(4.0))["goal"]
    assert not missed.kept
    assert missed.predicate == "at_goal"
    assert missed.broken_at == pytest.approx(10.0)


@pytest.mark.parametrize(("y", "kept"), [(4.0, True), (0.0, False)])
def test_exit_lane(hand, y: float, kept: bool) -> None:
    """Two lanes; the route changes to the left one, and so does its expert, who shows that it can be done."""
    expert = hand.drive(0.0, 10.0, 51, y=4.0)
    road = hand.road([(-2.0, 2.0), (2.0, 6.0)])
    changed = hand.states(np.stack((np.arange(51.0), np.linspace(0.0, y, 51)), 1), speed=10.0)
    run = hand.run(changed, [], road, expert=expert, route_lanes=(0, 1))
    assert judged(BOOK, run)["exit_lane"].kept is kept
    stays = hand.run(changed, [], road, expert=hand.drive(0.0, 10.0, 51), route_lanes=(0, 1))
    assert "exit_lane" not in judged(BOOK, stays)


# --- The score ---


def test_what_does_not_apply_is_left_out(hand) -> None:
    found = judge("rules", hand.run(hand.drive(0.0, 5.0, 31), [], hand.road()))
    assert found.metrics["red_light"].score is None
    assert found.metrics["headway"].score is None
    assert found.metrics["speed_limit"].score == 1.0
    bare = judge("rules", hand.run(hand.drive(0.0, 5.0, 31)))
    assert bare.metrics["on_road"].score is None
    assert bare.metrics["no_contact"].score == 1.0


def test_the_header_tells_when_and_by_what(hand) -> None:
    run = hand.run(hand.drive(0.0, 14.0, 31), [], hand.road(limit=10.0))
    evaluation = RulesScore().evaluate(run)
    header = json.loads(json.dumps(evaluation.to_header(), allow_nan=False))
    assert header["moments"] == {"speed_limit": pytest.approx(1.0)}
    told = header["rules"]["speed_limit"]
    assert told["predicate"] == "speed <= limit + 1"
    assert told["robustness"] == pytest.approx(-3.0)
    trace, which = (evaluation.series[f"rule.speed_limit{part}"] for part in ("", ".predicate"))
    assert trace[20] == pytest.approx(-3.0)
    assert told["predicates"][int(which[20])] == "speed <= limit + 1"


def test_the_trace_is_by_the_text_alone(hand) -> None:
    """What the score says of a rule is what its formula says of the signals, worked out afresh."""
    run = hand.run(hand.drive(0.0, 11.5, 31), [], hand.road(limit=10.0))
    formula = stl.bind(stl.parse("once[0, patience] (speed <= limit + over)"), {"patience": 1.0, "over": 1.0})
    expected = stl.compile(formula, 0.1, end="optimistic").trace(
        {"speed": np.full(31, 11.5), "limit": np.full(31, 10.0)}
    )
    np.testing.assert_allclose(judged(BOOK, run)["speed_limit"].trace, expected)


def test_short_failed_and_odd_runs(hand) -> None:
    one = hand.run(hand.drive(0.0, 5.0, 1), [], hand.road())
    assert all(metric.score is None for metric in judge("rules", one).metrics.values())
    failed = hand.run(
        hand.drive(0.0, 5.0, 9), [], hand.road(), failure={"class": "planner_error", "reason": "x"}
    )
    assert RulesScore().evaluate(failed).score == 0.0
    broken = hand.drive(0.0, 5.0, 9)
    broken[4, 0] = np.nan
    assert judged(BOOK, hand.run(broken, [], hand.road())) == {}


def test_the_guide_names_every_signal_and_every_rule() -> None:
    guide = Path(__file__).parents[2] / "docs" / "rules.md"
    if not guide.is_file():
        pytest.skip("the guide is not installed")
    text = guide.read_text(encoding="utf-8")
    rows = {line.split("`")[1] for line in text.splitlines() if line.startswith("| `")}
    assert set(SIGNALS) <= rows
    for rule in BOOK.rules:
        assert f"{rule.name} " in text
        assert f" {rule.formula}" in text


# --- Drives of generated and recorded drivers ---


def test_generated_drivers_keep_the_rules_and_red_lights_agree_with_carla() -> None:
    from drive.api import run as drive_run

    refs = ["gen/signalised_intersection/0", "gen/t_junction_yield/1"]
    found = listed(BOOK, [(ref, lambda ref=ref: recorded_drive(load_scenario(ref))) for ref in refs])
    assert found.broken() == []
    assert {row["rule"]: row["applies"] for row in found.table()}["red_light"] == 1
    log = drive_run("constant", "gen/signalised_intersection/0", scores=["rules"])
    judgement = log.header["scores"]["rules"]
    assert judgement["metrics"]["red_light"] == 0.0
    assert CARLA_2_1.evaluate(log).metrics["red_light"].score == 1.0


def test_recorded_drivers() -> None:
    if not SHARED.is_dir():
        pytest.skip("the recorded CommonRoad scenes are not here")
    path = str(SHARED / "USA_US101-8_1_T-1.xml")
    refs = everyone(load_scenario, [f"{path}#USA_US101-8_1_T-1@27", f"{path}#USA_US101-8_1_T-1@40"])
    assert len(refs) == len(set(refs)) > 20
    found = listed(BOOK, [(ref, lambda ref=ref: recorded_drive(load_scenario(ref))) for ref in refs])
    assert len(found.verdicts) == len(refs)
    by_rule = {row["rule"]: row for row in found.table()}
    # People keep their lane on a motorway and touch nobody; some follow closely.
    assert by_rule["no_contact"]["broken"] == by_rule["on_road"]["broken"] == 0
    assert 0 < by_rule["headway"]["broken"] <= 0.3 * by_rule["headway"]["applies"]
    # The ego is where the recording has it.
    run = recorded_drive(load_scenario(refs[0]))
    np.testing.assert_allclose(run.ego[:, :2], run.expert[:, :2], atol=1e-9)
    ghost = listed(BOOK, [("x", lambda: recorded_drive(load_scenario(path)))])
    assert "no recorded driver" in ghost.problems[0]


def test_the_command(hand, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = hand.run(hand.drive(0.0, 14.0, 31), [], hand.road(limit=10.0))
    run.save(tmp_path / "fast.drive.npz")
    (tmp_path / "broken.drive.npz").write_bytes(b"PK")
    assert main.run(["rules", str(tmp_path), "--json", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "left out: broken.drive.npz is truncated" in told.err
    data = json.loads(told.out)
    assert data["drives"] == 1
    assert [(b["rule"], b["drive"], b["predicate"]) for b in data["broken"]] == [
        ("speed_limit", "fast", "speed <= limit + 1")
    ]
    kept = RunLog.load(tmp_path / "out" / "hand.drive.npz")
    assert kept.header["scores"]["rules"]["moments"]["speed_limit"] == pytest.approx(1.0)
    assert (tmp_path / "out" / "hand.html").is_file()
    assert main.run(["rules", str(tmp_path / "broken.drive.npz")]) == 1
    assert "no drive could be judged" in capsys.readouterr().err
    assert main.run(["rules"]) == 0
    assert "always once[0, patience] (slow or headway >= time)" in capsys.readouterr().out
