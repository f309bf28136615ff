"""How long work tells how it goes: lines for people, and a bar where somebody looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told how it goes: lines for people, and how much of a piece of work is done.

    `progress(what, done, total)`; a new `what` is a new bar. `detail` changes what stands behind the bar.
    """

    note: Callable[[str], None] = lambda line: None
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    detail: Callable[[str], None] = lambda text: None


@contextmanager
def on_terminal() -> Iterator[Listener]:
    """Notes and a bar on the standard error, so that the standard output stays for results.

    Where that is no terminal there is no bar.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in tasks:
            for old in tasks.values():
                bar.remove_task(old)
            tasks.clear()
            tasks[what] = bar.add_task(what, total=total, detail="")
        bar.update(tasks[what], completed=done, total=total)

    def note(line: str) -> None:
        bar.console.print(escape(line), highlight=False, soft_wrap=True)

    def detail(text: str) -> None:
        for task in tasks.values():
            bar.update(task, detail=escape(text))

    with bar:
        yield Listener(note, progress, detail)


__all__ = ["Listener", "on_terminal"]
