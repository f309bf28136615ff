"""The report of a benchmark: one page over `results.json`, with replays of its scenes beside it."""

from drive.eval.report.write import write_report

__all__ = ["write_report"]
