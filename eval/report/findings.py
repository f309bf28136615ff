"""What a reader is led to: the result in a sentence, failures, plans that were not whole, worst scenes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from drive.eval.bench.results import PairedDifference
from drive.eval.report.markup import (
    NONE,
    counted,
    esc,
    fmt,
    group_name,
    interval,
    shade,
    signed,
    table,
    words,
)
from drive.eval.report.read import PlannerEntry, Report, Row
from drive.eval.report.scenes import Scenes, worst_rows

SHOWN = 8
FEW = 10


def headline(report: Report, differences: Sequence[PairedDifference]) -> str:
    """The result in words: who leads, whether the lead is clear, who failed."""
    if not report.planners:
        return "<p>These results hold no planner.</p>"
    if not report.main:
        return "<p>These results hold no score; what was measured stands under Metrics.</p>"
    known = [p for p in report.planners if p.scores[report.main].value is not None]
    if not known:
        return f"<p>No planner has a {words(report.main)}: no scenario counts for all of them.</p>"
    competing = [p for p in known if not p.privileged] or known
    lines = []
    if all(p.privileged for p in report.planners):
        lines.append(
            "Every planner here is privileged: it sees the log. These are references, not competitors."
        )
    best, rivals = competing[0], competing[1:]
    lines.append(_lead(best, rivals[0] if rivals else None, report.main, differences))
    mean = best.scores[report.main]
    if mean.n and mean.n < FEW and mean.low is not None:
        lines.append(f"An interval over {counted(mean.n, 'scenario')} means little.")
    above = [p for p in known if p not in competing]
    if above:
        told = ", ".join(f"{esc(p.name)} ({fmt(p.scores[report.main].value)})" for p in above)
        lines.append(
            f"{told} sees the log: a reference, not a competitor."
            if len(above) == 1
            else f"{told} see the log: references, not competitors."
        )
    unknown = [esc(p.name) for p in report.planners if p not in known]
    if unknown:
        lines.append(f"{', '.join(unknown)}: no {words(report.main)}.")
    failed = [
        f"{esc(p.name)} in {sum(_own_failures(p).values())} of {len(p.rows)}"
        for p in report.planners
        if _own_failures(p)
    ]
    if failed:
        lines.append(f"Failures: {', '.join(failed)}.")
    if len(report.planners) == 1:
        lines.append("With one planner there is nothing to compare.")
    return f'<p class="headline">{" ".join(lines)}</p>'


def _lead(
    best: PlannerEntry, second: PlannerEntry | None, score: str, differences: Sequence[PairedDifference]
) -> str:
    """Who is first, and whether the difference to the second is clear."""
    mean = best.scores[score]
    figure = f"<b>{fmt(mean.value)}</b> {interval(mean)}"
    over = f" over {counted(mean.n, 'scenario')}" if mean.n else ""
    if second is None:
        return f"<b>{esc(best.name)}</b> scores {figure}{over}."
    if fmt(second.scores[score].value) == fmt(mean.value):
        names = f"<b>{esc(best.name)}</b> and <b>{esc(second.name)}</b>"
        return f"{names} are level at {figure}{over}."
    told = f"<b>{esc(best.name)}</b> leads with {figure}{over}."
    for d in differences:
        if {d.first, d.second} == {best.name, second.name} and d.mean is not None and d.ci95 is not None:
            sign = 1.0 if d.first == best.name else -1.0
            low, high = sorted(sign * v for v in d.ci95)
            clear = "clear" if d.clear else "not clear: the interval holds 0"
            return (
                f"{told} Its lead over {esc(second.name)}, {signed(sign * d.mean)} "
                f'<span class="ci">[{signed(low)}, {signed(high)}]</span>, is {clear}.'
            )
    return f"{told} {esc(second.name)} follows."


def _own_failures(planner: PlannerEntry) -> dict[str, int]:
    return {k: v for k, v in planner.failures.items() if k.startswith("planner")}


def failures(report: Report, scenes: Scenes) -> str:
    """Each planner's failures, equal ones as one line, and what was left out for everybody."""
    rows = []
    for p in report.planners:
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in p.rows:
            if row.failure and row.valid:
                alike.setdefault((row.failure, row.reason), []).append(row)
        for (kind, reason), found in sorted(alike.items(), key=lambda item: -len(item[1])):
            links = [_scene_link(row.scenario, scenes.link(p.name, row.scenario)) for row in found[:SHOWN]]
            more = (
                f' and <button type="button" class="pick inline" data-find="{esc(reason or words(kind))}">'
                f"{len(found) - SHOWN} more</button>"
                if len(found) > SHOWN
                else ""
            )
            rows.append(
                f'<th scope="row">{esc(p.name)}</th><td class="bad">{words(kind)}</td>'
                f'<td class="n" data-v="{len(found)}">{len(found)}</td>'
                f'<td class="wrap reason">{esc(reason) or NONE}</td>'
                f'<td class="wrap">{", ".join(links)}{more}</td>'
            )
    parts = [
        table(["planner", "failure", ">n", "reason", "scenarios"], rows, "failures-table", "sortable")
        if rows
        else "<p>No planner failed in any scenario.</p>"
    ]
    parts.append(_statuses(report))
    return "\n".join(part for part in parts if part)


def _statuses(report: Report) -> str:
    """How many plans were whole; said only where some were not."""
    kinds = dict.fromkeys(k for p in report.planners for k in p.status)
    if not [k for k in kinds if k != "ok"]:
        return ""
    order = (["ok"] if "ok" in kinds else []) + sorted(k for k in kinds if k != "ok")
    rows = []
    for p in report.planners:
        total = sum(p.status.values())
        cells = "".join(
            f'<td class="n" data-v="{p.status.get(k, 0)}">{p.status.get(k, 0) or NONE}</td>' for k in order
        )
        ok = p.status.get("ok", 0)
        # Rounded to the nearest, a few among thousands would read as none.
        whole = f"{math.floor(1000.0 * ok / total) / 10.0:.1f} %" if total else NONE
        rows.append(f'<th scope="row">{esc(p.name)}</th>{cells}<td class="n">{whole}</td>')
    heads = ["planner", *(f">{words(k)}" for k in order), ">share ok"]
    return "<h3>Plans by what planners said of them</h3>" + table(heads, rows, "status-table")


def worst(report: Report, scenes: Scenes) -> str:
    """The worst scenes of each planner and what cost points in them."""
    parts = []
    for p in report.planners:
        items = [
            _worst_item(report, row, scenes.link(p.name, row.scenario))
            for row in worst_rows(p, report.main)
            if (row.values[report.main] or 0.0) < 1.0 or row.failure
        ]
        if items:
            body = '<ol class="worst">\n' + "\n".join(items) + "\n</ol>"
        elif any(r.valid and r.values.get(report.main) is not None for r in p.rows):
            body = "<p>No point was lost: every scene scored 1.</p>"
        else:
            body = "<p>No scene of this planner has a score.</p>"
        parts.append(f"<div><h3>{esc(p.name)}</h3>{body}</div>")
    return '<div class="cards narrow">' + "\n".join(parts) + "</div>" if parts else ""


def _worst_item(report: Report, row: Row, link: str | None) -> str:
    if row.failure:
        why = f"{words(row.failure)}: {esc(row.reason)}" if row.reason else words(row.failure)
    else:
        parts = [(n, row.values.get(n)) for n in report.made_of(report.main)]
        lost = [(n, v) for n, v in parts if v is not None and v < 1.0]
        lost.sort(key=lambda item: item[1])
        why = ", ".join(f"{words(n)} {_below_one(v)}" for n, v in lost[:3]) or group_name(row.family)
    value = row.values[report.main]
    return (
        f'<li><span class="chip {shade(value)}">{fmt(value)}</span>'
        f'<div>{_scene_link(row.scenario, link)}<span class="why">{why}</span></div></li>'
    )


def _below_one(value: float) -> str:
    # Rounded to the nearest, what cost a point would read as whole.
    return fmt(value, 2) if value < 0.995 else fmt(math.floor(1000.0 * value) / 1000.0)


def _scene_link(scene: str, link: str | None) -> str:
    # Long names may break behind their slashes and underscores.
    name = esc(scene).replace("/", "/<wbr>").replace("_", "_<wbr>")
    return f'<a href="{esc(link)}">{name}</a>' if link else name


def notes(report: Report, scenes: Scenes, experts: Mapping[str, int]) -> str:
    """What must be known to read the figures rightly."""
    data, lines = report.data, []
    if experts:
        told = ", ".join(f"{words(k)} ({counted(v, 'scenario')})" for k, v in sorted(experts.items()))
        lines.append(f"Progress is measured against an expert: {told}.")
    if any(p.privileged for p in report.planners):
        lines.append("Planners marked privileged see the log, which a vehicle on the road could not.")
    if data.get("realtime"):
        lines.append("Planners had to answer in real time; runs may differ from machine to machine.")
    for entry in data.get("dropped") or ():
        kind = words(str(entry.get("failure")))
        lines.append(f"Dropped for every planner: {esc(entry.get('id'))} ({kind}).")
    lines += [
        f"Skipped: {esc(entry.get('file'))} ({esc(entry.get('reason'))})."
        for entry in data.get("skipped") or ()
    ]
    lines += [esc(note) for note in scenes.notes]
    shown = lines[:40] + ([f"And {len(lines) - 40} more."] if len(lines) > 40 else [])
    return '<ul class="notes">' + "".join(f"<li>{line}</li>" for line in shown) + "</ul>" if shown else ""
