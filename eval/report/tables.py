"""Pieces of the report's page. Every text from data passes through `esc`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from drive.eval.bench.results import PairedDifference
from drive.eval.report.read import Mean, PlannerEntry, Report, Row
from drive.eval.report.scenes import worst_rows


def esc(value: object) -> str:
    return html.escape(str(value), quote=True)


def words(name: str) -> str:
    return esc(name.replace("_", " "))


def family_name(family: str) -> str:
    """Scenarios that no generator made have no family."""
    return words(family) if family else "other"


def fmt(value: float | None, digits: int = 3) -> str:
    return "\u2013" if value is None else f"{value:.{digits}f}"


def shade(value: float | None) -> str:
    """The class that colours a cell by a value in [0, 1]; the number stands in the cell as well."""
    return "" if value is None else f"h{round(10 * min(max(value, 0.0), 1.0))}"


def cell(
    value: float | None, digits: int = 3, shaded: bool = False, inner: str | None = None, title: str = ""
) -> str:
    key = "" if value is None else f' data-v="{value:.6g}"'
    about = f' title="{esc(title)}"' if title else ""
    classes = " ".join(c for c in ("n", shade(value) if shaded else "") if c)
    return f'<td class="{classes}"{key}{about}>{fmt(value, digits) if inner is None else inner}</td>'


def table(head: Iterable[str], rows: Iterable[str], name: str = "", sortable: bool = False) -> str:
    """A table of ready cells; a sortable one gets its buttons from the page's script."""
    marks = (f' id="{name}"' if name else "") + (' class="sortable"' if sortable else "")
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    columns = "".join(f'<th scope="col">{h}</th>' for h in head)
    head_row = f"<thead><tr>{columns}</tr></thead>"
    return f'<div class="wide"><table{marks}>{head_row}\n<tbody>\n{body}\n</tbody></table></div>'


def whisker(mean: Mean) -> str:
    """The mean and its interval on the axis from 0 to 1."""
    if mean.value is None:
        return ""
    x = [
        4 + 112 * min(max(v if v is not None else mean.value, 0.0), 1.0)
        for v in (mean.low, mean.value, mean.high)
    ]
    return (
        '<svg class="w" width="120" height="16" viewBox="0 0 120 16" aria-hidden="true">'
        '<line class="axis" x1="4" y1="8" x2="116" y2="8"/>'
        f'<line class="ci" x1="{x[0]:.1f}" y1="8" x2="{x[2]:.1f}" y2="8"/>'
        f'<circle cx="{x[1]:.1f}" cy="8" r="4"/></svg>'
    )


def interval(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return ""
    return f'<span class="ci">[{mean.low:.3f}, {mean.high:.3f}]</span>'


def planners_table(report: Report) -> str:
    head = [
        "planner",
        *(words(s) for s in report.scores),
        "n",
        "failures",
        "at-fault collisions",
        "goals reached",
    ]
    head += ["p50 ms", "p95 ms", "p99 ms"]
    rows = []
    for p in report.planners:
        mark = (
            ' <span class="mark" title="This planner sees the log">privileged</span>' if p.privileged else ""
        )
        cells = [f'<th scope="row">{esc(p.name)}{mark}</th>']
        for s in report.scores:
            m = p.scores[s]
            cells.append(cell(m.value, inner=f"<b>{fmt(m.value)}</b> {interval(m)}{whisker(m)}"))
        n = p.scores[report.main].n if report.main else None
        cells.append(cell(None if n is None else float(n), 0))
        failed = ", ".join(f"{words(k)} {v}" for k, v in p.failures.items())
        cells.append(f'<td data-v="{sum(p.failures.values())}">{failed or "none"}</td>')
        cells.append(cell(None if p.collisions is None else float(p.collisions), 0))
        goals = None if p.goals is None else p.goals[0] / p.goals[1]
        cells.append(cell(goals, inner="\u2013" if p.goals is None else f"{p.goals[0]} of {p.goals[1]}"))
        cells += [cell(p.latency.get(k), 2) for k in ("p50", "p95", "p99")]
        rows.append("".join(cells))
    return table(head, rows, "planners", sortable=True)


def paired_table(differences: Sequence[PairedDifference]) -> str:
    """Differences scenario by scenario, first minus second, drawn on one axis with 0 in its middle."""
    rows = []
    reach = max([abs(v) for d in differences for v in d.ci95 or ()] + [0.01])
    for d in differences:
        low, high = d.ci95 or (None, None)
        told = "\u2013" if d.mean is None else f"<b>{d.mean:+.3f}</b>"
        told += "" if low is None or high is None else f' <span class="ci">[{low:+.3f}, {high:+.3f}]</span>'
        better = d.first if (d.mean or 0.0) > 0.0 else d.second
        verdict = f"{esc(better)} is better" if d.clear else "not clear"
        verdict += f", {d.unpaired} scenarios unpaired" if d.unpaired else ""
        rows.append(
            f'<th scope="row">{esc(d.first)}</th><td>{esc(d.second)}</td><td>{words(d.score)}</td>'
            + cell(d.mean, inner=told + _difference_whisker(d, reach))
            + cell(float(d.n), 0)
            + f"<td>{verdict}</td>"
        )
    return table(["first", "second", "score", "first minus second", "n", "verdict"], rows, "paired")


def _difference_whisker(difference: PairedDifference, reach: float) -> str:
    """The mean and its interval on the axis from -reach to reach."""
    if difference.mean is None or difference.ci95 is None:
        return ""
    low, high = difference.ci95
    x = [60 + 56 * v / reach for v in (low, difference.mean, high)]
    return (
        '<svg class="w" width="120" height="16" viewBox="0 0 120 16" aria-hidden="true">'
        '<line class="axis" x1="4" y1="8" x2="116" y2="8"/>'
        '<line class="axis" x1="60" y1="2" x2="60" y2="14"/>'
        f'<line class="ci" x1="{x[0]:.1f}" y1="8" x2="{x[2]:.1f}" y2="8"/>'
        f'<circle cx="{x[1]:.1f}" cy="8" r="4"/></svg>'
    )


def metrics_table(report: Report) -> str:
    rows = []
    for names, shaded in ((report.scored, True), (report.figures, False)):
        for name in names:
            cells = "".join(cell(p.metrics.get(name), shaded=shaded) for p in report.planners)
            rows.append(f'<th scope="row">{words(name)}</th>{cells}')
    return table(["mean of", *(esc(p.name) for p in report.planners)], rows, "metrics")


def families_table(report: Report, score: str) -> str:
    rows = []
    for family in report.families:
        cells = []
        for p in report.planners:
            m = p.families.get(family, {}).get(score, Mean(None))
            about = f"n = {m.n}" + ("" if m.low is None else f", 95 % interval {fmt(m.low)} to {fmt(m.high)}")
            cells.append(cell(m.value, shaded=True, title=about))
        rows.append(f'<th scope="row">{family_name(family)}</th>{"".join(cells)}')
    return table([words(score), *(esc(p.name) for p in report.planners)], rows, sortable=True)


def scenarios_table(report: Report, links: Mapping[tuple[str, str], str]) -> str:
    by_planner = [{row.scenario: row for row in p.rows} for p in report.planners]
    rows = []
    for scene in report.scenarios:
        found = [rows_of.get(scene) for rows_of in by_planner]
        family = next((r.family for r in found if r is not None), "")
        cells = [f'<th scope="row">{esc(scene)}</th><td>{family_name(family)}</td>']
        for p, row in zip(report.planners, found, strict=True):
            cells.append(_result(row, report.main, links.get((p.name, scene))))
        rows.append("".join(cells))
    return table(
        ["scenario", "family", *(esc(p.name) for p in report.planners)], rows, "scenarios", sortable=True
    )


def worst_list(report: Report, planner: PlannerEntry, links: Mapping[tuple[str, str], str]) -> str:
    rows = []
    for row in worst_rows(planner, report.main):
        if (row.values[report.main] or 0.0) >= 1.0:
            continue
        why = [
            f"{words(n)} {fmt(v, 2)}"
            for n, v in row.values.items()
            if n in report.scored and v is not None and v < 1.0
        ]
        text = f"{words(row.failure)}: {esc(row.reason)}" if row.failure else ", ".join(why[:6])
        result = _result(row, report.main, links.get((planner.name, row.scenario)))
        rows.append(f'<th scope="row">{esc(row.scenario)}</th>{result}<td>{text}</td>')
    if not rows:
        return "<p>No scene was lost: every one scored 1.</p>"
    return table(["scenario", words(report.main), "what cost points"], rows)


def runs_table(report: Report, planner: PlannerEntry, links: Mapping[tuple[str, str], str]) -> str:
    names = [*report.scores[1:], *report.scored]
    rows = []
    for row in planner.rows:
        cells = [
            f'<th scope="row">{esc(row.scenario)}</th>',
            _result(row, report.main, links.get((planner.name, row.scenario))),
        ]
        cells += [cell(row.values.get(n), 2, shaded=True) for n in names]
        cells.append(cell(row.latency, 2))
        rows.append("".join(cells))
    return table(["scenario", words(report.main), *(words(n) for n in names), "p50 ms"], rows, sortable=True)


def _result(row: Row | None, score: str, link: str | None) -> str:
    """The cell of one run: its score, or why there is none, linked to the replay if there is one."""
    if row is None:
        return '<td class="n">-</td>'
    value = row.values.get(score) if row.valid else None
    text = fmt(value) if value is not None else words(row.failure or ("dropped" if not row.valid else "-"))
    if row.failure and value is not None:
        text += f' <span class="fail">{words(row.failure)}</span>'
    if link:
        text = f'<a href="{esc(link)}">{text}</a>'
    return cell(value, shaded=row.valid, inner=text, title=row.reason)


def pairs(items: Mapping[str, object] | Sequence[tuple[str, object]]) -> str:
    """A table of names and values."""
    listed = items.items() if isinstance(items, Mapping) else items
    rows = [
        f'<th scope="row">{words(str(k))}</th><td>{esc(v)}</td>' for k, v in listed if v not in (None, "")
    ]
    body = "\n".join(f"<tr>{r}</tr>" for r in rows)
    return f'<table class="plain"><tbody>\n{body}\n</tbody></table>'
