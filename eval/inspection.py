"""A page about what is in a file: the facts of each scenario, and a picture of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from drive.datasets.source import load
from drive.errors import DriveError, InputError
from drive.eval.picture import scene_picture
from drive.eval.replay.page import build_page
from drive.eval.report.markup import esc, pairs
from drive.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PICTURES = 40
"""Scenarios of one page that are drawn; of the others the facts alone are told."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 1rem auto; padding: 0 1rem; }
section { border-top: 1px solid #98a1ab; margin-top: 1.5rem; }
h2 { font-size: 1.05rem; overflow-wrap: anywhere; }
img { width: 100%; background: #fff; }
th { text-align: left; font-weight: 600; padding-right: 1rem; white-space: nowrap; vertical-align: top; }
td { overflow-wrap: anywhere; }
.bad { color: #c8321a; }
"""


def write_inspection(entries: Sequence[Mapping[str, Any]], path: Path, at: float | None = None) -> Path:
    """Write the page of what `drive inspect` found. Raises InputError for a name that is not *.html."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path.name}: a page's name ends in .html")
    drawn = 0
    parts = [f"<h1>{esc(_title(entries))}</h1>"]
    for entry in entries:
        picture = ""
        if entry["what"] == "scenario":
            drawn += 1
            picture = _picture(entry["ref"], at) if drawn <= PICTURES else "<p>Not drawn: there are many.</p>"
        bad = ' class="bad"' if entry["what"] in ("invalid scenario", "skipped file") else ""
        facts = [(key, _text(value)) for key, value in entry.items() if key not in ("what", "ref")]
        name = entry.get("id") or entry["ref"]
        head = f"<h2{bad}>{esc(entry['what'])}: {esc(name)}</h2>"
        parts.append(f"<section>{head}\n{picture}\n{pairs(facts)}</section>")
    return write_whole(path, build_page(_title(entries), "\n".join(parts), STYLE, ""))


def _title(entries: Sequence[Mapping[str, Any]]) -> str:
    count = sum(entry["what"] == "scenario" for entry in entries)
    return "1 scenario" if count == 1 else f"{count} scenarios"


def _picture(ref: str, at: float | None) -> str:
    try:
        svg = scene_picture(load(ref), at)
    except DriveError as error:
        return f"<p>Not drawn: {esc(error)}</p>"
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{esc(ref)}" src="data:image/svg+xml;base64,{data}">'


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(v)}" for key, v in value.items() if v not in ("", None, [], {}))
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
