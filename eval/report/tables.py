"""The tables of the page that stand whole in its markup: planners, differences, groups, metrics, latency."""

from __future__ import annotations

from collections.abc import Sequence

from drive.eval.bench.results import PairedDifference
from drive.eval.report import charts
from drive.eval.report.markup import (
    NONE,
    about,
    cell,
    esc,
    fmt,
    group_name,
    interval,
    shade,
    signed,
    table,
    words,
)
from drive.eval.report.read import Group, Mean, PlannerEntry, Report

MANY = 5
"""Up to so many planners their pairs stand in a list, more in a square."""
LONG = 18


def roomy(report: Report) -> bool:
    """Whether tables with a column a planner need the page's whole width, and heads that stand upright."""
    return len(report.planners) > MANY or any(len(p.name) > LONG for p in report.planners)


def planner_name(planner: PlannerEntry) -> str:
    mark = (
        ' <span class="mark" title="This planner sees the log">privileged</span>'
        if planner.privileged
        else ""
    )
    return esc(planner.name) + mark


def planners_table(report: Report) -> str:
    """A row a planner; columns that nobody fills are left out."""
    collisions = any(p.collisions is not None for p in report.planners)
    goals = any(p.goals is not None for p in report.planners)
    timed = [k for k in ("p50", "p95", "p99") if any(p.latency.get(k) is not None for p in report.planners)]
    head = ["planner", *(words(s) for s in report.scores), ">n", "failures"]
    head += [">at-fault collisions"] * collisions + [">goals reached"] * goals + [f">{k} ms" for k in timed]
    rows = []
    for p in report.planners:
        cells = [f'<th scope="row">{planner_name(p)}</th>']
        for s in report.scores:
            m = p.scores[s]
            # Three axes side by side would push the rest out of sight.
            drawn = charts.whisker(m) if len(report.scores) < 3 else ""
            inner = f"<b>{fmt(m.value)}</b> {interval(m)}{drawn}"
            cells.append(cell(m.value, inner=inner, kind="score"))
        n = p.scores[report.main].n if report.main else len([r for r in p.rows if r.valid])
        cells.append(cell(None if n is None else float(n), 0))
        failed = ", ".join(f"{words(k)} {v}" for k, v in p.failures.items())
        mark = ' class="bad"' if failed else ""
        cells.append(f'<td data-v="{sum(p.failures.values())}"{mark}>{failed or "none"}</td>')
        if collisions:
            cells.append(cell(None if p.collisions is None else float(p.collisions), 0))
        if goals:
            share = None if p.goals is None else p.goals[0] / p.goals[1]
            cells.append(cell(share, inner=NONE if p.goals is None else f"{p.goals[0]} of {p.goals[1]}"))
        cells += [cell(p.latency.get(k), 2) for k in timed]
        rows.append("".join(cells))
    return table(head, rows, "planners-table", "sortable lead")


def paired_list(report: Report, differences: Sequence[PairedDifference]) -> str:
    """Differences scenario by scenario, first minus second, drawn on one axis with 0 in its middle."""
    at = {p.name: k for k, p in enumerate(report.planners)}
    reach = max([abs(v) for d in differences for v in d.ci95 or ()] + [0.01])
    rows = []
    for d in differences:
        low, high = d.ci95 or (None, None)
        told = "" if d.ci95 is None else f'<span class="ci">[{signed(low)}, {signed(high)}]</span>'
        drawn = charts.difference_whisker(d.mean, d.ci95, reach)
        rows.append(
            f'<th scope="row"><button type="button" class="pick" data-pair="{at[d.first]},{at[d.second]}" '
            f'title="Show the scenes in which they differ most">{esc(d.first)} \u2212 {esc(d.second)}'
            "</button></th>"
            + cell(d.mean, inner=f"<b>{signed(d.mean)}</b> {told}{drawn}", kind="score")
            + f"<td>{verdict(d)}</td>"
        )
    return table(["pair", "mean difference", "verdict"], rows, "paired")


def paired_square(report: Report, differences: Sequence[PairedDifference]) -> str:
    """All pairs of many planners: the row's planner minus the column's; only clear ones are coloured."""
    found = {(d.first, d.second): d for d in differences}
    rows = []
    for i, a in enumerate(report.planners):
        cells = [f'<th scope="row">{planner_name(a)}</th>']
        for j, b in enumerate(report.planners):
            d, sign = found.get((a.name, b.name)), 1.0
            if d is None:
                d, sign = found.get((b.name, a.name)), -1.0
            if d is None or d.mean is None or i == j:
                cells.append('<td class="n"></td>')
                continue
            value = sign * d.mean
            ends = sorted(sign * v for v in d.ci95 or ())
            tip = f"{a.name} minus {b.name}: {value:+.3f}"
            tip += f", 95 % interval {ends[0]:+.3f} to {ends[1]:+.3f}, n = {d.n}" if ends else ""
            kind = ("h10" if value > 0.0 else "h0") if d.clear else "unclear"
            cells.append(
                f'<td class="n {kind}"><button type="button" class="pick" data-pair="{i},{j}" '
                f'title="{esc(tip)}">{signed(value)}</button></td>'
            )
        rows.append("".join(cells))
    heads = ["row minus column", *_upright(report)]
    return table(heads, rows, "paired", "heat many")


def _upright(report: Report) -> list[str]:
    return [f'><span title="{esc(p.name)}">{esc(p.name)}</span>' for p in report.planners]


def verdict(difference: PairedDifference) -> str:
    if difference.mean is None:
        return "no scenario in common"
    better = difference.first if difference.mean > 0.0 else difference.second
    told = f"<b>{esc(better)}</b> is better" if difference.clear else '<span class="muted">not clear</span>'
    apart = f"{difference.unpaired} scenarios unpaired" if difference.unpaired else ""
    return told + (f' <span class="muted">({apart})</span>' if apart else "")


def groups_table(report: Report, groups: Sequence[Group], score: str) -> str:
    """Groups x planners; a cell is a button that filters the list of scenes."""
    rows = []
    for g in groups:
        key = f'data-{g.kind}="{esc(g.key)}"'
        cells = [
            f'<th scope="row"><button type="button" class="pick" {key}>{group_name(g.key)}</button></th>',
            cell(float(g.count), 0, kind="n count"),
        ]
        for k, means in enumerate(g.means):
            m = means.get(score, Mean(None))
            if m.value is None:
                cells.append(f'<td class="n">{NONE}</td>')
                continue
            inner = (
                f'<button type="button" class="pick" {key} data-planner="{k}" title="{esc(about(m))}">'
                f"{fmt(m.value)}</button>"
            )
            cells.append(f'<td class="n {shade(m.value)}" data-v="{m.value:.6g}">{inner}</td>')
        rows.append("".join(cells))
    many = " many" if roomy(report) else ""
    heads = [
        groups[0].kind,
        ">n",
        *_upright(report),
    ]
    return table(heads, rows, "", f"sortable heat{many}")


def metrics_table(report: Report) -> str:
    """Means of the metrics, those of each score under its name where there are several, then the figures."""
    several = len(report.scores) > 1
    groups = [(score, report.made_of(score), True) for score in report.scores] if several else []
    told = {name for _, names, _ in groups for name in names}
    groups.append(("", tuple(n for n in report.scored if n not in told), True))
    groups.append(("figures" if several else "", report.figures, False))
    rows = []
    for title, names, shaded in groups:
        found = []
        for name in names:
            values = [p.metrics.get(name) for p in report.planners]
            if all(v is None for v in values):
                continue
            cells = "".join(cell(v, shaded=shaded) for v in values)
            found.append(f'<th scope="row">{words(name.removeprefix(f"{title}/"))}</th>{cells}')
        if found and title:
            rows.append(f'<th scope="rowgroup" colspan="{len(report.planners) + 1}">{words(title)}</th>')
        rows += found
    many = " many" if roomy(report) else ""
    heads = ["mean of", *_upright(report)]
    return table(heads, rows, "metrics-table", f"heat{many}") if rows else ""


def latency_table(report: Report) -> str:
    """A row a planner: the histogram of its calls on a shared axis, and its percentiles."""
    wide = roomy(report)
    axis = charts.latency_axis(report.planners, charts.WIDE if wide else charts.CHART)
    if axis is None:
        return ""
    rows = []
    for p in report.planners:
        cells = "".join(cell(p.latency.get(k), 2) for k in ("p50", "p95", "p99"))
        rows.append(f'<th scope="row">{esc(p.name)}</th><td>{charts.latency_chart(p, axis)}</td>{cells}')
    rows.append(f'<td></td><td>{charts.latency_scale(axis)}</td><td colspan="3" class="n muted">ms</td>')
    return table(["planner", "calls", ">p50", ">p95", ">p99"], rows, "latency-table", "drawn")
