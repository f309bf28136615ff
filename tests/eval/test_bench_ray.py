"""The benchmark on Ray: the results of the process pool, whoever dies on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drive._imports import import_target
from drive.errors import DriveError, InputError, MissingExtraError
from drive.eval.bench import Listener, Options, Results, run_bench
from drive.eval.bench.ray_pool import address_of

FILE = Path(__file__).with_name("bench_scenes.py")
scenes = import_target(f"{FILE}:scenes", "the tests")
straight = import_target(f"{FILE}:straight", "the tests")
DROP = ("latency_ms", "latency_histogram_ms", "wall_s", "cpu_s", "command", "machine")


def bench(out: Path, planners: list[str], lines: list[str] | None = None, **changes: Any) -> Results:
    names = [f"{FILE}:{name}" for name in planners]
    options = {"planners": names, "scenarios": scenes(4), "out": out, "jobs": 2, "executor": "ray", **changes}
    return run_bench(Options(**options), Listener(note=(lines if lines is not None else []).append))


def without_times(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: without_times(value) for key, value in data.items() if key not in DROP}
    return [without_times(item) for item in data] if isinstance(data, list) else data


def test_addresses() -> None:
    assert address_of("ray") is None
    assert address_of("ray:auto") == "auto"
    assert address_of("ray:ray://head:10001") == "ray://head:10001"
    for name in ("ray:", "rays", "dask:x"):
        with pytest.raises(InputError, match="is not available; process, ray"):
            address_of(name)


def test_without_ray_one_line_says_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"drive-toolkit\[ray\]"):
        bench(tmp_path, ["keep"])


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray on this machine, for all tests of this module: its start takes seconds."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of its start and of its end
class TestRay:
    def test_results_are_those_of_the_process_pool(self, ray: Any, tmp_path: Path) -> None:
        names = ["noisy", "raises"]
        one = bench(tmp_path / "ray", names)
        two = bench(tmp_path / "process", names, executor="process")
        assert without_times(one.data) == without_times(two.data)
        assert one.planner("raises")["failures"]["planner_error"] == 4
        for scenario in ("tiny/straight/0", "tiny/straight/3"):
            a, b = (r.run_log("noisy", scenario).ego for r in (one, two))
            assert (a == b).all()

    def test_a_worker_that_is_killed_costs_nothing(
        self, ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # docs/ray.md: DRIVE_TEST_SCENES=1000 makes it a thousand.
        count = int(os.environ.get("DRIVE_TEST_SCENES", "4"))
        few = [straight(f"tiny/{k}", speed=5.0 + 0.005 * k) for k in range(count)]
        monkeypatch.setenv("DRIVE_TEST_MARK", str(tmp_path / "mark"))
        one = bench(tmp_path / "ray", ["kills_parent_once"], scenarios=few)
        assert (tmp_path / "mark").exists()
        assert set(one.planner("kills_parent_once")["failures"].values()) == {0}
        assert len(one.values("kills_parent_once")) == count
        two = bench(tmp_path / "process", ["kills_parent_once"], scenarios=few, executor="process")
        assert without_times(one.data) == without_times(two.data)

    def test_a_planner_that_hangs_is_ended_by_the_watchdog(self, ray: Any, tmp_path: Path) -> None:
        results = bench(tmp_path, ["hangs_in_c"], watchdog=1.0, scenarios=scenes(1))
        assert results.planner("hangs_in_c")["failures"]["planner_timeout"] == 1

    def test_an_address_where_nobody_is(self, ray: Any, tmp_path: Path) -> None:
        with pytest.raises(DriveError, match=r"Ray cannot be reached at '127\.0\.0\.1:1': ConnectionRefused"):
            bench(tmp_path, ["keep"], executor="ray:127.0.0.1:1")
