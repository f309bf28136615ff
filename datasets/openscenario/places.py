"""Positions of OpenSCENARIO, resolved on the OpenDRIVE road network that they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive.lanes import lane_borders
from drive.datasets.opendrive.plan import reference_line
from drive.sim.traffic.story.model import Beside, Fixed, Near

if TYPE_CHECKING:
    from drive.datasets.opendrive import OpenDriveFile
    from drive.datasets.openscenario.catalogs import Catalogs
    from drive.datasets.openscenario.text import Text
    from drive.sim.traffic.story.lanes import Lanes
    from drive.sim.traffic.story.model import Place


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The road network and the origin of the map made of it."""

    network: OpenDriveFile
    origin: tuple[float, float]
    lanes: Lanes
    catalogs: Catalogs
    left_handed: bool = False

    def place(self, position: Text) -> Place | None:
        """A <Position>; None, and noted, where its kind is not read. Raises InputError on a road or lane
        that the network lacks."""
        kind = position.only()
        if kind.tag == "WorldPosition":
            # Files made for CARLA say so, and mean its left-handed axes.
            hand = -1.0 if self.left_handed else 1.0
            x, y = kind.number("x") - self.origin[0], hand * kind.number("y") - self.origin[1]
            return Fixed(x, y, hand * kind.number("h", 0.0))
        if kind.tag == "LanePosition":
            return self.on_lane(kind, kind.text("roadId"), kind.whole("laneId"), kind.number("s"))
        if kind.tag == "RoadPosition":
            return self.on_road(kind, kind.text("roadId"), kind.number("s"), kind.number("t"))
        if kind.tag == "RoutePosition":
            return self.on_route(kind)
        if not kind.tag.startswith("Relative"):
            position.skip(kind.tag)
            return None
        entity, turn = kind.entity(), _turn(kind)
        if kind.tag == "RelativeLanePosition":
            ahead = kind.number("ds", kind.number("dsLane", 0.0))
            return Beside(entity, kind.whole("dLane"), ahead, kind.number("offset", 0.0), turn=turn)
        if kind.tag == "RelativeRoadPosition":
            return Beside(entity, 0, kind.number("ds"), None, kind.number("dt"), turn)
        if kind.tag in ("RelativeObjectPosition", "RelativeWorldPosition"):
            own = kind.tag == "RelativeObjectPosition"
            return Near(entity, kind.number("dx"), kind.number("dy"), turn, own)
        position.skip(kind.tag)
        return None

    def on_route(self, text: Text) -> Fixed | None:
        """A place so far along a route, from its first waypoint on; in the lane of a number where one is
        given."""
        ref = text.need("RouteRef")
        route = ref.child("Route") or self.catalogs.entry(ref.child("CatalogReference"))
        where = text.need("InRoutePosition").only()
        if route is None or where.tag == "FromCurrentEntity":
            text.skip(f"RoutePosition {where.tag}")
            return None
        points = [self.place(p.need("Position")) for p in route.children("Waypoint")]
        poses = [p for p in points if isinstance(p, Fixed)]
        if not poses:
            raise text.fault("its route has no waypoint that stands on its own")
        chain = self.lanes.chain([(p.x, p.y, p.heading) for p in poses])
        if not chain:
            raise text.fault("its route begins on no lane")
        way = self.lanes.way(chain[0], chain)
        s = way.foot(poses[0].x, poses[0].y)[0] + where.number("pathS")
        x, y, heading = way.at(s)
        lane, aside = way.lane_at(s), where.number("laneOffset", where.number("t", 0.0))
        if "laneId" in where.node.attributes:
            # The route tells the road; a number on its other side is that of the way's own side.
            same = self.lanes.numbered(lane, where.whole("laneId"))
            if same >= 0 and same in self.lanes.one_way(lane):
                x, y, heading = self.lanes.way(same).at(self.lanes.way(same).foot(x, y)[0])
        aside *= self.lanes.along_road(lane)
        return Fixed(x - aside * math.sin(heading), y + aside * math.cos(heading), heading + _turn(text))

    def on_lane(self, text: Text, road_id: str, lane: int, s: float) -> Fixed:
        """A place in the middle of a lane, moved by the element's offset, looking where traffic goes."""
        road = self.network.roads.get(road_id)
        if road is None:
            raise text.fault(f"the road network {self.network.name} has no road '{road_id}'")
        at = min(max(s, 0.0), road.length)
        section = road.sections[road.section_of(at)]
        if lane not in section.lanes:
            raise text.fault(f"road '{road_id}' of {self.network.name} has no lane {lane} at s = {s:g} m")
        t = 0.0
        if lane:
            inner, outer = lane_borders(road, section, np.array([at]))[lane]
            t = 0.5 * float(inner[0] + outer[0])
        forward = road.runs_forward(lane) if lane else True
        return self._fixed(text, road_id, at, t + text.number("offset", 0.0), not forward)

    def on_road(self, text: Text, road_id: str, s: float, t: float) -> Fixed:
        """A place beside a road's reference line, looking along it."""
        road = self.network.roads.get(road_id)
        if road is None:
            raise text.fault(f"the road network {self.network.name} has no road '{road_id}'")
        return self._fixed(text, road_id, min(max(s, 0.0), road.length), t, False)

    def _fixed(self, text: Text, road_id: str, s: float, t: float, against: bool) -> Fixed:
        points, heading, _ = reference_line(self.network.roads[road_id].plan, np.array([s]))
        h = float(heading[0])
        x = float(points[0, 0]) - t * math.sin(h) - self.origin[0]
        y = float(points[0, 1]) + t * math.cos(h) - self.origin[1]
        orientation = text.child("Orientation")
        if orientation is not None and orientation.text("type", "relative") == "absolute":
            return Fixed(x, y, orientation.number("h", 0.0))
        return Fixed(x, y, h + (math.pi if against else 0.0) + _turn(text))


def _turn(kind: Text) -> float:
    orientation = kind.child("Orientation")
    return 0.0 if orientation is None else orientation.number("h", 0.0)
