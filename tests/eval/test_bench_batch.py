"""Scenarios driven in lockstep, so that `plan_batch` is asked: equal results, and each drive fails alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drive._imports import import_target
from drive.errors import InputError
from drive.eval.bench import Listener, Options, Results, run_bench
from drive.eval.bench.harness import batch_size
from drive.eval.bench.jobs import Drive, Setup, Together
from drive.eval.bench.planners import entries_of, pickled
from drive.eval.bench.ray_pool import Relay
from drive.eval.metrics.base import load_scores

FILE = Path(__file__).with_name("batch_planners.py")
SCENES = import_target(f"{Path(__file__).with_name('bench_scenes.py')}:scenes", "the tests")
IDS = [f"tiny/straight/{k}" for k in range(5)]
BAD = IDS[1]


def made(name: str) -> Any:
    """A planner of this process, which drives in it."""
    planner = import_target(f"{FILE}:{name}", "the tests")()
    planner.unpicklable = lambda: None
    return planner


def bench(out: Path, planner: Any, notes: list[str] | None = None, **changes: Any) -> Results:
    listener = Listener() if notes is None else Listener(note=notes.append)
    options: dict[str, Any] = {"planners": [planner], "scenarios": SCENES(5), "out": out, **changes}
    return run_bench(Options(**options), listener)


def together(results: Results, scenario: str) -> list[float]:
    return list(results.run_log("batching", scenario).series["plan.together"])


def same_drives(one: Results, other: Results) -> None:
    for scenario in IDS:
        a, b = (results.run_log("batching", scenario) for results in (one, other))
        assert np.array_equal(a.ego, b.ego)
        assert np.array_equal(a.plan_states, b.plan_states)
        assert np.array_equal(a.series["plan.calls"], b.series["plan.calls"])
    assert one.values("batching") == other.values("batching")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return bench(tmp_path_factory.mktemp("alone"), made("Batching"), batch=1)


def test_results_are_bit_equal_however_many_go_together(alone: Results, tmp_path: Path) -> None:
    for size in (2, 3, 16):
        results = bench(tmp_path / str(size), made("Batching"), batch=size)
        same_drives(alone, results)
        # Five scenes in groups of neighbours; the last group is what is left.
        expected = [min(size, 5 - k // size * size) for k in range(5)]
        assert [together(results, scenario)[0] for scenario in IDS] == expected
        assert results.data["batch"] == {"batching": size}
        assert results.run_log("batching", IDS[0]).header["batch"] == expected[0]
    assert set(together(alone, IDS[0])) == {1.0}
    assert alone.data["batch"] == {}
    assert "batch" not in alone.run_log("batching", IDS[0]).header


def test_groups_depend_on_neither_processes_nor_what_is_done(alone: Results, tmp_path: Path) -> None:
    name = f"{FILE}:Batching"
    results = [bench(tmp_path / f"{jobs}", name, jobs=jobs, batch=2) for jobs in (1, 2)]
    for result in results:
        same_drives(alone, result)
        assert [together(result, scenario)[0] for scenario in IDS] == [2.0, 2.0, 2.0, 2.0, 1.0]
    # A benchmark that lost the third scene's drive drives it again, with nobody from another group.
    journal = tmp_path / "2" / "runs.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    kept = [line for line in lines if f'"scenario": "{IDS[2]}"' not in line]
    assert len(kept) == len(lines) - 1
    journal.write_text("".join(kept))
    again = bench(tmp_path / "2", name, jobs=1, batch=2, resume=True)
    same_drives(alone, again)
    assert together(again, IDS[2])[0] == 1.0
    with pytest.raises(InputError, match="batch"):
        bench(tmp_path / "2", name, jobs=1, batch=4, resume=True)


@pytest.mark.parametrize("mode", ["pseudo", "open"])
def test_the_other_modes_go_together_too(mode: str, tmp_path: Path) -> None:
    steps = {"pseudo": 70, "open": 80}[mode]
    scenes = SCENES(2, steps=steps, gap=60.0)
    one, two = (
        bench(tmp_path / str(size), made("Batching"), batch=size, mode=mode, scenarios=scenes)
        for size in (1, 2)
    )
    assert one.values("batching") == two.values("batching")
    assert len(one.values("batching")) == 2
    assert set(together(two, IDS[0])) == {2.0}


@pytest.mark.parametrize("name", ["RaisesAtOnce", "TooFew"])
def test_a_plan_batch_that_fails_is_told_and_each_is_asked_alone(
    name: str, alone: Results, tmp_path: Path
) -> None:
    notes: list[str] = []
    results = bench(tmp_path, made(name), notes, batch=5)
    same_drives(alone, results)
    reason = "RuntimeError: out of memory" if name == "RaisesAtOnce" else "0 plans for 5 sessions"
    (note,) = [line for line in notes if "plan_batch" in line]
    assert reason in note
    assert "batching" in note


@pytest.mark.parametrize(("name", "reason"), [("OneRubbish", "NoneType"), ("OneRaises", "ZeroDivisionError")])
def test_one_session_that_fails_fails_alone(name: str, reason: str, alone: Results, tmp_path: Path) -> None:
    results = bench(tmp_path, made(name), batch=5)
    rows = {row["id"]: row for row in results.planner("batching")["scenarios"]}
    assert {key for key, row in rows.items() if row["failure"]} == {BAD}
    assert rows[BAD]["failure"] == "planner_error"
    assert reason in rows[BAD]["reason"]
    values = results.values("batching")
    assert values.pop(BAD) == 0.0
    assert values == {key: value for key, value in alone.values("batching").items() if key != BAD}
    for scenario in values:
        assert np.array_equal(
            results.run_log("batching", scenario).ego, alone.run_log("batching", scenario).ego
        )


@pytest.mark.parametrize(("name", "failure"), [("OneDies", "planner_error"), ("OneHangs", "planner_timeout")])
def test_a_process_that_ends_costs_one_drive(name: str, failure: str, alone: Results, tmp_path: Path) -> None:
    results = bench(tmp_path, f"{FILE}:{name}", batch=5, jobs=1, watchdog=3.0)
    rows = {row["id"]: row for row in results.planner("batching")["scenarios"]}
    assert {key: row["failure"] for key, row in rows.items() if row["failure"]} == {BAD: failure}
    for scenario in set(IDS) - {BAD}:
        assert np.array_equal(
            results.run_log("batching", scenario).ego, alone.run_log("batching", scenario).ego
        )


def test_a_worker_elsewhere_answers_for_each_drive(tmp_path: Path) -> None:
    entries = entries_of([f"{FILE}:OneDies"], {})
    payload = pickled(entries)
    assert payload is not None
    scenes = tuple(SCENES(3))
    setup = Setup(
        entries, scenes, "idm", load_scores(["nuplan_cls"]), False, "line_of_sight", "none", 60.0, tmp_path
    )
    relay = Relay(setup, payload)
    drives = tuple(
        Drive(k, IDS[k], 0, "batching", 1, f"runs/batching/{k}.drive.npz", warm=False) for k in range(3)
    )
    try:
        reply, _ = relay.handle(Together(drives))
    finally:
        relay._pool.close()
    assert [one["scenario"] for one in reply["replies"]] == IDS[:3]
    assert [one["failure"] for one in reply["replies"]] == [None, "planner_error", None]


def test_who_goes_together() -> None:
    keep = import_target(f"{FILE.with_name('bench_scenes.py')}:keep", "the tests")
    batching, single = entries_of([made("Batching"), keep], {})
    assert batch_size(batching, Options(), "road", "idm") == 2
    assert batch_size(batching, Options(batch=7), "road", "idm") == 7
    assert batch_size(single, Options(batch=7), "road", "idm") == 1
    assert batch_size(batching, Options(realtime=True), "road", "idm") == 1
    assert batch_size(batching, Options(), "terrain", "idm") == 1
    # One process has one SUMO.
    assert batch_size(batching, Options(), "road", "sumo") == 1


def test_a_batch_of_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--batch must be at least 1, not 0"):
        bench(tmp_path, made("Batching"), batch=0)
