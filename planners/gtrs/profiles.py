"""GTRS's heads and weight profiles.

The published weights are those of the released GTRS configurations (NVlabs/GTRS, commit 5352e06); they are no
benchmark's own weights.
"""

from __future__ import annotations

from collections.abc import Mapping

from drive.planners.learned.profiles import CLOSED_LOOP, Profile

TEACHER_HEADS = ("nc", "dac", "ddc", "tlc", "ep", "ttc", "lk", "hc")
"""The teacher's sub-scores that heads learn: no at-fault collision, drivable area, driving direction, traffic
lights, progress, time to collision, lane keeping, comfort."""

PROFILES: Mapping[str, Profile] = {
    "dense": Profile(
        {"imi": 0.03, "tlc": 0.1, "nc": 0.1, "dac": 0.9, "ddc": 0.2}, 6.0, {"ttc": 7.0, "ep": 7.0, "lk": 3.0}
    ),
    "dense_proposals": Profile(
        {"imi": 0.01, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.5}, 3.0, {"ttc": 5.0, "ep": 5.0, "lk": 2.0}
    ),
    "aug": Profile(
        {"imi": 0.02, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.3},
        6.0,
        {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 1.0},
    ),
    "aug_refine": Profile(
        {"imi": 0.0, "tlc": 0.1, "nc": 0.5, "dac": 0.5, "ddc": 0.3},
        6.0,
        {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 1.0},
    ),
    # The log of the teacher's score, were its parts independent.
    "expected": Profile(
        {"tlc": 1.0, "nc": 1.0, "dac": 1.0, "ddc": 1.0}, 1.0, {"ttc": 5.0, "ep": 5.0, "lk": 2.0, "hc": 2.0}
    ),
    "closed_loop": CLOSED_LOOP,
    "imitation": Profile({"imi": 1.0}),
}
"""The first four are published: vocabulary alone, vocabulary and proposals, Aug's two stages."""

__all__ = ["PROFILES", "TEACHER_HEADS"]
