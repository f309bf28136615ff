"""Formulas as trees and as text."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from drive import stl
from drive.errors import InputError

spec = importlib.util.spec_from_file_location("stl_brute", Path(__file__).with_name("brute.py"))
brute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(brute)

X = stl.Predicate(stl.Name("x"), ">=", stl.Constant(0))
Y = stl.Predicate(stl.Name("y"), "<=", stl.Constant(1))


def test_text_round_trip_of_random_trees() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        tree = brute.random_formula(rng, 4)
        again = stl.parse(str(tree))
        assert again == tree
        assert hash(again) == hash(tree)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x >= 0 and y < 1 and not x >= 0", stl.And((X, Y, stl.Not(X)))),
        ("(x >= 0 and y <= 1) and x >= 0", stl.And((stl.And((X, Y)), X))),
        ("x >= 0 or y <= 1 and x >= 0", stl.Or((X, stl.And((Y, X))))),
        ("x >= 0 -> y <= 1 -> x >= 0", stl.Implies(X, stl.Implies(Y, X))),
        ("G[0:5] x >= 0", stl.Always(X, stl.Interval(0, 5))),
        ("always x >= 0 and y <= 1", stl.And((stl.Always(X), Y))),
        (
            "F[0.5, inf] (x >= 0 U[1,2] y <= 1)",
            stl.Eventually(stl.Until(X, Y, stl.Interval(1, 2)), stl.Interval(0.5)),
        ),
        ("once[0, hold] stopped", stl.Once(stl.Flag("stopped"), stl.Interval(0, "hold"))),
        ("x >= 0 since y <= 1  # so far", stl.Since(X, Y)),
        ("!(x > 0 | false)", stl.Not(stl.Or((X, stl.Truth(False))))),
    ],
)
def test_grammar(text: str, tree: stl.Formula) -> None:
    assert stl.parse(text) == tree


def test_arithmetic_binds_as_usual() -> None:
    tree = stl.parse("2 - 3 - -x * 4 / (1 + y) >= -(3)")
    b = brute.Brute({"x": np.array([5.0]), "y": np.array([1.0])}, 1.0)
    assert b.at(tree, 0) == 2 - 3 + 5 * 4 / 2 + 3


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("always[0, 5 (x > 1)", 13, "']' is missing"),
        ("x + 1", 1, "is a number"),
        ("x > 1 > 2", 7, "one comparison"),
        ("always x >", 11, "a signal, a number"),
        ("x > 1 y", 7, "does not continue"),
        ("(x > 1) + 2 > 0", 1, "holds or not"),
        ("F[3, 1] x > 0", 2, "ends before"),
        ("x > $", 5, "means nothing"),
        ("a > 0 until b > 0 until c > 0", 19, "brackets"),
        ("abs(x, y) > 0", 1, "takes 1 arguments"),
        ("and x > 0", 1, "not 'and'"),
        ("", 1, "not 'the end'"),
    ],
)
def test_errors_name_the_column(text: str, column: int, reason: str) -> None:
    with pytest.raises(InputError, match=f"column {column}: .*{reason.replace('(', '.')}"):
        stl.parse(text)


def test_errors_name_the_line() -> None:
    with pytest.raises(InputError, match="line 2, column 9"):
        stl.parse("always (\n  x > 0 0)")


@pytest.mark.parametrize("text", ["(" * 5000, "not " * 4000 + "x", "x > " + "-" * 5000 + "1", "x " * 20_000])
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        stl.parse(text)


def test_trees_refuse_nonsense() -> None:
    with pytest.raises(InputError, match="NaN"):
        stl.Constant(math.nan)
    with pytest.raises(InputError, match="begins at 0"):
        stl.Interval(-1, 2)


def test_horizon_and_memory() -> None:
    assert stl.horizon(stl.parse("G[0, 2] F[1, 4] x > 0")) == 6.0
    assert stl.horizon(stl.parse("G[0, 2] x > 0 and (x > 0 U[1, 3] F[0, 5] y > 0)")) == 8.0
    assert stl.horizon(stl.parse("F[0, 3] once[0, 2] x > 0")) == 3.0
    assert stl.memory(stl.parse("F[0, 3] once[0, 2] x > 0")) == 2.0
    assert stl.memory(stl.parse("F[3, 4] once[0, 2] x > 0")) == 0.0
    assert stl.horizon(stl.parse("G x > 0")) == math.inf
    assert stl.horizon(stl.parse("x > 0")) == 0.0


def test_horizon_is_how_far_the_future_matters() -> None:
    """Samples beyond the horizon change nothing, for 200 random formulas with bounds."""
    rng = np.random.default_rng(7)
    seen = 0
    while seen < 200:
        tree = brute.random_formula(rng, 3)
        ahead = stl.horizon(tree)
        if math.isinf(ahead) or math.isinf(stl.memory(tree)):
            continue
        seen += 1
        signals = brute.random_signals(rng, 60)
        steps = round(ahead / 0.5)
        other = {k: np.concatenate((v[: steps + 1], rng.random(59 - steps))) for k, v in signals.items()}
        monitor = stl.compile(tree, 0.5)
        assert monitor.robustness(signals, {"p": 0.3}) == monitor.robustness(other, {"p": 0.3})


def test_names_and_bind() -> None:
    tree = stl.parse("always[0, hold] (speed <= limit + extra) or red")
    assert stl.names(tree) == ("extra", "hold", "limit", "red", "speed")
    bound = stl.bind(tree, {"hold": 2, "extra": 1.5})
    assert str(bound) == "always[0, 2] (speed <= limit + 1.5) or red"
    with pytest.raises(InputError, match="'hold' has no value"):
        stl.compile(tree, 0.1)


def test_seconds_must_be_whole_steps() -> None:
    with pytest.raises(InputError, match=r"0\.25 s is no whole number of steps of 0\.1 s"):
        stl.compile("G[0, 0.25] x > 0", 0.1)
    assert stl.compile("G[0, 0.3] x > 0", 0.1).program.steps[-1].high == 3
    assert stl.compile("G[0, 0.26] x > 0", 0.1, rounding="nearest").program.steps[-1].high == 3
    with pytest.raises(InputError, match="more than"):
        stl.compile("G[0, 1e9] x > 0", 0.1)
