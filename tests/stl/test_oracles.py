"""Against other people's monitors, under their own semantics. They pin packages that others need in other
versions, so they live in an environment of their own: pip install rtamt==0.4.10 stlcgpp==0.0.2."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from drive import stl

spec = importlib.util.spec_from_file_location("stl_brute", Path(__file__).with_name("brute.py"))
brute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(brute)

DT = 1.0
REASON = "{} is an oracle only, and lives in an environment of its own"


def rtamt_trace(tree: stl.Formula, signals: dict[str, np.ndarray]) -> np.ndarray:
    import rtamt

    monitor = rtamt.StlDiscreteTimeSpecification()
    for name in ("x", "y"):
        monitor.declare_var(name, "float")
    monitor.declare_var("out", "float")
    monitor.spec = f"out = {rtamt_text(tree)}"
    monitor.parse()
    data = {"time": list(range(len(signals["x"]))), "x": signals["x"].tolist(), "y": signals["y"].tolist()}
    return np.array([value for _, value in monitor.evaluate(data)])


def rtamt_text(node: stl.Formula) -> str:
    """rtamt's own text: intervals count steps and are written with a colon."""
    if isinstance(node, stl.Predicate):
        return f"({node})"
    if isinstance(node, stl.Not):
        return f"(not ({rtamt_text(node.argument)}))"
    if isinstance(node, stl.And | stl.Or):
        word = " and " if isinstance(node, stl.And) else " or "
        return "(" + word.join(rtamt_text(a) for a in node.arguments) + ")"
    start, end = node.interval.seconds()
    span = "" if (start, end) == (0.0, math.inf) else f"[{start:.0f}:{end:.0f}]"
    if isinstance(node, stl.Until | stl.Since):
        word = "until" if isinstance(node, stl.Until) else "since"
        return f"({rtamt_text(node.left)} {word}{span} {rtamt_text(node.right)})"
    words = {
        stl.Always: "always",
        stl.Eventually: "eventually",
        stl.Historically: "historically",
        stl.Once: "once",
    }
    return f"({words[type(node)]}{span} ({rtamt_text(node.argument)}))"


def bounded(node: stl.Formula) -> bool:
    """Whether an oracle has all of a formula: no flags, and bounds on every operator."""
    for n in stl.walk(node):
        if isinstance(n, stl.Flag | stl.Truth | stl.Implies):
            return False
        if hasattr(n, "interval") and math.isinf(n.interval.end):
            return False
    return True


def test_random_formulas_equal_rtamt() -> None:
    pytest.importorskip("rtamt", reason=REASON.format("rtamt"))
    rng = np.random.default_rng(8)
    seen, untils = 0, 0
    while seen < 120:
        tree = brute.random_formula(rng, 2, DT, past=True, plain=True)
        if not bounded(tree):
            continue
        seen += 1
        untils += any(isinstance(n, stl.Until | stl.Since) for n in stl.walk(tree))
        signals = brute.random_signals(rng, 30)
        expected = rtamt_trace(tree, signals)
        found = stl.compile(tree, DT, strict=True).trace(signals)
        np.testing.assert_allclose(found, expected, atol=1e-12, err_msg=str(tree))
    assert untils > 20


def stlcgpp_formula(node: stl.Formula, module):
    below = [stlcgpp_formula(c, module) for c in node.__dict__.values() if isinstance(c, stl.Formula)]
    if isinstance(node, stl.Predicate):
        number = node.right.value
        sign = 1.0 if node.comparison == ">=" else -1.0
        column = {"x": 0, "y": 1}[node.left.name]
        return module.Predicate(str(node), lambda s: sign * (s[..., column] - number)) > 0.0
    if isinstance(node, stl.Not):
        return module.Negation(*below)
    if isinstance(node, stl.And | stl.Or):
        parts = [stlcgpp_formula(a, module) for a in node.arguments]
        made = parts[0]
        for part in parts[1:]:
            made = (module.And if isinstance(node, stl.And) else module.Or)(made, part)
        return made
    start, end = (int(v) for v in node.interval.seconds())
    kinds = {stl.Always: module.Always, stl.Eventually: module.Eventually, stl.Until: module.Until}
    return kinds[type(node)](*below, interval=[start, end])


def test_random_formulas_equal_stlcgpp() -> None:
    module = pytest.importorskip("stlcgpp.formula", reason=REASON.format("stlcgpp"))
    torch = pytest.importorskip("torch", reason="stlcgpp runs on torch")
    rng = np.random.default_rng(12)
    seen = 0
    while seen < 60:
        tree = brute.random_formula(rng, 2, DT, past=False, plain=True)
        simple = all(isinstance(n.left, stl.Name) for n in stl.walk(tree) if isinstance(n, stl.Predicate))
        if not bounded(tree) or not simple:
            continue
        seen += 1
        signals = brute.random_signals(rng, 25)
        data = torch.tensor(np.stack((signals["x"], signals["y"]), -1), dtype=torch.float32)
        expected = stlcgpp_formula(tree, module)(data, padding="last").numpy()
        inside = 25 - round(stl.horizon(tree))
        if inside < 1:
            continue
        found = stl.compile(tree, DT, end="hold_last", backend="torch").trace(
            {"x": data[:, 0], "y": data[:, 1]}
        )
        np.testing.assert_allclose(found.numpy()[:inside], expected[:inside], atol=1e-6, err_msg=str(tree))


def test_log_sum_exp_equals_stlcgpp() -> None:
    module = pytest.importorskip("stlcgpp.formula", reason=REASON.format("stlcgpp"))
    torch = pytest.importorskip("torch", reason="stlcgpp runs on torch")
    rng = np.random.default_rng(13)
    x = torch.tensor(rng.normal(size=25), dtype=torch.float32)
    for text in ("G[1, 6] x >= 0.25", "F[0, 9] x >= 0.25", "G[0, 4] F[2, 7] x >= 0.25"):
        tree = stl.parse(text)
        made = stlcgpp_formula(tree, module)
        expected = made(torch.stack((x, x), -1), approx_method="logsumexp", temperature=6.0, padding="last")
        soft = stl.compile(tree, DT, semantics=stl.Soft(temperature=6.0), backend="torch").trace({"x": x})
        inside = 25 - round(stl.horizon(tree))
        np.testing.assert_allclose(soft.numpy()[:inside], expected.numpy()[:inside], atol=1e-5, err_msg=text)
