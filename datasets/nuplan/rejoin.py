"""Lanes of a map that we wrote ourselves, put together again from the pieces they were cut into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drive.errors import MapError
from drive.roadmap import LaneKind, LaneSpec, Marking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drive.datasets.nuplan.edges import RawEdge

    Floats = NDArray[np.float64]

Key = tuple[int, str]


def lane_key(edge: RawEdge) -> Key:
    return int(edge.about["world"]), str(edge.about["lane"])


def full_name(key: Key) -> str:
    """Ids of several road maps in one city must differ; `plain_name` takes the difference off again."""
    return f"{key[0]}/{key[1]}"


def plain_name(name: str) -> str:
    return name.partition("/")[2]


def rejoined(
    edges: Sequence[RawEdge],
    others: Sequence[tuple[dict[str, Any], tuple[Floats, Floats, Floats]]],
    name: str,
) -> list[LaneSpec]:
    """The lanes that were written, in their order. `others` are those that are not for driving.

    Raises MapError naming the file where a piece is missing or says what we never write.
    """
    try:
        return _rejoined(edges, others)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MapError(f"{name}: its columns 'drive' do not fit together ({error!r})") from None


def _rejoined(
    edges: Sequence[RawEdge], others: Sequence[tuple[dict[str, Any], tuple[Floats, Floats, Floats]]]
) -> list[LaneSpec]:
    at = {edge.fid: edge for edge in edges}
    pieces: dict[Key, dict[tuple[int, bool], RawEdge]] = {}
    links: dict[Key, dict[Key, None]] = {}
    for edge in edges:
        key = lane_key(edge)
        pieces.setdefault(key, {}).setdefault((int(edge.about["part"]), bool(edge.about.get("seam"))), edge)
        if edge.connector:
            before, after = lane_key(at[edge.source or 0]), lane_key(at[edge.target or 0])
            for a, b in ((before, key), (key, after)):
                if a != b:
                    links.setdefault(a, {})[b] = None
    found: list[tuple[int, int, LaneSpec]] = []
    for key, parts in pieces.items():
        order = sorted(parts)
        lines = [_own_rows(parts[k]) for k in order]
        # Both neighbours of a cut hold the row that was put in there.
        joined = [
            np.concatenate(
                [p[k][int(i > 0) : len(p[k]) - int(i + 1 < len(lines))] for i, p in enumerate(lines)]
            )
            for k in range(3)
        ]
        main = next(parts[k] for k in order if "row" in parts[k].about)
        spec = _spec(key, main.about, (joined[0], joined[1], joined[2]), main.limit)
        spec.successors = [full_name(other) for other in links.get(key, {})]
        found.append((key[0], int(main.about["row"]), spec))
    by_name = {spec.id: spec for _, _, spec in found}
    for about, lines3 in others:
        key = int(about["world"]), str(about["lane"])
        spec = _spec(key, about, lines3, about["limit"])
        spec.successors = [full_name((key[0], str(other))) for other in about["successors"]]
        for other in about["predecessors"]:
            ahead = by_name.get(full_name((key[0], str(other))))
            if ahead is not None:
                ahead.successors = [*ahead.successors, spec.id]
        found.append((key[0], int(about["row"]), spec))
    return [spec for _, _, spec in sorted(found, key=lambda item: item[:2])]


def _own_rows(edge: RawEdge) -> tuple[Floats, Floats, Floats]:
    """Lines of an edge without the rows of the lane before it."""
    head = int(edge.about.get("head", 0))
    return edge.center[head:], edge.left[head:], edge.right[head:]


def _spec(
    key: Key, about: dict[str, Any], lines: tuple[Floats, Floats, Floats], limit: float | None
) -> LaneSpec:
    def named(value: Any) -> str | None:
        return None if value is None else full_name((key[0], str(value)))

    sides, opposite = about["sides"], about["opposite"]
    return LaneSpec(
        id=full_name(key),
        left=lines[1],
        right=lines[2],
        center=lines[0],
        kind=LaneKind(int(about["kind"])),
        speed_limit=limit,
        intersection=bool(about["intersection"]),
        left_lane=named(sides[0]),
        right_lane=named(sides[1]),
        left_change=bool(about["change"][0]),
        right_change=bool(about["change"][1]),
        left_opposite=named(opposite[0]),
        right_opposite=named(opposite[1]),
        left_marking=Marking(int(about["marking"][0])),
        right_marking=Marking(int(about["marking"][1])),
        signal=named(about["signal"]),
        stop_station=None if about["stop"] is None else float(about["stop"]),
        group=named(about["group"]),
    )


def signal_name(edge: RawEdge, at: dict[int, RawEdge]) -> str:
    """Name of the light that a connector's status stands for; empty where it has none."""
    source = at.get(edge.source or 0)
    for about in (edge.about, source.about if source is not None else {}):
        if about.get("signal") is not None:
            return full_name((int(about["world"]), str(about["signal"])))
    return ""
