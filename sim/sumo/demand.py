"""What a scenario carries so that SUMO can drive its traffic live (`Scenario.live["sumo"]`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drive.sim.sumo.engine import Body, SumoFiles

if TYPE_CHECKING:
    from drive.sim.sumo.engine import Box

LIVE = ("--collision.action", "warn", "--time-to-teleport", "-1")
"""Nobody leaps or vanishes because the ego stands in the way; these come after the files' own options."""
LANE_CHANGE = ("--lanechange.duration", "3")
"""Without it (or sublanes) SUMO's vehicles leap from lane to lane."""


@dataclass(frozen=True, slots=True)
class SumoDemand:
    """A simulation that stands at a scenario's start.

    `state` is SUMO's saved state, `vehicle` the ego's id there. Road users in `box` (network coordinates)
    are shown; those in `more` are on the road or about to be, without a track in the log. `origin` is the
    scenario's. `digest` stands for the files' contents.
    """

    files: SumoFiles
    state: Path
    vehicle: str
    box: Box
    origin: tuple[float, float]
    more: tuple[tuple[str, Body], ...]
    digest: str

    @property
    def content_hash(self) -> str:
        text = repr((self.digest, self.vehicle, self.box, self.more))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def live_files(files: SumoFiles) -> SumoFiles:
    """The files with the options under which a scenario's stretch of time is simulated."""
    given = [name for name in files.options if name.startswith("--")]
    kept: list[str] = []
    for name, value in zip(files.options[::2], files.options[1::2], strict=True):
        if name not in LIVE:
            kept += [name, value]
    smooth = "--lanechange.duration" in given or "--lateral-resolution" in given
    options = (*kept, *LIVE, *(() if smooth else LANE_CHANGE))
    return SumoFiles(
        files.network, files.routes, files.additional, options, files.begin, files.end, files.step_length
    )
