"""Planners of the devkit in our closed loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drive._imports import import_target, one_line
from drive.datasets.nuplan.scenario import read_scenario
from drive.datasets.nuplan.schema import MAP_VERSION
from drive.errors import InputError, UnknownNameError
from drive.sim.loop import simulate
from drive.sim.nuplan.hosted import Hosted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drive.eval.devkit.export import Exported
    from drive.runlog import RunLog


def devkit_planner(name: str, settings: Mapping[str, Any]) -> Callable[[], Any]:
    """What makes a fresh planner of the devkit.

    `name` is a file of its configuration group `planner` (`idm_planner`), or `module:Class` or
    `path/to/file.py:Class`; `settings` go over the file's, or to the class. Raises UnknownNameError or
    InputError.
    """
    if ":" in name:
        kind = import_target(name, f"devkit planner '{name}'")
        return _guarded(name, kind, lambda: kind(**settings))
    import nuplan.planning.script.config.simulation as group
    from hydra.utils import get_class, instantiate
    from omegaconf import OmegaConf

    folder = Path(next(iter(group.__path__))) / "planner"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        raise UnknownNameError("devkit planner", name, [p.stem for p in folder.glob("*.yaml")])
    about: Any = next(iter(OmegaConf.load(file).values()))
    for key in settings:
        if key not in about:
            raise UnknownNameError(
                f"setting of {name}", key, [k for k in about if not str(k).startswith("_")]
            )
    about = OmegaConf.merge(about, dict(settings))
    if missing := OmegaConf.missing_keys(about):
        raise InputError(f"devkit planner '{name}' needs settings: {', '.join(sorted(missing))}")
    return _guarded(name, get_class(about["_target_"]), lambda: instantiate(about))


def _guarded(name: str, kind: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    """`make`, whose errors are told in one line; InputError for an oracle, which we have no scenario for."""
    if getattr(kind, "requires_scenario", False):
        raise InputError(f"the devkit planner '{name}' wants the devkit's scenario: it is an oracle")

    def guarded() -> Any:
        try:
            return make()
        except Exception as error:  # somebody else's code: whatever it raises, it cannot be made
            raise InputError(f"the devkit planner '{name}' cannot be made: {one_line(error)}") from error

    return guarded


def hosted(exported: Exported, make: Callable[[], Any], origin: tuple[float, float]) -> Hosted:
    """The devkit's planner as one of ours, for the scenario of these files whose positions are relative to
    `origin`."""
    from nuplan.common.maps.nuplan_map.map_factory import get_maps_api

    # The devkit opens all four cities here, and keeps them.
    map_api = get_maps_api(str(exported.maps), MAP_VERSION, exported.city)
    return Hosted(make, lambda task: (map_api, origin))


def drive_hosted(
    exported: Exported, name: str, settings: Mapping[str, Any], traffic: str = "idm", seed: int = 0
) -> RunLog:
    """Drive a scenario in our loop with a planner of the devkit, on the map as the devkit sees it."""
    scenario = read_scenario(exported.log, exported.token, restore=False, maps=exported.maps)
    planner = hosted(exported, devkit_planner(name, settings), scenario.origin)
    return simulate(scenario, planner, traffic=traffic, seed=seed, visibility="all", watchdog=None)
