"""How the costs of step, roll-out and score grow with what they are given, measured and drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from drive.eval.bench.assemble import machine, versions
from drive.eval.perf import Row, figures
from drive.eval.perf_rows import OTHERS, advance_again, judge, roll
from drive.eval.perf_scenes import CANDIDATE_STEPS, CROWD

SCHEMA = "drive-perf-growth/1"
COUNTS = (64, 256, 1024, 2048, 8192)
CROWDS = (8, 16, 32, 64, 128)
MAPS = (100, 1_000, 10_000, 100_000)
FEW = 2048
"""Candidates where it is not their number that grows."""
WORLDS = (1, 16, 256, 1024, 4096, 16384)
SOME, VISIT = 256, 20
"""Worlds where it is not their number that grows, and the steps of one visit."""


def measure(
    note: Callable[[str], None] = lambda line: None,
    counts: Sequence[int] = COUNTS,
    crowds: Sequence[int] = CROWDS,
    maps: Sequence[int] = MAPS,
    few: int = FEW,
    worlds: Sequence[int] = WORLDS,
    some: int = SOME,
) -> dict[str, Any]:
    """Process time in ms of one call, by series: `x` and `ms` of each.

    The maps are roads side by side, 1800 lane segments each; smaller ones are one road sampled coarsely.
    """

    def series(
        title: str, axis: str, values: Sequence[int], make: dict[str, Callable[[int], Callable[[], Any]]]
    ) -> dict[str, Any]:
        lines = {}
        for name, prepare in make.items():
            note(f"timing {name}, {axis}")
            rows = [Row(name, "call", lambda v=v, p=prepare: p(v)) for v in values]  # type: ignore[misc]
            lines[name] = [1e3 * figures(row)["cpu_s"] for row in rows]
        return {"title": title, "axis": axis, "x": list(values), "ms": lines}

    steps = f"x {CANDIDATE_STEPS} steps"
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "versions": versions(),
        "series": [
            series(
                f"{CROWD} agents, IDM, {VISIT} steps", "worlds", worlds,
                {"step": lambda n: advance_again(n, CROWD, VISIT)},
            ),
            series(
                f"{some} worlds, IDM, {VISIT} steps", "agents of a world", crowds,
                {"step": lambda n: advance_again(some, n, VISIT)},
            ),
            series(
                f"{OTHERS} agents", "candidates", counts,
                {"rollout": lambda n: roll(n), "score": lambda n: judge(n, OTHERS)},
            ),
            series(f"{few} candidates {steps}", "agents", crowds, {"score": lambda n: judge(few, n)}),
            series(
                f"{few} candidates {steps}, {OTHERS} agents", "lane segments of the map", maps,
                {"score": lambda n: judge(few, OTHERS, segments=n)},
            ),
        ],
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """The figures as lines of text."""
    host = found["machine"]
    out = [f"{host['cpu']}, {host['cores']} cores; process time of one call, one thread"]
    for one in found["series"]:
        out += ["", f"{one['axis']} ({one['title']})", "".join(f"{v:>12}" for v in ("", *one["x"]))]
        out += [f"{name:>12}" + "".join(f"{v:>9.2f} ms" for v in ms) for name, ms in one["ms"].items()]
    return "\n".join(out)


# A picture of panels in rows; both axes are logarithmic, so that a straight rise means proportional cost.
_WIDE, _TALL, _LEFT, _TOP, _GAP = 220, 180, 52, 30, 66
_ROW = _TOP + _TALL + 52
_COLOURS = {"step": "#6d28d9", "rollout": "#0b7285", "score": "#c2410c"}
_COLUMNS = 3


def svg(found: dict[str, Any]) -> str:
    """The series as a picture, a panel each, both axes logarithmic."""
    peak = max(v for one in found["series"] for ms in one["ms"].values() for v in ms)
    least = min(v for one in found["series"] for ms in one["ms"].values() for v in ms)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(peak))
    panels = [
        _panel(one, _LEFT + k % _COLUMNS * (_WIDE + _GAP), _TOP + k // _COLUMNS * _ROW, low, high)
        for k, one in enumerate(found["series"])
    ]
    width = _LEFT + min(len(panels), _COLUMNS) * (_WIDE + _GAP)
    bottom = -(-len(panels) // _COLUMNS) * _ROW
    host = found["machine"]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 14}" '
        f'font-family="system-ui, sans-serif" font-size="11" fill="#334155">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{"".join(panels)}'
        f'<text x="{_LEFT}" y="{bottom + 4}" font-size="10">process time of one call, one thread, '
        f"{host['cpu']}</text>\n</svg>\n"
    )


def _panel(one: dict[str, Any], left: float, top: float, low: int, high: int) -> str:
    first, last = math.log10(one["x"][0]), math.log10(one["x"][-1])

    def x_of(value: float) -> float:
        return left + _WIDE * (math.log10(value) - first) / ((last - first) or 1.0)

    def y_of(value: float) -> float:
        return top + _TALL * (high - math.log10(value)) / ((high - low) or 1)

    right, bottom = left + _WIDE, top + _TALL
    out = [f'<text x="{left}" y="{top - 12}" font-weight="600">{one["title"]}</text>\n']
    for power in range(low, high + 1):
        y = y_of(10.0**power)
        out.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#e2e8f0"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_time(power)}</text>\n')
    for value in one["x"]:
        x = x_of(value)
        out.append(f'<path d="M{x:.1f} {bottom}v4" stroke="#64748b"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_short(value)}</text>\n')
    out.append(f'<path d="M{left} {bottom}H{right}" stroke="#64748b"/>')
    out.append(f'<text x="{right}" y="{bottom + 32}" text-anchor="end">{one["axis"]}</text>\n')
    for name, ms in one["ms"].items():
        points = " ".join(f"{x_of(v):.1f},{y_of(m):.1f}" for v, m in zip(one["x"], ms, strict=True))
        colour = _COLOURS[name]
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [
            f'<circle cx="{x_of(v):.1f}" cy="{y_of(m):.1f}" r="3" fill="{colour}"/>'
            for v, m in zip(one["x"], ms, strict=True)
        ]
        end = y_of(ms[-1]) + (36 if name == "rollout" else -8)
        out.append(f'<text x="{right}" y="{end:.1f}" text-anchor="end" fill="{colour}">{name}</text>\n')
    return "".join(out)


def _time(power: int) -> str:
    """10 to a power of ms."""
    return (
        f"{10**power} ms"
        if 0 <= power < 3
        else f"{10 ** (power - 3)} s"
        if power >= 3
        else f"{10 ** (power + 3)} us"
    )


def _short(value: int) -> str:
    return f"{value // 1000}k" if value >= 1000 and value % 1000 == 0 else str(value)
