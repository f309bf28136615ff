"""Lane borders: a section's lanes as polylines, sampled as finely as they bend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drive.datasets.opendrive.model import EPSILON
from drive.datasets.opendrive.plan import reference_line
from drive.errors import MapError
from drive.roadmap.raster import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.opendrive.model import Road, Section

    Floats = NDArray[np.float64]

SAG = 0.01
"""Metres by which a border's chord may leave its curve."""
MAX_STEP, MIN_STEP = 5.0, 0.4
PROBES = 9
KNOT_GAP = 0.02
JUST_BEFORE = 0.002
MAX_SAMPLES = 200_000
"""Samples of one section: a road of 1000 km at the longest step."""
MAX_REACH = 1000.0
"""Metres from a road's reference line to the border of a lane: an airfield's apron is narrower."""


@dataclass(frozen=True, slots=True, eq=False)
class SectionLines:
    """A section's samples along s: reference line points `(N, 2)`, headings, heights `z (N,)`, and by lane
    id the t of its border towards the centre and away from it."""

    s: Floats
    points: Floats
    heading: Floats
    z: Floats
    borders: dict[int, tuple[Floats, Floats]]

    def at(self, t: Floats) -> Floats:
        """Positions `(N, 3)` at lateral offsets `t (N,)` of the samples."""
        x = self.points[:, 0] - t * np.sin(self.heading)
        y = self.points[:, 1] + t * np.cos(self.heading)
        return np.stack((x, y, self.z), axis=-1)

    def width(self, lane: int) -> Floats:
        inner, outer = self.borders[lane]
        return np.abs(outer - inner)


def section_lines(road: Road, section: Section) -> SectionLines:
    """Sample all lanes of a section at common stations."""
    s = _stations(road, section)
    points, heading, _ = reference_line(road.plan, s)
    return SectionLines(s, points, heading, road.elevation.at(s), lane_borders(road, section, s))


def lane_borders(road: Road, section: Section, s: Floats) -> dict[int, tuple[Floats, Floats]]:
    """The t `(N,)` of each lane's inner and outer border at stations `s (N,)`; widths below 0 count as 0.

    Raises MapError for a lane that lies farther than `MAX_REACH` from its road's reference line.
    """
    middle = road.lane_offset.at(s, section.end)
    ds, end = s - section.start, section.end - section.start
    out: dict[int, tuple[Floats, Floats]] = {}
    for side in (-1, 1):
        inner = middle
        for lane_id in sorted((i for i in section.lanes if i * side > 0), key=abs):
            lane = section.lanes[lane_id]
            if lane.is_border:
                outer = side * np.maximum(np.abs(lane.widths.at(ds, end)), side * inner)
            else:
                outer = inner + side * np.maximum(lane.widths.at(ds, end), 0.0)
            if not (np.abs(outer) <= MAX_REACH).all():
                far = f"lane {lane_id} reaches more than {MAX_REACH:g} m aside"
                raise MapError(f"road '{road.id}': {far}: its widths or offsets are no metres")
            out[lane_id] = (inner, outer)
            inner = outer
    return out


def _stations(road: Road, section: Section) -> Floats:
    a, b = section.start, max(section.end, section.start)
    knots: list[float] = [g.s for g in road.plan]
    knots += road.lane_offset.start.tolist()
    for lane in section.lanes.values():
        knots += (lane.widths.start + a).tolist()
    inside = np.unique([k for k in knots if a < k < b])
    inside = inside[(inside - a > KNOT_GAP) & (b - inside > KNOT_GAP)]
    if len(inside):
        inside = inside[np.concatenate(([True], np.diff(inside) > KNOT_GAP))]
        inside = _with_jumps(road, section, inside)
    ends = np.concatenate(([a], inside, [b]))
    low, high = ends[:-1], ends[1:]
    count = np.maximum(np.ceil((high - low) / _steps(road, section, low, high) - 1e-9), 1.0).astype(np.intp)
    if count.sum() > MAX_SAMPLES:
        raise MapError(f"road '{road.id}': a section is too long to be sampled")
    owner, number = expand(count)
    return np.append(low[owner] + (high - low)[owner] * number / count[owner], b)


def _with_jumps(road: Road, section: Section, knots: Floats) -> Floats:
    """Knots with a second one just before those at which a border jumps sideways."""
    before, after = (lane_borders(road, section, knots - shift) for shift in (JUST_BEFORE, 0.0))
    leap = np.zeros(len(knots))
    for lane, (_, outer) in after.items():
        leap = np.maximum(leap, np.abs(outer - before[lane][1]))
    return np.unique(np.concatenate((knots, knots[leap > SAG] - JUST_BEFORE)))


def _steps(road: Road, section: Section, low: Floats, high: Floats) -> Floats:
    """Steps `(K,)` of the stretches from `low` to `high (K,)` at which no chord leaves its curve by more than
    `SAG`: by the curvature of the outermost border."""
    share = np.linspace(0.0, 1.0, PROBES)
    probe = (low[:, None] + share * np.maximum(high - low - EPSILON, 0.0)[:, None]).ravel()
    _, _, kappa = reference_line(road.plan, probe)
    kappa = np.abs(kappa)
    sway = road.lane_offset.bend(probe) + road.elevation.bend(probe)
    for lane in section.lanes.values():
        sway = sway + lane.widths.bend(probe - section.start)
    reach = np.zeros(len(probe))
    if kappa.max() > 1e-6:
        for _, outer in lane_borders(road, section, probe).values():
            reach = np.maximum(reach, np.abs(outer))
    bend = kappa / np.maximum(1.0 - kappa * reach, 0.2) + sway
    most = bend.reshape(len(low), PROBES).max(1)
    return np.asarray(np.clip(np.sqrt(8.0 * SAG / np.maximum(most, 1e-9)), MIN_STEP, MAX_STEP))


def lowest_between(start: Sequence[float], values: Sequence[float], a: float, b: float) -> float | None:
    """Lowest of the values that hold somewhere in [a, b], each from its start on; None where none does."""
    found = [
        v
        for k, (s, v) in enumerate(zip(start, values, strict=True))
        if s < b and (k + 1 == len(start) or start[k + 1] > a)
    ]
    known = [v for v in found if np.isfinite(v)]
    return min(known) if known else None
