"""Which room may import which, and what `import drive` may load."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import drive
from drive import registry

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "drive": {"drive"},
    "sim": {"drive", "sim"},
    "datasets": {"drive", "sim", "datasets"},
    "planners": {"drive", "sim", "planners"},
    "eval": {"drive", "sim", "datasets", "eval"},
}
OTHER_ROOMS = set(MAY_IMPORT) - {"drive"}
BY_NAME = {"import_module", "__import__", "import_target", "load", "find_spec"}
HEAVY = {"numpy", "scipy", "numba", "shapely", "pandas", "torch", "cvxpy", "osqp"}


def modules_below(*folders: str) -> list[Path]:
    """Every Python file, relative to the checkout; links are not followed, so each comes once."""
    found = []
    for top in folders:
        for folder, inner, names in os.walk(ROOT / top):
            inner[:] = [name for name in inner if not name.startswith((".", "__pycache__"))]
            found += [Path(folder, name).relative_to(ROOT) for name in names if name.endswith(".py")]
    return sorted(found)


def room_of(module: str) -> str | None:
    """The room a dotted name belongs to, or None when it is not ours."""
    parts = module.split(".")
    if parts[0] != "drive":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in OTHER_ROOMS else "drive"


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name imported anywhere in a module, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            # `from drive import sim` imports drive.sim.
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def imported_by_name(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Modules given as text to a function that imports."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        first = node.args[0]
        if isinstance(first, ast.JoinedStr) and first.values:
            first = first.values[0]
        if called not in BY_NAME or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            continue
        if called == "load" and len(node.args) == 2 and first.value in registry.GROUPS:
            continue  # through the registry: what it is for
        yield node.lineno, first.value.partition(":")[0]


def violations(path: Path, text: str) -> list[str]:
    room, tree, found = path.parts[0], ast.parse(text), []
    for line, module in imported(tree):
        if module.startswith("."):
            found.append(f"{path}:{line}: relative import")
        elif module.split(".")[0] in OTHER_ROOMS:
            found.append(f"{path}:{line}: bare import of {module}")
        elif room in MAY_IMPORT and room_of(module) not in {None, *MAY_IMPORT[room]}:
            found.append(f"{path}:{line}: {room} imports {module}")
    puts_rooms_together = path.parts[:2] == ("drive", "cli") or path == Path("drive", "api.py")
    if room in MAY_IMPORT and not puts_rooms_together:
        for line, module in imported_by_name(tree):
            if room_of(module) not in {None, *MAY_IMPORT[room]}:
                found.append(f"{path}:{line}: {room} loads {module} by name")
        for line, module in imported(tree):
            if module.startswith("drive.cli"):
                found.append(f"{path}:{line}: only the command line uses the command line")
    return found


def test_rooms_import_only_what_they_may() -> None:
    found = [
        problem
        for path in modules_below(*MAY_IMPORT)
        if path != Path("drive", "__main__.py")
        for problem in violations(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


def test_nobody_imports_a_room_bare() -> None:
    found = [
        problem
        for path in modules_below("tests", "examples", "docs")
        for problem in violations(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("drive/plan.py", "import drive.sim.step"),
        ("drive/plan.py", "def f():\n    from drive import sim"),
        ("drive/plan.py", "import importlib\nimportlib.import_module('drive.eval')"),
        ("drive/plan.py", "import importlib\nimportlib.import_module(f'drive.eval.{1}')"),
        ("drive/cli/run.py", "def command():\n    from drive.eval.bench import run"),
        ("sim/loop.py", "from drive.planners.idm import IDM"),
        ("sim/loop.py", "from drive.cli._load import load"),
        ("eval/bench.py", "from drive.planners import idm"),
        ("eval/bench.py", "load('drive.planners.idm')"),
        ("datasets/gen.py", "from drive.eval import metrics"),
        ("planners/mpc.py", "import datasets"),
        ("planners/mpc.py", "from . import idm"),
        ("tests/test_x.py", "from sim import loop"),
    ],
)
def test_a_forbidden_import_is_noticed(path: str, text: str) -> None:
    assert violations(Path(path), text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("drive/cli/run.py", "load('drive.eval.bench:run')"),
        ("drive/api.py", "load('drive.eval.bench:run')"),
        ("eval/bench.py", "registry.load('drive.planners', 'idm')"),
        ("eval/bench.py", "import drive.sim.loop, drive.datasets.generate, numpy"),
        ("planners/mpc.py", "from drive.sim.kernels import rollout"),
    ],
)
def test_an_allowed_import_is_not(path: str, text: str) -> None:
    assert violations(Path(path), text) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import drive",
        "import drive.cli.main, drive.registry",
        "import drive.cli.main as m; m.run(['--help'])",
    ],
)
def test_the_start_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stderr.split()
    assert "drive" in loaded
    assert not HEAVY & set(loaded)
    assert not [name for name in loaded if room_of(name) in OTHER_ROOMS]
    assert not [name for name in loaded if name.startswith("drive.cli.") and name != "drive.cli.main"]


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    (block,) = (
        node
        for node in ast.parse(Path(drive.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    )
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == drive._HOMES


@pytest.mark.parametrize("name", sorted(drive._HOMES))
def test_every_public_name_can_be_loaded(name: str) -> None:
    assert getattr(drive, name) is getattr(importlib.import_module(drive._HOMES[name]), name)


def test_a_public_name_does_not_hide_a_module() -> None:
    # `import drive.x` binds x in the package: one of the two would win, depending on the order.
    modules = {path.stem for path in (ROOT / "drive").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert not modules & set(drive._HOMES)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Plann'"):
        _ = drive.Plann
