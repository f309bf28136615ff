"""What the committed tunings hold: the table of all objectives, or another one: DRIVE_RIFT_TABLE=cells.json.

The command that makes it stands in the file; it takes 20 minutes of a core.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the traffic policy needs torch")

from drive.sim.traffic.rift.measure import wilson
from drive.sim.traffic.rift.objectives import ROWS

OWN = Path(__file__).parent / "rift_table.json"
Cell = dict[str, Any]


@pytest.fixture(scope="module")
def cells() -> dict[str, list[Cell]]:
    """Figures by row, a seed an entry."""
    given = json.loads(Path(os.environ.get("DRIVE_RIFT_TABLE", OWN)).read_text())
    out: dict[str, list[Cell]] = {}
    for key, found in given.get("cells", given).items():
        out.setdefault(key.partition("|")[0], []).append(found)
    return out


def crashes(row: list[Cell]) -> tuple[int, int]:
    cars = sum(one["vehicles"] for one in row)
    return round(sum(one["crash_rate"] * one["vehicles"] for one in row)), cars


def test_every_objective_has_its_episodes(cells: dict[str, list[Cell]]) -> None:
    assert set(cells) == {"pre-trained", *(row.title for row in ROWS.values())}
    for row in cells.values():
        assert len(row) >= 3
        assert sum(one["episodes"] for one in row) >= 512
        assert max(one["seconds"] for one in row) < 240.0


def test_rift_in_the_style_safe_against_its_base(cells: dict[str, list[Cell]]) -> None:
    base, tuned = cells["pre-trained"], cells["RIFT"]
    for before, after in zip(base, tuned, strict=True):
        assert after["return"] > before["return"]
        assert after["crash_rate"] < 0.6 * before["crash_rate"]
        assert after["orr"] - before["orr"] <= 0.5
        assert after["uc"] - before["uc"] <= 5.0
    assert wilson(*crashes(tuned))[1] < wilson(*crashes(base))[0]


def test_dual_clip_is_idle_on_fresh_buffers(cells: dict[str, list[Cell]]) -> None:
    for a, b in zip(cells["RIFT"], cells["RIFT without dual clip"], strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }
