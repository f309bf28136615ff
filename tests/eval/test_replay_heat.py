"""A plan's raster: what is refused, what the run log keeps of it, and where the replay draws it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

import drive
from drive.errors import PlanError, RunLogError
from drive.eval.replay import write_replay
from drive.eval.replay.browser import Browser, find_browser
from drive.planner import Heat, check_plan, planner
from drive.planners.idm import IDM
from drive.runlog import RunLog
from drive.scenario import Task
from drive.sim.driven import MAX_HEAT_VALUES
from drive.sim.loop import simulate

RUNS = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_runs.py"))))
PAGES = SimpleNamespace(**run_path(str(Path(__file__).with_name("replay_pages.py"))))
PROGRAM = find_browser()
ROWS, COLUMNS, CELL = 6, 10, 2.0


def spot(row: int, column: int, value: float = 4.0) -> np.ndarray:
    out = np.zeros((ROWS, COLUMNS))
    out[row, column] = value
    return out


def heating(values):
    """IDM with a raster at each plan; `values` of the step."""

    @planner(needs=("road", "route"))
    def heated(observation, task: Task):
        plan = IDM().start(task).plan(observation)
        return replace(plan, heat=Heat("test", values(observation.step), np.array([1.0, 2.0, 0.5]), CELL))

    return heated


def test_the_log_keeps_rasters_to_a_255th_and_reads_them_back(tmp_path: Path) -> None:
    scenario = drive.load_scenario("gen/lane_follow_curved/2")
    log = simulate(scenario, heating(lambda step: spot(2, 3, 1.0 + step)), stop=4)
    kept = RunLog.load(log.save(tmp_path / "run.drive.npz"))
    assert kept.header["heat"] == {"name": "test", "cell": CELL, "high": 5.0}
    assert kept.heat_values.shape == (5, ROWS, COLUMNS)
    assert kept.heat_values[:, 2, 3].tolist() == [51, 102, 153, 204, 255]
    assert kept.heat_values.sum() == 51 + 102 + 153 + 204 + 255
    assert np.allclose(kept.heat_time, 0.1 * np.arange(5))
    assert (kept.heat_pose == [1.0, 2.0, 0.5]).all()
    plain = simulate(scenario, IDM(), stop=4)
    assert "heat" not in plain.header
    assert plain.heat_values.size == 0


def test_the_log_stays_small_and_other_shapes_are_left_out() -> None:
    scenario = drive.load_scenario("gen/lane_follow_curved/2")
    big = simulate(scenario, heating(lambda step: np.ones((100, 100))))
    assert big.heat_values.size <= MAX_HEAT_VALUES
    assert len(big.heat_time) >= 70
    mixed = simulate(scenario, heating(lambda step: np.ones((2 + step % 2, 3))), stop=5)
    assert mixed.heat_values.shape == (3, 2, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.zeros((0, 3))}, {"values": np.full((2, 2), np.nan)}, {"values": -np.ones((2, 2))},
        {"values": np.ones((200, 200))}, {"pose": np.zeros(2)}, {"cell": 0.0},
    ],
)  # fmt: skip
def test_a_raster_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    scenario = drive.load_scenario("gen/lane_follow_curved/2")
    plans = []

    @planner(needs=("road", "route"))
    def keeping(observation, task: Task):
        plans.append(IDM().start(task).plan(observation))
        return plans[-1]

    simulate(scenario, keeping, stop=0)
    heat = replace(Heat("test", spot(0, 0), np.zeros(3), CELL), **changes)
    with pytest.raises(PlanError, match="heat"):
        check_plan(replace(plans[0], heat=heat), 0.0)


def heated_run() -> RunLog:
    """The replay's run with one raster a call: a single cell, 30 m ahead of the way's start."""
    run = RUNS.make_run()
    calls = len(run.plan_step)
    values = np.zeros((calls, ROWS, COLUMNS), dtype=np.uint8)
    values[:, 4, 7] = 255
    pose = np.tile([RUNS.ORIGIN[0] + 20.0, RUNS.ORIGIN[1] - 30.0, 0.3], (calls, 1))
    return replace(
        run.with_header(heat={"name": "risk <b>", "cell": CELL, "high": 2.5}),
        heat_time=run.times[run.plan_step], heat_values=values, heat_pose=pose,
    )  # fmt: skip


def test_a_log_whose_rasters_do_not_fit_is_no_sound_one(tmp_path: Path) -> None:
    bad = replace(heated_run(), heat_pose=np.zeros((3, 3)))
    path = bad.save(tmp_path / "bad.drive.npz")
    with pytest.raises(RunLogError, match="heat"):
        RunLog.load(path)


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine to open the page with")
def test_the_replay_draws_the_raster_where_it_lies_and_its_row_in_the_legend_hides_it(tmp_path: Path) -> None:
    page = write_replay(heated_run(), tmp_path / "heat.html")
    corner, turn = RUNS.ORIGIN + np.array([20.0, -30.0]), 0.3
    with Browser(str(PROGRAM), PAGES.WIDTH, PAGES.HEIGHT) as browser:
        x, y = corner + np.array([10.0, 8.0])
        got = PAGES.show(browser, page, f"t=5&scale=10&at={x},{y}")
        heat = got["heat"]
        assert (heat["rows"], heat["columns"], heat["cell"]) == (ROWS, COLUMNS, CELL)
        assert heat["time"] == pytest.approx(5.0)
        assert [heat["x"], heat["y"]] == pytest.approx(corner.tolist(), abs=1e-2)
        assert heat["greatest"] == pytest.approx(2.5)
        width, height = PAGES.stage_size(browser)

        def at(row: float, column: float) -> tuple[int, ...]:
            u, w = CELL * column, CELL * row
            wx = corner[0] + u * np.cos(turn) - w * np.sin(turn)
            wy = corner[1] + u * np.sin(turn) + w * np.cos(turn)
            return tuple(PAGES.colour_at(browser, width / 2 + 10 * (wx - x), height / 2 - 10 * (wy - y)))

        on, off = at(4.5, 7.5), at(1.5, 2.5)
        # The light theme's colour of the greatest value, over the ground; the ground alone elsewhere.
        assert np.abs(np.array(on) - (190, 40, 110)).max() < 60
        assert off == (0xE6, 0xEA, 0xE4)
        row = (
            "[...document.querySelectorAll('#legend-rows button')].find((b) => b.textContent === 'risk <b>')"
        )
        browser.evaluate(f"{row}.click()")
        assert PAGES.settled(browser)["layers"]["heat"] is False
        assert at(4.5, 7.5) == off
        browser.evaluate("window.drive.seek(15)")
        assert PAGES.settled(browser)["heat"]["time"] == pytest.approx(14.9)


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine to open the page with")
def test_a_run_without_one_has_no_such_layer(tmp_path: Path) -> None:
    page = write_replay(RUNS.make_run(), tmp_path / "plain.html")
    with Browser(str(PROGRAM), PAGES.WIDTH, PAGES.HEIGHT) as browser:
        assert PAGES.show(browser, page, "t=5")["heat"] is None
        assert "risk" not in browser.evaluate("document.getElementById('legend-rows').textContent")
