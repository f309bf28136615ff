"""The site builds without a warning, and holds what it promises."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    where = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(where)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return where


def test_every_page_is_there(site: Path) -> None:
    for page in PAGES:
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page


def test_public_names_are_explained(site: Path) -> None:
    text = (site / "reference" / "planners.html").read_text()
    for name in ("Plan", "Observation", "Session", "PlannerSpec"):
        assert f'id="drive.planner.{name}"' in text
    assert "covariance" in text  # a field of observations: the docstrings are there, not names alone


def test_the_tutorial_shows_the_examples(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", (site / "tutorial.html").read_text()))
    for name in ("01_first_benchmark.py", "05_compare_two_planners.py"):
        line = (ROOT / "examples" / name).read_text().splitlines()[0].strip('"')
        assert line in text


def test_nothing_is_fetched_by_readers(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="(https?://[^"]+)"')
    for page in site.rglob("*.html"):
        assert not loaded.findall(page.read_text()), page


def test_pages_that_are_named_exist() -> None:
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"docs/[a-z0-9_/]+\.md", page.read_text()):
            assert (ROOT / name).is_file(), f"{page.name} names {name}"
