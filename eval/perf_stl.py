"""What of temporal logic is timed: windows and Until over a batch of traces, hard and soft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from drive import stl
from drive.eval.perf import Row

TRACES, STEPS, DT = 4096, 80, 0.1


def stl_rows() -> list[Row]:
    """Whole traces of 4096 signals of 80 steps in float32, window of 40 steps, one core."""
    formulas = (
        ("always", "always[0, 4] (x >= 0)", stl.Hard(), "G"),
        ("eventually", "eventually[0, 4] (x >= 0)", stl.Hard(), "F"),
        ("until", "(x >= 0) until[0, 4] (y >= 0)", stl.Hard(), "closed U"),
        ("always_soft", "always[0, 4] (x >= 0)", stl.Soft(), "G by log-sum-exp"),
        ("until_soft", "(x >= 0) until[0, 4] (y >= 0)", stl.Soft(), "closed U by log-sum-exp"),
    )
    about = f"{TRACES} traces x {STEPS} steps, [0, 40] steps,"
    return [
        Row(f"stl/{name}", "batch", lambda text=text, how=how: trace(text, how), 1.0, f"{about} {what}")  # type: ignore[misc]
        for name, text, how, what in formulas
    ]


def trace(text: str, semantics: stl.Hard | stl.Soft) -> Callable[[], Any]:
    """Work: the robustness of every trace at every step."""
    x, y = np.random.default_rng(0).normal(size=(2, TRACES, STEPS)).astype(np.float32)
    monitor = stl.compile(text, DT, semantics=semantics)
    return lambda: monitor.trace({"x": x, "y": y})
