"""What the README shows is what the examples hold, and the examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import drive
from drive.cli.main import run

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "01_my_planner.py"


def test_the_readme_shows_the_example_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert EXAMPLE.read_text().strip() in [b.strip() for b in blocks]


def test_the_example_has_twenty_lines_of_its_own() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 20


def test_the_example_drives_and_is_scored(tmp_path: Path) -> None:
    results = drive.bench(
        [f"{EXAMPLE}:careful"], scenarios=["gen/cut_in/0"], jobs=1, out=tmp_path / "out", report=False
    )
    planner = results.data["planners"][0]
    assert not any(planner["failures"].values())
    assert 0.0 < planner["scores"]["nuplan_cls"]["mean"] <= 1.0


@pytest.mark.parametrize(
    "line",
    sorted({m.group(1) for m in re.finditer(r"^ {4}drive (\w+)", (ROOT / "README.md").read_text(), re.M)}),
)
def test_the_commands_of_the_readme_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([line, "--help"]) == 0
    assert "Usage: drive" in capsys.readouterr().out
