"""One table of everything: planners down, circumstances across, every cell a benchmark of its own.

    python -m drive.eval.matrix --out out/matrix --recorded commonroad
    python -m drive.eval.matrix --out out/matrix --planner my.py:Mine
    python -m drive.eval.matrix --out out/matrix --routes bench2drive220.xml --maps towns
    python -m drive.eval.matrix --out out/matrix --devkit ../nuplan-devkit

Each cell is driven by the command that stands below the table, and is not driven again where its results lie
in `--out` already. The page says besides how alike the order of the planners is in two halves of one suite.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from drive.errors import DriveError, InputError
from drive.eval.bench.journal import NAME, RESULTS
from drive.eval.bench.results import Results, compare
from drive.files import write_whole

CORE = ("constant", "log", "idm", "mpc", "pdm", "cpto", "field")
"""Driven together: their calls are short."""
LEARNED = ("regression", "gtrs", "hydra_next", "stl_diffusion", "rift_policy", "autovla")
"""Driven each on its own."""
SCORE, NONE = "nuplan_cls", "–"


@dataclass(frozen=True, slots=True)
class Column:
    """A circumstance: its `name`, what it is `about`, the `options` of the `command` that drives it, and who
    cannot be driven there (`without`). Where planners are `alone`, those of the core have a cell each too.
    `python` is the interpreter, "" this one; `score` is what its cells show."""

    name: str
    about: str
    options: tuple[str, ...]
    command: tuple[str, ...] = ("drive", "bench")
    without: tuple[str, ...] = ()
    alone: bool = False
    python: str = ""
    score: str = SCORE


FIRST, SECOND = "first 64", "second 64"
GENERATED = (
    Column(FIRST, "four generated scenes of each family, traffic by IDM", ("--suite", "first64")),
    Column(SECOND, "four others of each family", ("--suite", "second64")),
    *(
        Column(name, f"the 32 scenes of mini, traffic `{name}`", ("--suite", "mini", "--traffic", name))
        for name in ("log", "idm", "mobil", "rift:safe", "rift:interactive", "rift:aggressive")
    ),
)  # fmt: skip


def recorded(folder: str) -> tuple[Column, ...]:
    """The column of recorded scenes: CommonRoad's planning problems below a folder."""
    about = "recorded, simulated and hand-made planning problems of CommonRoad, traffic by IDM"
    return (Column("CommonRoad", about, ("--scenarios", folder, "--traffic", "idm")),)


def carla(routes: str, maps: str) -> Column:
    """The column of CARLA's routes, on our own light server with the towns in `maps`."""
    about = (
        f"routes of {Path(routes).name} in the towns at hand, on our light CARLA server among 30 cars; here "
        "it is `bench2drive`, for without a driver to compare with `nuplan_cls` asks for no progress"
    )
    options = ("--route", routes, "--maps", maps, "--traffic", "30")
    # Who begins at rest and keeps its speed, who has no log, and who sees by our cameras.
    without = ("constant", "log", "autovla")
    return Column(
        "CARLA", about, options, ("drive", "carla", "run"), without, alone=True, score="bench2drive"
    )


def nuplan(devkit: str, python: str = "") -> Column:
    """The column of nuPlan's own closed loop: the devkit's checkout, and the interpreter that has it."""
    about = "the 32 scenes of mini, exported, in nuPlan's own simulator, the log replayed"
    options = ("--suite", "mini", "--devkit", devkit)
    without = ("log", "autovla")
    return Column(
        "nuPlan devkit", about, options, ("drive", "nuplan", "bench"), without, alone=True, python=python
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """A benchmark of `planners` in a column, its results in `folder`."""

    column: Column
    planners: tuple[str, ...]
    settings: tuple[str, ...]
    folder: Path

    @property
    def command(self) -> list[str]:
        """What is run, but for the folder of its results."""
        words = [*self.column.command, *self.column.options]
        for planner in self.planners:
            words += ["--planner", planner]
        for setting in self.settings:
            words += ["--set", setting]
        return words

    @property
    def done(self) -> bool:
        return (self.folder / RESULTS).is_file()


def cells_of(
    columns: Iterable[Column], planners: Sequence[str], settings: Sequence[str], out: Path
) -> list[Cell]:
    """A cell for the core's planners together and one for each other, in each column. A setting goes to the
    cells whose planner it names."""

    def groups(column: Column) -> list[tuple[str, ...]]:
        here = [name for name in planners if name not in column.without]
        core = () if column.alone else tuple(name for name in here if name in CORE)
        return [core, *((name,) for name in here if name not in core)]

    def folder(column: Column, group: tuple[str, ...]) -> Path:
        together = not column.alone and group[0] in CORE
        return out / _plain(column.name) / ("core" if together else _plain(group[0]))

    return [
        Cell(
            column, group, tuple(s for s in settings if s.split(".", 1)[0] in group), folder(column, group)
        )
        for column in columns
        for group in groups(column)
        if group
    ]  # fmt: skip


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "-" for c in Path(name).name)


def drive_cells(cells: Sequence[Cell], jobs: int) -> list[str]:
    """Run what is not done, `jobs` cells at once; what went wrong, a line each."""

    def one(cell: Cell) -> str:
        if cell.done:
            return ""
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        words = [*cell.command[1:], "--out", str(cell.folder)]
        words += ["--jobs", "1"] if cell.column.command[1] == "bench" else []
        words += ["--resume"] if (cell.folder / NAME).exists() else []
        print(f"{cell.column.name}: {', '.join(cell.planners)} ...", file=sys.stderr, flush=True)
        found = subprocess.run(
            [cell.column.python or sys.executable, "-m", "drive", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        said = " ".join(found.stderr.split())[-300:]
        return "" if found.returncode == 0 else f"{shlex.join(cell.command)}: {said}"

    with ThreadPoolExecutor(jobs) as pool:
        return [line for line in pool.map(one, cells) if line]


Found = Mapping[tuple[str, str], Results]
"""Results by planner and column."""


def found_of(cells: Iterable[Cell]) -> dict[tuple[str, str], Results]:
    """What has been driven."""
    found: dict[tuple[str, str], Results] = {}
    for cell in cells:
        if cell.done:
            results = Results.load(cell.folder)
            found |= {(name, cell.column.name): results for name in results.planners}
    return found


def table(found: Found, columns: Sequence[Column], planners: Sequence[str]) -> str:
    """Markdown: mean score and its 95 % interval, in brackets the collisions at fault, and how
    many runs failed where any did. Rows by the first column's mean; who was driven nowhere has none."""

    def mean(name: str) -> float:
        results = found.get((name, columns[0].name))
        value = results.planner(name)["scores"][columns[0].score]["mean"] if results else None
        return -1.0 if value is None else float(value)

    driven = {name for name, _ in found}
    names = sorted((name for name in planners if name in driven), key=mean, reverse=True)
    lines = ["| | " + " | ".join(c.name for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [_told(found.get((name, c.name)), name, c.score) for c in columns]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(results: Results | None, name: str, of: str) -> str:
    if results is None:
        return NONE
    entry = results.planner(name)
    score = entry["scores"][of]
    if score["mean"] is None:
        return NONE
    low, high = score["ci95"]
    failed = sum(entry["failures"].values())
    fault = entry["at_fault_collisions"]
    hit = "" if fault is None else f" ({fault})"
    return f"{score['mean']:.3f} [{low:.3f}, {high:.3f}]{hit}" + (f", {failed} failed" if failed else "")


@dataclass(frozen=True, slots=True)
class Order:
    """How alike the order of planners is in two halves: Kendall's `tau`; how many pairs differ clearly (95 %)
    in a half; those that do so the other way round in the other (`turned`); and those that lie the other way
    round without being clear in both (`swapped`)."""

    tau: float
    clear: int
    turned: tuple[str, ...]
    swapped: tuple[str, ...]


def order_of(found: Found, first: str, second: str, planners: Sequence[str]) -> Order:
    """The order in two columns; planners that only one of them has are left out."""
    names = [n for n in planners if (n, first) in found and (n, second) in found]
    same = clear = pairs = 0
    turned: list[str] = []
    swapped: list[str] = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            one, two = (compare((found[a, c], a), (found[b, c], b)) for c in (first, second))
            if one.mean is None or two.mean is None:
                continue
            pairs += 1
            clear += one.clear or two.clear
            if one.mean * two.mean >= 0.0:
                same += 1
                continue
            (turned if one.clear and two.clear else swapped).append(
                f"{a} - {b}: {one.mean:+.3f}, {two.mean:+.3f}"
            )
    if not pairs:
        raise InputError("no two planners were driven in both halves: their order cannot be told")
    return Order((2 * same - pairs) / pairs, clear, tuple(turned), tuple(swapped))


def page(found: Found, cells: Sequence[Cell], columns: Sequence[Column], planners: Sequence[str]) -> str:
    """The table, the order in the two halves, and the commands."""
    parts = [table(found, columns, planners), ""]
    parts += [f"- **{c.name}**: {c.about}" for c in columns]
    try:
        order = order_of(found, FIRST, SECOND, planners)
    except InputError:
        order = None
    if order is not None:
        parts += [
            "",
            f"Order in the two halves: Kendall's tau {order.tau:.2f}; {order.clear} pairs are clear in "
            f"a half, {len(order.turned)} of them the other way round in the other.",
        ]
        parts += [f"- turned: {line}" for line in order.turned]
        parts += [f"- unclear, and other way round: {line}" for line in order.swapped]
    parts += ["", "Every cell by its command:", ""]
    parts += [f"    {shlex.join(cell.command)}" for cell in cells if cell.done]
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Drive what is missing, and write the page to `matrix.md` in the folder."""
    parser = argparse.ArgumentParser(prog="python -m drive.eval.matrix", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/matrix"))
    parser.add_argument("--planner", action="append", default=[], help="more planners")
    parser.add_argument("--only", action="append", default=[], help="these planners alone")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as drive bench's")
    parser.add_argument("--recorded", default="", help="a folder with CommonRoad's files")
    parser.add_argument("--routes", default="", help="CARLA's routes, XML; with --maps")
    parser.add_argument("--maps", default="", help="a folder with the .xodr files of CARLA's towns")
    parser.add_argument("--devkit", default="", help="a checkout of the nuPlan devkit")
    parser.add_argument("--devkit-python", default="", help="the interpreter that can import it, if not this")
    parser.add_argument("--jobs", type=int, default=2, help="cells at once")
    asked = parser.parse_args(arguments)
    columns = (*GENERATED, *(recorded(asked.recorded) if asked.recorded else ()))
    if bool(asked.routes) != bool(asked.maps):
        raise SystemExit("--routes and --maps go together")
    if asked.routes:
        columns += (carla(asked.routes, asked.maps),)
    if asked.devkit:
        columns += (nuplan(asked.devkit, asked.devkit_python),)
    planners = [*dict.fromkeys([*CORE, *LEARNED, *asked.planner])]
    cells = cells_of(columns, planners, asked.settings, asked.out)
    wanted = [c for c in cells if not asked.only or set(asked.only) & {*c.planners}]
    try:
        failed = drive_cells(wanted, asked.jobs)
        text = page(found_of(cells), cells, columns, planners)
        write_whole(asked.out / "matrix.md", text)
    except DriveError as error:
        raise SystemExit(str(error)) from None
    print(text)
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
