"""`write_report`: from a folder with results to `report.html` and the replays it links to."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from drive.eval.bench.results import PairedDifference, Results
from drive.eval.replay.page import asset, build_page, write_whole
from drive.eval.report import tables
from drive.eval.report.read import Report, read
from drive.eval.report.scenes import Scenes, write_scenes
from drive.eval.report.tables import esc, words

NAME = "report.html"
PACKAGE = "drive.eval.report"
MAX_PAIRED = 5
"""Up to so many planners, all pairs are compared."""


def write_report(results_dir: str | Path) -> Path:
    """Write `report.html` beside `results.json`, and replays of scenes below `replays/`.

    All scenes of a benchmark of at most 40 runs get a replay, else each planner's five worst. Equal
    results give equal bytes. Raises InputError where there are no results.
    """
    results = Results.load(results_dir)
    folder = results.path
    report = read(results.data)
    scenes = write_scenes(report, folder)
    suite = report.data.get("suite") or {}
    page = build_page(
        f"Benchmark {suite.get('id', '')}",
        body_of(report, scenes, differences_of(results, report)),
        style(),
        asset(PACKAGE, "report.js"),
    )
    return write_whole(folder / NAME, page)


def style() -> str:
    """The style sheet with eleven shades between its two ends."""
    steps = [
        f".h{k} {{ background: color-mix(in oklab, var(--high) {10 * k}%, var(--low)); }}" for k in range(11)
    ]
    return asset(PACKAGE, "report.css") + "\n".join(steps) + "\n"


def differences_of(results: Results, report: Report) -> list[PairedDifference]:
    """Paired differences of all pairs, or of the best with each other where there are many planners."""
    names = [p.name for p in report.planners if any(row.valid for row in p.rows)]
    told = [row for p in results.data["planners"] for row in p["scenarios"]]
    if not report.main or not all("hash" in row for row in told):
        return []
    firsts = names if len(names) <= MAX_PAIRED else names[:1]
    return [results.paired(a, b, report.main) for i, a in enumerate(firsts) for b in names[i + 1 :]]


def body_of(report: Report, scenes: Scenes, differences: Sequence[PairedDifference] = ()) -> str:
    """The page's body."""
    data = report.data
    suite = data.get("suite") or {}
    facts = [
        f"{suite.get('scenarios', len(report.scenarios))} scenarios",
        f"traffic {data.get('traffic', '?')}",
        f"seed {data.get('seed', '?')}",
        str(data.get("mode") or "closed") + " loop",
    ]
    parts = [
        f"<header><h1>Benchmark <b>{esc(suite.get('id', ''))}</b></h1>",
        f"<p>{esc(' · '.join(facts))}</p></header><main>",
        "<section><h2>Planners</h2><p>Mean over scenarios and its 95 % bootstrap interval. "
        "A planner that fails scores 0 in that scenario; "
        "a scenario that the simulator cannot drive counts for none. "
        "Latency is the time of one planner call.</p>",
        tables.planners_table(report),
        _notes(report, scenes),
        "</section>",
    ]
    if differences:
        parts += [
            "<section><h2>Paired differences</h2><p>The same scenarios driven by two planners: the mean "
            "difference of their scores and its 95 % bootstrap interval. A difference is clear where the "
            "interval leaves out 0.</p>",
            tables.paired_table(differences),
            "</section>",
        ]
    if report.families:
        parts.append('<section><h2>By family</h2><div class="columns">')
        parts += [tables.families_table(report, s) for s in report.scores]
        parts.append("</div></section>")
    if report.scored or report.figures:
        parts += [
            "<section><h2>Metrics</h2><p>Shaded ones lie in [0, 1] and make up the score;",
            "the others are figures in their own unit.</p>",
            tables.metrics_table(report),
            "</section>",
        ]
    parts.append("<section><h2>Worst scenes</h2>")
    parts += [f"<h3>{esc(p.name)}</h3>{tables.worst_list(report, p, scenes.links)}" for p in report.planners]
    parts += [
        "</section><section><h2>Scenarios</h2>",
        _filters(report),
        tables.scenarios_table(report, scenes.links),
    ]
    parts.append("<h3>Every metric of every run</h3>")
    for p in report.planners:
        runs = tables.runs_table(report, p, scenes.links)
        parts.append(f"<details><summary>{esc(p.name)}</summary>{runs}</details>")
    parts += ["</section>", _reproduce(report), "</main>"]
    return "\n".join(parts)


def _notes(report: Report, scenes: Scenes) -> str:
    data, lines = report.data, []
    known = {row.scenario: row.expert for p in report.planners for row in p.rows if row.valid and row.expert}
    experts = Counter(known.values())
    if experts:
        told = ", ".join(f"{words(k)} ({v} scenarios)" for k, v in sorted(experts.items()))
        lines.append(f"Progress is measured against an expert: {told}.")
    if any(p.privileged for p in report.planners):
        lines.append("Planners marked privileged see the log, which a vehicle on the road could not.")
    lines += [
        f"Dropped for every planner: {esc(entry.get('id'))} ({words(str(entry.get('failure')))})."
        for entry in data.get("dropped") or ()
    ]
    lines += [
        f"Skipped: {esc(entry.get('file'))} ({esc(entry.get('reason'))})."
        for entry in data.get("skipped") or ()
    ]
    if data.get("realtime"):
        lines.append("Planners had to answer in real time; runs may differ from machine to machine.")
    lines += [esc(note) for note in scenes.notes]
    shown = lines[:40] + ([f"And {len(lines) - 40} more."] if len(lines) > 40 else [])
    return "<ul>" + "".join(f"<li>{line}</li>" for line in shown) + "</ul>" if shown else ""


def _filters(report: Report) -> str:
    options = "".join(f"<option>{tables.family_name(f)}</option>" for f in report.families)
    return (
        f"<p>{words(report.main)} of each run. Linked scores open the replay, all planners side by side.</p>"
        '<p class="filters"><label>Find <input id="find" type="search"></label> '
        f'<label>Family <select id="family"><option value="">all</option>{options}</select></label> '
        '<output id="shown"></output></p>'
    )


def _reproduce(report: Report) -> str:
    data = report.data
    suite = data.get("suite") or {}
    told = data.get("command")
    command = [str(c) for c in told] if isinstance(told, list) and told else _command(report)
    lines = ["<section><h2>How to reproduce</h2>", f"<pre>{esc(shlex.join(command))}</pre>"]
    scores = data.get("scores")
    versions = {f"score {k}": v for k, v in scores.items()} if isinstance(scores, dict) else {}
    facts = {"suite": suite.get("id"), "suite hash": suite.get("hash")}
    facts |= {name: data.get(name) for name in ("seed", "traffic", "ego")}
    lines.append(tables.pairs({**facts, **versions}))
    lines.append(
        '<div class="columns"><div><h3>Versions</h3>' + tables.pairs(data.get("versions") or {}) + "</div>"
    )
    lines.append("<div><h3>Machine</h3>" + tables.pairs(data.get("machine") or {}) + "</div></div>")
    lines.append("<h3>Configuration</h3>")
    for p in report.planners:
        text = json.dumps(p.config, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        lines.append(f"<details><summary>{esc(p.name)}</summary><pre>{esc(text)}</pre></details>")
    lines.append("</section>")
    return "\n".join(lines)


def _command(report: Report) -> Sequence[str]:
    """The command of a benchmark that does not tell its own; settings stand under Configuration."""
    data = report.data
    suite = str((data.get("suite") or {}).get("id", ""))
    # A suite called custom is a list of scenarios: those above.
    out = ["drive", "bench", *(["--scenarios", "PATH"] if suite == "custom" else ["--suite", suite])]
    for p in report.planners:
        out += ["--planner", p.name]
    out += [f"--traffic={data['traffic']}"] if data.get("traffic") else []
    return [*out, "--seed", str(data["seed"])] if data.get("seed") is not None else out
