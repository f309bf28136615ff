"""The replay page: one HTML file that shows what happened in a run, or in several side by side."""

from drive.eval.replay.write import find_runs, write_replay

__all__ = ["find_runs", "write_replay"]
