"""`drive check`: whether a planner keeps the contract that the closed loop and the benchmark rely on."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.eval.check.report import Finding, Report, Status
    from drive.eval.check.suite import check_planner

_HOME = {"Finding": "report", "Report": "report", "Status": "report", "check_planner": "suite"}


def __getattr__(name: str) -> object:
    # The scenes of this package are shared with tests that need not load what drives them.
    if name in _HOME:
        return getattr(import_module(f"drive.eval.check.{_HOME[name]}"), name)
    raise AttributeError(f"module 'drive.eval.check' has no attribute '{name}'")


__all__ = ["Finding", "Report", "Status", "check_planner"]
