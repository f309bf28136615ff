"""The benchmark: suites, the pool of worker processes, what it leaves on disk, and its statistics."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.eval.bench.harness import Options, run_bench
    from drive.eval.bench.results import PairedDifference, Results
    from drive.eval.bench.suites import Suite, load_suite, suite_names
    from drive.progress import Listener

_HOME = {
    "Listener": "drive.progress",
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
        home = _HOME[name]
        return getattr(import_module(home if "." in home else f"drive.eval.bench.{home}"), name)
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
