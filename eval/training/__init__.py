"""Training sets: which scenes, what is collected in them, labels, and vocabularies."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drive.eval.training.make import collector, make_data
    from drive.eval.training.scenes import check_suites
    from drive.eval.training.vocabulary import make_vocabulary

_HOME = {
    "check_suites": "scenes",
    "collector": "make",
    "make_data": "make",
    "make_vocabulary": "vocabulary",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"drive.eval.training.{_HOME[name]}"), name)
    raise AttributeError(f"module 'drive.eval.training' has no attribute '{name}'")


__all__ = ["check_suites", "collector", "make_data", "make_vocabulary"]
