"""Route files of the CARLA leaderboard, and which of them are Bench2Drive's.

The scores on Bench2Drive's two files are not comparable: 0.0.3 has 44 scenario types with 5 routes each,
0.0.4 has 42 with 1 to 12. So a figure is given only for a file that is one of the two, with its name. A set
is told by its content (ids, towns, types, waypoints), not by the bytes of its file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.xml import parse_xml
from drive.errors import InputError
from drive.eval.metrics.carla.abilities import JUNCTION_POINTS
from drive.eval.metrics.nuplan.lanes import LaneShapes
from drive.geometry import arc_length, resample_polyline

if TYPE_CHECKING:
    from drive.roadmap.model import RoadMap

BENCH2DRIVE_SETS = {
    "70aaef83f1c30881": "bench2drive220.xml (0.0.3)",
    "c517c2f1cefdb1db": "bench2drive_0.0.4_val.xml (0.0.4)",
}
SUBSETS = {"662744ac8e190105": "Dev10"}


@dataclass(frozen=True, slots=True)
class CarlaRoute:
    """One route: `points` (x, y) in m in CARLA's left-handed frame, `kind` the type of its first scenario."""

    id: str
    town: str
    kind: str
    points: tuple[tuple[float, float], ...]

    @property
    def length(self) -> float:
        """Metres along the waypoints."""
        return sum(math.dist(a, b) for a, b in zip(self.points, self.points[1:], strict=False))


@dataclass(frozen=True, slots=True)
class RouteSet:
    """The routes of a file, with the hash of their content."""

    file: str
    routes: tuple[CarlaRoute, ...]
    hash: str

    @property
    def name(self) -> str | None:
        """Which of Bench2Drive's two sets it is, None for another one."""
        return BENCH2DRIVE_SETS.get(self.hash)

    def require_known(self) -> str:
        """The set's name; InputError with the hash where it is none of the two."""
        if self.name is None:
            what = f"the subset {SUBSETS[self.hash]}" if self.hash in SUBSETS else "not one of its route sets"
            known = ", ".join(BENCH2DRIVE_SETS.values())
            raise InputError(
                f"{self.file}: no Bench2Drive figure for {len(self.routes)} routes with the hash "
                f"{self.hash}: that is {what} ({known})"
            )
        return self.name


def read_routes(path: str | Path) -> RouteSet:
    """Read a route file; raises InputError, one line with file and line, for what is none."""
    doc = parse_xml(Path(path))
    root = doc.root
    if root.tag != "routes":
        raise InputError(f"{doc.name}: <{root.tag}> is no list of CARLA routes; it should be <routes>")
    routes: list[CarlaRoute] = []
    for node in root.all("route"):
        waypoints, scenarios = node.find("waypoints"), node.find("scenarios")
        positions = [] if waypoints is None else list(waypoints.all("position"))
        first = None if scenarios is None else scenarios.find("scenario")
        points = []
        for position in positions:
            try:
                x, y = (float(position.attributes[key]) for key in ("x", "y"))
            except (KeyError, ValueError):
                x = y = math.nan
            if not (math.isfinite(x) and math.isfinite(y)):
                raise InputError(f"{doc.name}: line {position.line}: a position needs the numbers x and y")
            points.append((x, y))
        name = node.attributes.get("id")
        if name is None or len(points) < 2:
            raise InputError(f"{doc.name}: line {node.line}: a route needs an id and two positions or more")
        kind = "" if first is None else first.attributes.get("type", "")
        routes.append(CarlaRoute(name, node.attributes.get("town", ""), kind, tuple(points)))
    if not routes:
        raise InputError(f"{doc.name}: there is no route in it")
    if len({route.id for route in routes}) < len(routes):
        raise InputError(f"{doc.name}: two routes have the same id")
    return RouteSet(doc.name, tuple(routes), _digest(routes))


def _digest(routes: list[CarlaRoute]) -> str:
    lines = sorted(
        f"{r.id}|{r.town}|{r.kind}|" + ";".join(f"{x:.3f},{y:.3f}" for x, y in r.points) for r in routes
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def sign_share(route: CarlaRoute, roadmap: RoadMap) -> float | None:
    """Share of a route at 8 m beyond its first junction, None without one; `roadmap` is its town's.

    The map is OpenDRIVE's right-handed one, in which y runs the other way.
    """
    line = np.asarray(route.points) * (1.0, -1.0)
    points = resample_polyline(line, 1.0)
    shapes = LaneShapes.of(roadmap)
    inside = np.flatnonzero(shapes.in_intersection(points, shapes.lanes_at(points)))
    if len(inside) == 0:
        return None
    along = arc_length(points)
    return float((along[inside[0]] + JUNCTION_POINTS) / along[-1])
