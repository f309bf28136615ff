"""The replay page: one HTML file that shows what happened in a run, or in several side by side; and films."""

from drive.eval.replay.film import write_camera_film, write_film
from drive.eval.replay.write import find_runs, load_runs, notebook_frame, write_problems, write_replay

__all__ = [
    "find_runs",
    "load_runs",
    "notebook_frame",
    "write_camera_film",
    "write_film",
    "write_problems",
    "write_replay",
]
