"""The weight profiles of `hydra_next`: how its trajectory decoder's heads become one score."""

from __future__ import annotations

from collections.abc import Mapping

from drive.planners.learned.profiles import CLOSED_LOOP, Profile

PROFILES: Mapping[str, Profile] = {
    "published": Profile({"imi": 0.5, "nc": 0.1, "lk": 0.1, "ep": 0.1}),
    "closed_loop": CLOSED_LOOP,
    "imitation": Profile({"imi": 1.0}),
}
"""The first is that of the Hydra-NeXt repository, for 4096 candidates: among fewer, the one nearest to the
expert is a metre or two beside it, and what the teacher says of it counts for more."""

__all__ = ["PROFILES"]
