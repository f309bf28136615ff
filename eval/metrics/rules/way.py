"""The way that the ego drove, drawn on along its last lane: what lies ahead of it is measured along this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from drive.eval.metrics.nuplan.ego import Ego
from drive.eval.metrics.nuplan.lanes import Driven, LaneShapes
from drive.eval.metrics.nuplan.lanes import follow as drive_along
from drive.geometry import arc_length, polyline_heading, project_to_polyline, wrap_angle
from drive.roadmap.route import extend_route, route_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.runlog import RunLog

    Floats = NDArray[np.float64]

STEP = 0.3  # m between the points of a way
ONWARD = 150.0  # m that it is drawn on
NEAR = 120.0  # m
PIECE = 200  # samples
_SPACING = 2.0


@dataclass(frozen=True, eq=False)
class Drive:
    """A run as the signals read it; parts are made when they are asked for.

    `line (P, 2)` the way of the box centre and on, `station (N,)` how far along it each sample is; `lanes`
    the lanes that the way leads through.
    """

    run: RunLog

    @cached_property
    def ego(self) -> Ego:
        return Ego.of(self.run)

    @cached_property
    def driven(self) -> Driven | None:
        """Which lanes each sample is in, None without a map."""
        if self.run.roadmap is None:
            return None
        shapes = LaneShapes.of(self.run.roadmap)
        return drive_along(shapes, self.ego.center, self.ego.heading, self.run.route_lanes.tolist())

    @cached_property
    def _line(self) -> tuple[Floats, Floats]:
        center, kept, at = self.ego.center, [0], [0.0]
        station = np.zeros(len(center))
        for n in range(1, len(center)):
            away = float(np.hypot(*(center[n] - center[kept[-1]])))
            station[n] = at[-1] + away
            if away >= STEP:
                kept.append(n)
                at.append(station[n])
        onward = self._onward(center[kept[-1]])
        return np.concatenate((center[kept], onward)), np.minimum(station, at[-1] + STEP)

    def _onward(self, last: Floats) -> Floats:
        """Points beyond the last sample, along its lane and at its offset, else straight on."""
        far = np.arange(_SPACING, ONWARD + _SPACING, _SPACING)
        heading = float(self.ego.heading[-1])
        straight = last + far[:, None] * np.array([np.cos(heading), np.sin(heading)])
        if self.driven is None or not self.driven.route[-1] or self.run.roadmap is None:
            return np.asarray(straight)
        lane = self.driven.route[-1][0]
        line = route_line(self.run.roadmap, extend_route(self.run.roadmap, [lane], ONWARD))
        s, d, _ = project_to_polyline(last[None], line)
        along, turned = arc_length(line), polyline_heading(line)
        far = far[far + s[0] <= along[-1]]
        if not len(far) or abs(float(wrap_angle(np.interp(s[0], along, turned) - heading))) > 0.7:
            return np.asarray(straight)
        points = np.stack([np.interp(s[0] + far, along, line[:, k]) for k in range(2)], axis=1)
        angle = np.interp(s[0] + far, along, np.unwrap(turned))
        return np.asarray(points + d[0] * np.stack((-np.sin(angle), np.cos(angle)), axis=1))

    @property
    def line(self) -> Floats:
        return self._line[0]

    @property
    def station(self) -> Floats:
        return self._line[1]

    @cached_property
    def front(self) -> Floats:
        """How far along the way the front bumper is `(N,)`."""
        return self.station + 0.5 * self.ego.length

    @cached_property
    def others(self) -> tuple[Floats, Floats, Floats]:
        """Stations and offsets on the way of all within `NEAR` m, and how far they are turned from it, each
        `(A, N)`; NaN of the others."""
        agents = self.run.agents
        out = np.full((3, *agents.shape[:2]), np.nan)
        along, angle = arc_length(self.line), np.unwrap(polyline_heading(self.line))
        away = np.hypot(*np.moveaxis(agents[..., :2] - self.ego.center, -1, 0))
        near = self.run.agent_valid & (away <= NEAR)
        # Piece by piece: a whole drive's way is long, and all but the next part of it far from everybody.
        for start in range(0, len(self.ego), PIECE):
            part = slice(start, start + PIECE)
            who, when = np.nonzero(near[:, part])
            if not len(who):
                continue
            reach = self.station[part]
            low = max(int(np.searchsorted(along, reach[0] - NEAR)) - 1, 0)
            high = max(int(np.searchsorted(along, reach[-1] + NEAR)) + 1, low + 2)
            states = agents[who, when + start]
            s, d, _ = project_to_polyline(states[:, :2], self.line[low:high])
            s = s + along[low]
            out[:, who, when + start] = s, d, wrap_angle(states[:, 2] - np.interp(s, along, angle))
        return out[0], out[1], out[2]

    @cached_property
    def lanes(self) -> tuple[int, ...]:
        """Lanes that the way leads through, in their order, as far as it is drawn on."""
        if self.driven is None or self.run.roadmap is None:
            return ()
        order = [lane for here in self.driven.route for lane in here]
        found = list(dict.fromkeys(order))
        onward = extend_route(self.run.roadmap, found[-1:], ONWARD) if found else ()
        return tuple(dict.fromkeys([*found, *onward]))
