"""Names, settings and plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive import registry
from drive.errors import DriveError, InputError, MissingExtraError, UnknownNameError
from drive.registry import configure, load_planner, parse_set


class Shape(Enum):
    ROUND = "o"
    SQUARE = "s"


@dataclass(frozen=True)
class Cost:
    progress: float = 1.0
    comfort: float = 0.5


@dataclass(frozen=True)
class Settings:
    branches: int = 3
    horizon: float = 4.0
    fast: bool = False
    label: str = "x"
    solver: Literal["osqp", "scs"] = "osqp"
    limit: float | None = None
    speeds: tuple[float, ...] = ()
    pair: tuple[int, str] = (1, "a")
    shape: Shape = Shape.ROUND
    path: Path | None = None
    cost: Cost = field(default_factory=lambda: Cost(progress=7.0))
    hook: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if self.horizon <= 0:
            raise ValueError("horizon must be positive")


@dataclass(frozen=True)
class Demanding:
    gain: float
    cost: Cost


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("branches", "5", 5),
        ("branches", 5.0, 5),
        ("branches", "1e3", 1000),
        ("branches", "9007199254740993", 9007199254740993),
        ("horizon", "2.5", 2.5),
        ("horizon", 3, 3.0),
        ("horizon", "inf", float("inf")),
        ("fast", "yes", True),
        ("fast", "False", False),
        ("fast", True, True),
        ("label", "none", "none"),
        ("solver", "scs", "scs"),
        ("limit", "none", None),
        ("limit", "2", 2.0),
        ("limit", None, None),
        ("speeds", "1,2.5", (1.0, 2.5)),
        ("speeds", "[1, 2]", (1.0, 2.0)),
        ("speeds", "", ()),
        ("speeds", [3, 4], (3.0, 4.0)),
        ("pair", "2,b", (2, "b")),
        ("shape", "square", Shape.SQUARE),
        ("shape", "s", Shape.SQUARE),
        ("shape", Shape.SQUARE, Shape.SQUARE),
        ("path", "a/b", Path("a/b")),
        ("cost", Cost(2.0), Cost(2.0)),
        ("cost", {"comfort": "2"}, Cost(7.0, 2.0)),
        ("cost.comfort", "2", Cost(7.0, 2.0)),
    ],
)
def test_a_setting_takes_the_type_of_its_field(name: str, value: object, expected: object) -> None:
    made = getattr(configure(Settings, {name: value}), name.partition(".")[0])
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("branches", "2.5", "Settings.branches must be a whole number, not '2.5'"),
        ("branches", True, "whole number"),
        ("branches", "inf", "whole number"),
        ("horizon", "nan", "must be a number"),
        ("horizon", "fast", "must be a number"),
        ("horizon", "-1", "horizon must be positive"),
        ("fast", "maybe", "true or false"),
        ("fast", 1, "true or false"),
        ("label", 3, "must be text"),
        ("solver", "gurobi", "one of osqp, scs"),
        ("limit", "much", "a number or none"),
        ("speeds", "1,x", "each value is a number"),
        ("speeds", 3, "a list"),
        ("pair", "1", "a list of 2 values"),
        ("shape", "flat", "one of round, square"),
        ("cost", "2", "a Cost"),
        ("hook", "print", "from Python"),
        ("label.more", "1", "no settings of its own"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        configure(Settings, {name: value})
    assert "\n" not in str(caught.value)


@given(
    st.integers(),
    st.floats(allow_nan=False, min_value=1e-9),
    st.booleans(),
    st.lists(st.floats(allow_nan=False)),
)
def test_text_and_value_agree(branches: int, horizon: float, fast: bool, speeds: list[float]) -> None:
    values: dict[str, Any] = {"branches": branches, "horizon": horizon, "fast": fast, "speeds": tuple(speeds)}
    text = {key: str(value) for key, value in values.items()} | {"speeds": ",".join(map(repr, speeds))}
    assert configure(Settings, text) == configure(Settings, values) == Settings(**values)


def test_unknown_settings_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'branches'"):
        configure(Settings, {"branchs": "5"})
    with pytest.raises(UnknownNameError, match="did you mean 'progress'"):
        configure(Settings, {"cost.progres": "5"})


def test_settings_without_a_default_are_asked_for() -> None:
    with pytest.raises(InputError, match="a value for 'cost'"):
        configure(Demanding, {"gain": "1"})
    assert configure(Demanding, {"gain": "1", "cost.comfort": "2"}) == Demanding(1.0, Cost(1.0, 2.0))


def test_parse_set() -> None:
    assert parse_set(
        ["cpto.branches=5", "cpto.cost.progress=2", "a/b.py:Mine.gain=x=1", "cpto.branches=6"]
    ) == {
        "cpto": {"branches": "6", "cost.progress": "2"},
        "a/b.py:Mine": {"gain": "x=1"},
    }


@pytest.mark.parametrize("text", ["", "cpto", "cpto=5", "cpto.branches", ".branches=5", "cpto.=5"])
def test_parse_set_refuses(text: str) -> None:
    with pytest.raises(InputError, match=r"PLANNER\.SETTING=VALUE"):
        parse_set([text])


def test_settings_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[cpto]\nbranches = 5\nspeeds = [1, 2]\n[cpto.cost]\nprogress = 2\n")
    settings = registry.merge(registry.load_toml(file), parse_set(["cpto.branches=6"]))
    made = configure(Settings, settings["cpto"])
    assert made == Settings(branches=6, speeds=(1.0, 2.0), cost=Cost(2.0))


@pytest.mark.parametrize("text", ["branches = 5", "[cpto", "[cpto]\nbranches ="])
def test_bad_toml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=r"settings\.toml"):
        registry.load_toml(file)
    with pytest.raises(InputError, match="cannot be read"):
        registry.load_toml(tmp_path / "none.toml")


PLUGIN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Config:
    gain: float = 1.0

class Tuned:
    config_type = Config
    spec = None
    def __init__(self, config): self.config = config
    def start(self, task): return self

class Plain:
    spec = None
    def start(self, task): return self

class Picky(Plain):
    def __init__(self, gain): pass

class Failing(Plain):
    def __init__(self): raise RuntimeError("no\\nweights")

def factory():
    return Plain()

def bare(observation, task): pass

ready, number = Plain(), 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Somebody else's installed distribution, with planners good and broken."""
    points = {
        "tuned": "plug_in_for_tests:Tuned",
        "lacking": "plug_in_for_tests:Missing",
        "absent": "plug_in_that_is_absent:X",
        "heavy": "plug_in_heavy:X",
        "needy": "plug_in_needy:X",
        "broken": "plug_in_broken:X",
    }
    (tmp_path / "plug_in_for_tests.py").write_text(PLUGIN)
    (tmp_path / "plug_in_heavy.py").write_text("raise ModuleNotFoundError('no', name='transformers.models')")
    (tmp_path / "plug_in_needy.py").write_text("import a_module_nobody_has")
    (tmp_path / "plug_in_broken.py").write_text("raise ValueError('two\\nlines')")
    for distribution in ("plug-one", "plug-two"):
        info = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        lines = (
            [f"{name} = {target}" for name, target in points.items()] if distribution == "plug-one" else []
        )
        (info / "entry_points.txt").write_text(
            "\n".join(["[drive.planners]", "double = plug_in_for_tests:Plain", *lines])
        )
    monkeypatch.syspath_prepend(tmp_path)
    registry.entries.cache_clear()
    yield tmp_path / "plug_in_for_tests.py"
    registry.entries.cache_clear()


@pytest.mark.usefixtures("plugin")
def test_a_plug_in_is_found_and_configured() -> None:
    assert "tuned" in registry.names("drive.planners")
    planner: Any = load_planner("tuned", {"gain": "2"})
    assert planner.config.gain == 2.0
    assert registry.configuration(planner) == {"gain": 2.0}
    assert registry.configuration(load_planner("plug_in_for_tests:ready")) == {}


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("tunde", ["unknown planner", "did you mean 'tuned'?"]),
        ("lacking", ["plug-one 1.5", "no 'Missing'"]),
        ("absent", ["plug-one 1.5", "no module 'plug_in_that_is_absent'"]),
        ("heavy", ["transformers", "drive-toolkit[vla]"]),
        ("needy", ["plug-one 1.5", "a_module_nobody_has"]),
        ("broken", ["plug-one 1.5", "two lines"]),
        ("double", ["plug-one and plug-two"]),
        ("plug_in_for_tests:number", ["not a planner", "int"]),
        ("plug_in_for_tests:bare", ["decorator"]),
        ("plug_in_for_tests:Picky", ["config_type"]),
        ("plug_in_for_tests:Failing", ["no weights"]),
    ],
)
def test_what_cannot_be_loaded_says_whose_it_is(name: str, parts: list[str]) -> None:
    with pytest.raises(DriveError) as caught:
        load_planner(name)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_extra_is_told_from_a_broken_plug_in(plugin: Path) -> None:
    with pytest.raises(MissingExtraError):
        registry.load("drive.planners", "heavy")


@pytest.mark.parametrize("attribute", ["Tuned", "Plain", "ready", "factory"])
def test_a_planner_from_a_file(plugin: Path, attribute: str) -> None:
    planner = load_planner(f"{plugin}:{attribute}")
    assert callable(planner.start)
    assert type(planner) is type(load_planner(f"{plugin}:{attribute}"))  # the file is loaded once


def test_a_file_needs_a_name_and_to_exist(plugin: Path) -> None:
    with pytest.raises(InputError, match=r"\.py:NAME"):
        load_planner(str(plugin))
    with pytest.raises(InputError, match="no file"):
        load_planner(f"{plugin}x.py:Mine")


def test_settings_for_a_planner_without_any(plugin: Path) -> None:
    with pytest.raises(InputError, match="has no settings, so gain"):
        load_planner(f"{plugin}:Plain", {"gain": 1})


def test_unknown_groups_and_names() -> None:
    with pytest.raises(UnknownNameError, match=r"drive\.planners"):
        registry.names("drive.planers")
    with pytest.raises(UnknownNameError, match="unknown metric"):
        registry.load("drive.metrics", "no such thing")


@pytest.mark.parametrize("group", sorted(registry.GROUPS))
def test_everything_we_register_can_be_loaded(group: str) -> None:
    for item in registry.entries(group):
        if item.distribution == "drive-toolkit":
            registry.load(group, item.name)


def test_our_planners_start_from_their_names() -> None:
    for name in ("constant", "idm", "log", "pdm"):
        assert load_planner(name).spec is not None
