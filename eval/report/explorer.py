"""The list of all scenes: the controls in the markup, and the data that the page's script lists."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from drive.eval.report.markup import esc, group_name, words
from drive.eval.report.read import Report, Row
from drive.eval.report.scenes import Scenes


def data(report: Report, scenes: Scenes) -> dict[str, Any]:
    """What the script lists. Scenes `[id, family, tags, page, hash]` and, per planner, a cell a scene.

    A cell is null, or `{v: values by column, f: failure, r: reason, l: ms, k: run in the page, x: dropped}`
    without what it lacks; families, tags and reasons are numbers into the lists beside them.
    """
    columns = [*report.scores, *report.scored, *report.figures]
    reasons: dict[str, int] = {}
    families, tags = _kinds(report)
    by_planner = [{r.scenario: r for r in p.rows} for p in report.planners]
    listed: list[list[Any]] = []
    for scene in report.scenarios:
        row = next(found[scene] for found in by_planner if scene in found)
        page = scenes.pages.get(scene)
        listed.append(
            [
                scene,
                families.index(row.family),
                [tags.index(tag) for tag in row.tags],
                page.address if page else None,
                row.hash[:12],
            ]
        )
    cells: list[list[dict[str, Any] | None]] = []
    for planner, found in zip(report.planners, by_planner, strict=True):
        runs = {s: p.runs[planner.name] for s, p in scenes.pages.items() if planner.name in p.runs}
        cells.append([_cell(found.get(s), columns, reasons, runs.get(s)) for s in report.scenarios])
    return {
        "columns": columns,
        "scores": len(report.scores),
        "shaded": len(report.scores) + len(report.scored),
        "planners": [[p.name, p.privileged] for p in report.planners],
        "families": families,
        "tags": tags,
        "reasons": list(reasons),
        "scenes": listed,
        "cells": cells,
    }


def _kinds(report: Report) -> tuple[list[str], list[str]]:
    """The families and tags of all scenes, in the order in which lists show them."""
    rows = [row for p in report.planners for row in p.rows]
    return sorted({r.family for r in rows}), sorted({tag for r in rows for tag in r.tags})


def _cell(
    row: Row | None, columns: list[str], reasons: dict[str, int], run: int | None
) -> dict[str, Any] | None:
    if row is None:
        return None
    found: dict[str, Any] = {"v": [_short(row.values.get(name)) for name in columns]}
    if row.failure:
        found["f"] = row.failure
    if row.reason:
        found["r"] = reasons.setdefault(row.reason, len(reasons))
    if row.latency.get("p50") is not None:
        found["l"] = _short(row.latency["p50"])
    if run is not None:
        found["k"] = run
    elif row.run:
        found["n"] = PurePosixPath(row.run).name
    if not row.valid:
        found["x"] = 1
    return found


def _short(value: float | None) -> float | int | None:
    """Four digits after the point, and whole numbers without one: the page holds thousands of them."""
    if value is None:
        return None
    rounded = round(value, 4)
    return int(rounded) if rounded.is_integer() else rounded


def different(report: Report) -> str:
    """Two planners to choose, and room for the scenes in which they differ most."""
    first = next((k for k, p in enumerate(report.planners) if not p.privileged), 0)
    rest = [k for k in range(len(report.planners)) if k != first]
    second = next((k for k in rest if not report.planners[k].privileged), rest[0])

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{k}"{" selected" * (k == chosen)}>{esc(p.name)}</option>'
            for k, p in enumerate(report.planners)
        )

    return (
        f'<p class="filters"><label>First <select id="first">{options(first)}</select></label> '
        f'<label>Second <select id="second">{options(second)}</select></label></p>'
        '<div class="wide"><table id="different" class="lead"></table></div><p id="same" hidden></p>'
    )


def controls(report: Report) -> str:
    """The filters over the list, and the list's empty table."""
    families, tags = _kinds(report)
    columns = [*report.scores, *report.scored, *report.figures]

    def options(keys: list[str], name: str = "") -> str:
        first = f'<option value="">{name}</option>' if name else ""
        return first + "".join(
            f'<option value="{k}">{group_name(key)}</option>' for k, key in enumerate(keys)
        )

    shown = "".join(f'<option value="{k}">{words(name)}</option>' for k, name in enumerate(columns))
    outcomes = (
        ("", "all outcomes"),
        ("lost", "a planner below 1"),
        ("zero", "a planner at 0"),
        ("apart", "planners apart by 0.25 or more"),
        ("failed", "a planner failed"),
        ("dropped", "dropped"),
    )
    listed = "".join(f'<option value="{key}">{text}</option>' for key, text in outcomes)
    return (
        '<div class="filters" role="search">'
        '<label class="grow">Find '
        '<input id="find" type="search" placeholder="scenario, tag, failure"></label>'
        f'<label>Family <select id="family">{options(families, "all")}</select></label>'
        f'<label>Tag <select id="tag">{options(tags, "all")}</select></label>'
        f'<label>Outcome <select id="outcome">{listed}</select></label>'
        f'<label>Show <select id="column">{shown}</select></label>'
        '<button type="button" id="clear">clear</button></div>'
        '<p><output id="shown" aria-live="polite"></output></p>'
        '<div class="wide"><table id="scenes"></table></div>'
        '<p class="more"><button type="button" id="more" hidden></button> '
        '<button type="button" id="every" hidden>show all</button></p>'
        "<noscript><p>The list of scenes is put together by this page's script, "
        "which this browser does not run.</p></noscript>"
    )
