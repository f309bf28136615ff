"""The bars: each is one of a row that exists, and is judged the right way round."""

from __future__ import annotations

import pytest

from drive.eval.perf_bars import BARS, Bar, table, verdicts
from drive.eval.perf_drives import loop_rows, planner_rows
from drive.eval.perf_planners import planner_table
from drive.eval.perf_rows import kernel_rows


def test_every_bar_names_a_row_or_a_planner_that_is_timed() -> None:
    rows = {row.name for row in (*kernel_rows(), *planner_rows("pdm"), *loop_rows())}
    planners = {row.name for row in planner_table(others=False)}
    assert {bar.row for bar in BARS if bar.row} <= rows
    assert {bar.planner for bar in BARS if bar.planner and not bar.needs} <= planners


def test_bars_are_judged_by_seconds_of_all_the_work_and_by_units_a_second() -> None:
    bars = (
        Bar("fast enough", "score", most=0.060, times=1000.0),
        Bar("too slow", planner="gtrs", most=0.030),
        Bar("many", "step", least=22e6),
        Bar("few", "step/20", least=30e6),
        Bar("nobody looked", "rollout", most=1.0),
    )
    rows = {
        "rows": [
            {"name": "score", "cpu_s": 59e-6},
            {"name": "step", "cpu_s": 1.0 / 23e6},
            {"name": "step/20", "cpu_s": 1.0 / 29e6},
        ]
    }
    found = verdicts(rows, {"rows": [{"name": "gtrs", "cpu_s": 0.031}]}, bars)
    assert [v.holds for v in found] == [True, False, True, False, None]
    assert found[0].found == pytest.approx(0.059)
    assert found[2].found == pytest.approx(23e6)
    assert table(found).row_count == 5


@pytest.mark.parametrize("limits", [{}, {"most": 1.0, "least": 1.0}])
def test_a_bar_has_one_limit(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="one limit"):
        Bar("no bar", "step", **limits)
