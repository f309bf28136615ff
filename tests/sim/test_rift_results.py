"""What the committed tunings hold: the table of all objectives, or another one: DRIVE_RIFT_TABLE=cells.json.

And of the proof of the styles, or another one: DRIVE_RIFT_PROOF=cells.json. The commands that make them stand
in the files; each takes 20 minutes of a core or a little more.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the traffic policy needs torch")

from drive.sim.traffic.rift.measure import wilson
from drive.sim.traffic.rift.objectives import ROWS

OWN, PROOF = (Path(__file__).parent / name for name in ("rift_table.json", "rift_proof.json"))
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


@pytest.fixture(scope="module")
def proof() -> dict[str, Cell]:
    """Figures of bases, styles, and tunings of bases of the other kind."""
    given = json.loads(Path(os.environ.get("DRIVE_RIFT_PROOF", PROOF)).read_text())
    found: dict[str, Cell] = given.get("cells", given)
    return found


@pytest.mark.parametrize(("base", "style"), [("aggressive base", "safe"), ("cautious base", "interactive")])
def test_a_style_does_what_it_is_for_and_stays_real(proof: dict[str, Cell], base: str, style: str) -> None:
    before = proof[base]
    tuned = [cell for name, cell in proof.items() if name.startswith(f"{base}, {style}, seed ")]
    assert len(tuned) >= 3
    for after in tuned:
        assert min(before["episodes"], after["episodes"]) >= 512
        assert after["orr"] - before["orr"] <= 0.5
        assert after["uc"] - before["uc"] <= 5.0
        assert after["wd"] <= 1.1 * before["wd"]
        assert after["ego_blocked"] - before["ego_blocked"] < 0.05
        if style == "safe":
            assert after["crash_ci95"][1] < before["crash_ci95"][0]
        else:
            assert after["rp"] >= 1.1 * before["rp"]
    if style == "safe":
        assert sorted(a["crash_rate"] for a in tuned)[len(tuned) // 2] <= 0.6 * before["crash_rate"]


def test_the_shipped_styles_are_in_order(proof: dict[str, Cell]) -> None:
    assert proof["safe"]["crash_ci95"][1] < proof["base"]["crash_ci95"][0]
    assert (
        proof["safe"]["crash_rate"] < proof["interactive"]["crash_rate"] < proof["aggressive"]["crash_rate"]
    )
    assert proof["interactive"]["rp"] > 1.1 * proof["base"]["rp"]
