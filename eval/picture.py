"""A still picture of a scene as SVG: the map, the route, and everybody's way with a few moments of it.

No browser and no plotting library is needed, and the file is text that a review can compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from drive.errors import InputError
from drive.geometry import box_corners
from drive.roadmap import AreaKind, LaneKind, Marking, RoadMap
from drive.scenario import TRACK_HEADING, SignalState
from drive.vehicle import AgentKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drive.scenario import Scenario

    Floats = NDArray[np.float64]

LONGEST = 240.0
"""Metres of the ego's way that one picture shows at most; beyond that, cars become dots."""
MARGIN = 22.0
TOLERANCE = 0.3
"""Pixels that a drawn line may lie beside the map's."""
MOMENTS = (-5.0, -2.5, 0.0, 2.5, 5.0)
"""Seconds before and after the main moment at which everybody is drawn."""
# The colours of the replay page, after Okabe and Ito.
GROUND, ROAD, EDGE, PAINT, WALK, CROSSING, BUILDING = (
    "#e9ecea", "#c2c8cf", "#98a1ab", "#ffffff", "#dcdde0", "#f4f5f6", "#a8937c",
)  # fmt: skip
LANE_BOUND = "#adb5be"
EGO, ROUTE, TEXT = "#d55e00", "#e3b505", "#1b1f24"
COLOURS = {
    AgentKind.VEHICLE: "#3c8fc9",
    AgentKind.TRUCK: "#2f6fa8",
    AgentKind.BUS: "#5f6fc0",
    AgentKind.MOTORCYCLE: "#56b4e9",
    AgentKind.BICYCLE: "#cc79a7",
    AgentKind.PEDESTRIAN: "#e69f00",
    AgentKind.STATIC: "#f3e9d8",
}
LIGHTS = {SignalState.RED: "#c8321a", SignalState.YELLOW: "#e0a800", SignalState.GREEN: "#00936b"}


@dataclass(frozen=True, slots=True)
class Frame:
    """From scenario coordinates to the picture's: turned so that the ego drives to the right, in pixels."""

    middle: Floats
    turn: float
    low: Floats
    high: Floats
    scale: float

    def __call__(self, points: Floats) -> Floats:
        """Pixels `(..., 2)` of points `(..., 2)`; y points down."""
        local = _turned(points - self.middle, -self.turn)
        return np.stack(
            ((local[..., 0] - self.low[0]) * self.scale, (self.high[1] - local[..., 1]) * self.scale), axis=-1
        )

    @property
    def size(self) -> tuple[float, float]:
        span = (self.high - self.low) * self.scale
        return float(span[0]), float(span[1])

    def shows(self, points: Floats) -> bool:
        """Whether the box around the points meets the picture."""
        at = self(points)
        width, height = self.size
        low, high = at.min(0), at.max(0)
        return bool(low[0] < width and high[0] > 0.0 and low[1] < height and high[1] > 0.0)


def scene_picture(scenario: Scenario, at: float | None = None, width: int = 1200) -> str:
    """SVG of a scenario's log on its map, `width` pixels wide.

    The main moment, drawn solid, is `at` s or else the one at which the ego comes closest to somebody.
    Raises InputError for a scenario without a road map and for a moment outside of it.
    """
    if not isinstance(scenario.environment, RoadMap):
        raise InputError(f"'{scenario.id}' has no road map to draw")
    if at is not None and not 0.0 <= at <= scenario.duration:
        raise InputError(
            f"'{scenario.id}' lasts from 0 to {scenario.duration:g} s; {at:g} s is no part of it"
        )
    moment = _closest(scenario) if at is None else round(at / scenario.dt)
    frame = _frame(scenario, moment, width)
    w, h = frame.size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h + 26:.0f}" '
        f'font-family="system-ui,sans-serif" font-size="13" fill="{TEXT}">',
        f'<title>{escape(scenario.id)}</title><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<clipPath id="map"><rect width="{w:.0f}" height="{h:.0f}"/></clipPath><g clip-path="url(#map)">',
        f'<rect width="{w:.0f}" height="{h:.0f}" fill="{GROUND}"/>',
        *_roads(scenario.environment, frame),
        *_route(scenario, frame),
        *_lights(scenario, frame, moment),
        *_people(scenario, frame, moment),
        "</g>",
        *_caption(scenario, frame, moment),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _turned(points: Floats, angle: float) -> Floats:
    c, s = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return np.stack((c * x - s * y, s * x + c * y), axis=-1)


def _closest(scenario: Scenario) -> int:
    """Sample at which the ego comes closest to another road user, the middle one if it meets nobody."""
    t = scenario.tracks
    others = np.delete(np.arange(t.num_agents), scenario.ego)
    away = np.hypot(*np.moveaxis(t.states[others, :, :2] - t.states[scenario.ego, :, :2], -1, 0))
    # Somebody big is near before its centre is.
    away = away - 0.5 * t.size[others, 0, None]
    away = np.where(t.valid[others] & t.valid[scenario.ego], away, np.inf)
    if not len(others) or not np.isfinite(away).any():
        return t.num_steps // 2
    return int(np.argmin(away.min(0)))


def _frame(scenario: Scenario, moment: int, width: int) -> Frame:
    t = scenario.tracks
    way = t.states[scenario.ego, t.valid[scenario.ego], :2]
    middle = t.states[scenario.ego, moment, :2]
    ends = way[-1] - way[0]
    heading = float(t.states[scenario.ego, 0, TRACK_HEADING])
    turn = float(np.arctan2(ends[1], ends[0])) if np.hypot(*ends) > 5.0 else heading
    local = _turned(way - middle, -turn)
    near = local[np.abs(local[:, 0]) < 0.5 * LONGEST]
    # An ego that has no recording of its own is known at one sample only.
    margin = MARGIN if np.ptp(near[:, 0]) > 5.0 else 3.0 * MARGIN
    low, high = near.min(0) - margin, near.max(0) + margin
    # Neither a strip nor a tower.
    for axis, least in ((0, 90.0), (1, 0.2 * (high[0] - low[0]))):
        lacking = 0.5 * max(least - (high[axis] - low[axis]), 0.0)
        low[axis], high[axis] = low[axis] - lacking, high[axis] + lacking
    return Frame(middle, turn, low, high, width / float(high[0] - low[0]))


def _path(points: Floats, closed: bool = False) -> str:
    if len(points) > 4:
        # Points that no eye would miss; maps come with one every metre.
        points = shapely.get_coordinates(shapely.LineString(points).simplify(TOLERANCE))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")


def _shape(points: Floats, closed: bool = False, /, **style: Any) -> str:
    look = " ".join(f'{name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<path d="{_path(points, closed)}" {look}/>'


def _roads(m: RoadMap, frame: Frame) -> Iterable[str]:
    px = frame.scale
    for kind, colour in ((AreaKind.WALKWAY, WALK), (AreaKind.OCCLUDER, BUILDING)):
        for ring in m.areas.of_kind(kind):
            if frame.shows(ring):
                yield _shape(frame(ring), True, fill=colour, stroke=EDGE, stroke_width=1)
    lanes = [i for i in range(m.num_lanes) if frame.shows(m.polygon(i))]
    grounds = [
        r for r in m.areas.of_kind(AreaKind.ROAD, AreaKind.INTERSECTION, AreaKind.PARKING, AreaKind.GENERIC)
    ]
    surfaces = [frame(r) for r in grounds if frame.shows(r)] + [frame(m.polygon(i)) for i in lanes]
    # Edges first and the ground over them: only the outer ones stay.
    for look in (
        {"fill": "none", "stroke": EDGE, "stroke_width": 3},
        {"fill": ROAD, "stroke": ROAD, "stroke_width": 0.5},
    ):
        for ring in surfaces:
            yield _shape(ring, True, **look)
    for ring in m.areas.of_kind(AreaKind.CROSSWALK):
        if frame.shows(ring):
            yield _shape(frame(ring), True, fill=CROSSING, fill_opacity=0.75)
    for i in lanes:
        if m.intersection[i] or m.kind[i] not in (LaneKind.LANE, LaneKind.SHOULDER, LaneKind.PARKING):
            continue
        rows = m.rows(i)
        for bound, marking in ((m.left, m.left_marking[i]), (m.right, m.right_marking[i])):
            if marking == Marking.CURB:
                continue
            dashes = {"stroke_dasharray": f"{3 * px:.1f} {6 * px:.1f}"} if marking == Marking.DASHED else {}
            yield _shape(
                frame(bound[rows]),
                fill="none",
                # Many recorded maps know no paint; where lanes end must be seen all the same.
                stroke=PAINT if marking != Marking.NONE else LANE_BOUND,
                stroke_width=round(max(0.15 * px, 0.8), 1),
                **dashes,
            )


def _route(scenario: Scenario, frame: Frame) -> Iterable[str]:
    if len(scenario.route.line) > 1:
        yield _shape(
            frame(scenario.route.line), fill="none", stroke=ROUTE, stroke_opacity=0.45,
            stroke_width=round(1.1 * frame.scale, 1), stroke_linejoin="round",
        )  # fmt: skip


def _lights(scenario: Scenario, frame: Frame, moment: int) -> Iterable[str]:
    m = scenario.roadmap
    for lane in np.flatnonzero(np.isfinite(m.stop_station)):
        rows = m.rows(int(lane))
        at = rows.start + int(np.argmin(np.abs(m.station[rows] - m.stop_station[lane])))
        line = np.stack((m.left[at], m.right[at]))
        signal = int(m.signal[lane])
        state = SignalState(int(scenario.signals[signal, moment])) if signal >= 0 else None
        colour = PAINT if state is None else LIGHTS.get(state, "#7a848f")
        if frame.shows(line):
            # A line without a signal asks to give way: it is broken, as its paint is.
            broken = (
                {"stroke_dasharray": f"{0.6 * frame.scale:.1f} {0.4 * frame.scale:.1f}"} if signal < 0 else {}
            )
            yield _shape(
                frame(line), stroke=colour, stroke_width=round(max(0.6 * frame.scale, 2.0), 1), **broken
            )


def _people(scenario: Scenario, frame: Frame, moment: int) -> Iterable[str]:
    """Ways as thin lines, boxes faint before and after the main moment and solid at it."""
    t = scenario.tracks
    order = [*np.delete(np.arange(t.num_agents), scenario.ego).tolist(), scenario.ego]
    colour = {
        i: EGO if i == scenario.ego else COLOURS.get(AgentKind(int(t.kind[i])), "#7d8793") for i in order
    }
    for i in order:
        way = t.states[i, t.valid[i], :2]
        if len(way) > 1 and np.hypot(*(way.max(0) - way.min(0))) > 1.0 and frame.shows(way):
            yield _shape(
                frame(way[::3]), fill="none", stroke=colour[i], stroke_opacity=0.55, stroke_width=1.2
            )
    for seconds in sorted(MOMENTS, key=abs, reverse=True):
        k = moment + round(seconds / scenario.dt)
        if not 0 <= k < t.num_steps:
            continue
        for i in order:
            if t.valid[i, k] and (seconds == 0.0 or t.speed[i].max() > 0.1):
                yield from _box(scenario, frame, i, k, colour[i], seconds == 0.0)


def _box(scenario: Scenario, frame: Frame, i: int, k: int, colour: str, solid: bool) -> Iterable[str]:
    t = scenario.tracks
    # A person seen from above is smaller than the line that shows the way.
    length, width = np.maximum(t.size[i, :2], 0.9)
    corners = box_corners(t.states[i, k, :2], t.states[i, k, TRACK_HEADING], length, width)
    if not frame.shows(corners):
        return
    look = {"fill_opacity": 1, "stroke": TEXT} if solid else {"fill_opacity": 0.16, "stroke": colour}
    yield _shape(frame(corners), True, fill=colour, stroke_width=1 if solid else 0.8, **look)
    if solid and length > 2.0:
        c, s = np.cos(t.states[i, k, TRACK_HEADING]), np.sin(t.states[i, k, TRACK_HEADING])
        wedge = np.array([[0.42 * length, 0.0], [0.15 * length, 0.3 * width], [0.15 * length, -0.3 * width]])
        at = t.states[i, k, :2] + np.stack(
            (c * wedge[:, 0] - s * wedge[:, 1], s * wedge[:, 0] + c * wedge[:, 1]), -1
        )
        yield _shape(frame(at), True, fill="#ffffff", fill_opacity=0.8)


def _caption(scenario: Scenario, frame: Frame, moment: int) -> Iterable[str]:
    w, h = frame.size
    tags = " · ".join(tag for tag in scenario.tags if tag != scenario.family)
    text = f"{scenario.id}   {tags}" if tags else scenario.id
    text += f"   at {moment * scenario.dt:.1f} s, faint: every 2.5 s"
    yield f'<text x="4" y="{h + 18:.0f}" xml:space="preserve">{escape(text)}</text>'
    bar = 20.0 * frame.scale
    yield _shape(
        np.array([[w - bar - 48, h + 8], [w - bar - 48, h + 14], [w - 48, h + 14], [w - 48, h + 8]]),
        fill="none", stroke=TEXT,
    )  # fmt: skip
    yield f'<text x="{w - 42:.0f}" y="{h + 18:.0f}">20 m</text>'
