"""Roads or terrain: what a benchmark's scenarios are, and which planners and scores go with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from drive.errors import DriveError, InputError
from drive.terrain import Terrain

if TYPE_CHECKING:
    from drive.eval.bench.planners import Entry
    from drive.planner import PlannerSpec
    from drive.scenario import Scenario

ROAD, TERRAIN = "road", "terrain"
_DEFAULT_SCORES = {ROAD: ("nuplan_cls",), TERRAIN: ("rover",)}
_OF_MODE = {"pseudo": ("epdms",), "open": ("nuplan_ols",)}


def default_scores(environment: str, mode: str | None = None) -> tuple[str, ...]:
    """What is scored where nobody asks for anything else."""
    return _OF_MODE.get(mode or "closed", _DEFAULT_SCORES[environment])


def environment_of(scenario: Scenario) -> str:
    """Whether a scenario is on roads or on terrain."""
    return TERRAIN if isinstance(scenario.environment, Terrain) else ROAD


def environment_of_all(given: Sequence[Scenario], refs: Iterable[str]) -> str:
    """The environment of the first scenario: as its reader tells from the reference, or by loading it.

    Roads where nobody tells and none can be loaded.
    """
    from drive.datasets import source

    for scenario in given:
        return environment_of(scenario)
    for ref in refs:
        try:
            reader = source.source_of(ref)
            tell = getattr(reader, "environment", None)
            return str(tell(ref)) if tell is not None else environment_of(reader.load(ref))
        except DriveError:
            continue  # told when every scenario is looked at
    return ROAD


def fits(spec: PlannerSpec, environment: str) -> bool:
    """Whether a planner can drive in that environment; one that needs neither drives in both.

    Cameras see roads only.
    """
    if environment == TERRAIN:
        return not ({"road", "route"} & set(spec.needs) or spec.cameras)
    return TERRAIN not in spec.needs


def check_planners(entries: Iterable[Entry], environment: str) -> None:
    """Raise InputError naming the first planner that cannot drive there."""
    for entry in entries:
        if not fits(entry.make().spec, environment):
            here, there = ("roads", TERRAIN) if environment == TERRAIN else (TERRAIN, "roads")
            raise InputError(f"planner '{entry.label}' drives on {here}, and these scenarios are on {there}")
