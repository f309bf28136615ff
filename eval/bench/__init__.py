"""The benchmark: suites, the pool of worker processes, what it leaves on disk, and its statistics."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.eval.bench.harness import Listener, Options, run_bench
    from drive.eval.bench.results import PairedDifference, Results
    from drive.eval.bench.suites import Suite, load_suite, suite_names

_HOME = {
    "Listener": "harness",
    "Options": "harness",
    "PairedDifference": "results",
    "Results": "results",
    "Suite": "suites",
    "load_suite": "suites",
    "run_bench": "harness",
    "suite_names": "suites",
}


def __getattr__(name: str) -> object:
    # Who reads results need not load what drives.
    if name in _HOME:
        return getattr(import_module(f"drive.eval.bench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'drive.eval.bench' has no attribute '{name}'")


__all__ = [
    "Listener",
    "Options",
    "PairedDifference",
    "Results",
    "Suite",
    "load_suite",
    "run_bench",
    "suite_names",
]
