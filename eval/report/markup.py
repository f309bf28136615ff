"""Pieces of markup. Every text from data passes through `esc`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from drive.eval.report.read import Mean

NONE = "\u2013"


def esc(value: object) -> str:
    return html.escape(str(value), quote=True)


def words(name: str) -> str:
    return esc(name.replace("_", " "))


def counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def group_name(key: str) -> str:
    """Scenarios that no generator made have no family."""
    return words(key) if key else "other"


def fmt(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.3f}".replace("-", "\u2212")


def shade(value: float | None) -> str:
    """The class that colours a cell by a value in [0, 1]; the number stands in the cell as well."""
    return "" if value is None else f"h{round(10 * min(max(value, 0.0), 1.0))}"


def cell(
    value: float | None, digits: int = 3, shaded: bool = False, inner: str | None = None, kind: str = "n"
) -> str:
    """A cell with a number, which sorting reads, and what is shown in its place."""
    key = "" if value is None else f' data-v="{value:.6g}"'
    classes = " ".join(c for c in (kind, shade(value) if shaded else "") if c)
    return f'<td class="{classes}"{key}>{fmt(value, digits) if inner is None else inner}</td>'


def table(head: Iterable[str], rows: Iterable[str], name: str = "", kind: str = "", caption: str = "") -> str:
    """A table of ready cells. `kind` sortable: the page's script makes buttons of its heads."""
    marks = (f' id="{name}"' if name else "") + (f' class="{kind}"' if kind else "")
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    columns = "".join(
        f'<th scope="col" class="n">{h[1:]}</th>' if h.startswith(">") else f'<th scope="col">{h}</th>'
        for h in head
    )
    head_row = f"<thead><tr>{columns}</tr></thead>"
    return f'<div class="wide"><table{marks}>{head_row}\n<tbody>\n{body}\n</tbody></table></div>'


def pairs(items: Mapping[str, object] | Sequence[tuple[str, object]]) -> str:
    """A table of names and values; what is not known is left out."""
    listed = items.items() if isinstance(items, Mapping) else items
    rows = [
        f'<tr><th scope="row">{words(str(k))}</th><td>{esc(v)}</td></tr>'
        for k, v in listed
        if v not in (None, "")
    ]
    return '<table class="plain"><tbody>\n' + "\n".join(rows) + "\n</tbody></table>" if rows else ""


def interval(mean: Mean) -> str:
    if mean.low is None or mean.high is None:
        return ""
    return f'<span class="ci">[{mean.low:.3f}, {mean.high:.3f}]</span>'


def about(mean: Mean) -> str:
    """A mean's number of scenarios and interval, for a tip."""
    told = f"n = {mean.n}" if mean.n is not None else ""
    if mean.low is None or mean.high is None:
        return told
    return f"{told}, 95 % interval {mean.low:.3f} to {mean.high:.3f}"
