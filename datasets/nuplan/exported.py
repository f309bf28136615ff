"""What a log of ours says of the scenario that it was written from, in its table `drive_export`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from drive.datasets.matching import make_route
from drive.datasets.nuplan.rejoin import full_name
from drive.errors import ScenarioError
from drive.scenario import Goal, Provenance, Route
from drive.vehicle import VehicleParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drive.roadmap import RoadMap

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Exported:
    """The scenario's own words; `known` is False for everybody else's logs.

    `initial (7,)` is the ego's state at the time `start_us` in microseconds.
    """

    known: bool = False
    world: int = -1
    offset: tuple[float, float] | None = None
    start_us: int = 0
    initial: Floats | None = None
    vehicle: VehicleParams | None = None
    ego_id: str = "ego"
    ego_row: int = 0
    ego_kind: int = 0
    expert: str = "human"
    family: str = ""
    tags: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    goal: dict[str, Any] = field(default_factory=dict)
    commands: tuple[tuple[float, str], ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @classmethod
    def of(cls, table: Mapping[str, str], name: str) -> Exported:
        """From the table's rows. Raises ScenarioError naming the file where they are not what we write."""
        if not table:
            return cls()
        try:
            said = json.loads(table["provenance"])
            known = {f.name for f in fields(Provenance)}
            said = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items() if k in known}
            x, y = json.loads(table["offset"])
            initial = np.asarray(json.loads(table["initial"]), dtype=np.float64).reshape(7)
            if not np.isfinite(initial).all():
                raise ValueError("initial state not finite")
            return cls(
                True,
                int(table["world"]),
                (float(x), float(y)),
                int(table["start_us"]),
                initial,
                VehicleParams(**json.loads(table["vehicle"])),
                table["ego"],
                int(table["ego_row"]),
                int(table["ego_kind"]),
                table["expert"],
                table["family"],
                tuple(str(t) for t in json.loads(table["tags"])),
                tuple(str(lane) for lane in json.loads(table["lanes"])),
                dict(json.loads(table["goal"])),
                tuple((float(s), str(word)) for s, word in json.loads(table["commands"])),
                Provenance(**said),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ScenarioError(
                f"{name}: its table 'drive_export' is not what we write ({error!r})"
            ) from None

    def route(self, roadmap: RoadMap, start: Floats) -> Route:
        """The route on the map that was read, whose lanes still carry their full names."""
        at = {lane: k for k, lane in enumerate(roadmap.lane_ids)}

        def found(names: Any) -> tuple[int, ...]:
            full = (full_name((self.world, str(name))) for name in names)
            return tuple(at[name] for name in full if name in at)

        said: dict[str, Any] = {"lanes": found(self.goal["lanes"])}
        for name in ("position", "polygon"):
            said[name] = None if self.goal[name] is None else np.asarray(self.goal[name])
        for name in ("heading", "speed", "time"):
            said[name] = None if self.goal[name] is None else tuple(self.goal[name])
        goal = Goal(**said)
        lanes = found(self.lanes)
        if not lanes:
            return Route(goal=goal, commands=self.commands)
        route = make_route(roadmap, start, lanes, goal, beyond=0.0)
        return Route(route.lanes, route.groups, route.line, goal, self.commands)
