"""Robustness against its definition, worked through step by step."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from drive import stl
from drive.errors import InputError, UnknownNameError

spec = importlib.util.spec_from_file_location("stl_brute", Path(__file__).with_name("brute.py"))
brute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(brute)

DT, P = 0.5, 0.3


def cases(seed: int, count: int, masked: bool):
    rng = np.random.default_rng(seed)
    for n in range(count):
        steps = int(rng.integers(1, 16))
        mask = None
        if masked:
            mask = rng.random(steps) < 0.7
            mask[rng.integers(steps)] = True
        yield (
            brute.random_formula(rng, int(rng.integers(1, 4))),
            brute.random_signals(rng, steps),
            mask,
            stl.ENDS[n % 4],
            bool(rng.random() < 0.3),
        )


@pytest.mark.parametrize("masked", [False, True])
def test_500_random_formulas_equal_brute_force(masked: bool) -> None:
    for tree, signals, mask, end, strict in cases(3 + masked, 500, masked):
        monitor = stl.compile(tree, DT, end=end, strict=strict)
        expected = brute.Brute({**signals, "p": P}, DT, end, strict, mask).trace(tree)
        found = monitor.trace(signals, {"p": P}, mask=mask)
        np.testing.assert_array_equal(found, expected, err_msg=f"{tree} {end} {strict}")
        first = 0 if mask is None else int(np.argmax(mask))
        assert monitor.robustness(signals, {"p": P}, mask=mask) == expected[first]


@pytest.mark.parametrize("form", stl.FORMS)
@pytest.mark.parametrize("masked", [False, True])
def test_random_formulas_equal_brute_force_when_soft(form: str, masked: bool) -> None:
    tau = 7.0
    for tree, signals, mask, end, strict in cases(11 + masked, 120, masked):
        monitor = stl.compile(tree, DT, end=end, strict=strict, semantics=stl.Soft(form, tau))
        b = brute.Brute({**signals, "p": P}, DT, end, strict, mask, brute.soft(form, tau))
        found, expected = monitor.trace(signals, {"p": P}, mask=mask), b.trace(tree)
        # What has no end is near the limit, and told from what has one.
        endless = np.abs(expected) > 0.4 * stl.LIMIT
        np.testing.assert_array_equal(np.abs(found) > 0.4 * stl.LIMIT, endless, err_msg=str(tree))
        np.testing.assert_allclose(
            np.where(endless, 0.0, found),
            np.where(endless, 0.0, expected),
            atol=1e-8,
            err_msg=f"{tree} {end}",
        )


def test_batches_masks_and_parameters_are_evaluated_apart() -> None:
    rng = np.random.default_rng(5)
    signals = brute.random_signals(rng, 20, (3, 4))
    p = rng.normal(size=(3, 4))
    mask = rng.random((3, 4, 20)) < 0.8
    for _ in range(20):
        monitor = stl.compile(brute.random_formula(rng, 3), DT)
        together = monitor.trace(signals, {"p": p}, mask=mask)
        for i, j in np.ndindex(3, 4):
            alone = monitor.trace({k: v[i, j] for k, v in signals.items()}, {"p": p[i, j]}, mask=mask[i, j])
            np.testing.assert_array_equal(together[i, j], alone)


def test_masked_values_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    signals = brute.random_signals(rng, 20)
    mask = rng.random(20) < 0.6
    dirty = {k: np.where(mask, v, np.nan) for k, v in signals.items()}
    for _ in range(50):
        monitor = stl.compile(brute.random_formula(rng, 3), DT)
        clean = monitor.trace(signals, {"p": P}, mask=mask)
        np.testing.assert_array_equal(monitor.trace(dirty, {"p": P}, mask=mask), clean)
    assert np.isnan(monitor.robustness(signals, {"p": P}, mask=np.zeros(20, dtype=bool)))


def test_float32_stays_float32() -> None:
    x = np.linspace(-1, 1, 30, dtype=np.float32)
    for semantics in (stl.Hard(), *(stl.Soft(form, 20.0) for form in stl.FORMS)):
        monitor = stl.compile("G[0, 1] x > p or x < 0 until[0, 1] x > 1", 0.1, semantics=semantics)
        narrow, wide = monitor.trace({"x": x}, {"p": 0.1}), monitor.trace({"x": x.astype(float)}, {"p": 0.1})
        assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(narrow, wide, atol=2e-6)


def test_ends_of_a_trace_by_hand() -> None:
    x = np.array([3.0, 1.0, 2.0])
    always = {e: stl.compile("G[1, 2] x >= 0", 1.0, end=e).trace({"x": x}).tolist() for e in stl.ENDS}
    assert always == {
        "clip": [1.0, 2.0, math.inf],
        "pessimistic": [1.0, -math.inf, -math.inf],
        "optimistic": [1.0, 2.0, math.inf],
        "hold_last": [1.0, 2.0, 2.0],
    }
    # Not eventually not: worst and best change places under each negation and come back.
    twice = stl.compile("not F[1, 2] not x >= 0", 1.0, end="pessimistic").trace({"x": x})
    assert twice.tolist() == always["pessimistic"]
    # Without an end an operator goes to the last step and no farther.
    assert stl.compile("G x >= 0", 1.0, end="pessimistic").trace({"x": x}).tolist() == [1.0, 1.0, 2.0]


def test_closed_and_strict_until_by_hand() -> None:
    a, b = np.array([2.0, -1.0, 5.0]), np.array([-3.0, 4.0, 1.0])
    closed = stl.compile("a >= 0 until[0, 2] b >= 0", 1.0).trace({"a": a, "b": b})
    # At 0 the witness is step 1, where a must hold as well: min(4, 2, -1).
    assert closed.tolist() == [-1.0, -1.0, 1.0]
    strict = stl.compile("a >= 0 until[0, 2] b >= 0", 1.0, strict=True).trace({"a": a, "b": b})
    assert strict.tolist() == [2.0, 4.0, 1.0]


@pytest.mark.parametrize("tau", [5.0, 100.0])
def test_soft_bounds(tau: float) -> None:
    x = np.random.default_rng(0).normal(size=(50, 40))
    hard = stl.compile("F[0, 10] x >= 0", 1.0).trace({"x": x})
    found = {
        form: stl.compile("F[0, 10] x >= 0", 1.0, semantics=stl.Soft(form, tau)).trace({"x": x})
        for form in stl.FORMS
    }
    slack = math.log(11) / tau
    assert ((found["logsumexp"] >= hard - 1e-12) & (found["logsumexp"] <= hard + slack + 1e-12)).all()
    assert ((found["mellowmax"] <= hard + 1e-12) & (found["mellowmax"] >= hard - slack - 1e-12)).all()
    assert (found["average"] <= hard + 1e-12).all()
    least = stl.compile("G[0, 10] x >= 0", 1.0, semantics=stl.Soft(temperature=tau)).trace({"x": x})
    assert (least <= stl.compile("G[0, 10] x >= 0", 1.0).trace({"x": x}) + 1e-12).all()


@pytest.mark.parametrize("form", stl.FORMS)
def test_each_trace_may_have_its_temperature(form: str) -> None:
    signals = brute.random_signals(np.random.default_rng(3), 12, (3,))
    monitor = stl.compile("x >= 0 until[1, 4] y >= 0 and G[0, 2] x <= 2", DT, semantics=stl.Soft(form))
    together = monitor.trace(signals, temperature=np.array([3.0, 10.0, 50.0]))
    for k, tau in enumerate((3.0, 10.0, 50.0)):
        alone = monitor.trace({name: v[k] for name, v in signals.items()}, temperature=tau)
        np.testing.assert_array_equal(together[k], alone)


@pytest.mark.parametrize("form", stl.FORMS)
def test_soft_becomes_hard(form: str) -> None:
    rng = np.random.default_rng(2)
    signals = brute.random_signals(rng, 25)
    for _ in range(60):
        tree = brute.random_formula(rng, 3, plain=True)
        hard = np.clip(stl.compile(tree, DT).trace(signals), -stl.LIMIT, stl.LIMIT)
        monitor = stl.compile(tree, DT, semantics=stl.Soft(form))
        away = [np.abs(monitor.trace(signals, temperature=tau) - hard).max() for tau in (20.0, 2000.0)]
        # Each of 25 steps of a scan and of up to three levels adds log(2) / tau at most, twice.
        assert away[1] <= 4 * 25 * math.log(2) / 2000.0


def test_common_parts_are_made_once() -> None:
    part = "G[0, 1] abs(x - 1) <= 2"
    monitor = stl.compile(f"({part} or y > 0) and not ({part})", 0.5)
    kinds = [step.kind for step in monitor.program.steps]
    assert kinds.count("window_least") == kinds.count("abs") == 1


def test_explain_finds_the_predicate_that_decides() -> None:
    """At the told step the told predicate has the robustness, up to its sign."""
    told = 0
    for tree, signals, mask, end, strict in cases(21, 400, True):
        critical = stl.explain(tree, signals, DT, {"p": P}, mask=mask, end=end, strict=strict)
        whole = stl.compile(tree, DT, end=end, strict=strict).robustness(signals, {"p": P}, mask=mask)
        assert critical.robustness == whole
        if critical.predicate is None:
            assert math.isinf(whole)
            continue
        told += 1
        assert mask[critical.step]
        assert critical.time == DT * critical.step
        b = brute.Brute({**signals, "p": P}, DT, mask=mask)
        assert b.at(critical.predicate, critical.step) == critical.margin
        assert abs(critical.margin) == abs(whole)
    assert told > 200


def test_explain_by_hand() -> None:
    signals = {"speed": np.array([8.0, 9.0, 12.0, 11.0]), "gap": np.array([9.0, 5.0, 4.0, 1.0])}
    critical = stl.explain("always (speed <= 10 and gap >= 2)", signals, 0.1)
    assert (str(critical.predicate), critical.step, critical.margin) == ("speed <= 10", 2, -2.0)
    assert critical.time == pytest.approx(0.2)
    assert not critical.holds


def test_bad_input_is_named() -> None:
    monitor = stl.compile("G x > p", 1.0)
    with pytest.raises(UnknownNameError, match="'p'"):
        monitor({"x": np.zeros(3)})
    with pytest.raises(InputError, match="not a number at 1 valid"):
        monitor({"x": np.array([1.0, np.nan])}, {"p": 0.0})
    with pytest.raises(InputError, match="do not fit"):
        monitor({"x": np.zeros((3, 5))}, {"p": np.zeros(4)})
    with pytest.raises(InputError, match="steps"):
        monitor({"x": np.zeros((3, 0))}, {"p": 0.0})
    with pytest.raises(InputError, match="both as a signal"):
        monitor({"x": np.zeros(3), "p": np.zeros(3)}, {"p": 0.0})
    with pytest.raises(InputError, match="steps"):
        stl.compile("G x > y", 1.0)({"x": np.zeros(3), "y": np.zeros(4)})
    with pytest.raises(InputError, match="temperature"):
        stl.compile("G x > 0", 1.0, semantics=stl.Soft())({"x": np.zeros(3)}, temperature=-1.0)
    with pytest.raises(InputError, match="unknown soft form"):
        stl.Soft("smooth")
