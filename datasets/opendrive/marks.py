"""Road marks: the painted line between two lanes, and whether it may be crossed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from drive.roadmap import Marking

if TYPE_CHECKING:
    from drive.datasets.opendrive.model import Lane, RoadMark, Section

MARKINGS = {
    "broken": Marking.DASHED,
    "broken broken": Marking.DASHED,
    "botts dots": Marking.DASHED,
    "solid": Marking.SOLID,
    "solid solid": Marking.DOUBLE_SOLID,
    "solid broken": Marking.SOLID,
    "broken solid": Marking.SOLID,
    "curb": Marking.CURB,
    "edge": Marking.CURB,
    "grass": Marking.NONE,
}


class Side(Enum):
    """The border of a lane that is meant: towards the road's centre, or away from it."""

    INNER = 0
    OUTER = 1

    @classmethod
    def of(cls, lane: int, step: int) -> Side:
        """The border that is crossed by going from a lane to the next id, `step` 1 or -1."""
        return cls.OUTER if lane * step > 0 else cls.INNER


@dataclass(frozen=True, slots=True)
class Boundary:
    """A lane's border as its driver sees it."""

    marking: Marking
    may_cross: bool


def boundary(section: Section, lane: int, side: Side) -> Boundary:
    """The line at a lane's border: of several marks along the section, the one that holds longest."""
    # A lane's mark lies on its outer border; the centre lane's on the centre line.
    bearer = lane if side is Side.OUTER else lane - (1 if lane > 0 else -1)
    owner = section.lanes.get(bearer)
    mark = _longest(owner, section.end - section.start) if owner is not None else None
    if mark is None:
        return Boundary(Marking.NONE, True)
    # Ids grow to the left: crossing to a larger id is an "increase".
    step = (1 if lane > 0 else -1) * (1 if side is Side.OUTER else -1)
    near = _near_line(mark.type, bearer, lane, side)
    marking = MARKINGS.get(mark.type if near is None else near, Marking.NONE)
    if mark.change in ("increase", "decrease", "both", "none"):
        return Boundary(
            marking, mark.change == "both" or mark.change == ("increase" if step > 0 else "decrease")
        )
    return Boundary(marking, marking in (Marking.NONE, Marking.DASHED))


def _near_line(kind: str, bearer: int, lane: int, side: Side) -> str | None:
    """Of a solid line beside a broken one, the one next to the lane.

    The first word names the inner line; of the centre lane's the left one (ASAM OpenDRIVE 1.7, 11.9).
    """
    if kind not in ("solid broken", "broken solid"):
        return None
    first, second = kind.split()
    if bearer == 0:
        return first if lane > 0 else second
    return first if side is Side.OUTER else second


def _longest(lane: Lane, length: float) -> RoadMark | None:
    if not lane.marks:
        return None
    ends = [m.offset for m in lane.marks[1:]] + [length]
    spans = [max(min(end, length) - m.offset, 0.0) for m, end in zip(lane.marks, ends, strict=True)]
    return lane.marks[max(range(len(spans)), key=spans.__getitem__)]
