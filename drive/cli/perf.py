"""`drive perf`: the speed of kernels and planners on this machine."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from drive import registry
from drive.cli._load import load


def command(
    planners: Annotated[
        bool, typer.Option("--planners", help="Time every planner that can run, not pdm alone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the kernels' and planners' speed on this machine; medians after a warm-up.

    \b
    Example:
      drive perf --planners --json
    """
    names = load("drive.eval.bench.planners:runnable_planners")()[0] if planners else _usual()
    found = load("drive.eval.perf:measure")(names, lambda line: print(f"{line} ...", file=sys.stderr))
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(found)


def _usual() -> list[str]:
    return [name for name in ("pdm",) if name in registry.names("drive.planners")]


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head, side in (("what", "left"), ("process time", "right"), ("wall time", "right"), ("", "left")):
        table.add_column(head, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for name, figures in found["planners"].items():
        call = figures["call_ms"]
        scene = figures["scenario"]
        table.add_row(escape(f"{name}: one call"), "", f"{call['p50']:.3f} ms", f"p95 {call['p95']:.3f} ms")
        about = f"{scene['seconds']:g} s, {scene['agents']} agents"
        for what, key in (("drive", "drive_s"), ("metrics", "metrics_s"), ("drive and metrics", "total_s")):
            table.add_row(escape(f"{name}: {what}"), *_seconds(figures[key]), about)
        if figures["failure"] is not None:
            table.add_row(escape(f"{name}: {figures['failure']['reason']}"), "", "", "")
    for name, rate in found["agent_steps_per_cpu_s"].items():
        table.add_row(f"batch {name}", f"{rate / 1e6:.1f} M/s", "", "agent steps a second, one core")
    for name, times in found["start_s"].items():
        table.add_row(name, *_seconds(times), "a fresh process")
    Console().print(table, highlight=False)


def _seconds(times: dict[str, float]) -> tuple[str, str]:
    return f"{times['cpu']:.3f} s", f"{times['wall']:.3f} s"
