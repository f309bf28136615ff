"""`drive list`: what is installed under which name."""

from __future__ import annotations

import ast
import importlib.resources
import importlib.util
import json
import tomllib
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from drive import registry
from drive.errors import UnknownNameError

KINDS = {
    "planners": "drive.planners",
    "suites": "drive.suites",
    "datasets": "drive.datasets",
    "traffic": "drive.traffic",
    "metrics": "drive.metrics",
    "recipes": "drive.recipes",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list; `target` says where the object lies."""

    name: str
    summary: str
    target: str
    distribution: str
    version: str


def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=" | ".join(KINDS))],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of each metric how it is computed.")
    ] = False,
) -> None:
    """List planners, suites, data sets, traffic, metrics, recipes.

    \b
    Examples:
      drive list planners
      drive list metrics --explain
    """
    if kind not in KINDS:
        raise typer.BadParameter(str(UnknownNameError("kind", kind, KINDS)))
    if explain:
        if kind != "metrics":
            raise typer.BadParameter("--explain goes with metrics")
        for row in rows_of(kind):
            for name, text in registry.load(KINDS[kind], row.name).explain().items():
                print(f"{row.name}.{name}\n    {text}\n")
        return
    rows = rows_of(kind)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        print(f"no {kind} installed")
    else:
        _print_table(rows)


def rows_of(kind: str) -> list[Row]:
    """What is installed of that kind, by name; nothing of it is imported."""
    rows = [
        Row(item.name, summary_of(item.target), item.target, item.distribution, item.version)
        for item in registry.entries(KINDS[kind])
    ]
    return sorted(rows + _built_in_suites() if kind == "suites" else rows, key=lambda row: row.name)


def summary_of(target: str) -> str:
    """The first line of the docstring of `module:attribute`, read from the source.

    Importing every planner only to list it would take seconds and want every extra.
    """
    place, _, attribute = target.partition(":")
    try:
        spec = importlib.util.find_spec(place)
    except Exception:  # the package above it is missing or broken
        spec = None
    if spec is None:
        return "(missing: its module is not installed)"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    try:
        with open(spec.origin, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return "(broken: its module cannot be read)"
    scope = next(
        (
            node
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute
        ),
        None,
    )
    text = (ast.get_docstring(scope) if scope else _note_below(tree, attribute)) or ast.get_docstring(tree)
    return (text or "").strip().partition("\n")[0]


def _note_below(tree: ast.Module, name: str) -> str | None:
    """The string that stands below the assignment of a constant, its docstring by convention."""
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            value = after.value if isinstance(after, ast.Expr) else None
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
    return None


def _built_in_suites() -> list[Row]:
    """The suites that come as package data, one TOML file each."""
    from drive import __version__

    folder = importlib.resources.files("drive.eval") / "suites"
    if not folder.is_dir():
        return []
    rows = []
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            summary = str(table.get("description", table.get("title", ""))).strip().partition("\n")[0]
            name = file.name.removesuffix(".toml")
            rows.append(Row(name, summary, f"eval/suites/{file.name}", "drive-toolkit", __version__))
    return rows


def _print_table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "what it is", "from"):
        table.add_column(title, no_wrap=title != "what it is")
    for row in rows:
        # A summary may hold square brackets, which are markup to rich unless it is told otherwise.
        table.add_row(
            *(_plain(cell) for cell in (row.name, row.summary, f"{row.distribution} {row.version}"))
        )
    Console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
