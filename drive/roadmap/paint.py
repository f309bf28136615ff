"""What is painted on a road: markings without those that are there twice, and stop lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drive.roadmap.model import LaneKind, Marking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drive.roadmap.model import RoadMap

    Floats = NDArray[np.float64]


def lane_markings(roadmap: RoadMap, lanes: NDArray[np.intp], left: bool) -> NDArray[np.uint8]:
    """Markings at one side of `lanes (L,)` without those that the neighbour across the same line has already,
    and none in junctions."""
    own = (roadmap.left_marking if left else roadmap.right_marking)[lanes].copy()
    kind = roadmap.kind[lanes]
    own[(kind == LaneKind.CONNECTOR) | roadmap.intersection[lanes]] = Marking.NONE
    if left:
        shown = np.isin(np.arange(roadmap.num_lanes), lanes)
        near, across = roadmap.left_lane[lanes], roadmap.left_opposite[lanes]
        drawn = ((near >= 0) & shown[near]) | ((across >= 0) & shown[across] & (across < lanes))
        own[drawn] = Marking.NONE
    return np.asarray(own, dtype=np.uint8)


def stop_lines(roadmap: RoadMap, lanes: NDArray[np.intp]) -> tuple[Floats, NDArray[np.int64]]:
    """Segments `(S, 4)` across lanes at their stop stations, from their left to their right bound, and the
    signal (-1 none) that rules each."""
    segments, signals = [], []
    for lane in lanes:
        station, signal = float(roadmap.stop_station[lane]), int(roadmap.signal[lane])
        if not np.isfinite(station):
            if signal < 0:
                continue
            station = float(roadmap.length[lane])
        own = roadmap.rows(int(lane))
        s = roadmap.station[own]
        at = min(max(station, 0.0), float(s[-1]))
        ends = [np.interp(at, s, side[own][:, k]) for side in (roadmap.left, roadmap.right) for k in (0, 1)]
        segments.append(ends)
        signals.append(signal)
    return np.asarray(segments, dtype=np.float64).reshape(-1, 4), np.asarray(signals, dtype=np.int64)
