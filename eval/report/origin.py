"""Where the figures come from: the command, the settings, versions and the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from drive._configure import flatten
from drive.eval.report.markup import esc, pairs
from drive.eval.report.read import PlannerEntry, Report

# What changes where results go and how fast they come, never the results.
_OF_THE_PLACE = {"--out": 1, "--jobs": 1, "--executor": 1, "--resume": 0, "--force": 0, "--json": 0}


def reproduce(report: Report) -> str:
    """The command, with a button that copies it, and what must be equal for equal figures."""
    data = report.data
    suite = data.get("suite")
    suite = suite if isinstance(suite, Mapping) else {}
    scores = data.get("scores")
    facts: dict[str, object] = {
        "suite": suite.get("id"),
        "suite hash": suite.get("hash"),
        "scenarios": suite.get("scenarios"),
    }
    names = ("mode", "ego", "traffic", "visibility", "detection", "tracker", "seed")
    facts |= {name: data.get(name) for name in names}
    facts |= {"real time": "yes"} if data.get("realtime") else {}
    facts |= {f"score {k}": v for k, v in scores.items()} if isinstance(scores, Mapping) else {}
    command = " ".join(map(quoted, command_of(report)))
    return (
        f'<div class="command"><pre id="command">{esc(command)}</pre>'
        '<button type="button" id="copy" data-copy="command">copy</button></div>'
        '<div class="cards">'
        f"<div><h3>What was driven</h3>{pairs(facts)}</div>"
        f"<div><h3>Versions</h3>{_told(data.get('versions'))}</div>"
        f"<div><h3>Machine</h3>{_told(data.get('machine'))}"
        "<p>Latencies hold for this machine; scores do not depend on it, except in real time.</p></div></div>"
    )


def settings(report: Report) -> str:
    """Each planner's settings that differ from their defaults, and all of them on demand."""
    parts = []
    for p in report.planners:
        text = json.dumps(p.config, indent=1, sort_keys=True, ensure_ascii=False, default=str)
        whole = (
            f"<details><summary>all settings</summary><pre>{esc(text)}</pre></details>" if p.config else ""
        )
        parts.append(f"<div><h3>{esc(p.name)}</h3>{_changed(p)}{whole}</div>")
    return '<div class="cards narrow">' + "\n".join(parts) + "</div>"


def changes(planner: PlannerEntry) -> dict[str, tuple[Any, Any]] | None:
    """Setting -> (default, value) where they differ; None where the defaults are not known."""
    if planner.defaults is None:
        return None
    before, now = flatten(planner.defaults), flatten(planner.config)
    keys = [*now, *(key for key in before if key not in now)]
    return {k: (before.get(k), now.get(k)) for k in keys if before.get(k) != now.get(k)}


def command_of(report: Report) -> Sequence[str]:
    """The command that gives these results, without what only says where they go."""
    data = report.data
    told = data.get("command")
    if isinstance(told, list) and len(told) > 1 and str(told[0]) == "drive":
        return _without_place([str(word) for word in told])
    suite = data.get("suite")
    name = str(suite.get("id", "")) if isinstance(suite, Mapping) else ""
    # A suite called custom is a list of scenarios: those above.
    out = ["drive", "bench", *(["--scenarios", "PATH"] if name == "custom" else ["--suite", name])]
    for p in report.planners:
        out += ["--planner", p.name]
    for p in report.planners:
        for key, (_, value) in (changes(p) or {}).items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            out += ["--set", f"{p.name}.{key}={text}"]
    out += ["--traffic", str(data["traffic"])] if data.get("traffic") else []
    for name, usual in (
        ("visibility", "line_of_sight"),
        ("detection", "none"),
        ("tracker", "lqr"),
        ("ego", "planned"),
    ):
        out += [f"--{name}", str(data[name])] if data.get(name) not in (None, usual) else []
    out += ["--realtime"] if data.get("realtime") else []
    sizes = set(batches.values()) if isinstance(batches := data.get("batch"), Mapping) else set()
    out += ["--batch", str(*sizes)] if len(sizes) == 1 else []
    return [*out, "--seed", str(data["seed"])] if data.get("seed") is not None else out


def quoted(word: str) -> str:
    """The word as a shell takes it; in double quotes where those alone leave it readable."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)


def _without_place(command: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = 0
    for word in command:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in _OF_THE_PLACE:
            skip = 0 if equals else _OF_THE_PLACE[name]
        else:
            kept.append(word)
    return kept


def _changed(planner: PlannerEntry) -> str:
    if not planner.config:
        return "<p>It has no settings.</p>"
    found = changes(planner)
    if found is None:
        return "<p>Its defaults are not in these results.</p>"
    if not found:
        return "<p>All settings at their defaults.</p>"
    rows = "".join(
        f'<tr><th scope="row">{esc(key)}</th><td><b>{_value(now)}</b></td>'
        f'<td class="muted">default {_value(before)}</td></tr>'
        for key, (before, now) in found.items()
    )
    same = len(flatten(planner.config)) - len(found)
    return (
        f'<table class="plain"><tbody>{rows}</tbody></table>'
        f"<p>{same} more at {'its default' if same == 1 else 'their defaults'}.</p>"
        if same > 0
        else f'<table class="plain"><tbody>{rows}</tbody></table>'
    )


def _value(value: object) -> str:
    return esc(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _told(value: object) -> str:
    found = pairs({str(k): v for k, v in value.items()}) if isinstance(value, Mapping) else ""
    return found or "<p>Not in these results.</p>"
