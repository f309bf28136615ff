"""The guard of a tuning's realism: speeds stay as near to the limits as the base's are.

Group-relative tuning finds that who drives slowly crashes little. The guard drives the tuning's own scenes
after each round; where the speeds are too far from the limits, a reward for speed up to the limit grows, as
the multiplier of a constraint does, and it shrinks where they are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drive.sim.traffic.rift.evaluate import drive_worlds, join
from drive.sim.traffic.rift.measure import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drive.sim.traffic.rift.net import RiftPolicy
    from drive.sim.traffic.rift.worlds import Worlds

    Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Guard:
    """Speeds are at most `most` m/s from the limits (WD of `measure`), or a share of `hold` of the excess is
    added to the reward a m/s. Rounds' figures are rows with "pace", that reward, and those of `look`."""

    most: float
    hold: float

    @classmethod
    def of(cls, base: RiftPolicy, pool: Sequence[Callable[[], Worlds]], share: float, hold: float) -> Guard:
        """At most `share` times the distance of a base that drives the pool."""
        return cls(share * look(base, pool)["wd_driven"], hold)

    def pace(self, history: Sequence[Row]) -> float:
        """The reward of the round that comes next, a m/s and step."""
        if not history:
            return 0.0
        last = history[-1]
        return max(last["pace"] + self.hold * (last["wd_driven"] / self.most - 1.0), 0.0)

    def best(self, history: Sequence[Row]) -> int:
        """The round whose head is kept, counted from 1: of those within the guard the one with the fewest
        crashes, the later of equals; where none is within, the one nearest to it."""
        if not history:
            return 0

        def rank(k: int) -> tuple[float, float, int]:
            row = history[k]
            return max(row["wd_driven"] - self.most, 0.0), row["crashed_driven"], -k

        return 1 + min(range(len(history)), key=rank)


def look(net: RiftPolicy, pool: Sequence[Callable[[], Worlds]]) -> dict[str, float]:
    """How a policy drives the pool: the distance of its speeds from the limits, the share that crashes."""
    found = measure(join([drive_worlds(net, part())[1] for part in pool]))
    return {"wd_driven": found["wd"], "crashed_driven": found["crash_rate"]}


__all__ = ["Guard", "look"]
