"""Suites and filter expressions: what is chosen, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import drive
from drive.errors import InputError, UnknownNameError
from drive.eval.bench.select import parse_filter
from drive.eval.bench.suites import load_suite, suite_hash, suite_names

NAMES = ("id", "family", "tags", "duration", "agents")
ROW = {"id": "gen/cut_in/17", "family": "cut_in", "tags": ["dense", "night"], "duration": 15.0, "agents": 12}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("family == 'cut_in'", True),
        ("family == 'cut_in' and 'dense' in tags", True),
        ("family == 'cut_in' and not 'dense' in tags", False),
        ("'rain' in tags or agents > 10", True),
        ("'rain' not in tags", True),
        ("10 < agents <= 12", True),
        ("10 < agents < 12", False),
        ("family in ('dense_merge', 'cut_in')", True),
        ("family != 'cut_in' or duration < 10", False),
        ("'cut_in/17' in id", True),
        ("agents > -1", True),
        ("tags", True),
    ],
)
def test_what_a_filter_accepts(text: str, expected: bool) -> None:
    assert parse_filter(text, NAMES)(ROW) is expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "id.__class__",
        "tags[0] == 'dense'",
        "(lambda: True)()",
        "[t for t in tags]",
        "f'{id}'",
        "agents + 1 > 2",
        "'a' if agents else 'b'",
        "family = 'cut_in'",
        "family ==",
        "",
        "None == id",
        "(" * 500 + "agents" + ")" * 500,
    ],
)
def test_what_a_filter_refuses(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_filter(text, NAMES)
    assert "\n" not in str(error.value)


def test_a_filter_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'family'"):
        parse_filter("famly == 'cut_in'", NAMES)


def test_a_filter_that_compares_apples_with_pears() -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        parse_filter("agents < 'many'", NAMES)(ROW)


def test_the_suites_are_disjoint_and_of_the_promised_size() -> None:
    assert {"mini", "val", "test"} <= set(suite_names())
    refs = {name: load_suite(name).refs for name in ("mini", "val", "test")}
    assert {name: len(each) for name, each in refs.items()} == {"mini": 32, "val": 160, "test": 512}
    assert len(set().union(*refs.values())) == 32 + 160 + 512
    assert "gen/signalised_intersection/100" in refs["val"]


def test_an_unknown_suite_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mini'"):
        load_suite("minni")
    with pytest.raises(UnknownNameError, match="unknown suite"):
        load_suite("../suites/mini")


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('families = ["cut_in"]\nseeds = [3, 5]\nscenarios = ["logs/a.xml"]\nego = "recorded"\n')
    suite = load_suite(file)
    assert suite.id == "mine"
    assert suite.ego == "recorded"
    assert suite.refs == ("gen/cut_in/3", "gen/cut_in/5", str(tmp_path / "logs/a.xml"))


def test_a_suite_says_what_its_scenes_are_meant_for(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'families = ["stop_for_lead"]\nseeds = [1]\ntraffic = "log"\nvisibility = "line_of_sight:40"\n'
        'detection = "flicker=1"\n'
    )
    options = {"suite": file, "out": tmp_path / "a", "report": False, "jobs": 1}
    found = drive.bench(["constant"], **options).data
    assert [found[key] for key in ("traffic", "visibility", "detection")] == [
        "log", "line_of_sight:40", "flicker=1",
    ]  # fmt: skip
    options["out"] = tmp_path / "b"
    asked = drive.bench(["constant"], traffic="idm", detection="none", **options)
    assert [asked.data[key] for key in ("traffic", "visibility", "detection")] == [
        "idm", "line_of_sight:40", "none",
    ]  # fmt: skip
    log = asked.run_log("constant", "gen/stop_for_lead/1")
    assert [log.header[key] for key in ("traffic", "visibility", "detection")] == [
        "idm", "line_of_sight:40", "none",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("families = [", "not TOML"),
        ('familys = ["cut_in"]', "did you mean 'families'"),
        ('families = ["cut_in"]', "both families and seeds"),
        ('families = ["cut_in"]\nseeds = "5:5"', "seeds must be"),
        ('families = ["cut_in"]\nseeds = "all"', "seeds must be"),
        ('families = "cut_in"\nseeds = "0:2"', "list of texts"),
        ('scenarios = ["a.xml"]\nego = "anyone"', "unknown ego"),
        ('scenarios = ["a.xml"]\ntraffic = 3', "traffic must be a text"),
        ("", "names no scenarios"),
    ],
)
def test_a_bad_suite_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load_suite(file)
    assert "\n" not in str(error.value)


def test_a_missing_suite_file() -> None:
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        load_suite("nowhere.toml")


def test_the_suite_hash_follows_content_and_not_order() -> None:
    pairs = [("a", "1"), ("b", "2")]
    assert suite_hash(pairs) == suite_hash(reversed(pairs))
    assert suite_hash(pairs) != suite_hash([("a", "1"), ("b", "3")])
    assert suite_hash(pairs) != suite_hash([("a", "2"), ("b", "1")])
