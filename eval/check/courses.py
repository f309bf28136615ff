"""Which scenes a planner is checked in: roads, or terrain for a planner that drives there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.eval.bench.environment import ROAD, fits
from drive.eval.check.scenes import TRIALS, Trial, bend_scene
from drive.eval.check.terrain_scenes import TERRAIN_TRIALS, hills_scene

if TYPE_CHECKING:
    from drive.planner import PlannerSpec
    from drive.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Course:
    """The scene of the drives that are compared and its name, the trials, the trial whose session stands
    beside another one, and those that `plan_batch` is asked about."""

    first: Callable[[], Scenario]
    name: str
    trials: tuple[Trial, ...]
    beside: str
    batched: tuple[str, ...]


ROADS = Course(
    bend_scene, "a bend", TRIALS, "a blocked road", ("a blocked road", "a crowd", "no agents at all")
)
TERRAIN = Course(
    hills_scene, "hills", TERRAIN_TRIALS, "flat ground", ("flat ground", "a rover that faces away")
)


def course_of(spec: PlannerSpec) -> Course:
    """The course of a planner; one that can drive on roads is checked there."""
    return ROADS if fits(spec, ROAD) else TERRAIN
