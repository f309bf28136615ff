"""Small pictures as SVG: intervals on a line, and the latencies' histograms on one logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drive.eval.report.read import Mean, PlannerEntry

MARGIN = 5
CHART, WIDE, HEIGHT = 310, 620, 34
EDGE, LABEL = 22, 48


def whisker(mean: Mean) -> str:
    """The mean and its interval on the axis from 0 to 1."""
    if mean.value is None:
        return ""
    low, value, high = (
        min(max(v if v is not None else mean.value, 0.0), 1.0) for v in (mean.low, mean.value, mean.high)
    )
    return _whisker([low, value, high], 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), 240)


def difference_whisker(mean: float | None, ci95: tuple[float, float] | None, reach: float) -> str:
    """The mean and its interval on the axis from -reach to reach."""
    if mean is None or ci95 is None:
        return ""
    return _whisker([ci95[0], mean, ci95[1]], -reach, reach, (0.0,), 140)


def _whisker(values: Sequence[float], start: float, stop: float, ticks: Iterable[float], width: int) -> str:
    def x(value: float) -> str:
        return f"{MARGIN + (width - 2 * MARGIN) * (value - start) / (stop - start):.1f}"

    marks = "".join(f'<line class="axis" x1="{x(t)}" y1="3" x2="{x(t)}" y2="15"/>' for t in ticks)
    low, value, high = (x(v) for v in values)
    return (
        f'<svg class="w" width="{width}" height="18" viewBox="0 0 {width} 18" aria-hidden="true">'
        f'<line class="axis" x1="{MARGIN}" y1="9" x2="{width - MARGIN}" y2="9"/>{marks}'
        f'<line class="ci" x1="{low}" y1="9" x2="{high}" y2="9"/><circle cx="{value}" cy="9" r="3.5"/></svg>'
    )


@dataclass(frozen=True, slots=True)
class LogAxis:
    """Powers of ten from `first` to `last` over a chart `width` wide."""

    first: int
    last: int
    width: int

    def x(self, value: float) -> float:
        place = (math.log10(value) - self.first) / (self.last - self.first)
        return EDGE + (self.width - 2.0 * EDGE) * min(max(place, 0.0), 1.0)

    def grid(self, height: int) -> str:
        return "".join(
            f'<line class="axis" x1="{self.x(10.0**k):.1f}" y1="0" x2="{self.x(10.0**k):.1f}" y2="{height}"/>'
            for k in range(self.first, self.last + 1)
        )


def latency_axis(planners: Sequence[PlannerEntry], width: int = CHART) -> LogAxis | None:
    """The axis that holds every planner's times; None where no planner has any."""
    found = [v for p in planners for v in [*p.latency.values(), *_ends(p)] if v is not None and v > 0.0]
    if not found:
        return None
    first, last = math.floor(math.log10(min(found)) + 1e-9), math.ceil(math.log10(max(found)) - 1e-9)
    return LogAxis(first, max(last, first + 1), width)


def latency_chart(planner: PlannerEntry, axis: LogAxis) -> str:
    """A planner's histogram, its bars by the share of calls, with its median, 95th and 99th percentile."""
    edges, counts = planner.histogram
    most = max(counts, default=0)
    bars = []
    for k, count in enumerate(counts):
        if count and most:
            # The root of the share: rare slow calls, which are what one looks for, stay visible.
            height = max((HEIGHT - 6) * math.sqrt(count / most), 1.0)
            left, right = axis.x(edges[k]), axis.x(edges[k + 1])
            bars.append(
                f'<rect x="{left:.1f}" y="{HEIGHT - height:.1f}" '
                f'width="{max(right - left - 0.6, 0.6):.1f}" height="{height:.1f}"/>'
            )
    marks = []
    for name, kind in (("p50", "p50"), ("p95", "p95"), ("p99", "p99")):
        value = planner.latency.get(name)
        if value is not None and value > 0.0:
            at = f"{axis.x(value):.1f}"
            marks.append(f'<line class="{kind}" x1="{at}" y1="0" x2="{at}" y2="{HEIGHT}"/>')
    return (
        f'<svg class="latency" width="{axis.width}" height="{HEIGHT}" viewBox="0 0 {axis.width} {HEIGHT}" '
        f'aria-hidden="true">{axis.grid(HEIGHT)}<g class="bars">{"".join(bars)}</g>'
        f'<line class="base" x1="0" y1="{HEIGHT - 0.5}" x2="{axis.width}" y2="{HEIGHT - 0.5}"/>'
        f"{''.join(marks)}</svg>"
    )


def latency_scale(axis: LogAxis) -> str:
    """The axis' labels."""
    step = 1 if (axis.last - axis.first) * LABEL <= axis.width - 2 * EDGE else 2
    texts = [
        f'<text x="{axis.x(10.0**k):.1f}" y="12" text-anchor="middle">{_time(k)}</text>'
        for k in range(axis.first, axis.last + 1, step)
    ]
    return (
        f'<svg class="latency" width="{axis.width}" height="16" viewBox="0 0 {axis.width} 16" role="img" '
        f'aria-label="time of a call, logarithmic">{"".join(texts)}</svg>'
    )


def _time(power: int) -> str:
    if power >= 3:
        return f"{10 ** (power - 3)} s"
    if power < -2:
        return f"{10.0 ** (power + 3):g} \u00b5s"
    return f"{10.0**power:g} ms"


def _ends(planner: PlannerEntry) -> tuple[float, ...]:
    edges, _ = planner.histogram
    return (edges[0], edges[-1]) if edges else ()
