"""How the commands reach the other rooms: by name, and only when they run.

`drive/` imports nothing from the other rooms; the command line puts them together all the same, and
does so here, where it can be seen.
"""

from __future__ import annotations

from typing import Any

from drive._imports import import_target


def load(target: str) -> Any:
    """The module `drive.eval.bench`, or with `drive.eval.bench:run` an attribute of it.

    Raises `MissingExtraError` when an optional dependency is missing, `DriveError` when the import fails.
    """
    return import_target(target, f"'{target}'")


def is_run_log(ref: str) -> bool:
    """Whether an argument names a run log; an npz that holds heights or a scene is a scenario."""
    if not ref.endswith(".npz") or ref.endswith(".scene.npz"):
        return False
    return not load("drive.datasets.dem:SOURCE").matches(ref)


def print_results(results: Any) -> None:
    """Print the table of a benchmark's results."""
    from rich.console import Console

    console = Console()
    # A table that is read by a program or a log must not be squeezed into 80 columns.
    console = console if console.is_terminal else Console(width=200)
    console.print(load("drive.eval.bench.table:results_table")(results), highlight=False)
